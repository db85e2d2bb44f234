// The intentions that change grants. Each runs in one transaction of the writer.
import type { Grant, GrantStore } from '../account-store.ts';
import type { Origin } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input } from './access-steps.ts';
import { type GrantRow, grantColumns, numberOfRole, toGrant, toSeconds } from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  grantById: `SELECT ${grantColumns} FROM access_grant g JOIN subject s ON s.id = g.subject_id
    LEFT JOIN namespace n ON n.id = g.namespace_id WHERE g.id = ?`,
  grantOf: 'SELECT id FROM access_grant WHERE subject_id = ? AND pattern = ?',
  addGrant: `INSERT INTO access_grant (namespace_id, subject_id, pattern, role, expires_at, granted_by, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)`,
  replaceGrant: `UPDATE access_grant SET role = ?, expires_at = ?, granted_by = ?, created_at = ? WHERE id = ?`,
  dropGrant: 'DELETE FROM access_grant WHERE id = ?',
} as const;

/** What the audit tells of a grant. */
const termsOf = ({ subject, role, expiresAt }: Grant) => ({ subject, role, expiresAt });

/** The intentions on grants over one connection. */
export class GrantWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;

  constructor(db: Connection, steps: AccessSteps) {
    this.#steps = steps;
    this.#statements = prepareAll(db, sql);
    this.#statements.grantOf.pluck();
  }

  putGrant(now: Now, input: Input<GrantStore['put']>): Answer<GrantStore['put']> {
    const { pattern, role, origin } = input;
    const subject = this.#steps.findSubject(input.subject);
    if (subject === undefined) return { outcome: 'unknown-subject' };
    const namespace = input.namespace === undefined ? undefined : this.#steps.findNamespace(input.namespace);
    if (input.namespace !== undefined && namespace === undefined) return { outcome: 'unknown-namespace' };
    const expiresAt = toSeconds(input.expiresAt);
    const id = this.#statements.grantOf.get(subject.id, pattern) as number | undefined;
    if (id === undefined) {
      const terms = [subject.id, pattern, numberOfRole(role), expiresAt, origin.actor, now.at];
      const added = this.#statements.addGrant.run(namespace?.id ?? null, ...terms);
      const grant = this.#known(Number(added.lastInsertRowid));
      this.#tell(now, origin, 'grant.set', undefined, grant);
      return { outcome: 'created', grant };
    }
    const before = this.#known(id);
    if (before.role === role && (before.expiresAt ?? null) === expiresAt)
      return { outcome: 'replaced', grant: before };
    this.#statements.replaceGrant.run(numberOfRole(role), expiresAt, origin.actor, now.at, id);
    const grant = this.#known(id);
    this.#tell(now, origin, 'grant.set', before, grant);
    return { outcome: 'replaced', grant };
  }

  removeGrant(now: Now, input: Input<GrantStore['remove']>): boolean {
    const grant = this.#find(input.id);
    if (grant === undefined) return false;
    this.#statements.dropGrant.run(input.id);
    this.#tell(now, input.origin, 'grant.remove', grant, undefined);
    return true;
  }

  #find(id: number): Grant | undefined {
    const row = this.#statements.grantById.get(id) as GrantRow | undefined;
    return row && toGrant(row);
  }

  #known(id: number): Grant {
    const grant = this.#find(id);
    if (grant === undefined) throw new Error(`grant ${id} is not there although it was just written`);
    return grant;
  }

  #tell(
    now: Now,
    origin: Origin,
    action: 'grant.set' | 'grant.remove',
    before: Grant | undefined,
    after: Grant | undefined,
  ): void {
    const about = after ?? before;
    if (about === undefined) return;
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action,
      object: `grant:${about.pattern}`,
      namespace: about.namespace,
      before: before && termsOf(before),
      after: after && termsOf(after),
    });
  }
}
