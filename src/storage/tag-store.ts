// The contract of tags and manifests as people manage them: lists in any order, the one way to set a tag (retag, copy, restore),
// a tag's past, and what was deleted and can come back.
import type { Digest } from '../oci/digest.ts';
import type { ManifestKind } from '../oci/media-types.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { TagHistoryAction } from './event-store.ts';
import type { Creating, NoRepository, Origin, Page } from './terms.ts';

/** A notice that something should not be used any more. */
export interface Deprecation {
  readonly message: string;
  /** What to use instead, as people write references. */
  readonly replacement?: string;
}

// ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ManifestFacts {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly kind: ManifestKind;
  /** 'linux/amd64', 'linux/arm/v7'; empty for what is for none, and until somebody has looked. */
  readonly platforms: readonly string[];
  /** Bytes of config and layers; of an index those of what it lists, each blob once. */
  readonly size: number;
  readonly pulledAt: number | undefined;
  readonly pulls: number;
  /** A cosign or notation signature, a simple one, or one in tag form is there. */
  readonly signed: boolean;
}

export interface TagDetails extends ManifestFacts {
  readonly name: Tag;
  /** When, and by whom, the tag was set to this manifest. */
  readonly pushedAt: number;
  readonly pushedBy: string;
  readonly deprecation: Deprecation | undefined;
}

export interface ManifestDetails extends ManifestFacts {
  readonly cursor: number;
  readonly pushedAt: number;
  readonly pushedBy: string;
  readonly subject: Digest | undefined;
  /** The first of them, and how many there are. */
  readonly tags: readonly Tag[];
  readonly tagCount: number;
  /** Indexes that list it; the first of them. */
  readonly listedBy: readonly Digest[];
}

export const tagOrders = ['name', 'pushedAt', 'pulledAt', 'size', 'semver'] as const;
export type TagOrder = (typeof tagOrders)[number];

/** Where a list goes on: of the list that gave it out alone. */
export type ListCursor = readonly (string | number)[];

export interface TagFilter {
  /** A glob (oci/tag-glob.ts) of the whole tag. */
  readonly matching?: string | undefined;
  /** A part of the tag, whatever its case. */
  readonly containing?: string | undefined;
  /** 'linux/arm' finds linux/arm/v7, too. */
  readonly platform?: string | undefined;
  readonly signed?: boolean | undefined;
}

export interface ListTags {
  readonly repository: RepositoryName;
  readonly order: TagOrder;
  readonly descending: boolean;
  readonly after?: ListCursor | undefined;
  readonly limit: number;
  readonly filter: TagFilter;
}

/**
 * A page may be shorter than asked for, even empty, and yet have a `next`: a filter that matches little is looked through in
 * pieces.
 */
export interface ListPart<Item> {
  readonly items: readonly Item[];
  readonly next: ListCursor | undefined;
}

// ── setting a tag ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface SetTag extends Creating {
  readonly repository: RepositoryName;
  readonly tag: Tag;
  /** A manifest of the repository, live or deleted; or one of another repository, which is copied with all that it lists. */
  readonly from:
    | { readonly digest: Digest }
    | { readonly repository: RepositoryName; readonly reference: Tag | Digest };
  /** Whether a copy takes along what refers to it (signatures, SBOMs), also in cosign's tag form. */
  readonly referrers: boolean;
  /** Whether a deleted manifest may come back for it. */
  readonly mayRestore: boolean;
  /** What the tag must point at now, or that it must not be there. */
  readonly expected?: Digest | 'absent' | undefined;
  /** Do all of it, and take it back. */
  readonly dryRun: boolean;
  readonly origin: Origin;
}

export interface TagSet {
  readonly outcome: 'set';
  readonly digest: Digest;
  /** undefined: the tag is new. */
  readonly previousDigest: Digest | undefined;
  /** undefined: it pointed there already. */
  readonly action: TagHistoryAction | undefined;
  /** What came from the other repository; `bytes` are those that are new to this one. */
  readonly copied: { readonly manifests: number; readonly bytes: number };
  /** Manifests that came back. */
  readonly restored: readonly Digest[];
  /** Of what refers to the manifest in the other repository: how many were copied, and how many (at least) stayed there. */
  readonly referrers: { readonly copied: number; readonly left: number };
}

/** Nothing was written, for content is not whole. */
export type NotWhole =
  /** These blobs are in quarantine: they are healed by a push of the same content. */
  | { readonly outcome: 'damaged'; readonly digests: readonly Digest[] }
  /** These manifests went with it and are gone for good. */
  | { readonly outcome: 'incomplete'; readonly digests: readonly Digest[] };

export type SetTagOutcome =
  | TagSet
  | NotWhole
  | { readonly outcome: 'unknown'; readonly what: 'repository' | 'manifest' | 'source' }
  | { readonly outcome: 'restore-denied' }
  /** The tag is not where `expected` says. */
  | { readonly outcome: 'changed' }
  | { readonly outcome: 'too-many'; readonly limit: number }
  | NoRepository;

// ── removing many ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface RemovalFilter {
  readonly matching: string;
  /** Set before this, Unix seconds. */
  readonly pushedBefore?: number | undefined;
  /** Not pulled since this; one that was never pulled counts from when it was set. */
  readonly pulledBefore?: number | undefined;
}

