// Lists of tags and manifests with what people want to know of them. Each order is a walk through an index of its own; what a
// row says beyond that is looked up one by one, so that a page costs the same of any number of tags.
import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestKind } from '../../oci/media-types.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import { compileTagGlob } from '../../oci/tag-glob.ts';
import type {
  ListCursor,
  ListPart,
  ListTags,
  ManifestDetails,
  ManifestFacts,
  ManifestManagement,
  TagDetails,
  TagFilter,
  UnreadManifest,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { readDeprecation } from './deprecations.ts';
import { beforePrefix } from './tag-intentions.ts';

/** Whether somebody signed: in cosign's tag form, as a referrer, or simply (podman's and skopeo's --sign-by). */
const isSigned = `(EXISTS (SELECT 1 FROM tag g WHERE g.repository_id = m.repository_id AND g.name = replace(m.digest, ':', '-') || '.sig')
    OR EXISTS (SELECT 1 FROM manifest_summary x WHERE x.repository_id = m.repository_id AND x.signs = m.digest)
    OR EXISTS (SELECT 1 FROM signature y WHERE y.repository_id = m.repository_id AND y.digest = m.digest))`;

const facts = `m.digest, m.media_type AS mediaType, m.artifact_type AS artifactType, s.kind, s.platforms, s.size,
    s.pulled_at AS pulledAt, coalesce(p.pulls, 0) AS pulls, ${isSigned} AS signed`;

const manifestDetails = `SELECT s.manifest_id AS cursor, ${facts}, m.pushed_at AS pushedAt, m.pushed_by AS pushedBy, m.subject,
    s.tags AS tagCount
  FROM manifest_summary s JOIN manifest m ON m.id = s.manifest_id LEFT JOIN pull_count p ON p.manifest_id = s.manifest_id`;

export const sql = {
  liveRepository: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  tagDetails: `SELECT t.name, ${facts}, t.updated_at AS pushedAt, t.updated_by AS pushedBy, t.deprecation
    FROM tag t JOIN manifest m ON m.id = t.manifest_id JOIN manifest_summary s ON s.manifest_id = t.manifest_id
    LEFT JOIN pull_count p ON p.manifest_id = t.manifest_id WHERE t.repository_id = ? AND t.name = ?`,
  byName: 'SELECT name, name FROM tag WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?',
  byNameDown: 'SELECT name, name FROM tag WHERE repository_id = ? AND name < ? ORDER BY name DESC LIMIT ?',
  byTime: `SELECT updated_at, name FROM tag WHERE repository_id = ? AND (updated_at, name) > (?, ?)
    ORDER BY updated_at, name LIMIT ?`,
  byTimeDown: `SELECT updated_at, name FROM tag WHERE repository_id = ? AND (updated_at, name) < (?, ?)
    ORDER BY updated_at DESC, name DESC LIMIT ?`,
  byVersion: `SELECT version, name FROM tag WHERE repository_id = ? AND (version, name) > (?, ?)
    ORDER BY version, name LIMIT ?`,
  byVersionDown: `SELECT version, name FROM tag WHERE repository_id = ? AND (version, name) < (?, ?)
    ORDER BY version DESC, name DESC LIMIT ?`,
  bySize: `SELECT size, manifest_id FROM manifest_summary WHERE repository_id = ? AND tags > 0
    AND (size, manifest_id) >= (?, ?) ORDER BY size, manifest_id LIMIT ?`,
  bySizeDown: `SELECT size, manifest_id FROM manifest_summary WHERE repository_id = ? AND tags > 0
    AND (size, manifest_id) <= (?, ?) ORDER BY size DESC, manifest_id DESC LIMIT ?`,
  byPull: `SELECT pulled_at, manifest_id FROM manifest_summary WHERE repository_id = ? AND tags > 0
    AND (pulled_at, manifest_id) >= (?, ?) ORDER BY pulled_at, manifest_id LIMIT ?`,
  byPullDown: `SELECT pulled_at, manifest_id FROM manifest_summary WHERE repository_id = ? AND tags > 0
    AND (pulled_at, manifest_id) <= (?, ?) ORDER BY pulled_at DESC, manifest_id DESC LIMIT ?`,
  tagsOfManifest: `SELECT name FROM tag WHERE manifest_id = ? AND repository_id = ? AND name > ? ORDER BY name LIMIT ?`,
  manifests: `${manifestDetails} WHERE s.repository_id = ? AND s.manifest_id < ? ORDER BY s.manifest_id DESC LIMIT ?`,
  untagged: `${manifestDetails} WHERE s.repository_id = ? AND s.manifest_id < ? AND s.tags = 0
    ORDER BY s.manifest_id DESC LIMIT ?`,
  manifest: `${manifestDetails} WHERE s.manifest_id =
    (SELECT id FROM manifest WHERE repository_id = ? AND digest = ?)`,
  parentsOf: `SELECT m.digest FROM manifest_child c JOIN manifest m ON m.id = c.parent_id WHERE c.child_id = ?
    ORDER BY c.parent_id LIMIT ?`,
  unread: `SELECT s.manifest_id, r.name, m.digest, m.media_type, m.bytes FROM manifest_summary s
    JOIN manifest m ON m.id = s.manifest_id JOIN repository r ON r.id = s.repository_id
    WHERE s.platforms IS NULL AND s.manifest_id > ? AND r.state <> 'deleted' ORDER BY s.manifest_id LIMIT ?`,
} as const;

/** Tags looked at in one turn of the event loop, and for one page at most: then it ends early. */
const step = 200;
const mostLookedAt = 4000;
/** Comes after every tag. */
const afterAll = '\u007f';
const tagsShown = 20;
const parentsShown = 10;

type Ask = <Result>(read: () => Result) => Promise<Result>;
type Statements = Readonly<Record<keyof typeof sql, Statement>>;
type Candidate = readonly [cursor: ListCursor, name: Tag];

interface FactsRow extends Omit<ManifestFacts, 'platforms' | 'pulledAt' | 'signed' | 'artifactType'> {
  readonly artifactType: string | null;
  readonly platforms: string | null;
  readonly pulledAt: number;
  readonly signed: number;
}

type TagRow = FactsRow &
  Pick<TagDetails, 'name' | 'pushedAt' | 'pushedBy'> & { readonly deprecation: string | null };
type ManifestRow = FactsRow &
  Pick<ManifestDetails, 'cursor' | 'pushedAt' | 'pushedBy' | 'tagCount'> & {
    readonly subject: Digest | null;
  };

export type TagReads = ReturnType<typeof makeTagReads>;

/** `ask` runs each step of a list and tells faults apart. */
export function makeTagReads(db: Connection, ask: Ask) {
  const statements = prepareAll(db, sql);
  for (const key of Object.keys(sql) as (keyof typeof sql)[]) if (key.startsWith('by')) statements[key].raw();
  statements.unread.raw();
  for (const key of ['liveRepository', 'tagsOfManifest', 'parentsOf'] as const) statements[key].pluck();
  const findRepository = (name: RepositoryName) => statements.liveRepository.get(name) as number | undefined;
  const findTag = (repositoryId: number, name: Tag) => {
    const row = statements.tagDetails.get(repositoryId, name) as TagRow | undefined;
    return row && toTag(row);
  };

  return {
    async listTags(options: ListTags): Promise<ListPart<TagDetails> | undefined> {
      const repositoryId = await ask(() => findRepository(options.repository));
      if (repositoryId === undefined) return undefined;
      const walk = walkOf(statements, repositoryId, options);
      const fits = filterOf(options.filter);
      const items: TagDetails[] = [];
      const cursors: ListCursor[] = [];
      let after = options.after ?? walk.start;
      const isFiltered = Object.values(options.filter).some((value) => value !== undefined);
      for (let looked = 0; looked < mostLookedAt; looked += step) {
        if (looked > 0) await setImmediate();
        // Without a filter each of them is shown.
        const wanted = isFiltered ? step : Math.min(step, options.limit + 1 - items.length);
        const candidates = await ask(() => walk.next(after, wanted));
        await ask(() => {
          for (const [cursor, name] of candidates) {
            if (items.length > options.limit) return;
            after = cursor;
            const tag = fits.name(name) ? findTag(repositoryId, name) : undefined;
            if (tag === undefined || !fits.tag(tag)) continue;
            items.push(tag);
            cursors.push(cursor);
          }
        });
        // One more than asked for tells that there is more.
        if (items.length > options.limit)
          return { items: items.slice(0, options.limit), next: cursors[options.limit - 1] };
        if (candidates.length < wanted) return { items, next: undefined };
      }
      return { items, next: after };
    },

    findTag: (repository: RepositoryName, name: Tag) =>
      ask(() => {
        const repositoryId = findRepository(repository);
        return repositoryId === undefined ? undefined : findTag(repositoryId, name);
      }),

    ...makeManifestReads(statements, ask, findRepository),
  };
}

function makeManifestReads(
  statements: Statements,
  ask: Ask,
  findRepository: (name: RepositoryName) => number | undefined,
) {
  const show = (repositoryId: number, row: ManifestRow): ManifestDetails => ({
    ...toFacts(row),
    cursor: row.cursor,
    pushedAt: row.pushedAt,
    pushedBy: row.pushedBy,
    subject: row.subject ?? undefined,
    tags: statements.tagsOfManifest.all(row.cursor, repositoryId, '', tagsShown) as Tag[],
    tagCount: row.tagCount,
    listedBy: statements.parentsOf.all(row.cursor, parentsShown) as Digest[],
  });

  return {
    async listManifests(
      options: Parameters<ManifestManagement['details']>[0],
    ): Promise<ListPart<ManifestDetails> | undefined> {
      const { repository, limit, tagged, kind } = options;
      const repositoryId = await ask(() => findRepository(repository));
      if (repositoryId === undefined) return undefined;
      const statement = tagged === false ? statements.untagged : statements.manifests;
      const items: ManifestDetails[] = [];
      let before = options.before ?? Number.MAX_SAFE_INTEGER;
      for (let looked = 0; looked < mostLookedAt; looked += step) {
        if (looked > 0) await setImmediate();
        const rows = await ask(() => statement.all(repositoryId, before, step) as ManifestRow[]);
        for (const row of rows) {
          if (items.length === limit) return { items, next: [before] };
          before = row.cursor;
          if ((tagged === true && row.tagCount === 0) || (kind !== undefined && row.kind !== kind)) continue;
          items.push(await ask(() => show(repositoryId, row)));
        }
        if (rows.length < step) return { items, next: undefined };
      }
      return { items, next: [before] };
    },

    findManifestDetails: (repository: RepositoryName, digest: Digest) =>
      ask(() => {
        const repositoryId = findRepository(repository);
        const row =
          repositoryId === undefined
            ? undefined
            : (statements.manifest.get(repositoryId, digest) as ManifestRow | undefined);
        return row && repositoryId !== undefined ? show(repositoryId, row) : undefined;
      }),

    listUnread: ({ after, limit }: { after: number; limit: number }) =>
      ask(() =>
        (statements.unread.all(after, limit) as [number, RepositoryName, Digest, string, Buffer][]).map(
          ([id, repository, digest, mediaType, bytes]): UnreadManifest => ({
            id,
            repository,
            digest,
            mediaType,
            bytes,
          }),
        ),
      ),
  };
}

// ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Walk {
  /** Before everything. */
  readonly start: ListCursor;
  /** Tags after a cursor, in order; fewer than `count` at the end alone. */
  next(after: ListCursor, count: number): readonly Candidate[];
}

