// The rules over tags: the contracts over the writer and the reads of the main thread.
import type { ProtectionStore } from '../protection-store.ts';
import type { RetentionStore } from '../retention-store.ts';
import type { Connection } from './connection.ts';
import { ProtectionChecks } from './protection-checks.ts';
import { makeProtectionReads } from './protection-reads.ts';
import { makeRetentionReads } from './retention-reads.ts';
import type { Ask } from './sqlite-accounts.ts';
import type { WriterThread } from './writer-thread.ts';

export function makeProtectionStore(
  reader: Connection,
  writer: Pick<WriterThread, 'run'>,
  ask: Ask,
): ProtectionStore {
  const reads = makeProtectionReads(reader);
  const checks = new ProtectionChecks(reader);
  return {
    set: (options) => writer.run('setProtection', options),
    judge: ({ namespace, rules }) =>
      ask(() => {
        const judged = reads.judge(namespace, rules);
        return judged.outcome === 'set' ? { outcome: 'set' } : judged;
      }),
    list: (namespace) => ask(() => reads.listRules(namespace)),
    rulesOf: (repository, act) => ask(() => checks.heldBy(repository, act)),
    findProtected: (repository, origin) => ask(() => checks.findProtected(repository, origin)),
    findProtectedMove: (from, to, origin) => ask(() => checks.findProtectedMove(from, to, origin)),
    findProtectedManifest: (repository, digest, origin) =>
      ask(() => checks.findProtectedManifest(repository, digest, origin)),
    findProtection: (change) => ask(() => checks.find(change)),
  };
}

export function makeRetentionStore(
  reader: Connection,
  {
    writer,
    ticks,
    unixSeconds,
  }: {
    readonly writer: Pick<WriterThread, 'run'>;
    readonly ticks: () => number;
    readonly unixSeconds: () => number;
  },
  ask: Ask,
): RetentionStore {
  const reads = makeRetentionReads(reader);
  return {
    setRules: (options) => writer.run('setRetention', options),
    findRules: (namespace) => ask(() => reads.findRules(namespace)),
    listNamespaces: (page) => ask(() => reads.listNamespaces(page)),
    listRepositories: (page) => ask(() => reads.listRepositories(page)),
    moment: () => ask(() => ({ at: Math.floor(unixSeconds()), ticks: ticks(), mark: reads.mark() })),
    listTags: (repository, page) => ask(() => reads.listTags(repository, page)),
    listManifests: (repository, page) => ask(() => reads.listManifests(repository, page)),
    listBlobs: (manifests) => ask(() => reads.listBlobs(manifests)),
    filterHeldBy: (repository, blobs) => ask(() => reads.filterHeldBy(repository, blobs)),
    remove: (options) => writer.run('removeRetained', options),
    listRuns: (options) => ask(() => reads.listRuns(options)),
  };
}
