// What a manifest needs that comes to a repository from rows that are here already, as a copy of another repository's or back from
// the trash: a link to each of its blobs, and edges to what it was pushed without. Steps inside the transaction of an intention.
import type { Digest } from '../../oci/digest.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import { Refusal } from './refusal.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';

export const sql = {
  manifestByDigest: 'SELECT id FROM manifest WHERE repository_id = ? AND digest = ?',
} as const;

/** Id, digest, size and whether it is in quarantine. */
export type BlobRow = [id: number, digest: Digest, size: number, damaged: number];

export class ManifestArrivals {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    this.#statements.manifestByDigest.pluck();
  }

  findManifest(repositoryId: number, digest: Digest): number | undefined {
    return this.#statements.manifestByDigest.get(repositoryId, digest) as number | undefined;
  }

  /**
   * Links the blobs of a manifest; answers the bytes that are new to the repository. Throws Refusal where one is in quarantine,
   * QuotaExceededError where they do not fit.
   */
  linkBlobs(now: Now, repository: RepositoryRow, blobs: readonly BlobRow[]): number {
    const damaged = blobs.filter(([, , , isDamaged]) => isDamaged === 1).map(([, digest]) => digest);
    if (damaged.length > 0) throw new Refusal({ outcome: 'damaged', digests: damaged });
    let added = 0;
    for (const [id, digest, size] of blobs) {
      if (this.#shared.linkBlob(now, repository, { id, digest, size })) added += size;
    }
    return added;
  }

  /** What it was pushed without may be in the repository by now; the rest goes on being waited for. */
  settleMissing(repositoryId: number, manifestId: number, missing: readonly MissingRow[]): void {
    for (const [digest, expected] of missing) {
      const child = expected === 'child' ? this.findManifest(repositoryId, digest) : undefined;
      const blob = this.#shared.findLinked(repositoryId, digest);
      if (child !== undefined) this.#shared.addChildEdge(manifestId, child);
      else if (blob !== undefined) this.#shared.addBlobEdge(repositoryId, manifestId, blob.blobId);
      else this.#shared.noteMissing(repositoryId, digest, manifestId, expected);
    }
  }
}

export type MissingRow = [digest: Digest, expected: 'blob' | 'child'];
