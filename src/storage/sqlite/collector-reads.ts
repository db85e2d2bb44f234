// What the collector looks at before it takes anything back: everything that no manifest references, and why it stays.
import type { Location } from '../blob-store.ts';
import type { BlobCount, SurveyCursor, SurveyPage } from '../care-store.ts';
import { type Connection, prepareAll } from './connection.ts';

// Each blob is met in one source only: by its first link with a lease, else by its first in a deleted repository, else by its
// first deleted manifest, else in the queue of reviews. A repository or manifest is due when its time is over: `until_ticks <= ?`.
const isKept = `(r.state <> 'deleted' OR r.until_ticks > ?)`;
const isReferenced = `EXISTS (SELECT 1 FROM repository_blob o JOIN repository r ON r.id = o.repository_id
      WHERE o.blob_id = b.id AND o.lease_ticks IS NULL AND r.state <> 'deleted')`;
const heldByTrash = `EXISTS (SELECT 1 FROM trash_blob e JOIN trash t ON t.id = e.trash_id JOIN repository r ON r.id = t.repository_id
      WHERE e.blob_id = b.id AND t.until_ticks > ? AND ${isKept})`;
const heldByRepository = `EXISTS (SELECT 1 FROM repository_blob o JOIN repository r ON r.id = o.repository_id
      WHERE o.blob_id = b.id AND o.lease_ticks IS NULL AND r.until_ticks > ?)`;
const heldByLease = `EXISTS (SELECT 1 FROM repository_blob o JOIN repository r ON r.id = o.repository_id
      WHERE o.blob_id = b.id AND o.lease_ticks > ? AND ${isKept})`;
const trashEnd = `(SELECT max(t.until_ticks) FROM trash_blob e JOIN trash t ON t.id = e.trash_id WHERE e.blob_id = b.id)`;
const repositoryEnd = `(SELECT max(r.until_ticks) FROM repository_blob o JOIN repository r ON r.id = o.repository_id
      WHERE o.blob_id = b.id AND o.lease_ticks IS NULL)`;
const undeleteEnd = `max(coalesce(${trashEnd}, 0), coalesce(${repositoryEnd}, 0))`;
const leaseEnd = '(SELECT max(o.lease_ticks) FROM repository_blob o WHERE o.blob_id = b.id)';
const hasLease =
  'EXISTS (SELECT 1 FROM repository_blob o WHERE o.blob_id = b.id AND o.lease_ticks IS NOT NULL)';
const hasLink = 'EXISTS (SELECT 1 FROM repository_blob l WHERE l.blob_id = b.id)';

export const sql = {
  surveyLinks: `SELECT CASE
      WHEN l.repository_id > (SELECT min(f.repository_id) FROM repository_blob f
        WHERE f.blob_id = l.blob_id AND f.lease_ticks IS NOT NULL) THEN ''
      WHEN ${isReferenced} THEN ''
      WHEN ${heldByTrash} OR ${heldByRepository} THEN 'undelete'
      WHEN ${heldByLease} THEN 'lease'
      ELSE 'going' END, b.size, ${undeleteEnd}, ${leaseEnd}, l.lease_ticks, l.repository_id, l.blob_id
    FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.lease_ticks IS NOT NULL AND (l.lease_ticks, l.repository_id, l.blob_id) > (?, ?, ?)
    ORDER BY l.lease_ticks, l.repository_id, l.blob_id LIMIT ?`,
  nextDeleted: `SELECT id FROM repository WHERE state = 'deleted' AND id >= ? ORDER BY id LIMIT 1`,
  surveyDeleted: `SELECT CASE
      WHEN ${hasLease} OR l.repository_id > (SELECT min(f.repository_id) FROM repository_blob f JOIN repository d
        ON d.id = f.repository_id WHERE f.blob_id = l.blob_id AND d.state = 'deleted') THEN ''
      WHEN ${isReferenced} THEN ''
      WHEN ${heldByTrash} OR ${heldByRepository} THEN 'undelete'
      ELSE 'going' END, b.size, ${undeleteEnd}, NULL, l.repository_id, l.blob_id, 0
    FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = ? AND l.blob_id > ? ORDER BY l.blob_id LIMIT ?`,
  surveyTrash: `SELECT CASE
      WHEN x.trash_id > (SELECT min(f.trash_id) FROM trash_blob f WHERE f.blob_id = x.blob_id) OR ${hasLink} THEN ''
      WHEN ${heldByTrash} THEN 'undelete' ELSE 'going' END, b.size, ${trashEnd}, NULL, x.trash_id, x.blob_id, 0
    FROM trash_blob x JOIN blob b ON b.id = x.blob_id
    WHERE (x.trash_id, x.blob_id) > (?, ?) ORDER BY x.trash_id, x.blob_id LIMIT ?`,
  surveyReview: `SELECT CASE
      WHEN ${hasLink} OR EXISTS (SELECT 1 FROM trash_blob e WHERE e.blob_id = b.id) THEN ''
      ELSE 'going' END, b.size, NULL, NULL, v.blob_id, 0, 0
    FROM blob_review v JOIN blob b ON b.id = v.blob_id WHERE v.blob_id > ? ORDER BY v.blob_id LIMIT ?`,
  dueTrashCount: 'SELECT count(*) FROM trash WHERE until_ticks <= ?',
  dueRepositoryCount: `SELECT coalesce(sum(manifests), 0) FROM repository WHERE state = 'deleted' AND until_ticks <= ?`,
  locationKnown: `SELECT EXISTS (SELECT 1 FROM blob WHERE location = ?)
    OR EXISTS (SELECT 1 FROM unlink_queue WHERE location = ?)`,
  queuedUnlinks: 'SELECT count(*) FROM unlink_queue WHERE not_before_ticks >= 0',
} as const;

