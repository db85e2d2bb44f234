// The intentions of rules over tags, by name.
import type { Connection } from './connection.ts';
import { ProtectionWrites } from './protection-writes.ts';
import type { SharedWrites } from './shared-writes.ts';

export function makeRuleIntentions(db: Connection, shared: SharedWrites) {
  const protection = new ProtectionWrites(db, shared);
  return {
    setProtection: protection.setProtection.bind(protection),
  };
}
