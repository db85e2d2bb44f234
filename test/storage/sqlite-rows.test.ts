// Rows that no method shows yet: what the collector, retention, restoring and quotas will build on.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { onEnd } from '../support/cleanup.ts';
import {
  alice,
  keepTimes,
  linkBlob,
  manifestOf,
  manualClock,
  openTestStore,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';

const app = repository('team/app');
const web = repository('team/web');

async function openWithRows(t: TestContext) {
  const clock = manualClock();
  const { store, folder } = await openTestStore(t, { clock });
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  onEnd(t, () => {
    assert.deepEqual(db.pragma('foreign_key_check'), []);
    db.close();
  });
  const rows = (sql: string): unknown[] => db.prepare(sql).all();
  return { store, clock, rows };
}

test('a removed manifest is in the trash with its tags, children and blobs until the grace time is over', async (t) => {
  const { store, clock, rows } = await openWithRows(t);
  const child = await putManifest(store, app, manifestOf({ note: 'child' }));
  const blob = await linkBlob(store, app, 'cache');
  const index = manifestOf({ children: [child, blob] });
  await putManifest(store, app, index, { tags: ['b', 'a'] });
  clock.advance(100);
  await store.manifests.remove(app, index.digest, { actor: 'bob' });
  assert.deepEqual(rows('SELECT digest, tags, children, deleted_by, until_ticks, bytes FROM trash'), [
    {
      digest: index.digest,
      tags: '["a","b"]',
      children: JSON.stringify([child]),
      deleted_by: 'bob',
      until_ticks: 100 + keepTimes.undeleteSeconds,
      bytes: index.bytes,
    },
  ]);
  assert.deepEqual(rows('SELECT b.digest FROM trash_blob t JOIN blob b ON b.id = t.blob_id'), [
    { digest: blob },
  ]);
});

test('a manifest that loses a tag or its parent gets a full lease', async (t) => {
  const { store, clock, rows } = await openWithRows(t);
  const lease = () => rows('SELECT lease_ticks AS lease FROM manifest ORDER BY id LIMIT 1');
  const manifest = manifestOf({ note: 'child' });
  await putManifest(store, app, manifest, { tags: ['moves', 'goes'] });
  const parent = await putManifest(store, app, manifestOf({ children: [manifest.digest] }));
  const losses = [
    () => putManifest(store, app, manifestOf({ note: 'other' }), { tags: ['moves'] }),
    () => store.tags.remove(app, tag('goes'), alice),
    () => store.manifests.remove(app, parent, alice),
    () => putManifest(store, app, manifest),
  ];
  for (const [index, lose] of losses.entries()) {
    clock.advance(1000);
    await lose();
    assert.deepEqual(lease(), [{ lease: 1000 * (index + 1) + keepTimes.leaseSeconds }]);
  }
});

test('a namespace counts each blob once, however many of its repositories link it', async (t) => {
  const { store, rows } = await openWithRows(t);
  const used = () =>
    rows(`SELECT name, used_bytes AS bytes FROM namespace WHERE name <> 'system' ORDER BY name`);
  const digest = await linkBlob(store, app, 'five!');
  await linkBlob(store, app, 'five!');
  await store.blobs.mount({ from: app, to: web, digest, origin: alice });
  await linkBlob(store, repository('alone'), 'five!');
  await linkBlob(store, web, 'two');
  assert.deepEqual(used(), [
    { name: 'library', bytes: 5 },
    { name: 'team', bytes: 8 },
  ]);
  await store.blobs.unlink(app, digest, alice);
  assert.deepEqual(used()[1], { name: 'team', bytes: 8 });
  await store.blobs.unlink(web, digest, alice);
  assert.deepEqual(used()[1], { name: 'team', bytes: 3 });
  assert.deepEqual(rows('SELECT links FROM namespace_blob ORDER BY namespace_id'), [
    { links: 1 },
    { links: 1 },
  ]);
});

test('a reference that arrived is no longer missing', async (t) => {
  const { store, rows } = await openWithRows(t);
  const child = manifestOf({ note: 'late' });
  const blob = await linkBlob(store, web, 'late');
  await putManifest(store, app, manifestOf({ children: [child.digest, blob] }), { sparse: 'all' });
  await putManifest(store, app, manifestOf({ blobs: [blob] }), { sparse: 'all' });
  assert.equal(rows('SELECT * FROM missing_reference').length, 3);
  await putManifest(store, app, child);
  await store.blobs.mount({ from: web, to: app, digest: blob, origin: alice });
  assert.deepEqual(rows('SELECT * FROM missing_reference'), []);
});

test('pull counts add up and keep the latest time', async (t) => {
  const { store, rows } = await openWithRows(t);
  const digest = await putManifest(store, app, manifestOf({}));
  await store.manifests.recordPulls([{ repository: app, digest, pulls: 3, lastAt: 200 }]);
  await store.manifests.recordPulls([{ repository: app, digest, pulls: 2, lastAt: 100.7 }]);
  assert.deepEqual(rows('SELECT pulls, last_at FROM pull_count'), [{ pulls: 5, last_at: 200 }]);
  await store.manifests.remove(app, digest, alice);
  assert.deepEqual(rows('SELECT * FROM pull_count'), []);
});

test('an unowned namespace goes with its last repository', async (t) => {
  const { store, rows } = await openWithRows(t);
  const unowned = () => rows(`SELECT name FROM namespace WHERE kind = 'unowned'`);
  const limits = { perRepository: 10, perPrincipal: 10, total: 10, idleSeconds: 600 };
  await store.uploads.begin({ repository: app, principal: 'alice', upload: { id: 'u1', state: '' }, limits });
  await store.uploads.close('u1');
  assert.equal(unowned().length, 1);
  await store.uploads.expire({ idleSeconds: 10, longestSeconds: 10, limit: 10 });
  assert.deepEqual(unowned(), []);
});

test('a deleted repository whose time is over leaves no rows behind, in any table', async (t) => {
  const { store, clock, rows } = await openWithRows(t);
  const origin = alice;
  const layer = await linkBlob(store, app, 'layer');
  const child = await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1', 'v2'] });
  await putManifest(store, app, manifestOf({ children: [child] }), { tags: ['all'] });
  const gone = await putManifest(store, app, manifestOf({ blobs: [layer], note: 'gone' }), { tags: ['old'] });
  for (const digest of [child, gone]) {
    for (const turn of ['0', '1']) {
      const signature = { name: turn.repeat(32), content: Buffer.from('signed') };
      await store.signatures.add({ repository: app, digest, signature, most: 9, origin });
    }
  }
  await store.manifests.recordPulls([{ repository: app, digest: child, pulls: 3, lastAt: 1_800_000_000 }]);
  await store.manifests.remove(app, gone, origin);
  const links = [{ title: 'Source', url: 'https://example.com' }];
  const changes = { readme: '# App', links, labels: { tier: '1' } };
  await store.repositories.update({ name: app, changes, origin });
  const protection = { repositories: web, tags: 'v*', rule: 'no-delete', exempt: [] } as const;
  await store.protection.set({ namespace: 'team', rules: [protection], origin });
  const rules = { policies: [{ repositories: [web], keepTags: [] }] };
  await store.retention.setRules({ namespace: 'team', rules, origin });
  // Under another name once, so that there is an old one. Rules do not keep what they do not protect.
  const moved = repository('team/moved');
  await store.repositories.move({ from: app, to: moved, origin });
  assert.equal(await store.repositories.remove({ name: moved, origin }), true);
  clock.advance(keepTimes.undeleteSeconds + 1);
  const { collector } = store.care;
  for (let more = true; more; )
    ({ more } = await collector.purgeRepositories({ everything: false, limit: 1 }));
  const tables = rows(
    `SELECT m.name, c.name AS column FROM sqlite_schema m JOIN pragma_table_info(m.name) c
      WHERE m.type = 'table' AND c.name IN ('repository_id', 'manifest_id', 'trash_id', 'parent_id', 'child_id')`,
  ) as { name: string }[];
  assert.ok(tables.length > 10);
  for (const name of new Set(['repository', ...tables.map((table) => table.name)]))
    assert.deepEqual(rows(`SELECT * FROM "${name}"`), [], name);
  assert.deepEqual(rows('SELECT used_bytes FROM namespace WHERE used_bytes <> 0'), []);
  assert.equal((await store.protection.list('team'))?.length, 1, 'rules are of the namespace');
});
