// The contract of what people do with repositories as a whole: make, describe, list, move, delete and restore them. Part of the
// store of repositories; like there, each method is one intention, and one that writes is one durable transaction with its event.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Deprecation } from './tag-store.ts';
import type { IdPage, Origin, Page, Visibility } from './terms.ts';

/** Where to read more about a repository. */
export interface RepositoryLink {
  readonly title: string;
  readonly url: string;
}

/** A live repository as a list shows it. */
export interface RepositoryRecord {
  /** Never given twice. */
  readonly id: number;
  readonly name: RepositoryName;
  readonly description: string;
  readonly visibility: Visibility;
  readonly labels: Readonly<Record<string, string>>;
  readonly manifests: number;
  readonly tags: number;
  /** Of the blobs that no other repository has, each once; and of those that others have too. */
  readonly ownBytes: number;
  readonly sharedBytes: number;
  readonly pulls: number;
  readonly pushes: number;
  readonly lastPulledAt: number | undefined;
  readonly lastPushedAt: number | undefined;
  readonly createdAt: number;
  /** That it should not be used any more, and what instead. */
  readonly deprecation: Deprecation | undefined;
}

export interface RepositoryDetails extends RepositoryRecord {
  /** Markdown. */
  readonly readme: string;
  readonly links: readonly RepositoryLink[];
}

/** What changes of a repository; what is left out stays. `labels` and `links` as a whole. */
export interface RepositoryChanges {
  readonly visibility?: Visibility;
  readonly description?: string;
  readonly readme?: string;
  readonly links?: readonly RepositoryLink[];
  readonly labels?: Readonly<Record<string, string>>;
  /** null: none any more. */
  readonly deprecation?: Deprecation | null;
}

/** Where live repositories stand next to each other in order of name. `from` and `to` are inclusive bounds of names. */
export type RepositoryRange =
  | { readonly kind: 'all' }
  | { readonly kind: 'namespace'; readonly namespace: string; readonly from: string; readonly to: string }
  | {
      readonly kind: 'visibility';
      readonly visibility: Visibility;
      readonly from: string;
      readonly to: string;
    };

export type RecentBy = 'pushed' | 'pulled';

/** Where a digest is in a repository. */
export interface DigestPlace {
  /** When the manifest was pushed, or the first one that has the blob; undefined: a blob that no manifest has. */
  readonly since: number | undefined;
  /** Tags that lead to it, directly or through what they point at; `since` then. */
  readonly tags: readonly { readonly name: Tag; readonly since: number }[];
  /** There are more of them than are told. */
  readonly moreTags: boolean;
}

/** Why a repository cannot have a name. */
export type NameTaken =
  /** By a repository, or by one that pushes just begin. */
  | { readonly outcome: 'exists' }
  /** It is the old name of another repository, which is served under it. */
  | { readonly outcome: 'name-kept'; readonly by: RepositoryName }
  | { readonly outcome: 'namespace-removed' };

export interface RepositoryAlias {
  readonly id: number;
  readonly name: RepositoryName;
  readonly createdAt: number;
  /** Seconds of uptime for which it is served still. */
  readonly servedSeconds: number;
}

/** A deleted repository that can be restored. */
export interface DeletedRepository {
  readonly kind: 'repository';
  readonly id: number;
  readonly name: RepositoryName;
  readonly visibility: Visibility;
  readonly manifests: number;
  readonly tags: number;
  /** What purging it frees at least: blobs that no other repository has. */
  readonly ownBytes: number;
  readonly deletedAt: number;
  readonly deletedBy: string;
  /** Seconds of uptime for which it can be restored still. */
  readonly restorableSeconds: number;
  /** Its namespace was removed, and has to come back first; or it is restored under a name in another one. */
  readonly namespaceRemoved: boolean;
}

