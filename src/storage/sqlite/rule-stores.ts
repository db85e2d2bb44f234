// The rules over tags: the contracts over the writer and the reads of the main thread.
import type { ProtectionStore } from '../protection-store.ts';
import type { Connection } from './connection.ts';
import { ProtectionChecks } from './protection-checks.ts';
import { makeProtectionReads } from './protection-reads.ts';
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
    list: (namespace) => ask(() => reads.listRules(namespace)),
    rulesOf: (repository) => ask(() => checks.heldBy(repository)),
    findProtected: (repository, origin) => ask(() => checks.findProtected(repository, origin)),
    findProtection: (change) => ask(() => checks.find(change)),
  };
}
