// The intentions that change namespaces, and the two steps that users and organizations share: a name becomes somebody's, and
// a namespace goes with all that is in it. Each intention runs in one transaction of the writer.
import type { Namespace, NamespaceStore } from '../account-store.ts';
import type { Origin, Visibility } from '../metadata-store.ts';
import type { AccessSteps, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { KeepTimes, Now } from './now.ts';
import type { ProtectedPlace, ProtectionChecks } from './protection-checks.ts';

export const sql = {
  namespaceByName: 'SELECT id, kind FROM namespace WHERE name = ?',
  addNamespace: 'INSERT INTO namespace (name, kind, default_visibility, created_at) VALUES (?, ?, ?, ?)',
  adoptNamespace: `UPDATE namespace SET kind = ?, default_visibility = coalesce(?, default_visibility) WHERE id = ?`,
  liveRepositories: `SELECT count(*) FROM repository WHERE namespace_id = ? AND state = 'live'`,
  nameOf: 'SELECT name FROM namespace WHERE id = ?',
  repositoriesAfter: `SELECT id, name FROM repository WHERE namespace_id = ? AND state = 'live' AND name > ?
    ORDER BY name LIMIT ?`,
  updateNamespace: 'UPDATE namespace SET default_visibility = ?, description = ? WHERE id = ?',
  setDefaultVisibility: `INSERT INTO instance (key, value) VALUES ('default_visibility', ?)
    ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value`,
  retireNamespace: 'UPDATE namespace SET removed_at = ?, restorable_until_ticks = ? WHERE id = ?',
  dropUploadsInside: `DELETE FROM upload WHERE repository_id IN
    (SELECT id FROM repository WHERE namespace_id = ? AND state <> 'deleted')`,
  // Where only blobs and uploads are, nothing is to come back.
  deleteRepositories: `UPDATE repository SET until_ticks = iif(state = 'live', ?, 0), deleted_at = ?, deleted_by = ?,
    deleted_with_namespace = (state = 'live'), state = 'deleted' WHERE namespace_id = ? AND state <> 'deleted'`,
  restorable: `SELECT id, name FROM namespace WHERE name = ? AND removed_at IS NOT NULL
    AND kind = 'organization' AND restorable_until_ticks > ?`,
  removedRepositories: `SELECT count(*) FROM repository WHERE namespace_id = ? AND state = 'deleted'
    AND deleted_with_namespace = 1 AND until_ticks > ?`,
  restoreRepositories: `UPDATE repository SET state = 'live', until_ticks = NULL, deleted_at = NULL, deleted_by = NULL,
    deleted_with_namespace = 0
    WHERE namespace_id = ? AND state = 'deleted' AND deleted_with_namespace = 1 AND until_ticks > ?`,
  dropTakenAliases: `DELETE FROM repository_alias WHERE id IN (SELECT a.id FROM repository r
      JOIN repository_alias a ON a.repository_id = r.id
      JOIN repository o ON o.name = a.name AND o.state <> 'deleted' WHERE r.namespace_id = ?)`,
  restoreNamespace: 'UPDATE namespace SET removed_at = NULL, restorable_until_ticks = NULL WHERE id = ?',
  dropUploadsOfRobots: `DELETE FROM upload WHERE principal IN
    (SELECT name FROM subject WHERE namespace_id = ? AND kind = 'robot')`,
  dropSubjects: 'DELETE FROM subject WHERE namespace_id = ? AND kind = ?',
  dropGrants: 'DELETE FROM access_grant WHERE namespace_id = ?',
  // Their deliveries go later, some at a time.
  removeHooks: 'UPDATE webhook SET removed_at = ? WHERE namespace_id = ? AND removed_at IS NULL',
} as const;

const pageOfRepositories = 500;

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
  readonly #protection: ProtectionChecks;

  constructor(db: Connection, steps: AccessSteps, keep: KeepTimes, protection: ProtectionChecks) {
    this.#steps = steps;
    this.#protection = protection;
    this.#keep = keep;
    this.#statements = prepareAll(db, sql);
    this.#statements.liveRepositories.pluck();
    this.#statements.removedRepositories.pluck();
    this.#statements.nameOf.pluck();
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
   * robots, teams and grants go. Answers what went; of repositories, the live ones. Throws TagProtectedError where a rule keeps
   * a tag in one of them.
   */
  retire(now: Now, namespaceId: number, origin: Origin): Retired {
    this.#admitRemoval(namespaceId, origin);
    const repositories = this.countRepositories(namespaceId);
    this.#statements.dropUploadsInside.run(namespaceId);
    const until = now.ticks + this.#keep.undeleteSeconds;
    this.#statements.deleteRepositories.run(until, now.at, origin.actor, namespaceId);
    this.#statements.dropUploadsOfRobots.run(namespaceId);
    const grants = this.#statements.dropGrants.run(namespaceId).changes;
    const robots = this.#statements.dropSubjects.run(namespaceId, 'robot').changes;
    const teams = this.#statements.dropSubjects.run(namespaceId, 'team').changes;
    this.#statements.removeHooks.run(now.at, namespaceId);
    this.#statements.retireNamespace.run(now.at, until, namespaceId);
    return { repositories, grants, robots, teams };
  }

  /** A removed organization whose grace time is not over. */
  findRestorable(now: Now, name: string): { readonly id: number; readonly repositories: number } | undefined {
    const found = this.#statements.restorable.get(name, now.ticks) as { readonly id: number } | undefined;
    if (found === undefined) return undefined;
    const repositories = this.#statements.removedRepositories.get(found.id, now.ticks) as number;
    return { id: found.id, repositories };
  }

  /** Undoes `retire` for the namespace itself and the repositories that went with it. */
  restore(now: Now, namespaceId: number): void {
    this.#statements.restoreRepositories.run(namespaceId, now.ticks);
    this.#statements.dropTakenAliases.run(namespaceId);
    this.#statements.restoreNamespace.run(namespaceId);
  }

  #admitRemoval(namespaceId: number, origin: Origin): void {
    const name = this.#statements.nameOf.get(namespaceId) as string;
    if (!this.#protection.guardsNamespace(name)) return;
    let after = '';
    for (;;) {
      const page = this.#statements.repositoriesAfter.all(namespaceId, after, pageOfRepositories);
      const repositories = page as ProtectedPlace[];
      for (const repository of repositories) this.#protection.admitRepositoryRemoval(repository, origin);
      if (repositories.length < pageOfRepositories) return;
      after = repositories.at(-1)?.name ?? '';
    }
  }

  #find(name: string) {
    return this.#statements.namespaceByName.get(name) as
      | { readonly id: number; readonly kind: Namespace['kind'] }
      | undefined;
  }
}
