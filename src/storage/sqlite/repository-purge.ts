// The end of deleted repositories: when the time is over in which one could be restored, its manifests, links and rows go, a
// bounded number in each transaction.
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  due: `SELECT id, namespace_id FROM repository WHERE state = 'deleted' AND until_ticks <= ?
    ORDER BY until_ticks LIMIT 1`,
  manifests: `SELECT m.id, (SELECT count(*) FROM manifest_blob e WHERE e.manifest_id = m.id)
      + (SELECT count(*) FROM manifest_child c WHERE c.parent_id = m.id)
    FROM manifest m WHERE m.repository_id = ? LIMIT ?`,
  dropTags: 'DELETE FROM tag WHERE manifest_id = ?',
  dropChildren: 'DELETE FROM manifest_child WHERE parent_id = ?',
  dropParents: 'DELETE FROM manifest_child WHERE child_id = ?',
  blobs: 'SELECT blob_id FROM manifest_blob WHERE manifest_id = ?',
  dropEdges: 'DELETE FROM manifest_blob WHERE manifest_id = ?',
  endLease: `UPDATE repository_blob SET lease_ticks = ? WHERE repository_id = ? AND blob_id = ?
    AND NOT EXISTS (SELECT 1 FROM manifest_blob e
      WHERE e.repository_id = repository_blob.repository_id AND e.blob_id = repository_blob.blob_id)`,
  dropManifest: 'DELETE FROM manifest WHERE id = ?',
  countRemoved: 'UPDATE repository SET manifests = manifests - 1 WHERE id = ?',
  trash: 'SELECT id FROM trash WHERE repository_id = ? LIMIT ?',
  dropTrash: 'DELETE FROM trash WHERE id = ?',
  links: `SELECT l.blob_id, b.size FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = ? LIMIT ?`,
  uploads: 'SELECT id FROM upload WHERE repository_id = ? LIMIT ?',
  dropUpload: 'DELETE FROM upload WHERE id = ?',
  history: 'SELECT id FROM tag_history WHERE repository_id = ? LIMIT ?',
  dropHistory: 'DELETE FROM tag_history WHERE id = ?',
  signatures: 'SELECT rowid FROM signature WHERE repository_id = ? LIMIT ?',
  dropSignature: 'DELETE FROM signature WHERE rowid = ?',
  dropMissing: 'DELETE FROM missing_reference WHERE repository_id = ?',
  dropRepository: 'DELETE FROM repository WHERE id = ?',
} as const;

interface DueRepository {
  readonly id: number;
  readonly namespaceId: number;
}

/** The intention over one connection. */
export class RepositoryPurge {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    for (const key of ['due', 'manifests', 'links'] as const) this.#statements[key].raw();
    for (const key of ['blobs', 'trash', 'uploads', 'history', 'signatures'] as const)
      this.#statements[key].pluck();
  }

  /** Takes about `limit` rows of the repository that is due longest; `more` while there is one. */
  purgeRepositories(
    now: Now,
    input: { everything: boolean; limit: number },
  ): { readonly manifests: number; readonly more: boolean } {
    const before = input.everything ? Number.MAX_SAFE_INTEGER : now.ticks;
    const row = this.#statements.due.get(before) as [number, number] | undefined;
    if (row === undefined) return { manifests: 0, more: false };
    const repository = { id: row[0], namespaceId: row[1] };
    const manifests = this.#dropManifests(now, repository, input.limit);
    if (manifests === 0 && !this.#dropRest(repository, input.limit))
      this.#statements.dropRepository.run(repository.id);
    return { manifests, more: true };
  }

  #dropManifests(now: Now, repository: DueRepository, limit: number): number {
    const due = this.#statements.manifests.all(repository.id, limit) as [number, number][];
    let rows = 0;
    let manifests = 0;
    for (const [id, edges] of due) {
      rows += 1 + edges;
      if (manifests > 0 && rows > limit) break;
      this.#dropManifest(now, repository.id, id);
      manifests += 1;
    }
    return manifests;
  }

  #dropManifest(now: Now, repositoryId: number, id: number): void {
    const { dropTags, dropChildren, dropParents, blobs, dropEdges, endLease } = this.#statements;
    for (const statement of [dropTags, dropChildren, dropParents]) statement.run(id);
    const blobIds = blobs.all(id) as number[];
    dropEdges.run(id);
    // Nobody was told that the blob is here since the repository was deleted.
    for (const blobId of blobIds) endLease.run(now.ticks, repositoryId, blobId);
    this.#statements.dropManifest.run(id);
    this.#statements.countRemoved.run(repositoryId);
  }

  /** True while something was left to drop. */
  #dropRest(repository: DueRepository, limit: number): boolean {
    const { trash, dropTrash, uploads, dropUpload, history, dropHistory, signatures, dropSignature } =
      this.#statements;
    for (const [list, drop] of [
      [trash, dropTrash],
      [uploads, dropUpload],
      [history, dropHistory],
      [signatures, dropSignature],
    ] as const) {
      const ids = list.all(repository.id, limit);
      for (const id of ids) drop.run(id);
      if (ids.length > 0) return true;
    }
    const links = this.#statements.links.all(repository.id, limit) as [number, number][];
    for (const [id, size] of links) this.#shared.dropLink(repository, { id, size });
    if (links.length > 0) return true;
    this.#statements.dropMissing.run(repository.id);
    return false;
  }
}
