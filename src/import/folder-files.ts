// Careful reading of a folder that somebody else's program wrote.
import { createHash } from 'node:crypto';
import { open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { algorithmOf, type Digest, finishDigest } from '../oci/digest.ts';
import { SourceFault } from './source.ts';

/** The largest manifest that Berth takes. */
export const longestManifest = 4 * 1024 * 1024;

/** Names of the folders in a folder, in no order; none where there is no such folder. Symbolic links are passed over. */
export async function* listFolders(path: string): AsyncIterable<string> {
  try {
    for await (const entry of await opendir(path)) if (entry.isDirectory()) yield entry.name;
  } catch (error) {
    if (isMissing(error)) return;
    throw asFault(error);
  }
}

/** A small file; undefined where there is none. Throws SourceFault for one over `limit` bytes or that cannot be read. */
export async function readSmallFile(path: string, limit: number): Promise<Buffer | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > limit)
        throw new SourceFault('damaged', `${path} has ${size} bytes, at most ${limit} are sensible`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error instanceof SourceFault ? error : asFault(error);
  }
}

/** The file of a blob in `<folder>/<algorithm>/…`, where it is a file. */
export async function findFile(...parts: string[]): Promise<string | undefined> {
  const path = join(...parts);
  try {
    return (await stat(path)).isFile() ? path : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw asFault(error);
  }
}

/** Gives bytes back that are what their digest says. Throws SourceFault for others. */
export function verified(bytes: Buffer, digest: Digest): Buffer {
  const algorithm = algorithmOf(digest);
  const actual = finishDigest(createHash(algorithm).update(bytes), algorithm);
  if (actual === digest) return bytes;
  throw new SourceFault('damaged', `it has the digest ${actual} (${bytes.length} bytes)`);
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(String((error as { code?: unknown }).code));
}

function asFault(error: unknown): SourceFault {
  return new SourceFault('unreadable', (error as Error).message, { cause: error });
}