/** Small enough that a page holds the event loop for a millisecond or two. */
const surveyPage = 250;

/** Why it stays, its size, when the last of what is deleted and the last lease end, and the three parts of its place. */
type SurveyRow = [
  '' | 'going' | 'undelete' | 'lease',
  number,
  number | null,
  number | null,
  number,
  number,
  number,
];

const nextSource = {
  links: ['deleted', 0, 0],
  deleted: ['trash', 0, 0],
  trash: ['review', 0],
  review: undefined,
} as const;

/** The reads of the collector. */
export function makeCollectorReads(db: Connection) {
  const statements = prepareAll(db, sql);
  const links = statements.surveyLinks.raw();
  const deleted = statements.surveyDeleted.raw();
  const trash = statements.surveyTrash.raw();
  const review = statements.surveyReview.raw();
  const nextDeleted = statements.nextDeleted.pluck();
  const bySource = {
    links: (due: number, ticks: number, [lease, repository, blob]: readonly number[]) =>
      links.all(due, due, due, ticks, due, lease, repository, blob, surveyPage),
    deleted: (due: number, _ticks: number, [repository, blob]: readonly number[]) =>
      deleted.all(due, due, due, repository, blob, surveyPage),
    trash: (due: number, _ticks: number, [last, blob]: readonly number[]) =>
      trash.all(due, due, last, blob, surveyPage),
    review: (_due: number, _ticks: number, [blob]: readonly number[]) => review.all(blob, surveyPage),
  };
  /** Where a page begins: deleted repositories are looked through one after the other. */
  const placeOf = (from: SurveyCursor): SurveyCursor => {
    const [source, repository = 0, blob = 0] = from;
    if (source !== 'deleted') return from;
    const found = nextDeleted.get(repository) as number | undefined;
    return found === undefined ? nextSource.deleted : ['deleted', found, found === repository ? blob : 0];
  };
  const placeAfter = ([source, repository = 0]: SurveyCursor, rows: readonly SurveyRow[]) => {
    const last = rows.length < surveyPage ? undefined : rows.at(-1);
    if (last !== undefined) return [source, last[4], last[5], last[6]] as const;
    return source === 'deleted' ? (['deleted', repository + 1, 0] as const) : nextSource[source];
  };
  const dueTrashCount = statements.dueTrashCount.pluck();
  const dueRepositoryCount = statements.dueRepositoryCount.pluck();
  const locationKnown = statements.locationKnown.pluck();
  const queuedUnlinks = statements.queuedUnlinks.pluck();
  return {
    survey(ticks: number, options: { everything: boolean; from?: SurveyCursor | undefined }): SurveyPage {
      const from = placeOf(options.from ?? ['links', Number.MIN_SAFE_INTEGER, 0, 0]);
      const [source, ...position] = from;
      const due = options.everything ? Number.MAX_SAFE_INTEGER : ticks;
      const rows = bySource[source](due, ticks, position) as SurveyRow[];
      const next = placeAfter(from, rows);
      const held = (why: 'undelete' | 'lease') => ({ ...sum(rows, why), freeIn: freeIn(rows, why, ticks) });
      return { going: sum(rows, 'going'), undelete: held('undelete'), lease: held('lease'), next };
    },

    countTrash: (ticks: number, everything: boolean) => {
      const due = everything ? Number.MAX_SAFE_INTEGER : ticks;
      return (dueTrashCount.get(due) as number) + (dueRepositoryCount.get(due) as number);
    },

    filterUnknown: (locations: readonly Location[]) =>
      locations.filter((location) => locationKnown.get(location, location) === 0),

    countUnlinks: () => queuedUnlinks.get() as number,
  };
}

function sum(rows: readonly SurveyRow[], wanted: SurveyRow[0]): BlobCount {
  let blobs = 0;
  let bytes = 0;
  for (const [found, size] of rows) {
    if (found !== wanted) continue;
    blobs += 1;
    bytes += size;
  }
  return { blobs, bytes };
}

/** A blob of something deleted may have a lease as well, and goes when both are over. */
function freeIn(
  rows: readonly SurveyRow[],
  why: 'undelete' | 'lease',
  ticks: number,
): readonly [first: number, last: number] | undefined {
  const ends = rows
    .filter(([found]) => found === why)
    .map(([, , trash, lease]) => Math.max(lease ?? 0, why === 'undelete' ? (trash ?? 0) : 0) - ticks);
  return ends.length === 0 ? undefined : [Math.min(...ends), Math.max(...ends)];
}
