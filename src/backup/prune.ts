// Retention of backups: old ones go, and with them the blobs that no kept one needs.
import type { Digest } from '../oci/digest.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import { listAllBlobs, type Snapshots } from '../storage/snapshot.ts';
import type { BackupFolder } from './backup-folder.ts';

export type PruneReport = Readonly<Record<string, unknown>> & {
  readonly removed: readonly string[];
  readonly blobs: number;
  readonly bytes: number;
};

/**
 * Keeps the newest `keep` backups of a folder (at least one). Blobs go only after every kept backup told what it needs: one
 * whose database cannot be read makes it throw before any blob is removed. No backup may be under way.
 */
export async function pruneBackups(
  folder: BackupFolder,
  keep: number,
  snapshots: Snapshots,
  run: WorkRun,
): Promise<PruneReport> {
  const all = await folder.list();
  const kept = all.slice(-Math.max(1, keep));
  const removed = all.slice(0, all.length - kept.length).map(({ name }) => name);
  await folder.removePartial();
  const needed = new Set<Digest>();
  for (const { name } of kept) {
    const snapshot = snapshots.open(folder.databasePath(name));
    try {
      for (const { digest } of listAllBlobs(snapshot)) {
        needed.add(digest);
        if (needed.size % 10_000 === 0) await run.step();
      }
    } finally {
      snapshot.close();
    }
  }
  for (const name of removed) await folder.remove(name);
  let [blobs, bytes] = [0, 0];
  for await (const digest of folder.listBlobs()) {
    if (needed.has(digest)) continue;
    await run.step();
    const size = (await folder.blobSize(digest)) ?? 0;
    bytes += size;
    await folder.removeBlob(digest);
    blobs++;
  }
  return { removed, blobs, bytes };
}
