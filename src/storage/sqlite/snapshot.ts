// Snapshots of the database: making, reading, checking and restoring them.
import { randomUUID } from 'node:crypto';
import { constants, copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Location } from '../blob-store.ts';
import { asFault } from '../faults.ts';
import type { Page } from '../metadata-store.ts';
import type { RestoringDatabase, Snapshot, SnapshotBlob, SnapshotFacts, Snapshots } from '../snapshot.ts';
import { checkDatabase } from './check-database.ts';
import { type Connection, databaseFile, openReader, openWriter, tellsDamage } from './connection.ts';
import { epochKeys } from './epoch-writes.ts';
import type { Failure } from './group-commit.ts';
import { isBlank, listPending, readMigrations, SchemaMismatchError, shippedMigrations } from './migrate.ts';
import {
  DamagedDatabaseError,
  markerFile,
  readInstanceId,
  syncPath,
  writeDurably,
} from './prepare-database.ts';
import type { CopyTask } from './snapshot-worker.ts';

export const sql = {
  schema: 'SELECT number, applied_by FROM migration WHERE number = (SELECT max(number) FROM migration)',
  repositories: `SELECT count(*) FROM repository WHERE name > '' AND state = 'live' AND manifests > 0`,
  total: 'SELECT items, bytes FROM total WHERE kind = ?',
  blobs: `SELECT digest, location, size, damaged_at IS NOT NULL FROM blob WHERE digest > ? ORDER BY digest LIMIT ?`,
  holders: `SELECT r.id, r.name FROM blob b JOIN repository_blob l ON l.blob_id = b.id
    JOIN repository r ON r.id = l.repository_id WHERE b.digest = ? AND r.state <> 'deleted' LIMIT ?`,
} as const;

/** Walks from a blob up to the tags that lead to it. Not for a server: it sorts, and follows every index. */
const tagsOfBlob = `WITH holding (id) AS (
      SELECT e.manifest_id FROM blob b JOIN manifest_blob e ON e.repository_id = ? AND e.blob_id = b.id
        WHERE b.digest = ?
      UNION SELECT c.parent_id FROM holding h JOIN manifest_child c ON c.child_id = h.id)
    SELECT DISTINCT t.name FROM holding h JOIN tag t ON t.manifest_id = h.id ORDER BY t.name LIMIT ?`;

/** Copies the live database as it is at one moment into the new file `target`, durable. */
export async function writeSnapshot(path: string, target: string): Promise<void> {
  // What is there is not ours to remove after a failure.
  if (existsSync(target)) throw new Error(`${target} is there already`);
  try {
    await copyDatabase(path, target);
    syncPath(target);
    syncPath(dirname(target));
  } catch (error) {
    rmSync(target, { force: true });
    rmSync(`${target}-journal`, { force: true });
    throw asFault(error);
  }
}

/** Snapshots as SQLite files. */
export const sqliteSnapshots: Snapshots = {
  open: openSnapshot,
  async check(path) {
    try {
      return await checkDatabase(path, { deep: true });
    } catch (error) {
      // So damaged that it cannot even be opened.
      if (tellsDamage(error)) return [(error as Error).message];
      throw asFault(error);
    }
  },
  restore: restoreSnapshot,
};

async function copyDatabase(path: string, target: string): Promise<void> {
  const worker = new Worker(new URL('./snapshot-worker.ts', import.meta.url), {
    name: 'berth-snapshot',
    workerData: { copyFrom: path, target } satisfies CopyTask,
  });
  try {
    const failure = await new Promise<Failure | undefined>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () =>
        reject(new Error('the thread that copies the database ended without an answer')),
      );
    });
    if (failure !== undefined) throw Object.assign(new Error(failure.message), { code: failure.code });
  } finally {
    await worker.terminate();
  }
}

