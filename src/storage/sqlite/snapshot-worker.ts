// A thread that copies the database as it is at one moment, while others write: neither requests nor the writer wait for it.
import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from './connection.ts';
import { type Failure, toFailure } from './group-commit.ts';

export interface CopyTask {
  readonly copyFrom: string;
  /** A file that must not exist. */
  readonly target: string;
}

const task = workerData as CopyTask | null;
if (typeof task?.copyFrom === 'string') parentPort?.postMessage(copy(task));

/** undefined when it succeeded. */
function copy({ copyFrom, target }: CopyTask): Failure | undefined {
  try {
    const db = openReader(copyFrom);
    try {
      db.prepare('VACUUM INTO ?').run(target);
      return undefined;
    } finally {
      db.close();
    }
  } catch (error) {
    return toFailure(error);
  }
}
