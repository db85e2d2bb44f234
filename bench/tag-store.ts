// A data folder with a small and a large repository, for the rows of the lists: written by SQL, because it is the lists that are
// measured. Manifests differ in size, age and pulls; every tenth is without a tag.
import { digestOf } from '../src/oci/digest.ts';
import { mediaTypes } from '../src/oci/media-types.ts';
import { versionKey } from '../src/storage/sqlite/version-key.ts';
import { openForBulk } from './bulk.ts';

export interface FilledRepository {
  readonly name: string;
  readonly tags: number;
}

/** Fills `folder`, which must be empty. */
export async function fillTags(folder: string, repositories: readonly FilledRepository[]): Promise<void> {
  const db = await openForBulk(folder);
  const statements = {
    repository:
      db.prepare(`INSERT INTO repository (id, namespace_id, name, state, created_at, visibility, manifests)
      VALUES (?, 1000, ?, 'live', 0, 'public', ?)`),
    manifest:
      db.prepare(`INSERT INTO manifest (repository_id, digest, media_type, image_bytes, pushed_at, pushed_by,
      lease_ticks, bytes) VALUES (?, ?, ?, ?, ?, 'bench', 0, ?)`),
    platforms: db.prepare(`UPDATE manifest_summary SET platforms = ? WHERE manifest_id = ?`),
    pulls: db.prepare('INSERT INTO pull_count (manifest_id, pulls, last_at) VALUES (?, 1, ?)'),
    tag: db.prepare(`INSERT INTO tag (repository_id, name, manifest_id, updated_at, updated_by, version)
      VALUES (?, ?, ?, ?, 'bench', ?)`),
  };
  for (const [index, { name, tags }] of repositories.entries()) {
    const repository = 1000 + index;
    statements.repository.run(repository, name, tags);
    for (let number = 0; number < tags; number += 1) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [], number, name }));
      const scattered = (number * 7919) % tags;
      const { lastInsertRowid: id } = statements.manifest.run(
        ...[
          repository,
          digestOf(bytes),
          mediaTypes.ociManifest,
          scattered * 1000,
          1_700_000_000 + number,
          bytes,
        ],
      );
      statements.platforms.run(number % 2 === 0 ? '["linux/amd64"]' : '["linux/arm64"]', id);
      statements.pulls.run(id, 1_700_000_000 + scattered);
      if (number % 10 === 9) continue;
      const tag = `v1.${Math.floor(number / 100)}.${number % 100}`;
      statements.tag.run(repository, tag, id, 1_700_000_000 + number, versionKey(tag));
    }
  }
  db.exec('COMMIT');
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}
