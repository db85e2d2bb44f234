// Quotas, judged inside the transaction of the change that would exceed them. What was set is in rows, what the settings say
// is handed over when the store opens and when they are reloaded.
import type { RepositoryName } from '../../oci/name.ts';
import { type Quota, QuotaExceededError, type QuotaSettings } from '../care-store.ts';
import type { Origin } from '../terms.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import { limitOf, type NamespaceKind, quotaKeys, unlimitedQuotas } from './quota-rows.ts';

export const sql = {
  namespaceQuota: `SELECT name, kind, quota_bytes, quota_repositories, used_bytes FROM namespace WHERE id = ?`,
  registryQuota: 'SELECT value FROM instance WHERE key = ?',
  storedBytes: `SELECT bytes FROM total WHERE kind = 'blob'`,
  repositoriesOf: `SELECT count(*) FROM repository WHERE namespace_id = ? AND state <> 'deleted'`,
  repositoriesInAll: `SELECT count(*) FROM repository WHERE name > '' AND state <> 'deleted'`,
  namespaceId: 'SELECT id FROM namespace WHERE name = ?',
  setNamespaceQuota: 'UPDATE namespace SET quota_bytes = ?, quota_repositories = ? WHERE id = ?',
  setRegistryQuota: `INSERT INTO instance (key, value) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET value = excluded.value`,
  dropRegistryQuota: 'DELETE FROM instance WHERE key = ?',
  addQuotaEvent: `INSERT INTO event (at, kind, actor, namespace, object, detail, address, request_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
} as const;

type NamespaceRow = [string, NamespaceKind, number | null, number | null, number];

const system: Origin = { actor: 'system' };

/** The rules of quotas over one connection. */
export class QuotaWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  #settings: QuotaSettings = unlimitedQuotas;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#statements.namespaceQuota.raw();
    const plucked = [
      'registryQuota',
      'storedBytes',
      'repositoriesOf',
      'repositoriesInAll',
      'namespaceId',
    ] as const;
    for (const key of plucked) this.#statements[key].pluck();
  }

  configureQuotas(_now: Now, settings: QuotaSettings): void {
    this.#settings = settings;
  }

  setQuota(now: Now, input: { namespace: string | undefined; quota: Quota; origin: Origin }): boolean {
    const { namespace, quota, origin } = input;
    if (namespace === undefined) {
      for (const what of ['bytes', 'repositories'] as const) {
        const value = toColumn(quota[what]);
        if (value === null) this.#statements.dropRegistryQuota.run(quotaKeys[what]);
        else this.#statements.setRegistryQuota.run(quotaKeys[what], String(value));
      }
    } else {
      const id = this.#statements.namespaceId.get(namespace) as number | undefined;
      if (id === undefined) return false;
      const columns = [toColumn(quota.bytes), toColumn(quota.repositories)] as const;
      this.#statements.setNamespaceQuota.run(...columns, id);
    }
    this.#addEvent(now, 'quota.set', origin, namespace, { after: quota });
    return true;
  }

  /** Throws QuotaExceededError unless `bytes` more of content that the namespace does not have yet fit into its quota. */
  admitBytes(now: Now, namespaceId: number, bytes: number): void {
    const [namespace, kind, quotaBytes, , used] = this.#statements.namespaceQuota.get(
      namespaceId,
    ) as NamespaceRow;
    const limit = limitOf(quotaBytes, kind === 'user' ? this.#settings.user : this.#settings.organization);
    this.#admit(now, { namespace, what: 'bytes', limit, used, wanted: bytes });
  }

  /** Throws QuotaExceededError unless `bytes` more of content that is stored nowhere fit into the registry's quota. */
  admitStored(now: Now, bytes: number): void {
    const limit = this.#registryLimit('bytes', this.#settings.registry);
    if (limit === Number.POSITIVE_INFINITY) return;
    const used = this.#statements.storedBytes.get() as number;
    this.#admit(now, { namespace: undefined, what: 'bytes', limit, used, wanted: bytes });
  }

  /** Throws QuotaExceededError unless one more repository fits. `inRegistry`: it only comes from another namespace. */
  admitRepository(
    now: Now,
    namespaceId: number,
    _name: RepositoryName,
    { inRegistry = false }: { readonly inRegistry?: boolean } = {},
  ): void {
    const row = this.#statements.namespaceQuota.get(namespaceId) as NamespaceRow;
    const [namespace, , , quotaRepositories] = row;
    const own = limitOf(quotaRepositories, 'unlimited');
    if (own !== Number.POSITIVE_INFINITY) {
      const used = this.#statements.repositoriesOf.get(namespaceId) as number;
      this.#admit(now, { namespace, what: 'repositories', limit: own, used, wanted: 1 });
    }
    if (inRegistry) return;
    const all = this.#registryLimit('repositories', 'unlimited');
    if (all === Number.POSITIVE_INFINITY) return;
    const used = this.#statements.repositoriesInAll.get() as number;
    this.#admit(now, { namespace: undefined, what: 'repositories', limit: all, used, wanted: 1 });
  }

  #registryLimit(what: 'bytes' | 'repositories', otherwise: number | 'unlimited'): number {
    const value = this.#statements.registryQuota.get(quotaKeys[what]) as string | undefined;
    return limitOf(value === undefined ? null : Number(value), otherwise);
  }

  #admit(
    now: Now,
    change: {
      namespace: string | undefined;
      what: 'bytes' | 'repositories';
      limit: number;
      used: number;
      wanted: number;
    },
  ): void {
    const { namespace, what, limit, used, wanted } = change;
    if (limit === Number.POSITIVE_INFINITY) return;
    if (used + wanted > limit) throw new QuotaExceededError(change);
    const threshold = limit * this.#settings.warnAt;
    if (used < threshold && used + wanted >= threshold) {
      this.#addEvent(now, 'quota.warn', system, namespace, { what, limit, used: used + wanted });
    }
  }

  #addEvent(
    now: Now,
    kind: 'quota.set' | 'quota.warn',
    origin: Origin,
    namespace: string | undefined,
    detail: Readonly<Record<string, unknown>>,
  ): void {
    const object = namespace === undefined ? 'registry' : `namespace:${namespace}`;
    this.#statements.addQuotaEvent.run(
      now.at,
      kind,
      origin.actor,
      namespace ?? null,
      object,
      JSON.stringify(detail),
      origin.address ?? null,
      origin.requestId ?? null,
    );
  }
}

/** -1 in a row says that there is no limit whatever the settings say; NULL leaves it to them. */
function toColumn(limit: number | 'unlimited' | undefined): number | null {
  return limit === 'unlimited' ? -1 : (limit ?? null);
}
