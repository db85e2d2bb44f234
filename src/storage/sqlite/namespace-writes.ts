// The intentions that change namespaces, and the two steps that users and organizations share: a name becomes somebody's, and
// a namespace goes with all that is in it. Each intention runs in one transaction of the writer.
import type { Namespace, NamespaceStore } from '../account-store.ts';
import type { Visibility } from '../metadata-store.ts';
import type { AccessSteps, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { KeepTimes, Now } from './now.ts';

export const sql = {
  namespaceByName: 'SELECT id, kind FROM namespace WHERE name = ?',
  addNamespace: 'INSERT INTO namespace (name, kind, default_visibility, created_at) VALUES (?, ?, ?, ?)',
  adoptNamespace: `UPDATE namespace SET kind = ?, default_visibility = coalesce(?, default_visibility) WHERE id = ?`,
  liveRepositories: `SELECT count(*) FROM repository WHERE namespace_id = ? AND state = 'live'`,
  updateNamespace: 'UPDATE namespace SET default_visibility = ?, description = ? WHERE id = ?',
  setDefaultVisibility: `INSERT INTO instance (key, value) VALUES ('default_visibility', ?)
    ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value`,
  retireNamespace: 'UPDATE namespace SET removed_at = ? WHERE id = ?',
  dropUploadsInside: `DELETE FROM upload WHERE repository_id IN
    (SELECT id FROM repository WHERE namespace_id = ? AND state <> 'deleted')`,
  deleteRepositories: `UPDATE repository SET state = 'deleted', until_ticks = ?
    WHERE namespace_id = ? AND state <> 'deleted'`,
  dropUploadsOfRobots: `DELETE FROM upload WHERE principal IN
    (SELECT name FROM subject WHERE namespace_id = ? AND kind = 'robot')`,
  dropSubjects: 'DELETE FROM subject WHERE namespace_id = ? AND kind = ?',
  dropGrants: 'DELETE FROM access_grant WHERE namespace_id = ?',
  // Their deliveries go later, some at a time.
  removeHooks: 'UPDATE webhook SET removed_at = ? WHERE namespace_id = ? AND removed_at IS NULL',
} as const;

/** How much went with a namespace, for the audit. */
export interface Retired {
  readonly repositories: number;
  readonly grants: number;
  readonly robots: number;
  readonly teams: number;
}

/** The intentions on namespaces over one connection. */
export class NamespaceWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #keep: KeepTimes;

  constructor(db: Connection, steps: AccessSteps, keep: KeepTimes) {
    this.#steps = steps;
    this.#keep = keep;
    this.#statements = prepareAll(db, sql);
    this.#statements.liveRepositories.pluck();
  }

  updateNamespace(now: Now, input: Input<NamespaceStore['update']>): boolean {
    const { name, changes, origin } = input;
    const found = this.#steps.findNamespace(name);
    if (found === undefined) return false;
    const before = { defaultVisibility: found.defaultVisibility, description: found.description };
    const after = { ...before, ...changes };
    if (after.defaultVisibility === before.defaultVisibility && after.description === before.description)
      return true;
    this.#statements.updateNamespace.run(after.defaultVisibility, after.description, found.id);
    const object = `namespace:${name}`;
    this.#steps.events.addChange(now, origin, {
      action: 'namespace.update',
      object,
      namespace: name,
      before,
      after,
    });
    return true;
  }

  setDefaultVisibility(_now: Now, visibility: Visibility): void {
    this.#statements.setDefaultVisibility.run(visibility);
  }

  countRepositories(namespaceId: number): number {
    return this.#statements.liveRepositories.get(namespaceId) as number;
  }

  /** Whether no user or organization has or had the namespace of that name: there is none, or a push made it. */
  isFree(name: string): boolean {
    const found = this.#find(name);
    return found === undefined || found.kind === 'unowned';
  }

  /** Whether there is or was a namespace of that name, somebody's or nobody's. */
  isThere(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** Makes a free name a namespace of `kind`: a new one, or the one that a push made, with `adopted` repositories. */
  claim(
    now: Now,
    name: string,
    kind: Namespace['kind'],
    defaultVisibility?: Visibility,
  ): { readonly id: number; readonly adopted: number } {
    const found = this.#find(name);
    if (found === undefined) {
      const added = this.#statements.addNamespace.run(name, kind, defaultVisibility ?? null, now.at);
      return { id: Number(added.lastInsertRowid), adopted: 0 };
    }
    this.#statements.adoptNamespace.run(kind, defaultVisibility ?? null, found.id);
    return { id: found.id, adopted: this.countRepositories(found.id) };
  }

  /**
   * Takes a namespace out of sight: its repositories are deleted (restorable for the grace time), uploads into them end, its
   * robots, teams and grants go. Answers what went; of repositories, the live ones.
   */
  retire(now: Now, namespaceId: number): Retired {
    const repositories = this.countRepositories(namespaceId);
    this.#statements.dropUploadsInside.run(namespaceId);
    this.#statements.deleteRepositories.run(now.ticks + this.#keep.undeleteSeconds, namespaceId);
    this.#statements.dropUploadsOfRobots.run(namespaceId);
    const grants = this.#statements.dropGrants.run(namespaceId).changes;
    const robots = this.#statements.dropSubjects.run(namespaceId, 'robot').changes;
    const teams = this.#statements.dropSubjects.run(namespaceId, 'team').changes;
    this.#statements.removeHooks.run(now.at, namespaceId);
    this.#statements.retireNamespace.run(now.at, namespaceId);
    return { repositories, grants, robots, teams };
  }

  #find(name: string) {
    return this.#statements.namespaceByName.get(name) as
      | { readonly id: number; readonly kind: Namespace['kind'] }
      | undefined;
  }
}
