// Checking backups where they lie: every database, and the hash of every blob that one of them needs.
import { algorithmOf, type Digest } from '../oci/digest.ts';
import { inParallel } from '../registry/in-parallel.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import { type BlobHolder, listAllBlobs, type Snapshots } from '../storage/snapshot.ts';
import { type BackupFolder, BackupFolderError } from './backup-folder.ts';
import { ifThere } from './if-there.ts';
import { reading } from './reading.ts';
import { digestOfFile } from './verified-copy.ts';

export interface BackupFault {
  readonly backup: string;
  /** undefined: of the database. */
  readonly digest: Digest | undefined;
  readonly found: string;
  /** Which repositories and tags a restore would lack. */
  readonly holders: readonly BlobHolder[];
}

export interface VerifyReport {
  readonly backups: readonly string[];
  readonly partial: readonly string[];
  readonly blobs: number;
  readonly bytes: number;
  /** Empty: all of it is good. */
  readonly faults: readonly BackupFault[];
}

const atATime = 4;
const mostHolders = 20;

/** Like verifyBackups, while no backup can be removed. */
export async function verifyUndisturbed(
  folder: BackupFolder,
  snapshots: Snapshots,
  run: WorkRun,
  name?: string,
): Promise<VerifyReport> {
  return await reading(folder, 'a verification', run, (guarded) =>
    verifyBackups(folder, snapshots, guarded, name),
  );
}

/**
 * Verifies one backup by name, or all of a folder. Changes nothing. Throws BackupFolderError where there is none. Nobody may be
 * removing any.
 */
export async function verifyBackups(
  folder: BackupFolder,
  snapshots: Snapshots,
  run: WorkRun,
  name?: string,
): Promise<VerifyReport> {
  const found = (await folder.listAll()).filter((backup) => name === undefined || backup.name === name);
  if (found.length === 0)
    throw new BackupFolderError(
      `${folder.path} has no ${name === undefined ? '' : `${name}, or any other `}backup`,
    );
  const faults: BackupFault[] = [];
  const needed = new Map<Digest, { readonly size: number; readonly backups: string[] }>();
  for (const record of found) {
    if ('unreadable' in record) {
      faults.push({ backup: record.name, digest: undefined, found: record.unreadable, holders: [] });
      continue;
    }
    const path = folder.databasePath(record.name);
    const fault = await checkDatabase(path, record.database.digest, snapshots, run);
    if (fault !== undefined) {
      faults.push({ backup: record.name, digest: undefined, found: fault, holders: [] });
      continue;
    }
    const known = new Set(record.damaged);
    const snapshot = snapshots.open(path);
    try {
      for (const { digest, size } of listAllBlobs(snapshot)) {
        if (known.has(digest)) continue;
        const entry = needed.get(digest);
        if (entry === undefined) needed.set(digest, { size, backups: [record.name] });
        else entry.backups.push(record.name);
      }
    } finally {
      snapshot.close();
    }
  }
  const bytes = [...needed.values()].reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  await inParallel(needed, atATime, async ([digest, { size, backups }]) => {
    await run.step();
    const found = await checkBlob(folder.blobPath(digest), digest, run);
    if (found !== undefined)
      for (const backup of backups)
        faults.push({ backup, digest, found, holders: holdersOf(folder, backup, digest, snapshots) });
    done += size;
    run.progress(done, bytes, { faults: faults.length });
  });
  const partial = await folder.listPartial();
  return { backups: found.map((record) => record.name), partial, blobs: needed.size, bytes, faults };
}

async function checkDatabase(
  path: string,
  expected: Digest,
  snapshots: Snapshots,
  run: WorkRun,
): Promise<string | undefined> {
  const actual = await ifThere(digestOfFile(path, 'sha256', run.signal));
  if (actual === undefined) return 'the database is missing';
  if (actual !== expected) return 'the database is not the one that was written';
  return (await snapshots.check(path))[0];
}

async function checkBlob(path: string, digest: Digest, run: WorkRun): Promise<string | undefined> {
  try {
    const actual = await ifThere(digestOfFile(path, algorithmOf(digest), run.signal));
    if (actual === undefined) return 'missing';
    return actual === digest ? undefined : `other content: remove ${path}, the next backup brings it again`;
  } catch (error) {
    run.signal.throwIfAborted();
    return `unreadable: ${(error as Error).message}`;
  }
}

function holdersOf(
  folder: BackupFolder,
  backup: string,
  digest: Digest,
  snapshots: Snapshots,
): readonly BlobHolder[] {
  const snapshot = snapshots.open(folder.databasePath(backup));
  try {
    return snapshot.listHolders(digest, mostHolders);
  } finally {
    snapshot.close();
  }
}
