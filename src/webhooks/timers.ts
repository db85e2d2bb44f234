// The timers of what waits for hours, so that tests need not.

export interface Timers {
  /** Calls `act` after so many seconds; what is returned prevents that. */
  after(seconds: number, act: () => void): () => void;
}

/** Node's fire at once when they are set to more. */
const longestSeconds = 86_400;

/** They keep no process alive. A longer wait ends early: whoever waits looks at the clock. */
export const systemTimers: Timers = {
  after(seconds, act) {
    const timer = setTimeout(act, Math.min(seconds, longestSeconds) * 1000).unref();
    return () => clearTimeout(timer);
  },
};
