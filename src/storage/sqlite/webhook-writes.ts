// The intentions that change webhooks and log their deliveries. Each runs in one transaction of the writer.
import type { Origin } from '../metadata-store.ts';
import type { Attempt, Delivery, Webhook, WebhookStore } from '../webhook-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { EventWrites } from './event-writes.ts';
import type { Now } from './now.ts';
import {
  type DeliveryRow,
  deliveryColumns,
  type HookRow,
  hookColumns,
  toDelivery,
  toWebhook,
} from './webhook-rows.ts';

export const sql = {
  hookById: `SELECT ${hookColumns} FROM webhook w JOIN namespace n ON n.id = w.namespace_id
    WHERE w.id = ? AND w.removed_at IS NULL`,
  namespaceByName: 'SELECT id FROM namespace WHERE name = ? AND removed_at IS NULL',
  countInNamespace: 'SELECT count(*) FROM webhook WHERE namespace_id = ? AND removed_at IS NULL',
  newestEvent: 'SELECT max(seq) FROM event',
  addHook: `INSERT INTO webhook (namespace_id, url, events, repositories, format, secret, enabled, event_seq, created_at,
    created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateHook: `UPDATE webhook SET url = ?, events = ?, repositories = ?, format = ?, secret = ?, enabled = ?, event_seq = ?
    WHERE id = ?`,
  removeHook: 'UPDATE webhook SET removed_at = ? WHERE id = ?',
  forgetFailures: `UPDATE webhook SET failures = 0, failing_since = NULL, paused_until = NULL
    WHERE id = ? AND failing_since IS NOT NULL`,
  countFailure: `UPDATE webhook SET failures = failures + 1, failing_since = coalesce(failing_since, ?), paused_until = ?
    WHERE id = ?`,
  advance: 'UPDATE webhook SET event_seq = ? WHERE id = ? AND event_seq < ?',
  endPending: `UPDATE webhook_delivery SET state = 'failed', next_at = NULL, error = ?
    WHERE webhook_id = ? AND next_at IS NOT NULL`,
  deliveryOfEvent: `SELECT ${deliveryColumns} FROM webhook_delivery WHERE webhook_id = ? AND event_seq = ?`,
  addDelivery: `INSERT INTO webhook_delivery (webhook_id, event_seq, state, attempts, next_at, first_at, last_at, status,
    milliseconds, error, answer) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)`,
  updateDelivery: `UPDATE webhook_delivery SET state = ?, attempts = attempts + 1, next_at = ?, last_at = ?, status = ?,
    milliseconds = ?, error = ?, answer = ? WHERE id = ?`,
  oldDeliveries:
    'SELECT id FROM webhook_delivery WHERE next_at IS NULL AND last_at < ? ORDER BY last_at LIMIT ?',
  removedHook: 'SELECT id FROM webhook WHERE removed_at IS NOT NULL AND id > 0 ORDER BY id LIMIT 1',
  deliveriesOf: 'SELECT id FROM webhook_delivery WHERE webhook_id = ? ORDER BY id LIMIT ?',
  dropDelivery: 'DELETE FROM webhook_delivery WHERE id = ?',
  dropHook: 'DELETE FROM webhook WHERE id = ?',
} as const;

type Input<Method extends (...input: never[]) => unknown> = Parameters<Method>[0];

/** The intentions on webhooks over one connection. */
export class WebhookWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #events: EventWrites;

  constructor(db: Connection, events: EventWrites) {
    this.#events = events;
    this.#statements = prepareAll(db, sql);
    for (const key of ['namespaceByName', 'countInNamespace', 'newestEvent'] as const)
      this.#statements[key].pluck();
    for (const key of ['oldDeliveries', 'removedHook', 'deliveriesOf'] as const)
      this.#statements[key].pluck();
  }

  addWebhook(now: Now, input: Input<WebhookStore['add']>): Awaited<ReturnType<WebhookStore['add']>> {
    const { namespace, url, events, repositories, format, secret, enabled, most, origin } = input;
    const namespaceId = this.#statements.namespaceByName.get(namespace) as number | undefined;
    if (namespaceId === undefined) return { outcome: 'unknown' };
    if ((this.#statements.countInNamespace.get(namespaceId) as number) >= most)
      return { outcome: 'too-many' };
    const wanted = [url, JSON.stringify(events), repositories, format, secret, Number(enabled)];
    const begin = this.#newestEvent();
    const added = this.#statements.addHook.run(namespaceId, ...wanted, begin, now.at, origin.actor);
    const webhook = this.#known(Number(added.lastInsertRowid));
    this.#tell(now, origin, 'webhook.add', undefined, webhook);
    return { outcome: 'added', webhook };
  }

  updateWebhook(now: Now, input: Input<WebhookStore['update']>): Webhook | undefined {
    const { id, changes, origin } = input;
    const before = this.#find(id);
    if (before === undefined) return undefined;
    const after = { ...before, ...changes };
    const { url, events, repositories, format, secret, enabled } = after;
    const isEnabling = enabled && !before.enabled;
    const eventSeq = isEnabling ? this.#newestEvent() : before.eventSeq;
    const wanted = [url, JSON.stringify(events), repositories, format, secret, Number(enabled)];
    this.#statements.updateHook.run(...wanted, eventSeq, id);
    if (!enabled && before.enabled) this.#statements.endPending.run('the webhook was disabled', id);
    if (isEnabling || url !== before.url || !enabled) this.#statements.forgetFailures.run(id);
    const changed = this.#known(id);
    this.#tell(now, origin, 'webhook.update', before, changed);
    return changed;
  }

  removeWebhook(now: Now, { id, origin }: Input<WebhookStore['remove']>): boolean {
    const hook = this.#find(id);
    if (hook === undefined) return false;
    this.#statements.removeHook.run(now.at, id);
    this.#statements.endPending.run('the webhook was removed', id);
    this.#tell(now, origin, 'webhook.remove', hook, undefined);
    return true;
  }

  recordDelivery(now: Now, attempt: Attempt): Delivery | undefined {
    const { webhookId, eventSeq, state, status, milliseconds, error, answer, endpoint } = attempt;
    if (this.#find(webhookId) === undefined) return undefined;
    const nextAt = state === 'pending' ? Math.ceil(attempt.nextAt ?? now.at) : null;
    const result = [status ?? null, Math.round(milliseconds), error ?? null, answer ?? null];
    const known = this.#statements.deliveryOfEvent.get(webhookId, eventSeq) as DeliveryRow | undefined;
    if (known === undefined)
      this.#statements.addDelivery.run(webhookId, eventSeq, state, nextAt, now.at, now.at, ...result);
    else this.#statements.updateDelivery.run(state, nextAt, now.at, ...result, known.id);
    this.#statements.advance.run(eventSeq, webhookId, eventSeq);
    if (endpoint === 'reached') this.#statements.forgetFailures.run(webhookId);
    else if (endpoint !== 'untouched')
      this.#statements.countFailure.run(now.at, Math.ceil(endpoint.pausedUntil), webhookId);
    return toDelivery(this.#statements.deliveryOfEvent.get(webhookId, eventSeq) as DeliveryRow);
  }

  advanceWebhooks(_now: Now, cursors: Input<WebhookStore['advance']>): void {
    for (const { id, eventSeq } of cursors) this.#statements.advance.run(eventSeq, id, eventSeq);
  }

  resumeWebhook(_now: Now, id: number): void {
    this.#statements.forgetFailures.run(id);
  }

  pruneWebhooks(_now: Now, { before, limit }: Input<WebhookStore['prune']>): number {
    const old = this.#statements.oldDeliveries.all(Math.floor(before), limit) as number[];
    for (const id of old) this.#statements.dropDelivery.run(id);
    const removed = this.#statements.removedHook.get() as number | undefined;
    if (removed === undefined || old.length === limit) return old.length;
    const orphans = this.#statements.deliveriesOf.all(removed, limit - old.length) as number[];
    for (const id of orphans) this.#statements.dropDelivery.run(id);
    if (orphans.length < limit - old.length) {
      this.#statements.dropHook.run(removed);
      return old.length + orphans.length + 1;
    }
    return old.length + orphans.length;
  }

  #newestEvent(): number {
    return (this.#statements.newestEvent.get() as number | null) ?? 0;
  }

  #find(id: number): Webhook | undefined {
    const row = this.#statements.hookById.get(id) as HookRow | undefined;
    return row && toWebhook(row);
  }

  #known(id: number): Webhook {
    const hook = this.#find(id);
    if (hook === undefined) throw new Error(`webhook ${id} is not there although it was just written`);
    return hook;
  }

  #tell(
    now: Now,
    origin: Origin,
    action: 'webhook.add' | 'webhook.update' | 'webhook.remove',
    before: Webhook | undefined,
    after: Webhook | undefined,
  ): void {
    const hook = after ?? before;
    this.#events.addChange(now, origin, {
      action,
      object: `webhook:${hook?.namespace}/${hook?.id}`,
      namespace: hook?.namespace,
      before: before && termsOf(before),
      after: after && {
        ...termsOf(after),
        ...(before !== undefined && before.secret !== after.secret ? { secret: 'replaced' } : {}),
      },
    });
  }
}

/** What the audit tells of a hook. Of its URL the origin alone: the rest may be a password of its own. */
function termsOf({ url, events, repositories, format, enabled }: Webhook) {
  return { url: new URL(url).origin, events, repositories, format, enabled };
}
