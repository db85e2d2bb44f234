// How quotas stand in rows, for those who judge them and those who show them.
import type { QuotaSettings, QuotaUse } from '../care-store.ts';

export type NamespaceKind = Exclude<QuotaUse['kind'], 'registry'>;

/** Where `instance` keeps the quota of the registry. */
export const quotaKeys = { bytes: 'quota_bytes', repositories: 'quota_repositories' } as const;

export const unlimitedQuotas: QuotaSettings = {
  registry: 'unlimited',
  organization: 'unlimited',
  user: 'unlimited',
  warnAt: 1,
};

/** The limit that holds: what was set, or else what the settings say. Infinity where there is none. */
export function limitOf(column: number | null, otherwise: number | 'unlimited'): number {
  if (column !== null) return column < 0 ? Number.POSITIVE_INFINITY : column;
  return otherwise === 'unlimited' ? Number.POSITIVE_INFINITY : otherwise;
}
