// What the suite of the blob store's contract works with: a store under test, uploads, bodies in pieces, patient sinks.
import { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { digestOf } from '../../src/oci/digest.ts';
import type { BlobStore, Location, Upload } from '../../src/storage/blob-store.ts';

/** A store on an empty medium, and a way to open the same medium again after a close. */
export interface StoreUnderTest {
  readonly store: BlobStore;
  reopen(): Promise<BlobStore>;
}

export type Open = (t: TestContext) => Promise<StoreUnderTest>;

export const sizeLimit = 1 << 30;
let uploads = 0;

export function nextId(): string {
  uploads++;
  return `upload-${uploads}`;
}

export async function begin(store: BlobStore): Promise<Upload> {
  return await store.beginUpload(nextId(), 'sha256');
}

export async function storeBlob(store: BlobStore, content: Buffer): Promise<Location> {
  const upload = await begin(store);
  await store.append(upload, inPieces(content, 65_536), { sizeLimit });
  return (await store.commit(upload, digestOf(content))).location;
}

export function inPieces(content: Buffer, size: number): Readable {
  const count = Math.ceil(content.length / size);
  return Readable.from(
    Array.from({ length: count }, (_, index) => content.subarray(index * size, (index + 1) * size)),
  );
}

/** What `write` sends to a sink that takes `delay` turns of the event loop for each chunk. */
export async function written(write: (sink: Writable) => Promise<void>, delay = 0): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write: async (chunk: Buffer, _encoding, done) => {
      for (let turn = 0; turn < delay; turn++) await nextTurn();
      // Copied only now: a buffer that was reused too early shows.
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  await write(sink);
  return Buffer.concat(chunks);
}
