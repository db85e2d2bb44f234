// Making the data folder of a registry from a backup. Only into a folder that is new: what is used is never written to.
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import { inParallel } from '../registry/in-parallel.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import { type BlobStore, DigestMismatchError, type Location } from '../storage/blob-store.ts';
import type { RestoringDatabase, SnapshotBlob, Snapshots } from '../storage/snapshot.ts';
import { type BackupFolder, BackupFolderError, type BackupRecord, makeReachable } from './backup-folder.ts';
import { ifThere } from './if-there.ts';
import { reading } from './reading.ts';
import { digestOfFile } from './verified-copy.ts';

/** The folder to restore into holds something; nothing was changed. */
export class FolderUsedError extends Error {
  override readonly name = 'FolderUsedError';
}

export interface RestoreRequest {
  readonly source: BackupFolder;
  /** Which backup; the newest without it. */
  readonly name?: string | undefined;
  /** The data folder to make. It may exist, empty. */
  readonly target: string;
  /** Copies every blob, also where a second name would do. */
  readonly copy?: boolean | undefined;
}

export interface RestoreReport {
  readonly backup: BackupRecord;
  readonly linked: number;
  readonly copied: number;
  readonly bytes: number;
  /** Blobs without good bytes in the backup: answered 404 until they are pushed again. */
  readonly damaged: readonly { readonly digest: Digest; readonly found: string }[];
}

const page = 500;
const atATime = 4;

/**
 * Restores a backup and verifies every blob on the way. Throws FolderUsedError, BackupFolderError where the backup or its
 * database is not sound, SchemaMismatchError where it is newer than this program. A restore that was cut short leaves a folder
 * that no server starts on.
 */
export async function restoreBackup(
  request: RestoreRequest,
  around: { readonly snapshots: Snapshots; readonly openStore: (folder: string) => Promise<BlobStore> },
  run: WorkRun,
): Promise<RestoreReport> {
  return await reading(request.source, 'a restore', run, (guarded) =>
    restoreLocked(request, around, guarded),
  );
}

async function restoreLocked(
  request: RestoreRequest,
  around: { readonly snapshots: Snapshots; readonly openStore: (folder: string) => Promise<BlobStore> },
  run: WorkRun,
): Promise<RestoreReport> {
  const { source, target } = request;
  const backup = await chooseBackup(source, request.name);
  const database = source.databasePath(backup.name);
  if ((await ifThere(digestOfFile(database, 'sha256', run.signal))) !== backup.database.digest)
    throw new BackupFolderError(
      `${database} is not the database that was written: verify the backups and choose another`,
    );
  await makeReachable(target);
  const [used] = await readdir(target);
  if (used !== undefined)
    throw new FolderUsedError(
      `${target} holds something (${used}): restore into a new folder (nothing was changed). ` +
        'If a restore was interrupted there, remove the folder first',
    );
  const restoring = around.snapshots.restore(database, target);
  let store: BlobStore | undefined;
  try {
    store = await around.openStore(target);
    const placer = new BlobPlacer(source, store, request.copy !== true, run);
    await placer.placeAll(restoring, backup.blobBytes);
    restoring.finish();
    const { linked, copied, bytes, damaged } = placer;
    return { backup, linked, copied, bytes, damaged };
  } catch (error) {
    restoring.abandon();
    throw error;
  } finally {
    await store?.close();
  }
}

async function chooseBackup(source: BackupFolder, name: string | undefined): Promise<BackupRecord> {
  const found = await source.listAll();
  const broken = found.find((backup) => 'unreadable' in backup && backup.name === name);
  if (broken !== undefined && 'unreadable' in broken)
    throw new BackupFolderError(`the backup ${name} cannot be restored: ${broken.unreadable}`);
  const all = await source.list();
  const chosen = name === undefined ? all.at(-1) : all.find((record) => record.name === name);
  if (chosen !== undefined) return chosen;
  throw new BackupFolderError(
    all.length === 0
      ? `${source.path} has no backup`
      : `${source.path} has no backup ${name}; it has ${all.map((record) => record.name).join(', ')}`,
  );
}

class BlobPlacer {
  linked = 0;
  copied = 0;
  bytes = 0;
  readonly damaged: { digest: Digest; found: string }[] = [];
  readonly #source: BackupFolder;
  readonly #store: BlobStore;
  readonly #run: WorkRun;
  #linking: boolean;

  constructor(source: BackupFolder, store: BlobStore, linking: boolean, run: WorkRun) {
    this.#source = source;
    this.#store = store;
    this.#linking = linking;
    this.#run = run;
  }

  async placeAll(database: RestoringDatabase, total: number): Promise<void> {
    let after = '';
    for (;;) {
      const { items, more } = database.listBlobs({ after, limit: page });
      const placed: { digest: Digest; location: Location }[] = [];
      const damaged: Digest[] = [];
      await inParallel(items, atATime, async (blob) => {
        await this.#run.step();
        // Also what was damaged in the registry: the backups may have its good bytes from before.
        const location = await this.#place(blob);
        if (location === undefined) damaged.push(blob.digest);
        else placed.push({ digest: blob.digest, location });
        this.#run.progress(this.bytes, total, {
          blobs: this.linked + this.copied,
          damaged: this.damaged.length,
        });
      });
      database.settle(placed, damaged);
      const last = items.at(-1);
      if (!more || last === undefined) return;
      after = last.digest;
    }
  }

  async #place({ digest, size }: SnapshotBlob): Promise<Location | undefined> {
    try {
      const placed = await ifThere(this.#take(digest));
      if (placed !== undefined) {
        this.bytes += size;
        return placed;
      }
      this.damaged.push({ digest, found: 'missing' });
    } catch (error) {
      if (!(error instanceof DigestMismatchError)) throw error;
      this.damaged.push({ digest, found: 'other content' });
    }
    return undefined;
  }

  async #take(digest: Digest): Promise<Location> {
    const path = this.#source.blobPath(digest);
    const adopted = this.#linking ? await this.#store.adopt?.(path, digest) : undefined;
    if (adopted !== undefined) {
      this.linked++;
      return adopted.location;
    }
    this.#linking = false;
    const upload = await this.#store.beginUpload(randomUUID(), algorithmOf(digest));
    try {
      const body = createReadStream(path, { highWaterMark: 512 * 1024, signal: this.#run.signal });
      await this.#store.append(upload, body, { sizeLimit: Number.MAX_SAFE_INTEGER });
      const { location } = await this.#store.commit(upload, digest);
      this.copied++;
      return location;
    } catch (error) {
      await this.#store.abort(upload);
      throw error;
    }
  }
}
