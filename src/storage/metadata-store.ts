// The contract of the metadata store: names, manifests, tags, links and uploads. Each method is one complete intention and,
// where it writes, exactly one transaction that is durable when the promise resolves; no transaction crosses this seam.
// `*Ticks` are seconds of the registry's uptime, `*At` Unix seconds.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { AccountStore } from './account-store.ts';
import type { Location, Upload } from './blob-store.ts';
import type { CareStore } from './care-store.ts';
import type { EventStore } from './event-store.ts';
import type { ManagedRepositoryStore, RepositoryChanges } from './managed-repository-store.ts';
import type { ProtectionStore } from './protection-store.ts';
import type { RetentionStore } from './retention-store.ts';
import type { SignatureStore } from './signature-store.ts';
import type { DeletedStore, Deprecation, ManifestManagement, TagManagement } from './tag-store.ts';
import type { Creating, NoRepository, Origin, Page, Visibility } from './terms.ts';
import type { WebhookStore } from './webhook-store.ts';

export * from './event-store.ts';
export * from './managed-repository-store.ts';
export * from './signature-store.ts';
export * from './tag-store.ts';
export * from './terms.ts';

export interface MetadataStore {
  readonly repositories: RepositoryStore;
  readonly manifests: ManifestStore;
  readonly tags: TagStore;
  readonly blobs: BlobIndex;
  readonly uploads: UploadIndex;
  readonly signatures: SignatureStore;
  readonly deleted: DeletedStore;
  readonly events: EventStore;
  readonly accounts: AccountStore;
  readonly protection: ProtectionStore;
  readonly retention: RetentionStore;
  readonly webhooks: WebhookStore;
  /** What the registry calls itself, from its first start on and also after a restore elsewhere. */
  instance(): Promise<string>;
  /** Which data folder of that registry this is: a restore gives the new one another name, the first has the instance's. */
  copy(): Promise<string>;
  /**
   * Writes everything as it is at one moment to the new file `target` (snapshot.ts), durable when it resolves. Reads and
   * writes go on meanwhile. Throws DiskFullError or MediumFailedError, of the medium of `target` too; then no file is left.
   */
  snapshot(target: string): Promise<void>;
  readonly care: CareStore;
  /** Statistics of the writer since the start, for metrics. */
  writerStatistics(): WriterStatistics;
  /** Persists the uptime clock. Call it every minute; close() does it too. */
  advanceClock(): Promise<void>;
  /**
   * Leaves a sign by which a start tells this database from an older one that somebody puts back over newer files
   * (CollectorStore.otherDatabaseSince). Call it at the start, every ten minutes, and at the end; one at a time.
   */
  renewEpoch(): Promise<void>;
  /** Finishes what was asked for, checkpoints the log and closes. Later calls reject with StoreUnavailableError. */
  close(): Promise<void>;
}

export interface WriterStatistics {
  readonly commits: number;
  readonly intentions: number;
  readonly commitSeconds: number;
  readonly queued: number;
}

// ── repositories ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Repository {
  readonly name: RepositoryName;
  readonly description: string;
  readonly visibility: Visibility;
  /** False while it holds blobs and uploads alone: then it has no tags list and is not in the catalog. */
  readonly live: boolean;
  readonly manifests: number;
  readonly deprecation?: Deprecation | undefined;
}

export interface RepositoryStore extends ManagedRepositoryStore {
  /** undefined when there is none, or it was deleted. */
  find(name: RepositoryName): Promise<Repository | undefined>;
  /** Live repositories with at least one manifest, in bytewise order of name, beginning after `after`. */
  list(options: { readonly after?: string; readonly limit: number }): Promise<Page<Repository>>;
  /** Live repositories with a manifest whose name or description contains `term` (case-insensitive), in order of name. */
  search(options: {
    readonly term: string;
    readonly after?: string;
    readonly limit: number;
  }): Promise<Page<Repository>>;
  /** Changes a live repository; a change of visibility moves the policy. False: unknown. */
  update(options: {
    readonly name: RepositoryName;
    readonly changes: RepositoryChanges;
    readonly origin: Origin;
  }): Promise<boolean>;
  /** Totals for metrics. Counting may take milliseconds: not for a hot path. */
  totals(): Promise<RepositoryTotals>;
}

export interface RepositoryTotals {
  readonly repositories: number;
  readonly manifests: number;
  readonly tags: number;
  readonly blobs: number;
  readonly blobBytes: number;
  readonly openUploads: number;
}

