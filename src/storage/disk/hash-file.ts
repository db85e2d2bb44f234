// Hashing of a file that is already there: for uploads that outlived the process that began to hash them, or that turned
// out to be named by another algorithm.
import { createHash } from 'node:crypto';
import { type Digest, type DigestAlgorithm, finishDigest } from '../../oci/digest.ts';
import type { BufferPool } from './buffer-pool.ts';
import { readAt } from './files.ts';

/** Small enough that hashing one piece holds the event loop for well under a millisecond. */
const pieceBytes = 256 * 1024;

/** The digest of the first `size` bytes of a file, or of all of it when it is shorter. Reads ahead while it hashes. */
export async function hashFile(
  fd: number,
  size: number,
  algorithm: DigestAlgorithm,
  pool: BufferPool,
): Promise<Digest> {
  const hash = createHash(algorithm);
  let current = pool.take(pieceBytes);
  let next = pool.take(pieceBytes);
  let ahead: Promise<number> | undefined;
  const read = (buffer: Buffer, position: number) =>
    readAt(fd, buffer, Math.min(buffer.length, Math.max(size - position, 0)), position);
  try {
    let position = 0;
    let bytes = await read(current, position);
    while (bytes > 0) {
      position += bytes;
      ahead = read(next, position);
      hash.update(current.subarray(0, bytes));
      bytes = await ahead;
      [current, next] = [next, current];
    }
  } finally {
    pool.give(current);
    pool.give(next);
  }
  return finishDigest(hash, algorithm);
}
