// The promises of the blob store about uploads: growing, being cut off, and becoming a blob.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { digestOf } from '../../src/oci/digest.ts';
import {
  BodyTooLargeError,
  DigestMismatchError,
  UploadOffsetError,
  UploadSupersededError,
  UploadUnknownError,
} from '../../src/storage/blob-store.ts';
import { StoreUnavailableError } from '../../src/storage/faults.ts';
import { begin, inPieces, nextId, type Open, sizeLimit, storeBlob } from './blob-store-content.ts';

export function describeUploading(open: Open): void {
  test('an upload grows by appends, and its size is what was acknowledged', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    assert.equal(await store.uploadSize(upload), 0);
    const parts = [randomBytes(10), randomBytes(2_000_000), Buffer.alloc(0), randomBytes(70_000)];
    let size = 0;
    for (const part of parts) {
      const appended = await store.append(upload, inPieces(part, 50_000), { offset: size, sizeLimit });
      size += part.length;
      assert.equal(appended.size, size);
      assert.equal(await store.uploadSize(upload), size);
    }
    const content = Buffer.concat(parts);
    const { location, size: stored } = await store.commit(upload, digestOf(content));
    assert.equal(stored, content.length);
    assert.deepEqual(await store.readSmall(location, size), content);
  });

  test('buffers that are given away arrive whole, and nothing beside them is touched', async (t) => {
    const { store } = await open(t);
    const content = randomBytes(1_000_000);
    const shared = Buffer.from(Uint8Array.from(content).buffer);
    const views = [shared.subarray(0, 400_000), shared.subarray(400_000, 700_000)];
    const whole = Buffer.from(Uint8Array.from(content.subarray(700_000)).buffer);
    const upload = await begin(store);
    await store.append(upload, Readable.from([...views, whole]), { sizeLimit, ownBuffers: true });
    assert.deepEqual(shared, content);
    const { location, size } = await store.commit(upload, digestOf(content));
    assert.deepEqual(await store.readSmall(location, size), content);
  });

  test('progress tells of every byte as it arrives', async (t) => {
    const { store } = await open(t);
    let told = 0;
    const onProgress = (bytes: number) => {
      told += bytes;
    };
    await store.append(await begin(store), inPieces(randomBytes(100_000), 7_000), { sizeLimit, onProgress });
    assert.equal(told, 100_000);
  });

  test('a wrong offset is refused with the size, before the body is read', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    await store.append(upload, Readable.from([Buffer.from('abc')]), { sizeLimit });
    const body = new PassThrough();
    body.write('defg');
    for (const offset of [0, 2, 4]) {
      await assert.rejects(
        store.append(upload, body, { offset, sizeLimit }),
        (error) => error instanceof UploadOffsetError && error.size === 3,
      );
    }
    assert.equal(body.readableLength, 4);
    assert.equal(await store.uploadSize(upload), 3);
  });

  test('an upload past the limit is cut back to what it was', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const first = randomBytes(1_500_000);
    await store.append(upload, inPieces(first, 64_000), { sizeLimit: 2_000_000 });
    await assert.rejects(
      store.append(upload, inPieces(randomBytes(1_500_000), 64_000), { sizeLimit: 2_000_000 }),
      BodyTooLargeError,
    );
    assert.equal(await store.uploadSize(upload), first.length);
    const rest = randomBytes(500_000);
    await store.append(upload, inPieces(rest, 64_000), { offset: first.length, sizeLimit: 2_000_000 });
    await store.commit(upload, digestOf(Buffer.concat([first, rest])));
  });

  test('an upload that is not there is unknown, or has no size', async (t) => {
    const { store } = await open(t);
    const gone = { id: 'never-begun', state: 'sha256' };
    assert.equal(await store.uploadSize(gone), undefined);
    await assert.rejects(store.append(gone, Readable.from([]), { sizeLimit }), UploadUnknownError);
    await assert.rejects(store.commit(gone, digestOf(Buffer.alloc(0))), UploadUnknownError);
    await store.abort(gone);
  });

  test('an aborted upload is gone', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    await store.append(upload, Readable.from([Buffer.from('abc')]), { sizeLimit });
    await store.abort(upload);
    await store.abort(upload);
    assert.equal(await store.uploadSize(upload), undefined);
    await assert.rejects(store.append(upload, Readable.from([]), { sizeLimit }), UploadUnknownError);
  });

  test('an id is used for one upload only', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    await store.append(upload, Readable.from([Buffer.from('abc')]), { sizeLimit });
    await assert.rejects(store.beginUpload(upload.id, 'sha256'));
    assert.equal(await store.uploadSize(upload), 3);
  });
}

