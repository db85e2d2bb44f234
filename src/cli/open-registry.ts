// The registry of a data folder: its lock, its stores and the rules over them.
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import {
  type CareSettings,
  createRegistry,
  type Registry,
  type RegistrySettings,
} from '../registry/registry.ts';
import type { Clock } from '../storage/clock.ts';
import { ballastFile } from '../storage/disk/ballast.ts';
import { openDiskStore } from '../storage/disk/disk-store.ts';
import { makeFolder } from '../storage/make-folder.ts';
import { lockFolder } from '../storage/sqlite/lock.ts';
import { openSqliteStore } from '../storage/sqlite/sqlite-store.ts';

export interface OpenRegistry {
  readonly registry: Registry;
  /** Resolves with the reason when the medium failed and nothing may be written any more. */
  readonly fatal: Promise<Error>;
}

/** Opens the folder and puts the registry together; what has to be undone is pushed to `opened` as it is done. */
export async function openRegistry(
  { config, log, clock }: { readonly config: Config; readonly log: Logger; readonly clock: Clock },
  opened: (() => Promise<void> | void)[],
): Promise<OpenRegistry> {
  const fatal = Promise.withResolvers<Error>();
  let registry: Registry | undefined;
  await makeFolder(config.data);
  const lock = lockFolder(config.data);
  opened.push(() => lock.release());
  const onFatal = (error: Error) => {
    registry?.writes.fail();
    fatal.resolve(error);
  };
  const blobs = await openDiskStore({ folder: config.data, onFatal });
  opened.push(() => blobs.close());
  const metadata = await openSqliteStore({
    folder: config.data,
    clock,
    leaseSeconds: config.collector.lease,
    undeleteSeconds: config.repositories.undeleteFor,
    oldNameSeconds: config.repositories.keepOldNameFor,
    onFatal,
  });
  opened.push(() => metadata.close());
  registry = createRegistry({
    metadata,
    blobs,
    ballast: ballastFile(join(config.data, 'ballast'), config.storage.ballast),
    clock,
    settings: settingsOf(config),
    care: careSettingsOf(config),
    onDamage: (damage) =>
      log.error({ damage }, 'a blob is damaged: it is answered 404 until it is pushed again'),
    onScrubDamage: (damage) =>
      log.error({ damage }, 'the scrub found a damaged blob: it is answered 404 until it is pushed again'),
    onDutyFailure: (duty, err) => log.error({ err, duty }, 'a regular duty failed; it is tried again'),
  });
  const { sweep, writes } = registry;
  opened.push(() => sweep.stop());
  await writes.refillBallast();
  if ((await metadata.care.collector.otherDatabaseSince()) !== undefined)
    log.warn(
      'the database in the data folder is not the one that its files were written with: no space is taken back until somebody decides (berth status)',
    );
  return { registry, fatal: fatal.promise };
}

/** The settings that the rules depend on. */
export function settingsOf({ storage, collector }: Config): RegistrySettings {
  const { idleExpiry, longest, ...limits } = storage.upload;
  return {
    readOnly: storage.readOnly,
    delete: storage.delete,
    keepFree: storage.keepFree,
    keepFreeInodes: storage.keepFreeInodes,
    blobSizeLimit: storage.blobSizeLimit,
    sparseManifests: storage.sparseManifests,
    leaseSeconds: collector.lease,
    uploads: { ...limits, idleExpirySeconds: idleExpiry, longestSeconds: longest },
  };
}

function careSettingsOf({ collector, repositories, scrub }: Config): CareSettings {
  return {
    stopAbove: collector.stopAbove,
    historyKeptSeconds: repositories.historyKept,
    scrubBytesPerSecond: scrub.rate,
    fullPassSeconds: scrub.fullPassWithin,
  };
}
