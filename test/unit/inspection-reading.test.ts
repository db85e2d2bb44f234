// Reading files out of layers: whose time counts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { InspectionFault } from '../../src/inspection/faults.ts';
import type { LayerFile } from '../../src/inspection/layer-file.ts';
import { type ContentStream, Layers } from '../../src/inspection/layers.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { Blobs } from '../../src/registry/blobs.ts';
import type { OpenBlob } from '../../src/storage/blob-store.ts';
import { makeTar } from '../support/tars.ts';

const repository = 'acme/web' as RepositoryName;
const layer = `sha256:${'0'.repeat(64)}` as Digest;
const { signal } = new AbortController();
const asker = { signal, caller: 'alice' };

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
    for await (const part of await layers.contentOf(repository, file, asker)) {
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
        for await (const _part of await layers.contentOf(repository, file, asker));
      },
      (error) => error instanceof InspectionFault && /longer than 50 s/.test(error.message),
    );
  });
});

describe('files that are sent', () => {
  const limits = { ratio: 200, seconds: 50 };
  const archive = gzipSync(
    makeTar([
      { name: 'large', content },
      { name: 'small', content: 'small' },
    ]),
  );

  /** Two of each. */
  const callerOf = (index: number) => ({ signal, caller: `caller ${Math.floor(index / 2)}` });

  it('are a few at a time where each keeps its layer open, and small ones wait for nobody', async () => {
    const layers = new Layers({ blobs: blobsOf(archive, () => undefined), limits });
    const [large, small] = (await layers.filesOf(repository, layer, signal)) as [LayerFile, LayerFile];
    const open = await Promise.all(
      Array.from({ length: 8 }, (_, index) => layers.contentOf(repository, large, callerOf(index))),
    );
    let more = 0;
    const leaving = new AbortController();
    const waiting = Array.from({ length: 16 }, async (_, index) => {
      const waits = { caller: `waits ${index}`, signal: leaving.signal };
      const stream = await layers.contentOf(repository, large, waits);
      more += 1;
      return stream;
    });
    await assert.rejects(
      layers.contentOf(repository, large, callerOf(8)),
      (error) => error instanceof InspectionFault && error.kind === 'busy',
    );
    const parts: Buffer[] = [];
    for await (const part of await layers.contentOf(repository, small, asker)) parts.push(part);
    assert.equal(Buffer.concat(parts).toString(), 'small');
    assert.equal(more, 0);
    // Read to its end, broken off, and closed without a look.
    for await (const _part of open[0] ?? []);
    for await (const _part of open[1] ?? []) break;
    await open[2]?.close();
    await open[2]?.close();
    await Promise.all(waiting.slice(0, 3));
    assert.equal(more, 3);
    leaving.abort(new Error('gone'));
    const left = await Promise.allSettled(waiting);
    assert.equal(left.filter(({ status }) => status === 'rejected').length, 13);
  });

  it('are two at a time for one caller, whatever else is asked for', async () => {
    const layers = new Layers({ blobs: blobsOf(archive, () => undefined), limits });
    const [large] = (await layers.filesOf(repository, layer, signal)) as [LayerFile];
    const leaving = new AbortController();
    const greedy = { caller: 'greedy', signal: leaving.signal };
    let refused = 0;
    const open: ContentStream[] = [];
    const asked = Array.from({ length: 20 }, async () => {
      try {
        open.push(await layers.contentOf(repository, large, greedy));
      } catch (error) {
        if (error instanceof InspectionFault && error.kind === 'busy') refused += 1;
        else throw error;
      }
    });
    const stream = await layers.contentOf(repository, large, asker);
    assert.equal(stream.holdsPlace, true);
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(Buffer.from(part));
    assert.ok(Buffer.concat(parts).equals(content));
    assert.deepEqual([open.length, refused], [2, 14]);
    leaving.abort(new Error('gone'));
    await Promise.allSettled(asked);
    for (const one of open) await one.close();
  });

  it('hold no place where their layer is not compressed', async () => {
    const plain = makeTar([{ name: 'large', content }]);
    const layers = new Layers({ blobs: blobsOf(plain, () => undefined), limits });
    const [large] = (await layers.filesOf(repository, layer, signal)) as [LayerFile];
    const open: ContentStream[] = [];
    for (let more = 0; more < 30; more += 1) open.push(await layers.contentOf(repository, large, asker));
    assert.ok(open.every(({ holdsPlace }) => !holdsPlace));
    const parts: Buffer[] = [];
    for await (const part of open[29] ?? []) parts.push(Buffer.from(part));
    assert.ok(Buffer.concat(parts).equals(content));
    for (const one of open) await one.close();
  });

  it('leave their place also where they cannot be read', async () => {
    const cut = archive.subarray(0, 1000);
    const whole = new Layers({ blobs: blobsOf(archive, () => undefined), limits });
    const [large] = (await whole.filesOf(repository, layer, signal)) as [LayerFile];
    const layers = new Layers({ blobs: blobsOf(cut, () => undefined), limits });
    for (let round = 0; round < 10; round += 1) {
      await assert.rejects(async () => {
        for await (const _part of await layers.contentOf(repository, large, asker));
      }, InspectionFault);
    }
  });
});
