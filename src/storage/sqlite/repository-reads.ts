// The reads of repositories as people manage them. Every one is bounded: a page of an index, or rows by their keys.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type {
  DeletedRepository,
  DigestPlace,
  Page,
  RecentBy,
  RepositoryAlias,
  RepositoryDetails,
  RepositoryRange,
  RepositoryRecord,
  Visibility,
} from '../metadata-store.ts';
import type { IdPage } from '../terms.ts';
import { bothWays, idBefore, wayOf } from './both-ways.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { readDeprecation } from './deprecations.ts';
import { toPage } from './reads.ts';

const columns = `r.id, r.name, r.description, r.visibility, r.labels, r.manifests, r.tags, r.linked_bytes, r.own_bytes,
    r.pulls, r.pushes, r.last_pulled_at, r.last_pushed_at, r.created_at, r.deprecation`;
const recent = (column: string) => (beyond: string, way: string) =>
  `SELECT ${columns} FROM repository r
    WHERE r.state = 'live' AND (r.${column}, r.id) ${beyond} (?, ?) ORDER BY r.${column}${way}, r.id${way} LIMIT ?`;
/** Backwards a range ends before a bound that is none of it. */
const upTo = { '>': '<=', '<': '<' } as const;
const deletedColumns = `r.id, r.name, r.visibility, r.manifests, r.tags, r.own_bytes, r.deleted_at, r.deleted_by, r.until_ticks,
    n.removed_at IS NOT NULL`;

export const sql = {
  described: `SELECT ${columns} FROM repository r WHERE r.name = ? AND r.state <> 'deleted' AND r.state = 'live'`,
  page: 'SELECT readme, links FROM repository_page WHERE repository_id = ?',
  walkAll: `SELECT ${columns} FROM repository r WHERE r.name >= ? AND r.state <> 'deleted' AND r.state = 'live'
    ORDER BY r.name LIMIT ?`,
  walkAllDown: `SELECT ${columns} FROM repository r WHERE r.name < ? AND r.state <> 'deleted' AND r.state = 'live'
    ORDER BY r.name DESC LIMIT ?`,
  ...bothWays(
    'walkNamespace',
    (beyond, way) => `SELECT ${columns} FROM repository r JOIN namespace n ON n.id = r.namespace_id
    WHERE n.name = ? AND r.name >= ? AND r.name ${upTo[beyond]} ? AND r.state = 'live' ORDER BY r.name${way} LIMIT ?`,
  ),
  ...bothWays(
    'walkVisibility',
    (beyond, way) => `SELECT ${columns} FROM repository r
    WHERE r.visibility = ? AND r.name >= ? AND r.name ${upTo[beyond]} ? AND r.state = 'live' ORDER BY r.name${way} LIMIT ?`,
  ),
  ...bothWays('walkPushed', recent('last_pushed_at')),
  ...bothWays('walkPulled', recent('last_pulled_at')),
  withLabel: `SELECT ${columns} FROM repository_label l JOIN repository r ON r.id = l.repository_id
    WHERE l.key = ? AND l.value = ? AND r.state = 'live' ORDER BY l.name LIMIT ?`,
  holdingManifest: `SELECT ${columns} FROM manifest m JOIN repository r ON r.id = m.repository_id
    WHERE m.digest = ? AND r.state = 'live' LIMIT ?`,
  holdingBlob: `SELECT ${columns} FROM blob b JOIN repository_blob l ON l.blob_id = b.id
    JOIN repository r ON r.id = l.repository_id
    WHERE b.digest = ? AND b.damaged_at IS NULL AND r.state = 'live' LIMIT ?`,
  manifestIn: 'SELECT id, pushed_at FROM manifest WHERE repository_id = ? AND digest = ?',
  blobIn: `SELECT b.id FROM blob b JOIN repository_blob l ON l.repository_id = ? AND l.blob_id = b.id
    WHERE b.digest = ? AND b.damaged_at IS NULL`,
  manifestsWith: `SELECT m.id, m.pushed_at FROM manifest_blob e JOIN manifest m ON m.id = e.manifest_id
    WHERE e.repository_id = ? AND e.blob_id = ? LIMIT ?`,
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ? LIMIT ?',
  tagsOf: 'SELECT name, updated_at FROM tag WHERE manifest_id = ? LIMIT ?',
  ...bothWays(
    'aliases',
    (beyond, way) => `SELECT id, name, created_at, until_ticks FROM repository_alias
    WHERE repository_id = ? AND id ${beyond} ? ORDER BY id${way} LIMIT ?`,
  ),
  deleted: `SELECT ${deletedColumns} FROM repository r JOIN namespace n ON n.id = r.namespace_id
    WHERE r.id < ? AND r.state = 'deleted' AND r.until_ticks > ? ORDER BY r.id DESC LIMIT ?`,
  deletedById: `SELECT ${deletedColumns} FROM repository r JOIN namespace n ON n.id = r.namespace_id
    WHERE r.id = ? AND r.state = 'deleted' AND r.until_ticks > ?`,
} as const;

