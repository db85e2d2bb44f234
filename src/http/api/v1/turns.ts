// One change at a time for each object: between the check of a precondition and the change that rests on it nobody else changes
// the same object. All changes of who may what come through this process, the only one that writes the database.

export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `act` when every earlier one of the same `key` is over. */
  async take<Result>(key: string, act: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key);
    const done = Promise.withResolvers<void>();
    this.#last.set(key, done.promise);
    try {
      await before;
      return await act();
    } finally {
      done.resolve();
      if (this.#last.get(key) === done.promise) this.#last.delete(key);
    }
  }
}
