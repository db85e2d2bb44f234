// An older database that somebody puts back over newer files: none of them goes before an administrator has said so. And what is no
// such thing raises no alarm: crashes at any step, copies and restores of whole folders.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Connection, openReader, openWriter } from '../../src/storage/sqlite/connection.ts';
import { Epoch, epochPrefix } from '../../src/storage/sqlite/epoch.ts';
import { EpochWrites } from '../../src/storage/sqlite/epoch-writes.ts';
import { sqliteSnapshots } from '../../src/storage/sqlite/snapshot.ts';
import { writeBlankDatabase } from '../support/blank-database.ts';
import { freeRun, listFiles, openCare, pushBlob, pushImage, type TestCare } from '../support/care.ts';
import { type Cleanup, makeFolder, onEnd } from '../support/cleanup.ts';
import { alice, type ManualClock, manualClock, openTestStore, repository } from '../support/metadata.ts';

const app = repository('team/app');
const plain = { dryRun: false, now: false, force: false };
const day = 86_400;

const databaseFiles = ['berth.db', 'berth.db-wal', 'berth.db-shm'];
const startOf = (): ManualClock => manualClock(Math.floor(Date.now() / 1000));

/** The database of `from` over that of `to`. */
function putBack(from: string, to: string): void {
  for (const file of databaseFiles) rmSync(join(to, file), { force: true });
  for (const file of databaseFiles)
    cpSync(join(from, file), join(to, file), { force: true, filter: isThere });
}

const isThere = (path: string): boolean =>
  readdirSync(join(path, '..')).includes(path.split('/').at(-1) ?? '');

/** A registry with one image, whose database is in `older` as it is then, and after that with a second image. Both are stopped. */
async function makeNewer(
  t: Cleanup,
  clock: ManualClock,
  options: { readonly whileRunning?: boolean } = {},
): Promise<{ readonly folder: string; readonly older: string; readonly newer: readonly string[] }> {
  const [folder, older] = [await makeFolder(t, 'newer'), await makeFolder(t, 'older')];
  const first = await openCare(t, { folder, clock });
  await pushImage(first.registry, app, [await pushBlob(first.registry, app, 'yesterday')], 'v1');
  let second: TestCare = first;
  if (options.whileRunning === true) await first.registry.metadata.snapshot(join(older, 'berth.db'));
  else {
    await first.close();
    putBack(folder, older);
    second = await openCare(t, { folder, clock });
  }
  const before = await listFiles(folder);
  await pushImage(second.registry, app, [await pushBlob(second.registry, app, 'today')], 'v2');
  await second.close();
  assert.deepEqual([...first.failures, ...second.failures], []);
  return { folder, older, newer: (await listFiles(folder)).filter((file) => !before.includes(file)) };
}

/** Files are dated by the kernel, and a test cannot wait for a day. */
async function age(folder: string, clock: ManualClock): Promise<void> {
  clock.advance(2 * day);
  const longAgo = clock.unixSeconds() - 1.5 * day;
  for (const file of await listFiles(folder)) await utimes(join(folder, 'blobs', file), longAgo, longAgo);
}

const collect = async ({ registry }: TestCare, request: Partial<typeof plain> = {}) =>
  (await registry.collector.collect(freeRun(), { ...plain, ...request })).orphans;

for (const whileRunning of [false, true]) {
  const how = whileRunning ? 'copied while it ran' : 'copied after a stop';
  test(`an older database, ${how}, costs no newer file until a run is forced`, async (t) => {
    const clock = startOf();
    const { folder, older, newer } = await makeNewer(t, clock, { whileRunning });
    assert.ok(newer.length > 0);
    putBack(older, folder);
    clock.advance(60);
    let care = await openCare(t, { folder, clock });
    const held = { blobs: newer.length, bytes: 'today'.length, stopped: 'another database' };
    // At once, and not only when they are a day old.
    assert.deepEqual(await collect(care, { dryRun: true }), held);
    await age(folder, clock);
    for (const request of [{}, { now: true }, {}]) assert.deepEqual(await collect(care, request), held);
    // It is remembered, also where the start after that finds nothing strange any more.
    await care.close();
    care = await openCare(t, { folder, clock });
    clock.advance(2 * day);
    assert.deepEqual(await collect(care), held);
    for (const file of newer) assert.ok((await listFiles(folder)).includes(file));
    assert.deepEqual(await collect(care, { force: true }), { blobs: newer.length, bytes: 'today'.length });
    for (const file of newer) assert.ok(!(await listFiles(folder)).includes(file));
    assert.equal(await care.registry.metadata.care.collector.otherDatabaseSince(), undefined);
    await care.close();
    care = await openCare(t, { folder, clock });
    assert.deepEqual(await collect(care), { blobs: 0, bytes: 0 });
    assert.deepEqual(care.failures, []);
  });
}

