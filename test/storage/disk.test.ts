// The disk driver under what disks do: processes killed at work, damaged and foreign files, many readers that go away.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { digestOf } from '../../src/oci/digest.ts';
import {
  type BlobStore,
  type Location,
  ShortBlobError,
  UploadUnknownError,
} from '../../src/storage/blob-store.ts';
import { createBufferPool } from '../../src/storage/disk/buffer-pool.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';

const sizeLimit = 1 << 30;

test('kill -9 in mid-append loses nothing that was acknowledged', async (t) => {
  for (const milliseconds of [5, 40, 90]) {
    const folder = await makeFolder(t, 'killed');
    const child = spawn(process.execPath, [join(import.meta.dirname, 'disk-child.ts'), 'append', folder]);
    onEnd(t, () => child.kill('SIGKILL'));
    let told = '';
    child.stdout.on('data', (chunk) => {
      told += chunk;
    });
    while (!told.includes('acknowledged')) await wait(2);
    await wait(milliseconds);
    child.kill('SIGKILL');
    await once(child, 'close');
    const acknowledged = Number(/.*acknowledged (\d+)\n/s.exec(told)?.[1]);
    const store = await openStore(t, folder);
    const upload = { id: 'killed', state: 'sha256' };
    const size = await store.uploadSize(upload);
    assert.ok(size !== undefined && size >= acknowledged, `${size} bytes of ${acknowledged}`);
    const expected = Buffer.concat(
      Array.from({ length: Math.ceil(size / 100_000) }, (_, piece) => Buffer.alloc(100_000, piece)),
    ).subarray(0, size);
    const { location } = await store.commit(upload, digestOf(expected));
    assert.deepEqual(await store.readSmall(location, size), expected);
    const endless = await store.uploadSize({ id: 'endless', state: 'sha256' });
    assert.ok(endless !== undefined && endless <= acknowledged);
  }
});

test('the layout is blobs/<algorithm>/<2 hex>/<hex>.<ulid>, and folder and files are for their owner alone', async (t) => {
  const folder = await makeFolder(t, 'layout');
  const store = await openStore(t, folder);
  const content = Buffer.from('content');
  const location = await storeBlob(store, 'one', content);
  const hex = digestOf(content).slice(7);
  assert.match(location, new RegExp(`^sha256/${hex.slice(0, 2)}/${hex}\\.[0-9A-Z]{26}$`));
  assert.deepEqual(await readFile(join(folder, 'blobs', location)), content);
  assert.deepEqual(await readdir(join(folder, 'uploads')), []);
  assert.equal((await stat(join(folder, 'blobs', location))).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, 'blobs'))).mode & 0o777, 0o700);
});

test('an id or a location that could leave the folder is refused', async (t) => {
  const store = await openStore(t, await makeFolder(t, 'traversal'));
  const hex = 'a'.repeat(64);
  const ulid = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
  for (const text of [
    '../../etc/passwd',
    '/etc/passwd',
    '',
    `sha256/aa/../../${hex}.${ulid}`,
    `sha256/bb/${hex}.${ulid}`,
    `sha256/aa/${hex}.${ulid}\0`,
    `sha256/aa/${hex}.${ulid}\n`,
    `md5/aa/${hex}.${ulid}`,
  ]) {
    const location = text as Location;
    await assert.rejects(store.open(location), TypeError);
    await assert.rejects(store.readSmall(location, 10), TypeError);
    await assert.rejects(store.stat(location), TypeError);
    await assert.rejects(store.remove(location), TypeError);
  }
  for (const id of ['../x', '..', '.', '', 'a/b', 'a\0', 'a\n', '-rf', 'x'.repeat(129)]) {
    const upload = { id, state: 'sha256' };
    await assert.rejects(store.beginUpload(id, 'sha256'), TypeError);
    await assert.rejects(store.uploadSize(upload), TypeError);
    await assert.rejects(store.append(upload, Readable.from([]), { sizeLimit }), TypeError);
    await assert.rejects(store.commit(upload, digestOf(Buffer.alloc(0))), TypeError);
    await assert.rejects(store.abort(upload), TypeError);
  }
});

