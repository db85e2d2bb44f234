// The slow scrub that never ends: reads the blobs that were checked longest ago, at a steady rate that rises where a full pass
// would take too long.
import { setTimeout as pause } from 'node:timers/promises';
import type { Location } from '../storage/blob-store.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import { type Pace, steadyPace } from './content-check.ts';
import type { Scrub } from './scrub.ts';
import type { WriteGate } from './writes.ts';

const batch = 20;
const idleMilliseconds = 60_000;

export interface BackgroundScrubOptions {
  readonly metadata: MetadataStore;
  readonly scrub: Scrub;
  readonly writes: WriteGate;
  /** scrub.rate */
  readonly bytesPerSecond: number;
  /** scrub.fullPassWithin */
  readonly fullPassSeconds: number;
  readonly unixSeconds: () => number;
  readonly onFailure: (error: unknown) => void;
}

export class BackgroundScrub {
  readonly #options: BackgroundScrubOptions;
  readonly #stop = new AbortController();
  readonly #pace: Pace;
  #rate: number;
  #running: Promise<void> | undefined;

  constructor(options: BackgroundScrubOptions) {
    this.#options = options;
    this.#rate = options.bytesPerSecond;
    this.#pace = steadyPace(() => this.#rate);
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  /** Ends within a moment, in the middle of a blob too. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Checks what is due, a few blobs. False when nothing was. */
  async round(): Promise<boolean> {
    const { metadata, scrub, writes, fullPassSeconds, unixSeconds } = this.#options;
    const { bytes } = await metadata.care.usage.stored();
    // A blob is read once in half the time of a pass, so that there is the other half to catch up in.
    this.#rate = Math.max(this.#options.bytesPerSecond, bytes / (fullPassSeconds / 2));
    const dueBefore = unixSeconds() - fullPassSeconds / 2;
    const oldest = await metadata.care.scrub.listOldestChecked(batch);
    const due = oldest.filter(({ verifiedAt }) => verifiedAt < dueBefore);
    const sound: Location[] = [];
    try {
      for (const blob of due) {
        const found = await scrub.checkDeep(blob, this.#pace, this.#stop.signal);
        if (found === 'sound') sound.push(blob.location);
      }
    } finally {
      if (sound.length > 0) await writes.withBallast(() => metadata.care.scrub.noteSound(sound));
    }
    return due.length > 0;
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (!(await this.round())) await pause(idleMilliseconds, undefined, { signal, ref: false });
      } catch (error) {
        if (signal.aborted) return;
        this.#options.onFailure(error);
        await pause(idleMilliseconds, undefined, { signal, ref: false }).catch(() => {});
      }
    }
  }
}
