// The intentions of care, by name.
import { makeOperationIntentions } from './care-operations.ts';
import { CollectorWrites } from './collector-writes.ts';
import type { Connection } from './connection.ts';
import { CountWrites } from './count-writes.ts';
import { EpochWrites } from './epoch-writes.ts';
import { RepositoryPurge } from './repository-purge.ts';
import { ScrubWrites } from './scrub-writes.ts';
import type { SharedWrites } from './shared-writes.ts';

export function makeCareIntentions(db: Connection, shared: SharedWrites) {
  const collector = new CollectorWrites(db, shared);
  const repositories = new RepositoryPurge(db, shared);
  const scrub = new ScrubWrites(db, shared);
  const counts = new CountWrites(db);
  const epochs = new EpochWrites(db);
  const { quotas } = shared;
  return {
    ...makeOperationIntentions(db),
    reapLinks: collector.reapLinks.bind(collector),
    purgeTrash: collector.purgeTrash.bind(collector),
    purgeRepositories: repositories.purgeRepositories.bind(repositories),
    condemnBlobs: collector.condemnBlobs.bind(collector),
    expireAliases: collector.expireAliases.bind(collector),
    markHistory: collector.markHistory.bind(collector),
    expireHistory: collector.expireHistory.bind(collector),
    renewEpoch: epochs.renewEpoch.bind(epochs),
    takeOverFiles: epochs.takeOverFiles.bind(epochs),
    configureQuotas: quotas.configureQuotas.bind(quotas),
    setQuota: quotas.setQuota.bind(quotas),
    noteSound: scrub.noteSound.bind(scrub),
    adoptCopy: scrub.adoptCopy.bind(scrub),
    repairEdges: scrub.repairEdges.bind(scrub),
    checkLinks: scrub.checkLinks.bind(scrub),
    repairCounts: counts.repairCounts.bind(counts),
    recordIntegrity: scrub.recordIntegrity.bind(scrub),
  };
}
