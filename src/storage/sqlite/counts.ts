// Counts what is counted elsewhere while it changes (totals, what namespaces use, what repositories have and take, size and tags of a
// manifest), and
// finds where the two differ. It reads the tables in order and keeps a few numbers for each namespace and repository.
import type { CountFault } from '../care-store.ts';
import type { Connection } from './connection.ts';
import { IndexSizes } from './index-sizes.ts';

/** More wait for the next look. */
const mostFaults = 10_000;

// Not for a server: each of these reads a table from its beginning to its end.
const totals = {
  manifest: 'SELECT count(*), coalesce(sum(length(bytes)), 0) FROM manifest',
  tag: 'SELECT count(*), 0 FROM tag',
  blob: 'SELECT count(*), coalesce(sum(size), 0) FROM blob',
  upload: 'SELECT count(*), 0 FROM upload',
} as const;
const whole = {
  total: 'SELECT items, bytes FROM total WHERE kind = ?',
  repositories: `SELECT r.id, r.name, r.linked_bytes, r.own_bytes,
      (SELECT count(*) FROM manifest m WHERE m.repository_id = r.id) - r.manifests,
      (SELECT count(*) FROM tag t WHERE t.repository_id = r.id) - r.tags
    FROM repository r`,
  unsummarized: `SELECT m.id, r.name || '@' || m.digest FROM manifest m JOIN repository r ON r.id = m.repository_id
    WHERE NOT EXISTS (SELECT 1 FROM manifest_summary s WHERE s.manifest_id = m.id)`,
  // In a deleted repository, what indexes list goes before them.
  sized: `SELECT m.id, r.name || '@' || m.digest, s.kind, s.size, m.image_bytes FROM manifest_summary s
    JOIN manifest m ON m.id = s.manifest_id JOIN repository r ON r.id = m.repository_id WHERE r.state <> 'deleted'`,
  tagged: `SELECT s.manifest_id, r.name || '@' || m.digest, (SELECT count(*) FROM tag t WHERE t.manifest_id = s.manifest_id) - s.tags
    FROM manifest_summary s JOIN manifest m ON m.id = s.manifest_id JOIN repository r ON r.id = m.repository_id
    WHERE s.tags <> (SELECT count(*) FROM tag t WHERE t.manifest_id = s.manifest_id)`,
  links: `SELECT l.blob_id, b.size, r.namespace_id, r.id FROM repository_blob l JOIN blob b ON b.id = l.blob_id
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

/** To be called within one read transaction. */
export function findWrongCounts(db: Connection): { faults: readonly CountFault[]; more: boolean } {
  const faults = new Faults();
  const total = db.prepare(whole.total).raw();
  for (const [of, statement] of Object.entries(totals)) {
    const [items, bytes] = db.prepare(statement).raw().get() as [number, number];
    const [countedItems, countedBytes] = total.get(of) as [number, number];
    if (items === countedItems && bytes === countedBytes) continue;
    const kind = of as keyof typeof totals;
    faults.note({ count: 'total', of: kind, items: items - countedItems, bytes: bytes - countedBytes });
  }
  const { used, taken } = compareLinks(db, faults);
  compareRepositories(db, faults, taken);
  compareSummaries(db, faults);
  for (const row of db.prepare(whole.tagged).raw().iterate()) {
    const [id, of, items] = row as [number, string, number];
    faults.note({ count: 'tagged', id, of, items });
  }
  for (const row of db.prepare(whole.namespaces).raw().iterate()) {
    const [id, name, counted] = row as [number, string, number];
    const bytes = (used.get(id) ?? 0) - counted;
    if (bytes !== 0) faults.note({ count: 'used', id, of: name, bytes });
  }
  return { faults: faults.found, more: faults.more };
}

/** Every manifest has a summary, which tells what it takes. */
function compareSummaries(db: Connection, faults: Faults): void {
  const sizes = new IndexSizes(db);
  for (const row of db.prepare(whole.unsummarized).raw().iterate()) {
    const [id, of] = row as [number, string];
    faults.note({ count: 'summary', id, of });
  }
  for (const row of db.prepare(whole.sized).raw().iterate()) {
    const [id, of, kind, size, imageBytes] = row as [number, string, string, number, number];
    const bytes = (kind === 'index' ? sizes.sizeOf(id) : imageBytes) - size;
    if (bytes !== 0) faults.note({ count: 'size', id, of, bytes });
  }
}

interface Taken {
  linked: number;
  own: number;
}

function compareRepositories(db: Connection, faults: Faults, taken: ReadonlyMap<number, Taken>): void {
  for (const row of db.prepare(whole.repositories).raw().iterate()) {
    const [id, of, linked, own, manifests, tags] = row as [number, string, number, number, number, number];
    if (manifests !== 0) faults.note({ count: 'manifests', id, of, items: manifests });
    if (tags !== 0) faults.note({ count: 'tags', id, of, items: tags });
    const actual = taken.get(id) ?? { linked: 0, own: 0 };
    const [linkedBytes, ownBytes] = [actual.linked - linked, actual.own - own];
    if (linkedBytes !== 0 || ownBytes !== 0) faults.note({ count: 'taken', id, of, linkedBytes, ownBytes });
  }
}

interface LinkedBlob {
  readonly id: number;
  readonly size: number;
  /** By namespace. */
  readonly links: Map<number, number>;
  readonly repositories: number[];
}

/** What each namespace uses, and what each repository takes. */
class Usage {
  readonly used = new Map<number, number>();
  readonly taken = new Map<number, Taken>();

  add({ size, links, repositories }: LinkedBlob): void {
    for (const namespaceId of links.keys())
      this.used.set(namespaceId, (this.used.get(namespaceId) ?? 0) + size);
    for (const id of repositories) {
      const taken = this.taken.get(id) ?? { linked: 0, own: 0 };
      taken.linked += size;
      if (repositories.length === 1) taken.own += size;
      this.taken.set(id, taken);
    }
  }
}

/** Walks along the links and along what is counted of them, blob by blob. Gives what there is in truth. */
function compareLinks(db: Connection, faults: Faults): Usage {
  const usage = new Usage();
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
  const settle = (blob: LinkedBlob): void => {
    const { id: blobId, links } = blob;
    const counts = takeCounts(blobId);
    for (const [namespaceId, count] of links)
      if (counts.get(namespaceId) !== count) faults.note({ count: 'links', blobId, namespaceId });
    for (const namespaceId of counts.keys())
      if (!links.has(namespaceId)) faults.note({ count: 'links', blobId, namespaceId });
    usage.add(blob);
  };
  let blob: LinkedBlob | undefined;
  for (const row of db.prepare(whole.links).raw().iterate()) {
    const [id, size, namespaceId, repositoryId] = row as [number, number, number, number];
    if (blob?.id !== id) {
      if (blob !== undefined) settle(blob);
      blob = { id, size, links: new Map(), repositories: [] };
    }
    blob.links.set(namespaceId, (blob.links.get(namespaceId) ?? 0) + 1);
    blob.repositories.push(repositoryId);
  }
  if (blob !== undefined) settle(blob);
  takeCounts(Number.MAX_SAFE_INTEGER);
  return usage;
}
