// What long work needs of its operation, so that the same work also runs without one: a verification or a restore has no
// server, and so no row.
import { setImmediate as turn } from 'node:timers/promises';
import type { OperationRun } from './operations.ts';

/** The means to tell how far the work is, to pause and to be cancelled. */
export type WorkRun = Omit<OperationRun, 'id'>;

/** A run of its own, without an operation. `onProgress` is told how far the work is. */
export function standaloneRun(
  options: { readonly signal?: AbortSignal; readonly onProgress?: WorkRun['progress'] } = {},
): WorkRun {
  const signal = options.signal ?? new AbortController().signal;
  return {
    signal,
    progress: (...figures) => options.onProgress?.(...figures),
    async step() {
      await turn();
      signal.throwIfAborted();
    },
  };
}
