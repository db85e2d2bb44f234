// Copying manifests from one repository to another without moving a byte: rows, edges and links, in the transaction of the
// intention that asks for it. What a manifest lists comes before it, so that nothing ever points at what is not there.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Origin } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { type BlobRow, ManifestArrivals, type MissingRow } from './manifest-arrivals.ts';
import type { Now } from './now.ts';
import { Refusal } from './refusal.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';
import type { SummaryWrites } from './summary-writes.ts';
import type { TagWrites } from './tag-writes.ts';

export const sql = {
  contentOf: 'SELECT media_type AS mediaType, length(bytes) AS size FROM manifest WHERE id = ?',
  digestOf: 'SELECT digest FROM manifest WHERE id = ?',
  childrenOf: 'SELECT child_id FROM manifest_child WHERE parent_id = ?',
  blobsOf: `SELECT b.id, b.digest, b.size, b.damaged_at IS NOT NULL FROM manifest_blob e JOIN blob b ON b.id = e.blob_id
    WHERE e.manifest_id = ?`,
  missingOf: 'SELECT digest, expected FROM missing_reference WHERE manifest_id = ?',
  copyManifest: `INSERT INTO manifest (repository_id, digest, media_type, subject, artifact_type, image_bytes, pushed_at,
      pushed_by, lease_ticks, bytes)
    SELECT ?, digest, media_type, subject, artifact_type, image_bytes, ?, ?, ?, bytes FROM manifest WHERE id = ?`,
  copySignatures: `INSERT INTO signature (repository_id, digest, name, content, added_at, added_by)
    SELECT ?, digest, name, content, ?, ? FROM signature WHERE repository_id = ? AND digest = ? ON CONFLICT DO NOTHING`,
  countSignatures: 'SELECT count(*) FROM signature WHERE repository_id = ? AND digest = ?',
  referrersOf: 'SELECT id FROM manifest WHERE repository_id = ? AND subject = ? ORDER BY id LIMIT ?',
  tagTarget: 'SELECT manifest_id FROM tag WHERE repository_id = ? AND name = ?',
} as const;

/** The most manifests of one copy: it is one transaction, and everybody's writes wait for it. */
export const mostCopied = 2000;

/** What cosign and others hang on a digest by tags of this form. */
const attachments = ['sig', 'att', 'sbom'] as const;

/** One copy: from where, to where, and what was done so far. */
export interface Copying {
  readonly from: RepositoryRow;
  readonly to: RepositoryRow & { readonly name: RepositoryName };
  readonly source: RepositoryName;
  readonly origin: Origin;
  /** By digest: what the target has of it now. */
  readonly done: Map<Digest, number>;
  manifests: number;
  bytes: number;
}

const pluckedStatements = ['digestOf', 'childrenOf', 'countSignatures', 'referrersOf', 'tagTarget'] as const;

