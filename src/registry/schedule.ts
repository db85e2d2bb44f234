// Regular work at the times of a schedule.

/** Times of a schedule, one after the other; made from what a setting says by config/schedule.ts. */
export interface Schedule {
  /** The first time after `after`; undefined where there is none. */
  next(after: Date): Date | undefined;
}

/** Runs `work` at each time of the schedule, never twice at once; ends with what is returned. */
export function runOnSchedule(
  schedule: Schedule,
  work: () => Promise<unknown>,
  options: { readonly now?: () => Date; readonly onFailure: (error: unknown) => void },
): () => Promise<void> {
  const now = options.now ?? (() => new Date());
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();
  let over = false;
  const arm = (): void => {
    const due = schedule.next(now());
    if (over || due === undefined) return;
    // Looks again every few minutes, so that a clock that is set, or a machine that slept, is noticed.
    const wait = Math.min(due.getTime() - now().getTime(), 300_000);
    timer = setTimeout(
      () => {
        if (now() >= due) running = work().catch(options.onFailure);
        void running.finally(arm);
      },
      Math.max(wait, 0),
    ).unref();
  };
  arm();
  return async () => {
    over = true;
    clearTimeout(timer);
    await running;
  };
}
