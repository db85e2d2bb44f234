// The registry's rules over its two stores, put together once for the HTTP layer.
import type { BlobStore } from '../storage/blob-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { MetadataStore, SparseMode, UploadLimits } from '../storage/metadata-store.ts';
import { BackgroundScrub } from './background-scrub.ts';
import { Blobs, type DamageReport } from './blobs.ts';
import { Collector } from './collector.ts';
import { Manifests } from './manifests.ts';
import { Operations } from './operations.ts';
import { Placements } from './placements.ts';
import { Platforms } from './platforms.ts';
import { PullCounter } from './pull-counter.ts';
import { Retention } from './retention.ts';
import { type FoundDamage, Scrub } from './scrub.ts';
import { Sweep } from './sweep.ts';
import { Tagging } from './tagging.ts';
import { Unlinks } from './unlinks.ts';
import { Uploads } from './uploads.ts';
import { type Ballast, WriteGate, type WriteLimits } from './writes.ts';

/** The settings that the rules depend on. Durations in seconds, sizes in bytes. */
export interface RegistrySettings extends WriteLimits {
  readonly blobSizeLimit: number;
  readonly sparseManifests: SparseMode;
  readonly leaseSeconds: number;
  readonly uploads: Omit<UploadLimits, 'idleSeconds'> & {
    readonly idleExpirySeconds: number;
    readonly longestSeconds: number;
  };
}

/** The settings of the care of the store. Shares, seconds, bytes a second. */
export interface CareSettings {
  readonly stopAbove: number;
  readonly historyKeptSeconds: number;
  readonly scrubBytesPerSecond: number;
  readonly fullPassSeconds: number;
}

const usualCare: CareSettings = {
  stopAbove: 0.3,
  historyKeptSeconds: 365 * 86_400,
  scrubBytesPerSecond: 8 * 1024 * 1024,
  fullPassSeconds: 30 * 86_400,
};

export interface Registry {
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly writes: WriteGate;
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly tagging: Tagging;
  readonly uploads: Uploads;
  readonly sweep: Sweep;
  readonly operations: Operations;
  readonly collector: Collector;
  readonly scrub: Scrub;
  readonly backgroundScrub: BackgroundScrub;
  readonly retention: Retention;
  /** Removes files; a backup holds it back while it copies. */
  readonly unlinks: Unlinks;
  /** Whoever places content itself says so here, or the sweeps take it for something that a crash left. */
  readonly placements: Placements;
}

/** An upload that was idle for so long may be ended to make room for a new one at a limit. */
const evictableAfterSeconds = 600;

export interface RegistryOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly ballast: Ballast;
  readonly clock: Clock;
  readonly settings: RegistrySettings;
  readonly care?: CareSettings;
  readonly onDamage: (report: DamageReport) => void;
  /** Told of damage that the scrub found, which belongs to no repository alone. */
  readonly onScrubDamage?: (damage: FoundDamage) => void;
  readonly onDutyFailure: (duty: string, error: unknown) => void;
}

/** Puts the rules together over open stores. Starts nothing. */
export function createRegistry(options: RegistryOptions): Registry {
  const { metadata, blobs: store, clock, settings } = options;
  const writes = new WriteGate(store, options.ballast, settings);
  const pulls = new PullCounter(metadata.manifests, clock);
  const platforms = new Platforms({ metadata, store });
  const placements = new Placements();
  const unlinks = new Unlinks({ index: metadata.blobs, store, writes });
  const { idleExpirySeconds, longestSeconds, ...limits } = settings.uploads;
  return {
    metadata,
    store,
    writes,
    unlinks,
    placements,
    blobs: new Blobs({
      index: metadata.blobs,
      store,
      writes,
      leaseSeconds: settings.leaseSeconds,
      onDamage: options.onDamage,
    }),
    manifests: new Manifests({ metadata, writes, pulls, platforms, sparse: settings.sparseManifests }),
    tagging: new Tagging({ metadata, writes, pulls }),
    uploads: new Uploads({
      index: metadata.uploads,
      store,
      writes,
      limits: { ...limits, idleSeconds: evictableAfterSeconds },
      blobSizeLimit: settings.blobSizeLimit,
      quotas: metadata.care.quotas,
      placements,
    }),
    sweep: new Sweep({
      metadata,
      blobs: store,
      pulls,
      platforms,
      writes,
      unlinks,
      placements,
      idleExpirySeconds,
      longestSeconds,
      unixSeconds: clock.unixSeconds,
      onFailure: options.onDutyFailure,
    }),
    retention: new Retention({ metadata, writes, pulls, leaseSeconds: settings.leaseSeconds }),
    ...createCare(options, { writes, unlinks, placements }),
  };
}

function createCare(
  options: RegistryOptions,
  parts: { readonly writes: WriteGate; readonly unlinks: Unlinks; readonly placements: Placements },
) {
  const { metadata, blobs, clock, care = usualCare, onScrubDamage = () => {}, onDutyFailure } = options;
  const { writes, unlinks, placements } = parts;
  const scrub = new Scrub({ metadata, blobs, writes, placements, onDamage: onScrubDamage });
  const { unixSeconds } = clock;
  return {
    scrub,
    operations: new Operations({
      store: metadata.care.operations,
      writes,
      onFailure: ({ kind, id }, error) => onDutyFailure(`${kind} (operation ${id})`, error),
    }),
    collector: new Collector({
      metadata,
      blobs,
      writes,
      unlinks,
      placements,
      stopAbove: care.stopAbove,
      historyKeptSeconds: care.historyKeptSeconds,
      clock,
    }),
    backgroundScrub: new BackgroundScrub({
      metadata,
      scrub,
      writes,
      bytesPerSecond: care.scrubBytesPerSecond,
      fullPassSeconds: care.fullPassSeconds,
      unixSeconds,
      onFailure: (error) => onDutyFailure('background scrub', error),
    }),
  };
}
