// Finds where what a repository is said to hold (tags, bytes of its blobs, bytes of those that no other one has) differs from what it
// holds. It reads tables in order and keeps two numbers for each repository.
import type { CountFault } from '../care-store.ts';
import type { Connection } from './connection.ts';

// Not for a server: each of these reads a table from its beginning to its end.
const whole = {
  links: `SELECT l.blob_id, b.size, l.repository_id FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    ORDER BY l.blob_id`,
  counted: `SELECT r.id, r.name, r.tags, (SELECT count(*) FROM tag t WHERE t.repository_id = r.id), r.linked_bytes, r.own_bytes
    FROM repository r`,
} as const;

type CountedRow = [id: number, name: string, tags: number, actualTags: number, linked: number, own: number];

/** To be called within one read transaction. */
export function findWrongHoldings(db: Connection, note: (fault: CountFault) => void): void {
  const held = addUp(db);
  for (const row of db.prepare(whole.counted).raw().iterate()) {
    const [id, name, tags, actualTags, linked, own] = row as CountedRow;
    const actual = held.get(id) ?? { linked: 0, own: 0 };
    const fault = { tags: actualTags - tags, linked: actual.linked - linked, own: actual.own - own };
    if (fault.tags !== 0 || fault.linked !== 0 || fault.own !== 0)
      note({ count: 'holdings', id, of: name, ...fault });
  }
}

function addUp(db: Connection): ReadonlyMap<number, { readonly linked: number; readonly own: number }> {
  const held = new Map<number, { linked: number; own: number }>();
  let before: { readonly blobId: number; readonly size: number; readonly repositoryId: number } | undefined;
  let isShared = false;
  const settle = (): void => {
    const home = before && !isShared ? held.get(before.repositoryId) : undefined;
    if (home !== undefined && before !== undefined) home.own += before.size;
  };
  for (const row of db.prepare(whole.links).raw().iterate()) {
    const [blobId, size, repositoryId] = row as [number, number, number];
    const home = held.get(repositoryId) ?? { linked: 0, own: 0 };
    home.linked += size;
    held.set(repositoryId, home);
    if (before?.blobId === blobId) isShared = true;
    else {
      settle();
      isShared = false;
    }
    before = { blobId, size, repositoryId };
  }
  settle();
  return held;
}
