// Online collection: takes back links whose lease is over, then the rows of blobs that nothing names, then their files. People
// push and pull meanwhile; every step is a short transaction that checks again what it rests on. Where the folder had another
// database, nothing goes at all before somebody says so: what this one has no use for, that one may need.
import { setTimeout as pause } from 'node:timers/promises';
import type { BlobStore } from '../storage/blob-store.ts';
import type {
  BlobCount,
  CollectorStore,
  HeldCount,
  OperationReport,
  SurveyCursor,
} from '../storage/care-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import type { OperationRun } from './operations.ts';
import { type OrphanReport, Orphans } from './orphans.ts';
import type { Placements } from './placements.ts';
import { isTooMuch } from './too-much.ts';
import type { Unlinks } from './unlinks.ts';
import type { WriteGate } from './writes.ts';

/** Rows that one transaction changes at most. */
const batch = 100;
/** So often it is looked whether a backup still copies. */
const pollMilliseconds = 200;

export interface CollectionRequest {
  /** Looks and changes nothing. */
  readonly dryRun: boolean;
  /** Gives up deleted manifests that could still be restored. Leases hold all the same. */
  readonly now: boolean;
  /** Goes on however much would go, and where the folder had another database. */
  readonly force: boolean;
}

/** When the first and the last of it come free by themselves, while the registry runs (RFC 3339). */
export interface HeldReport extends BlobCount {
  readonly reason: 'undelete' | 'lease';
  readonly freeFrom: string;
  readonly freeBy: string;
}

export interface CollectionReport extends OperationReport {
  readonly dryRun: boolean;
  /** In a dry run and in one that stopped: what would come free. */
  readonly freed: BlobCount & { readonly manifests: number };
  /** What no manifest references and stays nevertheless. */
  readonly held: readonly HeldReport[];
  /** Whether what could still be restored was given up. */
  readonly now: boolean;
  /** Files removed, and files in the queue whose delay is not over. */
  readonly files: { readonly removed: number; readonly waiting: number };
  /** Files that no row named. */
  readonly orphans: OrphanReport;
  readonly expired: { readonly links: number; readonly aliases: number; readonly history: number };
  /** Why nothing was taken back. */
  readonly stopped?: 'too much' | 'another database' | 'database damaged' | 'backup running';
  readonly seconds: number;
}

export interface CollectorOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly writes: WriteGate;
  readonly unlinks: Unlinks;
  readonly placements: Placements;
  /** collector.stopAbove, as a share. */
  readonly stopAbove: number;
  /** repositories.historyKept. */
  readonly historyKeptSeconds: number;
  readonly clock: Clock;
}

interface Survey {
  readonly going: BlobCount;
  readonly undelete: HeldCount;
  readonly lease: HeldCount;
}

interface Freed {
  manifests: number;
  blobs: number;
  bytes: number;
  links: number;
}

const none: BlobCount = { blobs: 0, bytes: 0 };
const noneHeld: HeldCount = { ...none, freeIn: undefined };

