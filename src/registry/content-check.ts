// Checks one blob's file against its row: that it is there, as long as it should be, and (deep) that its bytes hash to the digest.
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { algorithmOf, type Digest, finishDigest } from '../oci/digest.ts';
import { type BlobStore, type Location, ShortBlobError } from '../storage/blob-store.ts';

/** What is wrong with a file. `unreadable`: the disk itself said so. */
export type ContentFault = 'missing' | 'short' | 'changed' | 'unreadable';

export interface Content {
  readonly location: Location;
  readonly digest: Digest;
  readonly size: number;
}

/** Holds reading down to so many bytes a second. */
export interface Pace {
  /** Waits until `bytes` more may be read. Rejects with the reason of `signal`. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
}

export const unhurried: Pace = { take: async () => {} };

/** At most `bytesPerSecond()` on the average, without a burst after a pause. */
export function steadyPace(bytesPerSecond: () => number): Pace {
  let freeAt = 0;
  return {
    async take(bytes, signal) {
      const now = performance.now();
      freeAt = Math.max(freeAt, now) + (bytes / bytesPerSecond()) * 1000;
      // Timers are coarse: short debts are paid together.
      if (freeAt - now > 50) await pause(freeAt - now, undefined, { signal });
      else signal.throwIfAborted();
    },
  };
}

/** Whether the file is there and as long as its row says; undefined when it is. */
export async function findShallowFault(store: BlobStore, blob: Content): Promise<ContentFault | undefined> {
  const found = await store.stat(blob.location);
  if (found === undefined) return 'missing';
  return found.size === blob.size ? undefined : 'short';
}

/** Like findShallowFault, and reads all of it. */
export async function findDeepFault(
  store: BlobStore,
  blob: Content,
  options: { readonly pace: Pace; readonly signal: AbortSignal },
): Promise<ContentFault | undefined> {
  const open = await store.open(blob.location);
  if (open === undefined) return 'missing';
  try {
    if (open.size !== blob.size) return 'short';
    const algorithm = algorithmOf(blob.digest);
    const hash = createHash(algorithm);
    for await (const chunk of open.stream()) {
      const bytes = chunk as Buffer;
      hash.update(bytes);
      await options.pace.take(bytes.length, options.signal);
    }
    return finishDigest(hash, algorithm) === blob.digest ? undefined : 'changed';
  } catch (error) {
    if (error instanceof ShortBlobError) return 'short';
    if ((error as { code?: unknown }).code === 'EIO') return 'unreadable';
    throw error;
  } finally {
    await open.close();
  }
}
