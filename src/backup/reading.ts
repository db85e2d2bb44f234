// Reading backups while nobody removes any.
import type { WorkRun } from '../registry/operation-run.ts';
import type { BackupFolder } from './backup-folder.ts';
import { type FolderLock, takeLock, UnwritableFolderError } from './folder-lock.ts';

/**
 * Does `work` with one of the folder's locks for readers: backups are made meanwhile, and none is removed. A folder that is
 * mounted read-only, or full, is read without: a disaster is no time to refuse that.
 */
export async function reading<T>(
  folder: BackupFolder,
  what: string,
  run: WorkRun,
  work: (run: WorkRun) => Promise<T>,
): Promise<T> {
  let lock: FolderLock | undefined;
  try {
    // What is no folder of backups gets no file of ours.
    if ((await folder.findInstance()) !== undefined) lock = await takeLock(folder.locks.reading, what, run);
  } catch (error) {
    if (!(error instanceof UnwritableFolderError)) throw error;
  }
  try {
    return await work(lock?.guard(run) ?? run);
  } finally {
    await lock?.release();
  }
}