test('a file cut short while it is read is noticed, and is never passed off as whole', async (t) => {
  const folder = await makeFolder(t, 'short');
  const store = await openStore(t, folder);
  const location = await storeBlob(store, 'one', Buffer.alloc(3_000_000, 1));
  const blob = await store.open(location);
  assert.ok(blob !== undefined);
  await truncate(join(folder, 'blobs', location), 1_500_000);
  await assert.rejects(blob.writeTo(sinkhole()), ShortBlobError);
  await assert.rejects(buffer(blob.stream()), ShortBlobError);
  await blob.writeTo(sinkhole(), { start: 0, end: 1_499_999 });
  await blob.close();
  assert.deepEqual(await store.stat(location), { size: 1_500_000 });
});

test('files that are not the store’s are passed over', async (t) => {
  const folder = await makeFolder(t, 'foreign');
  const store = await openStore(t, folder);
  const location = await storeBlob(store, 'one', Buffer.from('content'));
  await writeFile(join(folder, 'blobs', 'sha256', 'README'), 'foreign');
  await writeFile(join(folder, 'blobs', location.slice(0, 9), '.nfs0001'), 'foreign');
  await mkdir(join(folder, 'blobs', 'sha256', 'lost+found'));
  await mkdir(join(folder, 'uploads', 'a-folder'));
  await writeFile(join(folder, 'uploads', '.hidden'), 'foreign');
  assert.deepEqual(
    (await listed(store.list())).map((blob) => blob.location),
    [location],
  );
  assert.deepEqual(await listed(store.listUploads()), []);
});

test('files that vanish during a listing do not end it', async (t) => {
  const store = await openStore(t, await makeFolder(t, 'vanishing'));
  const locations = new Set<Location>();
  for (let index = 0; index < 20; index++) {
    locations.add(await storeBlob(store, `blob-${index}`, Buffer.from(`content ${index}`)));
  }
  let seen = 0;
  for await (const { location } of store.list()) {
    seen++;
    locations.delete(location);
    for (const other of locations) await store.remove(other);
  }
  assert.ok(seen >= 1 && seen <= 20);
});

test('a folder removed by hand is made again, for uploads and for blobs', async (t) => {
  const folder = await makeFolder(t, 'removed');
  const store = await openStore(t, folder);
  const content = Buffer.from('content');
  const first = await storeBlob(store, 'one', content);
  await rm(join(folder, 'blobs', first.slice(0, 9)), { recursive: true });
  const second = await storeBlob(store, 'two', content);
  assert.deepEqual(await store.readSmall(second, 100), content);
});

test('an upload whose staging file was removed by hand is unknown, also while this process remembers it', async (t) => {
  const folder = await makeFolder(t, 'staging');
  const store = await openStore(t, folder);
  const upload = await store.beginUpload('one', 'sha256');
  await store.append(upload, Readable.from([Buffer.from('content')]), { sizeLimit });
  await rm(join(folder, 'uploads', 'one'));
  assert.equal(await store.uploadSize(upload), undefined);
  await assert.rejects(store.append(upload, Readable.from([]), { sizeLimit }), UploadUnknownError);
  await assert.rejects(store.commit(upload, digestOf(Buffer.from('content'))), UploadUnknownError);
});

test('a staging file that changed behind the store’s back is hashed again', async (t) => {
  const folder = await makeFolder(t, 'changed');
  const store = await openStore(t, folder);
  const upload = await store.beginUpload('one', 'sha256');
  await store.append(upload, Readable.from([Buffer.from('content')]), { sizeLimit });
  await truncate(join(folder, 'uploads', 'one'), 4);
  await assert.rejects(store.commit(upload, digestOf(Buffer.from('content'))), {
    name: 'DigestMismatchError',
  });
  await store.commit(upload, digestOf(Buffer.from('cont')));
});

