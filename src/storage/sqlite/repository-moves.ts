// The intentions that give a repository another name: a move, and a deleted one that comes back. What belongs to the name and not
// to the repository's id goes along here: what its namespace uses, grants on exactly that name, labels, old names.
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import type { NameTaken, RepositoryStore } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { KeepTimes, Now } from './now.ts';
import { Refusal } from './refusal.ts';
import { RuleMoves } from './rule-moves.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  rename: 'UPDATE repository SET name = ?, namespace_id = ? WHERE id = ?',
  renameLabels: 'UPDATE repository_label SET name = ? WHERE repository_id = ?',
  dropUploads: 'DELETE FROM upload WHERE repository_id = ?',
  bytesNewTo: `SELECT coalesce(sum(b.size), 0) FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = ? AND NOT EXISTS
      (SELECT 1 FROM namespace_blob n WHERE n.namespace_id = ? AND n.blob_id = l.blob_id)`,
  bytesAloneIn: `SELECT coalesce(sum(b.size), 0) FROM repository_blob l
    JOIN namespace_blob n ON n.namespace_id = ? AND n.blob_id = l.blob_id AND n.links = 1
    JOIN blob b ON b.id = l.blob_id WHERE l.repository_id = ?`,
  countInto: `INSERT INTO namespace_blob (namespace_id, blob_id, links)
    SELECT ?, blob_id, 1 FROM repository_blob WHERE repository_id = ?
    ON CONFLICT DO UPDATE SET links = links + 1`,
  dropAlone: `DELETE FROM namespace_blob WHERE namespace_id = ? AND links = 1
    AND blob_id IN (SELECT blob_id FROM repository_blob WHERE repository_id = ?)`,
  countOut: `UPDATE namespace_blob SET links = links - 1 WHERE namespace_id = ?
    AND blob_id IN (SELECT blob_id FROM repository_blob WHERE repository_id = ?)`,
  addUsedBytes: 'UPDATE namespace SET used_bytes = used_bytes + ? WHERE id = ?',
  exactGrants: `SELECT id, subject_id AS subject, role, expires_at AS expiresAt FROM access_grant
    WHERE namespace_id = ? AND pattern = ? ORDER BY id`,
  grantOf: `SELECT id, subject_id AS subject, role, expires_at AS expiresAt FROM access_grant
    WHERE subject_id = ? AND pattern = ?`,
  moveGrant: 'UPDATE access_grant SET namespace_id = ?, pattern = ? WHERE id = ?',
  dropGrant: 'DELETE FROM access_grant WHERE id = ?',
  setAlias: `INSERT INTO repository_alias (name, repository_id, until_ticks, created_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET repository_id = excluded.repository_id, until_ticks = excluded.until_ticks,
      created_at = excluded.created_at`,
  dropAliasNamed: 'DELETE FROM repository_alias WHERE name = ?',
  dropTakenAliases: `DELETE FROM repository_alias WHERE repository_id = ? AND EXISTS
    (SELECT 1 FROM repository r WHERE r.name = repository_alias.name AND r.state <> 'deleted')`,
  aliasOf: `SELECT a.name FROM repository_alias a JOIN repository r ON r.id = a.repository_id
    WHERE a.id = ? AND r.name = ? AND r.state = 'live'`,
  dropAlias: 'DELETE FROM repository_alias WHERE id = ?',
  deleted: `SELECT r.name, r.namespace_id AS namespaceId, n.removed_at AS namespaceRemovedAt, r.visibility
    FROM repository r JOIN namespace n ON n.id = r.namespace_id
    WHERE r.id = ? AND r.state = 'deleted' AND r.until_ticks > ?`,
  revive: `UPDATE repository SET state = 'live', until_ticks = NULL, deleted_at = NULL, deleted_by = NULL,
    deleted_with_namespace = 0 WHERE id = ?`,
  endGrace: 'UPDATE repository SET until_ticks = 0 WHERE id = ?',
} as const;

interface GrantRow {
  readonly id: number;
  readonly subject: number;
  readonly role: number;
  readonly expiresAt: number | null;
}