export class Collector {
  readonly #options: CollectorOptions;
  readonly #store: CollectorStore;
  readonly #orphans: Orphans;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#store = options.metadata.care.collector;
    this.#orphans = new Orphans({ ...options, store: this.#store });
  }

  /**
   * One collection, as the work of an operation. What it takes back stays taken back when it is cancelled. Throws OciError
   * UNAVAILABLE once the medium has failed. With `afterBackup` it begins when no backup copies blobs; else it takes nothing back
   * meanwhile.
   */
  async collect(
    run: OperationRun,
    request: CollectionRequest,
    { afterBackup = false } = {},
  ): Promise<CollectionReport> {
    if (afterBackup) await this.#waitForBackup(run);
    const started = performance.now();
    if (!request.dryRun) this.#options.writes.admitCare();
    const survey = await this.#survey(run, request.now);
    const manifests = await this.#store.countTrash({ everything: request.now });
    const stopped = await this.#reasonToStop(survey.going, request);
    // One that began meanwhile, perhaps by a schedule of the same minute.
    if (afterBackup && stopped === 'backup running') return await this.collect(run, request, { afterBackup });
    const isHeld = stopped !== undefined && (await this.#store.otherDatabaseSince()) !== undefined;
    const total = survey.going.blobs + manifests;
    const freed = { manifests: 0, blobs: 0, bytes: 0, links: 0 };
    let removed = 0;
    let orphans: OrphanReport = none;
    const expired = { aliases: 0, history: 0 };
    if (!request.dryRun) {
      // First what needs no room in the database: on a full disk it makes some.
      if (!isHeld) removed += await this.#options.unlinks.removeDue(() => run.step());
      if (stopped === undefined) {
        await this.#takeBack(run, request, freed, total);
        expired.aliases = await this.#repeat(run, () => this.#store.expireAliases(batch));
        expired.history = await this.#expireHistory(run);
      }
      if (!isHeld) removed += await this.#options.unlinks.removeDue(() => run.step());
    }
    if (stopped !== 'too much' && stopped !== 'database damaged')
      orphans = await this.#orphans.sweep(run, request);
    const foreseen = request.dryRun || stopped !== undefined;
    const { links, ...taken } = freed;
    return {
      dryRun: request.dryRun,
      freed: foreseen ? { ...survey.going, manifests } : taken,
      held: (['undelete', 'lease'] as const).flatMap((reason) => this.#describeHeld(reason, survey[reason])),
      now: request.now,
      files: { removed, waiting: await this.#store.countUnlinks() },
      orphans,
      expired: { links, ...expired },
      ...(stopped === undefined ? {} : { stopped }),
      seconds: (performance.now() - started) / 1000,
    };
  }

  async #waitForBackup(run: OperationRun): Promise<void> {
    while (this.#options.unlinks.held) {
      run.progress(0, undefined, { waitsFor: 'a backup, until it has copied its blobs' });
      await pause(pollMilliseconds);
      await run.step();
    }
  }

  async #survey(run: OperationRun, everything: boolean): Promise<Survey> {
    let survey: Survey = { going: none, undelete: noneHeld, lease: noneHeld };
    let from: SurveyCursor | undefined;
    do {
      const page = await this.#store.survey({ everything, from });
      survey = {
        going: add(survey.going, page.going),
        undelete: addHeld(survey.undelete, page.undelete),
        lease: addHeld(survey.lease, page.lease),
      };
      from = page.next;
      await run.step();
    } while (from !== undefined);
    return survey;
  }

  #describeHeld(reason: HeldReport['reason'], { blobs, bytes, freeIn }: HeldCount): readonly HeldReport[] {
    if (freeIn === undefined) return [];
    const now = this.#options.clock.unixSeconds();
    const [freeFrom = '', freeBy = ''] = freeIn.map((seconds) =>
      new Date(Math.round(now + seconds) * 1000).toISOString(),
    );
    return [{ reason, blobs, bytes, freeFrom, freeBy }];
  }

  async #reasonToStop(
    going: BlobCount,
    request: CollectionRequest,
  ): Promise<CollectionReport['stopped'] | undefined> {
    const { care } = this.#options.metadata;
    if ((await care.scrub.integrity())?.sound === false) return 'database damaged';
    const isAnother = !request.force && (await this.#store.otherDatabaseSince()) !== undefined;
    if (isAnother) return 'another database';
    if (this.#options.unlinks.held) return 'backup running';
    if (request.force) return undefined;
    const stored = await care.usage.stored();
    return isTooMuch(going, stored.bytes, this.#options.stopAbove) ? 'too much' : undefined;
  }

  /** Deleted manifests and repositories, then links, then blobs: each makes the next possible. */
  async #takeBack(run: OperationRun, request: CollectionRequest, freed: Freed, total: number) {
    const { writes } = this.#options;
    const tell = (): void => run.progress(freed.manifests + freed.blobs, total, { freed: { ...freed } });
    const options = { everything: request.now, limit: batch };
    for (const purge of ['purgeTrash', 'purgeRepositories'] as const) {
      for (let more = true; more; await run.step()) {
        const purged = await writes.withBallast(() => this.#store[purge](options));
        freed.manifests += purged.manifests;
        more = purged.more;
        tell();
      }
    }
    freed.links = await this.#repeat(run, () => this.#store.reapLinks(batch));
    for (let more = true; more; await run.step()) {
      const condemned = await writes.withBallast(() => this.#store.condemnBlobs(batch));
      freed.blobs += condemned.blobs;
      freed.bytes += condemned.bytes;
      more = condemned.reviewed === batch;
      tell();
    }
  }

  async #expireHistory(run: OperationRun): Promise<number> {
    const { writes, historyKeptSeconds: keepSeconds } = this.#options;
    if (!(await writes.withBallast(() => this.#store.markHistory()))) return 0;
    let dropped = 0;
    for (let after: number | undefined = 0; after !== undefined; await run.step()) {
      const from: number = after;
      const page = await writes.withBallast(() =>
        this.#store.expireHistory({ keepSeconds, after: from, limit: batch }),
      );
      dropped += page.dropped;
      after = page.next;
    }
    return dropped;
  }

  /** Repeats a step until it finds less than a batch. */
  async #repeat(run: OperationRun, step: () => Promise<number>): Promise<number> {
    for (let sum = 0; ; await run.step()) {
      const changed = await this.#options.writes.withBallast(step);
      sum += changed;
      if (changed < batch) return sum;
    }
  }
}

function add(one: BlobCount, other: BlobCount): BlobCount {
  return { blobs: one.blobs + other.blobs, bytes: one.bytes + other.bytes };
}

function addHeld(one: HeldCount, other: HeldCount): HeldCount {
  const ends = [...(one.freeIn ?? []), ...(other.freeIn ?? [])];
  const freeIn = ends.length === 0 ? undefined : ([Math.min(...ends), Math.max(...ends)] as const);
  return { ...add(one, other), freeIn };
}
