// The intentions that change manifests and tags. Each runs in one transaction of the writer.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type {
  ManifestToStore,
  Origin,
  Pulls,
  PullsBy,
  PutManifest,
  PutManifestOutcome,
  RemoveManifestOutcome,
  SparseMode,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { KeepTimes, Now } from './now.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';
import type { SummaryWrites } from './summary-writes.ts';
import type { TagWrites } from './tag-writes.ts';

export const sql = {
  manifestByDigest:
    'SELECT id, media_type, length(bytes) FROM manifest WHERE repository_id = ? AND digest = ?',
  addManifest: `INSERT INTO manifest (repository_id, digest, media_type, subject, artifact_type, image_bytes, pushed_at,
    pushed_by, lease_ticks, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  retypeManifest: 'UPDATE manifest SET media_type = ?, artifact_type = ?, image_bytes = ? WHERE id = ?',
  countRemoved: 'UPDATE repository SET manifests = manifests - 1 WHERE id = ?',
  parentOf: `SELECT p.digest FROM manifest_child c JOIN manifest p ON p.id = c.parent_id WHERE c.child_id = ? LIMIT 1`,
  childrenOf: `SELECT m.id, m.digest FROM manifest_child c JOIN manifest m ON m.id = c.child_id WHERE c.parent_id = ?`,
  dropChildEdges: 'DELETE FROM manifest_child WHERE parent_id = ?',
  // People name what was deleted by its number, and may do so later: none is given twice.
  nextTrashId: `INSERT INTO instance (key, value)
    SELECT 'last_trash_id', CAST(coalesce((SELECT max(id) FROM trash), 0) + 1 AS TEXT) WHERE true
    ON CONFLICT (key) DO UPDATE SET
      value = CAST(max(CAST(value AS INTEGER) + 1, CAST(excluded.value AS INTEGER)) AS TEXT)
    RETURNING CAST(value AS INTEGER)`,
  addTrash: `INSERT INTO trash (id, repository_id, digest, media_type, subject, artifact_type, image_bytes, tags, children,
      missing, size, platforms, signs, pulls, pulled_at, pushed_at, pushed_by, deleted_at, deleted_by, until_ticks, bytes)
    SELECT ?, m.repository_id, m.digest, m.media_type, m.subject, m.artifact_type, m.image_bytes, ?, ?,
      (SELECT json_group_array(json_array(x.digest, x.expected)) FROM missing_reference x WHERE x.manifest_id = m.id),
      s.size, s.platforms, s.signs, coalesce(p.pulls, 0), coalesce(p.last_at, 0), m.pushed_at, m.pushed_by, ?, ?, ?, m.bytes
    FROM manifest m JOIN manifest_summary s ON s.manifest_id = m.id LEFT JOIN pull_count p ON p.manifest_id = m.id
    WHERE m.id = ?`,
  addTrashBlobs: `INSERT INTO trash_blob (trash_id, blob_id) SELECT ?, blob_id FROM manifest_blob WHERE manifest_id = ?`,
  blobsOf: 'SELECT blob_id FROM manifest_blob WHERE manifest_id = ?',
  dropBlobEdges: 'DELETE FROM manifest_blob WHERE manifest_id = ?',
  releaseLink: `UPDATE repository_blob SET lease_ticks = ? WHERE repository_id = ? AND blob_id = ?
    AND NOT EXISTS (SELECT 1 FROM manifest_blob e
      WHERE e.repository_id = repository_blob.repository_id AND e.blob_id = repository_blob.blob_id)`,
  dropManifest: 'DELETE FROM manifest WHERE id = ?',
  notePush: 'UPDATE repository SET pushes = pushes + 1, last_pushed_at = ? WHERE id = ?',
  repositoryByOldName: 'SELECT repository_id FROM repository_alias WHERE name = ?',
  addRepositoryPulls: `UPDATE repository SET pulls = pulls + ?, last_pulled_at = max(last_pulled_at, ?) WHERE id = ?`,
  addPulls: `INSERT INTO pull_count (manifest_id, pulls, last_at, last_ticks) SELECT m.id, ?, ?, ?
    FROM manifest m WHERE m.repository_id = ? AND m.digest = ?
    ON CONFLICT DO UPDATE SET pulls = pulls + excluded.pulls, last_at = max(last_at, excluded.last_at),
      last_ticks = excluded.last_ticks`,
} as const;

interface Edges {
  readonly blobs: readonly number[];
  readonly children: readonly number[];
  readonly missing: readonly { readonly digest: Digest; readonly expected: 'blob' | 'child' }[];
}

/** The intentions on manifests and tags over one connection. */
export class ManifestWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #tags: TagWrites;
  readonly #summaries: SummaryWrites;
  readonly #keep: KeepTimes;

  constructor(
    db: Connection,
    shared: SharedWrites,
    parts: { readonly tags: TagWrites; readonly summaries: SummaryWrites },
    keep: KeepTimes,
  ) {
    this.#shared = shared;
    this.#tags = parts.tags;
    this.#summaries = parts.summaries;
    this.#keep = keep;
    this.#statements = prepareAll(db, sql);
    for (const key of ['manifestByDigest', 'childrenOf'] as const) this.#statements[key].raw();
    for (const key of ['parentOf', 'blobsOf', 'nextTrashId', 'repositoryByOldName'] as const)
      this.#statements[key].pluck();
  }

  putManifest(now: Now, input: PutManifest): PutManifestOutcome {
    const { manifest } = input;
    const found = this.#shared.findRepository(input.repository);
    const stored = found && this.#findManifest(found.id, manifest.digest);
    let repository: RepositoryRow | undefined = found;
    let id = stored?.id;
    if (input.create === false && found?.live !== true) {
      const missing = this.#shared.ensureRepository(now, input.repository, false);
      if ('outcome' in missing) return missing;
    }
    if (repository === undefined || id === undefined) {
      const { edges, refused } = this.#resolveEdges(found, manifest, input.sparse);
      if (refused.length > 0) return { outcome: 'missing', missing: [...new Set(refused)] };
      const ensured = this.#shared.ensureRepository(now, input.repository, input.create);
      if ('outcome' in ensured) return ensured;
      repository = ensured;
      id = this.#insertManifest(now, repository, input, edges);
    } else if (stored?.mediaType !== manifest.mediaType) {
      // The same bytes may be pushed under another Content-Type; the newest one is what is served.
      const { mediaType, artifactType = null, imageBytes } = manifest;
      this.#statements.retypeManifest.run(mediaType, artifactType, imageBytes, id);
      this.#summaries.describe(id, manifest);
    }
    this.#statements.notePush.run(now.at, repository.id);
    const [onlyTag, ...furtherTags] = input.tags;
    const content = { mediaType: manifest.mediaType, size: manifest.bytes.length };
    this.#shared.events.addContent(now, 'push', input.origin, {
      repository: input.repository,
      reference: furtherTags.length === 0 ? onlyTag : undefined,
      digest: manifest.digest,
      detail: content,
    });
    if (stored !== undefined) this.#shared.raiseManifestLease(now, id);
    const home = { id: repository.id, name: input.repository };
    for (const tag of input.tags) {
      const change = { repository: home, tag, origin: input.origin };
      this.#tags.set(now, change, { id, digest: manifest.digest, content });
    }
    return { outcome: 'stored', created: stored === undefined };
  }

  removeManifest(
    now: Now,
    input: { repository: RepositoryName; digest: Digest; origin: Origin },
  ): RemoveManifestOutcome {
    const { repository: name, digest, origin } = input;
    const repository = this.#shared.findRepository(name);
    const manifest = repository && this.#findManifest(repository.id, digest);
    if (repository === undefined || manifest === undefined) return { outcome: 'unknown' };
    const { id } = manifest;
    const parent = this.#statements.parentOf.get(id) as Digest | undefined;
    if (parent !== undefined) return { outcome: 'listed', parent };

    const home = { id: repository.id, name };
    this.discard(now, home, { id, digest }, { origin, raises: () => true });
    return { outcome: 'removed' };
  }

  /**
   * Moves a manifest that nothing lists to the trash, with its tags. `raises` tells which of its children get a lease: those that
   * do not go with it. Throws TagProtectedError where a rule keeps one of the tags.
   */
  discard(
    now: Now,
    repository: { readonly id: number; readonly name: RepositoryName },
    { id, digest }: { readonly id: number; readonly digest: Digest },
    { origin, raises }: { readonly origin: Origin; readonly raises: (child: number) => boolean },
  ): void {
    const { name } = repository;
    const { mediaType, size } = this.#findManifest(repository.id, digest) ?? {};
    const tags = this.#tags.listOf(id);
    this.#tags.admitManifestRemoval(name, { digest, tags }, origin);
    const children = this.#statements.childrenOf.all(id) as [number, Digest][];
    this.#moveToTrash(
      now,
      id,
      tags,
      children.map(([, child]) => child),
      origin,
    );
    for (const tag of tags) this.#tags.remove(now, { repository, tag, origin });
    for (const [childId] of children) if (raises(childId)) this.#shared.raiseManifestLease(now, childId);
    this.#dropEdges(now, repository.id, id);
    this.#statements.dropManifest.run(id);
    this.#statements.countRemoved.run(repository.id);
    this.#shared.events.addContent(now, 'delete', origin, {
      repository: name,
      digest,
      detail: { mediaType, size },
    });
  }

  removeTag(now: Now, input: { repository: RepositoryName; tag: Tag; origin: Origin }): boolean {
    const { repository: name, tag, origin } = input;
    const repository = this.#shared.findRepository(name);
    if (repository === undefined) return false;
    return this.#tags.remove(now, { repository: { id: repository.id, name }, tag, origin });
  }

  recordPulls(now: Now, pulls: readonly Pulls[]): void {
    for (const pull of pulls) {
      const id = this.#findPulled(pull.repository);
      if (id === undefined) continue;
      const at = Math.floor(pull.lastAt);
      this.#statements.addPulls.run(pull.pulls, at, now.ticks, id, pull.digest);
      this.#statements.addRepositoryPulls.run(pull.pulls, at, id);
      if (pull.by !== undefined) this.#tellOfPulls(now, id, pull, pull.by);
    }
  }

  #tellOfPulls(now: Now, repositoryId: number, { repository, digest }: Pulls, by: readonly PullsBy[]): void {
    const manifest = this.#findManifest(repositoryId, digest);
    const known = manifest && { mediaType: manifest.mediaType, size: manifest.size };
    for (const { origin, tag, count } of by) {
      const about = { repository, reference: tag, digest, detail: { ...known, count } };
      this.#shared.events.addContent(now, 'pull', origin, about);
    }
  }

  /** By its name, or by the one that it had when the pull was counted. */
  #findPulled(name: RepositoryName): number | undefined {
    const found = this.#shared.findRepository(name);
    return found?.id ?? (this.#statements.repositoryByOldName.get(name) as number | undefined);
  }

  #findManifest(repositoryId: number, digest: Digest) {
    const row = this.#statements.manifestByDigest.get(repositoryId, digest) as
      | [number, string, number]
      | undefined;
    return row && { id: row[0], mediaType: row[1], size: row[2] };
  }

  /** What each reference is in the repository. A damaged blob counts as absent, but an edge may hold it until it is healed. */
  #resolveEdges(repository: RepositoryRow | undefined, manifest: ManifestToStore, sparse: SparseMode) {
    const blobs: number[] = [];
    const children: number[] = [];
    const missing: { digest: Digest; expected: 'blob' | 'child' }[] = [];
    const refused: Digest[] = [];
    const resolve = (digest: Digest, expected: 'blob' | 'child'): void => {
      const maySpare = sparse === 'all' || (sparse === 'index' && expected === 'child');
      const linked = repository && this.#shared.findLinked(repository.id, digest);
      if (linked !== undefined && (maySpare || !linked.damaged)) blobs.push(linked.blobId);
      else if (maySpare) missing.push({ digest, expected });
      else refused.push(digest);
    };
    for (const digest of manifest.blobs) resolve(digest, 'blob');
    for (const digest of manifest.foreignBlobs ?? []) {
      const linked = repository && this.#shared.findLinked(repository.id, digest);
      if (linked !== undefined) blobs.push(linked.blobId);
    }
    for (const digest of manifest.children) {
      const child = repository && this.#findManifest(repository.id, digest);
      if (child !== undefined) children.push(child.id);
      else resolve(digest, 'child');
    }
    return { edges: { blobs, children, missing } satisfies Edges, refused };
  }

  #insertManifest(now: Now, repository: RepositoryRow, input: PutManifest, edges: Edges): number {
    const { manifest, origin } = input;
    const { lastInsertRowid } = this.#statements.addManifest.run(
      repository.id,
      manifest.digest,
      manifest.mediaType,
      manifest.subject ?? null,
      manifest.artifactType ?? null,
      manifest.imageBytes,
      now.at,
      origin.actor,
      now.ticks + this.#keep.leaseSeconds,
      manifest.bytes,
    );
    const id = Number(lastInsertRowid);
    for (const blobId of edges.blobs) this.#shared.addBlobEdge(repository.id, id, blobId);
    for (const childId of edges.children) this.#shared.addChildEdge(id, childId);
    for (const { digest, expected } of edges.missing) {
      this.#shared.noteMissing(repository.id, digest, id, expected);
    }
    this.#shared.countManifest(repository.id);
    this.#summaries.describe(id, manifest);
    if (this.#shared.settleChild(repository.id, manifest.digest, id)) this.#summaries.measureAbove(id);
    return id;
  }

  #moveToTrash(now: Now, id: number, tags: readonly Tag[], children: readonly Digest[], origin: Origin) {
    const trashId = this.#statements.nextTrashId.get() as number;
    this.#statements.addTrash.run(
      trashId,
      JSON.stringify(tags),
      JSON.stringify(children),
      now.at,
      origin.actor,
      now.ticks + this.#keep.undeleteSeconds,
      id,
    );
    this.#statements.addTrashBlobs.run(trashId, id);
  }

  /** Takes the edges away; each link that was referenced by this manifest alone gets a lease. */
  #dropEdges(now: Now, repositoryId: number, id: number): void {
    this.#statements.dropChildEdges.run(id);
    const blobIds = this.#statements.blobsOf.all(id) as number[];
    this.#statements.dropBlobEdges.run(id);
    for (const blobId of blobIds) {
      this.#statements.releaseLink.run(now.ticks + this.#keep.leaseSeconds, repositoryId, blobId);
    }
  }
}
