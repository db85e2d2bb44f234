// Has SQLite check the whole database in a thread with a connection of its own: it takes minutes on a large one, and neither
// requests nor the writer wait for it.
import { Worker } from 'node:worker_threads';

/** The faults of the database at `path`; none when it is sound. `deep` also compares every index with its table. */
export function checkDatabase(
  path: string,
  options: { readonly deep: boolean; readonly signal?: AbortSignal },
): Promise<readonly string[]> {
  const { deep, signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(new URL('./integrity-thread.ts', import.meta.url), {
      name: 'berth-integrity',
      workerData: { checkDatabaseAt: path, deep },
    });
    const abort = (): void => {
      reject(signal?.reason as Error);
      void worker.terminate();
    };
    signal?.addEventListener('abort', abort, { once: true });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => {
      signal?.removeEventListener('abort', abort);
      reject(new Error('the thread that checks the database ended without an answer'));
    });
  });
}