test('an older database takes nothing back by its own leases and deletions, so that the newer one finds all its layers', async (t) => {
  const clock = startOf();
  const folder = await makeFolder(t, 'newer');
  const [older, newest] = [await makeFolder(t, 'older'), await makeFolder(t, 'newest')];
  const first = await openCare(t, { folder, clock });
  // The image of the one comes a minute after the copy, and that of the other is restored.
  const layer = await pushBlob(first.registry, app, 'a layer');
  const image = [await pushBlob(first.registry, app, 'deleted')];
  const deleted = await pushImage(first.registry, app, image, 'v0');
  await first.registry.manifests.remove(app, { digest: deleted }, alice);
  await first.close();
  putBack(folder, older);
  const second = await openCare(t, { folder, clock });
  await pushImage(second.registry, app, [layer], 'v1');
  await pushImage(second.registry, app, image, 'v0');
  await second.close();
  putBack(folder, newest);
  const files = await listFiles(folder);
  putBack(older, folder);
  clock.advance(60);
  let care = await openCare(t, { folder, clock });
  for (const request of [{}, { now: true }, {}, { dryRun: true }]) {
    clock.advance(20 * day);
    const report = await care.registry.collector.collect(freeRun(), { ...plain, ...request });
    assert.equal(report.stopped, 'another database');
    // What would go is told.
    assert.deepEqual(report.freed, { blobs: 2, bytes: 'a layer'.length + 'deleted'.length, manifests: 1 });
    assert.deepEqual(report.files, { removed: 0, waiting: 0 });
    assert.deepEqual(report.expired, { links: 0, aliases: 0, history: 0 });
  }
  await care.close();
  assert.deepEqual(await listFiles(folder), files);
  putBack(newest, folder);
  care = await openCare(t, { folder, clock });
  assert.equal((await care.registry.scrub.scrub(freeRun(), { deep: true, repair: false })).sound, true);
  assert.deepEqual(care.failures, []);
});

test('files that an older database has queued stay, in the regular sweep too, until a run is forced', async (t) => {
  const clock = startOf();
  const folder = await makeFolder(t, 'newer');
  const older = await makeFolder(t, 'older');
  const first = await openCare(t, { folder, clock });
  await pushBlob(first.registry, app, 'queued');
  clock.advance(2 * day);
  const queued = await first.registry.collector.collect(freeRun(), plain);
  assert.deepEqual(queued.files, { removed: 0, waiting: 1 });
  await first.close();
  putBack(folder, older);
  await (await openCare(t, { folder, clock })).close();
  putBack(older, folder);
  const care = await openCare(t, { folder, clock });
  clock.advance(2 * day);
  await care.registry.sweep.removeDueUnlinks();
  for (const request of [{}, { dryRun: true }]) {
    const { files, stopped } = await care.registry.collector.collect(freeRun(), { ...plain, ...request });
    assert.deepEqual([files, stopped], [{ removed: 0, waiting: 1 }, 'another database']);
  }
  const forced = await care.registry.collector.collect(freeRun(), { ...plain, force: true });
  assert.deepEqual([forced.files, forced.stopped], [{ removed: 1, waiting: 0 }, undefined]);
  assert.deepEqual(await listFiles(folder), []);
});

test('a forced run that a backup stops decides nothing yet', async (t) => {
  const clock = startOf();
  const { folder, older, newer } = await makeNewer(t, clock);
  putBack(older, folder);
  clock.advance(60);
  const { registry } = await openCare(t, { folder, clock });
  const release = await registry.unlinks.hold();
  const stopped = await registry.collector.collect(freeRun(), { ...plain, force: true });
  assert.equal(stopped.stopped, 'backup running');
  release();
  assert.equal((await registry.collector.collect(freeRun(), plain)).stopped, 'another database');
  for (const file of newer) assert.ok((await listFiles(folder)).includes(file));
});

