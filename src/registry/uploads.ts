// Upload sessions: a row that says whose it is, and a staging file whose size is the only truth about the offset.
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import {
  type BlobStore,
  BodyTooLargeError,
  DigestMismatchError,
  type Location,
  type Upload,
  UploadOffsetError,
  UploadSupersededError,
  UploadUnknownError,
} from '../storage/blob-store.ts';
import { QuotaExceededError, type QuotaStore } from '../storage/care-store.ts';
import { DiskFullError } from '../storage/faults.ts';
import type { Origin, UploadIndex, UploadLimits } from '../storage/metadata-store.ts';
import { noRepository } from './no-repository.ts';
import type { Placements } from './placements.ts';
import { quotaDenied, withinQuota } from './quota.ts';
import type { WriteGate } from './writes.ts';

/** A session in use is noted in its row at most so often. */
const touchEverySeconds = 600;

/** Whose upload: anybody else finds it missing. */
export interface UploadOwner {
  readonly repository: RepositoryName;
  readonly principal: string;
  /** false: the repository has to be there. */
  readonly create?: boolean;
}

/** A piece of a blob as a request brings it. */
export interface Chunk {
  readonly body: Readable;
  /** See AppendOptions. */
  readonly ownBuffers?: boolean;
  /** What the request says the piece is; undefined for a stream that goes at the end. */
  readonly range: ByteRange | undefined;
  /** Content-Length where the request has one. */
  readonly length: number | undefined;
  /** What the whole blob will be, where the request says so already. */
  readonly digest?: Digest | undefined;
}

/** An open session and how many bytes it has. */
export interface UploadStatus {
  readonly upload: Upload;
  readonly size: number;
}

export class Uploads {
  readonly #index: UploadIndex;
  readonly #store: BlobStore;
  readonly #writes: WriteGate;
  readonly #limits: UploadLimits;
  readonly #sizeLimit: number;
  readonly #quotas: QuotaStore;
  readonly #placements: Placements;
  readonly #touched = new Map<string, number>();

  constructor(options: {
    index: UploadIndex;
    store: BlobStore;
    writes: WriteGate;
    limits: UploadLimits;
    blobSizeLimit: number;
    quotas: QuotaStore;
    placements: Placements;
  }) {
    this.#index = options.index;
    this.#store = options.store;
    this.#writes = options.writes;
    this.#limits = options.limits;
    this.#sizeLimit = options.blobSizeLimit;
    this.#quotas = options.quotas;
    this.#placements = options.placements;
  }

