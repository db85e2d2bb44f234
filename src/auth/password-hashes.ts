// bcrypt, a few at a time, in threads that give way to everybody else: signing in must never be able to hold pushes up.
import { randomBytes } from 'node:crypto';
import { HashThread } from './hash-thread.ts';
import type { HashJob } from './password-worker.ts';

/** Too many checks are waiting: come again. */
export class PasswordQueueFullError extends Error {
  override readonly name = 'PasswordQueueFullError';
  readonly retryAfterSeconds = 2;
}

/** Hashes at one time, and how many more may wait. */
const atOnce = 2;
const mostWaiting = 64;

const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const form = /^\$2([aby])\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/** Beyond it one check takes seconds, and a forged hash could take weeks. */
export const highestCost = 16;

/** The cost in a bcrypt hash that can be checked; undefined for anything else. */
export function costOf(hash: string): number | undefined {
  const found = form.exec(hash);
  const cost = Number(found?.[2]);
  return found !== null && cost >= 4 && cost <= highestCost ? cost : undefined;
}

/** `hash` as the library reads it: $2y$, which htpasswd writes, is $2b$ under another name. */
export function portableHash(hash: string): string {
  return hash.replace(/^\$2y\$/, '$2b$');
}

/** A hash of a cost that no password has; comparing with it takes as long as with a real one. */
export function dummyHash(cost: number): string {
  const characters = [...randomBytes(51)].map((byte) => bcryptAlphabet.charAt(byte % 64)).join('');
  // Base64 of 16 bytes ends in one of four characters, that of 23 bytes in one of sixteen.
  return `$2b$${String(cost).padStart(2, '0')}$${characters.slice(0, 21)}.${characters.slice(21)}.`;
}

/** Does a job; the threads do, and in tests whatever watches. */
export type RunHashJob = (job: HashJob) => Promise<string | boolean>;

export class PasswordHashes {
  readonly cost: number;
  readonly #run: RunHashJob;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(cost: number, run: RunHashJob = runInThread) {
    this.cost = cost;
    this.#run = run;
  }

  /** The hash of a password. Throws PasswordQueueFullError. */
  async hash(password: string): Promise<string> {
    return String(await this.#inTurn(() => this.#run({ kind: 'hash', password, cost: this.cost })));
  }

  /**
   * Whether `password` has the hash `hash`. A wrong one takes as long as the configured cost, also where the hash is of a
   * lower one, so that time does not tell which accounts exist. Throws PasswordQueueFullError.
   */
  compare(password: string, hash: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const cost = costOf(hash);
      const known = cost === undefined ? dummyHash(this.cost) : hash;
      const matches = await this.#run({ kind: 'compare', password, hash: known });
      if (cost !== undefined && matches === true) return true;
      // 2^cost + 2^cost + … + 2^(configured - 1) = 2^configured
      for (let missing = cost ?? this.cost; missing < this.cost; missing++)
        await this.#run({ kind: 'compare', password, hash: dummyHash(missing) });
      return false;
    });
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running < atOnce) this.#running++;
    else {
      if (this.#waiting.length >= mostWaiting) throw new PasswordQueueFullError('too many sign-ins at once');
      // Whoever is done hands its turn on, so that #running stays.
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** The threads of this process that have nothing to do; no more than jobs were done at one time. */
const free: HashThread[] = [];

async function runInThread(job: HashJob): Promise<string | boolean> {
  const thread = free.pop() ?? new HashThread();
  try {
    return await thread.run(job);
  } finally {
    free.push(thread);
  }
}
