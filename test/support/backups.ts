// What tests of backups share: making one of a running registry, and starting a registry on what was restored.
import assert from 'node:assert/strict';
import { BackupFolder } from '../../src/backup/backup-folder.ts';
import { type BackupReport, createBackup } from '../../src/backup/create.ts';
import { type RestoreReport, restoreBackup } from '../../src/backup/restore.ts';
import { type VerifyReport, verifyBackups } from '../../src/backup/verify.ts';
import { standaloneRun, type WorkRun } from '../../src/registry/operation-run.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { sqliteSnapshots } from '../../src/storage/sqlite/snapshot.ts';

/** Backs a running registry up. */
export async function backUp(
  registry: Registry,
  destination: string,
  options: {
    readonly keep?: number;
    readonly verify?: boolean;
    readonly run?: WorkRun;
    readonly unixSeconds?: () => number;
  } = {},
): Promise<BackupReport> {
  const { metadata, store, unlinks } = registry;
  const unixSeconds = options.unixSeconds ?? (() => Date.now() / 1000);
  const around = {
    metadata,
    store,
    unlinks,
    snapshots: sqliteSnapshots,
    unixSeconds,
    host: 'here',
    version: 'test',
  };
  return await createBackup(
    around,
    { destination, keep: options.keep, verify: options.verify },
    options.run ?? standaloneRun(),
  );
}

/** Verifies every backup of a folder. */
export async function verify(destination: string): Promise<VerifyReport> {
  return await verifyBackups(new BackupFolder(destination), sqliteSnapshots, standaloneRun());
}

/** Restores a backup into a new data folder. */
export async function restore(
  source: string,
  target: string,
  options: { readonly name?: string; readonly copy?: boolean } = {},
): Promise<RestoreReport> {
  const onFatal = (error: Error) => assert.fail(error);
  const openStore = (folder: string) => openDiskStore({ folder, onFatal });
  const request = { source: new BackupFolder(source), target, ...options };
  return await restoreBackup(request, { snapshots: sqliteSnapshots, openStore }, standaloneRun());
}
