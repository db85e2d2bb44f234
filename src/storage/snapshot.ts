// The contract of database snapshots: consistent copies of the metadata in a file of their own, which a backup keeps, a
// verification reads and a restore turns into the database of a new folder. MetadataStore.snapshot makes them.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Location } from './blob-store.ts';
import type { Page } from './metadata-store.ts';

/** What a snapshot says of itself. */
export interface SnapshotFacts {
  /** Of the registry that it was taken from. */
  readonly instance: string;
  /** The number of its last migration, and the version of the program that applied it. */
  readonly schema: number;
  readonly schemaBy: string;
  readonly repositories: number;
  readonly manifests: number;
  readonly tags: number;
  readonly blobs: number;
  readonly blobBytes: number;
}

export interface SnapshotBlob {
  readonly digest: Digest;
  readonly location: Location;
  readonly size: number;
  /** Known to be damaged when the snapshot was taken: there are no good bytes to keep. */
  readonly damaged: boolean;
}

/** A repository that links a blob, and tags that lead to it there, through an index too. */
export interface BlobHolder {
  readonly repository: RepositoryName;
  readonly tags: readonly Tag[];
}

/** A snapshot held open for reading. Whoever opens it closes it. */
export interface Snapshot {
  facts(): SnapshotFacts;
  /** In bytewise order of digest, beginning after `after`. */
  listBlobs(page: { readonly after: string; readonly limit: number }): Page<SnapshotBlob>;
  /** Repositories that link a blob, at most `limit`, each with at most `limit` tags. */
  listHolders(digest: Digest, limit: number): readonly BlobHolder[];
  close(): void;
}

/** The database of a new folder while a restore fills in where its blobs are. Nothing is in place before `finish`. */
export interface RestoringDatabase {
  listBlobs(page: { readonly after: string; readonly limit: number }): Page<SnapshotBlob>;
  /** Notes where blobs are now, and of which there are no good bytes: those are unknown until they are pushed again. */
  settle(
    placed: readonly { readonly digest: Digest; readonly location: Location }[],
    damaged: readonly Digest[],
  ): void;
  /**
   * Forgets open uploads and queued unlinks, whose bytes stayed behind, tells this copy of the registry from the one that was
   * backed up, and puts the database in place, durable.
   */
  finish(): void;
  /** Removes what was made of the database. */
  abandon(): void;
}

export interface Snapshots {
  /** Opens a snapshot. Throws SchemaMismatchError for one of a newer program or of another kind, DamagedDatabaseError. */
  open(path: string): Snapshot;
  /** Checks the whole structure in a thread of its own; resolves with what is wrong, empty for a sound one. */
  check(path: string): Promise<readonly string[]>;
  /**
   * Begins to make a snapshot the database of `folder`, which has none. The folder counts as belonging to that registry at
   * once, so that no server takes it for a new one before `finish`. Throws like open.
   */
  restore(path: string, folder: string): RestoringDatabase;
}

const page = 1000;

/** Every blob of a snapshot, in order of digest. */
export function* listAllBlobs(snapshot: Pick<Snapshot, 'listBlobs'>): Iterable<SnapshotBlob> {
  let after = '';
  for (;;) {
    const { items, more } = snapshot.listBlobs({ after, limit: page });
    yield* items;
    const last = items.at(-1);
    if (!more || last === undefined) return;
    after = last.digest;
  }
}
