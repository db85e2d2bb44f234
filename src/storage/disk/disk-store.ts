// The blob store in a folder of a local disk.
import { fstatSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Digest, DigestAlgorithm } from '../../oci/digest.ts';
import type {
  Appended,
  AppendOptions,
  BlobStore,
  Location,
  OpenBlob,
  Space,
  StoredBlob,
  Upload,
} from '../blob-store.ts';
import { StoreUnavailableError } from '../faults.ts';
import { BlobFolders } from './blob-folders.ts';
import { type BufferPool, createBufferPool } from './buffer-pool.ts';
import { DiskBlob } from './disk-blob.ts';
import {
  closeAtOnce,
  closeQuietly,
  openIfThere,
  readAt,
  statfs,
  statIfThere,
  unlinkIfThere,
} from './files.ts';
import { Layout } from './layout.ts';
import { listBlobs, listUploads } from './listing.ts';
import { Medium } from './medium.ts';
import { adoptFile, linkBlobTo } from './second-names.ts';
import { UploadSessions } from './upload-sessions.ts';

export interface DiskStoreOptions {
  /** Made when it is missing; holds `blobs` and `uploads`. One process at a time: the caller sees to that. */
  readonly folder: string;
  /** Called once, at the first sign that the medium cannot be trusted. From then on every write is refused. */
  readonly onFatal: (error: Error) => void;
}

const readBudget = 48 * 1024 * 1024;
const gatherBudget = 24 * 1024 * 1024;
const smallestGather = 64 * 1024;
const largestGather = 512 * 1024;

/** Opens the store. Throws what the file system says when the folder cannot be used. */
export async function openDiskStore(options: DiskStoreOptions): Promise<BlobStore> {
  const layout = new Layout(options.folder);
  const medium = new Medium(options.onFatal);
  return new DiskStore(layout, medium, await BlobFolders.prepare(layout, medium));
}

class DiskStore implements BlobStore {
  readonly #layout: Layout;
  readonly #medium: Medium;
  readonly #folders: BlobFolders;
  readonly #pool: BufferPool = createBufferPool(readBudget);
  readonly #sessions: UploadSessions;
  readonly #openBlobs = new Set<OpenBlob>();
  #appends = 0;
  #closed = false;

  constructor(layout: Layout, medium: Medium, folders: BlobFolders) {
    this.#layout = layout;
    this.#medium = medium;
    this.#folders = folders;
    // The more arrive at once, the less each gathers: memory stays the same for ten uploads and for a thousand.
    const gatherBytes = () =>
      Math.max(
        smallestGather,
        Math.min(largestGather, Math.floor(gatherBudget / Math.max(this.#appends, 1))),
      );
    this.#sessions = new UploadSessions(layout, { medium, folders, pool: this.#pool, gatherBytes });
  }

  async open(location: Location): Promise<OpenBlob | undefined> {
    this.#checkOpen();
    const fd = await openIfThere(this.#layout.blobPath(location), 'r');
    if (fd === undefined) return undefined;
    // Not a trip to the thread pool: the inode of an open file is in memory.
    const { size } = fstatSync(fd);
    if (this.#closed) {
      closeQuietly(fd);
      this.#checkOpen();
    }
    const blob = new DiskBlob(fd, size, this.#pool, (closed) => this.#openBlobs.delete(closed));
    this.#openBlobs.add(blob);
    return blob;
  }

  async readSmall(location: Location, limit: number): Promise<Buffer | undefined> {
    this.#checkOpen();
    const fd = await openIfThere(this.#layout.blobPath(location), 'r');
    if (fd === undefined) return undefined;
    try {
      const { size } = fstatSync(fd);
      if (size > limit) return undefined;
      const content = Buffer.allocUnsafeSlow(size);
      let filled = 0;
      while (filled < size) {
        const bytes = await readAt(
          fd,
          filled === 0 ? content : content.subarray(filled),
          size - filled,
          filled,
        );
        if (bytes === 0) return content.subarray(0, filled);
        filled += bytes;
      }
      return content;
    } finally {
      closeAtOnce(fd);
    }
  }

  async stat(location: Location): Promise<{ readonly size: number } | undefined> {
    const stats = await statIfThere(this.#layout.blobPath(location));
    return stats === undefined ? undefined : { size: stats.size };
  }

  async remove(location: Location): Promise<void> {
    this.#checkWritable();
    await this.#medium.write(unlinkIfThere(this.#layout.blobPath(location)));
  }

  list(): AsyncIterable<StoredBlob> {
    return listBlobs(this.#layout);
  }

  async beginUpload(id: string, algorithm: DigestAlgorithm): Promise<Upload> {
    this.#checkWritable();
    const upload: Upload = { id, state: algorithm };
    await this.#sessions.use(upload, (session) => session.begin());
    return upload;
  }

  async uploadSize(upload: Upload): Promise<number | undefined> {
    const path = this.#layout.uploadPath(upload.id);
    await this.#sessions.findBusy(upload)?.flush();
    return (await statIfThere(path))?.size;
  }

  async append(upload: Upload, body: Readable, options: AppendOptions): Promise<Appended> {
    this.#checkWritable();
    this.#appends++;
    try {
      return await this.#sessions.use(upload, (session) => session.append(body, options));
    } finally {
      this.#appends--;
    }
  }

  async commit(
    upload: Upload,
    expected: Digest,
  ): Promise<{ readonly location: Location; readonly size: number }> {
    this.#checkWritable();
    return await this.#sessions.use(upload, (session) => session.commit(expected));
  }

  async adopt(
    path: string,
    expected: Digest,
  ): Promise<{ readonly location: Location; readonly size: number } | undefined> {
    this.#checkWritable();
    const around = {
      layout: this.#layout,
      medium: this.#medium,
      folders: this.#folders,
      pool: this.#pool,
    };
    return await adoptFile(around, path, expected);
  }

  async linkTo(location: Location, path: string): Promise<'linked' | 'missing' | 'unsupported'> {
    this.#checkOpen();
    return await linkBlobTo(this.#layout, location, path);
  }

  async abort(upload: Upload): Promise<void> {
    this.#checkWritable();
    await this.#sessions.use(upload, (session) => session.abort());
  }

  listUploads(): AsyncIterable<{ readonly upload: Upload; readonly modifiedAt: number }> {
    return listUploads(this.#layout);
  }

  async space(): Promise<Space> {
    const figures = await statfs(this.#layout.uploads);
    // Some file systems (btrfs among them) make inodes as they go and say 0.
    const limited = figures.files > 0;
    return {
      freeBytes: figures.bavail * figures.bsize,
      totalBytes: figures.blocks * figures.bsize,
      freeInodes: limited ? figures.ffree : undefined,
      totalInodes: limited ? figures.files : undefined,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sessions.shut();
    await Promise.all(Array.from(this.#openBlobs, (blob) => blob.close()));
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreUnavailableError('the blob store is closed');
  }

  #checkWritable(): void {
    this.#checkOpen();
    this.#medium.checkWritable();
  }
}