test('a forced run takes what the other database knew, also what is not a day old, so that nothing of it goes later unasked', async (t) => {
  const clock = startOf();
  const { folder, older, newer } = await makeNewer(t, clock);
  putBack(older, folder);
  clock.advance(60);
  const care = await openCare(t, { folder, clock });
  assert.equal((await collect(care, { force: true })).blobs, newer.length);
  assert.equal(await care.registry.metadata.care.collector.otherDatabaseSince(), undefined);
});

test('a collection before the first renewal, and after a kill, holds them as well', async (t) => {
  const clock = startOf();
  const { folder, older, newer } = await makeNewer(t, clock);
  putBack(older, folder);
  for (const start of [1, 2]) {
    const { store, close } = await openTestStore(t, { folder, clock });
    // Nothing was renewed: what the killed process knew is found again.
    assert.equal(typeof (await store.care.collector.otherDatabaseSince()), 'number', `start ${start}`);
    await close();
  }
  const care = await openCare(t, { folder, clock });
  await age(folder, clock);
  assert.equal((await collect(care)).blobs, newer.length);
});

test('when the newer database comes back, what was pushed to the older one meanwhile is held', async (t) => {
  const clock = startOf();
  const { folder, older } = await makeNewer(t, clock);
  const newest = await makeFolder(t, 'newest');
  putBack(folder, newest);
  putBack(older, folder);
  const between = await openCare(t, { folder, clock });
  await between.registry.metadata.renewEpoch();
  await pushBlob(between.registry, app, 'between');
  await between.close();
  putBack(newest, folder);
  const care = await openCare(t, { folder, clock });
  await age(folder, clock);
  assert.deepEqual(await collect(care), { blobs: 1, bytes: 'between'.length, stopped: 'another database' });
});

test('a whole older folder that is unpacked over a newer one is found out, too', async (t) => {
  const clock = startOf();
  const [folder, older] = [await makeFolder(t, 'newer'), await makeFolder(t, 'older')];
  const first = await openCare(t, { folder, clock });
  await pushBlob(first.registry, app, 'yesterday');
  await first.close();
  cpSync(folder, older, { recursive: true });
  const second = await openCare(t, { folder, clock });
  await pushBlob(second.registry, app, 'today');
  await second.close();
  cpSync(older, folder, { recursive: true });
  const care = await openCare(t, { folder, clock });
  await age(folder, clock);
  assert.deepEqual(await collect(care), { blobs: 1, bytes: 5, stopped: 'another database' });
});

test('a newer folder that is copied over an older copy of it is held, which costs nothing', async (t) => {
  const clock = startOf();
  const folder = await makeFolder(t, 'newer');
  const copy = await makeFolder(t, 'copy');
  const first = await openCare(t, { folder, clock });
  await first.close();
  cpSync(folder, copy, { recursive: true });
  const second = await openCare(t, { folder, clock });
  await second.registry.metadata.renewEpoch();
  await second.close();
  cpSync(folder, copy, { recursive: true });
  assert.equal(readdirSync(copy).filter((file) => file.startsWith(epochPrefix)).length, 2);
  const care = await openCare(t, { folder: copy, clock });
  const { collector } = care.registry;
  assert.equal((await collector.collect(freeRun(), plain)).stopped, 'another database');
  assert.equal((await collector.collect(freeRun(), { ...plain, force: true })).stopped, undefined);
  assert.equal((await collector.collect(freeRun(), plain)).stopped, undefined);
});

test('a database from before there were epochs is older than a folder that has one', async (t) => {
  const clock = startOf();
  const { folder, older } = await makeNewer(t, clock);
  const db = openWriter(join(older, 'berth.db'));
  db.exec(`DELETE FROM instance WHERE key LIKE 'epoch%'`);
  db.close();
  putBack(older, folder);
  const { registry } = await openCare(t, { folder, clock });
  assert.equal(typeof (await registry.metadata.care.collector.otherDatabaseSince()), 'number');
});

