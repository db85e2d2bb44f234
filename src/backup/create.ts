// Making a backup while the registry runs: the database as it is at one moment, then the blobs that it names and that the
// folder has not got yet, with the removal of files held back meanwhile. Blobs are second names where the folder is on the
// same file system: that guards against deletion, not against the loss of the disk.
import { rm, stat } from 'node:fs/promises';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import { inParallel } from '../registry/in-parallel.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import type { Unlinks } from '../registry/unlinks.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { asFault } from '../storage/faults.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import {
  listAllBlobs,
  type Snapshot,
  type SnapshotBlob,
  type SnapshotFacts,
  type Snapshots,
} from '../storage/snapshot.ts';
import { BackupFolder, BackupFolderError, type PartialBackup } from './backup-folder.ts';
import { type FolderLock, takeLock, UnwritableFolderError } from './folder-lock.ts';
import { type PruneReport, pruneBackups } from './prune.ts';
import { digestOfFile, writeCopy } from './verified-copy.ts';
import { type VerifyReport, verifyBackups } from './verify.ts';

export interface BackupSurroundings {
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly unlinks: Pick<Unlinks, 'hold'>;
  readonly snapshots: Snapshots;
  readonly unixSeconds: () => number;
  /** The name of this machine, for people. */
  readonly host: string;
  /** Of this program. */
  readonly version: string;
}

export interface BackupRequest {
  /** An absolute path. */
  readonly destination: string;
  /** How many backups stay; older ones go. undefined: all. */
  readonly keep?: number | undefined;
  /** Reads the whole backup once more at the end. Older ones stay where that finds a fault. */
  readonly verify?: boolean | undefined;
}

export type BackupReport = Readonly<Record<string, unknown>> & {
  readonly name: string;
  readonly seconds: number;
  /** Blobs that were there from earlier backups, and new ones by the way they came. */
  readonly blobs: Readonly<Record<'present' | 'linked' | 'copied', number>>;
  readonly bytes: Readonly<Record<'present' | 'linked' | 'copied', number>>;
  /** Of these the registry has no good bytes. What was found now is quarantined: 404 until it is pushed again. */
  readonly damaged: readonly {
    readonly digest: Digest;
    readonly found: 'known' | 'missing' | 'other content';
  }[];
  readonly verified: VerifyReport | undefined;
  readonly pruned: PruneReport | undefined;
  /** Why older backups stay that were to go; the new one is whole all the same. */
  readonly notPruned?: string;
};

const atATime = 4;

/**
 * Makes one backup. When it resolves, the backup is durable and every new blob's hash was checked. Throws BackupFolderError,
 * or what the medium failed with; then earlier backups are whole and nothing half made is taken for a backup.
 */
export async function createBackup(
  around: BackupSurroundings,
  request: BackupRequest,
  run: WorkRun,
): Promise<BackupReport> {
  const started = performance.now();
  const folder = new BackupFolder(request.destination);
  let lock: FolderLock | undefined;
  try {
    await folder.claim(await around.metadata.instance());
    // Before removing is held back: collections go on while another registry has the folder.
    lock = await lockFolder(folder, run);
    const guarded = lock.guard(run);
    const { name, copier } = await takeBackup(around, folder, guarded);
    const verified = request.verify
      ? await verifyBackups(folder, around.snapshots, guarded, name)
      : undefined;
    const isSound = (verified?.faults.length ?? 0) === 0;
    const pruning = isSound ? await prune(around, folder, request.keep, guarded) : { pruned: undefined };
    const { blobs, bytes, damaged } = copier;
    const seconds = (performance.now() - started) / 1000;
    return { name, seconds, blobs, bytes, damaged, verified, ...pruning };
  } catch (error) {
    throw asFault(error);
  } finally {
    await lock?.release();
  }
}

async function lockFolder(folder: BackupFolder, run: WorkRun): Promise<FolderLock> {
  try {
    return await takeLock(folder.locks.writing, 'a backup', run);
  } catch (error) {
    throw error instanceof UnwritableFolderError ? error.cause : error;
  }
}

async function prune(
  around: BackupSurroundings,
  folder: BackupFolder,
  keep: number | undefined,
  run: WorkRun,
): Promise<Pick<BackupReport, 'pruned' | 'notPruned'>> {
  if (keep === undefined) return { pruned: undefined };
  try {
    const copy = await around.metadata.copy();
    return { pruned: await pruneBackups(folder, { keep, copy }, around.snapshots, run) };
  } catch (error) {
    if (!(error instanceof BackupFolderError)) throw error;
    return { pruned: undefined, notPruned: error.message };
  }
}

