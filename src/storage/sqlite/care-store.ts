// The care of the store over SQLite: the contract over the writer and the reads of the main thread.
import type { CareStore } from '../care-store.ts';
import { makeOperationReads } from './care-operations.ts';
import type { Connection } from './connection.ts';
import type { WriterThread } from './writer-thread.ts';

export type CareReads = ReturnType<typeof makeCareReads>;

export function makeCareReads(db: Connection) {
  return { operations: makeOperationReads(db) };
}

/** The contract over its two halves. `ask` runs a read and tells faults of the medium apart. */
export function makeCareStore(
  parts: { readonly writer: Pick<WriterThread, 'run'>; readonly careReads: CareReads },
  ask: <Result>(read: () => Result) => Promise<Result>,
): CareStore {
  const { writer, careReads } = parts;
  const { operations } = careReads;
  return {
    operations: {
      begin: (options) => writer.run('beginOperation', options),
      note: (id, progress) => writer.run('noteOperation', { id, progress }),
      end: (id, result) => writer.run('endOperation', { id, result }),
      interruptAll: () => writer.run('interruptOperations', undefined),
      find: (id) => ask(() => operations.find(id)),
      list: (filter) => ask(() => operations.list(filter)),
    },
  };
}
