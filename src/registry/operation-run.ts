// What a long piece of work is given by whoever runs it: the means to tell how far it is, to pause and to be cancelled.

export interface OperationRun {
  /** Aborted when the work is cancelled or the registry stops. */
  readonly signal: AbortSignal;
  /** Tells how far the work is; `total` is undefined where it is not known. `note` holds figures for people. */
  progress(done: number, total: number | undefined, note?: Readonly<Record<string, unknown>>): void;
  /** To be awaited between small steps: waits while paused, lets others run, throws when cancelled. */
  step(): Promise<void>;
}
