// The two clocks of the registry. Unix time is for people; what expires content is the registry's own uptime, so that
// neither a clock jump nor a long stop expires anything.

export interface Clock {
  /** Seconds since 1970, fractional. */
  unixSeconds(): number;
  /** Seconds since an arbitrary start, never going back, fractional. */
  monotonicSeconds(): number;
}

export const systemClock: Clock = {
  unixSeconds: () => Date.now() / 1000,
  monotonicSeconds: () => performance.now() / 1000,
};
