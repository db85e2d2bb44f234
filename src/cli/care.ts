// The care of the store in a running server: what can be asked for, and what begins by itself.
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { createBackup } from '../backup/create.ts';
import type { Config } from '../config/config.ts';
import { parseSchedule } from '../config/schedule.ts';
import { openDistribution } from '../import/distribution.ts';
import { runImport } from '../import/importer.ts';
import { openLiveRegistry } from '../import/live-registry.ts';
import { openOciLayout } from '../import/oci-layout.ts';
import type { ImportSource } from '../import/source.ts';
import { type CareTasks, type ImportTask, shownImport } from '../registry/care-tasks.ts';
import type { CollectionRequest } from '../registry/collector.ts';
import { type OperationRun, SameKindRunningError } from '../registry/operations.ts';
import type { Registry } from '../registry/registry.ts';
import { runOnSchedule } from '../registry/schedule.ts';
import type { QuotaSettings } from '../storage/care-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { Origin } from '../storage/metadata-store.ts';
import { sqliteSnapshots } from '../storage/sqlite/snapshot.ts';

/** Who began what begins by itself. */
const system: Origin = { actor: 'system' };
/** Requests at a time to a live registry; more is asked of few of them. */
const remoteParallel = 4;

export interface CareOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly log: Logger;
  readonly version: string;
  readonly clock: Clock;
}

/** Care in one server. */
export class Care implements CareTasks {
  readonly #options: CareOptions;
  readonly #schedules: (() => Promise<void>)[] = [];
  #stopping = false;

  constructor(options: CareOptions) {
    this.#options = options;
  }

