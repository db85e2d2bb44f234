// What every blob store promises, as tests: each driver runs this one suite.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { type Location, SinkClosedError } from '../../src/storage/blob-store.ts';
import { begin, type Open, storeBlob, written } from './blob-store-content.ts';
import { describeCommitting, describeInterruptions, describeUploading } from './blob-store-uploads.ts';

/** Declares the suite for a driver. `open` registers the cleanup of what it opens with `t.after`. */
export function describeBlobStore(name: string, open: Open): void {
  describe(`${name} as a blob store`, () => {
    describeReading(open);
    describeUploading(open);
    describeInterruptions(open);
    describeCommitting(open);
    describeHousekeeping(open);
  });
}

function describeReading(open: Open): void {
  test('a committed blob reads back whole, in ranges and as a stream', async (t) => {
    const { store } = await open(t);
    for (const size of [1, 4096, 65_536, 65_537, 3 * 1024 * 1024 + 17]) {
      const content = randomBytes(size);
      const location = await storeBlob(store, content);
      const blob = await store.open(location);
      assert.ok(blob !== undefined);
      assert.equal(blob.size, size);
      assert.deepEqual(await written(blob.writeTo.bind(blob)), content);
      const range = { start: size >> 1, end: size - 1 };
      assert.deepEqual(await written((sink) => blob.writeTo(sink, range)), content.subarray(size >> 1));
      assert.deepEqual(await buffer(blob.stream()), content);
      assert.deepEqual(await buffer(blob.stream({ start: 0, end: 0 })), content.subarray(0, 1));
      await blob.close();
      assert.deepEqual(await store.stat(location), { size });
    }
  });

  test('an empty blob is a blob', async (t) => {
    const { store } = await open(t);
    const location = await storeBlob(store, Buffer.alloc(0));
    const blob = await store.open(location);
    assert.ok(blob !== undefined);
    assert.equal((await written(blob.writeTo.bind(blob))).length, 0);
    assert.equal((await buffer(blob.stream())).length, 0);
    await blob.close();
    assert.deepEqual(await store.readSmall(location, 0), Buffer.alloc(0));
  });

  test('a range outside the blob is refused', async (t) => {
    const { store } = await open(t);
    const blob = await store.open(await storeBlob(store, Buffer.from('four')));
    assert.ok(blob !== undefined);
    await assert.rejects(blob.writeTo(new PassThrough(), { start: 0, end: 4 }), RangeError);
    await assert.rejects(blob.writeTo(new PassThrough(), { start: -1, end: 2 }), RangeError);
    await blob.close();
  });

  test('a small read gives the content, and nothing for a larger blob', async (t) => {
    const { store } = await open(t);
    const content = randomBytes(10_000);
    const location = await storeBlob(store, content);
    assert.deepEqual(await store.readSmall(location, 10_000), content);
    assert.equal(await store.readSmall(location, 9_999), undefined);
  });

  test('a removed blob is gone, removing it again is fine, and who had it open reads on', async (t) => {
    const { store } = await open(t);
    const content = randomBytes(300_000);
    const location = await storeBlob(store, content);
    const blob = await store.open(location);
    assert.ok(blob !== undefined);
    await store.remove(location);
    await store.remove(location);
    assert.equal(await store.open(location), undefined);
    assert.equal(await store.stat(location), undefined);
    assert.equal(await store.readSmall(location, 1 << 20), undefined);
    assert.deepEqual(await written(blob.writeTo.bind(blob)), content);
    await blob.close();
  });

  test('a slow reader gets every byte, and many readers at once do not mix', async (t) => {
    const { store } = await open(t);
    const contents = [randomBytes(2_500_000), randomBytes(1_300_000), randomBytes(70_000)];
    const locations = await Promise.all(contents.map((content) => storeBlob(store, content)));
    await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        const blob = await store.open(locations[index % 3] as Location);
        assert.ok(blob !== undefined);
        const got = await written(blob.writeTo.bind(blob), 1 + (index % 3));
        assert.ok(got.equals(contents[index % 3] as Buffer));
        await blob.close();
      }),
    );
  });

  test('a reader that goes away ends the write with SinkClosedError', async (t) => {
    const { store } = await open(t);
    const blob = await store.open(await storeBlob(store, randomBytes(5_000_000)));
    assert.ok(blob !== undefined);
    const stalled = new Writable({ write: () => {} });
    setTimeout(() => stalled.destroy(), 20);
    await assert.rejects(blob.writeTo(stalled), SinkClosedError);
    await assert.rejects(blob.writeTo(stalled), SinkClosedError);
    const failing = new Writable({ write: (_chunk, _encoding, done) => done(new Error('broken pipe')) });
    await assert.rejects(blob.writeTo(failing), SinkClosedError);
    await blob.close();
  });

  test('closing a blob twice is fine and ends its streams', async (t) => {
    const { store } = await open(t);
    const blob = await store.open(await storeBlob(store, randomBytes(5_000_000)));
    assert.ok(blob !== undefined);
    const reading = buffer(blob.stream());
    await Promise.all([blob.close(), blob.close(), assert.rejects(reading)]);
  });
}

function describeHousekeeping(open: Open): void {
  test('every blob and every upload is listed', async (t) => {
    const { store } = await open(t);
    const sizes = new Map<Location, number>();
    for (const size of [0, 10, 1000]) sizes.set(await storeBlob(store, randomBytes(size)), size);
    const upload = await begin(store);
    const now = Date.now() / 1000;
    const found = new Map<Location, number>();
    for await (const blob of store.list()) {
      found.set(blob.location, blob.size);
      assert.ok(Math.abs(blob.modifiedAt - now) < 60);
    }
    assert.deepEqual(new Map([...found].sort()), new Map([...sizes].sort()));
    const ids: string[] = [];
    for await (const entry of store.listUploads()) {
      ids.push(entry.upload.id);
      assert.ok(Math.abs(entry.modifiedAt - now) < 60);
      await store.abort(entry.upload);
    }
    assert.deepEqual(ids, [upload.id]);
    assert.equal(await store.uploadSize(upload), undefined);
  });

  test('the room on the medium is told', async (t) => {
    const { store } = await open(t);
    const space = await store.space();
    assert.ok(space.freeBytes > 0 && space.freeBytes <= space.totalBytes);
    assert.equal(space.freeInodes === undefined, space.totalInodes === undefined);
  });
}