test('more uploads than stay open while idle still go on where they were', async (t) => {
  const store = await openStore(t, await makeFolder(t, 'many'));
  const begun = await Promise.all(
    Array.from({ length: 300 }, (_, index) => store.beginUpload(`u${index}`, 'sha256')),
  );
  assert.ok((await openDescriptors()) < 200, 'idle uploads hold few descriptors');
  for (const half of ['first ', 'second']) {
    await Promise.all(
      begun.map((upload) => store.append(upload, Readable.from([Buffer.from(half)]), { sizeLimit })),
    );
  }
  await Promise.all(begun.map((upload) => store.commit(upload, digestOf(Buffer.from('first second')))));
  assert.equal((await listed(store.list())).length, 300);
});

test('aborted reads and writes leave no descriptor open', async (t) => {
  const store = await openStore(t, await makeFolder(t, 'leaks'));
  const location = await storeBlob(store, 'blob', Buffer.alloc(4_000_000, 1));
  const before = await openDescriptors();
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const blob = await store.open(location);
      assert.ok(blob !== undefined);
      const sink = new Writable({ write: () => {} });
      setTimeout(() => sink.destroy(), index % 7);
      const closing = index % 3 === 0 ? wait(index % 5).then(() => blob.close()) : undefined;
      await assert.rejects(blob.writeTo(sink));
      await closing;
      blob
        .stream()
        .on('error', () => {})
        .resume();
      await blob.close();

      const upload = await store.beginUpload(`leak-${index}`, 'sha256');
      const body = new PassThrough();
      body.write(Buffer.alloc(100_000));
      setTimeout(() => body.destroy(), index % 7);
      await assert.rejects(store.append(upload, body, { sizeLimit }));
      await store.abort(upload);
    }),
  );
  await store.open('sha256/aa/'.padEnd(74, 'a').concat('.01ARZ3NDEKTSV4RRFFQ69G5FAV') as Location);
  for (let tries = 0; tries < 100 && (await openDescriptors()) > before; tries++) await wait(10);
  assert.ok(
    (await openDescriptors()) <= before,
    `${before} descriptors before, ${await openDescriptors()} after`,
  );
});

test('a folder that cannot be written is an error at the start', async (t) => {
  if (process.getuid?.() === 0) {
    t.skip('root may write everywhere');
    return;
  }
  const folder = await makeFolder(t, 'forbidden');
  await chmod(folder, 0o500);
  await assert.rejects(openDiskStore({ folder, onFatal: () => {} }), { code: 'EACCES' });
});

test('a pool lends smaller buffers the more is out, and takes back what fits', () => {
  const pool = createBufferPool(8 << 20);
  const out = [pool.take(1 << 30)];
  assert.equal(out[0]?.length, 512 * 1024);
  assert.equal(pool.take(1).length, 64 * 1024);
  for (let count = 0; count < 1000; count++) out.push(pool.take(1 << 30));
  assert.ok(pool.lentBytes < (8 << 20) + 1000 * 64 * 1024);
  assert.equal(out.at(-1)?.length, 64 * 1024);
  for (const buffer of out.toReversed()) pool.give(buffer);
  assert.equal(pool.lentBytes, 64 * 1024);
  assert.ok(out.includes(pool.take(1)), 'a returned buffer is lent again');
});

async function openStore(t: TestContext, folder: string): Promise<BlobStore> {
  const store = await openDiskStore({
    folder,
    onFatal: (error) => {
      throw error;
    },
  });
  onEnd(t, () => store.close());
  return store;
}

async function storeBlob(store: BlobStore, id: string, content: Buffer): Promise<Location> {
  const upload = await store.beginUpload(id, 'sha256');
  await store.append(upload, Readable.from([content]), { sizeLimit });
  return (await store.commit(upload, digestOf(content))).location;
}

async function listed<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function sinkhole(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}
