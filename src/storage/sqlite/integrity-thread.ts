// The thread that checks a database: opens it for reading, lets SQLite look through all of it, and posts what is wrong.
import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from './connection.ts';

/** What SQLite finds wrong, at most the first hundred lines. */
const mostFaults = 100;

interface Task {
  readonly checkDatabaseAt: string;
  readonly deep: boolean;
}

const task = workerData as Task | null;
if (parentPort !== null && typeof task?.checkDatabaseAt === 'string') {
  const db = openReader(task.checkDatabaseAt);
  try {
    parentPort.postMessage(findFaults(db, task.deep));
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
