// Files of this machine that become blobs without being copied, and second names of blobs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, statSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { type BlobStore, DigestMismatchError, type Location } from '../../src/storage/blob-store.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';

interface Opened {
  readonly store: BlobStore;
  readonly folder: string;
  /** A place beside the store, on the same file system. */
  readonly beside: string;
}

async function openStore(t: TestContext): Promise<Opened> {
  const root = await makeFolder(t, 'names');
  const [folder, beside] = [join(root, 'store'), join(root, 'beside')];
  await mkdir(beside);
  const store = await openDiskStore({ folder, onFatal: (error) => assert.fail(error) });
  onEnd(t, () => store.close());
  return { store, folder, beside };
}

async function listed(store: BlobStore): Promise<readonly Location[]> {
  const locations: Location[] = [];
  for await (const { location } of store.list()) locations.push(location);
  return locations;
}

test('a file is taken over without a copy and without being touched', async (t) => {
  const { store, beside } = await openStore(t);
  for (const size of [0, 1, 3_000_000]) {
    const content = randomBytes(size);
    const path = join(beside, String(size));
    await writeFile(path, content, { mode: 0o444 });
    await utimes(path, 1000, 1000);
    const taken = await store.adopt?.(path, digestOf(content));
    assert.ok(taken);
    assert.equal(taken.size, size);
    assert.deepEqual(await store.readSmall(taken.location, size), content);
    const { ino, nlink, mode, mtimeMs } = statSync(path);
    assert.deepEqual({ nlink, mode: mode & 0o777, mtimeMs }, { nlink: 2, mode: 0o444, mtimeMs: 1_000_000 });
    // Twice the same file: two locations, as with two uploads.
    const again = await store.adopt?.(path, digestOf(content, 'sha512'));
    assert.ok(again && again.location !== taken.location);
    await store.remove(taken.location);
    await store.remove(again.location);
    assert.equal(statSync(path).ino, ino);
    assert.equal(statSync(path).nlink, 1);
  }
});

test('a file with other bytes is refused, and nothing stays of it', async (t) => {
  const { store, folder, beside } = await openStore(t);
  const path = join(beside, 'file');
  await writeFile(path, 'these');
  await assert.rejects(store.adopt?.(path, digestOf(Buffer.from('those'))) ?? Promise.resolve(), (error) => {
    assert.ok(error instanceof DigestMismatchError);
    assert.equal(error.actual, digestOf(Buffer.from('these')));
    return true;
  });
  assert.deepEqual(await listed(store), []);
  assert.deepEqual(await readdir(join(folder, 'uploads')), []);
  assert.equal(statSync(path).nlink, 1);
});

test('what cannot be linked is left to be copied, and what is not there is an error', async (t) => {
  const { store, folder, beside } = await openStore(t);
  const digest = digestOf(Buffer.from('content'));
  await writeFile(join(beside, 'file'), 'content');
  await symlink(join(beside, 'file'), join(beside, 'symbolic'));
  assert.equal(await store.adopt?.(join(beside, 'symbolic'), digest), undefined);
  await assert.rejects(store.adopt?.(join(beside, 'none'), digest) ?? Promise.resolve(), { code: 'ENOENT' });
  const far = mkdtempSync('/dev/shm/berth-test-');
  t.after(() => rm(far, { recursive: true }));
  if (statSync(far).dev !== statSync(beside).dev) {
    await writeFile(join(far, 'file'), 'content');
    assert.equal(await store.adopt?.(join(far, 'file'), digest), undefined);
  }
  assert.deepEqual(await readdir(join(folder, 'uploads')), []);
});

test('a second name outlives the blob, and is refused where there is one already', async (t) => {
  const { store, beside } = await openStore(t);
  await writeFile(join(beside, 'file'), 'content');
  const taken = await store.adopt?.(join(beside, 'file'), digestOf(Buffer.from('content')));
  assert.ok(taken);
  const path = join(beside, 'second');
  assert.equal(await store.linkTo?.(taken.location, path), 'linked');
  await assert.rejects(store.linkTo?.(taken.location, path) ?? Promise.resolve(), { code: 'EEXIST' });
  await store.remove(taken.location);
  assert.equal(await readFile(path, 'utf8'), 'content');
  assert.equal(await store.linkTo?.(taken.location, join(beside, 'third')), 'missing');
});

test('what a killed process left of a take-over is no upload, and goes at the next start', async (t) => {
  const { store, folder, beside } = await openStore(t);
  await writeFile(join(beside, 'file'), 'content');
  await link(join(beside, 'file'), join(folder, 'uploads', '.adopt-left-over'));
  for await (const { upload } of store.listUploads()) assert.fail(`${upload.id} is no upload`);
  await store.close();
  const again = await openDiskStore({ folder, onFatal: (error) => assert.fail(error) });
  assert.deepEqual(await readdir(join(folder, 'uploads')), []);
  await again.close();
});
