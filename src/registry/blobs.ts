// Reading, mounting and unlinking blobs: the lease that keeps what a client was told exists, and what happens when a file
// turns out to be missing or short.
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { BlobStore, Location, OpenBlob } from '../storage/blob-store.ts';
import type { BlobIndex, LinkedBlob, Origin } from '../storage/metadata-store.ts';
import { withinQuota } from './quota.ts';
import type { WriteGate } from './writes.ts';

/** The most repositories asked when a mount names no source. */
const anonymousMountCandidates = 50;

export interface DamageReport {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly location: Location;
  readonly found: 'missing' | 'short';
}

export class Blobs {
  readonly #index: BlobIndex;
  readonly #store: BlobStore;
  readonly #writes: WriteGate;
  readonly #leaseSeconds: number;
  readonly #onDamage: (report: DamageReport) => void;

  constructor(options: {
    index: BlobIndex;
    store: BlobStore;
    writes: WriteGate;
    leaseSeconds: number;
    onDamage: (report: DamageReport) => void;
  }) {
    this.#index = options.index;
    this.#store = options.store;
    this.#writes = options.writes;
    this.#leaseSeconds = options.leaseSeconds;
    this.#onDamage = options.onDamage;
  }

  /**
   * A blob that is promised to stay for half a lease at least. Throws OciError BLOB_UNKNOWN, or UNAVAILABLE when the lease
   * cannot be extended: what might go is never reported as being there.
   */
  async find(repository: RepositoryName, digest: Digest): Promise<LinkedBlob> {
    const blob = await this.#index.find(repository, digest);
    if (blob === undefined) throw blobUnknown(digest);
    if (blob.lease === 'referenced' || blob.lease >= this.#leaseSeconds / 2) return blob;
    try {
      if (await this.#writes.withBallast(() => this.#index.extendLease(repository, digest))) return blob;
    } catch (cause) {
      throw new OciError(
        'UNAVAILABLE',
        'the registry cannot promise to keep this blob at the moment: try again later',
        {},
        { cause },
      );
    }
    throw blobUnknown(digest);
  }

  /** Opens a blob for reading. The caller closes it. Throws like find. */
  async open(repository: RepositoryName, digest: Digest, blob: LinkedBlob): Promise<OpenBlob> {
    return await this.#read(repository, digest, blob, async ({ location, size }) => {
      const open = await this.#store.open(location);
      if (open === undefined || open.size === size) return open;
      await open.close();
      return 'short';
    });
  }

  /** The whole content of a small blob. Throws like find. */
  async readSmall(repository: RepositoryName, digest: Digest, blob: LinkedBlob): Promise<Buffer> {
    return await this.#read(repository, digest, blob, async ({ location, size }) => {
      const bytes = await this.#store.readSmall(location, size);
      return bytes === undefined || bytes.length === size ? bytes : 'short';
    });
  }

  /** Notes that a blob's file is damaged: it is answered 404 until its content is pushed again. */
  async quarantine(
    repository: RepositoryName,
    digest: Digest,
    location: Location,
    found: DamageReport['found'],
  ): Promise<void> {
    this.#onDamage({ repository, digest, location, found });
    await this.#writes.withBallast(() => this.#index.markDamaged(location));
  }

  /**
   * Links a blob of another repository. With no `from`, of any repository that `mayPull` allows. False when there is
   * none. Throws OciError DENIED for a full quota.
   */
  async mount(options: {
    to: RepositoryName;
    from: RepositoryName | undefined;
    digest: Digest;
    origin: Origin;
    mayPull: (repository: RepositoryName) => Promise<boolean>;
    create?: boolean;
  }): Promise<boolean> {
    const { to, digest, origin, mayPull, create } = options;
    const sources =
      options.from === undefined
        ? await this.#index.listLinking(digest, anonymousMountCandidates)
        : [options.from];
    for (const from of sources) {
      if (!(await mayPull(from))) continue;
      if (await withinQuota(() => this.#index.mount({ from, to, digest, origin, create }))) return true;
    }
    return false;
  }

  /** Ends a repository's link to a blob. Throws OciError BLOB_UNKNOWN, or UNSUPPORTED while a manifest references it. */
  async unlink(repository: RepositoryName, digest: Digest, origin: Origin): Promise<void> {
    const removed = await this.#writes.withBallast(() => this.#index.unlink(repository, digest, origin));
    if (removed.outcome === 'unknown') throw blobUnknown(digest);
    if (removed.outcome === 'referenced') {
      throw new OciError(
        'UNSUPPORTED',
        `the blob is part of manifest ${removed.manifest}: delete that first`,
        {
          digest,
          manifest: removed.manifest,
        },
      );
    }
  }

  // A file that is not there: the row is read once more. Gone: 404. Moved: open again. Unchanged: the blob is damaged.
  async #read<Result>(
    repository: RepositoryName,
    digest: Digest,
    blob: LinkedBlob,
    read: (blob: LinkedBlob) => Promise<Result | 'short' | undefined>,
  ): Promise<Result> {
    const first = await read(blob);
    if (first !== undefined && first !== 'short') return first;
    const again = await this.#index.find(repository, digest);
    if (again === undefined) throw blobUnknown(digest);
    const second = again.location === blob.location ? first : await read(again);
    if (second !== undefined && second !== 'short') return second;
    await this.quarantine(repository, digest, again.location, second === 'short' ? 'short' : 'missing');
    throw blobUnknown(digest);
  }
}

function blobUnknown(digest: Digest): OciError {
  return new OciError('BLOB_UNKNOWN', 'the blob is not in this repository', { digest });
}
