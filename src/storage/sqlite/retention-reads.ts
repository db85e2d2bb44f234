// What retention reads: rules, and repositories page by page, never a manifest's bytes.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ManifestFacts, TagFacts } from '../retention-store.ts';
import type { Page } from '../terms.ts';
import { operationColumns, toOperation } from './care-operations.ts';
import { type Connection, prepareAll } from './connection.ts';

export const sql = {
  namespaceId: 'SELECT id FROM namespace WHERE name = ? AND removed_at IS NULL',
  rules: 'SELECT rules FROM retention_rules WHERE namespace_id = ?',
  namespaces: `SELECT n.name FROM namespace n WHERE n.name > ? AND n.removed_at IS NULL
    AND EXISTS (SELECT 1 FROM retention_rules r WHERE r.namespace_id = n.id) ORDER BY n.name LIMIT ?`,
  repositories: `SELECT name FROM repository WHERE namespace_id = ? AND state = 'live' AND name > ?
    ORDER BY name LIMIT ?`,
  repositoryId: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  mark: 'SELECT max(id) FROM tag_history',
  tags: `SELECT t.name, t.manifest_id, t.updated_at, (SELECT max(h.id) FROM tag_history h
      WHERE h.repository_id = t.repository_id AND h.name = t.name)
    FROM tag t WHERE t.repository_id = ? AND t.name > ? ORDER BY t.name LIMIT ?`,
  manifests: `SELECT m.id, m.digest, m.subject, m.pushed_at, m.lease_ticks, coalesce(p.pulls, 0), p.last_at,
      coalesce(p.last_ticks, 0)
    FROM manifest m LEFT JOIN pull_count p ON p.manifest_id = m.id
    WHERE m.repository_id = ? AND m.digest > ? ORDER BY m.digest LIMIT ?`,
  children: `SELECT c.parent_id, c.child_id FROM manifest m JOIN manifest_child c ON c.parent_id = m.id
    WHERE m.repository_id = ? AND m.digest > ? AND m.digest <= ?`,
  blobs: `SELECT e.blob_id, b.size, EXISTS (SELECT 1 FROM repository_blob o
      WHERE o.blob_id = e.blob_id AND o.repository_id <> e.repository_id)
    FROM manifest_blob e JOIN blob b ON b.id = e.blob_id WHERE e.manifest_id = ?`,
  furtherHolder: 'SELECT 1 FROM manifest_blob WHERE repository_id = ? AND blob_id = ? LIMIT 1 OFFSET ?',
  runs: `SELECT ${operationColumns} FROM operation
    WHERE json_extract(request, '$.namespace') = ? AND id < ? AND kind = 'retention' ORDER BY id DESC LIMIT ?`,
} as const;

type ManifestRow = [number, Digest, Digest | null, number, number, number, number | null, number];

export function makeRetentionReads(db: Connection) {
  const statements = prepareAll(db, sql);
  for (const key of ['tags', 'manifests', 'children', 'blobs', 'runs'] as const) statements[key].raw();
  const plucked = [
    'namespaceId',
    'rules',
    'namespaces',
    'repositories',
    'repositoryId',
    'mark',
    'furtherHolder',
  ] as const;
  for (const key of plucked) statements[key].pluck();
  const repositoryId = (name: RepositoryName) => statements.repositoryId.get(name) as number | undefined;

  return {
    findRules(namespace: string): { readonly rules: object | undefined } | undefined {
      const id = statements.namespaceId.get(namespace) as number | undefined;
      if (id === undefined) return undefined;
      const text = statements.rules.get(id) as string | undefined;
      return { rules: text === undefined ? undefined : (JSON.parse(text) as object) };
    },

    listNamespaces({ after = '', limit }: { after?: string | undefined; limit: number }): Page<string> {
      return pageOf(statements.namespaces.all(after, limit + 1) as string[], limit);
    },

    listRepositories(options: {
      namespace: string;
      after?: string | undefined;
      limit: number;
    }): Page<RepositoryName> {
      const id = statements.namespaceId.get(options.namespace) as number | undefined;
      if (id === undefined) return { items: [], more: false };
      const rows = statements.repositories.all(id, options.after ?? '', options.limit + 1);
      return pageOf(rows as RepositoryName[], options.limit);
    },

    mark: () => (statements.mark.get() as number | null) ?? 0,

    listTags(
      name: RepositoryName,
      { after = '', limit }: { after?: string | undefined; limit: number },
    ): Page<TagFacts> {
      const id = repositoryId(name);
      if (id === undefined) return { items: [], more: false };
      const rows = statements.tags.all(id, after, limit + 1) as [Tag, number, number, number | null][];
      return pageOf(
        rows.map(([tag, manifest, setAt, version]) => ({
          name: tag,
          manifest,
          setAt,
          version: version ?? 0,
        })),
        limit,
      );
    },

    listManifests(
      name: RepositoryName,
      { after = '', limit }: { after?: string | undefined; limit: number },
    ): Page<ManifestFacts> {
      const id = repositoryId(name);
      if (id === undefined) return { items: [], more: false };
      const rows = statements.manifests.all(id, after, limit + 1) as ManifestRow[];
      const children = new Map<number, number[]>();
      const edges = statements.children.all(id, after, rows.at(-1)?.[1] ?? after) as [number, number][];
      for (const [parent, child] of edges) {
        const listed = children.get(parent);
        if (listed === undefined) children.set(parent, [child]);
        else listed.push(child);
      }
      return pageOf(
        rows.map((row) => toFacts(row, children.get(row[0]) ?? [])),
        limit,
      );
    },

    listBlobs: (manifests: readonly number[]) =>
      manifests.flatMap((manifest) =>
        (statements.blobs.all(manifest) as [number, number, number][]).map(([id, size, elsewhere]) => ({
          id,
          size,
          elsewhere: elsewhere === 1,
        })),
      ),

    filterHeldBy(name: RepositoryName, blobs: readonly { readonly id: number; readonly holders: number }[]) {
      const id = repositoryId(name);
      return blobs
        .filter((blob) => statements.furtherHolder.get(id, blob.id, blob.holders) === undefined)
        .map((blob) => blob.id);
    },

    listRuns({
      namespace,
      before = Number.MAX_SAFE_INTEGER,
      limit,
    }: {
      namespace: string;
      before?: number | undefined;
      limit: number;
    }) {
      const rows = statements.runs.all(namespace, before, limit + 1) as Parameters<typeof toOperation>[0][];
      return pageOf(rows.map(toOperation), limit);
    },
  };
}

function toFacts(row: ManifestRow, children: readonly number[]): ManifestFacts {
  const [id, digest, subject, pushedAt, leaseTicks, pulls, pulledAt, pulledTicks] = row;
  return {
    id,
    digest,
    subject: subject ?? undefined,
    children,
    pushedAt,
    leaseTicks,
    pulls,
    pulledAt: pulledAt ?? undefined,
    pulledTicks,
  };
}

/** Of one row more than wanted. */
function pageOf<Item>(rows: readonly Item[], limit: number): Page<Item> {
  return { items: rows.slice(0, limit), more: rows.length > limit };
}
