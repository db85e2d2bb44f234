// The care of the store over SQLite: the contract over the writer and the reads of the main thread.
import type { CareStore, CollectorStore, QuotaStore, ScrubStore } from '../care-store.ts';
import { askThread } from './ask-thread.ts';
import { makeOperationReads } from './care-operations.ts';
import { checkDatabase } from './check-database.ts';
import { makeCollectorReads } from './collector-reads.ts';
import type { Connection } from './connection.ts';
import type { Epoch } from './epoch.ts';
import { makeQuotaReads } from './quota-reads.ts';
import { makeScrubReads } from './scrub-reads.ts';
import type { Ask } from './sqlite-accounts.ts';
import { makeUsageReads } from './usage-reads.ts';
import type { WriterThread } from './writer-thread.ts';

export type CareReads = ReturnType<typeof makeCareReads>;

export function makeCareReads(db: Connection) {
  return {
    path: db.name,
    operations: makeOperationReads(db),
    collector: makeCollectorReads(db),
    quotas: makeQuotaReads(db),
    usage: makeUsageReads(db),
    scrub: makeScrubReads(db),
  };
}

interface Parts {
  readonly writer: Pick<WriterThread, 'run'>;
  readonly careReads: CareReads;
  readonly epoch: Pick<Epoch, 'heldSince' | 'takeOver'>;
  readonly ticks: () => number;
  readonly unixSeconds: () => number;
}

/** The contract over its two halves. */
export function makeCareStore(parts: Parts, ask: Ask): CareStore {
  const { writer, careReads } = parts;
  const { operations, quotas, usage } = careReads;
  return {
    operations: {
      begin: (options) => writer.run('beginOperation', options),
      note: (id, progress) => writer.run('noteOperation', { id, progress }),
      end: (id, result) => writer.run('endOperation', { id, result }),
      interruptAll: () => writer.run('interruptOperations', undefined),
      find: (id) => ask(() => operations.find(id)),
      list: (filter) => ask(() => operations.list(filter)),
    },
    collector: makeCollectorStore(parts, ask),
    quotas: makeQuotaStore(parts, ask),
    usage: {
      stored: () => ask(() => quotas.stored()),
      shared: (page) => ask(() => usage.shared(page)),
      ofRepository: (page) => ask(() => usage.ofRepository(page)),
      freedBy: (named) => ask(() => usage.freedBy(named)),
    },
    scrub: makeScrubStore(parts, ask),
  };
}

function makeCollectorStore({ writer, careReads, epoch, ticks }: Parts, ask: Ask): CollectorStore {
  const { collector } = careReads;
  return {
    survey: (options) => ask(() => collector.survey(ticks(), options)),
    countTrash: ({ everything }) => ask(() => collector.countTrash(ticks(), everything)),
    purgeTrash: (options) => writer.run('purgeTrash', options),
    purgeRepositories: (options) => writer.run('purgeRepositories', options),
    reapLinks: (limit) => writer.run('reapLinks', limit),
    condemnBlobs: (limit) => writer.run('condemnBlobs', limit),
    filterUnknown: (locations) => ask(() => collector.filterUnknown(locations)),
    otherDatabaseSince: () => ask(() => epoch.heldSince()),
    takeOverFiles: () => epoch.takeOver(writer),
    countUnlinks: () => ask(() => collector.countUnlinks()),
    expireAliases: (limit) => writer.run('expireAliases', limit),
    markHistory: () => writer.run('markHistory', undefined),
    expireHistory: (options) => writer.run('expireHistory', options),
  };
}

function makeQuotaStore({ writer, careReads }: Parts, ask: Ask): QuotaStore {
  const { quotas } = careReads;
  return {
    async configure(settings) {
      await writer.run('configureQuotas', settings);
      quotas.configure(settings);
    },
    set: (options) => writer.run('setQuota', options),
    find: (namespace) => ask(() => quotas.find(namespace)),
    list: (page) => ask(() => quotas.list(page)),
    findExcess: (change) => ask(() => quotas.findExcess(change)),
  };
}

function makeScrubStore({ writer, careReads, unixSeconds }: Parts, ask: Ask): ScrubStore {
  const { scrub, path } = careReads;
  return {
    listBlobs: (page) => ask(() => scrub.listBlobs(page)),
    listOldestChecked: (limit) => ask(() => scrub.listOldestChecked(limit)),
    noteSound: (locations) => writer.run('noteSound', locations),
    adoptCopy: (copy) => writer.run('adoptCopy', copy),
    listManifests: (page) => ask(() => scrub.listManifests(page)),
    repairEdges: (input) => writer.run('repairEdges', input),
    checkLinks: (page) => writer.run('checkLinks', page),
    checkCounts: ({ signal }) => askThread('./counts-thread.ts', { countAt: path }, signal),
    repairCounts: (faults) => writer.run('repairCounts', faults),
    listDamaged: (page) => ask(() => scrub.listDamaged(page)),
    async checkIntegrity(options) {
      const faults = await checkDatabase(path, options);
      const result = { at: Math.floor(unixSeconds()), sound: faults.length === 0, faults };
      await writer.run('recordIntegrity', result);
      return result;
    },
    integrity: () => ask(() => scrub.integrity()),
  };
}
