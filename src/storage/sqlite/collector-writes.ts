// The intentions of the collector: each takes back a bounded number of rows that nothing needs any more. A row that still
// is needed is protected twice, by the condition here and by the foreign key.

import type { Location } from '../blob-store.ts';
import type { BlobCount } from '../care-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  dueLinks: `SELECT l.repository_id, r.namespace_id, l.blob_id, b.size
    FROM repository_blob l JOIN repository r ON r.id = l.repository_id JOIN blob b ON b.id = l.blob_id
    WHERE l.lease_ticks IS NOT NULL AND l.lease_ticks <= ?
    AND NOT EXISTS (SELECT 1 FROM manifest_blob e
      WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id)
    ORDER BY l.lease_ticks LIMIT ?`,
  dueTrash: `SELECT id, (SELECT count(*) FROM trash_blob e WHERE e.trash_id = t.id) FROM trash t
    WHERE until_ticks <= ? ORDER BY until_ticks LIMIT ?`,
  dropTrash: 'DELETE FROM trash WHERE id = ?',
  reviewed: `SELECT v.blob_id, b.location, b.size,
      EXISTS (SELECT 1 FROM repository_blob l WHERE l.blob_id = v.blob_id)
      OR EXISTS (SELECT 1 FROM trash_blob e WHERE e.blob_id = v.blob_id)
    FROM blob_review v LEFT JOIN blob b ON b.id = v.blob_id WHERE v.blob_id > 0 ORDER BY v.blob_id LIMIT ?`,
  dropReview: 'DELETE FROM blob_review WHERE blob_id = ?',
  dropBlob: 'DELETE FROM blob WHERE id = ?',
  dueAliases: 'SELECT name FROM repository_alias WHERE until_ticks <= ? ORDER BY until_ticks LIMIT ?',
  dropAlias: 'DELETE FROM repository_alias WHERE name = ?',
  newestMark: 'SELECT max(ticks) FROM history_mark',
  newestHistory: 'SELECT coalesce(max(id), 0) FROM tag_history',
  addMark: 'INSERT INTO history_mark (ticks, newest_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
  markBefore: 'SELECT ticks, newest_id FROM history_mark WHERE ticks <= ? ORDER BY ticks DESC LIMIT 1',
  dropMarksBefore: 'DELETE FROM history_mark WHERE ticks < ?',
  historyPage: `SELECT h.id,
      EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = h.repository_id AND m.digest = h.digest)
      OR EXISTS (SELECT 1 FROM trash t WHERE t.repository_id = h.repository_id AND t.digest = h.digest)
    FROM tag_history h WHERE h.id > ? AND h.id <= ? ORDER BY h.id LIMIT ?`,
  dropHistory: 'DELETE FROM tag_history WHERE id = ?',
} as const;

const rawStatements = ['dueLinks', 'dueTrash', 'reviewed', 'markBefore', 'historyPage'] as const;
const pluckedStatements = ['dueAliases', 'newestMark', 'newestHistory'] as const;

const secondsPerDay = 86_400;

/** The intentions of the collector over one connection. */
export class CollectorWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    for (const key of rawStatements) this.#statements[key].raw();
    for (const key of pluckedStatements) this.#statements[key].pluck();
  }

  reapLinks(now: Now, limit: number): number {
    const due = this.#statements.dueLinks.all(now.ticks, limit) as [number, number, number, number][];
    for (const [repositoryId, namespaceId, blobId, size] of due) {
      this.#shared.dropLink({ id: repositoryId, namespaceId }, { id: blobId, size });
    }
    return due.length;
  }

  purgeTrash(
    now: Now,
    input: { everything: boolean; limit: number },
  ): { readonly manifests: number; readonly more: boolean } {
    const before = input.everything ? Number.MAX_SAFE_INTEGER : now.ticks;
    const due = this.#statements.dueTrash.all(before, input.limit) as [number, number][];
    let rows = 0;
    let manifests = 0;
    for (const [id, blobs] of due) {
      rows += 1 + blobs;
      if (manifests > 0 && rows > input.limit) break;
      this.#statements.dropTrash.run(id);
      manifests += 1;
    }
    return { manifests, more: manifests < due.length || due.length === input.limit };
  }

  condemnBlobs(now: Now, limit: number): BlobCount & { readonly reviewed: number } {
    const rows = this.#statements.reviewed.all(limit) as [number, Location | null, number, number][];
    let blobs = 0;
    let bytes = 0;
    for (const [id, location, size, needed] of rows) {
      if (location !== null && needed === 0) {
        this.#statements.dropBlob.run(id);
        this.#shared.queueUnlink(now, location);
        blobs += 1;
        bytes += size;
      }
      this.#statements.dropReview.run(id);
    }
    return { blobs, bytes, reviewed: rows.length };
  }

  expireAliases(now: Now, limit: number): number {
    const due = this.#statements.dueAliases.all(now.ticks, limit) as string[];
    for (const name of due) this.#statements.dropAlias.run(name);
    return due.length;
  }

  markHistory(now: Now, _input: undefined): boolean {
    const newest = this.#statements.newestMark.get() as number | null;
    if (newest !== null && now.ticks - newest < secondsPerDay) return false;
    this.#statements.addMark.run(now.ticks, this.#statements.newestHistory.get());
    return true;
  }

  expireHistory(now: Now, input: { keepSeconds: number; after: number; limit: number }) {
    const mark = this.#statements.markBefore.get(now.ticks - input.keepSeconds) as
      | [number, number]
      | undefined;
    if (mark === undefined) return { dropped: 0, next: undefined };
    const [ticks, newestId] = mark;
    this.#statements.dropMarksBefore.run(ticks);
    const rows = this.#statements.historyPage.all(input.after, newestId, input.limit) as [number, number][];
    const gone = rows.filter(([, restorable]) => restorable === 0);
    for (const [id] of gone) this.#statements.dropHistory.run(id);
    return { dropped: gone.length, next: rows.length < input.limit ? undefined : rows.at(-1)?.[0] };
  }
}
