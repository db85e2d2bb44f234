// Tells whether the folder's files belong to the database that was found in it, or somebody has put an older one back. An epoch is a
// random name that both know: the database in a row, the folder in the name of an empty file. It is renewed in both at the start, at
// the end and now and then between, the database first, which keeps the one before as well: so a crash at any step leaves a file
// that the database knows. A file that it does not know was made with another database. No file at all tells nothing.
import { randomBytes } from 'node:crypto';
import { close, fsync, open, readdirSync, rename, unlink } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Connection, prepareAll } from './connection.ts';
import { epochKeys } from './epoch-writes.ts';
import type { WriterThread } from './writer-thread.ts';

export const sql = {
  value: 'SELECT value FROM instance WHERE key = ?',
} as const;

/** What the file's name begins with; the rest is the epoch. */
export const epochPrefix = 'berth.epoch.';

export interface EpochOptions {
  readonly folder: string;
  readonly reader: Connection;
  /** Unix seconds of now. */
  readonly at: number;
}

/** The epoch of one open store. Looks at the folder once, when it is made, and changes nothing before the first renewal. */
export class Epoch {
  readonly #folder: string;
  readonly #read: (key: string) => string | undefined;
  /** What the database says. */
  #current: string | undefined;
  /** Set while the database does not say yet that files of another one are here: every file is older than this. */
  #foundAt: number | undefined;
  /** That the folder has this epoch and no other, durably. */
  #settled = false;

  constructor({ folder, reader, at }: EpochOptions) {
    this.#folder = folder;
    const { value } = prepareAll(reader, sql);
    value.pluck();
    this.#read = (key) => value.get(key) as string | undefined;
    this.#current = this.#read(epochKeys.epoch);
    const known = [this.#current, this.#read(epochKeys.before)];
    if (this.#listIfPossible().some((epoch) => !known.includes(epoch))) this.#foundAt = Math.ceil(at);
  }

  /**
   * Since when, in Unix seconds, files are held that came while another database was here; undefined: there are none. Whatever no
   * row names and was there before is one of them.
   */
  heldSince(): number | undefined {
    if (this.#foundAt !== undefined) return this.#foundAt;
    const value = this.#read(epochKeys.heldSince);
    return value === undefined ? undefined : Number(value);
  }

  /** Begins a new epoch, and notes for good that files of another database are here. What fails is done by the next one. */
  async renew(writer: Pick<WriterThread, 'run'>): Promise<void> {
    // The file that tells of another database stays until the row does.
    if (this.#foundAt === undefined && this.#current !== undefined) await this.#settle(this.#current);
    const epoch = randomBytes(16).toString('hex');
    await writer.run('renewEpoch', { epoch, heldSince: this.#foundAt });
    this.#current = epoch;
    this.#foundAt = undefined;
    this.#settled = false;
    await this.#settle(epoch);
  }

  /** Somebody has decided that nobody needs them. */
  async takeOver(writer: Pick<WriterThread, 'run'>): Promise<void> {
    await writer.run('takeOverFiles', undefined);
    this.#foundAt = undefined;
  }

  /** Gives the folder the database's epoch alone. Also where it seems to have it: a rename may have been cut short before its fsync. */
  async #settle(epoch: string): Promise<void> {
    if (this.#settled) return;
    const found = this.#list();
    const others = found.filter((other) => other !== epoch);
    if (!found.includes(epoch)) {
      const former = others.shift();
      if (former === undefined) await promisify(close)(await promisify(open)(this.#path(epoch), 'w', 0o600));
      else await promisify(rename)(this.#path(former), this.#path(epoch));
    }
    for (const other of others) await promisify(unlink)(this.#path(other));
    const folder = await promisify(open)(this.#folder, 'r');
    try {
      await promisify(fsync)(folder);
    } finally {
      await promisify(close)(folder);
    }
    this.#settled = true;
  }

  #path(epoch: string): string {
    return join(this.#folder, epochPrefix + epoch);
  }

  /** A folder that cannot be listed keeps no registry from starting. */
  #listIfPossible(): readonly string[] {
    try {
      return this.#list();
    } catch {
      return [];
    }
  }

  #list(): readonly string[] {
    const files = readdirSync(this.#folder).filter((file) => file.startsWith(epochPrefix));
    return files.map((file) => file.slice(epochPrefix.length));
  }
}
