// One question to a thread of its own, which posts one answer: for what reads the whole database.
import { Worker } from 'node:worker_threads';

/** What the thread in `file`, beside this one, posts. Throws what it threw, or the reason of `signal`, which ends it. */
export function askThread<Answer>(
  file: string,
  workerData: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(new URL(file, import.meta.url), {
      name: file.replace(/^\.\/(.*)\.ts$/, 'berth-$1'),
      workerData,
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
      reject(new Error(`the thread ${file} ended without an answer`));
    });
  });
}
