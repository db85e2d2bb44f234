// What a database of an older Berth gets when tags are listed by more than their name: nothing has to be pushed again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { applyMigrations, readMigrations, shippedMigrations } from '../../src/storage/sqlite/migrate.ts';

test('the migration fills in what older rows lack', () => {
  const db = new Database(':memory:');
  const all = readMigrations(shippedMigrations);
  const before = all.filter(({ name }) => !name.endsWith('_tags.sql') && name < '0005');
  applyMigrations(db, before, { instanceId: 'test', at: 0 });
  const manifest = (id: number, type: string, bytes: number) =>
    db
      .prepare(
        `INSERT INTO manifest (id, repository_id, digest, media_type, image_bytes, pushed_at, pushed_by, lease_ticks, bytes)
         VALUES (?, 1, ?, ?, ?, 5, 'ana', 0, CAST('{}' AS BLOB))`,
      )
      .run(id, `sha256:${id}`, type, bytes);
  db.exec(`INSERT INTO namespace (id, name, kind, created_at) VALUES (100, 'acme', 'unowned', 0);
    INSERT INTO repository (id, namespace_id, name, state, created_at) VALUES (1, 100, 'acme/web', 'live', 0);
    INSERT INTO blob (id, digest, location, size, verified_at) VALUES (1, 'a', 'a', 10, 0), (2, 'b', 'b', 5, 0);
    INSERT INTO repository_blob VALUES (1, 1, NULL), (1, 2, NULL)`);
  manifest(1, mediaTypes.ociManifest, 15);
  manifest(2, mediaTypes.dockerManifest, 10);
  manifest(3, mediaTypes.ociIndex, 0);
  manifest(4, mediaTypes.ociIndex, 0);
  db.exec(`INSERT INTO manifest_blob VALUES (1, 1, 1), (1, 2, 1), (2, 1, 1);
    INSERT INTO manifest_child VALUES (3, 1), (3, 2), (4, 3);
    INSERT INTO tag VALUES (1, 'v1.10', 3, 7), (1, 'latest', 3, 8), (1, 'old', 1, 6);
    INSERT INTO tag_history (repository_id, name, digest, action, at, actor) VALUES (1, 'v1.10', 'x', 'push', 7, 'bob');
    INSERT INTO pull_count VALUES (3, 9, 77);
    INSERT INTO trash (id, repository_id, digest, media_type, tags, children, pushed_at, pushed_by, deleted_at, deleted_by, until_ticks, bytes)
      VALUES (1, 1, 'sha256:t', '${mediaTypes.ociManifest}', '[]', '[]', 0, 'ana', 0, 'ana', 9, CAST('{"config":{"mediaType":"x/config"}}' AS BLOB)),
        (2, 1, 'sha256:u', '${mediaTypes.ociManifest}', '[]', '[]', 0, 'ana', 0, 'ana', 9, CAST('no JSON' AS BLOB));
    INSERT INTO trash_blob VALUES (1, 1)`);
  applyMigrations(db, all.slice(before.length), { instanceId: 'test', at: 0 });
  const rows = (sql: string) => db.prepare(sql).raw().all();
  assert.deepEqual(
    rows('SELECT manifest_id, kind, size, platforms, tags, pulled_at FROM manifest_summary ORDER BY 1'),
    [
      [1, 'image', 15, null, 1, 0],
      [2, 'image', 10, null, 0, 0],
      [3, 'index', 15, null, 2, 77],
      [4, 'index', 15, null, 0, 0],
    ],
  );
  assert.deepEqual(rows(`SELECT name, updated_by, version <> '' FROM tag ORDER BY 1`), [
    ['latest', 'ana', 0],
    ['old', 'ana', 0],
    ['v1.10', 'bob', 1],
  ]);
  assert.deepEqual(rows('SELECT id, artifact_type, image_bytes, size, missing FROM trash ORDER BY 1'), [
    [1, 'x/config', 10, 10, '[]'],
    [2, null, 0, 0, '[]'],
  ]);
  db.close();
});
