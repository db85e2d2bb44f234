// When what failed is tried again: after ten seconds, then three times as long each time, at most five hours. Twelve attempts
// are about a day.
const firstSeconds = 10;
const factor = 3;
/** No wait is longer, whatever an endpoint asks for. */
export const longestWaitSeconds = 5 * 3600;
/** Waits differ by up to so much, so that what failed together does not come back together. */
const jitter = 0.2;

/** Seconds to wait after the attempt with this number (from 1). `random` is in [0, 1). */
export function waitSeconds(attempt: number, random: number): number {
  const wait = Math.min(longestWaitSeconds, firstSeconds * factor ** Math.min(attempt - 1, 20));
  return wait * (1 - jitter + 2 * jitter * random);
}
