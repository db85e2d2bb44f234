// System calls on files as promises over plain descriptors: one trip to the thread pool each, without the bookkeeping of
// FileHandle objects. Everything here fails with Node's own errors (`code`); what they mean is decided elsewhere.
import * as fs from 'node:fs';
import { promisify } from 'node:util';

export const open = promisify(fs.open);
export const close = promisify(fs.close);
export const rename = promisify(fs.rename);
export const unlink = promisify(fs.unlink);
export const truncate = promisify(fs.ftruncate);
export const fsync = promisify(fs.fsync);
export const fdatasync = promisify(fs.fdatasync);
export const statfs = promisify(fs.statfs);

/** What is at `path`; undefined where there is nothing. */
export async function statIfThere(path: string): Promise<fs.Stats | undefined> {
  return await ifThere(
    new Promise((resolve, reject) => {
      fs.stat(path, (error, stats) => (error === null ? resolve(stats) : reject(error)));
    }),
  );
}

/** Opens a file; undefined where there is nothing. */
export async function openIfThere(path: string, flags: 'r' | 'r+'): Promise<number | undefined> {
  return await ifThere(open(path, flags));
}

/** Removes a file; nothing there is fine. */
export async function unlinkIfThere(path: string): Promise<void> {
  await ifThere(unlink(path));
}

/** What `operation` gives, or undefined where its path leads nowhere. */
export async function ifThere<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** True when a path leads nowhere. */
export function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Closes a descriptor that nothing was written to since its last sync: a failure cannot lose anything. */
export function closeQuietly(fd: number): void {
  fs.close(fd, () => {});
}

/** Closes the descriptor of a small file that was only read: sooner done than asked of a thread. */
export function closeAtOnce(fd: number): void {
  fs.closeSync(fd);
}

/** Reads into the beginning of `buffer`, up to `length` bytes; 0 at the end of the file. */
export function readAt(fd: number, buffer: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, buffer, 0, length, position, (error, bytesRead) => {
      if (error === null) resolve(bytesRead);
      else reject(error);
    });
  });
}

/**
 * Writes all of `chunks` at `position`, telling `wrote` of the bytes of each call that came through: a full disk cuts a
 * write short before it fails.
 */
export async function writeAll(
  fd: number,
  chunks: readonly Buffer[],
  position: number,
  wrote: (bytes: number) => void,
): Promise<void> {
  let left = chunks;
  let at = position;
  while (left.length > 0) {
    const bytes = await writeOnce(fd, left, at);
    wrote(bytes);
    at += bytes;
    left = without(left, bytes);
  }
}

function writeOnce(fd: number, chunks: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: NodeJS.ErrnoException | null, bytes: number) => {
      if (error === null) resolve(bytes);
      else reject(error);
    };
    const [first] = chunks;
    if (chunks.length === 1 && first !== undefined) fs.write(fd, first, 0, first.length, position, done);
    else fs.writev(fd, chunks, position, done);
  });
}

/** What is left of `chunks` after their first `bytes`. */
function without(chunks: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.length) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.length;
  }
  return [];
}
