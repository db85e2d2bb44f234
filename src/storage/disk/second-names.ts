// Blobs that share their bytes with a file outside of the store: files taken over, and second names given out. A blob file is
// never written again, so neither side can change what the other one has.
import { constants, fstatSync } from 'node:fs';
import { link } from 'node:fs/promises';
import { algorithmOf, type Digest } from '../../oci/digest.ts';
import { DigestMismatchError, type Location } from '../blob-store.ts';
import type { BlobFolders } from './blob-folders.ts';
import type { BufferPool } from './buffer-pool.ts';
import { closeQuietly, isMissing, open, statIfThere, unlinkIfThere } from './files.ts';
import { hashFile } from './hash-file.ts';
import type { Layout } from './layout.ts';
import type { Medium } from './medium.ts';

export interface AdoptionSurroundings {
  readonly layout: Layout;
  readonly medium: Medium;
  readonly folders: BlobFolders;
  readonly pool: BufferPool;
}

/** See BlobStore.adopt. */
export async function adoptFile(
  around: AdoptionSurroundings,
  path: string,
  expected: Digest,
): Promise<{ readonly location: Location; readonly size: number } | undefined> {
  const { layout, medium, folders, pool } = around;
  const staging = layout.newAdoptionPath();
  if (!(await tryLink(path, staging))) return undefined;
  let fd: number | undefined;
  try {
    fd = await openPlain(staging);
    if (fd === undefined) return undefined;
    // Its owner may have left it in the kernel's memory alone.
    const synced = medium.syncFile(fd);
    const actual = await hashFile(fd, Number.POSITIVE_INFINITY, algorithmOf(expected), pool).finally(() =>
      synced.catch(() => undefined),
    );
    if (actual !== expected) throw new DigestMismatchError(actual);
    const { size } = fstatSync(fd);
    return { location: await folders.place(staging, synced, expected), size };
  } finally {
    if (fd !== undefined) closeQuietly(fd);
    await medium.write(unlinkIfThere(staging));
  }
}

/** See BlobStore.linkTo. */
export async function linkBlobTo(
  layout: Layout,
  location: Location,
  path: string,
): Promise<'linked' | 'missing' | 'unsupported'> {
  const blob = layout.blobPath(location);
  try {
    return (await tryLink(blob, path)) ? 'linked' : 'unsupported';
  } catch (error) {
    if (isMissing(error) && (await statIfThere(blob)) === undefined) return 'missing';
    throw error;
  }
}

/** What a file system answers that cannot make this link, though the file is there. */
const unsupportedCodes = ['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (unsupportedCodes.includes(String((error as { code?: unknown }).code))) return false;
    throw error;
  }
}

/** Opens a regular file for reading; undefined for anything else, a symbolic link above all. */
async function openPlain(path: string): Promise<number | undefined> {
  let fd: number;
  try {
    fd = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (['ELOOP', 'EACCES'].includes(String((error as { code?: unknown }).code))) return undefined;
    throw error;
  }
  if (fstatSync(fd).isFile()) return fd;
  closeQuietly(fd);
  return undefined;
}
