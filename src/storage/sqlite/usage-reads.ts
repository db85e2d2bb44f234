// What a repository takes, alone and together with others, and what deleting something would free.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { BlobCount, FreedBy } from '../care-store.ts';
import { type Connection, prepareAll } from './connection.ts';

const linkedElsewhere = `EXISTS (SELECT 1 FROM repository_blob o
      WHERE o.blob_id = l.blob_id AND o.repository_id <> l.repository_id)`;

export const sql = {
  repositoryId: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted'`,
  blobsOfRepository: `SELECT l.blob_id, b.size, ${linkedElsewhere}
    FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = ? AND l.blob_id > ? ORDER BY l.blob_id LIMIT ?`,
  blobsInSeveral: `SELECT b.id, b.size, (SELECT 1 FROM repository_blob l WHERE l.blob_id = b.id LIMIT 1 OFFSET 1) IS NOT NULL
    FROM blob b WHERE b.id > ? ORDER BY b.id LIMIT ?`,
  tagTarget: 'SELECT manifest_id FROM tag WHERE repository_id = ? AND name = ?',
  manifestId: 'SELECT id FROM manifest WHERE repository_id = ? AND digest = ?',
  tagsOf: 'SELECT name FROM tag WHERE manifest_id = ? ORDER BY repository_id, name',
  childrenOf: 'SELECT child_id FROM manifest_child WHERE parent_id = ?',
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ?',
  blobsOf: `SELECT e.blob_id, b.size, ${linkedElsewhere.replaceAll('l.', 'e.')}
    FROM manifest_blob e JOIN blob b ON b.id = e.blob_id WHERE e.manifest_id = ?`,
  holdersOf: 'SELECT manifest_id FROM manifest_blob WHERE repository_id = ? AND blob_id = ?',
} as const;

const none: BlobCount = { blobs: 0, bytes: 0 };
const plus = (count: BlobCount, size: number): BlobCount => ({
  blobs: count.blobs + 1,
  bytes: count.bytes + size,
});

/** The reads of usage. */
export function makeUsageReads(db: Connection) {
  const statements = prepareAll(db, sql);
  statements.blobsOfRepository.raw();
  statements.blobsOf.raw();
  statements.blobsInSeveral.raw();
  const plucked = [
    'repositoryId',
    'tagTarget',
    'manifestId',
    'tagsOf',
    'childrenOf',
    'parentsOf',
    'holdersOf',
  ] as const;
  for (const key of plucked) statements[key].pluck();

  /** What goes with the named: manifests without another tag or parent, and then what only those listed. */
  const closureOf = (named: ReadonlySet<number>, tags: ReadonlySet<string>): ReadonlySet<number> => {
    const going = new Set<number>();
    const queue = [...named];
    for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
      if (going.has(id)) continue;
      const otherTags = (statements.tagsOf.all(id) as string[]).filter((tag) => !tags.has(tag));
      const otherParents = (statements.parentsOf.all(id) as number[]).filter((parent) => !going.has(parent));
      if (otherTags.length > 0 || otherParents.length > 0) continue;
      going.add(id);
      queue.push(...(statements.childrenOf.all(id) as number[]));
    }
    return going;
  };

  return {
    shared({ after, limit }: { after: number; limit: number }) {
      const rows = statements.blobsInSeveral.all(after, limit) as [number, number, number][];
      let shared = none;
      for (const [, size, several] of rows) if (several === 1) shared = plus(shared, size);
      return { shared, next: rows.length < limit ? undefined : rows.at(-1)?.[0] };
    },

    ofRepository(options: { repository: RepositoryName; after: number; limit: number }) {
      const id = statements.repositoryId.get(options.repository) as number | undefined;
      if (id === undefined) return undefined;
      const rows = statements.blobsOfRepository.all(id, options.after, options.limit) as [
        number,
        number,
        number,
      ][];
      let own = none;
      let shared = none;
      for (const [, size, elsewhere] of rows) {
        if (elsewhere === 1) shared = plus(shared, size);
        else own = plus(own, size);
      }
      return { own, shared, next: rows.length < options.limit ? undefined : rows.at(-1)?.[0] };
    },

    freedBy(options: {
      repository: RepositoryName;
      tags: readonly Tag[];
      digests: readonly Digest[];
    }): FreedBy | undefined {
      const repository = statements.repositoryId.get(options.repository) as number | undefined;
      if (repository === undefined) return undefined;
      const named = new Set<number>();
      const tags = new Set<string>(options.tags);
      for (const tag of tags) {
        const id = statements.tagTarget.get(repository, tag) as number | undefined;
        if (id !== undefined) named.add(id);
      }
      for (const digest of options.digests) {
        const id = statements.manifestId.get(repository, digest) as number | undefined;
        if (id === undefined) continue;
        named.add(id);
        // A manifest goes with all its tags.
        for (const tag of statements.tagsOf.all(id) as string[]) tags.add(tag);
      }
      const going = closureOf(named, tags);
      const sizes = new Map<number, { size: number; kept: boolean }>();
      for (const manifest of going) {
        for (const [id, size, elsewhere] of statements.blobsOf.all(manifest) as [number, number, number][]) {
          if (sizes.has(id)) continue;
          const holders = statements.holdersOf.all(repository, id) as number[];
          sizes.set(id, { size, kept: elsewhere === 1 || holders.some((holder) => !going.has(holder)) });
        }
      }
      let exclusive = none;
      let shared = none;
      for (const { size, kept } of sizes.values()) {
        if (kept) shared = plus(shared, size);
        else exclusive = plus(exclusive, size);
      }
      return { manifests: going.size, exclusive, shared };
    },
  };
}
