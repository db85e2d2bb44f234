// The reads of content: repositories, manifests, tags, blobs and uploads, on a connection that cannot write. Statements are
// prepared once and run within one turn of the event loop, so no read transaction stays open to make the log grow.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Reference, Tag } from '../../oci/reference.ts';
import type { Location, Upload } from '../blob-store.ts';
import type {
  LinkedBlob,
  ManifestStat,
  Page,
  Referrer,
  Repository,
  RepositoryTotals,
  Signature,
  StoredManifest,
  Visibility,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { readDeprecation } from './deprecations.ts';

export const sql = {
  manifestByTag: `SELECT m.digest, m.media_type, m.bytes, coalesce(t.deprecation, r.deprecation) FROM repository r
    JOIN tag t ON t.repository_id = r.id AND t.name = ? JOIN manifest m ON m.id = t.manifest_id
    WHERE r.name = ? AND r.state <> 'deleted'`,
  manifestByDigest: `SELECT m.digest, m.media_type, m.bytes, r.deprecation FROM repository r
    JOIN manifest m ON m.repository_id = r.id AND m.digest = ? WHERE r.name = ? AND r.state <> 'deleted'`,
  manifestStatByTag: `SELECT m.digest, m.media_type, length(m.bytes), coalesce(t.deprecation, r.deprecation)
    FROM repository r
    JOIN tag t ON t.repository_id = r.id AND t.name = ? JOIN manifest m ON m.id = t.manifest_id
    WHERE r.name = ? AND r.state <> 'deleted'`,
  manifestStatByDigest: `SELECT m.digest, m.media_type, length(m.bytes), r.deprecation FROM repository r
    JOIN manifest m ON m.repository_id = r.id AND m.digest = ? WHERE r.name = ? AND r.state <> 'deleted'`,
  referrers: `SELECT m.id, m.digest, m.media_type, m.artifact_type, m.bytes FROM repository r
    JOIN manifest m ON m.repository_id = r.id AND m.subject = ? AND m.id > ?
    WHERE r.name = ? AND r.state <> 'deleted' ORDER BY m.id LIMIT ?`,
  referrersOfTypes: `SELECT m.id, m.digest, m.media_type, m.artifact_type, m.bytes FROM repository r
    JOIN manifest m ON m.repository_id = r.id AND m.subject = ? AND m.id > ?
    WHERE r.name = ? AND r.state <> 'deleted' AND m.artifact_type IN (SELECT value FROM json_each(?))
    ORDER BY m.id LIMIT ?`,
  repository: `SELECT name, description, visibility, state = 'live', manifests, deprecation FROM repository
    WHERE name = ? AND state <> 'deleted'`,
  catalog: `SELECT name, description, visibility, 1, manifests, NULL FROM repository
    WHERE name > ? AND state = 'live' AND manifests > 0 ORDER BY name LIMIT ?`,
  search: `SELECT name, description, visibility, 1, manifests, NULL FROM repository
    WHERE name > ? AND state = 'live' AND manifests > 0 AND (instr(name, ?) > 0 OR instr(lower(description), ?) > 0)
    ORDER BY name LIMIT ?`,
  catalogSize: `SELECT count(*) FROM repository WHERE name > '' AND state = 'live' AND manifests > 0`,
  instance: `SELECT value FROM instance WHERE key = 'id'`,
  // Where a restore has written none, the instance's.
  copy: `SELECT value FROM instance WHERE key IN ('copy', 'id') ORDER BY key LIMIT 1`,
  total: 'SELECT items, bytes FROM total WHERE kind = ?',
  liveRepository: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  tags: 'SELECT name FROM tag WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?',
  linkedBlob: `SELECT b.location, b.size, l.lease_ticks FROM repository r JOIN blob b ON b.digest = ?
    JOIN repository_blob l ON l.repository_id = r.id AND l.blob_id = b.id
    WHERE r.name = ? AND r.state <> 'deleted' AND b.damaged_at IS NULL`,
  linkingRepositories: `SELECT r.name FROM blob b JOIN repository_blob l ON l.blob_id = b.id
    JOIN repository r ON r.id = l.repository_id
    WHERE b.digest = ? AND b.damaged_at IS NULL AND r.state <> 'deleted' LIMIT ?`,
  dueUnlinks: `SELECT location FROM unlink_queue WHERE not_before_ticks <= ? ORDER BY not_before_ticks LIMIT ?`,
  upload: `SELECT u.id, u.store_state FROM upload u JOIN repository r ON r.id = u.repository_id
    WHERE u.id = ? AND u.principal = ? AND r.name = ? AND r.state <> 'deleted'`,
  signatures: `SELECT s.name, s.content FROM repository r
    JOIN signature s ON s.repository_id = r.id AND s.digest = ? WHERE r.name = ? AND r.state <> 'deleted' ORDER BY s.name`,
  uploadTouched: 'SELECT touched_ticks FROM upload WHERE id = ?',
} as const;

/** Each manifest is parsed for its annotations: a page of referrers ends early rather than read more than this in one go. */
const longestReferrersBytes = 4 * 1024 * 1024;

const plucked = [
  'instance',
  'copy',
  'catalogSize',
  'liveRepository',
  'tags',
  'linkingRepositories',
  'dueUnlinks',
  'uploadTouched',
] as const;

export type Reads = ReturnType<typeof makeReads>;

export function makeReads(db: Connection) {
  const statements = prepareAll(db, sql);
  for (const statement of Object.values(statements)) statement.raw();
  for (const key of plucked) statements[key].pluck();
  return {
    ...makeManifestReads(statements),
    ...makeRepositoryReads(statements),
    ...makeBlobReads(statements),
  };
}

type Statements = Readonly<Record<keyof typeof sql, Statement>>;

function makeManifestReads(statements: Statements) {
  return {
    findManifest(repository: RepositoryName, reference: Reference): StoredManifest | undefined {
      const row = (
        'tag' in reference
          ? statements.manifestByTag.get(reference.tag, repository)
          : statements.manifestByDigest.get(reference.digest, repository)
      ) as [Digest, string, Buffer, string | null] | undefined;
      if (row === undefined) return undefined;
      const found = { digest: row[0], mediaType: row[1], bytes: row[2] };
      return row[3] === null ? found : { ...found, deprecation: readDeprecation(row[3]) };
    },

    statManifest(repository: RepositoryName, reference: Reference): ManifestStat | undefined {
      const row = (
        'tag' in reference
          ? statements.manifestStatByTag.get(reference.tag, repository)
          : statements.manifestStatByDigest.get(reference.digest, repository)
      ) as [Digest, string, number, string | null] | undefined;
      if (row === undefined) return undefined;
      const found = { digest: row[0], mediaType: row[1], size: row[2] };
      return row[3] === null ? found : { ...found, deprecation: readDeprecation(row[3]) };
    },

    listReferrers(
      repository: RepositoryName,
      subject: Digest,
      options: { after?: number; limit: number; artifactTypes: readonly string[] },
    ): Page<Referrer> {
      const { after = 0, limit, artifactTypes } = options;
      const rows = (
        artifactTypes.length === 0
          ? statements.referrers.iterate(subject, after, repository, limit + 1)
          : statements.referrersOfTypes.iterate(
              subject,
              after,
              repository,
              JSON.stringify(artifactTypes),
              limit + 1,
            )
      ) as IterableIterator<[number, Digest, string, string | null, Buffer]>;
      const items: Referrer[] = [];
      let bytes = 0;
      for (const [cursor, digest, mediaType, artifactType, content] of rows) {
        bytes += content.length;
        const full = items.length === limit || (items.length > 0 && bytes > longestReferrersBytes);
        if (full) return { items, more: true };
        items.push({
          cursor,
          digest,
          mediaType,
          artifactType: artifactType ?? undefined,
          size: content.length,
          annotations: annotationsOf(content),
        });
      }
      return { items, more: false };
    },

    listTags(repository: RepositoryName, options: { after?: string; limit: number }): Page<Tag> | undefined {
      const id = statements.liveRepository.get(repository) as number | undefined;
      if (id === undefined) return undefined;
      return toPage(statements.tags.all(id, options.after ?? '', options.limit + 1) as Tag[], options.limit);
    },
  };
}

type RepositoryRow = [RepositoryName, string, Visibility, number, number, string | null];

const toRepository = ([
  name,
  description,
  visibility,
  live,
  manifests,
  deprecation,
]: RepositoryRow): Repository => ({
  name,
  description,
  visibility,
  live: live === 1,
  manifests,
  ...(deprecation === null ? {} : { deprecation: readDeprecation(deprecation) }),
});

function makeRepositoryReads(statements: Statements) {
  const total = (kind: string): [number, number] => statements.total.get(kind) as [number, number];
  return {
    findRepository(name: RepositoryName): Repository | undefined {
      const row = statements.repository.get(name) as RepositoryRow | undefined;
      return row && toRepository(row);
    },

    listRepositories(options: { after?: string; limit: number }): Page<Repository> {
      const rows = statements.catalog.all(options.after ?? '', options.limit + 1) as RepositoryRow[];
      return toPage(rows.map(toRepository), options.limit);
    },

    searchRepositories(options: { term: string; after?: string; limit: number }): Page<Repository> {
      const { after = '', limit } = options;
      const term = options.term.toLowerCase();
      const rows = statements.search.all(after, term, term, limit + 1) as RepositoryRow[];
      return toPage(rows.map(toRepository), limit);
    },

    instance: () => String(statements.instance.get()),
    copy: () => String(statements.copy.get()),

    totals(): RepositoryTotals {
      const [blobs, blobBytes] = total('blob');
      return {
        repositories: statements.catalogSize.get() as number,
        manifests: total('manifest')[0],
        tags: total('tag')[0],
        blobs,
        blobBytes,
        openUploads: total('upload')[0],
      };
    },
  };
}

function makeBlobReads(statements: Statements) {
  return {
    findBlobLink(repository: RepositoryName, digest: Digest): BlobLink | undefined {
      const row = statements.linkedBlob.get(digest, repository) as
        | [Location, number, number | null]
        | undefined;
      return row && { digest, location: row[0], size: row[1], leaseTicks: row[2] };
    },

    listLinking: (digest: Digest, limit: number) =>
      statements.linkingRepositories.all(digest, limit) as RepositoryName[],

    listDueUnlinks: (ticks: number, limit: number) => statements.dueUnlinks.all(ticks, limit) as Location[],

    findUpload(repository: RepositoryName, principal: string, id: string): Upload | undefined {
      const row = statements.upload.get(id, principal, repository) as [string, string] | undefined;
      return row && { id: row[0], state: row[1] };
    },

    listSignatures: (repository: RepositoryName, digest: Digest): Signature[] =>
      (statements.signatures.all(digest, repository) as [string, Buffer][]).map(([name, content]) => ({
        name,
        content,
      })),

    /** When a session was noted to be in use, in seconds of uptime; undefined when it is not open. */
    findUploadTouched: (id: string) => statements.uploadTouched.get(id) as number | undefined,
  };
}

/** A blob of a repository as the rows have it: `leaseTicks` is when its lease ends, null while a manifest references it. */
export interface BlobLink {
  readonly digest: Digest;
  readonly location: Location;
  readonly size: number;
  readonly leaseTicks: number | null;
}

/** `link` at `ticks`, in seconds of uptime. */
export function toLinkedBlob(link: BlobLink | undefined, ticks: number): LinkedBlob | undefined {
  if (link === undefined) return undefined;
  const { leaseTicks, ...blob } = link;
  return { ...blob, lease: leaseTicks === null ? 'referenced' : Math.max(0, leaseTicks - ticks) };
}

/** `rows` were asked for with one more than `limit`: that one tells whether there is more. */
export function toPage<Item>(rows: readonly Item[], limit: number): Page<Item> {
  return rows.length > limit ? { items: rows.slice(0, limit), more: true } : { items: rows, more: false };
}

/** The annotations of a manifest that was checked when it was pushed; entries that are no text are left out. */
function annotationsOf(bytes: Buffer): Readonly<Record<string, string>> | undefined {
  const { annotations } = JSON.parse(bytes.toString('utf8')) as { annotations?: unknown };
  if (typeof annotations !== 'object' || annotations === null) return undefined;
  const texts = Object.entries(annotations).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(texts);
}
