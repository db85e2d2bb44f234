// The store of repositories as people manage them: reads on the main thread, intentions to the writer thread.
import type { RepositoryStore } from '../metadata-store.ts';
import type { Connection } from './connection.ts';
import { makeRepositoryReads } from './repository-reads.ts';
import type { Ask } from './sqlite-accounts.ts';
import type { WriterThread } from './writer-thread.ts';

interface Parts {
  readonly reader: Connection;
  readonly writer: Pick<WriterThread, 'run'>;
  readonly ticks: () => number;
}

export function makeManagedRepositoryStore(
  { reader, writer, ticks }: Parts,
  ask: Ask,
): Omit<RepositoryStore, 'find' | 'list' | 'search' | 'totals'> {
  const reads = makeRepositoryReads(reader);
  return {
    describe: (name) => ask(() => reads.describe(name)),
    add: (options) => writer.run('addRepository', options),
    update: (options) => writer.run('updateRepository', options),
    walk: (options) => ask(() => reads.walk(options)),
    walkRecent: (options) => ask(() => reads.walkRecent(options)),
    listWithLabel: (options) => ask(() => reads.listWithLabel(options)),
    listHolding: (options) => ask(() => reads.listHolding(options)),
    filterHolding: (digest, ids) => ask(() => reads.filterHolding(digest, ids)),
    findPlace: (id, digest) => ask(() => reads.findPlace(id, digest)),
    move: (options) => writer.run('moveRepository', options),
    listAliases: (name, page) => ask(() => reads.listAliases(name, { ...page, ticks: ticks() })),
    removeAlias: (options) => writer.run('removeAlias', options),
    remove: (options) => writer.run('removeRepository', options),
    listDeleted: (page) => ask(() => reads.listDeleted({ ...page, ticks: ticks() })),
    findDeleted: (id) => ask(() => reads.findDeleted(id, ticks())),
    restore: (options) => writer.run('restoreRepository', options),
    purge: (options) => writer.run('purgeDeleted', options),
  };
}
