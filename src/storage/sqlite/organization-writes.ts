// The intentions that change organizations, their members and their teams. Each runs in one transaction of the writer.
import type { MemberRole, OrganizationStore } from '../account-store.ts';
import type { Origin } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input, NamespaceHead } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { NamespaceWrites } from './namespace-writes.ts';
import type { Now } from './now.ts';

export const sql = {
  memberRole: 'SELECT role FROM organization_member WHERE namespace_id = ? AND subject_id = ?',
  otherOwner: `SELECT 1 FROM organization_member
    WHERE namespace_id = ? AND role = 'owner' AND subject_id <> ? LIMIT 1`,
  setMember: `INSERT INTO organization_member (namespace_id, subject_id, role) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET role = excluded.role`,
  dropMember: 'DELETE FROM organization_member WHERE namespace_id = ? AND subject_id = ?',
  dropFromTeams: `DELETE FROM team_member WHERE subject_id = ? AND team_id IN
    (SELECT id FROM subject WHERE namespace_id = ? AND kind = 'team')`,
  addTeam: `INSERT INTO subject (kind, name, namespace_id, created_at) VALUES ('team', ?, ?, ?)`,
  dropTeam: 'DELETE FROM subject WHERE id = ?',
  addTeamMember: 'INSERT INTO team_member (team_id, subject_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
  dropTeamMember: 'DELETE FROM team_member WHERE team_id = ? AND subject_id = ?',
} as const;

/** Made by a migration: every name without a slash and every robot of the registry would go with them. */
const lasting: ReadonlySet<string> = new Set(['library', 'system']);