export interface RemovedTag {
  readonly name: Tag;
  readonly digest: Digest;
}

export interface RemovedTags {
  readonly deleted: readonly RemovedTag[];
  /** What a rule keeps, with the sentence that says which. */
  readonly kept: readonly { readonly name: Tag; readonly reason: string }[];
  /** Goes on after this tag; undefined: that was all. */
  readonly next: string | undefined;
}

// ── the past ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TagPast {
  readonly cursor: number;
  readonly digest: Digest | undefined;
  readonly previousDigest: Digest | undefined;
  readonly action: TagHistoryAction;
  readonly actor: string;
  readonly at: number;
  /** What became of the manifest: live, or in the trash (for so many more seconds of uptime), or gone. */
  readonly state: 'live' | 'deleted' | 'gone';
  readonly restorableSeconds: number | undefined;
}

export interface DeletedManifest {
  readonly kind: 'manifest';
  readonly id: number;
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly tags: readonly Tag[];
  readonly size: number;
  readonly deletedAt: number;
  readonly deletedBy: string;
  /** Seconds of uptime; 0: the next collection takes it. */
  readonly restorableSeconds: number;
}

/** A tag that was removed while its manifest is there still. */
export interface DeletedTag {
  readonly kind: 'tag';
  readonly id: number;
  readonly repository: RepositoryName;
  readonly name: Tag;
  readonly digest: Digest;
  readonly deletedAt: number;
  readonly deletedBy: string;
}

export type Restored =
  | {
      readonly outcome: 'restored';
      readonly restored: readonly Digest[];
      /** Tags that point at it again, and those that point elsewhere by now. */
      readonly tags: readonly Tag[];
      readonly taken: readonly Tag[];
    }
  | NotWhole
  | { readonly outcome: 'unknown' }
  /** The tag is there. */
  | { readonly outcome: 'taken' };

/** What of tags goes beyond pulls and pushes. */
export interface TagManagement {
  /** undefined: the repository is unknown or not live. */
  details(options: ListTags): Promise<ListPart<TagDetails> | undefined>;
  find(repository: RepositoryName, tag: Tag): Promise<TagDetails | undefined>;
  set(input: SetTag): Promise<SetTagOutcome>;
  /** Removes tags that fit, in order of name after `after`: a bounded number. undefined: the repository is unknown. */
  removeMatching(options: {
    readonly repository: RepositoryName;
    readonly filter: RemovalFilter;
    readonly after?: string | undefined;
    /** Do all of it, and take it back. */
    readonly dryRun: boolean;
    readonly origin: Origin;
  }): Promise<RemovedTags | undefined>;
  /** A tag's past, newest first, also of one that is gone. */
  history(options: {
    readonly repository: RepositoryName;
    readonly tag: Tag;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<TagPast>>;
  /** False: there is no such tag. */
  deprecate(options: {
    readonly repository: RepositoryName;
    readonly tag: Tag;
    readonly deprecation: Deprecation | undefined;
    readonly origin: Origin;
  }): Promise<boolean>;
}

/** What of manifests goes beyond pulls and pushes. */
export interface ManifestManagement {
  /** Newest first. undefined: the repository is unknown or not live. */
  details(options: {
    readonly repository: RepositoryName;
    readonly before?: number | undefined;
    readonly limit: number;
    readonly tagged?: boolean | undefined;
    readonly kind?: ManifestKind | undefined;
  }): Promise<ListPart<ManifestDetails> | undefined>;
  findDetails(repository: RepositoryName, digest: Digest): Promise<ManifestDetails | undefined>;
  /** Up to `limit` manifests that nobody has looked into yet, beginning after `after`. */
  listUnread(options: { readonly after: number; readonly limit: number }): Promise<readonly UnreadManifest[]>;
  /** Notes what was found in them. */
  describe(found: readonly ManifestDescription[]): Promise<void>;
}

export interface UnreadManifest {
  readonly id: number;
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface ManifestDescription {
  readonly id: number;
  readonly platforms: readonly string[];
  readonly signs: Digest | undefined;
}

/** What was deleted and can come back; deleted repositories are a matter of their own. */
export interface DeletedStore {
  /** Newest first, beginning before `before`; in one repository or in all. The caller filters by what may be seen. */
  listManifests(options: DeletedList): Promise<Page<DeletedManifest>>;
  /** Like listManifests; `next` is a number to go on before. */
  listTags(options: DeletedList): Promise<ListPart<DeletedTag>>;
  findManifest(id: number): Promise<DeletedManifest | undefined>;
  findTag(id: number): Promise<DeletedTag | undefined>;
  /** Brings a manifest back with what it lists, and with those of its tags that are free. */
  restoreManifest(options: RestoreDeleted): Promise<Restored>;
  restoreTag(options: RestoreDeleted): Promise<Restored>;
  /** Gives up a deleted manifest: the next collection frees its bytes. False: there is none. */
  purgeManifest(id: number, origin: Origin): Promise<boolean>;
}

export interface DeletedList {
  readonly repository?: RepositoryName | undefined;
  readonly before?: number | undefined;
  readonly limit: number;
}

export interface RestoreDeleted {
  readonly id: number;
  readonly origin: Origin;
  readonly dryRun: boolean;
}
