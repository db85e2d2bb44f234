// A tag's past, and what was deleted and can come back, as it is read.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type {
  DeletedList,
  DeletedManifest,
  DeletedTag,
  ListPart,
  Page,
  TagHistoryAction,
  TagPast,
} from '../metadata-store.ts';
import { type Connection, prepareAll } from './connection.ts';
import { toPage } from './reads.ts';

const deletedManifest = `SELECT t.id, r.name, t.digest, t.media_type, t.tags, t.size, t.deleted_at, t.deleted_by, t.until_ticks
  FROM trash t JOIN repository r ON r.id = t.repository_id`;
// The past is that of the tag alone: what it pointed at before, and whether it is gone since.
const removedTag = `SELECT h.id, r.name, h.name, h.at, h.actor,
    (SELECT p.digest FROM tag_history p WHERE p.repository_id = h.repository_id AND p.name = h.name AND p.id < h.id
      ORDER BY p.id DESC LIMIT 1),
    NOT EXISTS (SELECT 1 FROM tag_history n WHERE n.repository_id = h.repository_id AND n.name = h.name AND n.id > h.id),
    r.id
  FROM tag_history h JOIN repository r ON r.id = h.repository_id`;

export const sql = {
  repositoryId: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted'`,
  past: `SELECT id, digest, action, at, actor FROM tag_history WHERE repository_id = ? AND name = ? AND id < ?
    ORDER BY id DESC LIMIT ?`,
  isLive: 'SELECT 1 FROM manifest WHERE repository_id = ? AND digest = ?',
  until: 'SELECT max(until_ticks) FROM trash WHERE repository_id = ? AND digest = ?',
  manifests: `${deletedManifest} WHERE t.id < ? AND r.state <> 'deleted' ORDER BY t.id DESC LIMIT ?`,
  manifestsIn: `${deletedManifest} WHERE t.repository_id = ? AND t.id < ? AND r.state <> 'deleted' ORDER BY t.id DESC LIMIT ?`,
  manifest: `${deletedManifest} WHERE t.id = ? AND r.state <> 'deleted'`,
  tags: `${removedTag} WHERE h.digest IS NULL AND h.id < ? AND r.state <> 'deleted' ORDER BY h.id DESC LIMIT ?`,
  tagsIn: `${removedTag} WHERE h.repository_id = ? AND h.digest IS NULL AND h.id < ? AND r.state <> 'deleted'
    ORDER BY h.id DESC LIMIT ?`,
  tag: `${removedTag} WHERE h.id = ? AND h.digest IS NULL AND r.state <> 'deleted'`,
} as const;

type ManifestRow = [number, RepositoryName, Digest, string, string, number, number, string, number];
type TagRow = [number, RepositoryName, Tag, number, string, Digest | null, number, number];
type PastRow = [number, Digest | null, TagHistoryAction, number, string];

const newest = Number.MAX_SAFE_INTEGER;

/** `ticks` is the uptime of now. */
export function makeDeletedReads(db: Connection, ticks: () => number) {
  const statements = prepareAll(db, sql);
  for (const key of ['past', 'manifests', 'manifestsIn', 'manifest', 'tags', 'tagsIn', 'tag'] as const)
    statements[key].raw();
  for (const key of ['repositoryId', 'isLive', 'until'] as const) statements[key].pluck();
  const findRepository = (name: RepositoryName) => statements.repositoryId.get(name) as number | undefined;

  const fateOf = (repositoryId: number, digest: Digest | undefined) => {
    if (digest === undefined) return { state: 'gone', restorableSeconds: undefined } as const;
    if (statements.isLive.get(repositoryId, digest) !== undefined)
      return { state: 'live', restorableSeconds: undefined } as const;
    const until = statements.until.get(repositoryId, digest) as number | null;
    if (until === null) return { state: 'gone', restorableSeconds: undefined } as const;
    return { state: 'deleted', restorableSeconds: Math.max(0, until - ticks()) } as const;
  };

  const toManifest = (row: ManifestRow): DeletedManifest => ({
    kind: 'manifest',
    id: row[0],
    repository: row[1],
    digest: row[2],
    mediaType: row[3],
    tags: JSON.parse(row[4]) as Tag[],
    size: row[5],
    deletedAt: row[6],
    deletedBy: row[7],
    restorableSeconds: Math.max(0, row[8] - ticks()),
  });

  /** undefined for a tag that is there again, and for one that comes back with its manifest, or never. */
  const toTag = (row: TagRow): DeletedTag | undefined => {
    const [id, repository, name, deletedAt, deletedBy, digest, isLast, repositoryId] = row;
    const comesBack =
      digest !== null && isLast === 1 && statements.isLive.get(repositoryId, digest) !== undefined;
    return comesBack ? { kind: 'tag', id, repository, name, digest, deletedAt, deletedBy } : undefined;
  };

  return {
    history(options: {
      repository: RepositoryName;
      tag: Tag;
      before?: number | undefined;
      limit: number;
    }): Page<TagPast> {
      const { repository, tag, before = newest, limit } = options;
      const id = findRepository(repository);
      if (id === undefined) return { items: [], more: false };
      // One more: the row before the last tells what that one replaced.
      const rows = statements.past.all(id, tag, before, limit + 1) as PastRow[];
      const items = rows.map(([cursor, digest, action, at, actor], index): TagPast => {
        const previousDigest = rows[index + 1]?.[1] ?? undefined;
        const shown = { cursor, digest: digest ?? undefined, previousDigest, action, actor, at };
        return { ...shown, ...fateOf(id, digest ?? previousDigest) };
      });
      return toPage(items, limit);
    },

    listManifests({ repository, before = newest, limit }: DeletedList): Page<DeletedManifest> {
      const id = repository === undefined ? undefined : findRepository(repository);
      if (repository !== undefined && id === undefined) return { items: [], more: false };
      const rows = (
        id === undefined
          ? statements.manifests.all(before, limit + 1)
          : statements.manifestsIn.all(id, before, limit + 1)
      ) as ManifestRow[];
      return toPage(rows.map(toManifest), limit);
    },

    listTags({ repository, before = newest, limit }: DeletedList): ListPart<DeletedTag> {
      const id = repository === undefined ? undefined : findRepository(repository);
      if (repository !== undefined && id === undefined) return { items: [], next: undefined };
      const rows = (
        id === undefined ? statements.tags.all(before, limit) : statements.tagsIn.all(id, before, limit)
      ) as TagRow[];
      const last = rows.length < limit ? undefined : rows.at(-1)?.[0];
      return {
        items: rows.flatMap((row) => toTag(row) ?? []),
        next: last === undefined ? undefined : [last],
      };
    },

    findManifest(id: number): DeletedManifest | undefined {
      const row = statements.manifest.get(id) as ManifestRow | undefined;
      return row && toManifest(row);
    },

    findTag(id: number): DeletedTag | undefined {
      const row = statements.tag.get(id) as TagRow | undefined;
      return row && toTag(row);
    },
  };
}
