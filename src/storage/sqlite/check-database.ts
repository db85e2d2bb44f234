// Has SQLite check the whole database in a thread with a connection of its own: it takes minutes on a large one, and neither
// requests nor the writer wait for it.
import { askThread } from './ask-thread.ts';

/** The faults of the database at `path`; none when it is sound. `deep` also compares every index with its table. */
export function checkDatabase(
  path: string,
  options: { readonly deep: boolean; readonly signal?: AbortSignal },
): Promise<readonly string[]> {
  const { deep, signal } = options;
  return askThread('./integrity-thread.ts', { checkDatabaseAt: path, deep }, signal);
}