  /**
   * Opens a session. Throws OciError TOOMANYREQUESTS where every session that counts is in use, NAME_UNKNOWN, DENIED for a
   * full quota. With `knownId`, the one of a caller who wants to find it again after a crash; what is left of a session under it
   * is dropped, be it bytes without a row or a row whose bytes have become a blob.
   */
  async begin(owner: UploadOwner, algorithm: DigestAlgorithm, knownId?: string): Promise<Upload> {
    await this.#writes.admitContent();
    const id = knownId ?? randomUUID();
    return await this.#placements.during(id, async () => {
      if (knownId !== undefined) {
        await this.#index.close(id);
        await this.#store.abort({ id, state: algorithm });
      }
      const upload = await this.#store.beginUpload(id, algorithm);
      try {
        const begun = await withinQuota(() => this.#index.begin({ ...owner, upload, limits: this.#limits }));
        if (begun.outcome === 'too-many') throw tooManyUploads(begun.limit);
        if (begun.outcome !== 'begun') throw noRepository(owner.repository, begun);
        this.#noteTouch(upload.id, performance.now());
        for (const ended of begun.ended) await this.#forget(ended);
        return upload;
      } catch (error) {
        await this.#forget(upload);
        throw error;
      }
    });
  }

  /** An open session of `owner`. Throws OciError BLOB_UPLOAD_UNKNOWN. */
  async find(owner: UploadOwner, id: string): Promise<UploadStatus> {
    const upload = await this.#index.find(owner.repository, owner.principal, id);
    const size = upload === undefined ? undefined : await this.#store.uploadSize(upload);
    if (upload === undefined || size === undefined) throw uploadUnknown(id);
    return { upload, size };
  }

  /**
   * Appends a piece and resolves with the session as it is then. Throws OciError BLOB_UPLOAD_INVALID (416, with the offset
   * in `detail.size`) when the piece does not begin where the session ends, SIZE_INVALID when it is not as long as it says,
   * DENIED when it says to be longer than a quota has room for. A disk that is full ends the session: what it has would take the
   * room that others need, and hardly any client comes back to it.
   */
  async append(owner: UploadOwner, id: string, chunk: Chunk): Promise<UploadStatus> {
    await this.#writes.admitContent();
    const { upload, size } = await this.find(owner, id);
    const { range, length } = chunk;
    if (range !== undefined && length !== undefined && range.end - range.start + 1 !== length)
      throw lengthDiffers(range, length);
    if (range !== undefined && range.start !== size) throw offsetDiffers(size);
    await this.#checkQuota(owner.repository, size, chunk);
    await this.#touch(id);
    const end = await this.#append(upload, chunk).catch(async (error) => {
      if (error instanceof DiskFullError) await this.#end(upload);
      throw error;
    });
    if (range !== undefined && end !== range.end + 1) throw lengthDiffers(range, end - range.start);
    return { upload, size: end };
  }

  /**
   * Verifies a session's content, links it as a blob and closes the session. Throws OciError DIGEST_INVALID or DENIED (for a full
   * quota), which end it.
   */
  async finish(owner: UploadOwner, id: string, digest: Digest, origin: Origin): Promise<void> {
    await this.#writes.admitContent();
    const { upload } = await this.find(owner, id);
    await this.#placements.during(digest, async () => {
      const committed = await this.#commit(upload, digest, () => this.#end(upload));
      this.#touched.delete(id);
      const { repository } = owner;
      const end = () => this.#index.close(id);
      const finished = await this.#place(committed.location, end, () =>
        this.#index.finish({ repository, upload, digest, ...committed, origin }),
      );
      if (!finished) throw uploadUnknown(id);
    });
  }

  /** Takes a whole blob in one request, without a session. Throws like begin, append and finish. */
  async put(
    repository: RepositoryName,
    digest: Digest,
    algorithm: DigestAlgorithm,
    chunk: Chunk,
    origin: Origin,
    create?: boolean,
  ): Promise<void> {
    await this.#writes.admitContent();
    await this.#checkQuota(repository, 0, { ...chunk, digest });
    const id = randomUUID();
    const take = async () => {
      const upload = await this.#store.beginUpload(id, algorithm);
      const abort = () => this.#store.abort(upload);
      try {
        await this.#append(upload, chunk);
      } catch (error) {
        await abort();
        throw error;
      }
      const committed = await this.#commit(upload, digest, abort);
      const linked = await this.#place(committed.location, undefined, () =>
        this.#index.link({ repository, digest, ...committed, origin, create }),
      );
      if (linked.outcome !== 'linked') throw noRepository(repository, linked);
    };
    await this.#placements.during(id, () => this.#placements.during(digest, take));
  }

  /**
   * Links a file of this machine as a blob without copying it; undefined where that is not possible and it has to be copied.
   * Throws OciError DIGEST_INVALID, SIZE_INVALID past storage.blobSizeLimit, DENIED for a full quota or NAME_UNKNOWN in a removed
   * namespace; fails with ENOENT where there is no file.
   */
  async adopt(
    repository: RepositoryName,
    digest: Digest,
    path: string,
    origin: Origin,
  ): Promise<{ readonly size: number } | undefined> {
    await this.#writes.admitContent();
    const length = (await stat(path)).size;
    if (length > this.#sizeLimit) throw blobTooLarge(this.#sizeLimit);
    await this.#checkQuota(repository, 0, { length, digest });
    return await this.#placements.during(digest, async () => {
      const adopted = await this.#store.adopt?.(path, digest).catch((error: unknown) => {
        throw error instanceof DigestMismatchError ? otherContent(digest, error) : error;
      });
      if (adopted === undefined) return undefined;
      const link = { repository, digest, ...adopted, origin };
      const linked = await this.#place(adopted.location, undefined, () => this.#index.link(link));
      if (linked.outcome !== 'linked') throw noRepository(repository, linked);
      return { size: adopted.size };
    });
  }

  /** Ends a session without a blob. Throws OciError BLOB_UPLOAD_UNKNOWN. */
  async cancel(owner: UploadOwner, id: string): Promise<void> {
    const { upload } = await this.find(owner, id);
    if (!(await this.#writes.withBallast(() => this.#index.close(id)))) throw uploadUnknown(id);
    await this.#forget(upload);
  }

  /** Throws OciError DENIED when what is announced cannot fit. What announces nothing is judged at its end. */
  async #checkQuota(
    repository: RepositoryName,
    size: number,
    chunk: Pick<Chunk, 'length' | 'digest'>,
  ): Promise<void> {
    const { length, digest } = chunk;
    if (length === undefined || length === 0) return;
    const excess = await this.#quotas.findExcess({ repository, bytes: size + length, digest });
    if (excess !== undefined) throw quotaDenied(excess);
  }

  /** Gives the file at `location` its row. When there is no room for that, no row will ever name it: it goes at once. */
  async #place<Result>(
    location: Location,
    end: (() => Promise<unknown>) | undefined,
    change: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await change();
    } catch (error) {
      const denied = error instanceof QuotaExceededError;
      if (denied || error instanceof DiskFullError) await this.#store.remove(location);
      if (!denied) throw error;
      await end?.();
      throw quotaDenied(error.excess, error);
    }
  }

  async #append(upload: Upload, chunk: Chunk): Promise<number> {
    const { range, body, ownBuffers = false } = chunk;
    // A piece that turns out longer than it says is cut off again by the store.
    const sizeLimit = Math.min(
      this.#sizeLimit,
      range === undefined ? Number.POSITIVE_INFINITY : range.end + 1,
    );
    try {
      const appended = await this.#store.append(upload, body, {
        sizeLimit,
        ownBuffers,
        ...(range === undefined ? {} : { offset: range.start }),
      });
      return appended.size;
    } catch (error) {
      if (error instanceof UploadOffsetError) throw offsetDiffers(error.size);
      if (error instanceof UploadUnknownError) throw uploadUnknown(upload.id);
      if (error instanceof BodyTooLargeError && range !== undefined && sizeLimit === range.end + 1)
        throw lengthDiffers(range, undefined);
      if (error instanceof BodyTooLargeError) throw blobTooLarge(this.#sizeLimit);
      if (error instanceof UploadSupersededError) throw superseded(error);
      throw error;
    }
  }

  async #commit(upload: Upload, digest: Digest, end: () => Promise<void>) {
    try {
      return await this.#store.commit(upload, digest);
    } catch (error) {
      if (error instanceof UploadUnknownError) throw uploadUnknown(upload.id);
      if (error instanceof UploadSupersededError) throw superseded(error);
      if (!(error instanceof DigestMismatchError)) throw error;
      await end();
      throw otherContent(digest, error);
    }
  }

  async #touch(id: string): Promise<void> {
    const now = performance.now();
    const last = this.#touched.get(id);
    if (last !== undefined && now - last < touchEverySeconds * 1000) return;
    await this.#index.touch(id);
    this.#noteTouch(id, now);
  }

  // Sessions that are never ended leave their entry behind: the oldest make room, and are only touched once more if still alive.
  #noteTouch(id: string, now: number): void {
    this.#touched.delete(id);
    this.#touched.set(id, now);
    if (this.#touched.size <= 2 * this.#limits.total) return;
    const [oldest] = this.#touched.keys();
    if (oldest !== undefined) this.#touched.delete(oldest);
  }

  async #end(upload: Upload): Promise<void> {
    await this.#forget(upload);
    await this.#writes.withBallast(() => this.#index.close(upload.id));
  }

  async #forget(upload: Upload): Promise<void> {
    this.#touched.delete(upload.id);
    await this.#store.abort(upload);
  }
}