type Row = [
  number,
  RepositoryName,
  string,
  Visibility,
  string,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  string | null,
];
type DeletedRow = [
  number,
  RepositoryName,
  Visibility,
  number,
  number,
  number,
  number | null,
  string | null,
  number,
  number,
];

/** Comes behind every name. */
const behindAll = '~';
/** A blob may be in each of 100,000 manifests: so many are looked at for the tags that lead to it. */
const mostHolders = 200;
const mostTags = 100;

type Statements = Readonly<Record<keyof typeof sql, Statement>>;

export function makeRepositoryReads(db: Connection) {
  const statements: Statements = prepareAll(db, sql);
  for (const statement of Object.values(statements)) statement.raw();
  for (const key of ['blobIn', 'parentsOf'] as const) statements[key].pluck();
  return {
    ...makeLists(statements),
    ...makePlaces(statements),

    describe(name: RepositoryName): RepositoryDetails | undefined {
      const row = statements.described.get(name) as Row | undefined;
      if (row === undefined) return undefined;
      const [readme, links] = (statements.page.get(row[0]) as [string, string] | undefined) ?? ['', '[]'];
      return { ...toRecord(row), readme, links: JSON.parse(links) };
    },

    listAliases(name: RepositoryName, page: IdPage & { ticks: number }): Page<RepositoryAlias> | undefined {
      const row = statements.described.get(name) as Row | undefined;
      if (row === undefined) return undefined;
      const statement = statements[wayOf('aliases', page)];
      const rows = statement.all(row[0], idBefore(page), page.limit + 1) as [
        number,
        RepositoryName,
        number,
        number,
      ][];
      const items = rows.map(([id, old, createdAt, untilTicks]) => ({
        id,
        name: old,
        createdAt,
        servedSeconds: Math.max(0, untilTicks - page.ticks),
      }));
      return toPage(items, page.limit);
    },

    listDeleted(page: {
      before?: number | undefined;
      limit: number;
      ticks: number;
    }): Page<DeletedRepository> {
      const rows = statements.deleted.all(
        page.before ?? Number.MAX_SAFE_INTEGER,
        page.ticks,
        page.limit + 1,
      ) as DeletedRow[];
      return toPage(
        rows.map((row) => toDeleted(row, page.ticks)),
        page.limit,
      );
    },

    findDeleted(id: number, ticks: number): DeletedRepository | undefined {
      const row = statements.deletedById.get(id, ticks) as DeletedRow | undefined;
      return row && toDeleted(row, ticks);
    },
  };
}

function makeLists(statements: Statements) {
  return {
    walk(options: {
      range: RepositoryRange;
      after?: string | undefined;
      descending?: boolean | undefined;
      limit: number;
    }): readonly RepositoryRecord[] {
      const { range, after, descending = false, limit } = options;
      const bounds = (from: string, to: string) =>
        descending ? [from, firstBefore(after, to)] : [firstAfter(after, from), to];
      const rows = (): unknown[] => {
        switch (range.kind) {
          case 'all':
            return descending
              ? statements.walkAllDown.all(after ?? behindAll, limit)
              : statements.walkAll.all(firstAfter(after, ''), limit);
          case 'namespace': {
            const { namespace, from, to } = range;
            return statements[wayOf('walkNamespace', options)].all(namespace, ...bounds(from, to), limit);
          }
          case 'visibility': {
            const { visibility, from, to } = range;
            return statements[wayOf('walkVisibility', options)].all(visibility, ...bounds(from, to), limit);
          }
        }
      };
      return (rows() as Row[]).map(toRecord);
    },

    walkRecent(options: {
      by: RecentBy;
      ascending?: boolean | undefined;
      before?: { at: number; id: number } | undefined;
      limit: number;
    }): readonly RepositoryRecord[] {
      const { by, ascending = false, limit } = options;
      const start = ascending ? { at: -1, id: 0 } : { at: Number.MAX_SAFE_INTEGER, id: 0 };
      const { at, id } = options.before ?? start;
      const way = { descending: !ascending };
      const statement = statements[by === 'pushed' ? wayOf('walkPushed', way) : wayOf('walkPulled', way)];
      return (statement.all(at, id, limit) as Row[]).map(toRecord);
    },

    listWithLabel: (options: { key: string; value: string; limit: number }): readonly RepositoryRecord[] =>
      (statements.withLabel.all(options.key, options.value, options.limit) as Row[]).map(toRecord),

    listHolding({ digest, limit }: { digest: Digest; limit: number }): readonly RepositoryRecord[] {
      const rows = [
        ...(statements.holdingManifest.all(digest, limit) as Row[]),
        ...(statements.holdingBlob.all(digest, limit) as Row[]),
      ];
      const once = new Map(rows.map((row) => [row[0], row]));
      return [...once.values()].slice(0, limit).map(toRecord);
    },
  };
}