function walkOf(statements: Statements, repositoryId: number, options: ListTags): Walk {
  const { order, descending } = options;
  const down = descending ? 'Down' : '';
  switch (order) {
    case 'name':
      return walkNames(statements[`byName${down}`], repositoryId, options);
    case 'pushedAt':
      return walkTags(statements[`byTime${down}`], repositoryId, descending, [-1, Number.MAX_SAFE_INTEGER]);
    case 'semver':
      return walkTags(statements[`byVersion${down}`], repositoryId, descending, ['', afterAll]);
    case 'size':
      return walkManifests(statements, `bySize${down}`, repositoryId, descending);
    case 'pulledAt':
      return walkManifests(statements, `byPull${down}`, repositoryId, descending);
  }
}

/** In order of name; a glob that begins with letters is looked for where those are. */
function walkNames(statement: Statement, repositoryId: number, { descending, filter }: ListTags): Walk {
  const prefix = filter.matching === undefined ? '' : compileTagGlob(filter.matching).prefix;
  const [first, last] = [beforePrefix(prefix), `${prefix}${afterAll}`];
  return {
    start: [descending ? last : first],
    next([after = ''], count) {
      const rows = statement.all(repositoryId, after, count) as [Tag, Tag][];
      const beyond = rows.findIndex(([name]) => !name.startsWith(prefix));
      return (beyond < 0 ? rows : rows.slice(0, beyond)).map(([name]) => [[name], name]);
    },
  };
}

