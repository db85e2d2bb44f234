// A large store without the pushes that would make it: rows written straight into a database that Berth has prepared, and a
// small file for each blob.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { digestOf, hexOf } from '../src/oci/digest.ts';
import { mediaTypes } from '../src/oci/media-types.ts';
import { openForBulk } from './bulk.ts';

export interface StoreSize {
  readonly manifests: number;
  readonly blobsPerManifest: number;
  readonly repositories: number;
}

/** The uptime that the store has seen, so that there is a past in which things can have ended. */
const ticks = 10_000_000;

/**
 * Fills `folder`. Every second manifest was deleted so long ago that it and its blobs go at the next collection; the others are
 * tagged. The repository bench/r0 has the tag `t0`.
 */
export async function fillStore(folder: string, size: StoreSize): Promise<void> {
  const db = await openForBulk(folder);
  db.prepare('UPDATE uptime_clock SET ticks = ?').run(ticks);
  const addRepository = db.prepare(
    `INSERT INTO repository (id, namespace_id, name, state, created_at, visibility) VALUES (?, 1000, ?, 'live', 0, 'public')`,
  );
  for (let id = 0; id < size.repositories; id += 1) addRepository.run(1000 + id, `bench/r${id}`);
  const add = rowWriter(db, folder);
  for (let number = 0; number < size.manifests; number += 1) {
    add(number, 1000 + (number % size.repositories), size.blobsPerManifest);
  }
  db.exec(
    `UPDATE repository SET manifests = (SELECT count(*) FROM manifest m WHERE m.repository_id = repository.id)`,
  );
  db.exec('UPDATE namespace SET used_bytes = (SELECT sum(size) FROM blob) WHERE id = 1000');
  db.exec('COMMIT');
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}

function rowWriter(db: Database.Database, folder: string) {
  const statements = {
    blob: db.prepare('INSERT INTO blob (digest, location, size, verified_at) VALUES (?, ?, ?, 0)'),
    link: db.prepare('INSERT INTO repository_blob VALUES (?, ?, ?)'),
    counted: db.prepare('INSERT INTO namespace_blob VALUES (1000, ?, 1)'),
    manifest:
      db.prepare(`INSERT INTO manifest (repository_id, digest, media_type, image_bytes, pushed_at, pushed_by,
      lease_ticks, bytes) VALUES (?, ?, ?, 0, 0, 'bench', 0, ?)`),
    edge: db.prepare('INSERT INTO manifest_blob VALUES (?, ?, ?)'),
    tag: db.prepare('INSERT INTO tag (repository_id, name, manifest_id, updated_at) VALUES (?, ?, ?, 0)'),
    trash:
      db.prepare(`INSERT INTO trash (repository_id, digest, media_type, tags, children, pushed_at, pushed_by,
      deleted_at, deleted_by, until_ticks, bytes) VALUES (?, ?, ?, '[]', '[]', 0, 'bench', 0, 'bench', ?, ?)`),
    trashEdge: db.prepare('INSERT INTO trash_blob VALUES (?, ?)'),
  };
  const folders = new Set<string>();

  const addBlob = (text: string): { id: number; descriptor: object } => {
    const bytes = Buffer.from(text);
    const digest = digestOf(bytes);
    const at = `sha256/${hexOf(digest).slice(0, 2)}`;
    const location = `${at}/${hexOf(digest)}.${'0'.repeat(26)}`;
    if (!folders.has(at)) mkdirSync(join(folder, 'blobs', at), { recursive: true });
    folders.add(at);
    writeFileSync(join(folder, 'blobs', location), bytes);
    const { lastInsertRowid } = statements.blob.run(digest, location, bytes.length);
    return {
      id: Number(lastInsertRowid),
      descriptor: { mediaType: mediaTypes.ociManifest, digest, size: bytes.length },
    };
  };

  return (number: number, repositoryId: number, blobs: number): void => {
    const live = number % 2 === 0;
    const made = Array.from({ length: blobs }, (_, at) => addBlob(`blob ${number} ${at}`));
    const [config, ...layers] = made.map(({ descriptor }) => descriptor);
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }),
    );
    const digest = digestOf(bytes);
    for (const { id } of made) {
      statements.link.run(repositoryId, id, live ? null : ticks - 1000);
      statements.counted.run(id);
    }
    if (live) {
      const { lastInsertRowid: id } = statements.manifest.run(
        repositoryId,
        digest,
        mediaTypes.ociManifest,
        bytes,
      );
      for (const blob of made) statements.edge.run(id, blob.id, repositoryId);
      statements.tag.run(repositoryId, `t${number}`, id);
      return;
    }
    const { lastInsertRowid: id } = statements.trash.run(
      repositoryId,
      digest,
      mediaTypes.ociManifest,
      ticks - 1000,
      bytes,
    );
    for (const blob of made) statements.trashEdge.run(id, blob.id);
  };
}
