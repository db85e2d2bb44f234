// The contract of the care of the store: long work, and what the collector, the scrub and quotas read and change. Like the rest
// of the metadata store, each method is one complete intention and, where it writes, exactly one durable transaction.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Location } from './blob-store.ts';
import type { NamePage, Origin, Page } from './terms.ts';

export interface CareStore {
  readonly operations: OperationStore;
  readonly collector: CollectorStore;
  readonly quotas: QuotaStore;
  readonly usage: UsageStore;
  readonly scrub: ScrubStore;
}

// ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const operationKinds = ['gc', 'scrub', 'backup', 'import', 'retention'] as const;
export type OperationKind = (typeof operationKinds)[number];

export const operationStates = ['running', 'paused', 'done', 'failed', 'cancelled', 'interrupted'] as const;
/** `interrupted`: the process ended before the work did. */
export type OperationState = (typeof operationStates)[number];
export type EndState = Exclude<OperationState, 'running' | 'paused'>;

/** What an operation tells of itself: plain JSON. */
export type OperationReport = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly id: number;
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly actor: string;
  /** What was asked for. */
  readonly request: OperationReport;
  readonly done: number | undefined;
  readonly total: number | undefined;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  /** While it runs what it told last, afterwards its result. */
  readonly report: OperationReport | undefined;
}

export interface OperationProgress {
  readonly state: 'running' | 'paused';
  readonly done: number | undefined;
  readonly total: number | undefined;
  readonly report: OperationReport | undefined;
}

