// The scrub over real files and a real database: damage of every kind is found, quarantined, and healed.
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { OciError } from '../../src/oci/errors.ts';
import { BackgroundScrub } from '../../src/registry/background-scrub.ts';
import { freeRun, listFiles, openCare, pushBlob, pushImage } from '../support/care.ts';
import {
  alice,
  blobDigest,
  keepTimes,
  manifestOf,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';

const app = repository('team/app');
const isUnknown = (error: unknown) => error instanceof OciError && error.code === 'BLOB_UNKNOWN';
const look = { deep: false, repair: false };
const deep = { deep: true, repair: false };
const repair = { deep: true, repair: true };

const spoilings = {
  flipped: async (path: string) => {
    const bytes = await readFile(path);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    await writeFile(path, bytes);
  },
  truncated: (path: string) => truncate(path, 2),
  deleted: (path: string) => rm(path),
} as const;

for (const [way, spoil] of Object.entries(spoilings)) {
  test(`a ${way} blob is found, answered 404, listed with its tags, and healed by the next push`, async (t) => {
    const { registry, folder, damage } = await openCare(t);
    const digest = await pushBlob(registry, app, 'layer');
    await pushImage(registry, app, [digest], 'v1');
    assert.equal((await registry.scrub.scrub(freeRun(), deep)).sound, true);
    const [location = ''] = await listFiles(folder);
    await spoil(join(folder, 'blobs', location));
    const shallow = await registry.scrub.scrub(freeRun(), look);
    assert.equal(shallow.sound, way === 'flipped');
    const report = await registry.scrub.scrub(freeRun(), deep);
    assert.equal(report.sound, false);
    assert.equal(damage.length, 1);
    assert.equal(report.blobs.damaged + report.blobs.known, 1);
    assert.equal(report.faults.length, 1);
    await assert.rejects(registry.blobs.find(app, digest), isUnknown);
    const { items } = await registry.metadata.care.scrub.listDamaged({ limit: 10 });
    assert.deepEqual(
      items.map((item) => [item.digest, item.touches]),
      [[digest, [{ repository: app, tags: ['v1'] }]]],
    );
    await pushBlob(registry, app, 'layer');
    await registry.blobs.find(app, digest);
    assert.equal((await registry.scrub.scrub(freeRun(), deep)).sound, true);
    assert.deepEqual((await registry.metadata.care.scrub.listDamaged({ limit: 10 })).items, []);
  });
}

test('a repair takes a blob out of quarantine whose file is whole again, or of which there is another copy', async (t) => {
  const { registry, folder } = await openCare(t);
  const first = await pushBlob(registry, app, 'comes back');
  const second = await pushBlob(registry, app, 'has a copy');
  const files = await listFiles(folder);
  for (const digest of [first, second]) {
    const location = files.find((file) => file.includes(digest.slice(7))) ?? '';
    const path = join(folder, 'blobs', location);
    const beside =
      digest === first ? join(folder, 'kept') : `${path.slice(0, -26)}00000000000000000000000001`;
    await copyFile(path, beside);
    await truncate(path, 1);
    const report = await registry.scrub.scrub(freeRun(), look);
    assert.equal(report.blobs.damaged, 1);
    if (digest === first) await copyFile(beside, path);
    const repaired = await registry.scrub.scrub(freeRun(), repair);
    assert.equal(repaired.blobs.healed, 1);
    await registry.blobs.find(app, digest);
  }
  assert.equal((await registry.scrub.scrub(freeRun(), deep)).sound, true);
});

test('files that no row names are counted and left to the collector', async (t) => {
  const { registry, folder } = await openCare(t);
  await pushBlob(registry, app, 'layer');
  const [location = ''] = await listFiles(folder);
  await writeFile(join(folder, 'blobs', `${location.slice(0, -26)}00000000000000000000000001`), 'wrong');
  const report = await registry.scrub.scrub(freeRun(), repair);
  assert.deepEqual(report.unknownFiles, { files: 1, bytes: 5 });
  assert.equal((await listFiles(folder)).length, 2);
});

test('lost edges, wrong leases and changed manifests are found; edges and leases are mended', async (t) => {
  const { registry, folder } = await openCare(t);
  const blobs = [await pushBlob(registry, app, 'config'), await pushBlob(registry, app, 'layer')];
  await pushImage(registry, app, blobs, 'v1');
  const free = await pushBlob(registry, app, 'free');
  const db = new Database(join(folder, 'berth.db'));
  db.exec('DELETE FROM manifest_blob WHERE blob_id = (SELECT min(blob_id) FROM manifest_blob)');
  db.prepare(
    'UPDATE repository_blob SET lease_ticks = NULL WHERE blob_id = (SELECT id FROM blob WHERE digest = ?)',
  ).run(free);
  const found = await registry.scrub.scrub(freeRun(), look);
  assert.deepEqual([found.manifests.edgesMissing, found.links.wrong, found.sound], [1, 2, false]);
  await registry.scrub.scrub(freeRun(), repair);
  const after = await registry.scrub.scrub(freeRun(), look);
  assert.deepEqual([after.manifests.edgesMissing, after.links.wrong, after.sound], [0, 0, true]);
  assert.equal((await registry.blobs.find(app, free)).lease, keepTimes.leaseSeconds);
  db.exec(`UPDATE manifest SET bytes = CAST(replace(CAST(bytes AS TEXT), '1', '2') AS BLOB)`);
  db.close();
  const changed = await registry.scrub.scrub(freeRun(), look);
  assert.deepEqual([changed.manifests.damaged, changed.sound], [1, false]);
});

const wrongCounts: Readonly<Record<string, readonly [spoil: string, told: RegExp]>> = {
  'the total of blobs': [
    `UPDATE total SET items = items + 1, bytes = bytes + 7 WHERE kind = 'blob'`,
    /^the total of blobs is off by 1 and 7 bytes$/,
  ],
  'the total of manifests': [
    `UPDATE total SET items = 0 WHERE kind = 'manifest'`,
    /^the total of manifests is off by -2 and 0 bytes$/,
  ],
  'the total of tags': [`UPDATE total SET items = 3 WHERE kind = 'tag'`, /^the total of tags is off by 1 /],
  'the uploads': [`UPDATE total SET items = 9 WHERE kind = 'upload'`, /^the total of uploads is off by 9 /],
  'what a namespace uses': [
    `UPDATE namespace SET used_bytes = 1000 WHERE name = 'team'`,
    /^namespace team: what it uses is off by \d+ bytes$/,
  ],
  'the manifests of a repository': [
    `UPDATE repository SET manifests = 0 WHERE name = 'team/app'`,
    /^repository team\/app: the count of its manifests is off by -1$/,
  ],
  'how many repositories have a blob': [
    'UPDATE namespace_blob SET links = links + 1 WHERE blob_id = (SELECT max(blob_id) FROM namespace_blob)',
    /^blob \d+ in namespace \d+: the count of its repositories is wrong$/,
  ],
  'a blob that a namespace is not said to have': [
    'DELETE FROM namespace_blob WHERE blob_id = (SELECT min(blob_id) FROM namespace_blob)',
    /^blob 1 in namespace \d+: the count of its repositories is wrong$/,
  ],
  'tags of a repository': [
    `UPDATE repository SET tags = 7 WHERE name = 'team/app'`,
    /^repository team\/app: the count of its tags is off by 6$/,
  ],
  'bytes of a repository': [
    `UPDATE repository SET linked_bytes = linked_bytes - 3 WHERE name = 'team/app'`,
    /^repository team\/app: what it takes is off by -3 bytes, of its own 0$/,
  ],
  'own bytes of a repository': [
    `UPDATE repository SET own_bytes = own_bytes + 5 WHERE name = 'team/other'`,
    /^repository team\/other: what it takes is off by 0 bytes, of its own 5$/,
  ],
  'tags of a manifest': [
    `UPDATE manifest_summary SET tags = 0 WHERE manifest_id = (SELECT min(id) FROM manifest)`,
    /^manifest team\/app@sha256:[0-9a-f]{64}: the count of its tags is off by -1$/,
  ],
  'the size of an image': [
    `UPDATE manifest_summary SET size = size + 9 WHERE manifest_id = (SELECT min(id) FROM manifest)`,
    /^manifest team\/app@sha256:[0-9a-f]{64}: its size is off by 9 bytes$/,
  ],
  'a manifest that lists do not know': [
    `DELETE FROM manifest_summary WHERE manifest_id = (SELECT min(id) FROM manifest)`,
    /^manifest team\/app@sha256:[0-9a-f]{64}: lists do not know it$/,
  ],
  'a blob that a namespace is said to have': [
    `INSERT INTO namespace_blob (namespace_id, blob_id, links) SELECT n.id, b.id, 1 FROM namespace n, blob b
      WHERE n.name = 'library' AND b.id = (SELECT min(id) FROM blob)`,
    /^blob 1 in namespace \d+: the count of its repositories is wrong$/,
  ],
};

test('every count that is kept beside what it counts is found wrong, and put right by a repair', async (t) => {
  const { registry, folder, clock } = await openCare(t);
  const other = repository('team/other');
  const shared = await pushBlob(registry, app, 'shared');
  await pushImage(registry, app, [shared, await pushBlob(registry, app, 'own')], 'v1');
  await pushImage(registry, other, [await pushBlob(registry, other, 'shared')], 'v1');
  await pushBlob(registry, repository('library'), 'elsewhere');
  const { metadata } = registry;
  const use = async () => (await metadata.care.quotas.find('team'))?.used;
  const before = [await metadata.repositories.totals(), await use()];
  assert.equal((await registry.scrub.scrub(freeRun(), look)).sound, true);
  const db = new Database(join(folder, 'berth.db'));
  for (const [what, [spoil, told]] of Object.entries(wrongCounts)) {
    assert.ok(db.prepare(spoil).run().changes > 0, what);
    const found = await registry.scrub.scrub(freeRun(), look);
    assert.deepEqual([found.counts.wrong, found.sound, found.faults.length], [1, false, 1], what);
    assert.match(found.faults[0] ?? '', told);
    const repaired = await registry.scrub.scrub(freeRun(), repair);
    assert.deepEqual([repaired.counts.wrong, repaired.sound], [1, true], what);
    assert.deepEqual([await metadata.repositories.totals(), await use()], before, what);
  }
  // All at once, on a registry of which much is gone again.
  for (const [spoil] of Object.values(wrongCounts)) db.exec(spoil);
  await registry.manifests.remove(other, { tag: tag('v1') }, alice);
  assert.equal((await registry.scrub.scrub(freeRun(), repair)).sound, true);
  clock.advance(keepTimes.leaseSeconds);
  await registry.collector.collect(freeRun(), { dryRun: false, now: true, force: true });
  assert.equal((await registry.scrub.scrub(freeRun(), look)).sound, true);
  db.close();
});

test('an index has the size of all that it lists, also what arrives later, and a repair gives it back', async (t) => {
  const { registry, folder } = await openCare(t);
  const { metadata } = registry;
  const late = blobDigest('late');
  const early = await pushBlob(registry, app, 'early');
  const image = await putManifest(metadata, app, manifestOf({ blobs: [early, late] }), { sparse: 'all' });
  const inner = await putManifest(metadata, app, manifestOf({ children: [image] }));
  await putManifest(metadata, app, manifestOf({ children: [inner, image] }), { tags: ['multi'] });
  const size = async () => (await metadata.tags.find(app, tag('multi')))?.size;
  assert.equal(await size(), 'early'.length);
  await pushBlob(registry, app, 'late');
  const whole = 'early'.length + 'late'.length;
  assert.equal(await size(), whole);
  const { scrub } = metadata.care;
  assert.deepEqual(await scrub.checkCounts({}), { faults: [], more: false });
  const db = new Database(join(folder, 'berth.db'));
  for (const [spoil, wrong] of [
    [`UPDATE manifest_summary SET size = 1 WHERE kind = 'index'`, 2],
    ['DELETE FROM manifest_summary', 3],
  ] as const) {
    db.exec(spoil);
    const { faults } = await scrub.checkCounts({});
    assert.equal(faults.length, wrong);
    await scrub.repairCounts(faults);
    assert.deepEqual(await scrub.checkCounts({}), { faults: [], more: false });
    assert.equal(await size(), whole);
  }
  db.close();
});

test('more wrong counts than one look lists are all put right', async (t) => {
  const { registry, folder } = await openCare(t);
  await pushBlob(registry, app, 'layer');
  const db = new Database(join(folder, 'berth.db'));
  db.exec(`INSERT INTO repository (namespace_id, name, state, manifests, created_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
    SELECT (SELECT id FROM namespace WHERE name = 'team'), 'team/r' || i, 'live', 1, 0 FROM n`);
  const found = await registry.scrub.scrub(freeRun(), look);
  assert.deepEqual([found.counts.wrong, found.faults.length], [10_000, 100]);
  const repaired = await registry.scrub.scrub(freeRun(), repair);
  assert.equal(repaired.counts.wrong, 10_050);
  assert.equal((await registry.scrub.scrub(freeRun(), look)).sound, true);
  db.close();
});

test('a count is put right by what it was off, whatever is pushed meanwhile', async (t) => {
  const { registry, folder } = await openCare(t);
  await pushBlob(registry, app, 'layer');
  const db = new Database(join(folder, 'berth.db'));
  db.exec(`UPDATE total SET items = 5, bytes = 0 WHERE kind = 'blob'`);
  db.exec(`UPDATE namespace SET used_bytes = 1 WHERE name = 'team'`);
  db.close();
  const { scrub, quotas } = registry.metadata.care;
  const { faults, more } = await scrub.checkCounts({});
  assert.deepEqual([faults.length, more], [2, false]);
  await pushBlob(registry, app, 'meanwhile');
  await scrub.repairCounts(faults);
  assert.deepEqual(await scrub.checkCounts({}), { faults: [], more: false });
  assert.equal((await quotas.find('team'))?.used.bytes, 'layer'.length + 'meanwhile'.length);
});

test('a database with rows that point at nothing is not sound, and then nothing is collected', async (t) => {
  const { registry, folder, clock } = await openCare(t);
  await pushBlob(registry, app, 'layer');
  clock.advance(keepTimes.leaseSeconds);
  const db = new Database(join(folder, 'berth.db'));
  db.pragma('foreign_keys = OFF');
  db.exec(`INSERT INTO tag (repository_id, name, manifest_id, updated_at) VALUES (1, 'torn', 99, 0)`);
  const report = await registry.scrub.scrub(freeRun(), look);
  assert.equal(report.database.sound, false);
  assert.match(report.faults[0] ?? '', /a row of tag points at a row of manifest that is not there/);
  const request = { dryRun: false, now: false, force: true };
  assert.equal((await registry.collector.collect(freeRun(), request)).stopped, 'database damaged');
  db.exec(`DELETE FROM tag`);
  db.close();
  await registry.scrub.scrub(freeRun(), look);
  assert.equal((await registry.collector.collect(freeRun(), request)).freed.blobs, 1);
});

test('the background scrub reads what is due, the oldest first, and then rests', async (t) => {
  const { registry, folder, clock } = await openCare(t);
  const { metadata, scrub, writes } = registry;
  const digest = await pushBlob(registry, app, 'layer');
  await pushBlob(registry, app, 'other');
  const background = new BackgroundScrub({
    metadata,
    scrub,
    writes,
    bytesPerSecond: 10_000_000,
    fullPassSeconds: 1000,
    unixSeconds: clock.unixSeconds,
    onFailure: (error) => assert.fail(error as Error),
  });
  assert.equal(await background.round(), false);
  clock.advance(600);
  const files = await listFiles(folder);
  await spoilings.flipped(join(folder, 'blobs', files.find((file) => file.includes(digest.slice(7))) ?? ''));
  assert.equal(await background.round(), true);
  await assert.rejects(registry.blobs.find(app, digest), isUnknown);
  assert.equal(await background.round(), false);
  background.start();
  await background.stop();
});
