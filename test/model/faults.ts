// Faults that are sown into the real code from outside, one at a time: each is a mistake that somebody could make, and the model
// has to find every one of them.
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Location } from '../../src/storage/blob-store.ts';
import type { Connection } from '../../src/storage/sqlite/connection.ts';
import type { Now } from '../../src/storage/sqlite/now.ts';
import { keepTimes } from '../support/metadata.ts';
import type { Sown, World } from './world.ts';

const lease = keepTimes.leaseSeconds;

/** Runs SQL where the foreign keys do not protect. */
function force(db: Connection, sql: string, ...values: unknown[]): void {
  db.prepare(sql).run(...values);
}

const linkOf = `repository_id = (SELECT id FROM repository WHERE name = ? AND state <> 'deleted')
  AND blob_id = (SELECT id FROM blob WHERE digest = ?)`;

/** A lease that does not reach past this moment, for a link that nothing references. */
function endLease(world: World, now: Now, name: string, digest: string): void {
  const sql = `UPDATE repository_blob SET lease_ticks = ? WHERE ${linkOf} AND lease_ticks IS NOT NULL`;
  force(world.engine.db, sql, now.ticks, name, digest);
}

function withoutForeignKeys(world: World): void {
  world.engine.db.pragma('foreign_keys = OFF');
}

/** The same intention as if it were later. */
function later<Input, Output>(
  intention: (now: Now, input: Input) => Output,
  seconds: number,
): (now: Now, input: Input) => Output {
  return (now, input) => intention({ ...now, ticks: now.ticks + seconds }, input);
}

/** Does `act` after the intention, in its transaction. */
function after<Input, Output>(
  intention: (now: Now, input: Input) => Output,
  act: (now: Now, input: Input) => void,
): (now: Now, input: Input) => Output {
  return (now, input) => {
    const output = intention(now, input);
    act(now, input);
    return output;
  };
}

