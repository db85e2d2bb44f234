// How long the write-ahead log grows: when it is copied into the database, and what becomes of it on a full disk.
import { statfsSync } from 'node:fs';
import { type Connection, codeOf } from './connection.ts';
import { type Failure, isFatal, toFailure } from './group-commit.ts';

/** The log is copied into the database when it has so many pages (of 4 KiB): large enough to be rare, small enough to be brief. */
const checkpointPages = 2000;
/** From here on a checkpoint waits for readers, so that the log starts over: it must not grow without bound. */
const insistPages = 20_000;
/** It waits so long. A snapshot reads for longer: then it is tried again when the log has grown as much once more. */
const insistMilliseconds = 250;
/** With so much room a disk that was full no longer counts as full. */
const roomyBytes = 256 * 1024 * 1024;

/**
 * The log of the one connection that writes. What it gives back is a failure after which nothing may be written; a full disk
 * is none: the log keeps what could not be copied.
 */
export class WriteAheadLog {
  readonly #db: Connection;
  #insistAt = insistPages;
  /** The disk was found full: the log is copied before every group. */
  #tight = false;

  constructor(db: Connection) {
    this.#db = db;
  }

  /**
   * Before a group. On a tight disk the log is copied, so that it starts over in the room of its own file and the little room
   * there is goes to the database, not to a longer log.
   */
  beforeGroup(): Failure | undefined {
    if (!this.#tight) return undefined;
    return this.#attempt(() => {
      this.#checkpoint('PASSIVE');
      const { bavail, bsize } = statfsSync(this.#db.name);
      this.#tight = bavail * bsize < roomyBytes;
    });
  }

  /** After a group found no room. True when it is worth another try, with beforeGroup first. */
  tighten(): boolean {
    const before = this.#tight;
    this.#tight = true;
    return !before;
  }

  /** After a group: copies a long log into the database. */
  afterGroup(): Failure | undefined {
    return this.#attempt(() => {
      const { pages } = this.#checkpoint('NOOP');
      if (pages < insistPages) this.#insistAt = insistPages;
      if (pages >= this.#insistAt) this.#insistAt = this.#insist() ? insistPages : pages + insistPages;
      else if (pages >= checkpointPages) this.#checkpoint('PASSIVE');
    });
  }

  /** Before the end: empties the log. On a full disk it stays, and the next start reads it. */
  truncate(): void {
    try {
      this.#checkpoint('TRUNCATE');
    } catch (error) {
      if (codeOf(error) !== 'SQLITE_FULL') throw error;
    }
  }

  #attempt(change: () => void): Failure | undefined {
    try {
      change();
      return undefined;
    } catch (error) {
      return isFatal(error) ? toFailure(error) : undefined;
    }
  }

  /** Waits a little for readers; false when one of them outlasts that. */
  #insist(): boolean {
    const patience = this.#db.pragma('busy_timeout', { simple: true });
    this.#db.pragma(`busy_timeout = ${insistMilliseconds}`);
    try {
      return !this.#checkpoint('RESTART').busy;
    } finally {
      this.#db.pragma(`busy_timeout = ${patience}`);
    }
  }

  #checkpoint(mode: 'NOOP' | 'PASSIVE' | 'RESTART' | 'TRUNCATE'): { pages: number; busy: boolean } {
    const [row] = this.#db.pragma(`wal_checkpoint(${mode})`) as readonly { log: number; busy: number }[];
    return { pages: row?.log ?? 0, busy: row?.busy === 1 };
  }
}