/** The intentions on organizations over one connection. */
export class OrganizationWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #namespaces: NamespaceWrites;

  constructor(db: Connection, steps: AccessSteps, namespaces: NamespaceWrites) {
    this.#steps = steps;
    this.#namespaces = namespaces;
    this.#statements = prepareAll(db, sql);
    this.#statements.memberRole.pluck();
  }

  addOrganization(now: Now, input: Input<OrganizationStore['add']>): Answer<OrganizationStore['add']> {
    const { name, defaultVisibility, owner: ownerName, origin } = input;
    if (this.#steps.isTaken(name) || !this.#namespaces.isFree(name)) return { outcome: 'exists' };
    if (input.unusedName === true && this.#namespaces.isThere(name)) return { outcome: 'exists' };
    const owner = ownerName === undefined ? undefined : this.#steps.findUser(ownerName);
    if (ownerName !== undefined && owner === undefined) return { outcome: 'unknown' };
    const { id, adopted } = this.#namespaces.claim(now, name, 'organization', defaultVisibility);
    if (owner !== undefined) this.#statements.setMember.run(id, owner.id, 'owner');
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'organization.add',
      object: `organization:${name}`,
      namespace: name,
      after: { owner: ownerName, defaultVisibility, adopted },
    });
    return { outcome: 'added', adopted };
  }

  removeOrganization(
    now: Now,
    input: Input<OrganizationStore['remove']>,
  ): Answer<OrganizationStore['remove']> {
    const { name, origin } = input;
    const organization = this.#steps.findOrganization(name);
    if (organization === undefined || lasting.has(name)) return { outcome: 'unknown' };
    // Members stay written down: they are who it belongs to when it is restored.
    const retired = this.#namespaces.retire(now, organization.id, origin);
    this.#steps.movePolicy();
    const object = `organization:${name}`;
    this.#steps.events.addChange(now, origin, {
      action: 'organization.remove',
      object,
      namespace: name,
      before: { ...retired },
    });
    return { outcome: 'removed', repositories: retired.repositories };
  }

  restoreOrganization(
    now: Now,
    input: Input<OrganizationStore['restore']>,
  ): Answer<OrganizationStore['restore']> {
    const { name, origin } = input;
    const organization = this.#namespaces.findRestorable(now, name);
    if (organization === undefined) return { outcome: 'unknown' };
    const { id, repositories } = organization;
    this.#namespaces.restore(now, id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'organization.restore',
      object: `organization:${name}`,
      namespace: name,
      after: { repositories },
    });
    return { outcome: 'restored', repositories };
  }

  setMember(now: Now, input: Input<OrganizationStore['setMember']>): Answer<OrganizationStore['setMember']> {
    const { organization: name, user: userName, role, origin } = input;
    const organization = this.#steps.findOrganization(name);
    if (organization === undefined) return { outcome: 'unknown-organization' };
    const user = this.#steps.findUser(userName);
    if (user === undefined) return { outcome: 'unknown-user' };
    const before = this.#roleOf(organization, user.id);
    if (before === role) return { outcome: 'unchanged' };
    if (before === 'owner' && this.#isLastOwner(organization, user.id)) return { outcome: 'last-owner' };
    this.#writeMember(now, origin, organization, user, { before, after: role });
    return { outcome: before === undefined ? 'added' : 'changed' };
  }

  removeMember(
    now: Now,
    input: Input<OrganizationStore['removeMember']>,
  ): Answer<OrganizationStore['removeMember']> {
    const { organization: name, user: userName, origin } = input;
    const organization = this.#steps.findOrganization(name);
    const user = this.#steps.findUser(userName);
    if (organization === undefined || user === undefined) return { outcome: 'unknown' };
    const role = this.#roleOf(organization, user.id);
    if (role === undefined) return { outcome: 'unknown' };
    if (role === 'owner' && this.#isLastOwner(organization, user.id)) return { outcome: 'last-owner' };
    this.#statements.dropMember.run(organization.id, user.id);
    this.#statements.dropFromTeams.run(user.id, organization.id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'member.remove',
      object: `member:${name}/${userName}`,
      namespace: name,
      before: { role },
    });
    return { outcome: 'removed' };
  }

  addTeam(now: Now, input: Input<OrganizationStore['addTeam']>): Answer<OrganizationStore['addTeam']> {
    const organization = this.#steps.findOrganization(input.organization);
    if (organization === undefined) return { outcome: 'unknown' };
    const name = `${input.organization}/${input.team}`;
    if (this.#steps.isTaken(name)) return { outcome: 'exists' };
    this.#statements.addTeam.run(name, organization.id, now.at);
    this.#steps.movePolicy();
    this.#tellOfTeam(now, input.origin, 'team.add', name, input.organization);
    return { outcome: 'added' };
  }

  removeTeam(now: Now, input: Input<OrganizationStore['removeTeam']>): boolean {
    const team = this.#findTeam(input.organization, input.team);
    if (team === undefined) return false;
    this.#statements.dropTeam.run(team.id);
    this.#steps.movePolicy();
    this.#tellOfTeam(now, input.origin, 'team.remove', team.name, input.organization);
    return true;
  }

  addTeamMember(
    now: Now,
    input: Input<OrganizationStore['addTeamMember']>,
  ): Answer<OrganizationStore['addTeamMember']> {
    const { organization: name, user: userName, origin } = input;
    const organization = this.#steps.findOrganization(name);
    const team = this.#findTeam(name, input.team);
    if (organization === undefined || team === undefined) return { outcome: 'unknown-team' };
    const user = this.#steps.findUser(userName);
    if (user === undefined) return { outcome: 'unknown-user' };
    if (this.#statements.addTeamMember.run(team.id, user.id).changes === 0) return { outcome: 'unchanged' };
    if (this.#roleOf(organization, user.id) === undefined)
      this.#writeMember(now, origin, organization, user, { before: undefined, after: 'member' });
    this.#steps.movePolicy();
    this.#tellOfTeam(now, origin, 'team-member.add', `${team.name}/${userName}`, name);
    return { outcome: 'added' };
  }

  removeTeamMember(now: Now, input: Input<OrganizationStore['removeTeamMember']>): boolean {
    const { organization, user: userName, origin } = input;
    const team = this.#findTeam(organization, input.team);
    const user = this.#steps.findUser(userName);
    if (team === undefined || user === undefined) return false;
    if (this.#statements.dropTeamMember.run(team.id, user.id).changes === 0) return false;
    this.#steps.movePolicy();
    this.#tellOfTeam(now, origin, 'team-member.remove', `${team.name}/${userName}`, organization);
    return true;
  }

  #findTeam(organization: string, team: string) {
    const found = this.#steps.findSubject(`${organization}/${team}`);
    return found?.kind === 'team' ? found : undefined;
  }

  #roleOf(organization: NamespaceHead, userId: number): MemberRole | undefined {
    return this.#statements.memberRole.get(organization.id, userId) as MemberRole | undefined;
  }

  #isLastOwner(organization: NamespaceHead, userId: number): boolean {
    return this.#statements.otherOwner.get(organization.id, userId) === undefined;
  }

  #writeMember(
    now: Now,
    origin: Origin,
    organization: NamespaceHead,
    user: { readonly id: number; readonly name: string },
    role: { readonly before: MemberRole | undefined; readonly after: MemberRole },
  ): void {
    this.#statements.setMember.run(organization.id, user.id, role.after);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'member.set',
      object: `member:${organization.name}/${user.name}`,
      namespace: organization.name,
      before: role.before && { role: role.before },
      after: { role: role.after },
    });
  }

  #tellOfTeam(
    now: Now,
    origin: Origin,
    action: 'team.add' | 'team.remove' | 'team-member.add' | 'team-member.remove',
    name: string,
    namespace: string,
  ): void {
    const [noun] = action.split('.');
    this.#steps.events.addChange(now, origin, { action, object: `${noun}:${name}`, namespace });
  }
}