// ── manifests ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The bytes are nobody's to change: the next reader may be given the same. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** The notice of the tag that it was asked for by, else of the repository. */
  readonly deprecation?: Deprecation;
}

/** What a manifest says, as the store needs it; made by oci/manifest.ts. */
export interface ManifestToStore {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly kind: 'image' | 'index' | 'artifact';
  /** Blobs that must be linked in the repository: config and layers, without foreign ones. No duplicates. */
  readonly blobs: readonly Digest[];
  /** Layers that need not be here (foreign, non-distributable), but are kept where a client pushed them. */
  readonly foreignBlobs?: readonly Digest[];
  /** Children of an index: each a manifest of the repository, or (BuildKit cache) a linked blob. No duplicates. */
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  /** Bytes of config and layers as the descriptors tell them. */
  readonly imageBytes: number;
  /** What it is for; undefined: nobody has looked yet. */
  readonly platforms?: readonly string[] | undefined;
  /** Whether it is a signature of its subject. */
  readonly isSignature?: boolean;
}

export const sparseModes = ['none', 'index', 'all'] as const;
/** Which references may be absent when a manifest arrives: none, children of an index, or any. */
export type SparseMode = (typeof sparseModes)[number];

export interface PutManifest extends Creating {
  readonly repository: RepositoryName;
  readonly manifest: ManifestToStore;
  /** Tags to point at it, all or none. */
  readonly tags: readonly Tag[];
  readonly sparse: SparseMode;
  readonly origin: Origin;
}

export type PutManifestOutcome =
  | { readonly outcome: 'stored'; readonly created: boolean }
  /** Nothing was written: these references are not in the repository. */
  | { readonly outcome: 'missing'; readonly missing: readonly Digest[] }
  | NoRepository;

export interface Referrer {
  readonly cursor: number;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

export type RemoveManifestOutcome =
  | { readonly outcome: 'removed' }
  | { readonly outcome: 'unknown' }
  /** An index lists it: nothing was changed. */
  | { readonly outcome: 'listed'; readonly parent: Digest };

export interface Pulls {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly pulls: number;
  readonly lastAt: number;
  /** Who pulled, under which tag, from where: an event each. Missing: no event. */
  readonly by?: readonly PullsBy[];
}

export interface PullsBy {
  readonly origin: Origin;
  readonly tag: Tag | undefined;
  readonly count: number;
}

/** What is told of a manifest without its bytes. */
export type ManifestStat = Omit<StoredManifest, 'bytes'> & { readonly size: number };

export interface ManifestStore extends ManifestManagement {
  /** The hot path: one indexed read. undefined when the repository or the manifest is unknown. */
  find(repository: RepositoryName, reference: Reference): Promise<StoredManifest | undefined>;
  /** Like find, without the bytes. */
  stat(repository: RepositoryName, reference: Reference): Promise<ManifestStat | undefined>;
  /**
   * Checks every reference and writes manifest, edges, tags, history and event together. Creates the repository (and an
   * unowned namespace) where there is none, with the visibility that its namespace, else the registry gives to new ones.
   * Storing the same manifest again moves the tags and is no error.
   */
  put(input: PutManifest): Promise<PutManifestOutcome>;
  /** Moves a manifest with its tags and edges to the trash: no visibility, bytes kept until the grace time is over. */
  remove(repository: RepositoryName, digest: Digest, origin: Origin): Promise<RemoveManifestOutcome>;
  /**
   * Manifests whose subject is `subject`, oldest first; empty for an unknown repository. An empty filter means all. A page
   * may end before `limit` (with `more`) where manifests are large, so that no page takes long to read or to hold.
   */
  listReferrers(
    repository: RepositoryName,
    subject: Digest,
    options: { readonly after?: number; readonly limit: number; readonly artifactTypes: readonly string[] },
  ): Promise<Page<Referrer>>;
  /** Adds to the pull counts; what is gone meanwhile is left out. */
  recordPulls(pulls: readonly Pulls[]): Promise<void>;
}

// ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TagStore extends TagManagement {
  /** Tags in bytewise order, beginning after `after`; undefined when the repository is unknown or not live. */
  list(
    repository: RepositoryName,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<Page<Tag> | undefined>;
  /** Removes a tag alone: the manifest stays. False when there was none. */
  remove(repository: RepositoryName, tag: Tag, origin: Origin): Promise<boolean>;
}

// ── blobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LinkedBlob {
  readonly digest: Digest;
  readonly location: Location;
  readonly size: number;
  /** Seconds of uptime that its lease has left, or 'referenced' while a manifest of the repository holds it. */
  readonly lease: 'referenced' | number;
}

