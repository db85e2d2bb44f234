// The intentions that change users and their passwords. Each runs in one transaction of the writer.
import type { EndedAccess, RegistryRole, UserStore } from '../account-store.ts';
import type { Origin } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input } from './access-steps.ts';
import { toUser, type UserRow } from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { NamespaceWrites } from './namespace-writes.ts';
import type { Now } from './now.ts';

const endedCredentials = (kinds: string) => `SELECT count(*) FROM credential
  WHERE subject_id = ? AND kind = '${kinds}' AND (expires_at IS NULL OR expires_at > ?)`;

export const sql = {
  addUser: `INSERT INTO subject (kind, name, namespace_id, role, guest, full_name, email, password_hash, created_at)
    VALUES ('user', ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateUser:
    'UPDATE subject SET role = ?, guest = ?, full_name = ?, email = ?, namespace_id = ? WHERE id = ?',
  setPassword: `UPDATE subject SET password_hash = ?, password_generation = password_generation + 1 WHERE id = ?`,
  upgradeHash: 'UPDATE subject SET password_hash = ? WHERE id = ? AND password_hash = ?',
  // What the password obtained before stays void when the user is enabled again.
  disableUser: `UPDATE subject SET disabled_at = ?, password_generation = password_generation + 1 WHERE id = ?`,
  enableUser: 'UPDATE subject SET disabled_at = NULL WHERE id = ?',
  retireUser: `UPDATE subject SET removed_at = ?, password_hash = NULL, full_name = NULL, email = NULL,
    password_generation = password_generation + 1 WHERE id = ?`,
  otherAdministrator: `SELECT 1 FROM subject
    WHERE role = 'administrator' AND disabled_at IS NULL AND removed_at IS NULL AND id <> ? LIMIT 1`,
  tokens: endedCredentials('personal'),
  sessions: endedCredentials('session'),
  refreshTokens: endedCredentials('refresh'),
  uploads: 'SELECT count(*) FROM upload WHERE principal = ?',
  onlyOwnerOf: `SELECT n.name FROM organization_member m JOIN namespace n ON n.id = m.namespace_id
    WHERE m.subject_id = ? AND m.role = 'owner' AND n.removed_at IS NULL AND NOT EXISTS
      (SELECT 1 FROM organization_member o
        WHERE o.namespace_id = m.namespace_id AND o.role = 'owner' AND o.subject_id <> m.subject_id)`,
  dropGrants: 'DELETE FROM access_grant WHERE subject_id = ?',
  dropMemberships: 'DELETE FROM organization_member WHERE subject_id = ?',
  dropTeamMemberships: 'DELETE FROM team_member WHERE subject_id = ?',
} as const;

const pluckedStatements = ['tokens', 'sessions', 'refreshTokens', 'uploads', 'onlyOwnerOf'] as const;

/** What the audit tells of a user. */
const profileOf = ({
  role,
  guest,
  fullName,
  email,
}: Omit<UserRow, 'guest'> & { guest: boolean | number }) => ({
  role,
  guest: Boolean(guest),
  fullName: fullName ?? undefined,
  email: email ?? undefined,
});

/** The intentions on users over one connection. */
export class UserWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #namespaces: NamespaceWrites;

  constructor(db: Connection, steps: AccessSteps, namespaces: NamespaceWrites) {
    this.#steps = steps;
    this.#namespaces = namespaces;
    this.#statements = prepareAll(db, sql);
    for (const key of pluckedStatements) this.#statements[key].pluck();
  }

  addUser(now: Now, input: Input<UserStore['add']>): Answer<UserStore['add']> {
    const { name, role, guest, fullName, email, passwordHash, origin } = input;
    if (this.#steps.isTaken(name) || !this.#namespaces.isFree(name)) return { outcome: 'exists' };
    const own = guest ? undefined : this.#namespaces.claim(now, name, 'user');
    this.#statements.addUser.run(
      name,
      own?.id ?? null,
      role,
      Number(guest),
      fullName ?? null,
      email ?? null,
      passwordHash ?? null,
      now.at,
    );
    this.#steps.movePolicy();
    const adopted = own?.adopted ?? 0;
    const user = this.#known(name);
    const after = { ...profileOf(user), hasPassword: passwordHash !== undefined, adopted };
    this.#tell(now, origin, 'user.add', name, { after });
    return { outcome: 'added', user: toUser(user), adopted };
  }

  updateUser(now: Now, input: Input<UserStore['update']>): Answer<UserStore['update']> {
    const { name, changes, origin } = input;
    const user = this.#steps.findUser(name);
    if (user === undefined) return { outcome: 'unknown' };
    const role: RegistryRole = changes.role ?? user.role;
    if (role !== 'administrator' && this.#isLastAdministrator(user)) return { outcome: 'last-administrator' };
    const guest = changes.guest ?? user.guest === 1;
    const fullName = changes.fullName === undefined ? user.fullName : changes.fullName;
    const email = changes.email === undefined ? user.email : changes.email;
    // Who is no guest any more gets the namespace that a guest has not.
    const namespaceId =
      guest || user.namespaceId !== null ? user.namespaceId : this.#namespaces.claim(now, name, 'user').id;
    const before = profileOf(user);
    const after = profileOf({ ...user, role, guest, fullName, email });
    if (JSON.stringify(before) !== JSON.stringify(after)) {
      this.#statements.updateUser.run(role, Number(guest), fullName, email, namespaceId, user.id);
      if (role !== user.role || guest !== before.guest) this.#steps.movePolicy();
      this.#tell(now, origin, 'user.update', name, { before, after });
    }
    return { outcome: 'updated', user: toUser(this.#known(name)) };
  }

  setPassword(now: Now, input: Input<UserStore['setPassword']>): boolean {
    return this.#changePassword(now, input.name, input.hash, input.origin);
  }

  clearPassword(now: Now, input: Input<UserStore['clearPassword']>): boolean {
    return this.#changePassword(now, input.name, null, input.origin);
  }

  upgradeHash(_now: Now, input: Input<UserStore['upgradeHash']>): void {
    this.#statements.upgradeHash.run(input.to, input.subjectId, input.from);
  }

  disableUser(now: Now, input: Input<UserStore['disable']>): Answer<UserStore['disable']> {
    const { name, origin } = input;
    const user = this.#steps.findUser(name);
    if (user === undefined) return { outcome: 'unknown' };
    if (this.#isLastAdministrator(user)) return { outcome: 'last-administrator' };
    const ended = this.#whatEnds(now, user);
    if (user.disabledAt === null) {
      this.#statements.disableUser.run(now.at, user.id);
      this.#steps.dropSignIns(user.id);
      this.#steps.movePolicy();
      this.#tell(now, origin, 'user.disable', name, {});
    }
    return { outcome: 'disabled', ended };
  }

  enableUser(now: Now, input: Input<UserStore['enable']>): boolean {
    const user = this.#steps.findUser(input.name);
    if (user === undefined) return false;
    if (user.disabledAt !== null) {
      this.#statements.enableUser.run(user.id);
      this.#steps.movePolicy();
      this.#tell(now, input.origin, 'user.enable', input.name, {});
    }
    return true;
  }

  removeUser(now: Now, input: Input<UserStore['remove']>): Answer<UserStore['remove']> {
    const { name, deleteRepositories, origin } = input;
    const user = this.#steps.findUser(name);
    if (user === undefined) return { outcome: 'unknown' };
    if (this.#isLastAdministrator(user)) return { outcome: 'last-administrator' };
    const ended = this.#whatEnds(now, user);
    if (ended.onlyOwnerOf.length > 0) return { outcome: 'last-owner', organizations: ended.onlyOwnerOf };
    if (ended.repositories > 0 && !deleteRepositories)
      return { outcome: 'has-repositories', repositories: ended.repositories };

    const retired = user.namespaceId === null ? {} : this.#namespaces.retire(now, user.namespaceId, origin);
    this.#statements.dropGrants.run(user.id);
    this.#statements.dropMemberships.run(user.id);
    this.#statements.dropTeamMemberships.run(user.id);
    this.#steps.dropCredentials(user);
    this.#statements.retireUser.run(now.at, user.id);
    this.#steps.movePolicy();
    this.#tell(now, origin, 'user.remove', name, { before: { ...profileOf(user), ...retired } });
    return { outcome: 'removed', ended };
  }

  #changePassword(now: Now, name: string, hash: string | null, origin: Origin): boolean {
    const user = this.#steps.findUser(name);
    if (user === undefined) return false;
    this.#statements.setPassword.run(hash, user.id);
    this.#steps.dropSignIns(user.id);
    this.#steps.movePolicy();
    const before = { hasPassword: user.hasPassword === 1 };
    this.#tell(now, origin, 'user.password', name, { before, after: { hasPassword: hash !== null } });
    return true;
  }

  #known(name: string): UserRow {
    const user = this.#steps.findUser(name);
    if (user === undefined) throw new Error(`${name} is not there although it was just written`);
    return user;
  }

  #isLastAdministrator(user: UserRow): boolean {
    return (
      user.role === 'administrator' &&
      user.disabledAt === null &&
      this.#statements.otherAdministrator.get(user.id) === undefined
    );
  }

  #whatEnds(now: Now, user: UserRow): EndedAccess {
    const credentials = (key: 'tokens' | 'sessions' | 'refreshTokens') =>
      this.#statements[key].get(user.id, now.at) as number;
    return {
      tokens: credentials('tokens'),
      sessions: credentials('sessions'),
      refreshTokens: credentials('refreshTokens'),
      uploads: this.#statements.uploads.get(user.name) as number,
      onlyOwnerOf: (this.#statements.onlyOwnerOf.all(user.id) as string[]).sort(),
      repositories: user.namespaceId === null ? 0 : this.#namespaces.countRepositories(user.namespaceId),
    };
  }

  #tell(
    now: Now,
    origin: Origin,
    action: 'user.add' | 'user.update' | 'user.password' | 'user.disable' | 'user.enable' | 'user.remove',
    name: string,
    change: { before?: Readonly<Record<string, unknown>>; after?: Readonly<Record<string, unknown>> },
  ): void {
    this.#steps.events.addChange(now, origin, { action, object: `user:${name}`, ...change });
  }
}
