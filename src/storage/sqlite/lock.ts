// The lock on a data folder: one process at a time. It is an exclusive transaction on an empty SQLite file, so the kernel
// frees it with the process, kill -9 included. Nothing else may open that file: closing any descriptor of it drops the lock.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type Connection, codeOf } from './connection.ts';

export interface FolderLock {
  release(): void;
}

/** Another process works in the folder. `pid` is undefined when it did not get to say who it is. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError';
  readonly folder: string;
  readonly pid: number | undefined;
  constructor(folder: string, pid: number | undefined) {
    super(
      `the data folder ${folder} is in use by ${pid === undefined ? 'another process' : `process ${pid}`}: ` +
        'stop that one, or give this one a folder of its own',
    );
    this.folder = folder;
    this.pid = pid;
  }
}

/** Connections that hold a lock: one that is collected as garbage is closed, and its lock with it. */
const holding = new Set<Connection>();

/** Locks `folder`, which must exist, until `release` or the end of the process. Throws FolderInUseError. */
export function lockFolder(folder: string): FolderLock {
  const pidFile = join(folder, 'berth.pid');
  const db = new Database(join(folder, 'berth.lock'), { timeout: 0 });
  try {
    // Nothing is ever written to it, so it needs no journal file either.
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (codeOf(error)?.startsWith('SQLITE_BUSY')) throw new FolderInUseError(folder, readPid(pidFile));
    throw error;
  }
  holding.add(db);
  try {
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch {
    // The file only serves a message; a full disk must not keep the registry from starting and serving pulls.
  }
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      rmSync(pidFile, { force: true });
      db.close();
      holding.delete(db);
    },
  };
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
    return Number.isSafeInteger(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}
