// Reading files out of layers: whose time counts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { InspectionFault } from '../../src/inspection/faults.ts';
import type { LayerFile } from '../../src/inspection/layer-file.ts';
import { Layers } from '../../src/inspection/layers.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { Blobs } from '../../src/registry/blobs.ts';
import type { OpenBlob } from '../../src/storage/blob-store.ts';
import { makeTar } from '../support/tars.ts';

const repository = 'acme/web' as RepositoryName;
const layer = `sha256:${'0'.repeat(64)}` as Digest;
const { signal } = new AbortController();

/** A registry of one layer, which is told of each piece that is read of it. */
function blobsOf(bytes: Buffer, onRead: () => void): Blobs {
  const open: OpenBlob = {
    size: bytes.length,
    writeTo: () => Promise.reject(new Error('nobody asks for that here')),
    stream: ({ start, end } = { start: 0, end: bytes.length - 1 }) =>
      Readable.from(
        (function* () {
          for (let at = start; at <= end; at += 65_536) {
            onRead();
            yield bytes.subarray(at, Math.min(end + 1, at + 65_536));
          }
        })(),
        { objectMode: false },
      ),
    close: async () => undefined,
  };
  return { find: async () => ({ location: 'here' }), open: async () => open } as unknown as Blobs;
}

const content = randomBytes(2 * 1024 * 1024);
const bytes = gzipSync(makeTar([{ name: 'large', content }]));

async function setUp(onRead: () => void, now: () => number) {
  const limits = { ratio: 200, seconds: 50 };
  // The list of files is of a registry of its own, so that the clock moves for the content alone.
  const lists = new Layers({ blobs: blobsOf(bytes, () => undefined), limits });
  const [file] = await lists.filesOf(repository, layer, signal);
  const layers = new Layers({ blobs: blobsOf(bytes, onRead), limits, now });
  return { file: file as LayerFile, layers };
}

describe('the time for reading a file out of a layer', () => {
  it('does not run while a client takes what was read', async () => {
    let now = 0;
    const { file, layers } = await setUp(
      () => undefined,
      () => now,
    );
    const parts: Buffer[] = [];
    for await (const part of await layers.contentOf(repository, file, signal)) {
      parts.push(Buffer.from(part));
      now += 49_000;
    }
    assert.ok(parts.length > 2);
    assert.ok(Buffer.concat(parts).equals(content));
  });

  it('runs while the layer is slow', async () => {
    let now = 0;
    const { file, layers } = await setUp(
      () => {
        now += 49_000;
      },
      () => now,
    );
    await assert.rejects(
      async () => {
        for await (const _part of await layers.contentOf(repository, file, signal));
      },
      (error) => error instanceof InspectionFault && /longer than 50 s/.test(error.message),
    );
  });
});