interface DeletedRow {
  readonly name: RepositoryName;
  readonly namespaceId: number;
  readonly namespaceRemovedAt: number | null;
  readonly visibility: string;
}

const pluckedStatements = ['bytesNewTo', 'bytesAloneIn', 'aliasOf'] as const;

/** The intentions over one connection. */
export class RepositoryMoves {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #shared: SharedWrites;
  readonly #rules: RuleMoves;
  readonly #keep: KeepTimes;

  constructor(db: Connection, steps: AccessSteps, shared: SharedWrites, keep: KeepTimes) {
    this.#steps = steps;
    this.#shared = shared;
    this.#keep = keep;
    this.#rules = new RuleMoves(db, shared.protection);
    this.#statements = prepareAll(db, sql);
    for (const key of pluckedStatements) this.#statements[key].pluck();
  }

  moveRepository(now: Now, input: Input<RepositoryStore['move']>): Answer<RepositoryStore['move']> {
    const { from, to, origin } = input;
    const repository = this.#shared.findRepository(from);
    if (!repository?.live) return { outcome: 'unknown' };
    if (from === to) return { outcome: 'exists' };
    const taken = this.#whyTaken(to, from);
    if (taken !== undefined) return taken;
    const namespace = this.#shared.ensureNamespace(now, to);
    if (namespace === undefined) return { outcome: 'namespace-removed' };
    this.#shared.protection.admitRepositoryMove({ id: repository.id, name: from }, to, origin);
    this.#changeNamespace(now, repository, namespace.id, to);
    // Back to a name of its own: that is no old one any more.
    this.#statements.dropAliasNamed.run(to);
    this.#rename(repository.id, namespace.id, to);
    this.#moveGrants(
      { namespaceId: repository.namespaceId, name: from },
      { namespaceId: namespace.id, name: to },
    );
    this.#rules.follow(
      { namespaceId: repository.namespaceId, name: from },
      { namespaceId: namespace.id, name: to },
    );
    // What a client sends on would be under a name that takes no push any more.
    this.#statements.dropUploads.run(repository.id);
    const { oldNameSeconds } = this.#keep;
    if (oldNameSeconds > 0)
      this.#statements.setAlias.run(from, repository.id, now.ticks + oldNameSeconds, now.at);
    this.#steps.movePolicy();
    const change = { before: { name: from }, after: { name: to } };
    // Those of either namespace find it in their part of the audit.
    for (const name of namespaceOf(from) === namespaceOf(to) ? [to] : [from, to]) {
      this.#steps.events.addChange(now, origin, {
        action: 'repository.move',
        object: `repository:${name}`,
        namespace: namespaceOf(name),
        ...change,
      });
    }
    return { outcome: 'moved' };
  }

  removeAlias(now: Now, input: Input<RepositoryStore['removeAlias']>): boolean {
    const old = this.#statements.aliasOf.get(input.id, input.name) as RepositoryName | undefined;
    if (old === undefined) return false;
    this.#statements.dropAlias.run(input.id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, input.origin, {
      action: 'alias.remove',
      object: `alias:${old}`,
      namespace: namespaceOf(input.name),
      before: { name: old, repository: input.name },
    });
    return true;
  }

  restoreRepository(now: Now, input: Input<RepositoryStore['restore']>): Answer<RepositoryStore['restore']> {
    const row = this.#statements.deleted.get(input.id, now.ticks) as DeletedRow | undefined;
    if (row === undefined) return { outcome: 'unknown' };
    const name = input.name ?? row.name;
    const taken = this.#whyTaken(name, undefined);
    if (taken !== undefined) return taken;
    const namespace =
      namespaceOf(name) === namespaceOf(row.name)
        ? { id: row.namespaceId, removed: row.namespaceRemovedAt !== null }
        : { removed: false, ...this.#shared.ensureNamespace(now, name) };
    if (namespace.id === undefined || namespace.removed) return { outcome: 'namespace-removed' };
    // Deleted ones count no more as repositories.
    this.#shared.quotas.admitRepository(now, namespace.id, name);
    this.#changeBytes(now, { id: input.id, namespaceId: row.namespaceId }, namespace.id);
    this.#statements.dropAliasNamed.run(name);
    this.#rename(input.id, namespace.id, name);
    this.#statements.revive.run(input.id);
    this.#statements.dropTakenAliases.run(input.id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, input.origin, {
      action: 'repository.restore',
      object: `repository:${name}`,
      namespace: namespaceOf(name),
      before: { name: row.name },
      after: { name, visibility: row.visibility },
    });
    // Of a dry run all is taken back.
    if (input.dryRun) throw new Refusal({ outcome: 'restored', name });
    return { outcome: 'restored', name };
  }

  purgeDeleted(now: Now, input: Input<RepositoryStore['purge']>): boolean {
    const row = this.#statements.deleted.get(input.id, now.ticks) as DeletedRow | undefined;
    if (row === undefined) return false;
    this.#statements.endGrace.run(input.id);
    this.#steps.events.addChange(now, input.origin, {
      action: 'repository.purge',
      object: `repository:${row.name}`,
      namespace: namespaceOf(row.name),
      before: { name: row.name },
    });
    return true;
  }

  /** `own`: the repository that may take one of its own old names again. */
  #whyTaken(name: RepositoryName, own: RepositoryName | undefined): NameTaken | undefined {
    if (this.#shared.findRepository(name) !== undefined) return { outcome: 'exists' };
    const by = this.#shared.findKeeper(name);
    return by === undefined || by === own ? undefined : { outcome: 'name-kept', by };
  }

  #rename(id: number, namespaceId: number, name: RepositoryName): void {
    this.#statements.rename.run(name, namespaceId, id);
    this.#statements.renameLabels.run(name, id);
  }

  #changeNamespace(
    now: Now,
    repository: { readonly id: number; readonly namespaceId: number },
    namespaceId: number,
    name: RepositoryName,
  ): void {
    if (repository.namespaceId === namespaceId) return;
    // It is in the registry already: only the namespace has one more.
    this.#shared.quotas.admitRepository(now, namespaceId, name, { inRegistry: true });
    this.#changeBytes(now, repository, namespaceId);
  }

  /** Its blobs count in the other namespace from then on. Throws QuotaExceededError where those that are new to it do not fit. */
  #changeBytes(
    now: Now,
    repository: { readonly id: number; readonly namespaceId: number },
    namespaceId: number,
  ): void {
    const { id, namespaceId: from } = repository;
    if (from === namespaceId) return;
    const added = this.#statements.bytesNewTo.get(id, namespaceId) as number;
    if (added > 0) this.#shared.quotas.admitBytes(now, namespaceId, added);
    const taken = this.#statements.bytesAloneIn.get(from, id) as number;
    this.#statements.countInto.run(namespaceId, id);
    this.#statements.dropAlone.run(from, id);
    this.#statements.countOut.run(from, id);
    this.#statements.addUsedBytes.run(added, namespaceId);
    this.#statements.addUsedBytes.run(-taken, from);
  }

  /** Grants on exactly the old name. Of two that somebody has on the new one then, the stronger stays. */
  #moveGrants(
    from: { readonly namespaceId: number; readonly name: RepositoryName },
    to: { readonly namespaceId: number; readonly name: RepositoryName },
  ): void {
    for (const grant of this.#statements.exactGrants.all(from.namespaceId, from.name) as GrantRow[]) {
      const other = this.#statements.grantOf.get(grant.subject, to.name) as GrantRow | undefined;
      if (other !== undefined) {
        const weaker = isStronger(grant, other) ? other : grant;
        this.#statements.dropGrant.run(weaker.id);
        if (weaker === grant) continue;
      }
      this.#statements.moveGrant.run(to.namespaceId, to.name, grant.id);
    }
  }
}

function isStronger(one: GrantRow, other: GrantRow): boolean {
  if (one.role !== other.role) return one.role > other.role;
  const endOf = ({ expiresAt }: GrantRow): number => expiresAt ?? Number.POSITIVE_INFINITY;
  return endOf(one) > endOf(other);
}
