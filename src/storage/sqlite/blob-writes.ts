// The intentions that change blobs, their links and upload sessions. Each runs in one transaction of the writer.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Location, Upload } from '../blob-store.ts';
import type {
  BeginUploadOutcome,
  Creating,
  FinishUpload,
  NoRepository,
  Origin,
  UnlinkBlobOutcome,
  UploadLimits,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import { Refusal } from './refusal.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';

export const sql = {
  addBlob: 'INSERT INTO blob (digest, location, size, verified_at) VALUES (?, ?, ?, ?)',
  healBlob: 'UPDATE blob SET location = ?, size = ?, damaged_at = NULL, verified_at = ? WHERE id = ?',
  markDamaged: 'UPDATE blob SET damaged_at = ? WHERE location = ? AND damaged_at IS NULL',
  referencingManifest: `SELECT m.digest FROM manifest_blob e JOIN manifest m ON m.id = e.manifest_id
    WHERE e.repository_id = ? AND e.blob_id = ? LIMIT 1`,
  dropUnlink: 'DELETE FROM unlink_queue WHERE location = ?',
  addUpload: `INSERT INTO upload (id, repository_id, principal, store_state, created_ticks, touched_ticks)
    VALUES (?, ?, ?, ?, ?, ?)`,
  touchUpload: 'UPDATE upload SET touched_ticks = ? WHERE id = ? AND touched_ticks < ?',
  closeUpload: 'DELETE FROM upload WHERE id = ?',
  closeUploadOf: 'DELETE FROM upload WHERE id = ? AND repository_id = ?',
  uploadsOfRepository: 'SELECT count(*) FROM upload WHERE repository_id = ?',
  uploadsOfPrincipal: 'SELECT count(*) FROM upload WHERE principal = ?',
  uploadsInAll: `SELECT items FROM total WHERE kind = 'upload'`,
  idlestOfRepository: `SELECT id, store_state FROM upload WHERE repository_id = ? AND touched_ticks <= ?
    ORDER BY touched_ticks LIMIT 1`,
  idlestOfPrincipal: `SELECT id, store_state FROM upload WHERE principal = ? AND touched_ticks <= ?
    ORDER BY touched_ticks LIMIT 1`,
  idlestInAll: 'SELECT id, store_state FROM upload WHERE touched_ticks <= ? ORDER BY touched_ticks LIMIT 1',
  idleUploads: 'SELECT id, store_state FROM upload WHERE touched_ticks <= ? ORDER BY touched_ticks LIMIT ?',
  oldUploads: 'SELECT id, store_state FROM upload WHERE created_ticks <= ? ORDER BY created_ticks LIMIT ?',
  emptyRepositories: `SELECT r.id, r.namespace_id FROM repository r WHERE r.state = 'uploading' AND r.id > 0
    AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.repository_id = r.id)
    AND NOT EXISTS (SELECT 1 FROM repository_blob l WHERE l.repository_id = r.id) ORDER BY r.id LIMIT ?`,
  dropRepository: 'DELETE FROM repository WHERE id = ?',
  // One that somebody was given rights in stays.
  dropUnownedNamespace: `DELETE FROM namespace WHERE id = ? AND kind = 'unowned'
    AND NOT EXISTS (SELECT 1 FROM repository r WHERE r.namespace_id = namespace.id)
    AND NOT EXISTS (SELECT 1 FROM access_grant g WHERE g.namespace_id = namespace.id)
    AND NOT EXISTS (SELECT 1 FROM subject s WHERE s.namespace_id = namespace.id)
    AND NOT EXISTS (SELECT 1 FROM webhook w WHERE w.namespace_id = namespace.id AND w.removed_at IS NULL)`,
} as const;

type UploadRow = [string, string];

const toUpload = ([id, state]: UploadRow): Upload => ({ id, state });

const pluckedStatements = [
  'uploadsOfRepository',
  'uploadsOfPrincipal',
  'uploadsInAll',
  'referencingManifest',
] as const;
const rawStatements = [
  'idlestOfRepository',
  'idlestOfPrincipal',
  'idlestInAll',
  'idleUploads',
  'oldUploads',
  'emptyRepositories',
] as const;

/** The intentions on blobs and upload sessions over one connection. */
export class BlobWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    for (const key of pluckedStatements) this.#statements[key].pluck();
    for (const key of rawStatements) this.#statements[key].raw();
  }

  extendLease(now: Now, input: { repository: RepositoryName; digest: Digest }): boolean {
    const repository = this.#shared.findRepository(input.repository);
    const linked = repository && this.#shared.findLinked(repository.id, input.digest);
    if (repository === undefined || linked === undefined || linked.damaged) return false;
    return this.#shared.raiseLease(now, repository.id, linked.blobId);
  }

  mountBlob(
    now: Now,
    input: { from: RepositoryName; to: RepositoryName; digest: Digest; origin: Origin } & Creating,
  ): boolean {
    const source = this.#shared.findRepository(input.from);
    const linked = source && this.#shared.findLinked(source.id, input.digest);
    if (linked === undefined || linked.damaged) return false;
    const target = this.#shared.ensureRepository(now, input.to, input.create);
    if ('outcome' in target) return false;
    const blob = { id: linked.blobId, size: linked.size, digest: input.digest };
    if (this.#shared.linkBlob(now, target, blob)) {
      this.#shared.events.addContent(now, 'mount', input.origin, {
        repository: input.to,
        digest: input.digest,
        detail: { size: linked.size },
      });
    }
    return true;
  }

  unlinkBlob(
    now: Now,
    input: { repository: RepositoryName; digest: Digest; origin: Origin },
  ): UnlinkBlobOutcome {
    const repository = this.#shared.findRepository(input.repository);
    const linked = repository && this.#shared.findLinked(repository.id, input.digest);
    if (repository === undefined || linked === undefined || linked.damaged) return { outcome: 'unknown' };
    const manifest = this.#statements.referencingManifest.get(repository.id, linked.blobId) as
      | Digest
      | undefined;
    if (manifest !== undefined) return { outcome: 'referenced', manifest };
    this.#shared.dropLink(repository, { id: linked.blobId, size: linked.size });
    this.#shared.events.addContent(now, 'unlink', input.origin, {
      repository: input.repository,
      digest: input.digest,
      detail: { size: linked.size },
    });
    return { outcome: 'removed' };
  }

  markDamaged(now: Now, location: Location): boolean {
    return this.#statements.markDamaged.run(now.at, location).changes > 0;
  }

  dropUnlinks(_now: Now, locations: readonly Location[]): void {
    for (const location of locations) this.#statements.dropUnlink.run(location);
  }

  beginUpload(
    now: Now,
    input: {
      repository: RepositoryName;
      principal: string;
      upload: Upload;
      limits: UploadLimits;
    } & Creating,
  ): BeginUploadOutcome {
    const { limits, principal, upload } = input;
    const repository = this.#shared.ensureRepository(now, input.repository, input.create);
    if ('outcome' in repository) return repository;
    const idleSince = now.ticks - limits.idleSeconds;
    const ended = [
      ...this.#makeRoom({
        limit: limits.perRepository,
        outcome: { outcome: 'too-many', limit: 'perRepository' },
        count: () => this.#statements.uploadsOfRepository.get(repository.id),
        findIdlest: () => this.#statements.idlestOfRepository.get(repository.id, idleSince),
      }),
      ...this.#makeRoom({
        limit: limits.perPrincipal,
        outcome: { outcome: 'too-many', limit: 'perPrincipal' },
        count: () => this.#statements.uploadsOfPrincipal.get(principal),
        findIdlest: () => this.#statements.idlestOfPrincipal.get(principal, idleSince),
      }),
      ...this.#makeRoom({
        limit: limits.total,
        outcome: { outcome: 'too-many', limit: 'total' },
        count: () => this.#statements.uploadsInAll.get(),
        findIdlest: () => this.#statements.idlestInAll.get(idleSince),
      }),
    ];
    this.#statements.addUpload.run(upload.id, repository.id, principal, upload.state, now.ticks, now.ticks);
    return { outcome: 'begun', ended };
  }

  touchUpload(now: Now, input: { id: string; grainSeconds: number }): void {
    this.#statements.touchUpload.run(now.ticks, input.id, now.ticks - input.grainSeconds);
  }

  finishUpload(now: Now, input: FinishUpload): boolean {
    const repository = this.#shared.findRepository(input.repository);
    const open = repository && this.#statements.closeUploadOf.run(input.upload.id, repository.id).changes > 0;
    if (repository === undefined || !open) {
      // Unless it is the very location that an earlier finish of this session linked.
      if (this.#shared.findBlob(input.digest)?.location !== input.location)
        this.#shared.queueUnlink(now, input.location);
      return false;
    }
    this.#linkContent(now, repository, input);
    return true;
  }

  linkBlob(
    now: Now,
    input: Omit<FinishUpload, 'upload'> & Creating,
  ): { readonly outcome: 'linked' } | NoRepository {
    const repository = this.#shared.ensureRepository(now, input.repository, input.create);
    if ('outcome' in repository) {
      this.#shared.queueUnlink(now, input.location);
      return repository;
    }
    this.#linkContent(now, repository, input);
    return { outcome: 'linked' };
  }

  closeUpload(_now: Now, id: string): boolean {
    return this.#statements.closeUpload.run(id).changes > 0;
  }

  expireUploads(
    now: Now,
    input: { idleSeconds: number; longestSeconds: number; limit: number },
  ): readonly Upload[] {
    const idle = this.#statements.idleUploads.all(now.ticks - input.idleSeconds, input.limit) as UploadRow[];
    for (const [id] of idle) this.#statements.closeUpload.run(id);
    const room = input.limit - idle.length;
    const old = this.#statements.oldUploads.all(now.ticks - input.longestSeconds, room) as UploadRow[];
    for (const [id] of old) this.#statements.closeUpload.run(id);
    this.#dropEmptyRepositories(input.limit);
    return [...idle, ...old].map(toUpload);
  }

  /** Stores where the content of a digest is: a healthy copy stays, a damaged one is replaced; the loser is queued. */
  #keepOneCopy(now: Now, input: Omit<FinishUpload, 'upload'>): { id: number; size: number } {
    const blob = this.#shared.findBlob(input.digest);
    if (blob === undefined) {
      this.#shared.quotas.admitStored(now, input.size);
      const added = this.#statements.addBlob.run(input.digest, input.location, input.size, now.at);
      return { id: Number(added.lastInsertRowid), size: input.size };
    }
    if (!blob.damaged) {
      if (blob.location !== input.location) this.#shared.queueUnlink(now, input.location);
      return blob;
    }
    this.#statements.healBlob.run(input.location, input.size, now.at, blob.id);
    this.#shared.queueUnlink(now, blob.location);
    return { id: blob.id, size: input.size };
  }

  #linkContent(now: Now, repository: RepositoryRow, input: Omit<FinishUpload, 'upload'>): void {
    const blob = this.#keepOneCopy(now, input);
    this.#shared.linkBlob(now, repository, { ...blob, digest: input.digest });
  }

  /** Ends the longest-idle sessions of a scope until one more fits. Throws Refusal when none is idle enough. */
  #makeRoom(scope: {
    readonly limit: number;
    readonly outcome: BeginUploadOutcome;
    readonly count: () => unknown;
    readonly findIdlest: () => unknown;
  }): readonly Upload[] {
    const ended: Upload[] = [];
    for (let open = Number(scope.count()); open >= scope.limit; open -= 1) {
      const idlest = scope.findIdlest() as UploadRow | undefined;
      if (idlest === undefined) throw new Refusal(scope.outcome);
      this.#statements.closeUpload.run(idlest[0]);
      ended.push(toUpload(idlest));
    }
    return ended;
  }

  #dropEmptyRepositories(limit: number): void {
    for (const [id, namespaceId] of this.#statements.emptyRepositories.all(limit) as [number, number][]) {
      this.#statements.dropRepository.run(id);
      this.#statements.dropUnownedNamespace.run(namespaceId);
    }
  }
}
