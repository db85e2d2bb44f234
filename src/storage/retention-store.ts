// The contract of retention: its rules, what it needs to know of a repository, and the removal of what it found, which is judged
// again row by row inside the transaction.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Operation } from './care-store.ts';
import type { Origin, Page } from './terms.ts';

/** A tag as retention sees it. */
export interface TagFacts {
  readonly name: Tag;
  /** The manifest it points at. */
  readonly manifest: number;
  /** Grows with each change of the tag, and is greater than that of every tag that was changed before. */
  readonly version: number;
  /** Unix seconds of that change. */
  readonly setAt: number;
}

export interface ManifestFacts {
  readonly id: number;
  readonly digest: Digest;
  readonly subject: Digest | undefined;
  /** Manifests of the repository that it lists. */
  readonly children: readonly number[];
  readonly pushedAt: number;
  /** Until then no rule removes it. */
  readonly leaseTicks: number;
  readonly pulls: number;
  /** undefined: nobody has pulled it. */
  readonly pulledAt: number | undefined;
  /** 0: not since uptime is noted beside the date. */
  readonly pulledTicks: number;
}

/** A tag that goes, if it is still what it was. */
export interface TagToRemove {
  readonly name: Tag;
  readonly version: number;
}

/** A manifest that goes with all its tags, if all of that is still as it was and nothing lists it. */
export interface ManifestToRemove {
  readonly id: number;
  readonly digest: Digest;
  readonly tags: readonly TagToRemove[];
  readonly leaseTicks: number;
  readonly pulls: number;
  /** Digests that must be gone: it belongs to them. */
  readonly after: readonly Digest[];
  /** Of its children, those that stay: they get a lease, as they lose a parent. */
  readonly leaving: readonly number[];
}

/** What goes together or not at all: an index before what only it lists; or tags alone, whose manifest stays. */
export type Removal =
  | { readonly kind: 'manifests'; readonly manifests: readonly ManifestToRemove[] }
  | {
      readonly kind: 'tags';
      readonly manifest: number;
      readonly leaseTicks: number;
      readonly pulls: number;
      readonly tags: readonly TagToRemove[];
    };

/** `meanwhile`: it was changed, pulled, listed or protected since, and stays. */
export type RemovalOutcome = 'removed' | 'meanwhile';

export interface RetentionStore {
  /** Puts the rules of a namespace; undefined: none. False: there is no such namespace. */
  setRules(options: {
    readonly namespace: string;
    readonly rules: object | undefined;
    readonly origin: Origin;
  }): Promise<boolean>;
  /** undefined: no such namespace. */
  findRules(namespace: string): Promise<{ readonly rules: object | undefined } | undefined>;
  /** Namespaces with rules, by name, beginning after `after`. */
  listNamespaces(options: {
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<Page<string>>;
  /** Live repositories of a namespace, by name. */
  listRepositories(options: {
    readonly namespace: string;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<Page<RepositoryName>>;
  /** Now, by both clocks, and the last change of any tag so far: take it before what follows is read. */
  moment(): Promise<{ readonly at: number; readonly ticks: number; readonly mark: number }>;
  /** Tags by name; empty where there is no such repository. */
  listTags(
    repository: RepositoryName,
    options: { readonly after?: Tag | undefined; readonly limit: number },
  ): Promise<Page<TagFacts>>;
  /** Manifests by digest. */
  listManifests(
    repository: RepositoryName,
    options: { readonly after?: Digest | undefined; readonly limit: number },
  ): Promise<Page<ManifestFacts>>;
  /** The blobs of manifests, once for each of them that has it. `elsewhere`: another repository links it. */
  listBlobs(
    manifests: readonly number[],
  ): Promise<readonly { readonly id: number; readonly size: number; readonly elsewhere: boolean }[]>;
  /** Of blobs with so many holders known, those that no further manifest of the repository has. */
  filterHeldBy(
    repository: RepositoryName,
    blobs: readonly { readonly id: number; readonly holders: number }[],
  ): Promise<readonly number[]>;
  /**
   * Removes what is still as it was found, to the trash as a delete does, in order. `changed`: somebody else removed a tag of the
   * repository since `mark`, so that rules which count may now name what they did not: nothing was removed. `mark` is for the
   * next call.
   */
  remove(options: {
    readonly repository: RepositoryName;
    readonly mark: number;
    readonly removals: readonly Removal[];
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'done'; readonly results: readonly RemovalOutcome[]; readonly mark: number }
    | { readonly outcome: 'changed' }
    | { readonly outcome: 'unknown' }
  >;
  /** Runs for a namespace, newest first, beginning before `before`. */
  listRuns(options: {
    readonly namespace: string;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<Operation>>;
}