/** In the order of a column of the tag's row. */
function walkTags(
  statement: Statement,
  repositoryId: number,
  descending: boolean,
  [first, last]: readonly [string | number, string | number],
): Walk {
  return {
    start: descending ? [last, afterAll] : [first, ''],
    next: ([value, name], count) =>
      (statement.all(repositoryId, value, name, count) as [string | number, Tag][]).map(([key, tag]) => [
        [key, tag],
        tag,
      ]),
  };
}

/** In the order of a column of the manifest's row; the tags of one manifest by name. */
function walkManifests(
  statements: Statements,
  key: 'bySize' | 'bySizeDown' | 'byPull' | 'byPullDown',
  repositoryId: number,
  descending: boolean,
): Walk {
  const farthest = Number.MAX_SAFE_INTEGER;
  return {
    start: descending ? [farthest, farthest, ''] : [-1, 0, ''],
    next([value, manifest, name], count) {
      const found: Candidate[] = [];
      const rows = statements[key].all(repositoryId, value, manifest, count + 1) as [number, number][];
      for (const [size, id] of rows) {
        const after = id === manifest ? name : '';
        const wanted = count - found.length;
        if (wanted === 0) break;
        for (const tag of statements.tagsOfManifest.all(id, repositoryId, after, wanted) as Tag[])
          found.push([[size, id, tag], tag]);
      }
      return found;
    },
  };
}

