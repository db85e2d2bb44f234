// The thread that counts what is counted elsewhere while it changes (totals, what namespaces use, how many manifests a repository
// has) and posts where the two differ. It sees the database as it is at one moment, reads it in order, and keeps a number for
// each namespace.
import { parentPort, workerData } from 'node:worker_threads';
import type { CountFault } from '../care-store.ts';
import { type Connection, openReader } from './connection.ts';
import { findWrongHoldings } from './repository-counts.ts';

/** More wait for the next look. */
const mostFaults = 10_000;

interface Task {
  readonly countAt: string;
}

// Not for a server: each of these reads a table from its beginning to its end.
const totals = {
  manifest: 'SELECT count(*), coalesce(sum(length(bytes)), 0) FROM manifest',
  tag: 'SELECT count(*), 0 FROM tag',
  blob: 'SELECT count(*), coalesce(sum(size), 0) FROM blob',
  upload: 'SELECT count(*), 0 FROM upload',
} as const;
const whole = {
  total: 'SELECT items, bytes FROM total WHERE kind = ?',
  repositories: `SELECT r.id, r.name, r.manifests, (SELECT count(*) FROM manifest m WHERE m.repository_id = r.id)
    FROM repository r`,
  links: `SELECT l.blob_id, b.size, r.namespace_id FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    JOIN repository r ON r.id = l.repository_id ORDER BY l.blob_id`,
  counted: 'SELECT blob_id, namespace_id, links FROM namespace_blob ORDER BY blob_id',
  namespaces: 'SELECT id, name, used_bytes FROM namespace',
} as const;

class Faults {
  readonly found: CountFault[] = [];
  more = false;

  note(fault: CountFault): void {
    if (this.found.length < mostFaults) this.found.push(fault);
    else this.more = true;
  }
}

function findWrongCounts(db: Connection): { faults: readonly CountFault[]; more: boolean } {
  const faults = new Faults();
  const total = db.prepare(whole.total).raw();
  for (const [of, statement] of Object.entries(totals)) {
    const [items, bytes] = db.prepare(statement).raw().get() as [number, number];
    const [countedItems, countedBytes] = total.get(of) as [number, number];
    if (items === countedItems && bytes === countedBytes) continue;
    const kind = of as keyof typeof totals;
    faults.note({ count: 'total', of: kind, items: items - countedItems, bytes: bytes - countedBytes });
  }
  for (const row of db.prepare(whole.repositories).raw().iterate()) {
    const [id, name, counted, actual] = row as [number, string, number, number];
    if (counted !== actual) faults.note({ count: 'manifests', id, of: name, items: actual - counted });
  }
  findWrongHoldings(db, (fault) => faults.note(fault));
  const used = compareLinks(db, faults);
  for (const row of db.prepare(whole.namespaces).raw().iterate()) {
    const [id, name, counted] = row as [number, string, number];
    const bytes = (used.get(id) ?? 0) - counted;
    if (bytes !== 0) faults.note({ count: 'used', id, of: name, bytes });
  }
  return { faults: faults.found, more: faults.more };
}

/** Walks along the links and along what is counted of them, blob by blob. Gives what each namespace uses. */
function compareLinks(db: Connection, faults: Faults): ReadonlyMap<number, number> {
  const used = new Map<number, number>();
  const counted = db.prepare(whole.counted).raw().iterate();
  let next = counted.next();
  /** What is counted of a blob. Blobs before it have counts and no link. */
  const takeCounts = (upTo: number): ReadonlyMap<number, number> => {
    const counts = new Map<number, number>();
    for (; !next.done; next = counted.next()) {
      const [blobId, namespaceId, links] = next.value as [number, number, number];
      if (blobId > upTo) break;
      if (blobId === upTo) counts.set(namespaceId, links);
      else faults.note({ count: 'links', blobId, namespaceId });
    }
    return counts;
  };
  const settle = (blobId: number, size: number, links: ReadonlyMap<number, number>): void => {
    const counts = takeCounts(blobId);
    for (const [namespaceId, count] of links) {
      used.set(namespaceId, (used.get(namespaceId) ?? 0) + size);
      if (counts.get(namespaceId) !== count) faults.note({ count: 'links', blobId, namespaceId });
    }
    for (const namespaceId of counts.keys())
      if (!links.has(namespaceId)) faults.note({ count: 'links', blobId, namespaceId });
  };
  let blob: { id: number; size: number; links: Map<number, number> } | undefined;
  for (const row of db.prepare(whole.links).raw().iterate()) {
    const [id, size, namespaceId] = row as [number, number, number];
    if (blob?.id !== id) {
      if (blob !== undefined) settle(blob.id, blob.size, blob.links);
      blob = { id, size, links: new Map() };
    }
    blob.links.set(namespaceId, (blob.links.get(namespaceId) ?? 0) + 1);
  }
  if (blob !== undefined) settle(blob.id, blob.size, blob.links);
  takeCounts(Number.MAX_SAFE_INTEGER);
  return used;
}

const task = workerData as Task | null;
if (parentPort !== null && typeof task?.countAt === 'string') {
  const db = openReader(task.countAt);
  try {
    parentPort.postMessage(db.transaction(() => findWrongCounts(db))());
  } finally {
    db.close();
  }
}
