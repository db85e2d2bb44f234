// Rows of webhooks and deliveries as values of the contract.
import type { Delivery, HookEvent, Webhook } from '../webhook-store.ts';

export const hookColumns = `w.id, n.name AS namespace, w.url, w.events, w.repositories, w.format, w.secret, w.enabled,
  w.event_seq AS eventSeq, w.failures, w.failing_since AS failingSince, w.paused_until AS pausedUntil,
  w.created_at AS createdAt, w.created_by AS createdBy`;

export const deliveryColumns = `id, webhook_id AS webhookId, event_seq AS eventSeq, state, attempts, next_at AS nextAt,
  first_at AS firstAt, last_at AS lastAt, status, milliseconds, error, answer`;

type Nullable<Value, Keys extends keyof Value> = {
  readonly [Key in keyof Value]: Key extends Keys ? Exclude<Value[Key], undefined> | null : Value[Key];
};

export type HookRow = Nullable<Omit<Webhook, 'events' | 'enabled'>, 'failingSince' | 'pausedUntil'> & {
  readonly events: string;
  readonly enabled: number;
};

export type DeliveryRow = Nullable<Delivery, 'nextAt' | 'status' | 'error' | 'answer'>;

export function toWebhook(row: HookRow): Webhook {
  return {
    ...row,
    events: JSON.parse(row.events) as readonly HookEvent[],
    enabled: row.enabled === 1,
    failingSince: row.failingSince ?? undefined,
    pausedUntil: row.pausedUntil ?? undefined,
  };
}

export function toDelivery(row: DeliveryRow): Delivery {
  return {
    ...row,
    nextAt: row.nextAt ?? undefined,
    status: row.status ?? undefined,
    error: row.error ?? undefined,
    answer: row.answer ?? undefined,
  };
}
