// One upload while this process works on it: its staging file, its size, and the hash of what has arrived. Everything that
// changes it runs one after the other; an append in progress is ended by whatever comes next.
import { createHash, type Hash } from 'node:crypto';
import { fstatSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { algorithmOf, type Digest, type DigestAlgorithm, finishDigest } from '../../oci/digest.ts';
import {
  type Appended,
  type AppendOptions,
  BodyTooLargeError,
  DigestMismatchError,
  type Location,
  UploadOffsetError,
  UploadSupersededError,
  UploadUnknownError,
} from '../blob-store.ts';
import { DiskFullError, MediumFailedError } from '../faults.ts';
import type { BlobFolders } from './blob-folders.ts';
import { BodyWriter } from './body-writer.ts';
import type { BufferPool } from './buffer-pool.ts';
import { closeQuietly, isMissing, open, openIfThere, truncate, unlinkIfThere, writeAll } from './files.ts';
import { hashFile } from './hash-file.ts';
import type { Medium } from './medium.ts';

/** What the sessions of a store share. */
export interface SessionSurroundings {
  readonly medium: Medium;
  readonly folders: BlobFolders;
  readonly pool: BufferPool;
  /** How many bytes an append gathers before it writes them. */
  gatherBytes(): number;
}

/** A long upload is written back while it arrives, in steps of this many bytes, so that commit has little left to wait for. */
const writeBackBytes = 32 * 1024 * 1024;

export class UploadSession {
  readonly id: string;
  readonly #path: string;
  readonly #algorithm: DigestAlgorithm;
  readonly #around: SessionSurroundings;
  #fd: number | undefined;
  #size = 0;
  #hash: { readonly state: Hash; bytes: number } | undefined;
  #writer: BodyWriter | undefined;
  /** Counts those who took the upload over; an append that holds an older number has lost it. */
  #turn = 0;
  #last: Promise<unknown> = Promise.resolve();
  #writeBack: Promise<void> | undefined;
  #writtenBack = 0;
  #lost: Error | undefined;

  constructor(id: string, path: string, algorithm: DigestAlgorithm, around: SessionSurroundings) {
    this.id = id;
    this.#path = path;
    this.#algorithm = algorithm;
    this.#around = around;
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /** Makes the empty staging file. Fails with EEXIST when the id was used before. */
  begin(): Promise<void> {
    return this.#exclusive(async () => {
      this.#fd = await this.#around.medium.write(open(this.#path, 'wx+', 0o600));
      this.#size = 0;
      this.#hash = undefined;
      this.#lost = undefined;
    });
  }

  append(body: Readable, options: AppendOptions): Promise<Appended> {
    // The body may fail while this append waits for the one before: `finished` tells of it later.
    body.on('error', () => {});
    const turn = this.#takeOver('a newer append took the upload over');
    return this.#exclusive(async () => {
      const fd = await this.#open();
      if (turn !== this.#turn)
        throw new UploadSupersededError('the upload was taken over before this append began');
      if (options.offset !== undefined && options.offset !== this.#size)
        throw new UploadOffsetError(this.#size);
      const before = this.#size;
      this.#writer = new BodyWriter(body, this.#target(fd, options));
      try {
        await this.#writer.done;
      } catch (error) {
        await this.#tidy(fd, error, before);
        throw error;
      } finally {
        this.#writer = undefined;
      }
      return { size: this.#size };
    });
  }

  /** Verifies and places the content; see BlobStore.commit. */
  commit(expected: Digest): Promise<{ readonly location: Location; readonly size: number }> {
    this.#takeOver('the upload was committed');
    return this.#exclusive(async () => {
      const fd = await this.#open();
      const actual = await this.#digest(fd, algorithmOf(expected));
      if (actual !== expected) throw new DigestMismatchError(actual);
      await this.#writeBack;
      if (this.#lost !== undefined) throw this.#lost;
      try {
        const location = await this.#around.folders.place(this.#path, this.#sync(fd), expected);
        const size = this.#size;
        this.#forgetAll();
        return { location, size };
      } catch (error) {
        throw isMissing(error) ? this.#unknown(error) : error;
      }
    });
  }

  /** Removes the staging file; nothing there is fine. */
  abort(): Promise<void> {
    this.#takeOver('the upload was aborted');
    return this.#exclusive(async () => {
      await this.#writeBack;
      this.#forgetAll();
      await this.#around.medium.write(unlinkIfThere(this.#path));
    });
  }

  /** Resolves when everything that has arrived by now is in the file. */
  async flush(): Promise<void> {
    await this.#writer?.flush();
  }

  /** Ends an append in progress, waits for what was asked for, and closes the file. */
  shut(): Promise<void> {
    this.#takeOver('the store is closing');
    return this.#exclusive(async () => {
      await this.#writeBack;
      this.#forgetAll();
    });
  }

  /** Gives the descriptor up; the hash is kept. Only while nothing runs. */
  closeFile(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    if (this.#writeBack === undefined) closeQuietly(fd);
    else void this.#writeBack.then(() => closeQuietly(fd));
  }

  #takeOver(reason: string): number {
    this.#writer?.stop(new UploadSupersededError(reason));
    this.#turn++;
    return this.#turn;
  }

  #exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }

  /** The descriptor of the staging file; after it, size and hash fit together. */
  async #open(): Promise<number> {
    if (this.#lost !== undefined) throw this.#unknown(this.#lost);
    if (this.#fd === undefined) this.#fd = await openIfThere(this.#path, 'r+');
    if (this.#fd === undefined) throw this.#unknown(undefined);
    // Not a trip to the thread pool: the inode of an open file is in memory.
    const { size, nlink } = fstatSync(this.#fd);
    if (nlink === 0) {
      this.#forgetAll();
      throw this.#unknown(undefined);
    }
    this.#size = size;
    if (this.#hash?.bytes !== size) this.#hash = undefined;
    if (size === 0) this.#hash = { state: createHash(this.#algorithm), bytes: 0 };
    return this.#fd;
  }

  #target(fd: number, options: AppendOptions) {
    const hash = this.#hash;
    let arrived = this.#size;
    return {
      accept: (chunk: Buffer) => {
        arrived += chunk.length;
        if (arrived > options.sizeLimit) {
          throw new BodyTooLargeError(`the upload would be larger than ${options.sizeLimit} bytes`);
        }
        options.onProgress?.(chunk.length);
        if (hash === undefined) return;
        hash.state.update(chunk);
        hash.bytes = arrived;
      },
      write: async (chunks: readonly Buffer[]) => {
        await this.#write(fd, chunks);
        if (options.ownBuffers === true) for (const chunk of chunks) giveBack(chunk);
      },
      gatherBytes: this.#around.gatherBytes,
    };
  }

  async #write(fd: number, chunks: readonly Buffer[]): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#around.medium.checkWritable();
    await this.#around.medium.write(
      writeAll(fd, chunks, this.#size, (bytes) => {
        this.#size += bytes;
      }),
    );
    if (this.#size - this.#writtenBack >= writeBackBytes && this.#writeBack === undefined)
      this.#startWriteBack(fd);
  }

  #startWriteBack(fd: number): void {
    this.#writtenBack = this.#size;
    this.#writeBack = this.#sync(fd)
      .catch(() => {}) // not overlooked: the medium has stopped, or the upload is lost
      .finally(() => {
        this.#writeBack = undefined;
      });
  }

  /**
   * Makes the content durable. When that fails it is gone for good, also where reading it still seems to work: the kernel
   * tells of it once, and the next sync would succeed.
   */
  async #sync(fd: number): Promise<void> {
    try {
      await this.#around.medium.syncFile(fd);
    } catch (error) {
      this.#lost = error as Error;
      if (error instanceof DiskFullError) await unlinkIfThere(this.#path).catch(() => {});
      throw error;
    }
  }

  /** After a failed append, leaves exactly the bytes that count in the file. */
  async #tidy(fd: number, error: unknown, before: number): Promise<void> {
    if (error instanceof MediumFailedError || this.#lost !== undefined) return;
    if (error instanceof BodyTooLargeError) this.#size = before;
    if (fstatSync(fd).size !== this.#size) await this.#around.medium.write(truncate(fd, this.#size));
    if (this.#hash?.bytes !== this.#size) this.#hash = undefined;
    this.#writtenBack = Math.min(this.#writtenBack, this.#size);
  }

  async #digest(fd: number, algorithm: DigestAlgorithm): Promise<Digest> {
    const hash = this.#hash;
    if (hash !== undefined && algorithm === this.#algorithm)
      return finishDigest(hash.state.copy(), algorithm);
    return await hashFile(fd, this.#size, algorithm, this.#around.pool);
  }

  #forgetAll(): void {
    this.closeFile();
    this.#hash = undefined;
    this.#size = 0;
    this.#writtenBack = 0;
  }

  #unknown(cause: unknown): UploadUnknownError {
    return new UploadUnknownError(`there is no upload ${this.id}`, { cause });
  }
}

/**
 * Gives the memory of a buffer back without waiting for the garbage collector, which has no other reason to run while an upload
 * goes through: it marked the whole heap for every 40 MiB that arrived, and took more time than the hashing.
 */
function giveBack({ buffer, byteLength }: Buffer): void {
  // A view of a larger buffer may have neighbours.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
