// A damaged, empty or missing database is noticed at start and never replaced by an empty one.
import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { SchemaMismatchError } from '../../src/storage/sqlite/migrate.ts';
import { DamagedDatabaseError } from '../../src/storage/sqlite/prepare-database.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { linkBlob, manifestOf, openTestStore, putManifest, repository, tag } from '../support/metadata.ts';
import { startMetadataProcess } from '../support/metadata-process.ts';

const app = repository('team/app');

async function filledFolder(t: TestContext): Promise<{ folder: string; database: string }> {
  const { store, folder, close } = await openTestStore(t);
  for (let number = 0; number < 50; number += 1) {
    const blobs = [await linkBlob(store, app, `layer ${number}`)];
    await putManifest(store, app, manifestOf({ blobs }), { tags: [`v${number}`] });
  }
  await close();
  return { folder, database: join(folder, 'berth.db') };
}

async function expectDamage(t: TestContext, folder: string, what: RegExp): Promise<void> {
  const database = join(folder, 'berth.db');
  const before = existsSync(database) ? readFileSync(database) : undefined;
  await assert.rejects(openTestStore(t, { folder }), (error) => {
    assert.ok(error instanceof DamagedDatabaseError, String(error));
    assert.match(error.message, what);
    assert.match(error.message, /Nothing was changed/);
    assert.ok(error.message.includes('berth.db-wal'));
    return true;
  });
  assert.deepEqual(existsSync(database) ? readFileSync(database) : undefined, before);
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}

test('a database cut in half is damaged', async (t) => {
  const { folder, database } = await filledFolder(t);
  const half = Math.floor(statSync(database).size / 2);
  truncateSync(database, half);
  await expectDamage(t, folder, /is damaged/);
  truncateSync(database, half - (half % 4096) + 4096);
  await expectDamage(t, folder, /is damaged/);
});

test('an empty file is not a new database where the folder belongs to a registry', async (t) => {
  const { folder, database } = await filledFolder(t);
  writeFileSync(database, '');
  await expectDamage(t, folder, /is empty/);
});

test('a missing database is not made anew where the folder belongs to a registry', async (t) => {
  const { folder, database } = await filledFolder(t);
  rmSync(database);
  await expectDamage(t, folder, /is missing/);
  assert.equal(existsSync(database), false);
});

test('a page that was overwritten is damaged', async (t) => {
  const { folder, database } = await filledFolder(t);
  const db = new Database(database, { readonly: true });
  const page = Number(db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'manifest'").pluck().get());
  db.close();
  overwrite(database, (page - 1) * 4096, Buffer.alloc(4096, 0x5a));
  await expectDamage(t, folder, /is damaged/);
});

test('a file that is no database is damaged', async (t) => {
  const { folder, database } = await filledFolder(t);
  overwrite(database, 0, Buffer.from('certainly not SQLite'));
  await expectDamage(t, folder, /is damaged/);
});

test('a database that lost its end while a log of a killed process is there is damaged', async (t) => {
  const folder = await makeFolder(t, 'killed');
  const { child, waitFor, ended } = startMetadataProcess(folder, 'push');
  onEnd(t, () => child.kill('SIGKILL'));
  const database = join(folder, 'berth.db');
  // Far enough for a checkpoint, after which the log no longer holds every page.
  await waitFor(() => existsSync(database) && statSync(database).size > 2_000_000);
  await waitFor((_, lines) => lines.length > 100);
  child.kill('SIGKILL');
  await ended;
  assert.ok(statSync(`${database}-wal`).size > 0);
  truncateSync(database, 65_536);
  await expectDamage(t, folder, /is damaged/);
});

test('the message names the newest automatic backup, and its advice works', async (t) => {
  const { folder, database } = await filledFolder(t);
  mkdirSync(join(folder, 'backups'));
  const backup = join(folder, 'backups', '2026-01-02T030405Z-before-migration-2.db');
  cpSync(database, backup);
  cpSync(database, join(folder, 'backups', '2025-01-02T030405Z-before-migration-1.db'));
  truncateSync(database, 8192);
  await expectDamage(
    t,
    folder,
    /The newest automatic backup is \S+2026-01-02T030405Z-before-migration-2\.db\./,
  );
  for (const file of ['berth.db', 'berth.db-wal', 'berth.db-shm'])
    rmSync(join(folder, file), { force: true });
  cpSync(backup, database);
  const { store } = await openTestStore(t, { folder });
  assert.notEqual(await store.manifests.find(app, { tag: tag('v7') }), undefined);
});

test('the database of another registry is refused', async (t) => {
  const one = await filledFolder(t);
  const two = await filledFolder(t);
  cpSync(two.database, one.database);
  await assert.rejects(openTestStore(t, { folder: one.folder }), /database of another registry/);
});

test('a database of another program is refused', async (t) => {
  const folder = await makeFolder(t, 'foreign');
  const db = new Database(join(folder, 'berth.db'));
  db.exec('CREATE TABLE something (id INTEGER)');
  db.close();
  await assert.rejects(openTestStore(t, { folder }), SchemaMismatchError);
});

test('a lost marker is written again from the database', async (t) => {
  const { folder } = await filledFolder(t);
  const marker = join(folder, 'berth.instance');
  const content = readFileSync(marker, 'utf8');
  rmSync(marker);
  const { close } = await openTestStore(t, { folder });
  await close();
  assert.equal(readFileSync(marker, 'utf8'), content);
});

test('the log of a killed process is taken over whole', async (t) => {
  const folder = await makeFolder(t, 'killed');
  const { child, waitFor, ended } = startMetadataProcess(folder, 'push');
  onEnd(t, () => child.kill('SIGKILL'));
  const pushed = await waitFor((line) => line.startsWith('t3-'));
  child.kill('SIGKILL');
  await ended;
  const { store, close } = await openTestStore(t, { folder });
  assert.notEqual(await store.manifests.find(app, { tag: tag(pushed) }), undefined);
  await close();
  assert.equal(existsSync(join(folder, 'berth.db-wal')), false);
});