function otherContent(expected: Digest, cause: DigestMismatchError): OciError {
  return new OciError(
    'DIGEST_INVALID',
    'the content is not what its digest says: it was changed on the way or the digest is wrong',
    { expected, actual: cause.actual },
  );
}

function uploadUnknown(id: string): OciError {
  return new OciError(
    'BLOB_UPLOAD_UNKNOWN',
    'there is no such upload: it was finished, cancelled or has expired. Begin a new one',
    {
      upload: id.slice(0, 100),
    },
  );
}

function offsetDiffers(size: number): OciError {
  return new OciError('BLOB_UPLOAD_INVALID', `the upload has ${size} bytes: continue there`, { size });
}

function lengthDiffers(range: ByteRange, length: number | undefined): OciError {
  return new OciError('SIZE_INVALID', 'the body is not as long as its Content-Range says', {
    contentRange: `${range.start}-${range.end}`,
    ...(length === undefined ? {} : { length }),
  });
}

function blobTooLarge(limit: number): OciError {
  return new OciError(
    'SIZE_INVALID',
    `the blob is larger than the ${limit} bytes allowed (storage.blobSizeLimit)`,
    { limit },
    { status: 413 },
  );
}

function superseded(cause: Error): OciError {
  return new OciError(
    'BLOB_UPLOAD_INVALID',
    'another request took this upload over',
    {},
    { status: 409, cause },
  );
}

function tooManyUploads(limit: keyof UploadLimits): OciError {
  return new OciError(
    'TOOMANYREQUESTS',
    `too many uploads are open (storage.upload.${limit}) and none has been idle for long: finish or cancel some`,
    { limit },
    { headers: { 'retry-after': '60' } },
  );
}