export type UnlinkBlobOutcome =
  | { readonly outcome: 'removed' }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'referenced'; readonly manifest: Digest };

export interface BlobIndex {
  /** A blob that the repository links and that is not damaged. */
  find(repository: RepositoryName, digest: Digest): Promise<LinkedBlob | undefined>;
  /** Gives the link a full lease again. False when the link is gone. */
  extendLease(repository: RepositoryName, digest: Digest): Promise<boolean>;
  /**
   * Links a blob that `from` links into `to`, with a lease of its own. False when `from` does not link it, it is damaged, or
   * `to` is not there and cannot be made.
   */
  mount(
    options: {
      readonly from: RepositoryName;
      readonly to: RepositoryName;
      readonly digest: Digest;
      readonly origin: Origin;
    } & Creating,
  ): Promise<boolean>;
  /** Up to `limit` repositories that link an undamaged blob, for a mount without `from`. */
  listLinking(digest: Digest, limit: number): Promise<readonly RepositoryName[]>;
  /** Ends the link; the bytes are the collector's business. */
  unlink(repository: RepositoryName, digest: Digest, origin: Origin): Promise<UnlinkBlobOutcome>;
  /** From now on the blob is unknown everywhere until its content is pushed again. False when the location has changed. */
  markDamaged(location: Location): Promise<boolean>;
  /** Locations whose bytes may go now, oldest first. */
  listDueUnlinks(limit: number): Promise<readonly Location[]>;
  /** Drops them from the queue, after their bytes are gone. */
  dropUnlinks(locations: readonly Location[]): Promise<void>;
}

// ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface UploadLimits {
  readonly perRepository: number;
  readonly perPrincipal: number;
  readonly total: number;
  /** At a limit the upload that was idle longest ends, if it was idle for at least so long. */
  readonly idleSeconds: number;
}

export type BeginUploadOutcome =
  /** `ended` made room: abort their bytes. */
  | { readonly outcome: 'begun'; readonly ended: readonly Upload[] }
  | { readonly outcome: 'too-many'; readonly limit: 'perRepository' | 'perPrincipal' | 'total' }
  | NoRepository;

export interface FinishUpload {
  readonly repository: RepositoryName;
  readonly upload: Upload;
  readonly digest: Digest;
  readonly location: Location;
  readonly size: number;
  readonly origin: Origin;
}

export interface UploadIndex {
  /** Opens a session, creating the repository in state `uploading` where there is none. */
  begin(
    options: {
      readonly repository: RepositoryName;
      readonly principal: string;
      readonly upload: Upload;
      readonly limits: UploadLimits;
    } & Creating,
  ): Promise<BeginUploadOutcome>;
  /** An open session; another repository or another principal finds it missing. */
  find(repository: RepositoryName, principal: string, id: string): Promise<Upload | undefined>;
  /** Notes, to within half a minute, that the session is in use, so that it does not idle out. No fault if it is closed. */
  touch(id: string): Promise<void>;
  /**
   * Closes the session and links the blob with a lease, in one transaction. A healthy copy that was there is kept and the
   * new location queued for unlinking; a damaged one is swapped for the new location. False when the session was closed
   * meanwhile: then nothing is linked and the new location is queued for unlinking.
   */
  finish(input: FinishUpload): Promise<boolean>;
  /**
   * Links a blob that came in one request without a session; creates the repository where there is none. Otherwise like
   * finish. Where there is no repository and none is made nothing is linked, and the new location is queued for unlinking.
   */
  link(
    input: Omit<FinishUpload, 'upload'> & Creating,
  ): Promise<{ readonly outcome: 'linked' } | NoRepository>;
  /** Closes a session; its bytes may be aborted afterwards. False when it was not open. */
  close(id: string): Promise<boolean>;
  /** Closes up to `limit` sessions idle or alive too long, and returns them for abort; drops empty `uploading` repositories. */
  expire(options: {
    readonly idleSeconds: number;
    readonly longestSeconds: number;
    readonly limit: number;
  }): Promise<readonly Upload[]>;
  /** Of `ids`, those that are not open. */
  filterClosed(ids: readonly string[]): Promise<readonly string[]>;
}
