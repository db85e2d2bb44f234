// What is on its way between the disk and the database just now: content whose file is there already and whose row is not yet,
// staging files of requests without a session. To the sweeps it would look like something that a crash left behind.

export class Placements {
  readonly #users = new Map<string, number>();

  /** Runs `work` while `key` (a digest or the id of an upload) counts as being on its way. */
  async during<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#users.get(key) ?? 1) - 1;
      if (left > 0) this.#users.set(key, left);
      else this.#users.delete(key);
    }
  }

  /** Like during, but only where nobody else is on `key`; undefined otherwise. */
  async alone<Result>(key: string, work: () => Promise<Result>): Promise<Result | undefined> {
    return this.#users.has(key) ? undefined : await this.during(key, work);
  }
}
