// Long work with progress, pause, resume and cancel. Each piece of work has a row that tells of it to everybody and outlives the
// process; of each kind there is at most one at a time.
import { setImmediate as turn } from 'node:timers/promises';
import type {
  EndState,
  Operation,
  OperationKind,
  OperationReport,
  OperationState,
  OperationStore,
} from '../storage/care-store.ts';
import type { Origin, Page } from '../storage/metadata-store.ts';
import type { WriteGate } from './writes.ts';

/** What the work sees of its operation. */
export interface OperationRun {
  readonly id: number;
  /** Aborted when the operation is cancelled or the server stops: pass it to whatever takes long by itself. */
  readonly signal: AbortSignal;
  /** Tells how far the work is, as often as it likes. `note` is shown as the report until the work ends. */
  progress(done: number, total: number | undefined, note?: OperationReport): void;
  /**
   * Call it between bounded pieces of work: lets others have their turn and waits while the operation is paused. Throws
   * OperationEndedError once it is cancelled or the server stops; let it pass, everything must be safe to leave here.
   */
  step(): Promise<void>;
}

/** An operation with figures that only the process that runs it knows. */
export interface OperationView extends Operation {
  /** `done` per second while it was not paused. */
  readonly rate: number | undefined;
  readonly remainingSeconds: number | undefined;
}

/** Another operation of the kind has not ended; `id` is its id. */
export class SameKindRunningError extends Error {
  override readonly name = 'SameKindRunningError';
  readonly id: number;
  constructor(kind: OperationKind, id: number) {
    super(`an operation of kind ${kind} is running already: ${id}`);
    this.id = id;
  }
}

/** The work is over before its end: it was cancelled, or the server stops. */
export class OperationEndedError extends Error {
  override readonly name = 'OperationEndedError';
  readonly end: 'cancelled' | 'interrupted';
  constructor(end: 'cancelled' | 'interrupted') {
    super(end === 'cancelled' ? 'the operation was cancelled' : 'the server is stopping');
    this.end = end;
  }
}

/** Progress reaches its row at most so often: a row costs a commit. */
const noteEveryMilliseconds = 2000;

export interface OperationsOptions {
  readonly store: OperationStore;
  readonly writes: Pick<WriteGate, 'withBallast'>;
  /** Told of work that failed, and of a row that could not be written. */
  readonly onFailure: (
    operation: { readonly id: number; readonly kind: OperationKind },
    error: unknown,
  ) => void;
}