// ── filters and rows ─────────────────────────────────────────────────────────────────────────────────────────────────

function filterOf({ matching, containing, platform, signed }: TagFilter) {
  const glob = matching === undefined ? undefined : compileTagGlob(matching);
  const part = containing?.toLowerCase();
  return {
    name: (name: Tag) =>
      (glob === undefined || glob.matches(name)) && (part === undefined || name.toLowerCase().includes(part)),
    tag: (tag: TagDetails) =>
      (signed === undefined || tag.signed === signed) &&
      (platform === undefined ||
        tag.platforms.some((found) => found === platform || found.startsWith(`${platform}/`))),
  };
}

function toTag(row: TagRow): TagDetails {
  const { name, pushedAt, pushedBy, deprecation } = row;
  return { name, ...toFacts(row), pushedAt, pushedBy, deprecation: readDeprecation(deprecation) };
}

function toFacts(row: FactsRow): ManifestFacts {
  return {
    digest: row.digest,
    mediaType: row.mediaType,
    artifactType: row.artifactType ?? undefined,
    kind: row.kind as ManifestKind,
    platforms: row.platforms === null ? [] : (JSON.parse(row.platforms) as string[]),
    size: row.size,
    pulledAt: row.pulledAt === 0 ? undefined : row.pulledAt,
    pulls: row.pulls,
    signed: row.signed === 1,
  };
}
