// The reads of webhooks and their deliveries.
import type { Page } from '../metadata-store.ts';
import type { Delivery, Webhook, WebhookStore } from '../webhook-store.ts';
import { bothWays, idBefore, wayOf } from './both-ways.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { toPage } from './reads.ts';
import type { Ask } from './sqlite-accounts.ts';
import {
  type DeliveryRow,
  deliveryColumns,
  type HookRow,
  hookColumns,
  toDelivery,
  toWebhook,
} from './webhook-rows.ts';
import type { WriterThread } from './writer-thread.ts';

const hooks = `SELECT ${hookColumns} FROM webhook w JOIN namespace n ON n.id = w.namespace_id`;
const deliveries = `SELECT ${deliveryColumns} FROM webhook_delivery`;

export const sql = {
  byId: `${hooks} WHERE w.id = ? AND w.removed_at IS NULL`,
  ...bothWays(
    'inNamespace',
    (
      beyond,
      way,
    ) => `SELECT ${hookColumns} FROM namespace n JOIN webhook w ON w.namespace_id = n.id AND w.removed_at IS NULL
    WHERE n.name = ? AND w.id ${beyond} ? ORDER BY w.id${way} LIMIT ?`,
  ),
  enabled: `${hooks} WHERE w.enabled = 1 AND w.removed_at IS NULL AND w.id > ? ORDER BY w.id LIMIT ?`,
  failing: `${hooks} WHERE w.failing_since IS NOT NULL AND w.removed_at IS NULL AND w.failing_since >= 0
    ORDER BY w.failing_since LIMIT ?`,
  due: `${deliveries} WHERE webhook_id = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`,
  nextDueAt: 'SELECT min(next_at) FROM webhook_delivery WHERE webhook_id = ? AND next_at IS NOT NULL',
  pending: 'SELECT count(*) FROM webhook_delivery WHERE webhook_id = ? AND next_at IS NOT NULL',
  deliveryById: `${deliveries} WHERE id = ? AND webhook_id = ?`,
  ofHook: `${deliveries} WHERE webhook_id = ? AND id < ? ORDER BY id DESC LIMIT ?`,
} as const;

/** Deliveries that are due at once are looked through for the one with the oldest event. */
const dueAtOnce = 100;

/** The contract over the writer and the reads of the main thread. */
export function makeWebhookStore(
  { writer, reader }: { readonly writer: Pick<WriterThread, 'run'>; readonly reader: Connection },
  ask: Ask,
): WebhookStore {
  const statements: Readonly<Record<keyof typeof sql, Statement>> = prepareAll(reader, sql);
  for (const key of ['nextDueAt', 'pending'] as const) statements[key].pluck();
  const hookPage = (rows: unknown[], limit: number): Page<Webhook> =>
    toPage((rows as HookRow[]).map(toWebhook), limit);

  return {
    add: (hook) => writer.run('addWebhook', hook),
    update: (options) => writer.run('updateWebhook', options),
    remove: (options) => writer.run('removeWebhook', options),
    record: (attempt) => writer.run('recordDelivery', attempt),
    advance: (cursors) => writer.run('advanceWebhooks', cursors),
    resume: (id) => writer.run('resumeWebhook', id),
    prune: (options) => writer.run('pruneWebhooks', options),
    find: (id) =>
      ask(() => {
        const row = statements.byId.get(id) as HookRow | undefined;
        return row && toWebhook(row);
      }),
    list: (namespace, page) =>
      ask(() => {
        const statement = statements[wayOf('inNamespace', page)];
        return hookPage(statement.all(namespace, idBefore(page), page.limit + 1), page.limit);
      }),
    listEnabled: ({ after = 0, limit }) =>
      ask(() => hookPage(statements.enabled.all(after, limit + 1), limit)),
    listFailing: (limit) => ask(() => (statements.failing.all(limit) as HookRow[]).map(toWebhook)),
    findDue: (id, now) =>
      ask(() => {
        const due = (statements.due.all(id, Math.floor(now), dueAtOnce) as DeliveryRow[]).map(toDelivery);
        return due.sort((one, other) => one.eventSeq - other.eventSeq)[0];
      }),
    nextDueAt: (id) => ask(() => (statements.nextDueAt.get(id) as number | null) ?? undefined),
    countPending: (id) => ask(() => statements.pending.get(id) as number),
    findDelivery: (webhookId, id) =>
      ask(() => {
        const row = statements.deliveryById.get(id, webhookId) as DeliveryRow | undefined;
        return row && toDelivery(row);
      }),
    listDeliveries: (webhookId, { before = Number.MAX_SAFE_INTEGER, limit }) =>
      ask((): Page<Delivery> => {
        const rows = statements.ofHook.all(webhookId, before, limit + 1) as DeliveryRow[];
        return toPage(rows.map(toDelivery), limit);
      }),
  };
}
