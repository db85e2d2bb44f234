// The writer thread: it owns the one connection that writes. The main thread sends it one group of intentions at a time and
// the time it is; it answers when the group is durable. Between groups it keeps the log short.
import { dirname } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { releaseStartMemory } from '../start-memory.ts';
import { type Connection, openWriter } from './connection.ts';
import {
  type Call,
  type Failure,
  type GroupResult,
  makeGroupCommit,
  makeIntentions,
  readTicks,
  toFailure,
} from './group-commit.ts';
import type { KeepTimes, Now } from './now.ts';
import { syncPath } from './prepare-database.ts';
import { WriteAheadLog } from './write-ahead-log.ts';

export type WriterRequest =
  | { readonly kind: 'open'; readonly path: string; readonly keep: KeepTimes }
  | GroupRequest
  | { readonly kind: 'close' };

interface GroupRequest {
  readonly kind: 'group';
  readonly now: Now;
  readonly calls: readonly Call[];
}

type GroupCommit = ReturnType<typeof makeGroupCommit>;

export type WriterReply =
  | { readonly kind: 'opened'; readonly ticks: number }
  | ({ readonly kind: 'committed' } & GroupResult)
  | { readonly kind: 'closed' }
  /** A checkpoint failed after the group was answered. */
  | { readonly kind: 'fatal'; readonly failure: Failure }
  /** Opening or closing failed. */
  | { readonly kind: 'failed'; readonly failure: Failure };

if (parentPort !== null) {
  const port = parentPort;
  const writer = makeWriter((reply) => port.postMessage(reply));
  port.on('message', writer);
  // Later than the main thread does the same.
  releaseStartMemory(2500);
}

function makeWriter(reply: (reply: WriterReply) => void) {
  let db: Connection | undefined;
  let log: WriteAheadLog | undefined;
  let commitGroup: GroupCommit | undefined;

  const open = (path: string, keep: KeepTimes): void => {
    db = openWriter(path);
    log = new WriteAheadLog(db);
    commitGroup = makeGroupCommit(db, makeIntentions(db, keep));
    // The first read makes the log's file. SQLite itself ignores a failure to make the folder's entry for it durable.
    const ticks = readTicks(db);
    syncPath(dirname(path));
    reply({ kind: 'opened', ticks });
  };

  const close = (): void => {
    log?.truncate();
    db?.close();
    db = undefined;
    log = undefined;
    commitGroup = undefined;
  };

  return (request: WriterRequest): void => {
    try {
      if (request.kind === 'open') open(request.path, request.keep);
      else if (request.kind === 'close') {
        close();
        reply({ kind: 'closed' });
      } else if (log === undefined || commitGroup === undefined) throw new Error('the writer is not open');
      else {
        const result = commit(log, commitGroup, request);
        reply({ kind: 'committed', ...result });
        if (result.fatal === undefined) {
          const failure = log.afterGroup();
          if (failure !== undefined) reply({ kind: 'fatal', failure });
        }
      }
    } catch (error) {
      reply({ kind: 'failed', failure: toFailure(error) });
    }
  };
}

/** Commits a group; on a disk that was not known to be full once more, when the log had a chance to start over. */
function commit(log: WriteAheadLog, commitGroup: GroupCommit, { now, calls }: GroupRequest): GroupResult {
  const attempt = (): GroupResult => {
    const fatal = log.beforeGroup();
    if (fatal === undefined) return commitGroup(now, calls);
    return { results: calls.map(() => ({ failure: fatal })), commitSeconds: 0, full: false, fatal };
  };
  const result = attempt();
  return result.full && log.tighten() ? attempt() : result;
}
