// The moment when the server begins to stop, for whoever would go on for ever.

export class Stopping {
  readonly #listeners = new Set<() => void>();
  #begun = false;

  /** Calls `listener` when it begins, at once where it has. What is returned ends that. */
  watch(listener: () => void): () => void {
    if (this.#begun) listener();
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  begin(): void {
    this.#begun = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
