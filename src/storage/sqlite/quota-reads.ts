// Who uses how much, and what would not fit.
import type { Digest } from '../../oci/digest.ts';
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import type { BlobCount, Quota, QuotaExcess, QuotaSettings, QuotaUse } from '../care-store.ts';
import type { NamePage, Page } from '../terms.ts';
import { bothWays, nameBefore, wayOf } from './both-ways.ts';
import { type Connection, prepareAll } from './connection.ts';
import { limitOf, type NamespaceKind, quotaKeys, unlimitedQuotas } from './quota-rows.ts';

const columns = `n.name, n.kind, n.quota_bytes, n.quota_repositories, n.used_bytes,
    (SELECT count(*) FROM repository r WHERE r.namespace_id = n.id AND r.state <> 'deleted')`;

export const sql = {
  namespace: `SELECT ${columns} FROM namespace n WHERE n.name = ?`,
  ...bothWays(
    'namespaces',
    (beyond, way) =>
      `SELECT ${columns} FROM namespace n WHERE n.name ${beyond} ? ORDER BY n.name${way} LIMIT ?`,
  ),
  namespaceLimits: 'SELECT kind, quota_bytes, quota_repositories FROM namespace WHERE name = ?',
  instanceValue: 'SELECT value FROM instance WHERE key = ?',
  stored: `SELECT items, bytes FROM total WHERE kind = 'blob'`,
  repositoriesInAll: `SELECT count(*) FROM repository WHERE name > '' AND state <> 'deleted'`,
  repositoryExists: `SELECT 1 FROM repository WHERE name = ? AND state <> 'deleted'`,
  blobStored: 'SELECT 1 FROM blob WHERE digest = ? AND damaged_at IS NULL',
  blobInNamespace: `SELECT 1 FROM namespace n JOIN blob b ON b.digest = ?
    JOIN namespace_blob l ON l.namespace_id = n.id AND l.blob_id = b.id WHERE n.name = ?`,
} as const;

type NamespaceRow = [string, NamespaceKind, number | null, number | null, number, number];

/** The reads of quotas. */
export function makeQuotaReads(db: Connection) {
  const statements = prepareAll(db, sql);
  for (const statement of Object.values(statements)) statement.raw();
  let settings: QuotaSettings = unlimitedQuotas;

  const instanceValue = (key: string): number | null => {
    const row = statements.instanceValue.get(key) as [string] | undefined;
    return row === undefined ? null : Number(row[0]);
  };

  const ofNamespace = ([name, kind, bytes, repositories, usedBytes, used]: NamespaceRow): QuotaUse =>
    toUse({
      namespace: name,
      kind,
      used: { bytes: usedBytes, repositories: used },
      columns: [bytes, repositories],
      otherwise: kind === 'user' ? settings.user : settings.organization,
    });

  const ofRegistry = (): QuotaUse => {
    const [, bytes] = statements.stored.get() as [number, number];
    const [repositories] = statements.repositoriesInAll.get() as [number];
    return toUse({
      namespace: undefined,
      kind: 'registry',
      used: { bytes, repositories },
      columns: [instanceValue(quotaKeys.bytes), instanceValue(quotaKeys.repositories)],
      otherwise: settings.registry,
    });
  };

  const find = (namespace: string | undefined): QuotaUse | undefined => {
    if (namespace === undefined) return ofRegistry();
    const row = statements.namespace.get(namespace) as NamespaceRow | undefined;
    return row && ofNamespace(row);
  };

  return {
    configure(configured: QuotaSettings): void {
      settings = configured;
    },

    find,

    list(options: NamePage): Page<QuotaUse> {
      const statement = statements[wayOf('namespaces', options)];
      const rows = statement.all(nameBefore(options), options.limit + 1) as NamespaceRow[];
      return {
        items: rows.slice(0, options.limit).map(ofNamespace),
        more: rows.length > options.limit,
      };
    },

    stored(): BlobCount {
      const [blobs, bytes] = statements.stored.get() as [number, number];
      return { blobs, bytes };
    },

    findExcess(input: {
      repository: RepositoryName;
      bytes: number;
      digest?: Digest | undefined;
    }): QuotaExcess | undefined {
      const { repository, digest, bytes } = input;
      const name = namespaceOf(repository);
      const row = statements.namespaceLimits.get(name) as
        | [NamespaceKind, number | null, number | null]
        | undefined;
      const [kind, ownBytes, ownRepositories] = row ?? (['unowned', null, null] as const);
      const limits = [
        limitOf(ownBytes, kind === 'user' ? settings.user : settings.organization),
        limitOf(ownRepositories, 'unlimited'),
        limitOf(instanceValue(quotaKeys.bytes), settings.registry),
        limitOf(instanceValue(quotaKeys.repositories), 'unlimited'),
      ];
      // The usual case costs three short reads, and no counting.
      if (limits.every((limit) => limit === Number.POSITIVE_INFINITY)) return undefined;
      const fresh = statements.repositoryExists.get(repository) === undefined ? 1 : 0;
      const counted = digest !== undefined && statements.blobInNamespace.get(digest, name) !== undefined;
      const stored = digest !== undefined && statements.blobStored.get(digest) !== undefined;
      const namespace = find(name) ?? newNamespace(name, settings.organization);
      return (
        excessOf(namespace, counted ? 0 : bytes, fresh) ?? excessOf(ofRegistry(), stored ? 0 : bytes, fresh)
      );
    },
  };
}

function newNamespace(namespace: string, otherwise: number | 'unlimited'): QuotaUse {
  const used = { bytes: 0, repositories: 0 };
  return toUse({ namespace, kind: 'unowned', used, columns: [null, null], otherwise });
}

function excessOf(use: QuotaUse, bytes: number, repositories: number): QuotaExcess | undefined {
  const wanted = { bytes, repositories };
  for (const what of ['repositories', 'bytes'] as const) {
    const limit = use.limit[what];
    const more = wanted[what];
    const used = use.used[what];
    if (limit === 'unlimited' || more === 0 || used + more <= limit) continue;
    return { namespace: use.namespace, what, limit, used, wanted: more };
  }
  return undefined;
}

function toUse(row: {
  namespace: string | undefined;
  kind: QuotaUse['kind'];
  used: QuotaUse['used'];
  columns: readonly [number | null, number | null];
  otherwise: number | 'unlimited';
}): QuotaUse {
  const { columns, otherwise, ...rest } = row;
  const [bytes, repositories] = columns;
  const quota: Quota = { bytes: fromColumn(bytes), repositories: fromColumn(repositories) };
  const limit = {
    bytes: orUnlimited(limitOf(bytes, otherwise)),
    repositories: orUnlimited(limitOf(repositories, 'unlimited')),
  };
  return { ...rest, quota, limit };
}

function fromColumn(column: number | null): number | 'unlimited' | undefined {
  if (column === null) return undefined;
  return column < 0 ? 'unlimited' : column;
}

function orUnlimited(limit: number): number | 'unlimited' {
  return limit === Number.POSITIVE_INFINITY ? 'unlimited' : limit;
}
