// Retention of backups: old ones go, and with them the blobs that no other one needs.
import type { Digest } from '../oci/digest.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import { DiskFullError, MediumFailedError, StoreUnavailableError } from '../storage/faults.ts';
import { listAllBlobs, type Snapshots } from '../storage/snapshot.ts';
import { type BackupFolder, BackupFolderError, makerOf } from './backup-folder.ts';
import { takeAllLocks, takeLock } from './folder-lock.ts';

export interface RemovalReport {
  readonly removed: readonly string[];
  readonly blobs: number;
  readonly bytes: number;
  /** Who reads backups just now: nothing was removed, the next backup does it. */
  readonly heldBy?: string;
}

export interface PruneReport extends RemovalReport {
  /** Backups that another copy of the registry made: they are not counted, and stay. */
  readonly others: number;
}

export interface Retention {
  /** So many stay, at least one. */
  readonly keep: number;
  /** Of those that this copy of the registry made. */
  readonly copy: string;
}

/**
 * Keeps the newest backups that a copy of the registry made. Throws BackupFolderError where some backup does not tell what it
 * needs: then nothing is removed. The caller has the lock `writing`.
 */
export async function pruneBackups(
  folder: BackupFolder,
  { keep, copy }: Retention,
  snapshots: Snapshots,
  run: WorkRun,
): Promise<PruneReport> {
  const all = await folder.list();
  const own = all.filter((record) => makerOf(record) === copy);
  const removed = own.slice(0, Math.max(0, own.length - Math.max(1, keep))).map(({ name }) => name);
  const others = all.length - own.length;
  return { ...(await removeBackups(folder, removed, snapshots, run)), others };
}

/** Removes backups by name, as removeBackups does, and waits until nobody makes one. */
export async function removeUndisturbed(
  folder: BackupFolder,
  removed: readonly string[],
  snapshots: Snapshots,
  run: WorkRun,
): Promise<RemovalReport> {
  const lock = await takeLock(folder.locks.writing, 'the removal of backups', run);
  try {
    return await removeBackups(folder, removed, snapshots, lock.guard(run));
  } finally {
    await lock.release();
  }
}

/** Removes backups by name, whoever made them. Throws and needs what pruneBackups does, but the removed may be unreadable. */
export async function removeBackups(
  folder: BackupFolder,
  removed: readonly string[],
  snapshots: Snapshots,
  run: WorkRun,
): Promise<RemovalReport> {
  const needed = await listNeeded(folder, removed, snapshots, run);
  await folder.removePartial();
  const readers = await takeAllLocks(folder.locks.reading, 'the removal of old backups', run);
  if ('heldBy' in readers) return { removed: [], blobs: 0, bytes: 0, heldBy: readers.heldBy };
  try {
    for (const name of removed) await folder.remove(name);
    let [blobs, bytes] = [0, 0];
    for await (const digest of folder.listBlobs()) {
      if (needed.has(digest)) continue;
      await run.step();
      bytes += (await folder.blobSize(digest)) ?? 0;
      await folder.removeBlob(digest);
      blobs++;
    }
    return { removed, blobs, bytes };
  } finally {
    await readers.release();
  }
}

/** What the backups that stay need. Every one of them must tell, before any blob goes. */
async function listNeeded(
  folder: BackupFolder,
  removed: readonly string[],
  snapshots: Snapshots,
  run: WorkRun,
): Promise<ReadonlySet<Digest>> {
  const needed = new Set<Digest>();
  for (const backup of await folder.listAll()) {
    const { name } = backup;
    if (removed.includes(name)) continue;
    if ('unreadable' in backup) throw unreadable(folder, name, backup.unreadable);
    const snapshot = openOrRefuse(folder, name, snapshots);
    try {
      for (const { digest } of listAllBlobs(snapshot)) {
        needed.add(digest);
        if (needed.size % 10_000 === 0) await run.step();
      }
    } finally {
      snapshot.close();
    }
  }
  return needed;
}

function openOrRefuse(folder: BackupFolder, name: string, snapshots: Snapshots) {
  try {
    return snapshots.open(folder.databasePath(name));
  } catch (error) {
    if ([DiskFullError, MediumFailedError, StoreUnavailableError].some((kind) => error instanceof kind))
      throw error;
    throw unreadable(folder, name, (error as Error).message, error);
  }
}

function unreadable({ path }: BackupFolder, name: string, why: string, cause?: unknown): BackupFolderError {
  return new BackupFolderError(
    `nothing was removed: nobody can tell which blobs the backup ${name} needs (${why}). Put back what it lacks, or give it up ` +
      `with berth backup remove ${path} ${name}`,
    { cause },
  );
}
