// A thread for one long task on a database file that must not hold up the event loop: copying it, or checking all of it.
import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from './connection.ts';
import { type Failure, toFailure } from './group-commit.ts';

export type SnapshotTask =
  /** Copies the database as it is at one moment, while others write. */
  | { readonly kind: 'copy'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'check';
      readonly path: string;
    };

export type SnapshotAnswer = { readonly findings: readonly string[] } | { readonly failure: Failure };

const mostFindings = 100;

if (parentPort !== null) parentPort.postMessage(answer(workerData as SnapshotTask));

function answer(task: SnapshotTask): SnapshotAnswer {
  try {
    const db = openReader(task.path);
    try {
      if (task.kind === 'check') return { findings: check(db) };
      db.prepare('VACUUM INTO ?').run(task.target);
      return { findings: [] };
    } finally {
      db.close();
    }
  } catch (error) {
    return { failure: toFailure(error) };
  }
}

function check(db: ReturnType<typeof openReader>): readonly string[] {
  const structure = db.prepare(`PRAGMA integrity_check(${mostFindings})`).pluck().all() as string[];
  if (structure.length !== 1 || structure[0] !== 'ok') return structure;
  const dangling = db.pragma('foreign_key_check') as { table: string; parent: string }[];
  return dangling
    .slice(0, mostFindings)
    .map(({ table, parent }) => `a row of ${table} points at nothing in ${parent}`);
}
