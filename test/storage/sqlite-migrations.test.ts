// Migrations: forward only, backed up before, refused without a trace when the database is not one for this program.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { programVersion, SchemaMismatchError, shippedMigrations } from '../../src/storage/sqlite/migrate.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { manifestOf, openTestStore, putManifest, repository, tag } from '../support/metadata.ts';
import { startMetadataProcess } from '../support/metadata-process.ts';

const app = repository('team/app');

/** A folder with the migrations of the program and further ones. */
async function migrationsWith(t: TestContext, ...further: readonly string[]): Promise<string> {
  const folder = await makeFolder(t, 'migrations');
  cpSync(shippedMigrations, folder, { recursive: true });
  const first = readdirSync(folder).length + 1;
  for (const [index, sql] of further.entries()) {
    writeFileSync(join(folder, `${String(first + index).padStart(4, '0')}_further.sql`), sql);
  }
  return folder;
}

/** A data folder that a store of the shipped migrations has worked in and closed. */
async function filledFolder(t: TestContext): Promise<string> {
  // As a first start does it, and not from a blank database.
  const folder = await makeFolder(t, 'metadata');
  const { store, close } = await openTestStore(t, { folder });
  await putManifest(store, app, manifestOf({}), { tags: ['v1'] });
  await close();
  return folder;
}

/** Every file that says something: an empty log and the index of a log hold nothing. */
const contentOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/berth\.(lock|pid|db-shm)$/.test(entry.name))
    .map((entry) => ({ name: entry.name, bytes: readFileSync(join(entry.parentPath, entry.name)) }))
    .filter(({ name, bytes }) => name !== 'berth.db-wal' || bytes.length > 0)
    .map(({ name, bytes }) => `${name} ${createHash('sha256').update(bytes).digest('hex')}`)
    .sort();

const backupsIn = (folder: string): string[] =>
  readdirSync(folder).includes('backups') ? readdirSync(join(folder, 'backups')) : [];

test('a new folder needs no backup, and opening it again changes nothing', async (t) => {
  const folder = await filledFolder(t);
  assert.deepEqual(backupsIn(folder), []);
  const before = contentOf(folder);
  const again = await openTestStore(t, { folder });
  await again.close();
  assert.deepEqual(contentOf(folder), before);
});

test('an upgrade keeps what is there and backs it up before', async (t) => {
  const folder = await filledFolder(t);
  const migrationsFolder = await migrationsWith(t, 'CREATE TABLE further (id INTEGER PRIMARY KEY) STRICT;');
  const { store } = await openTestStore(t, { folder, migrationsFolder });
  assert.notEqual(await store.manifests.find(app, { tag: tag('v1') }), undefined);
  const [backup, ...others] = backupsIn(folder);
  assert.deepEqual(others, []);
  assert.match(backup ?? '', /^\d{4}-\d\d-\d\dT\d{6}Z-before-migration-\d+\.db$/);

  // The backup is a database that the older program opens.
  const restored = await makeFolder(t, 'restored');
  copyFileSync(join(folder, 'backups', backup ?? ''), join(restored, 'berth.db'));
  const older = await openTestStore(t, { folder: restored });
  assert.notEqual(await older.store.manifests.find(app, { tag: tag('v1') }), undefined);
});

test('a database of a newer program is refused untouched, and works with the newer one', async (t) => {
  const folder = await filledFolder(t);
  const migrationsFolder = await migrationsWith(t, 'CREATE TABLE further (id INTEGER PRIMARY KEY) STRICT;');
  await (await openTestStore(t, { folder, migrationsFolder })).close();
  const before = contentOf(folder);
  await assert.rejects(openTestStore(t, { folder }), (error) => {
    assert.ok(error instanceof SchemaMismatchError);
    assert.match(error.message, /was written by a newer Berth: use version \d+\.\d+\.\d+ or later/);
    assert.ok(error.message.includes(programVersion()));
    return true;
  });
  assert.deepEqual(contentOf(folder), before);
  await openTestStore(t, { folder, migrationsFolder });
});

