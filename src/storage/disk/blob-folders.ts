// The folders that blobs end up in: makes them when they are first needed, and moves finished uploads into them durably.
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Digest, digestAlgorithms } from '../../oci/digest.ts';
import type { Location } from '../blob-store.ts';
import { closeQuietly, isMissing, open, rename, statIfThere, unlinkIfThere } from './files.ts';
import { adoptionPrefix, folderOf, type Layout, newLocation } from './layout.ts';
import type { Medium } from './medium.ts';

export class BlobFolders {
  readonly #layout: Layout;
  readonly #medium: Medium;
  /** Folders whose entry in their parent is durable, or about to be. */
  readonly #known = new Map<string, Promise<void>>();

  private constructor(layout: Layout, medium: Medium) {
    this.#layout = layout;
    this.#medium = medium;
  }

  /**
   * Makes the folders of the store where they are missing, and all of them durable: a process that was killed may have left
   * some that are only in the kernel's memory.
   */
  static async prepare(layout: Layout, medium: Medium): Promise<BlobFolders> {
    const folders = new BlobFolders(layout, medium);
    await folders.#makePath(layout.uploads);
    for (const name of await readdir(layout.uploads)) {
      if (name.startsWith(adoptionPrefix)) await medium.write(unlinkIfThere(join(layout.uploads, name)));
    }
    for (const algorithm of digestAlgorithms) {
      const path = join(layout.blobs, algorithm);
      await folders.#makePath(path);
      await medium.syncFolderAt(path);
      for (const entry of await readdir(path, { withFileTypes: true })) {
        if (entry.isDirectory()) folders.#known.set(`${algorithm}/${entry.name}`, Promise.resolve());
      }
    }
    await medium.syncFolderAt(layout.blobs);
    await medium.syncFolderAt(dirname(layout.blobs));
    return folders;
  }

  /**
   * Moves the staging file at `path` to a new location for `digest` as soon as `synced` tells that its content is durable.
   * When it resolves, file, entry and folders survive a power cut. Fails with ENOENT when the staging file is gone; before
   * the move nothing has changed when it fails, after it only a failing medium can.
   */
  async place(path: string, synced: Promise<void>, digest: Digest): Promise<Location> {
    const folder = folderOf(digest);
    const [content, opened] = await Promise.allSettled([synced, this.#open(folder)]);
    if (opened.status === 'rejected') throw content.status === 'rejected' ? content.reason : opened.reason;
    let folderFd = opened.value;
    try {
      if (content.status === 'rejected') throw content.reason;
      const location = newLocation(digest);
      const target = this.#layout.blobPath(location);
      try {
        await this.#medium.write(rename(path, target));
      } catch (error) {
        // Somebody removed the empty folder by hand: make it once more.
        if (!isMissing(error) || (await statIfThere(path)) === undefined) throw error;
        this.#known.delete(folder);
        closeQuietly(folderFd);
        folderFd = -1;
        folderFd = await this.#open(folder);
        await this.#medium.write(rename(path, target));
      }
      await this.#medium.syncFolder(folderFd);
      return location;
    } finally {
      if (folderFd >= 0) closeQuietly(folderFd);
    }
  }

  async #open(folder: string): Promise<number> {
    await this.#ensure(folder);
    const path = join(this.#layout.blobs, folder);
    try {
      return await open(path, 'r');
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#known.delete(folder);
      await this.#ensure(folder);
      return await open(path, 'r');
    }
  }

  /** One caller makes the folder and syncs its parent; all others wait for that, or their blob could outlive its folder. */
  #ensure(folder: string): Promise<void> {
    const known = this.#known.get(folder);
    if (known !== undefined) return known;
    const made = this.#makePath(join(this.#layout.blobs, folder)).catch((error) => {
      this.#known.delete(folder);
      throw error;
    });
    this.#known.set(folder, made);
    return made;
  }

  /** Makes a folder and what is missing above it, then makes each new entry durable from the top down. */
  async #makePath(path: string): Promise<void> {
    const absolute = resolve(path);
    const first = await this.#medium.write(mkdir(absolute, { recursive: true, mode: 0o700 }));
    if (first === undefined) return;
    const parents: string[] = [];
    for (let at = absolute; at !== dirname(first); at = dirname(at)) parents.unshift(dirname(at));
    for (const parent of parents) await this.#medium.syncFolderAt(parent);
  }
}
