// The registry's rules over its two stores, put together once for the HTTP layer.
import type { BlobStore } from '../storage/blob-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { MetadataStore, SparseMode, UploadLimits } from '../storage/metadata-store.ts';
import { Blobs, type DamageReport } from './blobs.ts';
import { Manifests } from './manifests.ts';
import { PullCounter } from './pull-counter.ts';
import { Sweep } from './sweep.ts';
import { UnlinkHold } from './unlink-hold.ts';
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

export interface Registry {
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly writes: WriteGate;
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly uploads: Uploads;
  readonly sweep: Sweep;
  /** Holds the removal of blob files back. */
  readonly unlinks: UnlinkHold;
}

/** An upload that was idle for so long may be ended to make room for a new one at a limit. */
const evictableAfterSeconds = 600;

/** Puts the rules together over open stores. Starts nothing. */
export function createRegistry(options: {
  metadata: MetadataStore;
  blobs: BlobStore;
  ballast: Ballast;
  clock: Clock;
  settings: RegistrySettings;
  onDamage: (report: DamageReport) => void;
  onDutyFailure: (duty: string, error: unknown) => void;
}): Registry {
  const { metadata, blobs: store, clock, settings } = options;
  const writes = new WriteGate(store, options.ballast, settings);
  const unlinks = new UnlinkHold();
  const pulls = new PullCounter(metadata.manifests, clock);
  const { idleExpirySeconds, longestSeconds, ...limits } = settings.uploads;
  return {
    metadata,
    store,
    writes,
    blobs: new Blobs({
      index: metadata.blobs,
      store,
      writes,
      leaseSeconds: settings.leaseSeconds,
      onDamage: options.onDamage,
    }),
    manifests: new Manifests({ metadata, writes, pulls, sparse: settings.sparseManifests }),
    uploads: new Uploads({
      index: metadata.uploads,
      store,
      writes,
      limits: { ...limits, idleSeconds: evictableAfterSeconds },
      blobSizeLimit: settings.blobSizeLimit,
    }),
    sweep: new Sweep({
      metadata,
      blobs: store,
      pulls,
      writes,
      unlinks,
      idleExpirySeconds,
      longestSeconds,
      unixSeconds: clock.unixSeconds,
      onFailure: options.onDutyFailure,
    }),
    unlinks,
  };
}
