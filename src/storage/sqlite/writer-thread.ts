// The main thread's side of the writer: a queue of intentions, handed over in groups of what waits while the group before
// is being committed.
import { Worker } from 'node:worker_threads';
import { QuotaExceededError } from '../care-store.ts';
import { asFault, StoreUnavailableError } from '../faults.ts';
import type { WriterStatistics } from '../metadata-store.ts';
import { TagProtectedError } from '../protection-store.ts';
import { tellsDamage } from './connection.ts';
import type { Failure, GroupResult, InputOf, IntentionName, OutputOf } from './group-commit.ts';
import type { KeepTimes, Now } from './now.ts';
import { DamagedDatabaseError } from './prepare-database.ts';
import type { WriterReply, WriterRequest } from './writer.ts';

/** Bounds of a group: together they bound the log that one commit writes and the time that a newcomer waits. */
const longestGroup = 128;
const heaviestGroupBytes = 8 * 1024 * 1024;

/** What is used of a worker thread. */
export interface WriterWorker {
  on(event: 'message', listener: (reply: WriterReply) => void): unknown;
  on(event: 'error' | 'exit', listener: (cause: unknown) => void): unknown;
  postMessage(request: WriterRequest): void;
  terminate(): Promise<number>;
}

/** How a thread of writer.ts is started. Tests put something in its place that keeps threads for the next store. */
export const writerWorkers = {
  start: (): WriterWorker =>
    new Worker(new URL('./writer.ts', import.meta.url), {
      name: 'berth-writer',
      // Intentions come and go a few at a time: a small young generation is enough, and 2 MiB less at rest.
      resourceLimits: { maxYoungGenerationSizeMb: 3 },
    }),
};

interface Waiting {
  readonly name: IntentionName;
  readonly input: unknown;
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Question {
  readonly resolve: (reply: WriterReply) => void;
  readonly reject: (error: Error) => void;
}

export interface WriterThreadOptions {
  /** The time a group is written at. */
  readonly now: () => Now;
  /** Called once, when nothing can be written any more. */
  readonly onFatal: (error: Error) => void;
}

/** Starts the writer thread at once, so that it loads while the database is prepared; `open` gives it the database. */
export class WriterThread {
  readonly #options: WriterThreadOptions;
  readonly #worker: WriterWorker;
  readonly #queue: Waiting[] = [];
  #group: readonly Waiting[] = [];
  #scheduled = false;
  /** An `open` or `close` that waits for its answer. */
  #question: Question | undefined;
  /** Why nothing more is taken. */
  #refusal: Error | undefined;
  /** The thread cannot be asked any more. */
  #ended = false;
  #onIdle: (() => void) | undefined;
  readonly #counted = { commits: 0, intentions: 0, commitSeconds: 0 };