export function describeInterruptions(open: Open): void {
  test('what arrived before a body failed stays, and the upload can be resumed', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const content = randomBytes(1_700_000);
    const failing = Readable.from(
      (async function* () {
        yield* inPieces(content.subarray(0, 900_001), 60_000);
        throw new Error('the line is cut');
      })(),
    );
    await assert.rejects(store.append(upload, failing, { sizeLimit }), /the line is cut/);
    const size = await store.uploadSize(upload);
    assert.equal(size, 900_001);
    await store.append(upload, inPieces(content.subarray(900_001), 60_000), { offset: 900_001, sizeLimit });
    await store.commit(upload, digestOf(content));
  });

  test('a body that closes without an end fails the append', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const body = new PassThrough();
    const appending = store.append(upload, body, { sizeLimit });
    body.write(Buffer.alloc(1000, 1));
    while ((await store.uploadSize(upload)) !== 1000) await nextTurn();
    body.destroy();
    await assert.rejects(appending);
    assert.equal(await store.uploadSize(upload), 1000);
  });

  test('of two appends the newer ends the older, whose bytes stay', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const halfOpen = new PassThrough();
    const older = store.append(upload, halfOpen, { sizeLimit });
    halfOpen.write('first ');
    while ((await store.uploadSize(upload)) !== 6) await nextTurn();
    halfOpen.write('second ');
    const ended = assert.rejects(older, UploadSupersededError);
    while ((await store.uploadSize(upload)) !== 13) await nextTurn();
    await store.append(upload, Readable.from([Buffer.from('third')]), { offset: 13, sizeLimit });
    await ended;
    const content = Buffer.from('first second third');
    const { location } = await store.commit(upload, digestOf(content));
    assert.deepEqual(await store.readSmall(location, 100), content);
  });

  test('of many appends at once only the newest goes on', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const waiting = Array.from({ length: 5 }, () => store.append(upload, new PassThrough(), { sizeLimit }));
    const ended = Promise.all(waiting.map((append) => assert.rejects(append, UploadSupersededError)));
    assert.deepEqual(await store.append(upload, Readable.from([Buffer.from('x')]), { sizeLimit }), {
      size: 1,
    });
    await ended;
  });

  test('an abort ends an append in progress', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const older = assert.rejects(
      store.append(upload, new PassThrough(), { sizeLimit }),
      UploadSupersededError,
    );
    await nextTurn();
    await store.abort(upload);
    await older;
    assert.equal(await store.uploadSize(upload), undefined);
  });

  test('closing the store ends appends, keeps their bytes, and refuses what comes later', async (t) => {
    const { store, reopen } = await open(t);
    const upload = await begin(store);
    const body = new PassThrough();
    const appending = assert.rejects(store.append(upload, body, { sizeLimit }), UploadSupersededError);
    body.write('kept');
    while ((await store.uploadSize(upload)) !== 4) await nextTurn();
    body.write(' too');
    await nextTurn();
    await store.close();
    await appending;
    await assert.rejects(store.beginUpload('late', 'sha256'), StoreUnavailableError);
    await assert.rejects(store.append(upload, Readable.from([]), { sizeLimit }), StoreUnavailableError);
    const again = await reopen();
    assert.equal(await again.uploadSize(upload), 8);
    await again.append(upload, Readable.from([Buffer.from('!')]), { offset: 8, sizeLimit });
    const content = Buffer.from('kept too!');
    const { location } = await again.commit(upload, digestOf(content));
    assert.deepEqual(await again.readSmall(location, 100), content);
  });
}

export function describeCommitting(open: Open): void {
  test('content that is not what was announced is refused, and the upload stays', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const content = randomBytes(1000);
    await store.append(upload, Readable.from([content]), { sizeLimit });
    await assert.rejects(
      store.commit(upload, digestOf(Buffer.from('something else'))),
      (error) => error instanceof DigestMismatchError && error.actual === digestOf(content),
    );
    assert.equal(await store.uploadSize(upload), 1000);
    const more = randomBytes(10);
    await store.append(upload, Readable.from([more]), { sizeLimit });
    await store.commit(upload, digestOf(Buffer.concat([content, more])));
  });

  test('content is stored under another algorithm than the one it was begun with', async (t) => {
    const { store } = await open(t);
    const content = randomBytes(1_000_003);
    for (const [begun, named] of [
      ['sha256', 'sha512'],
      ['sha512', 'sha256'],
      ['sha512', 'sha512'],
    ] as const) {
      const upload = await store.beginUpload(nextId(), begun);
      await store.append(upload, inPieces(content, 65_536), { sizeLimit });
      const { location } = await store.commit(upload, digestOf(content, named));
      assert.deepEqual(await store.readSmall(location, content.length), content);
    }
  });

  test('a commit ends the upload', async (t) => {
    const { store } = await open(t);
    const upload = await begin(store);
    const empty = digestOf(Buffer.alloc(0));
    const outcomes = await Promise.allSettled([store.commit(upload, empty), store.commit(upload, empty)]);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    assert.ok(refused?.reason instanceof UploadUnknownError);
    assert.equal(await store.uploadSize(upload), undefined);
  });

  test('a location is never used twice: a late remove does not hit newer content', async (t) => {
    const { store } = await open(t);
    const content = Buffer.from('the same content');
    const first = await storeBlob(store, content);
    await store.remove(first);
    const second = await storeBlob(store, content);
    assert.notEqual(first, second);
    await store.remove(first);
    assert.deepEqual(await store.readSmall(second, 100), content);
  });

  test('many commits at once all come through', async (t) => {
    const { store } = await open(t);
    const contents = Array.from({ length: 100 }, () => randomBytes(5000));
    const locations = await Promise.all(contents.map((content) => storeBlob(store, content)));
    for (const [index, location] of locations.entries()) {
      assert.deepEqual(await store.readSmall(location, 5000), contents[index]);
    }
  });

  test('blobs and uploads are there after the store is opened again', async (t) => {
    const { store, reopen } = await open(t);
    const location = await storeBlob(store, Buffer.from('a blob'));
    const upload = await begin(store);
    const half = randomBytes(600_000);
    await store.append(upload, inPieces(half, 60_000), { sizeLimit });
    await store.close();
    const again = await reopen();
    assert.deepEqual(await again.readSmall(location, 100), Buffer.from('a blob'));
    await again.append(upload, inPieces(half, 60_000), { offset: half.length, sizeLimit });
    await again.commit(upload, digestOf(Buffer.concat([half, half])));
  });
}
