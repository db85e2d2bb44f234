// Snapshots of the database: consistent while others write, refused when they are not ours, and no burden to who pushes.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { DiskFullError } from '../../src/storage/faults.ts';
import { listAllBlobs } from '../../src/storage/snapshot.ts';
import { SchemaMismatchError } from '../../src/storage/sqlite/migrate.ts';
import { sqliteSnapshots } from '../../src/storage/sqlite/snapshot.ts';
import { makeFolder } from '../support/cleanup.ts';
import { linkBlob, manifestOf, openTestStore, putManifest, repository, tag } from '../support/metadata.ts';

const app = repository('team/app');

test('a snapshot that is taken while images are pushed holds each of them whole or not at all', async (t) => {
  const { store, folder } = await openTestStore(t);
  const acknowledged: string[] = [];
  let over = false;
  const push = async (pusher: number) => {
    for (let number = 0; !over; number += 1) {
      const blobs = [await linkBlob(store, app, `layer ${pusher} ${number}`)];
      await putManifest(store, app, manifestOf({ blobs }), { tags: [`v${pusher}-${number}`] });
      acknowledged.push(`v${pusher}-${number}`);
    }
  };
  const pushing = [push(1), push(2), push(3)];
  for (let round = 0; round < 5; round += 1) {
    while (acknowledged.length < (round + 1) * 20) await new Promise((resolve) => setTimeout(resolve, 5));
    const before = [...acknowledged];
    const path = join(folder, `snapshot${round}`);
    await store.snapshot(path);
    assert.deepEqual(await sqliteSnapshots.check(path), []);
    const snapshot = sqliteSnapshots.open(path);
    const { tags, manifests, blobs, instance } = snapshot.facts();
    assert.equal(instance, await store.instance());
    assert.equal(tags, manifests);
    assert.ok(tags >= before.length && tags <= acknowledged.length + pushing.length);
    const digests = [...listAllBlobs(snapshot)].map(({ digest }) => digest);
    assert.equal(digests.length, blobs);
    assert.deepEqual(digests, [...digests].sort());
    const [first] = digests;
    assert.ok(first);
    const [holder] = snapshot.listHolders(first, 10);
    assert.equal(holder?.repository, app);
    snapshot.close();
  }
  over = true;
  await Promise.all(pushing);
  assert.deepEqual(
    readdirSync(folder).filter((name) => /^snapshot\d.+/.test(name)),
    [],
    'opening a snapshot leaves no files beside it',
  );
});

test('the tags that lead to a blob are found through an index', async (t) => {
  const { store, folder } = await openTestStore(t);
  const blob = await linkBlob(store, app, 'layer');
  const child = await putManifest(store, app, manifestOf({ blobs: [blob] }), { tags: ['single'] });
  await putManifest(store, app, manifestOf({ children: [child] }), { tags: ['multi'] });
  await putManifest(store, app, manifestOf({ note: 'another' }), { tags: ['other'] });
  const path = join(folder, 'snapshot');
  await store.snapshot(path);
  const snapshot = sqliteSnapshots.open(path);
  assert.deepEqual(snapshot.listHolders(blob, 10), [{ repository: app, tags: ['multi', 'single'].map(tag) }]);
  snapshot.close();
});

test('a damaged, a foreign and a newer snapshot are told apart', async (t) => {
  const { store, folder } = await openTestStore(t);
  for (let number = 0; number < 50; number += 1)
    await putManifest(store, app, manifestOf({ note: 'x'.repeat(2000) + number }), { tags: [`v${number}`] });
  const cut = join(folder, 'cut');
  await store.snapshot(cut);
  truncateSync(cut, Math.floor(statSync(cut).size / 2));
  assert.notDeepEqual(await sqliteSnapshots.check(cut), []);
  const text = join(folder, 'text');
  writeFileSync(text, 'no database at all '.repeat(100));
  assert.notDeepEqual(await sqliteSnapshots.check(text), []);
  assert.throws(() => sqliteSnapshots.open(text), /not a database/);
  const newer = join(folder, 'newer');
  await store.snapshot(newer);
  const db = new Database(newer);
  db.exec(`INSERT INTO migration VALUES (999, '0999_future.sql', 'x', 0, '99.0.0')`);
  db.close();
  assert.throws(() => sqliteSnapshots.open(newer), SchemaMismatchError);
  const target = await makeFolder(t, 'restored');
  assert.throws(() => sqliteSnapshots.restore(newer, target), /newer Berth/);
  assert.deepEqual(readdirSync(target), []);
});

test('a snapshot into a folder that is not there, or onto a file that is, fails and leaves nothing', async (t) => {
  const { store, folder } = await openTestStore(t);
  await assert.rejects(store.snapshot(join(folder, 'none', 'snapshot')));
  const there = join(folder, 'there');
  writeFileSync(there, 'something');
  await assert.rejects(store.snapshot(there), (error) => !(error instanceof DiskFullError));
  await putManifest(store, app, manifestOf({ note: 'still writing' }));
  assert.ok(existsSync(there));
});
