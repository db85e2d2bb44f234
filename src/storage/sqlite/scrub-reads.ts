// What the scrub compares: rows of blobs with files, manifests with their edges; and what is damaged.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Location } from '../blob-store.ts';
import type { BlobToCheck, DamagedBlob, IntegrityResult, ManifestToCheck } from '../care-store.ts';
import type { Page } from '../terms.ts';
import { type Connection, prepareAll } from './connection.ts';
import { integrityKey } from './scrub-writes.ts';

const blobColumns = 'id, digest, location, size, damaged_at, verified_at';

export const sql = {
  blobs: `SELECT ${blobColumns} FROM blob WHERE id > ? ORDER BY id LIMIT ?`,
  oldestChecked: `SELECT ${blobColumns} FROM blob WHERE damaged_at IS NULL AND verified_at >= 0
    ORDER BY verified_at, id LIMIT ?`,
  manifests: `SELECT m.id, r.name, m.digest, m.media_type, m.bytes FROM manifest m
    CROSS JOIN repository r ON r.id = m.repository_id WHERE m.id > ? ORDER BY m.id LIMIT ?`,
  blobEdges: 'SELECT b.digest FROM manifest_blob e JOIN blob b ON b.id = e.blob_id WHERE e.manifest_id = ?',
  childEdges:
    'SELECT c.digest FROM manifest_child e JOIN manifest c ON c.id = e.child_id WHERE e.parent_id = ?',
  missing: 'SELECT digest FROM missing_reference WHERE manifest_id = ?',
  damaged: `SELECT id, digest, size, damaged_at FROM blob WHERE damaged_at IS NOT NULL AND id > ?
    ORDER BY id LIMIT ?`,
  repositoriesOf: `SELECT r.id, r.name FROM repository_blob l JOIN repository r ON r.id = l.repository_id
    WHERE l.blob_id = ? AND r.state <> 'deleted' LIMIT 100`,
  holders: 'SELECT manifest_id FROM manifest_blob WHERE repository_id = ? AND blob_id = ? LIMIT 1000',
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ? LIMIT 1000',
  tagsOf: 'SELECT name FROM tag WHERE manifest_id = ? LIMIT 100',
  integrity: 'SELECT value FROM instance WHERE key = ?',
} as const;

const tagsShown = 100;

type BlobRow = [number, Digest, Location, number, number | null, number];

const toBlob = ([cursor, digest, location, size, damagedAt, verifiedAt]: BlobRow): BlobToCheck => ({
  cursor,
  digest,
  location,
  size,
  damaged: damagedAt !== null,
  verifiedAt,
});

/** The reads of the scrub. */
export function makeScrubReads(db: Connection) {
  const statements = prepareAll(db, sql);
  for (const key of ['blobs', 'oldestChecked', 'manifests', 'damaged', 'repositoriesOf'] as const)
    statements[key].raw();
  const plucked = [
    'blobEdges',
    'childEdges',
    'missing',
    'holders',
    'parentsOf',
    'tagsOf',
    'integrity',
  ] as const;
  for (const key of plucked) statements[key].pluck();

  /** Tags by which a client would come upon the blob: of the manifests that have it, and of indexes above them. */
  const tagsLeadingTo = (repositoryId: number, blobId: number): readonly Tag[] => {
    const seen = new Set<number>();
    const tags = new Set<Tag>();
    const queue = statements.holders.all(repositoryId, blobId) as number[];
    for (let id = queue.pop(); id !== undefined && tags.size < tagsShown; id = queue.pop()) {
      if (seen.has(id)) continue;
      seen.add(id);
      for (const tag of statements.tagsOf.all(id) as Tag[]) tags.add(tag);
      queue.push(...(statements.parentsOf.all(id) as number[]));
    }
    return [...tags].sort().slice(0, tagsShown);
  };

  return {
    listBlobs: (options: { after: number; limit: number }): readonly BlobToCheck[] =>
      (statements.blobs.all(options.after, options.limit) as BlobRow[]).map(toBlob),

    listOldestChecked: (limit: number): readonly BlobToCheck[] =>
      (statements.oldestChecked.all(limit) as BlobRow[]).map(toBlob),

    listManifests(options: { after: number; limit: number }): readonly ManifestToCheck[] {
      const rows = statements.manifests.all(options.after, options.limit) as [
        number,
        RepositoryName,
        Digest,
        string,
        Buffer,
      ][];
      return rows.map(([cursor, repository, digest, mediaType, bytes]) => ({
        cursor,
        repository,
        digest,
        mediaType,
        bytes,
        blobs: statements.blobEdges.all(cursor) as Digest[],
        children: statements.childEdges.all(cursor) as Digest[],
        missing: statements.missing.all(cursor) as Digest[],
      }));
    },

    listDamaged(options: { after?: number | undefined; limit: number }): Page<DamagedBlob> {
      const rows = statements.damaged.all(options.after ?? 0, options.limit + 1) as [
        number,
        Digest,
        number,
        number,
      ][];
      const items = rows.slice(0, options.limit).map(([cursor, digest, size, damagedAt]) => {
        const repositories = statements.repositoriesOf.all(cursor) as [number, RepositoryName][];
        const touches = repositories.map(([id, repository]) => ({
          repository,
          tags: tagsLeadingTo(id, cursor),
        }));
        return { cursor, digest, size, damagedAt, touches };
      });
      return { items, more: rows.length > options.limit };
    },

    integrity(): IntegrityResult | undefined {
      const value = statements.integrity.get(integrityKey) as string | undefined;
      return value === undefined ? undefined : (JSON.parse(value) as IntegrityResult);
    },
  };
}
