// The times that every transaction is given.

/** The time of a transaction, given by whoever asked for it: Unix seconds, and seconds of the registry's uptime. */
export interface Now {
  readonly at: number;
  readonly ticks: number;
}

/** How long things are kept, in seconds of uptime. */
export interface KeepTimes {
  readonly leaseSeconds: number;
  readonly undeleteSeconds: number;
  readonly unlinkDelaySeconds: number;
  /** How long the old name of a moved repository is served. */
  readonly oldNameSeconds: number;
}
