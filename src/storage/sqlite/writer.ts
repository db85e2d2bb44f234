// The writer thread: it owns the one connection that writes. The main thread sends it one group of intentions at a time and
// the time it is; it answers when the group is durable. Between groups it keeps the log short.
import { dirname } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { releaseStartMemory } from '../start-memory.ts';
import { type Connection, codeOf, openWriter } from './connection.ts';
import {
  type Call,
  type Failure,
  type GroupResult,
  isFatal,
  makeGroupCommit,
  makeIntentions,
  readTicks,
  toFailure,
} from './group-commit.ts';
import type { KeepTimes, Now } from './now.ts';
import { syncPath } from './prepare-database.ts';

export type WriterRequest =
  | { readonly kind: 'open'; readonly path: string; readonly keep: KeepTimes }
  | { readonly kind: 'group'; readonly now: Now; readonly calls: readonly Call[] }
  | { readonly kind: 'close' };

export type WriterReply =
  | { readonly kind: 'opened'; readonly ticks: number }
  | ({ readonly kind: 'committed' } & GroupResult)
  | { readonly kind: 'closed' }
  /** A checkpoint failed after the group was answered. */
  | { readonly kind: 'fatal'; readonly failure: Failure }
  /** Opening or closing failed. */
  | { readonly kind: 'failed'; readonly failure: Failure };

/** The log is copied into the database when it has so many pages (of 4 KiB): large enough to be rare, small enough to be brief. */
const checkpointPages = 2000;
/** From here on a checkpoint waits for readers, so that the log starts over: it must not grow without bound. */
const insistPages = 20_000;
/** It waits so long. A snapshot reads for longer: then it is tried again when the log has grown as much once more. */
const insistMilliseconds = 250;

if (parentPort !== null) {
  const port = parentPort;
  const writer = makeWriter((reply) => port.postMessage(reply));
  port.on('message', writer);
  // Later than the main thread does the same.
  releaseStartMemory(2500);
}

function makeWriter(reply: (reply: WriterReply) => void) {
  let db: Connection | undefined;
  let log = { insistAt: insistPages };
  let commitGroup: ReturnType<typeof makeGroupCommit> | undefined;

  const open = (path: string, keep: KeepTimes): void => {
    db = openWriter(path);
    log = { insistAt: insistPages };
    commitGroup = makeGroupCommit(db, makeIntentions(db, keep));
    // The first read makes the log's file. SQLite itself ignores a failure to make the folder's entry for it durable.
    const ticks = readTicks(db);
    syncPath(dirname(path));
    reply({ kind: 'opened', ticks });
  };

  const close = (open: Connection): void => {
    truncateLog(open);
    open.close();
    db = undefined;
    commitGroup = undefined;
  };

  return (request: WriterRequest): void => {
    try {
      if (request.kind === 'open') open(request.path, request.keep);
      else if (request.kind === 'close') {
        if (db !== undefined) close(db);
        reply({ kind: 'closed' });
      } else if (db === undefined || commitGroup === undefined) throw new Error('the writer is not open');
      else {
        const result = commitGroup(request.now, request.calls);
        reply({ kind: 'committed', ...result });
        if (result.fatal === undefined) {
          const failure = checkpoint(db, log);
          if (failure !== undefined) reply({ kind: 'fatal', failure });
        }
      }
    } catch (error) {
      reply({ kind: 'failed', failure: toFailure(error) });
    }
  };
}

/** Copies a long log into the database. A full disk is no failure here: the log keeps what it could not copy. */
function checkpoint(db: Connection, log: { insistAt: number }): Failure | undefined {
  try {
    const { pages } = runCheckpoint(db, 'NOOP');
    if (pages < insistPages) log.insistAt = insistPages;
    if (pages >= log.insistAt) log.insistAt = insistOnCheckpoint(db) ? insistPages : pages + insistPages;
    else if (pages >= checkpointPages) runCheckpoint(db, 'PASSIVE');
    return undefined;
  } catch (error) {
    return isFatal(error) ? toFailure(error) : undefined;
  }
}

/** Waits a little for readers; false when one of them outlasts that. */
function insistOnCheckpoint(db: Connection): boolean {
  const patience = db.pragma('busy_timeout', { simple: true });
  db.pragma(`busy_timeout = ${insistMilliseconds}`);
  try {
    return !runCheckpoint(db, 'RESTART').busy;
  } finally {
    db.pragma(`busy_timeout = ${patience}`);
  }
}

function runCheckpoint(
  db: Connection,
  mode: 'NOOP' | 'PASSIVE' | 'RESTART',
): { readonly pages: number; readonly busy: boolean } {
  const [row] = db.pragma(`wal_checkpoint(${mode})`) as readonly { log: number; busy: number }[];
  return { pages: row?.log ?? 0, busy: row?.busy === 1 };
}

function truncateLog(db: Connection): void {
  try {
    db.pragma('wal_checkpoint(TRUNCATE)');
  } catch (error) {
    // On a full disk the log stays, and the next start reads it.
    if (codeOf(error) !== 'SQLITE_FULL') throw error;
  }
}