/** The steps of a copy over one connection. */
export class CopyWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #tags: TagWrites;
  readonly #summaries: SummaryWrites;
  readonly #arrivals: ManifestArrivals;

  constructor(
    db: Connection,
    shared: SharedWrites,
    { tags, summaries }: { readonly tags: TagWrites; readonly summaries: SummaryWrites },
  ) {
    this.#shared = shared;
    this.#tags = tags;
    this.#summaries = summaries;
    this.#arrivals = new ManifestArrivals(db, shared);
    this.#statements = prepareAll(db, sql);
    for (const key of pluckedStatements) this.#statements[key].pluck();
    for (const key of ['blobsOf', 'missingOf'] as const) this.#statements[key].raw();
  }

  /**
   * Copies a manifest with all that it lists; what the target has stays as it is. Answers its id in the target. Throws Refusal
   * for blobs in quarantine and for too many manifests, QuotaExceededError where it does not fit.
   */
  copy(now: Now, copying: Copying, sourceId: number): number {
    const digest = this.#statements.digestOf.get(sourceId) as Digest;
    const copied = copying.done.get(digest);
    if (copied !== undefined) return copied;
    if (copying.done.size >= mostCopied) throw new Refusal({ outcome: 'too-many', limit: mostCopied });
    const known = this.#arrivals.findManifest(copying.to.id, digest);
    if (known !== undefined) {
      this.#shared.raiseManifestLease(now, known);
      copying.done.set(digest, known);
      return known;
    }
    const children = (this.#statements.childrenOf.all(sourceId) as number[]).map((child) =>
      this.copy(now, copying, child),
    );
    const id = this.#insert(now, copying, sourceId, children);
    copying.done.set(digest, id);
    copying.manifests += 1;
    const about = { repository: copying.to.name, digest };
    const content = this.#statements.contentOf.get(id) as { mediaType: string; size: number };
    const detail = { from: `${copying.source}@${digest}`, ...content };
    this.#shared.events.addContent(now, 'push', copying.origin, { ...about, detail });
    return id;
  }

  /** Copies what refers to anything that was copied or was there already, and what refers to that. Answers how many. */
  copyReferrers(now: Now, copying: Copying): number {
    const before = copying.manifests;
    // What is copied here is looked at, too: a signature may have a timestamp of its own.
    for (const digest of copying.done.keys()) {
      const { referrersOf } = this.#statements;
      for (const id of referrersOf.all(copying.from.id, digest, mostCopied + 1) as number[])
        this.copy(now, copying, id);
      this.#copyAttachments(now, copying, digest);
      const { origin, from, to } = copying;
      this.#statements.copySignatures.run(to.id, now.at, origin.actor, from.id, digest);
    }
    return copying.manifests - before;
  }

  /** How much refers to a manifest of the source, counted up to a hundred. */
  countReferrers(copying: Copying, digest: Digest): number {
    const { referrersOf, tagTarget, countSignatures } = this.#statements;
    const repository = copying.from.id;
    const referrers = referrersOf.all(repository, digest, 100).length;
    const attached = attachmentTags(digest).filter((tag) => tagTarget.get(repository, tag) !== undefined);
    return referrers + attached.length + (countSignatures.get(repository, digest) as number);
  }

  // A tag that the target has holds what was attached there.
  #copyAttachments(now: Now, copying: Copying, digest: Digest): void {
    const { tagTarget, digestOf } = this.#statements;
    for (const tag of attachmentTags(digest)) {
      const source = tagTarget.get(copying.from.id, tag) as number | undefined;
      if (source === undefined || tagTarget.get(copying.to.id, tag) !== undefined) continue;
      const id = this.copy(now, copying, source);
      const { to: repository, origin } = copying;
      const manifest = { id, digest: digestOf.get(source) as Digest };
      this.#tags.set(now, { repository, tag, origin, action: 'copy' }, manifest);
    }
  }

  #insert(now: Now, copying: Copying, sourceId: number, children: readonly number[]): number {
    const { to, origin } = copying;
    const blobs = this.#blobsOf(sourceId);
    copying.bytes += this.#arrivals.linkBlobs(now, to, blobs);
    const { lastInsertRowid } = this.#statements.copyManifest.run(
      to.id,
      now.at,
      origin.actor,
      this.#shared.fullLease(now),
      sourceId,
    );
    const id = Number(lastInsertRowid);
    for (const [blobId] of blobs) this.#shared.addBlobEdge(to.id, id, blobId);
    for (const child of children) this.#shared.addChildEdge(id, child);
    this.#arrivals.settleMissing(to.id, id, this.#statements.missingOf.all(sourceId) as MissingRow[]);
    this.#shared.countManifest(to.id);
    this.#summaries.copy(id, sourceId);
    // Here may be what is missing there.
    this.#summaries.measure(id);
    const digest = this.#statements.digestOf.get(id) as Digest;
    if (this.#shared.settleChild(to.id, digest, id)) this.#summaries.measureAbove(id);
    return id;
  }

  #blobsOf(sourceId: number): readonly BlobRow[] {
    return this.#statements.blobsOf.all(sourceId) as BlobRow[];
  }
}

function attachmentTags(digest: Digest): readonly Tag[] {
  return attachments.map((kind) => `${digest.replace(':', '-')}.${kind}` as Tag);
}
