// The thread that counts: it sees the database as it is at one moment, and posts what is wrong.
import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from './connection.ts';
import { findWrongCounts } from './counts.ts';

interface Task {
  readonly countAt: string;
}

const task = workerData as Task | null;
if (parentPort !== null && typeof task?.countAt === 'string') {
  const db = openReader(task.countAt);
  try {
    parentPort.postMessage(db.transaction(() => findWrongCounts(db))());
  } finally {
    db.close();
  }
}
