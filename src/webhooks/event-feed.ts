// Tells all who follow the events that there are new ones: one look at the database a moment after a commit, however many follow.
import type { EventStore } from '../storage/metadata-store.ts';

/** Commits that come close together are looked at together. */
const gatherMilliseconds = 20;

export class EventFeed {
  readonly #events: Pick<EventStore, 'newest' | 'watch'>;
  readonly #listeners = new Set<() => void>();
  #newest = -1;
  #timer: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;

  constructor(events: Pick<EventStore, 'newest' | 'watch'>) {
    this.#events = events;
  }

  /** Calls `listener` after there are new events, once for several. Whoever comes reads once by himself, after this. */
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#unwatch ??= this.#events.watch(() => this.#lookSoon());
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
    };
  }

  #lookSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#look();
    }, gatherMilliseconds);
  }

  async #look(): Promise<void> {
    // A store that is closed, or cannot be read just now, has no news; the next commit is a reason to look again.
    const newest = await this.#events.newest().catch(() => this.#newest);
    if (newest === this.#newest) return;
    this.#newest = newest;
    for (const listener of [...this.#listeners]) listener();
  }
}