/** Makes the backup and nothing else. Removing files is held back from before the snapshot until the last blob is here. */
async function takeBackup(
  around: BackupSurroundings,
  folder: BackupFolder,
  run: WorkRun,
): Promise<{ readonly name: string; readonly copier: BlobCopier }> {
  const startedAt = around.unixSeconds();
  const release = await around.unlinks.hold();
  let partial: PartialBackup | undefined;
  let snapshot: Snapshot | undefined;
  try {
    await run.step();
    partial = await beginBackup(around, folder, startedAt);
    const { name, databasePath } = partial;
    const copier = new BlobCopier(around, folder, partial, run);
    await checkDatabase(around.snapshots, databasePath);
    snapshot = around.snapshots.open(databasePath);
    const facts = snapshot.facts();
    await copier.copyAll(snapshot, facts);
    snapshot.close();
    snapshot = undefined;
    release();
    const digest = await digestOfFile(databasePath, 'sha256', run.signal);
    await partial.finish({
      ...recordOf(facts, copier),
      name,
      startedAt: rfc3339(startedAt),
      finishedAt: rfc3339(around.unixSeconds()),
      version: around.version,
      madeBy: { copy: await around.metadata.copy(), host: around.host },
      database: { digest, size: (await stat(databasePath)).size },
    });
    partial = undefined;
    return { name, copier };
  } finally {
    release();
    snapshot?.close();
    // On a full disk even this may fail; the next backup removes it.
    await partial?.abandon().catch(() => undefined);
  }
}

async function beginBackup(
  { metadata }: BackupSurroundings,
  folder: BackupFolder,
  startedAt: number,
): Promise<PartialBackup> {
  await folder.removePartial();
  const partial = await folder.begin(startedAt);
  try {
    await metadata.snapshot(partial.databasePath);
    return partial;
  } catch (error) {
    await partial.abandon().catch(() => undefined);
    throw error;
  }
}

async function checkDatabase(snapshots: Snapshots, path: string): Promise<void> {
  const [finding] = await snapshots.check(path);
  if (finding !== undefined) throw new Error(`the copy of the database is damaged: ${finding}`);
}

function recordOf({ instance, schema, ...facts }: SnapshotFacts, { damaged }: BlobCopier) {
  const { repositories, manifests, tags, blobs, blobBytes } = facts;
  const counts = { repositories, manifests, tags, blobs, blobBytes };
  return { format: 1, instance, schema, ...counts, damaged: damaged.map(({ digest }) => digest) } as const;
}

function rfc3339(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}

class BlobCopier {
  readonly blobs = { present: 0, linked: 0, copied: 0 };
  readonly bytes = { present: 0, linked: 0, copied: 0 };
  readonly damaged: { digest: Digest; found: 'known' | 'missing' | 'other content' }[] = [];
  readonly #around: BackupSurroundings;
  readonly #folder: BackupFolder;
  readonly #partial: PartialBackup;
  readonly #run: WorkRun;
  #linking = true;

  constructor(around: BackupSurroundings, folder: BackupFolder, partial: PartialBackup, run: WorkRun) {
    this.#around = around;
    this.#folder = folder;
    this.#partial = partial;
    this.#run = run;
  }

  async copyAll(snapshot: Snapshot, { blobBytes }: SnapshotFacts): Promise<void> {
    let done = 0;
    await inParallel(listAllBlobs(snapshot), atATime, async (blob) => {
      await this.#run.step();
      const isHere = !blob.damaged || (await this.#folder.blobSize(blob.digest)) === blob.size;
      if (isHere) await this.#keep(blob);
      else this.damaged.push({ digest: blob.digest, found: 'known' });
      done += blob.size;
      this.#run.progress(done, blobBytes, {
        blobs: this.blobs,
        bytes: this.bytes,
        damaged: this.damaged.length,
      });
    });
  }

  async #keep(blob: SnapshotBlob): Promise<void> {
    const { digest, location, size } = blob;
    if ((await this.#folder.blobSize(digest)) === size) return this.#count('present', size);
    const way = await this.#fetch(blob);
    if (way === 'missing' || way === 'other content') {
      this.damaged.push({ digest, found: way });
      await this.#around.metadata.blobs.markDamaged(location);
      return;
    }
    await this.#partial.keepBlob(digest);
    this.#count(way, size);
  }

  async #fetch({ digest, location }: SnapshotBlob) {
    const { store } = this.#around;
    const path = this.#partial.incomingPath(digest);
    const linked = this.#linking ? ((await store.linkTo?.(location, path)) ?? 'unsupported') : 'unsupported';
    if (linked === 'missing') return 'missing';
    const actual =
      linked === 'linked'
        ? await digestOfFile(path, algorithmOf(digest), this.#run.signal)
        : await this.#copy(location, path, digest);
    // One file that cannot be linked tells of all others: they are on another file system.
    if (linked === 'unsupported') this.#linking = false;
    if (actual === undefined) return 'missing';
    if (actual === digest) return linked === 'linked' ? 'linked' : 'copied';
    await rm(path, { force: true });
    return 'other content';
  }

  async #copy(location: SnapshotBlob['location'], path: string, digest: Digest): Promise<Digest | undefined> {
    const blob = await this.#around.store.open(location);
    if (blob === undefined) return undefined;
    try {
      return await writeCopy(blob.stream(), path, algorithmOf(digest), this.#run.signal);
    } finally {
      await blob.close();
    }
  }

  #count(way: 'present' | 'linked' | 'copied', size: number): void {
    this.blobs[way]++;
    this.bytes[way] += size;
  }
}