export interface OperationStore {
  /** Opens a row in state `running`, unless one of that kind has not ended: then `same-kind` with its id. */
  begin(options: {
    readonly kind: OperationKind;
    readonly request: OperationReport;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'begun' | 'same-kind'; readonly id: number }>;
  /** Notes how far it is. Nothing when it has ended. */
  note(id: number, progress: OperationProgress): Promise<void>;
  /** Ends it. Nothing when it has ended already. */
  end(id: number, result: OperationProgress & { readonly end: EndState }): Promise<void>;
  /** What a process that was killed left running is `interrupted` from now on. Call it once, before the first begin. */
  interruptAll(): Promise<number>;
  find(id: number): Promise<Operation | undefined>;
  /** Newest first, beginning before `before` (an id). */
  list(options: {
    readonly kind?: OperationKind | undefined;
    readonly state?: OperationState | undefined;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<Operation>>;
}

// ── collector ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** So many of something, with the bytes of their blobs. */
export interface BlobCount {
  readonly blobs: number;
  readonly bytes: number;
}

/** What is held, and in how many seconds of uptime the first and the last of it come free by themselves. */
export interface HeldCount extends BlobCount {
  readonly freeIn: readonly [first: number, last: number] | undefined;
}

/** Which part of the survey comes next; opaque to callers. */
export type SurveyCursor = readonly [source: 'links' | 'deleted' | 'trash' | 'review', ...position: number[]];

/** What no manifest references, each blob in exactly one of the three. */
export interface SurveyPage {
  /** Goes as soon as it is collected. */
  readonly going: BlobCount;
  /** Held for a restore of a deleted manifest or repository. */
  readonly undelete: HeldCount;
  /** Held because a client was told that it is there. */
  readonly lease: HeldCount;
  /** undefined after the last page. */
  readonly next: SurveyCursor | undefined;
}

/** Every step changes at most about `limit` rows. `more` tells that a further call has something to do. */
export interface CollectorStore {
  /** A page of what a collection would find; with `everything`, as if the time of all that is deleted were over. */
  survey(options: {
    readonly everything: boolean;
    readonly from?: SurveyCursor | undefined;
  }): Promise<SurveyPage>;
  /** Deleted manifests, and those of deleted repositories, whose time is over, or all of them. */
  countTrash(options: { readonly everything: boolean }): Promise<number>;
  /** Drops deleted manifests whose time is over, or any. */
  purgeTrash(options: {
    readonly everything: boolean;
    readonly limit: number;
  }): Promise<{ readonly manifests: number; readonly more: boolean }>;
  /** Drops repositories that were deleted and whose time is over, or any deleted ones, with all that is in them. */
  purgeRepositories(options: {
    readonly everything: boolean;
    readonly limit: number;
  }): Promise<{ readonly manifests: number; readonly more: boolean }>;
  /** Takes back links that no manifest of the repository references and whose lease is over. The number taken back. */
  reapLinks(limit: number): Promise<number>;
  /**
   * Drops the rows of blobs that neither a link nor a deleted manifest names any more, and queues their locations for
   * unlinking. `reviewed` rows were looked at: fewer than `limit` means that there is nothing left.
   */
  condemnBlobs(limit: number): Promise<BlobCount & { readonly reviewed: number }>;
  /** Of `locations`, those that neither a blob nor the unlink queue names. */
  filterUnknown(locations: readonly Location[]): Promise<readonly Location[]>;
  /**
   * When it was seen, in Unix seconds, that another database had been here: files that are older and that no row names may be what
   * it knew, and so may be what this one has no use for. undefined: the files are this database's.
   */
  otherDatabaseSince(): Promise<number | undefined>;
  /** Nobody needs them: from now on the files are this database's. */
  takeOverFiles(): Promise<void>;
  /** Locations in the unlink queue, due or not. */
  countUnlinks(): Promise<number>;
  /** Drops old names of moved repositories whose time is over. The number dropped. */
  expireAliases(limit: number): Promise<number>;
  /** Notes how far tag history has come by now, so that its age can be told by uptime. At most once a day. True if noted. */
  markHistory(): Promise<boolean>;
  /**
   * Drops rows of tag history that were written before `keepSeconds` of uptime and tell of nothing that could be restored.
   * Pass `next` on until it is undefined.
   */
  expireHistory(options: {
    readonly keepSeconds: number;
    readonly after: number;
    readonly limit: number;
  }): Promise<{ readonly dropped: number; readonly next: number | undefined }>;
}

// ── quotas and usage ─────────────────────────────────────────────────────────────────────────────────────────────────

/** undefined: the default of the settings. */
export interface Quota {
  readonly bytes: number | 'unlimited' | undefined;
  readonly repositories: number | 'unlimited' | undefined;
}

/** The settings of quotas, in bytes; `warnAt` is a share of a quota. */
export interface QuotaSettings {
  readonly registry: number | 'unlimited';
  readonly organization: number | 'unlimited';
  readonly user: number | 'unlimited';
  readonly warnAt: number;
}

export interface Usage {
  /** Each blob counted once. */
  readonly bytes: number;
  readonly repositories: number;
}

export interface QuotaUse {
  /** undefined: the registry as a whole. Its bytes are all that is stored, also what is deleted and not collected yet. */
  readonly namespace: string | undefined;
  readonly kind: 'user' | 'organization' | 'proxy' | 'unowned' | 'registry';
  readonly used: Usage;
  /** What was set for it. */
  readonly quota: Quota;
  /** What holds: the quota, or the default of the settings. */
  readonly limit: { readonly bytes: number | 'unlimited'; readonly repositories: number | 'unlimited' };
}

/** What did not fit. */
export interface QuotaExcess {
  readonly namespace: string | undefined;
  readonly what: 'bytes' | 'repositories';
  readonly limit: number;
  readonly used: number;
  readonly wanted: number;
}

/** The change would exceed a quota; nothing was written. Begin, finish and link of uploads, mounts and puts may throw it. */
export class QuotaExceededError extends Error {
  override readonly name = 'QuotaExceededError';
  readonly excess: QuotaExcess;
  constructor(excess: QuotaExcess) {
    const { namespace, what, limit, used, wanted } = excess;
    const whose = namespace === undefined ? 'the registry' : `namespace ${namespace}`;
    super(`${whose} has ${used} of ${limit} ${what}: ${wanted} more do not fit`);
    this.excess = excess;
  }
}

export interface QuotaStore {
  /** Takes over the settings. Until then everything is unlimited. */
  configure(settings: QuotaSettings): Promise<void>;
  /** Sets the quota of a namespace, or of the registry (undefined). False when there is no such namespace. */
  set(options: {
    readonly namespace: string | undefined;
    readonly quota: Quota;
    readonly origin: Origin;
  }): Promise<boolean>;
  /** undefined when there is no such namespace. */
  find(namespace: string | undefined): Promise<QuotaUse | undefined>;
  /** In bytewise order of name, beginning after `after`. */
  list(page: NamePage): Promise<Page<QuotaUse>>;
  /**
   * Whether `bytes` more would fit, and a new repository where there is none. With `digest`, content that is counted already
   * takes nothing. The answer may be outdated a moment later: the change itself is judged again.
   */
  findExcess(options: {
    readonly repository: RepositoryName;
    readonly bytes: number;
    readonly digest?: Digest | undefined;
  }): Promise<QuotaExcess | undefined>;
}

export interface FreedBy {
  /** Manifests that would go: those named, and children of indexes that nothing else needs. */
  readonly manifests: number;
  /** Bytes that nothing else in the registry holds. */
  readonly exclusive: BlobCount;
  /** Bytes that stay, because another manifest or another repository has them too. */
  readonly shared: BlobCount;
}

export interface UsageStore {
  /** All that is stored. */
  stored(): Promise<BlobCount>;
  /** Of a page of all blobs, those that more than one repository links. */
  shared(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<{ readonly shared: BlobCount; readonly next: number | undefined }>;
  /** A page of a repository's blobs: those that no other repository links, and the others. undefined: no such repository. */
  ofRepository(options: {
    readonly repository: RepositoryName;
    readonly after: number;
    readonly limit: number;
  }): Promise<
    { readonly own: BlobCount; readonly shared: BlobCount; readonly next: number | undefined } | undefined
  >;
  /** What would come free, in time, if these tags went with the manifests that have no other, and these manifests. */
  freedBy(options: {
    readonly repository: RepositoryName;
    readonly tags: readonly Tag[];
    readonly digests: readonly Digest[];
  }): Promise<FreedBy | undefined>;
}

// ── scrub ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface BlobToCheck {
  readonly cursor: number;
  readonly digest: Digest;
  readonly location: Location;
  readonly size: number;
  readonly damaged: boolean;
  readonly verifiedAt: number;
}

export interface ManifestToCheck {
  readonly cursor: number;
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** What its rows say that it references. */
  readonly blobs: readonly Digest[];
  readonly children: readonly Digest[];
  readonly missing: readonly Digest[];
}

export interface DamagedBlob {
  readonly cursor: number;
  readonly digest: Digest;
  readonly size: number;
  readonly damagedAt: number;
  /** The first hundred repositories that have it, and for each up to a hundred tags that lead to it. */
  readonly touches: readonly { readonly repository: RepositoryName; readonly tags: readonly Tag[] }[];
}

/** A count that is kept beside what it counts, and by how much it is off: add that, and it is right. */
export type CountFault =
  | {
      readonly count: 'total';
      readonly of: 'manifest' | 'tag' | 'blob' | 'upload';
      readonly items: number;
      readonly bytes: number;
    }
  /** Manifests or tags of a repository. */
  | { readonly count: 'manifests' | 'tags'; readonly id: number; readonly of: string; readonly items: number }
  /** What the blobs of a repository take, and those that no other repository has. */
  | {
      readonly count: 'taken';
      readonly id: number;
      readonly of: string;
      readonly linkedBytes: number;
      readonly ownBytes: number;
    }
  /** A manifest that lists know nothing of. */
  | { readonly count: 'summary'; readonly id: number; readonly of: string }
  /** What a manifest takes. */
  | { readonly count: 'size'; readonly id: number; readonly of: string; readonly bytes: number }
  /** Tags of a manifest. */
  | { readonly count: 'tagged'; readonly id: number; readonly of: string; readonly items: number }
  /** Bytes that a namespace uses. */
  | { readonly count: 'used'; readonly id: number; readonly of: string; readonly bytes: number }
  /** How many repositories of a namespace have a blob. */
  | { readonly count: 'links'; readonly namespaceId: number; readonly blobId: number };

export interface IntegrityResult {
  readonly at: number;
  readonly sound: boolean;
  /** What SQLite said, the first lines. */
  readonly faults: readonly string[];
}

export interface ScrubStore {
  /** Blobs in order of arrival. */
  listBlobs(options: { readonly after: number; readonly limit: number }): Promise<readonly BlobToCheck[]>;
  /** Sound blobs, those first that were checked longest ago. */
  listOldestChecked(limit: number): Promise<readonly BlobToCheck[]>;
  /** The bytes at these locations were seen to be what they should. What was quarantined is known again. */
  noteSound(locations: readonly Location[]): Promise<void>;
  /**
   * Gives a damaged blob another copy that was seen to be sound, and queues the old location. False when it is not damaged any
   * more, or `to` is due to be unlinked.
   */
  adoptCopy(options: {
    readonly digest: Digest;
    readonly to: Location;
    readonly size: number;
  }): Promise<boolean>;
  listManifests(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ManifestToCheck[]>;
  /** Makes the edges that are missing of a manifest: where the content is not there, its arrival will. */
  repairEdges(options: {
    readonly repository: RepositoryName;
    readonly digest: Digest;
    readonly blobs: readonly Digest[];
    readonly children: readonly Digest[];
  }): Promise<void>;
  /**
   * Looks through up to `limit` links for leases that do not fit their edges (and mends them with `repair`).
   * Pass `next` on until it is undefined.
   */
  checkLinks(options: {
    readonly after: readonly [number, number];
    readonly limit: number;
    readonly repair: boolean;
  }): Promise<{ readonly faults: number; readonly next: readonly [number, number] | undefined }>;
  /**
   * Counts again, in a thread of its own, what is counted while it changes. `more`: there are more than were listed.
   */
  checkCounts(options: {
    readonly signal?: AbortSignal;
  }): Promise<{ readonly faults: readonly CountFault[]; readonly more: boolean }>;
  /** Puts some counts right, whatever has changed since they were found wrong. */
  repairCounts(faults: readonly CountFault[]): Promise<void>;
  listDamaged(options: {
    readonly after?: number | undefined;
    readonly limit: number;
  }): Promise<Page<DamagedBlob>>;
  /** Lets SQLite check the whole database in a thread of its own, and remembers the result. */
  checkIntegrity(options: {
    readonly deep: boolean;
    readonly signal?: AbortSignal;
  }): Promise<IntegrityResult>;
  /** The last result; undefined where it was never checked. */
  integrity(): Promise<IntegrityResult | undefined>;
}
