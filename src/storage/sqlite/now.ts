// The time that a transaction is written at.

/** The time of a transaction, given by whoever asked for it: Unix seconds, and seconds of the registry's uptime. */
export interface Now {
  readonly at: number;
  readonly ticks: number;
}
