// The contract of the blob store: where the bytes of blobs live. It knows nothing of repositories or of who may see what;
// the metadata store maps a digest to a location here.
import type { Readable, Writable } from 'node:stream';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';

/** Where a blob's bytes are. Opaque to callers, and never used twice: a late `remove` cannot hit newer content. */
export type Location = string & { readonly __brand: 'Location' };

/** An upload in progress: a plain value that a row keeps, with a `state` that belongs to the driver. */
export interface Upload {
  readonly id: string;
  readonly state: string;
}

/** What a location holds. `digest` is what it was committed as, `modifiedAt` is in Unix seconds. */
export interface StoredBlob {
  readonly location: Location;
  readonly digest: Digest;
  readonly size: number;
  readonly modifiedAt: number;
}

/** Room on the medium; inode figures are undefined where the medium has no such limit. */
export interface Space {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeInodes: number | undefined;
  readonly totalInodes: number | undefined;
}

/** A blob held open: it stays readable to its end even when it is removed meanwhile. Whoever opens it closes it. */
export interface OpenBlob {
  readonly size: number;
  /**
   * Writes the bytes of `range` (default: all) to `sink`, waiting for it to drain and never holding more than a few MiB.
   * Resolves when the sink has taken the last byte; does not end the sink. Rejects with SinkClosedError when the sink
   * closes or fails early, with ShortBlobError when the file ends before `size`, and with RangeError for a range outside.
   */
  writeTo(sink: Writable, range?: ByteRange): Promise<void>;
  /** The bytes of `range` (default: all) as a stream, for reading inside the server. Closing the blob ends it. */
  stream(range?: ByteRange): Readable;
  close(): Promise<void>;
}

/** What happened to an append. `size` is the upload's size afterwards. */
export interface Appended {
  readonly size: number;
}

export interface BlobStore {
  /** Opens a blob for reading; undefined when nothing is there. */
  open(location: Location): Promise<OpenBlob | undefined>;
  /** The whole content of a blob of at most `limit` bytes; undefined when nothing is there or it is larger. */
  readSmall(location: Location, limit: number): Promise<Buffer | undefined>;
  stat(location: Location): Promise<{ readonly size: number } | undefined>;
  /** Removes the bytes; nothing there is fine. */
  remove(location: Location): Promise<void>;
  /** Every location that holds bytes, in no order, for the sweep and the scrub. */
  list(): AsyncIterable<StoredBlob>;

  /** Makes an empty upload. `algorithm` is what it is hashed with as it arrives; another one costs a second pass in commit. */
  beginUpload(id: string, algorithm: DigestAlgorithm): Promise<Upload>;
  /**
   * The size that counts: what an append that was acknowledged left behind, also after the process was killed. While an
   * append is in progress, all that has arrived by now. undefined when there is no such upload.
   */
  uploadSize(upload: Upload): Promise<number | undefined>;
  /**
   * Appends `body` at `offset` (default: at the end) and resolves with the new size once the bytes are in the file.
   * Throws UploadOffsetError when `offset` is not the size, UploadUnknownError when there is no such upload,
   * BodyTooLargeError past `sizeLimit` (the upload is then cut back to what it was), and whatever `body` fails with:
   * the bytes that arrived before that stay, so that a client can resume. Of two appends at once the newer ends the older
   * (which throws UploadSupersededError), whose bytes stay too; a commit or an abort ends an append in the same way.
   * An append that fails leaves the rest of `body` unread and paused: whether to read it off is the caller's decision.
   */
  append(upload: Upload, body: Readable, options: AppendOptions): Promise<Appended>;
  /**
   * Verifies the upload against `expected`, makes it durable under a location never used before, and ends the upload.
   * After it resolves the blob survives a power cut. Throws DigestMismatchError (the upload stays until aborted),
   * UploadUnknownError when there is no such upload, and DiskFullError, after which the upload may be gone: content that
   * could not be made durable is not tried again.
   */
  commit(upload: Upload, expected: Digest): Promise<{ readonly location: Location; readonly size: number }>;
  /**
   * Takes a file of this machine over as a blob without copying it: the same bytes under a second name. Verifies it against
   * `expected` and makes it durable like commit; the file itself is neither written nor moved. undefined where the medium
   * cannot do that (another file system, rights, a symbolic link): copy it then. Throws DigestMismatchError, and fails with
   * ENOENT where there is no file. A driver without files lacks this method.
   */
  adopt?(
    path: string,
    expected: Digest,
  ): Promise<{ readonly location: Location; readonly size: number } | undefined>;
  /**
   * Gives a blob the second name `path`, which must not exist yet, without copying it. Not durable until its folder is synced.
   * 'unsupported' where the medium cannot do that. A driver without files lacks this method.
   */
  linkTo?(location: Location, path: string): Promise<'linked' | 'missing' | 'unsupported'>;
  /** Forgets an upload and its bytes; nothing there is fine. */
  abort(upload: Upload): Promise<void>;
  /** Every upload that has bytes here, also those without a row, for the sweep. */
  listUploads(): AsyncIterable<{ readonly upload: Upload; readonly modifiedAt: number }>;

  space(): Promise<Space>;
  /** Ends appends in progress (their bytes stay) and releases everything. */
  close(): Promise<void>;
}

export interface AppendOptions {
  readonly offset?: number;
  /** The largest size the upload may reach, in bytes. */
  readonly sizeLimit: number;
  /** Nobody else refers to what the body yields: the memory of each piece is given back as soon as it is written. */
  readonly ownBuffers?: boolean;
  /** Called with the number of bytes that arrived, as they arrive. */
  readonly onProgress?: (bytes: number) => void;
}

/** An append named an offset that is not the upload's size. */
export class UploadOffsetError extends Error {
  override readonly name = 'UploadOffsetError';
  readonly size: number;
  constructor(size: number) {
    super(`the upload has ${size} bytes`);
    this.size = size;
  }
}

/** There is no such upload: finished, aborted, expired, or never begun. */
export class UploadUnknownError extends Error {
  override readonly name = 'UploadUnknownError';
}

/** A newer append took the upload over, or it was aborted or the store closed while this one ran. */
export class UploadSupersededError extends Error {
  override readonly name = 'UploadSupersededError';
}

/** The content is larger than allowed. */
export class BodyTooLargeError extends Error {
  override readonly name = 'BodyTooLargeError';
}

/** The content is not what the client said it is. */
export class DigestMismatchError extends Error {
  override readonly name = 'DigestMismatchError';
  readonly actual: Digest;
  constructor(actual: Digest) {
    super(`the content has the digest ${actual}`);
    this.actual = actual;
  }
}

/** A file is shorter than the store recorded: the blob is damaged. */
export class ShortBlobError extends Error {
  override readonly name = 'ShortBlobError';
}

/** Whoever was reading a blob went away before its last byte. */
export class SinkClosedError extends Error {
  override readonly name = 'SinkClosedError';
}
