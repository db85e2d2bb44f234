// The intentions of care, by name.
import { makeOperationIntentions } from './care-operations.ts';
import type { Connection } from './connection.ts';

export function makeCareIntentions(db: Connection) {
  return { ...makeOperationIntentions(db) };
}