function openSnapshot(path: string): Snapshot {
  const db = openChecked(path);
  const schema = db.prepare(sql.schema).raw();
  const repositories = db.prepare(sql.repositories).pluck();
  const total = db.prepare(sql.total).raw();
  const holders = db.prepare(sql.holders).raw();
  const tags = db.prepare(tagsOfBlob).pluck();
  const ofKind = (kind: string) => total.get(kind) as [number, number];
  return {
    facts(): SnapshotFacts {
      const [number, by] = schema.get() as [number, string];
      const [blobs, blobBytes] = ofKind('blob');
      return {
        instance: readInstanceId(db),
        schema: number,
        schemaBy: by,
        repositories: repositories.get() as number,
        manifests: ofKind('manifest')[0],
        tags: ofKind('tag')[0],
        blobs,
        blobBytes,
      };
    },
    listBlobs: blobLister(db),
    listHolders(digest, limit) {
      const rows = holders.all(digest, limit) as [number, RepositoryName][];
      return rows.map(([id, repository]) => ({
        repository,
        tags: tags.all(id, digest, limit) as Tag[],
      }));
    },
    close: () => db.close(),
  };
}

function openChecked(path: string): Connection {
  let db: Connection | undefined;
  try {
    db = openReader(path);
    if (isBlank(db)) throw new SchemaMismatchError(`${path} is an empty database`);
    listPending(db, readMigrations(shippedMigrations));
    return db;
  } catch (error) {
    db?.close();
    if (tellsDamage(error))
      throw new DamagedDatabaseError(`${path}: ${(error as Error).message}`, { cause: error });
    throw asFault(error);
  }
}

type BlobRow = [Digest, Location, number, number];

function blobLister(db: Connection) {
  const blobs = db.prepare(sql.blobs).raw();
  return ({ after, limit }: { after: string; limit: number }): Page<SnapshotBlob> => {
    const rows = blobs.all(after, limit + 1) as BlobRow[];
    const items = rows
      .slice(0, limit)
      .map(([digest, location, size, damaged]) => ({ digest, location, size, damaged: damaged === 1 }));
    return { items, more: rows.length > limit };
  };
}

/** Until it is finished, the database has a name that no server looks for. */
const restoringFile = `${databaseFile}.restoring`;

function restoreSnapshot(snapshot: string, folder: string): RestoringDatabase {
  const checked = openChecked(snapshot);
  const instance = readInstanceId(checked);
  checked.close();
  const target = join(folder, databaseFile);
  if (existsSync(target)) throw new Error(`${folder} has a database already`);
  writeDurably(folder, markerFile, `${instance}\n`);
  const path = join(folder, restoringFile);
  copyFileSync(snapshot, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const db = openWriter(path);
  const place = db.prepare('UPDATE blob SET location = ?, damaged_at = NULL WHERE digest = ?');
  const damage = db.prepare(
    'UPDATE blob SET damaged_at = unixepoch() WHERE digest = ? AND damaged_at IS NULL',
  );
  const name = db.prepare(
    `INSERT INTO instance (key, value) VALUES ('copy', ?) ON CONFLICT DO UPDATE SET value = excluded.value`,
  );
  const drop = db.prepare('DELETE FROM instance WHERE key = ?');
  return {
    listBlobs: blobLister(db),
    settle: db.transaction(
      (placed: readonly { digest: Digest; location: Location }[], damaged: readonly Digest[]) => {
        for (const { digest, location } of placed) place.run(location, digest);
        for (const digest of damaged) damage.run(digest);
      },
    ),
    finish() {
      db.transaction(() => {
        db.exec('DELETE FROM upload; DELETE FROM unlink_queue;');
        // All files that will be there are this database's.
        for (const key of Object.values(epochKeys)) drop.run(key);
        name.run(randomUUID());
      })();
      db.pragma('wal_checkpoint(TRUNCATE)');
      db.close();
      syncPath(path);
      renameSync(path, target);
      syncPath(folder);
    },
    abandon() {
      db.close();
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    },
  };
}