export class Operations {
  readonly #options: OperationsOptions;
  readonly #running = new Map<number, RunningOperation>();
  #ready: Promise<unknown> | undefined;
  #closed = false;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /**
   * Begins `work` and resolves with its id as soon as its row is there. What the work resolves with is the report; what it
   * throws makes the operation `failed`. Throws SameKindRunningError where one of the kind has not ended.
   */
  async start(
    kind: OperationKind,
    request: OperationReport,
    origin: Origin,
    work: (run: OperationRun) => Promise<OperationReport>,
  ): Promise<number> {
    const { store, writes } = this.#options;
    await this.recover();
    const begun = await writes.withBallast(() => store.begin({ kind, request, origin }));
    if (begun.outcome === 'same-kind') throw new SameKindRunningError(kind, begun.id);
    const running = new RunningOperation(begun.id, kind, this.#options);
    this.#running.set(begun.id, running);
    if (this.#closed) running.stop('interrupted');
    void running.run(work).finally(() => this.#running.delete(begun.id));
    return begun.id;
  }

  /** For what only tells what it would begin. Throws SameKindRunningError where one of the kind has not ended. */
  assertNone(kind: OperationKind): void {
    const other = [...this.#running.values()].find((running) => running.kind === kind);
    if (other !== undefined) throw new SameKindRunningError(kind, other.id);
  }

  /** Marks what a killed process left behind as interrupted; start does it too. */
  async recover(): Promise<void> {
    this.#ready ??= this.#options.writes.withBallast(() => this.#options.store.interruptAll());
    try {
      await this.#ready;
    } catch (error) {
      this.#ready = undefined;
      throw error;
    }
  }

  async find(id: number): Promise<OperationView | undefined> {
    const operation = await this.#options.store.find(id);
    return operation && this.#view(operation);
  }

  /** Newest first, beginning before `before` (an id). */
  async list(filter: {
    readonly kind?: OperationKind | undefined;
    readonly state?: OperationState | undefined;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<OperationView>> {
    const page = await this.#options.store.list(filter);
    return { ...page, items: page.items.map((operation) => this.#view(operation)) };
  }

  /** Stops at the next step until resumed. False when it is not running here. */
  async pause(id: number): Promise<boolean> {
    return (await this.#running.get(id)?.pause()) ?? false;
  }

  /** False when it is not running here. */
  async resume(id: number): Promise<boolean> {
    return (await this.#running.get(id)?.resume()) ?? false;
  }

  /** Asks it to end at its next step, paused or not; `wait` tells when it has. False when it is not running here. */
  cancel(id: number): boolean {
    return this.#running.get(id)?.stop('cancelled') ?? false;
  }

  /** Resolves with the operation once it has ended; undefined where there is none. */
  async wait(id: number): Promise<OperationView | undefined> {
    await this.#running.get(id)?.ended;
    return await this.find(id);
  }

  /** Calls `listener` at every progress and change of state until the operation ends; what is returned ends that earlier. */
  watch(id: number, listener: (operation: OperationView) => void): () => void {
    return this.#running.get(id)?.watch(listener) ?? (() => {});
  }

  /** Ends everything at its next step as `interrupted`, and resolves when the rows say so. */
  async close(): Promise<void> {
    this.#closed = true;
    const running = [...this.#running.values()];
    for (const operation of running) operation.stop('interrupted');
    await Promise.all(running.map((operation) => operation.ended));
  }

  #view(operation: Operation): OperationView {
    return this.#running.get(operation.id)?.view(operation) ?? withoutRate(operation);
  }
}

class RunningOperation implements OperationRun {
  readonly id: number;
  readonly kind: OperationKind;
  readonly ended: Promise<void>;
  readonly #options: OperationsOptions;
  readonly #abort = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  readonly #listeners = new Set<(operation: OperationView) => void>();
  #done: number | undefined;
  #total: number | undefined;
  #report: OperationReport | undefined;
  #paused: PromiseWithResolvers<void> | undefined;
  /** Milliseconds that it was not paused before `#since`. */
  #worked = 0;
  #since = performance.now();
  #notedAt = performance.now();
  #noting: Promise<void> = Promise.resolve();

  constructor(id: number, kind: OperationKind, options: OperationsOptions) {
    this.id = id;
    this.ended = this.#ended.promise;
    this.kind = kind;
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  progress(done: number, total: number | undefined, note?: OperationReport): void {
    this.#done = done;
    this.#total = total;
    if (note !== undefined) this.#report = note;
    this.#tell();
    if (performance.now() - this.#notedAt >= noteEveryMilliseconds) void this.#note();
  }

  async step(): Promise<void> {
    await turn();
    while (this.#paused !== undefined && !this.signal.aborted) await this.#paused.promise;
    this.signal.throwIfAborted();
  }

  async run(work: (run: OperationRun) => Promise<OperationReport>): Promise<void> {
    let end: EndState = 'done';
    try {
      this.#report = await work(this);
    } catch (error) {
      end = this.#endOf(error);
      if (end === 'failed') {
        this.#report = { ...this.#report, error: error instanceof Error ? error.message : String(error) };
        this.#options.onFailure({ id: this.id, kind: this.kind }, error);
      }
    }
    await this.#noting;
    const { store, writes } = this.#options;
    try {
      await writes.withBallast(() => store.end(this.id, { ...this.#figures('running'), end }));
    } catch (error) {
      // The next start finds the row and marks it as interrupted.
      this.#options.onFailure({ id: this.id, kind: this.kind }, error);
    }
    this.#listeners.clear();
    this.#ended.resolve();
  }

  async pause(): Promise<boolean> {
    if (this.#paused === undefined) {
      this.#worked += performance.now() - this.#since;
      this.#paused = Promise.withResolvers();
    }
    this.#tell();
    await this.#note();
    return true;
  }

  async resume(): Promise<boolean> {
    if (this.#paused !== undefined) {
      this.#since = performance.now();
      this.#paused.resolve();
      this.#paused = undefined;
    }
    this.#tell();
    await this.#note();
    return true;
  }

  stop(end: 'cancelled' | 'interrupted'): boolean {
    this.#abort.abort(new OperationEndedError(end));
    this.#paused?.resolve();
    return true;
  }

  watch(listener: (operation: OperationView) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  view(operation: Operation): OperationView {
    // The row may say that it has ended while this object has not been forgotten yet.
    if (operation.endedAt !== undefined) return withoutRate(operation);
    const seconds = (this.#worked + (this.#paused ? 0 : performance.now() - this.#since)) / 1000;
    const rate = this.#done === undefined || seconds <= 0 ? undefined : this.#done / seconds;
    const left = this.#total === undefined || this.#done === undefined ? undefined : this.#total - this.#done;
    const remainingSeconds = left === undefined || !rate ? undefined : Math.max(0, left / rate);
    const state = this.#paused === undefined ? 'running' : 'paused';
    return { ...operation, ...this.#figures(state), rate, remainingSeconds };
  }

  #figures(state: 'running' | 'paused') {
    return { state, done: this.#done, total: this.#total, report: this.#report } as const;
  }

  #tell(): void {
    if (this.#listeners.size === 0) return;
    const { id } = this;
    const row = { id, kind: this.kind, actor: '', request: {}, startedAt: 0, endedAt: undefined };
    const view = this.view({ ...row, ...this.#figures('running') });
    for (const listener of this.#listeners) listener(view);
  }

  // One note at a time, and a failed one is made good by the next.
  #note(): Promise<void> {
    this.#notedAt = performance.now();
    this.#noting = this.#noting
      .then(() =>
        this.#options.store.note(this.id, this.#figures(this.#paused === undefined ? 'running' : 'paused')),
      )
      .catch((error: unknown) => this.#options.onFailure({ id: this.id, kind: this.kind }, error));
    return this.#noting;
  }

  #endOf(error: unknown): EndState {
    if (error instanceof OperationEndedError) return error.end;
    // What was given the signal may fail with an error of its own making.
    if (this.signal.aborted) return (this.signal.reason as OperationEndedError).end;
    return 'failed';
  }
}

function withoutRate(operation: Operation): OperationView {
  return { ...operation, rate: undefined, remainingSeconds: undefined };
}
