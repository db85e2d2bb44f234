// Files of blobs that no row names: what a crash left between the disk and the database. Many of them at once come from no
// crash: then the database is not the one that these files belong to (an older one was put back), and nothing is removed. Where the
// store knows that it is not, none goes.
import type { BlobStore, StoredBlob } from '../storage/blob-store.ts';
import type { BlobCount, CollectorStore } from '../storage/care-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { OperationRun } from './operations.ts';
import type { Placements } from './placements.ts';
import { isTooMuch } from './too-much.ts';
import type { Unlinks } from './unlinks.ts';
import type { WriteGate } from './writes.ts';

/** Files that are judged together. */
const batch = 100;
/** A file that no row names is removed when it is older than this, by its own time. */
const oldSeconds = 24 * 3600;
/** The walk through all files is made at most so often, unless a run is asked for more than usual. */
const walkEverySeconds = 24 * 3600;

/** In a dry run and in one that stopped: what would be removed. */
export interface OrphanReport extends BlobCount {
  /** They stay until a run is forced. */
  readonly stopped?: 'too much' | 'another database';
}

export interface OrphanRequest {
  readonly dryRun: boolean;
  readonly now: boolean;
  readonly force: boolean;
}

const none: BlobCount = { blobs: 0, bytes: 0 };

export class Orphans {
  readonly #store: CollectorStore;
  readonly #blobs: BlobStore;
  readonly #placements: Placements;
  readonly #unlinks: Unlinks;
  readonly #writes: WriteGate;
  readonly #stopAbove: number;
  readonly #clock: Clock;
  #walkedAt = Number.NEGATIVE_INFINITY;
  /** What the last walk left because it was too much. */
  #left: OrphanReport = none;

  constructor(options: {
    store: CollectorStore;
    blobs: BlobStore;
    placements: Placements;
    unlinks: Unlinks;
    writes: WriteGate;
    stopAbove: number;
    clock: Clock;
  }) {
    this.#store = options.store;
    this.#blobs = options.blobs;
    this.#placements = options.placements;
    this.#unlinks = options.unlinks;
    this.#writes = options.writes;
    this.#stopAbove = options.stopAbove;
    this.#clock = options.clock;
  }

  /** Counts them all before the first one goes. */
  async sweep(run: OperationRun, request: OrphanRequest): Promise<OrphanReport> {
    const now = this.#clock.monotonicSeconds();
    const asked = request.dryRun || request.now || request.force;
    if (!asked && now - this.#walkedAt < walkEverySeconds) return this.#left;
    const since = await this.#store.otherDatabaseSince();
    const { unknown, all } = await this.#count(run, since);
    const stopped = request.force ? undefined : this.#reasonToStop(unknown, all, since);
    const found: OrphanReport = stopped === undefined ? unknown : { ...unknown, stopped };
    if (request.dryRun) return found;
    this.#left = stopped === undefined ? none : found;
    const keeps = stopped !== undefined || unknown.blobs === 0;
    const report = keeps ? found : await this.#removeAll(run, since);
    // Nothing was removed while a backup held it: then nothing is decided either.
    if (since !== undefined && request.force && !this.#unlinks.held)
      await this.#writes.withBallast(() => this.#store.takeOverFiles());
    this.#walkedAt = now;
    return report;
  }

  #reasonToStop(unknown: BlobCount, all: BlobCount, since: number | undefined): OrphanReport['stopped'] {
    if (since !== undefined && unknown.blobs > 0) return 'another database';
    return isTooMuch(unknown, all.bytes, this.#stopAbove) ? 'too much' : undefined;
  }

  async #count(
    run: OperationRun,
    since: number | undefined,
  ): Promise<{ readonly unknown: BlobCount; readonly all: BlobCount }> {
    let [unknown, all] = [none, none];
    await this.#walk(run, since, async (files, old) => {
      all = files.reduce((sum, { size }) => add(sum, { blobs: 1, bytes: size }), all);
      const names = new Set(await this.#store.filterUnknown(old.map(({ location }) => location)));
      for (const { location, size } of old)
        if (names.has(location)) unknown = add(unknown, { blobs: 1, bytes: size });
    });
    return { unknown, all };
  }

  async #removeAll(run: OperationRun, since: number | undefined): Promise<BlobCount> {
    let removed = none;
    await this.#walk(run, since, async (_files, old) => {
      removed = add(removed, await this.#removeUnknown(old));
    });
    return removed;
  }

  /** Hands all files over, some at a time, and those of them that are old enough, or came with another database. */
  async #walk(
    run: OperationRun,
    since: number | undefined,
    visit: (files: readonly StoredBlob[], old: readonly StoredBlob[]) => Promise<void>,
  ): Promise<void> {
    const before = Math.max(this.#clock.unixSeconds() - oldSeconds, since ?? Number.NEGATIVE_INFINITY);
    let files: StoredBlob[] = [];
    const hand = async (): Promise<void> => {
      await visit(
        files,
        files.filter(({ modifiedAt }) => modifiedAt < before),
      );
      files = [];
    };
    for await (const file of this.#blobs.list()) {
      files.push(file);
      if (files.length < batch) continue;
      await hand();
      await run.step();
    }
    await hand();
  }

  async #removeUnknown(files: readonly StoredBlob[]): Promise<BlobCount> {
    const unknown = new Set(await this.#store.filterUnknown(files.map(({ location }) => location)));
    let removed = none;
    for (const { location, digest, size } of files) {
      if (!unknown.has(location)) continue;
      // Its row may be about to be written, or may have been since: only what nobody is placing is asked for again.
      const gone = await this.#placements.alone(digest, async () => {
        const [still] = await this.#store.filterUnknown([location]);
        return still !== undefined && (await this.#unlinks.removeUnnamed(location));
      });
      if (gone === true) removed = add(removed, { blobs: 1, bytes: size });
    }
    return removed;
  }
}

function add(one: BlobCount, other: BlobCount): BlobCount {
  return { blobs: one.blobs + other.blobs, bytes: one.bytes + other.bytes };
}
