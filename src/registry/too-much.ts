// How much may go at once without anybody having said so (collector.stopAbove).
import type { BlobCount } from '../storage/care-store.ts';

/** Below these, no share of a registry is too much. */
const smallBytes = 1024 ** 3;
const smallBlobs = 1000;

export function isTooMuch(going: BlobCount, ofBytes: number, stopAbove: number): boolean {
  return going.bytes > smallBytes && going.blobs > smallBlobs && going.bytes > ofBytes * stopAbove;
}
