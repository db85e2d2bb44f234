// Reading a file's digest, and writing a copy while reading it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Digest, type DigestAlgorithm, finishDigest } from '../oci/digest.ts';

const pieceBytes = 512 * 1024;

/** The digest of a file. Fails with ENOENT where there is none. */
export async function digestOfFile(
  path: string,
  algorithm: DigestAlgorithm,
  signal: AbortSignal,
): Promise<Digest> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: pieceBytes, signal })) hash.update(chunk);
  return finishDigest(hash, algorithm);
}

/** Writes `source` to the new file `path`, durable when it resolves, and gives the digest of what was read. */
export async function writeCopy(
  source: Readable,
  path: string,
  algorithm: DigestAlgorithm,
  signal: AbortSignal,
): Promise<Digest> {
  const hash = createHash(algorithm);
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of source) {
      signal.throwIfAborted();
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    await file.datasync();
  } finally {
    source.destroy();
    await file.close();
  }
  return finishDigest(hash, algorithm);
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Buffer): Promise<void> {
  for (let left = chunk; left.length > 0; ) {
    const { bytesWritten } = await file.write(left);
    left = left.subarray(bytesWritten);
  }
}