export interface ManagedRepositoryStore {
  /** A live repository with all it says of itself; undefined where there is none. */
  describe(name: RepositoryName): Promise<RepositoryDetails | undefined>;
  /**
   * Makes a live repository without a manifest: it has a list of tags, and is not in the catalog. `visibility` undefined: as its
   * namespace, else the registry says. Throws QuotaExceededError.
   */
  add(options: {
    readonly name: RepositoryName;
    readonly visibility?: Visibility | undefined;
    readonly description?: string | undefined;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added' } | NameTaken>;
  /** Live repositories of a range in order of name or backwards, beginning after `after`. Fewer than `limit`: that was the last. */
  walk(options: {
    readonly range: RepositoryRange;
    readonly after?: string | undefined;
    readonly descending?: boolean | undefined;
    readonly limit: number;
  }): Promise<readonly RepositoryRecord[]>;
  /**
   * Live repositories, last used first and among equals the newer first, those never used at the end; with `ascending` all of that
   * the other way round.
   */
  walkRecent(options: {
    readonly by: RecentBy;
    readonly ascending?: boolean | undefined;
    /** The time (0: never) and the id of the one before. */
    readonly before?: { readonly at: number; readonly id: number } | undefined;
    readonly limit: number;
  }): Promise<readonly RepositoryRecord[]>;
  /** Live repositories with a label, in order of name. */
  listWithLabel(options: {
    readonly key: string;
    readonly value: string;
    readonly limit: number;
  }): Promise<readonly RepositoryRecord[]>;
  /** Live repositories that have a manifest or a blob, in no order. May read up to twice as many rows as `limit`. */
  listHolding(options: {
    readonly digest: Digest;
    readonly limit: number;
  }): Promise<readonly RepositoryRecord[]>;
  /** Of these live repositories, those that have the manifest or blob. */
  filterHolding(digest: Digest, ids: readonly number[]): Promise<ReadonlySet<number>>;
  /** Where the digest is in a repository; undefined where it is not there. Looks at a bounded number of manifests. */
  findPlace(id: number, digest: Digest): Promise<DigestPlace | undefined>;

  /**
   * Gives a live repository another name. Tags, history, what was deleted of it, labels and grants on exactly its name go along;
   * open uploads into it end; the old name is kept for it, and served, for the time that the store was opened with. Moving
   * back ends that. Throws QuotaExceededError for the quota of the new namespace.
   */
  move(options: {
    readonly from: RepositoryName;
    readonly to: RepositoryName;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'moved' } | { readonly outcome: 'unknown' } | NameTaken>;
  /** Old names that are served, oldest first; undefined: no such live repository. */
  listAliases(name: RepositoryName, page: IdPage): Promise<Page<RepositoryAlias> | undefined>;
  /** The old name is free from then on. False: the repository has no such one. */
  removeAlias(options: {
    readonly name: RepositoryName;
    readonly id: number;
    readonly origin: Origin;
  }): Promise<boolean>;
  /**
   * At once invisible, restorable for the grace time; its name, and old names, are free. False: no such live repository.
   * Throws TagProtectedError where a rule keeps one of its tags.
   */
  remove(options: { readonly name: RepositoryName; readonly origin: Origin }): Promise<boolean>;
  /** Those that can be restored, in falling order of id, beginning after `before`. */
  listDeleted(options: {
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<DeletedRepository>>;
  /** undefined: there is none, or its time is over. */
  findDeleted(id: number): Promise<DeletedRepository | undefined>;
  /** Brings one back as it was, under its own name or another; a dry run only says so. Throws QuotaExceededError. */
  restore(options: {
    readonly id: number;
    readonly name?: RepositoryName | undefined;
    readonly dryRun?: boolean | undefined;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'restored'; readonly name: RepositoryName }
    | { readonly outcome: 'unknown' }
    | NameTaken
  >;
  /** Ends the time in which one could be restored: the next collection frees its bytes. False: unknown. */
  purge(options: { readonly id: number; readonly origin: Origin }): Promise<boolean>;
}