test('a database of a newer program is refused untouched also after it was killed', async (t) => {
  const migrationsFolder = await migrationsWith(t, 'CREATE TABLE further (id INTEGER PRIMARY KEY) STRICT;');
  const folder = await makeFolder(t, 'killed');
  const { child, waitFor, ended } = startMetadataProcess(folder, 'push', { migrationsFolder });
  onEnd(t, () => child.kill('SIGKILL'));
  await waitFor((_, lines) => lines.length > 20);
  child.kill('SIGKILL');
  await ended;
  const before = contentOf(folder);
  assert.ok(before.some((line) => line.startsWith('berth.db-wal')));
  await assert.rejects(openTestStore(t, { folder }), SchemaMismatchError);
  assert.deepEqual(contentOf(folder), before);
});

test('a migration that was edited after it was applied is refused', async (t) => {
  const folder = await filledFolder(t);
  const migrationsFolder = await migrationsWith(t);
  const [first = ''] = readdirSync(migrationsFolder);
  const path = join(migrationsFolder, first);
  const sql = readFileSync(path, 'utf8');
  writeFileSync(path, sql.replaceAll('\n', '\r\n'));
  await (await openTestStore(t, { folder, migrationsFolder })).close();
  writeFileSync(path, `${sql}-- edited\n`);
  await assert.rejects(openTestStore(t, { folder, migrationsFolder }), /made with another migrations\/0001_/);
});

test('a migration that fails is taken back whole, and the one before it stays', async (t) => {
  const folder = await filledFolder(t);
  const migrationsFolder = await migrationsWith(
    t,
    'CREATE TABLE second (id INTEGER PRIMARY KEY) STRICT;',
    "INSERT INTO instance (key, value) VALUES ('third', 'x'); INSERT INTO no_such_table VALUES (1);",
  );
  const [failing = ''] = readdirSync(migrationsFolder).sort().slice(-1);
  await assert.rejects(openTestStore(t, { folder, migrationsFolder }), (error: Error) =>
    error.message.includes(`migrations/${failing} failed and was taken back`),
  );
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  assert.equal(
    db.prepare('SELECT max(number) FROM migration').pluck().get(),
    Number(failing.slice(0, 4)) - 1,
  );
  assert.equal(db.prepare("SELECT count(*) FROM instance WHERE key = 'third'").pluck().get(), 0);
  db.close();
});

test('a migration that leaves rows pointing at nothing is taken back', async (t) => {
  const folder = await filledFolder(t);
  const migrationsFolder = await migrationsWith(t, 'DELETE FROM manifest;');
  await assert.rejects(openTestStore(t, { folder, migrationsFolder }), /rows that point at nothing/);
  const { store } = await openTestStore(t, { folder });
  assert.notEqual(await store.manifests.find(app, { tag: tag('v1') }), undefined);
});

test('kill -9 at any moment of an upgrade is harmless', async (t) => {
  const migrationsFolder = await migrationsWith(
    t,
    `CREATE TABLE second (id INTEGER PRIMARY KEY, filling TEXT NOT NULL) STRICT;
     WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 60000)
     INSERT INTO second (id, filling) SELECT n, hex(randomblob(40)) FROM number;`,
    'CREATE INDEX second_by_filling ON second (filling);',
  );
  const folder = await filledFolder(t);
  for (let round = 0; round < 7; round += 1) {
    const upgrading = startMetadataProcess(folder, 'open', { migrationsFolder });
    onEnd(t, () => upgrading.child.kill('SIGKILL'));
    await sleep(110 + 50 * round);
    upgrading.child.kill('SIGKILL');
    await upgrading.ended;
    assert.ok(!upgrading.lines.some((line) => line.startsWith('refused')), upgrading.lines.join());
  }
  const { store, close } = await openTestStore(t, { folder, migrationsFolder });
  assert.notEqual(await store.manifests.find(app, { tag: tag('v1') }), undefined);
  await close();
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  assert.equal(db.prepare('SELECT count(*) FROM second').pluck().get(), 60_000);
  assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
  assert.ok(backupsIn(folder).length > 0);
  assert.ok(backupsIn(folder).every((file) => file.endsWith('.db')));
});

test('kill -9 at any moment of the first start is harmless', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const folder = await makeFolder(t, 'first');
    const starting = startMetadataProcess(folder, 'open');
    onEnd(t, () => starting.child.kill('SIGKILL'));
    await sleep(70 + 35 * round);
    starting.child.kill('SIGKILL');
    await starting.ended;
    const { store } = await openTestStore(t, { folder });
    await putManifest(store, app, manifestOf({}));
  }
});