test('restarts, copies of the whole folder and a folder without the file raise no alarm', async (t) => {
  const clock = startOf();
  const { folder } = await makeNewer(t, clock);
  const copy = await makeFolder(t, 'copy');
  cpSync(folder, copy, { recursive: true });
  const bare = await makeFolder(t, 'bare');
  cpSync(folder, bare, { recursive: true });
  const epochsIn = (place: string) => readdirSync(place).filter((file) => file.startsWith(epochPrefix));
  for (const file of epochsIn(bare)) rmSync(join(bare, file));
  for (const place of [folder, copy, bare]) {
    for (let start = 0; start < 3; start += 1) {
      const care = await openCare(t, { folder: place, clock });
      const { metadata } = care.registry;
      if (start === 1) await metadata.renewEpoch();
      assert.equal(await metadata.care.collector.otherDatabaseSince(), undefined);
      assert.equal(epochsIn(place).length, start === 0 && place === bare ? 0 : 1);
      await care.close();
      assert.deepEqual(care.failures, []);
    }
  }
});

test('files that a crash left go in a registry that was restored, and where files of another database were held', async (t) => {
  const clock = startOf();
  const { folder, older } = await makeNewer(t, clock);
  putBack(older, folder);
  const care = await openCare(t, { folder, clock });
  await care.registry.metadata.renewEpoch();
  assert.equal(typeof (await care.registry.metadata.care.collector.otherDatabaseSince()), 'number');
  const restored = join(await makeFolder(t, 'restored'), 'data');
  mkdirSync(restored);
  const snapshot = join(older, 'snapshot.db');
  await care.registry.metadata.snapshot(snapshot);
  sqliteSnapshots.restore(snapshot, restored).finish();
  const { store } = await openTestStore(t, { folder: restored, clock });
  assert.equal(await store.care.collector.otherDatabaseSince(), undefined);
});

test('a folder that cannot be read or written keeps nobody from starting, and the renewal is made up for', async (t) => {
  const folder = join(await makeFolder(t, 'gone'), 'later');
  const place = await makeFolder(t, 'database');
  writeBlankDatabase(place);
  const db = openWriter(join(place, 'berth.db'));
  onEnd(t, () => db.close());
  const epoch = new Epoch({ folder, reader: db, at: 0 });
  const written: string[] = [];
  const writer = writerOver(db, () => {}, written);
  for (let attempt = 0; attempt < 3; attempt += 1)
    await assert.rejects(epoch.renew(writer), { code: 'ENOENT' });
  // No further one begins before the folder has this one.
  assert.equal(written.length, 1);
  mkdirSync(folder);
  await epoch.renew(writer);
  assert.deepEqual(readdirSync(folder), [`${epochPrefix}${written.at(-1)}`]);
  assert.equal(new Epoch({ folder, reader: db, at: 0 }).heldSince(), undefined);
});

// ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface State {
  readonly folder: string;
  readonly db: Connection;
}

/** Commits renewals, and does `step` before and after each. */
function writerOver(db: Connection, step: () => void, written: string[] = []): Parameters<Epoch['renew']>[0] {
  const writes = new EpochWrites(db);
  const run = async (_name: string, input: Parameters<EpochWrites['renewEpoch']>[1]): Promise<void> => {
    step();
    writes.renewEpoch({ at: 0, ticks: 0 }, input);
    written.push(input.epoch);
    step();
  };
  return { run: run as never };
}

/** Renews in `folder` until `stopAt` steps were made, then leaves everything as a killed process does. True when it got to the end. */
async function renewUntil({ folder, db }: State, stopAt: number): Promise<boolean> {
  const killed = new Error('killed');
  let steps = 0;
  const step = (): void => {
    steps += 1;
    if (steps > stopAt) throw killed;
  };
  const reader = openReader(db.name);
  const epoch = new Epoch({ folder, reader, at: 0 });
  assert.equal(epoch.heldSince(), undefined, `a false alarm before ${stopAt} steps`);
  try {
    // The second renewal goes on from a first one that is whole.
    for (let renewal = 0; renewal < 2; renewal += 1) await epoch.renew(writerOver(db, step));
    return true;
  } catch (error) {
    assert.equal(error, killed);
    return false;
  } finally {
    reader.close();
  }
}

test('a kill before or after any commit of a renewal, any number of times, is no alarm', async (t) => {
  const folder = await makeFolder(t, 'killed');
  writeBlankDatabase(folder);
  const db = openWriter(join(folder, 'berth.db'));
  onEnd(t, () => db.close());
  for (const stops of [[0, 0], [1, 1, 1], [0, 1, 2, 3], [2, 2, 1], [3, 1, 0, 3], [9], [1, 9, 1, 9]])
    for (const stopAt of stops) await renewUntil({ folder, db }, stopAt);
  assert.equal(await renewUntil({ folder, db }, 9), true);
});