function makePlaces(statements: Statements) {
  /** Manifests of the repository by which the digest is there, and since when; undefined: it is not there. */
  const holdersOf = (id: number, digest: Digest) => {
    const manifest = statements.manifestIn.get(id, digest) as [number, number] | undefined;
    if (manifest !== undefined) return { holders: [manifest[0]], since: manifest[1], more: false };
    const blob = statements.blobIn.get(id, digest) as number | undefined;
    if (blob === undefined) return undefined;
    const rows = statements.manifestsWith.all(id, blob, mostHolders + 1) as [number, number][];
    const since = rows.length === 0 ? undefined : Math.min(...rows.map(([, pushedAt]) => pushedAt));
    return {
      holders: rows.slice(0, mostHolders).map(([holder]) => holder),
      since,
      more: rows.length > mostHolders,
    };
  };

  return {
    filterHolding(digest: Digest, ids: readonly number[]): ReadonlySet<number> {
      const holds = (id: number): boolean =>
        statements.manifestIn.get(id, digest) !== undefined ||
        statements.blobIn.get(id, digest) !== undefined;
      return new Set(ids.filter(holds));
    },

    findPlace(id: number, digest: Digest): DigestPlace | undefined {
      const found = holdersOf(id, digest);
      if (found === undefined) return undefined;
      const tags = new Map<Tag, number>();
      const seen = new Set<number>();
      const queue = [...found.holders];
      let { more } = found;
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (seen.has(next)) continue;
        if (seen.size >= mostHolders || tags.size > mostTags) {
          more = true;
          break;
        }
        seen.add(next);
        for (const [name, since] of statements.tagsOf.all(next, mostTags + 1) as [Tag, number][])
          tags.set(name, since);
        queue.push(...(statements.parentsOf.all(next, mostHolders) as number[]));
      }
      const all = [...tags]
        .map(([name, since]) => ({ name, since }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      return { since: found.since, tags: all.slice(0, mostTags), moreTags: more || all.length > mostTags };
    },
  };
}

/** The least text that comes after `after`, where that lies behind `from`: no name holds a blank. */
function firstAfter(after: string | undefined, from: string): string {
  const next = after === undefined ? '' : `${after} `;
  return next > from ? next : from;
}

/** What comes right behind the last name of a range that ends before `after`, where that is in it: no name holds a blank. */
function firstBefore(after: string | undefined, to: string): string {
  return after !== undefined && after <= to ? after : `${to} `;
}

function toRecord(row: Row): RepositoryRecord {
  const [id, name, description, visibility, labels, manifests, tags, linkedBytes, ownBytes, ...used] = row;
  const [pulls, pushes, lastPulledAt, lastPushedAt, createdAt, deprecation] = used;
  return {
    id,
    name,
    description,
    visibility,
    labels: labels === '{}' ? {} : JSON.parse(labels),
    manifests,
    tags,
    ownBytes,
    sharedBytes: linkedBytes - ownBytes,
    pulls,
    pushes,
    lastPulledAt: lastPulledAt || undefined,
    lastPushedAt: lastPushedAt || undefined,
    createdAt,
    deprecation: readDeprecation(deprecation),
  };
}

function toDeleted(row: DeletedRow, ticks: number): DeletedRepository {
  const [id, name, visibility, manifests, tags, ownBytes, deletedAt, deletedBy, untilTicks, removed] = row;
  return {
    kind: 'repository',
    id,
    name,
    visibility,
    manifests,
    tags,
    ownBytes,
    // Deleted by a version that did not write it down.
    deletedAt: deletedAt ?? 0,
    deletedBy: deletedBy ?? '',
    restorableSeconds: Math.max(0, untilTicks - ticks),
    namespaceRemoved: removed === 1,
  };
}