export const faults = {
  'a manifest comes back, or is copied, without one of its blobs': {
    intentions: ({ setTag }, world) => ({
      setTag: after(setTag, (now, { repository, dryRun }) => {
        if (dryRun) return;
        const edge = `FROM manifest_blob e JOIN repository r ON r.id = e.repository_id WHERE r.name = ?
          AND r.state <> 'deleted' AND e.blob_id = (SELECT id FROM blob ORDER BY id LIMIT 1)`;
        force(
          world.engine.db,
          `DELETE FROM manifest_blob WHERE (manifest_id, blob_id) IN (SELECT e.manifest_id, e.blob_id ${edge})`,
          repository,
        );
        force(
          world.engine.db,
          `UPDATE repository_blob SET lease_ticks = ? WHERE lease_ticks IS NULL AND NOT EXISTS (SELECT 1 FROM manifest_blob e
            WHERE e.repository_id = repository_blob.repository_id AND e.blob_id = repository_blob.blob_id)`,
          now.ticks + lease,
        );
      }),
    }),
  },
  'a dry run of a restore is not taken back': {
    intentions: ({ setTag }) => ({ setTag: (now, input) => setTag(now, { ...input, dryRun: false }) }),
  },
  'a finished upload gives no lease': {
    intentions: ({ finishUpload, linkBlob }, world) => ({
      finishUpload: after(finishUpload, (now, input) => endLease(world, now, input.repository, input.digest)),
      linkBlob: after(linkBlob, (now, input) => endLease(world, now, input.repository, input.digest)),
    }),
  },
  'a mount gives no lease of its own': {
    intentions: ({ mountBlob }, world) => ({
      mountBlob: after(mountBlob, (now, input) => endLease(world, now, input.to, input.digest)),
    }),
  },
  'HEAD answers 200 without extending the lease': {
    metadata: (store) => ({ ...store, blobs: { ...store.blobs, extendLease: async () => true } }),
  },
  'a removed manifest leaves no lease behind': {
    intentions: ({ removeManifest }, world) => ({
      removeManifest: after(removeManifest, (now) =>
        force(
          world.engine.db,
          'UPDATE repository_blob SET lease_ticks = ? WHERE lease_ticks = ?',
          now.ticks,
          now.ticks + lease,
        ),
      ),
    }),
  },
  'links are reaped before their lease is over': {
    intentions: ({ reapLinks }) => ({ reapLinks: later(reapLinks, lease) }),
  },
  'links are reaped while a manifest references them': {
    database: withoutForeignKeys,
    intentions: (_intentions, world) => ({
      reapLinks: () => world.engine.db.prepare('DELETE FROM repository_blob').run().changes,
    }),
  },
  'a blob is condemned while a repository links it': {
    database: withoutForeignKeys,
    intentions: ({ condemnBlobs }, world) => ({
      condemnBlobs: (now, limit) => {
        force(world.engine.db, 'INSERT OR IGNORE INTO blob_review SELECT id FROM blob');
        force(world.engine.db, 'CREATE TEMP TABLE kept AS SELECT * FROM repository_blob');
        force(world.engine.db, 'DELETE FROM repository_blob');
        const output = condemnBlobs(now, limit);
        force(world.engine.db, 'INSERT INTO repository_blob SELECT * FROM kept');
        force(world.engine.db, 'DROP TABLE temp.kept');
        return output;
      },
    }),
  },
  'a blob is condemned while a deleted manifest needs it': {
    intentions: ({ condemnBlobs }, world) => ({
      condemnBlobs: (now, limit) => {
        force(world.engine.db, 'PRAGMA defer_foreign_keys = ON');
        force(world.engine.db, 'DELETE FROM trash_blob');
        return condemnBlobs(now, limit);
      },
    }),
    metadata: (store, world) => ({
      ...store,
      care: {
        ...store.care,
        collector: {
          ...store.care.collector,
          async condemnBlobs(limit) {
            const held = world.engine.db.prepare('SELECT * FROM trash_blob').raw().all() as number[][];
            const condemned = await store.care.collector.condemnBlobs(limit);
            withoutForeignKeys(world);
            for (const edge of held)
              force(world.engine.db, 'INSERT OR IGNORE INTO trash_blob VALUES (?, ?)', ...edge);
            return condemned;
          },
        },
      },
    }),
  },
  'files are removed before the rows': {
    intentions: ({ condemnBlobs }, world) => ({
      condemnBlobs: (now, limit) => {
        const doomed = world.engine.db
          .prepare('SELECT location FROM blob WHERE id IN (SELECT blob_id FROM blob_review)')
          .pluck()
          .all() as string[];
        for (const location of doomed) rmSync(join(world.disk.blobs, location), { force: true });
        // The transaction comes too late, and may not come at all.
        return world.scheduler.random.chance(0.5)
          ? condemnBlobs(now, limit)
          : { blobs: 0, bytes: 0, reviewed: 0 };
      },
    }),
  },
  'names of files are used again': {
    blobs: (store, world) =>
      Object.assign(Object.create(store) as typeof store, {
        async commit(...args: Parameters<typeof store.commit>) {
          const made = await store.commit(...args);
          const reused = `${made.location.slice(0, -26)}00000000000000000000000000` as Location;
          renameSync(join(world.disk.blobs, made.location), join(world.disk.blobs, reused));
          return { ...made, location: reused };
        },
        ...bound(store, [
          'open',
          'readSmall',
          'stat',
          'remove',
          'list',
          'beginUpload',
          'uploadSize',
          'append',
        ]),
        ...bound(store, ['abort', 'listUploads', 'space', 'close']),
      }),
  },
  'a push is acknowledged before its commit': {
    metadata: (store) => ({
      ...store,
      uploads: {
        ...store.uploads,
        async finish(input) {
          void store.uploads.finish(input);
          return true;
        },
        async link(input) {
          void store.uploads.link(input);
          return { outcome: 'linked' };
        },
      },
    }),
  },
  'the folder of a new file is not synced': {
    disk: (disk) => {
      disk.skipFolderSync = true;
    },
  },
  'the content of a new file is not synced': {
    disk: (disk) => {
      disk.skipFileSync = true;
    },
  },
  'content that is being placed counts as left over': {
    registry: ({ placements }) => {
      Object.assign(placements, {
        alone: async <Result>(_key: string, work: () => Promise<Result>) => work(),
      });
    },
  },
  'leases count by the wall clock': { ticksFromWallClock: true },
  'a manifest is stored although a blob is not linked': {
    intentions: ({ putManifest }, world) => ({
      putManifest: (now, input) => {
        const { db } = world.engine;
        for (const digest of input.manifest.blobs) {
          force(
            db,
            `INSERT OR IGNORE INTO repository_blob SELECT r.id, b.id, 0 FROM repository r, blob b
              WHERE r.name = ? AND r.state <> 'deleted' AND b.digest = ?`,
            input.repository,
            digest,
          );
        }
        return putManifest(now, input);
      },
    }),
  },
  'a mount asks for no link in the source': {
    intentions: ({ mountBlob }, world) => ({
      mountBlob: (now, input) => {
        const from = world.engine.db
          .prepare(
            `SELECT r.name FROM repository_blob l JOIN repository r ON r.id = l.repository_id
              JOIN blob b ON b.id = l.blob_id WHERE b.digest = ?`,
          )
          .pluck()
          .get(input.digest) as typeof input.from | undefined;
        return mountBlob(now, { ...input, from: from ?? input.from });
      },
    }),
  },
  'a missing file is believed without a second look': {
    metadata: (store) => {
      const seen = new Map<string, Awaited<ReturnType<typeof store.blobs.find>>>();
      const find: typeof store.blobs.find = async (name, digest) => {
        const key = `${name}|${digest}`;
        const found = await store.blobs.find(name, digest);
        const before = seen.get(key);
        seen.set(key, found ?? before);
        return found ?? before;
      };
      return { ...store, blobs: { ...store.blobs, find } };
    },
  },
  'a damaged copy is kept when its content comes again': {
    intentions: ({ finishUpload, linkBlob }, world) => {
      const keep = (digest: string): (() => void) => {
        const { db } = world.engine;
        const row = db.prepare('SELECT location, damaged_at FROM blob WHERE digest = ?').raw().get(digest) as
          | [string, number | null]
          | undefined;
        return () => {
          if (row === undefined || row[1] === null) return;
          force(db, 'DELETE FROM unlink_queue WHERE location = ?', row[0]);
          force(db, 'UPDATE blob SET location = ?, damaged_at = ? WHERE digest = ?', ...row, digest);
        };
      };
      return {
        finishUpload: (now, input) => {
          const restore = keep(input.digest);
          const output = finishUpload(now, input);
          restore();
          return output;
        },
        linkBlob: (now, input) => {
          const restore = keep(input.digest);
          const linked = linkBlob(now, input);
          restore();
          return linked;
        },
      };
    },
  },
  'quarantine goes by digest and not by location': {
    intentions: (_intentions, world) => ({
      markDamaged: (now, location) => {
        const digest = `sha256:${location.slice(10, 74)}`;
        const sql = 'UPDATE blob SET damaged_at = ? WHERE digest = ?';
        return world.engine.db.prepare(sql).run(now.at, digest).changes > 0;
      },
    }),
  },
  'deleted manifests are purged early': {
    intentions: ({ purgeTrash }) => ({ purgeTrash: later(purgeTrash, keepTimes.undeleteSeconds) }),
  },
  'a child goes while an index lists it': {
    database: withoutForeignKeys,
    intentions: ({ removeManifest }, world) => ({
      removeManifest: (now, input) => {
        const { db } = world.engine;
        force(db, 'CREATE TEMP TABLE listed AS SELECT * FROM manifest_child');
        force(db, 'DELETE FROM manifest_child');
        const output = removeManifest(now, input);
        force(
          db,
          'INSERT OR IGNORE INTO manifest_child SELECT * FROM listed WHERE parent_id IN (SELECT id FROM manifest)',
        );
        force(db, 'DROP TABLE temp.listed');
        return output;
      },
    }),
  },
  'the database forgets the epoch that the folder still has': {
    intentions: ({ renewEpoch }, world) => ({
      renewEpoch: after(renewEpoch, () =>
        force(world.engine.db, `DELETE FROM instance WHERE key = 'epoch_before'`),
      ),
    }),
  },
  'files are removed while a backup copies them': {
    registry: ({ unlinks }) => {
      Object.assign(unlinks, { hold: async () => () => {} });
    },
  },
  'files that a crash left are never removed': {
    registry: ({ unlinks }) => {
      Object.assign(unlinks, { removeUnnamed: async () => false });
    },
  },
  'the bytes of a namespace are not given back': {
    intentions: (_intentions, world) => {
      force(
        world.engine.db,
        `CREATE TRIGGER IF NOT EXISTS kept AFTER DELETE ON namespace_blob BEGIN
          UPDATE namespace SET used_bytes = used_bytes + 1 WHERE id = OLD.namespace_id; END`,
      );
      return {};
    },
  },
} as const satisfies Readonly<Record<string, Sown>>;

export type FaultName = keyof typeof faults;

/** Methods of an object that has private fields, tied to it. */
function bound<Target extends object, Key extends keyof Target>(target: Target, keys: readonly Key[]) {
  const methods = {} as Pick<Target, Key>;
  for (const key of keys) methods[key] = (target[key] as unknown as () => never).bind(target) as Target[Key];
  return methods;
}
