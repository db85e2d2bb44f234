// The intentions of the scrub: what it found sound, and what it can mend from what is there.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Location } from '../blob-store.ts';
import type { IntegrityResult } from '../care-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';

export const sql = {
  noteSound: 'UPDATE blob SET verified_at = ?, damaged_at = NULL WHERE location = ?',
  adoptCopy: 'UPDATE blob SET location = ?, size = ?, damaged_at = NULL, verified_at = ? WHERE id = ?',
  locationQueued: 'SELECT 1 FROM unlink_queue WHERE location = ?',
  manifestId: 'SELECT id FROM manifest WHERE repository_id = ? AND digest = ?',
  linksAfter: `SELECT l.repository_id, l.blob_id, l.lease_ticks,
      EXISTS (SELECT 1 FROM manifest_blob e WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id)
    FROM repository_blob l WHERE (l.repository_id, l.blob_id) > (?, ?)
    ORDER BY l.repository_id, l.blob_id LIMIT ?`,
  setLease: 'UPDATE repository_blob SET lease_ticks = ? WHERE repository_id = ? AND blob_id = ?',
  setInstance: `INSERT INTO instance (key, value) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET value = excluded.value`,
} as const;

/** Where `instance` keeps the result of the last check of the database. */
export const integrityKey = 'integrity';

/** The intentions of the scrub over one connection. */
export class ScrubWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    this.#statements.manifestId.pluck();
    this.#statements.linksAfter.raw();
  }

  noteSound(now: Now, locations: readonly Location[]): void {
    for (const location of locations) this.#statements.noteSound.run(now.at, location);
  }

  adoptCopy(now: Now, input: { digest: Digest; to: Location; size: number }): boolean {
    const blob = this.#shared.findBlob(input.digest);
    if (blob === undefined || !blob.damaged || blob.location === input.to) return false;
    if (this.#statements.locationQueued.get(input.to) !== undefined) return false;
    this.#statements.adoptCopy.run(input.to, input.size, now.at, blob.id);
    this.#shared.queueUnlink(now, blob.location);
    return true;
  }

  repairEdges(
    now: Now,
    input: {
      repository: RepositoryName;
      digest: Digest;
      blobs: readonly Digest[];
      children: readonly Digest[];
    },
  ): void {
    const repository = this.#shared.findRepository(input.repository);
    const id = repository && (this.#statements.manifestId.get(repository.id, input.digest) as number);
    if (repository === undefined || id === undefined) return;
    for (const digest of input.children) {
      const child = this.#statements.manifestId.get(repository.id, digest) as number | undefined;
      if (child === undefined) this.#repairBlob(now, repository, id, digest, 'child');
      else this.#shared.addChildEdge(id, child);
    }
    for (const digest of input.blobs) this.#repairBlob(now, repository, id, digest, 'blob');
  }

  checkLinks(
    now: Now,
    input: { after: readonly [number, number]; limit: number; repair: boolean },
  ): { readonly faults: number; readonly next: readonly [number, number] | undefined } {
    const rows = this.#statements.linksAfter.all(...input.after, input.limit) as [
      number,
      number,
      number | null,
      number,
    ][];
    let faults = 0;
    for (const [repositoryId, blobId, lease, referenced] of rows) {
      if ((lease === null) === (referenced === 1)) continue;
      faults += 1;
      if (!input.repair) continue;
      this.#statements.setLease.run(null, repositoryId, blobId);
      // A link that nothing references waits its turn like one that has just lost its last manifest.
      if (referenced === 0) this.#statements.setLease.run(this.#shared.fullLease(now), repositoryId, blobId);
    }
    const last = rows.length < input.limit ? undefined : rows.at(-1);
    return { faults, next: last && [last[0], last[1]] };
  }

  recordIntegrity(_now: Now, result: IntegrityResult): void {
    this.#statements.setInstance.run(integrityKey, JSON.stringify(result));
  }

  /** Content that a manifest of the repository names belongs to the repository: a link that was lost is made again. */
  #repairBlob(
    now: Now,
    repository: RepositoryRow,
    manifestId: number,
    digest: Digest,
    expected: 'blob' | 'child',
  ): void {
    const blob = this.#shared.findBlob(digest);
    const linked = this.#shared.findLinked(repository.id, digest) !== undefined;
    if (blob === undefined || (!linked && expected === 'child')) {
      this.#shared.noteMissing(repository.id, digest, manifestId, expected);
      return;
    }
    this.#shared.linkBlob(now, repository, { id: blob.id, size: blob.size, digest });
    this.#shared.addBlobEdge(repository.id, manifestId, blob.id);
  }
}
