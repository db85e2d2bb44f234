// Deleted manifests that come back, and those that are given up. A manifest comes back whole or not at all: with a link to each of
// its blobs, with what it lists, in the transaction of the intention that asks for it.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Origin } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { type BlobRow, ManifestArrivals, type MissingRow } from './manifest-arrivals.ts';
import type { Now } from './now.ts';
import { Refusal } from './refusal.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';
import type { SummaryWrites } from './summary-writes.ts';

export const sql = {
  newest: 'SELECT id FROM trash WHERE repository_id = ? AND digest = ? ORDER BY id DESC LIMIT 1',
  row: 'SELECT digest, children, missing, media_type, length(bytes) FROM trash WHERE id = ?',
  blobsOf: `SELECT b.id, b.digest, b.size, b.damaged_at IS NOT NULL FROM trash_blob e JOIN blob b ON b.id = e.blob_id
    WHERE e.trash_id = ?`,
  addManifest: `INSERT INTO manifest (repository_id, digest, media_type, subject, artifact_type, image_bytes, pushed_at,
      pushed_by, lease_ticks, bytes)
    SELECT repository_id, digest, media_type, subject, artifact_type, image_bytes, pushed_at, pushed_by, ?, bytes
    FROM trash WHERE id = ?`,
  addPulls: `INSERT INTO pull_count (manifest_id, pulls, last_at) SELECT ?, pulls, pulled_at FROM trash
    WHERE id = ? AND pulls > 0`,
  dropAll: 'DELETE FROM trash WHERE repository_id = ? AND digest = ?',
  drop: 'DELETE FROM trash WHERE id = ?',
} as const;

export interface TrashHome extends RepositoryRow {
  readonly name: RepositoryName;
}

/** Restoring and giving up over one connection. */
export class TrashWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #summaries: SummaryWrites;
  readonly #arrivals: ManifestArrivals;

  constructor(db: Connection, shared: SharedWrites, summaries: SummaryWrites) {
    this.#shared = shared;
    this.#summaries = summaries;
    this.#arrivals = new ManifestArrivals(db, shared);
    this.#statements = prepareAll(db, sql);
    this.#statements.newest.pluck();
    for (const key of ['row', 'blobsOf'] as const) this.#statements[key].raw();
  }

  /** The deleted manifest of that digest, the newest where it was deleted more than once. */
  find(repositoryId: number, digest: Digest): number | undefined {
    return this.#statements.newest.get(repositoryId, digest) as number | undefined;
  }

  /**
   * Brings a deleted manifest back with what it lists, without tags. Digests of all that came back go to `restored`. Answers
   * its id. Throws Refusal where a blob is in quarantine or what it lists is gone, QuotaExceededError where it does not fit.
   */
  restore(now: Now, home: TrashHome, trashId: number, origin: Origin, restored: Digest[]): number {
    const row = this.#statements.row.get(trashId) as [Digest, string, string, string, number];
    const [digest, children, missing, mediaType, size] = row;
    const live = this.#arrivals.findManifest(home.id, digest);
    if (live !== undefined) {
      // It was pushed again meanwhile, and is whole by itself.
      this.#shared.raiseManifestLease(now, live);
      this.#statements.dropAll.run(home.id, digest);
      return live;
    }
    const childIds = this.#restoreChildren(now, home, { digest, children }, origin, restored);
    const blobs = this.#statements.blobsOf.all(trashId) as BlobRow[];
    this.#arrivals.linkBlobs(now, home, blobs);
    const lease = this.#shared.fullLease(now);
    const id = Number(this.#statements.addManifest.run(lease, trashId).lastInsertRowid);
    for (const [blobId] of blobs) this.#shared.addBlobEdge(home.id, id, blobId);
    for (const childId of childIds) this.#shared.addChildEdge(id, childId);
    this.#arrivals.settleMissing(home.id, id, JSON.parse(missing) as MissingRow[]);
    this.#statements.addPulls.run(id, trashId);
    this.#shared.countManifest(home.id);
    this.#summaries.restore(id, trashId);
    this.#summaries.measure(id);
    if (this.#shared.settleChild(home.id, digest, id)) this.#summaries.measureAbove(id);
    // Only now: what hangs on a digest goes when it is neither there nor can come back.
    this.#statements.dropAll.run(home.id, digest);
    const detail = { mediaType, size };
    this.#shared.events.addContent(now, 'restore', origin, { repository: home.name, digest, detail });
    restored.push(digest);
    return id;
  }

  /** Gives a deleted manifest up: its blobs are for the next collection. */
  purge(trashId: number): void {
    this.#statements.drop.run(trashId);
  }

  #restoreChildren(
    now: Now,
    home: TrashHome,
    index: { readonly digest: Digest; readonly children: string },
    origin: Origin,
    restored: Digest[],
  ): readonly number[] {
    const gone: Digest[] = [];
    const ids: number[] = [];
    for (const child of JSON.parse(index.children) as Digest[]) {
      const live = this.#arrivals.findManifest(home.id, child);
      const deleted = live === undefined ? this.find(home.id, child) : undefined;
      if (live !== undefined) ids.push(live);
      else if (deleted !== undefined) ids.push(this.restore(now, home, deleted, origin, restored));
      else gone.push(child);
    }
    if (gone.length > 0) throw new Refusal({ outcome: 'incomplete', digests: gone });
    return ids;
  }
}
