// The one place where files of blobs are removed: those in the unlink queue once they are due, and those that no row names. A
// backup holds all of it back while it copies.
import type { BlobStore, Location } from '../storage/blob-store.ts';
import type { BlobIndex } from '../storage/metadata-store.ts';
import type { WriteGate } from './writes.ts';

const batch = 100;
/** Files removed at the same time: the rest of the thread pool is left to readers. */
const atOnce = 4;

export class Unlinks {
  readonly #index: BlobIndex;
  readonly #store: BlobStore;
  readonly #writes: Pick<WriteGate, 'withBallast'>;
  #holders = 0;
  /** One batch at a time, whoever asks. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: { index: BlobIndex; store: BlobStore; writes: Pick<WriteGate, 'withBallast'> }) {
    this.#index = options.index;
    this.#store = options.store;
    this.#writes = options.writes;
  }

  get held(): boolean {
    return this.#holders > 0;
  }

  /** Resolves once no file is being removed; from then on none is until what it resolves with is called. */
  async hold(): Promise<() => void> {
    this.#holders += 1;
    await this.#last;
    let held = true;
    return () => {
      if (held) this.#holders -= 1;
      held = false;
    };
  }

  /**
   * Removes the files of locations in the queue that are due; one that is gone already is fine. Resolves with their number, 0
   * while removing is held. `step` is awaited between batches.
   */
  async removeDue(step?: () => Promise<void>): Promise<number> {
    for (let removed = 0; ; await step?.()) {
      const due = await this.#exclusive(() => this.#removeBatch());
      removed += due;
      if (due < batch) return removed;
    }
  }

  /** Removes a file that no row names, unless removing is held: then the next sweep finds it. False when it was held. */
  async removeUnnamed(location: Location): Promise<boolean> {
    return await this.#exclusive(async () => {
      if (this.held) return false;
      await this.#store.remove(location);
      return true;
    });
  }

  async #removeBatch(): Promise<number> {
    if (this.held) return 0;
    const due = await this.#index.listDueUnlinks(batch);
    for (let at = 0; at < due.length; at += atOnce) {
      const removals = due.slice(at, at + atOnce).map((location) => this.#store.remove(location));
      // All of them have ended when one has failed: whoever holds removing back relies on that.
      const failed = (await Promise.allSettled(removals)).find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
    }
    if (due.length > 0) await this.#writes.withBallast(() => this.#index.dropUnlinks(due));
    return due.length;
  }

  #exclusive<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }
}