  constructor(options: WriterThreadOptions) {
    this.#options = options;
    this.#worker = writerWorkers.start();
    this.#worker.on('message', (reply: WriterReply) => this.#receive(reply));
    this.#worker.on('error', (cause) => {
      this.#fail(new StoreUnavailableError('the writer thread failed', { cause }));
    });
    this.#worker.on('exit', () => this.#fail(new StoreUnavailableError('the writer thread ended')));
  }

  /** True after a fatal error or close. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Opens the database, which must be prepared. Resolves with the uptime that was persisted last, in seconds. */
  async open(path: string, keep: KeepTimes): Promise<number> {
    const reply = await this.#ask({ kind: 'open', path, keep });
    return reply.kind === 'opened' ? reply.ticks : 0;
  }

  /**
   * Asks for one intention; resolves after its commit. `bytes` is about how much it writes. Rejects with DiskFullError (the
   * next may succeed), MediumFailedError, DamagedDatabaseError, StoreUnavailableError, or the error of this intention alone.
   */
  run<Name extends IntentionName>(
    name: Name,
    input: InputOf<Name>,
    bytes = 0,
  ): Promise<Awaited<OutputOf<Name>>> {
    return new Promise((resolve, reject) => {
      if (this.#refusal !== undefined) return reject(this.#refusal);
      this.#queue.push({ name, input, bytes, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** How many groups are known to be committed: as long as it stays, what was read of the database is what one would read now. */
  get commits(): number {
    return this.#counted.commits;
  }

  statistics(): WriterStatistics {
    return { ...this.#counted, queued: this.#queue.length + this.#group.length };
  }

  /** Finishes what waits, empties the log and ends the thread. After a fatal error it only ends the thread. */
  async close(): Promise<void> {
    this.#refusal ??= new StoreUnavailableError('the store is closed');
    if (!this.#ended && this.#queue.length + this.#group.length > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    try {
      if (!this.#ended) {
        const answer = this.#ask({ kind: 'close' });
        this.#ended = true;
        await answer;
      }
    } finally {
      await this.#worker.terminate();
    }
  }

  #ask(request: WriterRequest): Promise<WriterReply> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#refusal ?? new StoreUnavailableError('the writer thread ended'));
      this.#question = { resolve, reject };
      this.#worker.postMessage(request);
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#group.length > 0) return;
    this.#scheduled = true;
    // After this turn of the event loop: requests that arrived together are committed together.
    setImmediate(() => {
      this.#scheduled = false;
      this.#sendGroup();
    });
  }

  #sendGroup(): void {
    if (this.#ended || this.#group.length > 0) return;
    this.#group = takeGroup(this.#queue);
    if (this.#group.length === 0) {
      this.#onIdle?.();
      return;
    }
    const calls = this.#group.map(({ name, input }) => ({ name, input }));
    const request: WriterRequest = { kind: 'group', now: this.#options.now(), calls };
    try {
      this.#worker.postMessage(request);
    } catch (error) {
      // Something in it cannot be sent to a thread: a fault of the caller, not of the store.
      const failed = this.#group;
      this.#group = [];
      for (const waiting of failed) waiting.reject(error as Error);
      this.#schedule();
    }
  }

  #receive(reply: WriterReply): void {
    if (reply.kind === 'committed') this.#settle(reply);
    else if (reply.kind === 'fatal') this.#fail(toError(reply.failure));
    else {
      if (reply.kind === 'failed') this.#question?.reject(toError(reply.failure));
      else this.#question?.resolve(reply);
      this.#question = undefined;
    }
  }

  #settle(result: GroupResult): void {
    const settled = this.#group;
    this.#group = [];
    this.#counted.commits += 1;
    this.#counted.intentions += settled.length;
    this.#counted.commitSeconds += result.commitSeconds;
    for (const [index, waiting] of settled.entries()) {
      const outcome = result.results[index];
      if (outcome !== undefined && 'value' in outcome) waiting.resolve(outcome.value);
      else waiting.reject(toError(outcome?.failure));
    }
    if (result.fatal !== undefined) this.#fail(toError(result.fatal));
    else this.#sendGroup();
  }

  /** The end of writing: everything that waits is rejected, and so is whatever comes. */
  #fail(error: Error): void {
    this.#question?.reject(error);
    this.#question = undefined;
    if (this.#ended) return;
    this.#ended = true;
    this.#refusal = error;
    const waiting = [...this.#group, ...this.#queue.splice(0)];
    this.#group = [];
    for (const { reject } of waiting) reject(error);
    this.#onIdle?.();
    this.#options.onFatal(error);
  }
}

function takeGroup(queue: Waiting[]): readonly Waiting[] {
  let bytes = 0;
  let length = 0;
  for (const waiting of queue) {
    bytes += waiting.bytes;
    if (length > 0 && (length === longestGroup || bytes > heaviestGroupBytes)) break;
    length += 1;
  }
  return queue.splice(0, length);
}

/** A failure of the writer as the error that callers are promised. */
export function toError(failure: Failure | undefined): Error {
  if (failure === undefined) return new StoreUnavailableError('the writer gave no answer');
  if (failure.excess !== undefined) return new QuotaExceededError(failure.excess);
  if (failure.protection !== undefined) return new TagProtectedError(failure.protection);
  const error = Object.assign(new Error(failure.message), { code: failure.code });
  if (failure.stack !== undefined) error.stack = failure.stack;
  if (tellsDamage(error)) return new DamagedDatabaseError(failure.message, { cause: error });
  return asFault(error) as Error;
}
