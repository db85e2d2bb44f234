// Holds the removal of blob files back while a backup copies what a snapshot of the database names.

export class UnlinkHold {
  #holds = 0;
  readonly #running = new Set<Promise<unknown>>();

  get held(): boolean {
    return this.#holds > 0;
  }

  /**
   * From when it resolves no blob file goes until the function that it gives is called. Waits for removals under way; rows
   * may change meanwhile, their files stay in the queue.
   */
  async hold(): Promise<() => void> {
    this.#holds++;
    await Promise.allSettled(this.#running);
    let released = false;
    return () => {
      if (!released) this.#holds--;
      released = true;
    };
  }

  /** Runs a short round of removals, unless they are held back: then it does nothing and resolves with false. */
  async unlessHeld(unlink: () => Promise<void>): Promise<boolean> {
    if (this.held) return false;
    const running = unlink();
    this.#running.add(running);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
    return true;
  }
}
