// The regular small duties: ending stale uploads and removing what is left of them, removing files that are due, persisting
// the uptime clock and the pull counts, renewing the database's epoch, looking into manifests that nobody has looked into. Each round is short, and a round that fails is tried again at the next.
import type { BlobStore, Upload } from '../storage/blob-store.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import type { Placements } from './placements.ts';
import type { Platforms } from './platforms.ts';
import type { PullCounter } from './pull-counter.ts';
import type { Unlinks } from './unlinks.ts';
import type { WriteGate } from './writes.ts';

const batch = 100;
/** A staging file without a row may belong to a session that is just being opened; it is left alone for so long. */
const orphanUploadSeconds = 24 * 3600;

export interface SweepOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly pulls: PullCounter;
  readonly platforms: Platforms;
  readonly writes: WriteGate;
  readonly unlinks: Unlinks;
  readonly placements: Placements;
  readonly idleExpirySeconds: number;
  readonly longestSeconds: number;
  readonly unixSeconds: () => number;
  /** Told of a duty that failed. */
  readonly onFailure: (duty: string, error: unknown) => void;
}

export class Sweep {
  readonly #options: SweepOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** Begins the duties: pull counts every 10 s, the clock and the sweep every minute, the epoch every ten, orphan uploads every hour. */
  start(): void {
    const { metadata, pulls, platforms, writes } = this.#options;
    this.#every(10, 'pull counts', () => pulls.flush());
    this.#every(60, 'uptime clock', () => metadata.advanceClock());
    this.#every(60, 'stale uploads', () => this.endStaleUploads());
    this.#every(60, 'queued unlinks', () => this.removeDueUnlinks());
    this.#every(60, 'ballast', () => writes.refillBallast());
    this.#every(60, 'platforms', () => platforms.readUnread());
    this.#every(600, 'epoch of the database', () => metadata.renewEpoch());
    this.#every(3600, 'orphan uploads', () => this.removeOrphanUploads());
    this.#enqueue('epoch of the database', () => metadata.renewEpoch());
    // What an older Berth stored is looked into at once.
    this.#enqueue('platforms', () => platforms.readUnread());
  }

  /** Ends the duties, after one last flush of the pull counts and in an epoch that no copy of the database knows. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#options.platforms.stop();
    this.#enqueue('pull counts', () => this.#options.pulls.flush());
    this.#enqueue('epoch of the database', () => this.#options.metadata.renewEpoch());
    await this.#running;
  }

  /** Ends sessions idle or alive too long: the row first, then the bytes. */
  async endStaleUploads(): Promise<void> {
    const { metadata, blobs, writes, idleExpirySeconds: idleSeconds, longestSeconds } = this.#options;
    for (;;) {
      const ended = await writes.withBallast(() =>
        metadata.uploads.expire({ idleSeconds, longestSeconds, limit: batch }),
      );
      for (const upload of ended) await blobs.abort(upload);
      if (ended.length < batch) return;
    }
  }

  /** Removes files in the queue that are due, unless another database may need them: then a forced collection does. */
  async removeDueUnlinks(): Promise<void> {
    const { metadata, unlinks } = this.#options;
    if ((await metadata.care.collector.otherDatabaseSince()) === undefined) await unlinks.removeDue();
  }

  /** Removes staging files that no open session owns, left over by a crash. */
  async removeOrphanUploads(): Promise<void> {
    const before = this.#options.unixSeconds() - orphanUploadSeconds;
    let old: Upload[] = [];
    for await (const { upload, modifiedAt } of this.#options.blobs.listUploads()) {
      if (modifiedAt < before) old.push(upload);
      if (old.length < batch) continue;
      await this.#abortClosed(old);
      old = [];
    }
    await this.#abortClosed(old);
  }

  async #abortClosed(uploads: readonly Upload[]): Promise<void> {
    if (uploads.length === 0) return;
    const { metadata, blobs, placements } = this.#options;
    const closed = new Set(await metadata.uploads.filterClosed(uploads.map(({ id }) => id)));
    for (const upload of uploads) {
      if (!closed.has(upload.id)) continue;
      // Its row may be about to be written, or it belongs to a request that needs none.
      await placements.alone(upload.id, async () => {
        const [still] = await metadata.uploads.filterClosed([upload.id]);
        if (still !== undefined) await blobs.abort(upload);
      });
    }
  }

  #every(seconds: number, duty: string, act: () => Promise<unknown>): void {
    this.#timers.push(setInterval(() => this.#enqueue(duty, act), seconds * 1000).unref());
  }

  // One duty at a time: they share the disk with everybody's pushes.
  #enqueue(duty: string, act: () => Promise<unknown>): void {
    this.#running = this.#running.then(act).catch((error: unknown) => this.#options.onFailure(duty, error));
  }
}