  /**
   * Marks what an earlier process left running, takes over the quotas of the settings and, unless `byItself` is false, begins
   * the schedules and the background scrub.
   */
  async start(byItself: boolean): Promise<void> {
    const { config, registry, log } = this.#options;
    await this.reload(config);
    await registry.operations.recover().catch((err: unknown) => {
      log.warn({ err }, 'operations that were running when the server ended cannot be marked yet');
    });
    if (!byItself) return;
    const { collector, scrub, backup, retention } = config;
    if (collector.enabled) {
      const request = { dryRun: false, now: false, force: false };
      // A backup may be due in the same minute.
      this.#every(collector.schedule, 'collection', () =>
        this.#collect(request, system, { afterBackup: true }),
      );
    }
    const { schedule, destination, keep, verify } = backup;
    if (schedule !== undefined && destination !== undefined) {
      this.#every(schedule, 'backup', () => this.backUp({ destination, keep, verify }, system));
    }
    if (retention.enabled) this.#retainOnSchedule(retention.schedule);
    if (scrub.enabled) registry.backgroundScrub.start();
  }

  /** Takes over what may change while running. */
  async reload({ quotas }: Config): Promise<void> {
    await this.#options.registry.metadata.care.quotas.configure(quotaSettingsOf(quotas));
  }

  /** Ends what runs at its next step; the rows say that it was interrupted. */
  async stop(): Promise<void> {
    const { registry } = this.#options;
    this.#stopping = true;
    // A schedule waits for what it began, and that ends only when the operations do.
    const schedules = this.#schedules.splice(0).map((end) => end());
    await registry.backgroundScrub.stop();
    await registry.operations.close();
    await Promise.all(schedules);
  }

  collect(request: CollectionRequest, origin: Origin): Promise<number> {
    return this.#collect(request, origin, { afterBackup: false });
  }

  scrub(request: Parameters<CareTasks['scrub']>[0], origin: Origin): Promise<number> {
    const { operations, scrub } = this.#options.registry;
    return operations.start('scrub', { ...request }, origin, (run) => scrub.scrub(run, request));
  }

  backUp(request: Parameters<CareTasks['backUp']>[0], origin: Origin): Promise<number> {
    const { registry, version, clock } = this.#options;
    const { metadata, store, unlinks, operations } = registry;
    const { unixSeconds } = clock;
    const around = {
      metadata,
      store,
      unlinks,
      snapshots: sqliteSnapshots,
      unixSeconds,
      version,
      host: hostname(),
    };
    return operations.start('backup', { ...request }, origin, (run) => createBackup(around, request, run));
  }

  importFrom(task: ImportTask, origin: Origin): Promise<number> {
    const { registry } = this.#options;
    return registry.operations.start('import', shownImport(task), origin, async (run) => {
      const source = await openSource(task, run);
      try {
        return (await runImport(registry, source, task, run)).toJSON();
      } finally {
        await source.close();
      }
    });
  }

  retain(request: Parameters<CareTasks['retain']>[0], origin: Origin): Promise<number> {
    const { operations, retention } = this.#options.registry;
    return operations.start('retention', { ...request }, origin, (run) => retention.run(run, request));
  }

  nextRun(kind: 'gc' | 'backup' | 'retention'): Date | undefined {
    const { collector, backup, retention } = this.#options.config;
    const schedules = {
      gc: collector.enabled ? collector.schedule : undefined,
      backup: backup.schedule,
      retention: retention.enabled ? retention.schedule : undefined,
    };
    const schedule = schedules[kind];
    return schedule === undefined ? undefined : parseSchedule(schedule).next(new Date());
  }

  /** A run for each namespace that has rules, one after the other. */
  #retainOnSchedule(schedule: string): void {
    const { metadata, operations, writes } = this.#options.registry;
    const { log } = this.#options;
    const work = async (): Promise<void> => {
      if (writes.readOnly().message !== undefined) return;
      for (let after: string | undefined, more = true; more && !this.#stopping; ) {
        const page = await metadata.retention.listNamespaces({ after, limit: 100 });
        for (const namespace of page.items) {
          if (this.#stopping) return;
          try {
            await operations.wait(await this.retain({ namespace, dryRun: false }, system));
          } catch (error) {
            if (!(error instanceof SameKindRunningError)) throw error;
            log.info(
              { operation: error.id, namespace },
              'a scheduled retention was left out: one is running',
            );
          }
        }
        more = page.more;
        after = page.items.at(-1);
      }
    };
    const onFailure = (err: unknown): void => log.error({ err }, 'a scheduled retention could not begin');
    this.#schedules.push(runOnSchedule(parseSchedule(schedule), work, { onFailure }));
  }

  #collect(
    request: CollectionRequest,
    origin: Origin,
    when: { readonly afterBackup: boolean },
  ): Promise<number> {
    const { operations, collector } = this.#options.registry;
    return operations.start('gc', { ...request }, origin, (run) => collector.collect(run, request, when));
  }

  #every(schedule: string, what: string, begin: () => Promise<number>): void {
    const { log, registry } = this.#options;
    const work = async (): Promise<void> => {
      try {
        await registry.operations.wait(await begin());
      } catch (error) {
        if (!(error instanceof SameKindRunningError)) throw error;
        log.info({ operation: error.id }, `a scheduled ${what} was left out: one is running`);
      }
    };
    const onFailure = (err: unknown): void => log.error({ err }, `a scheduled ${what} could not begin`);
    this.#schedules.push(runOnSchedule(parseSchedule(schedule), work, { onFailure }));
  }
}

function quotaSettingsOf({ registry, organization, user, warnAt }: Config['quotas']): QuotaSettings {
  const limit = (bytes: number) => (Number.isFinite(bytes) ? bytes : 'unlimited');
  return { registry: limit(registry), organization: limit(organization), user: limit(user), warnAt };
}

async function openSource(task: ImportTask, { signal }: OperationRun): Promise<ImportSource> {
  switch (task.type) {
    case 'distribution':
      return await openDistribution(task.path, task);
    case 'oci':
      return await openOciLayout(task.path, task);
    case 'registry': {
      const { url, credentials, parallel = remoteParallel, certificate: ca } = task;
      return openLiveRegistry({ url: new URL(url), credentials, parallel, ca, signal }, task);
    }
  }
}
