// The steps that several intentions have in common: repositories that come to be, links with their leases, references that
// arrive late, events. They run inside the transaction of the intention that calls them.
import type { Digest } from '../../oci/digest.ts';
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import type { Location } from '../blob-store.ts';
import type { NoRepository, Visibility } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { EventWrites } from './event-writes.ts';
import { IndexSizes } from './index-sizes.ts';
import { nextNumber } from './next-number.ts';
import type { KeepTimes, Now } from './now.ts';
import { ProtectionChecks } from './protection-checks.ts';
import { QuotaWrites } from './quota-writes.ts';

export const sql = {
  repositoryByName: `SELECT id, namespace_id, state FROM repository WHERE name = ? AND state <> 'deleted'`,
  keptFor: `SELECT r.name FROM repository_alias a JOIN repository r ON r.id = a.repository_id
    WHERE a.name = ? AND r.state = 'live'`,
  namespaceByName: 'SELECT id, removed_at, default_visibility FROM namespace WHERE name = ?',
  defaultVisibility: `SELECT value FROM instance WHERE key = 'default_visibility'`,
  addNamespace: `INSERT INTO namespace (name, kind, created_at) VALUES (?, 'unowned', ?)`,
  addRepository: `INSERT INTO repository (id, namespace_id, name, state, visibility, created_at)
    VALUES (${nextNumber('repository')}, ?, ?, 'uploading', ?, ?)`,
  blobByDigest: 'SELECT id, location, size, damaged_at FROM blob WHERE digest = ?',
  linkedBlob: `SELECT b.id, b.size, b.damaged_at
    FROM blob b JOIN repository_blob l ON l.repository_id = ? AND l.blob_id = b.id WHERE b.digest = ?`,
  addLink: `INSERT INTO repository_blob (repository_id, blob_id, lease_ticks) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
  // max() with NULL is NULL: a referenced link stays referenced.
  raiseLease: `UPDATE repository_blob SET lease_ticks = max(lease_ticks, ?) WHERE repository_id = ? AND blob_id = ?`,
  markReferenced: `UPDATE repository_blob SET lease_ticks = NULL
    WHERE repository_id = ? AND blob_id = ? AND lease_ticks IS NOT NULL`,
  dropLink: 'DELETE FROM repository_blob WHERE repository_id = ? AND blob_id = ?',
  countInNamespace: `INSERT INTO namespace_blob (namespace_id, blob_id, links) VALUES (?, ?, 1)
    ON CONFLICT DO UPDATE SET links = links + 1 RETURNING links`,
  uncountInNamespace: `UPDATE namespace_blob SET links = links - 1
    WHERE namespace_id = ? AND blob_id = ? AND links > 1`,
  dropFromNamespace: 'DELETE FROM namespace_blob WHERE namespace_id = ? AND blob_id = ?',
  addUsedBytes: 'UPDATE namespace SET used_bytes = used_bytes + ? WHERE id = ?',
  missingBlobs: 'SELECT manifest_id FROM missing_reference WHERE repository_id = ? AND digest = ?',
  missingChildren: `SELECT manifest_id FROM missing_reference
    WHERE repository_id = ? AND digest = ? AND expected = 'child'`,
  forgetPlatforms: 'UPDATE manifest_summary SET platforms = NULL WHERE manifest_id = ?',
  dropMissing: 'DELETE FROM missing_reference WHERE repository_id = ? AND digest = ? AND manifest_id = ?',
  addBlobEdge: `INSERT INTO manifest_blob (manifest_id, blob_id, repository_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
  addMissing: `INSERT INTO missing_reference (repository_id, digest, manifest_id, expected) VALUES (?, ?, ?, ?)
    ON CONFLICT DO NOTHING`,
  countManifest: `UPDATE repository SET manifests = manifests + 1, state = 'live' WHERE id = ?`,
  addChildEdge: 'INSERT INTO manifest_child (parent_id, child_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
  // A row with the manifest's bytes is not written anew for nothing.
  raiseManifestLease: 'UPDATE manifest SET lease_ticks = ? WHERE id = ? AND lease_ticks < ?',
  queueUnlink: `INSERT INTO unlink_queue (location, not_before_ticks) VALUES (?, ?) ON CONFLICT DO NOTHING`,
} as const;

export interface RepositoryRow {
  readonly id: number;
  readonly namespaceId: number;
}

/** A repository that is there: `live`, or with blobs and uploads alone. */
export interface FoundRepository extends RepositoryRow {
  readonly live: boolean;
}

export interface LinkedRow {
  readonly blobId: number;
  readonly size: number;
  readonly damaged: boolean;
}

/** The common steps over one connection. */
export class SharedWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #keep: KeepTimes;
  readonly #sizes: IndexSizes;
  readonly events: EventWrites;
  readonly quotas: QuotaWrites;
  readonly protection: ProtectionChecks;

  constructor(db: Connection, keep: KeepTimes) {
    this.#keep = keep;
    this.#sizes = new IndexSizes(db);
    this.events = new EventWrites(db);
    this.quotas = new QuotaWrites(db);
    this.protection = new ProtectionChecks(db);
    this.#statements = prepareAll(db, sql);
    for (const key of ['repositoryByName', 'namespaceByName', 'blobByDigest', 'linkedBlob'] as const)
      this.#statements[key].raw();
    for (const key of [
      'keptFor',
      'defaultVisibility',
      'countInNamespace',
      'missingBlobs',
      'missingChildren',
    ] as const) {
      this.#statements[key].pluck();
    }
  }

  findRepository(name: RepositoryName): FoundRepository | undefined {
    const row = this.#statements.repositoryByName.get(name) as [number, number, string] | undefined;
    return row && { id: row[0], namespaceId: row[1], live: row[2] === 'live' };
  }

  /**
   * The repository of that name, made in state `uploading` (and its namespace unowned) where there is none; or why there is
   * none. With `create` false it has to be a live one. Throws QuotaExceededError where one more does not fit.
   */
  ensureRepository(now: Now, name: RepositoryName, create = true): RepositoryRow | NoRepository {
    const found = this.findRepository(name);
    if (found !== undefined && (found.live || create)) return found;
    if (this.findKeeper(name) !== undefined) return { outcome: 'name-kept' };
    if (!create) return { outcome: 'not-created' };
    const namespace = this.ensureNamespace(now, name);
    if (namespace === undefined) return { outcome: 'namespace-removed' };
    this.quotas.admitRepository(now, namespace.id, name);
    const visibility = namespace.defaultVisibility ?? this.#statements.defaultVisibility.get() ?? 'private';
    const added = this.#statements.addRepository.run(namespace.id, name, visibility, now.at);
    return { id: Number(added.lastInsertRowid), namespaceId: namespace.id };
  }

  /** The repository that is served under a name which was its own once. */
  findKeeper(name: RepositoryName): RepositoryName | undefined {
    return this.#statements.keptFor.get(name) as RepositoryName | undefined;
  }

  /** The namespace of a repository's name, made without an owner where there is none; undefined where it was removed. */
  ensureNamespace(
    now: Now,
    name: RepositoryName,
  ): { readonly id: number; readonly defaultVisibility: Visibility | null } | undefined {
    const namespace = namespaceOf(name);
    const row = this.#statements.namespaceByName.get(namespace) as
      | [number, number | null, Visibility | null]
      | undefined;
    if (row === undefined) {
      const id = Number(this.#statements.addNamespace.run(namespace, now.at).lastInsertRowid);
      return { id, defaultVisibility: null };
    }
    const [id, removedAt, defaultVisibility] = row;
    return removedAt === null ? { id, defaultVisibility } : undefined;
  }

  /** A blob that the repository links, damaged or not. */
  findLinked(repositoryId: number, digest: Digest): LinkedRow | undefined {
    const row = this.#statements.linkedBlob.get(repositoryId, digest) as
      | [number, number, number | null]
      | undefined;
    return row && { blobId: row[0], size: row[1], damaged: row[2] !== null };
  }

  /** Blob by digest over all repositories, damaged or not. */
  findBlob(digest: Digest) {
    const row = this.#statements.blobByDigest.get(digest) as
      | [number, Location, number, number | null]
      | undefined;
    return row && { id: row[0], location: row[1], size: row[2], damaged: row[3] !== null };
  }

  /**
   * Links a blob with a full lease, or gives the link that is there one. True when the link is new. Throws QuotaExceededError
   * where the blob is new to the namespace and does not fit.
   */
  linkBlob(
    now: Now,
    repository: RepositoryRow,
    blob: { readonly id: number; readonly size: number; readonly digest: Digest },
  ): boolean {
    const lease = now.ticks + this.#keep.leaseSeconds;
    if (this.#statements.addLink.run(repository.id, blob.id, lease).changes === 0) {
      this.#statements.raiseLease.run(lease, repository.id, blob.id);
      return false;
    }
    const links = this.#statements.countInNamespace.get(repository.namespaceId, blob.id) as number;
    if (links === 1) {
      this.quotas.admitBytes(now, repository.namespaceId, blob.size);
      this.#statements.addUsedBytes.run(blob.size, repository.namespaceId);
    }
    this.#settleBlob(repository, blob.digest, blob.id);
    return true;
  }

  /** Ends a link that no manifest references. */
  dropLink(repository: RepositoryRow, blob: { readonly id: number; readonly size: number }): void {
    this.#statements.dropLink.run(repository.id, blob.id);
    if (this.#statements.uncountInNamespace.run(repository.namespaceId, blob.id).changes > 0) return;
    this.#statements.dropFromNamespace.run(repository.namespaceId, blob.id);
    this.#statements.addUsedBytes.run(-blob.size, repository.namespaceId);
  }

  /** The tick until which a promise that is made now holds. */
  fullLease(now: Now): number {
    return now.ticks + this.#keep.leaseSeconds;
  }

  /** Full lease for a link; one that is referenced needs none. False when there is no link. */
  raiseLease(now: Now, repositoryId: number, blobId: number): boolean {
    return (
      this.#statements.raiseLease.run(now.ticks + this.#keep.leaseSeconds, repositoryId, blobId).changes > 0
    );
  }

  /** Protects a manifest that just got a tag, or lost one or a parent, for clients that saw it while it had one. */
  raiseManifestLease(now: Now, manifestId: number): void {
    const lease = now.ticks + this.#keep.leaseSeconds;
    this.#statements.raiseManifestLease.run(lease, manifestId, lease);
  }

  addBlobEdge(repositoryId: number, manifestId: number, blobId: number): void {
    this.#statements.addBlobEdge.run(manifestId, blobId, repositoryId);
    this.#statements.markReferenced.run(repositoryId, blobId);
  }

  addChildEdge(parentId: number, childId: number): void {
    this.#statements.addChildEdge.run(parentId, childId);
  }

  /** A manifest references what is not there: the arrival of the content makes it an edge. */
  noteMissing(repositoryId: number, digest: Digest, manifestId: number, expected: 'blob' | 'child'): void {
    this.#statements.addMissing.run(repositoryId, digest, manifestId, expected);
  }

  /** A manifest came to a repository, which is live from then on. */
  countManifest(repositoryId: number): void {
    this.#statements.countManifest.run(repositoryId);
  }

  /** Gives indexes that listed a manifest before it was there their edge. False: there are none. */
  settleChild(repositoryId: number, digest: Digest, childId: number): boolean {
    const waiting = this.#statements.missingChildren.all(repositoryId, digest) as number[];
    for (const parentId of waiting) {
      this.#statements.addChildEdge.run(parentId, childId);
      this.#statements.dropMissing.run(repositoryId, digest, parentId);
    }
    return waiting.length > 0;
  }

  queueUnlink(now: Now, location: Location): void {
    this.#statements.queueUnlink.run(location, now.ticks + this.#keep.unlinkDelaySeconds);
  }

  /** Gives what referred to a blob before it was there its edge. */
  #settleBlob(repository: RepositoryRow, digest: Digest, blobId: number): void {
    const waiting = this.#statements.missingBlobs.all(repository.id, digest) as number[];
    for (const manifestId of waiting) {
      this.#statements.addBlobEdge.run(manifestId, blobId, repository.id);
      // It may be the config, which tells the platform.
      this.#statements.forgetPlatforms.run(manifestId);
      this.#statements.dropMissing.run(repository.id, digest, manifestId);
      this.#sizes.measureAbove(manifestId);
    }
    if (waiting.length > 0) this.#statements.markReferenced.run(repository.id, blobId);
  }
}
