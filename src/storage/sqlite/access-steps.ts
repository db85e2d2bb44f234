// The steps that several intentions on access have in common: who and what there is, the policy generation, and what ends
// with somebody. They run inside the transaction of the intention that calls them.
import type { Namespace, SubjectKind } from '../account-store.ts';
import { type UserRow, userColumns } from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { EventWrites } from './event-writes.ts';

/** What a method of the contract takes and answers. */
export type Input<Method extends (...args: never[]) => unknown> = Parameters<Method>[0];
export type Answer<Method extends (...args: never[]) => unknown> = Awaited<ReturnType<Method>>;

export const sql = {
  movePolicy: `UPDATE instance SET value = CAST(value AS INTEGER) + 1 WHERE key = 'policy_generation'`,
  userByName: `SELECT ${userColumns} FROM subject s WHERE s.name = ? AND s.kind = 'user' AND s.removed_at IS NULL`,
  subjectByName: `SELECT s.id, s.kind, s.name, n.name AS namespace FROM subject s
    LEFT JOIN namespace n ON n.id = s.namespace_id WHERE s.name = ? AND s.removed_at IS NULL`,
  // A removed user keeps its name.
  nameTaken: 'SELECT 1 FROM subject WHERE name = ?',
  namespaceByName: `SELECT id, name, kind, default_visibility AS defaultVisibility, description FROM namespace
    WHERE name = ? AND removed_at IS NULL`,
  dropCredentials: 'DELETE FROM credential WHERE subject_id = ?',
  dropSignIns: `DELETE FROM credential WHERE subject_id = ? AND kind IN ('refresh', 'session', 'setPassword')`,
  dropUploads: 'DELETE FROM upload WHERE principal = ?',
} as const;

export interface SubjectRow {
  readonly id: number;
  readonly kind: SubjectKind;
  readonly name: string;
  /** Of a robot or team; of a user that has one. */
  readonly namespace: string | null;
}

export interface NamespaceHead {
  readonly id: number;
  readonly name: string;
  readonly kind: Namespace['kind'];
  readonly defaultVisibility: Namespace['defaultVisibility'] | null;
  readonly description: string;
}

export class AccessSteps {
  readonly events: EventWrites;
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  constructor(db: Connection, events: EventWrites) {
    this.events = events;
    this.#statements = prepareAll(db, sql);
  }

  /** What was compiled of the policy is void from this commit on. */
  movePolicy(): void {
    this.#statements.movePolicy.run();
  }

  findUser(name: string): UserRow | undefined {
    return this.#statements.userByName.get(name) as UserRow | undefined;
  }

  findSubject(name: string): SubjectRow | undefined {
    return this.#statements.subjectByName.get(name) as SubjectRow | undefined;
  }

  /** Whether there is, or was, a subject of that name. */
  isTaken(name: string): boolean {
    return this.#statements.nameTaken.get(name) !== undefined;
  }

  findNamespace(name: string): NamespaceHead | undefined {
    return this.#statements.namespaceByName.get(name) as NamespaceHead | undefined;
  }

  findOrganization(name: string): NamespaceHead | undefined {
    const namespace = this.findNamespace(name);
    return namespace?.kind === 'organization' ? namespace : undefined;
  }

  /** Sessions, refresh tokens and one-time codes: what a password or its bearer obtained. */
  dropSignIns(subjectId: number): void {
    this.#statements.dropSignIns.run(subjectId);
  }

  /** Every credential, and the upload sessions that are open under the name. */
  dropCredentials(subject: { readonly id: number; readonly name: string }): void {
    this.#statements.dropCredentials.run(subject.id);
    this.#statements.dropUploads.run(subject.name);
  }
}
