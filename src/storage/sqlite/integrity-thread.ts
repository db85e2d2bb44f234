// Lets SQLite check the whole database in a thread with a connection of its own: it takes minutes on a large one, and neither
// requests nor the writer wait for it. This file is both sides: the function that asks, and the thread that checks.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { openReader } from './connection.ts';

/** What SQLite finds wrong, at most the first hundred lines. */
const mostFaults = 100;

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

interface Task {
  readonly checkDatabaseAt: string;
  readonly deep: boolean;
}

const task = workerData as Task | null;
if (!isMainThread && typeof task?.checkDatabaseAt === 'string') {
  const db = openReader(task.checkDatabaseAt);
  try {
    parentPort?.postMessage(findFaults(db, task.deep));
  } finally {
    db.close();
  }
}

function findFaults(db: ReturnType<typeof openReader>, deep: boolean): readonly string[] {
  try {
    const pragma = deep ? 'integrity_check' : 'quick_check';
    const lines = db.pragma(`${pragma}(${mostFaults})`) as Readonly<Record<string, string>>[];
    const faults = lines.map((line) => String(Object.values(line)[0])).filter((line) => line !== 'ok');
    const broken = db.pragma('foreign_key_check') as readonly { table: string; parent: string }[];
    for (const { table, parent } of broken.slice(0, mostFaults)) {
      faults.push(`a row of ${table} points at a row of ${parent} that is not there`);
    }
    return faults;
  } catch (error) {
    return [(error as Error).message];
  }
}
