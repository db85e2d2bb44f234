// The intentions of rules over tags, by name.
import type { Connection } from './connection.ts';
import type { ManifestWrites } from './manifest-writes.ts';
import { ProtectionWrites } from './protection-writes.ts';
import { RetentionWrites } from './retention-writes.ts';
import type { SharedWrites } from './shared-writes.ts';
import type { TagWrites } from './tag-writes.ts';

export function makeRuleIntentions(
  db: Connection,
  shared: SharedWrites,
  tags: TagWrites,
  manifests: ManifestWrites,
) {
  const protection = new ProtectionWrites(db, shared);
  const retention = new RetentionWrites(db, shared, tags, manifests);
  return {
    setProtection: protection.setProtection.bind(protection),
    setRetention: retention.setRetention.bind(retention),
    removeRetained: retention.removeRetained.bind(retention),
  };
}
