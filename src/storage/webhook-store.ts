// The contract of the webhook store: who is told of which events, how far that has come, and what became of each delivery. What
// is to be sent is no row of its own: hooks follow the event rows by a cursor, so that no event is lost and none invented.
import type { IdPage, Origin, Page } from './terms.ts';

/** The actions of distribution's notifications. */
export const hookEvents = ['push', 'delete', 'pull', 'mount', 'restore'] as const;
export type HookEvent = (typeof hookEvents)[number];

export const hookFormats = ['distribution', 'cloudevents'] as const;
export type HookFormat = (typeof hookFormats)[number];

export interface Webhook {
  readonly id: number;
  /** `system`: of the whole registry. */
  readonly namespace: string;
  readonly url: string;
  readonly events: readonly HookEvent[];
  /** A pattern of full repository names. */
  readonly repositories: string;
  readonly format: HookFormat;
  /** Signs what is sent; readable for that reason, and to be shown to nobody. */
  readonly secret: string;
  readonly enabled: boolean;
  /** Every event up to this one was sent, or is a delivery that is pending. */
  readonly eventSeq: number;
  /** Attempts in a row that failed because of the endpoint. */
  readonly failures: number;
  readonly failingSince: number | undefined;
  /** Nothing is sent before. */
  readonly pausedUntil: number | undefined;
  readonly createdAt: number;
  readonly createdBy: string;
}

export type HookSettings = Pick<Webhook, 'url' | 'events' | 'repositories' | 'format' | 'secret'>;

export const deliveryStates = ['pending', 'delivered', 'failed'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** One event on its way to one hook, as its newest attempt left it. */
export interface Delivery {
  readonly id: number;
  readonly webhookId: number;
  readonly eventSeq: number;
  /** pending: it is tried again at `nextAt`. failed: given up. */
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly nextAt: number | undefined;
  readonly firstAt: number;
  readonly lastAt: number;
  /** What the endpoint answered; undefined: it did not. */
  readonly status: number | undefined;
  readonly milliseconds: number;
  readonly error: string | undefined;
  /** The beginning of the answer. */
  readonly answer: string | undefined;
}

/** What became of one attempt, and what follows from it. */
export interface Attempt {
  readonly webhookId: number;
  readonly eventSeq: number;
  /** `pending` needs `nextAt`. */
  readonly state: DeliveryState;
  readonly nextAt?: number | undefined;
  readonly status: number | undefined;
  readonly milliseconds: number;
  readonly error?: string | undefined;
  readonly answer?: string | undefined;
  /**
   * reached: the endpoint is well, its failures are forgotten. untouched: this tells nothing of it. Else it failed, and nothing is
   * sent before that time.
   */
  readonly endpoint: 'reached' | 'untouched' | { readonly pausedUntil: number };
}

export interface WebhookStore {
  /** Adds an enabled hook, which is told of what happens from now on. */
  add(
    hook: HookSettings & {
      readonly namespace: string;
      readonly enabled: boolean;
      /** Hooks that the namespace may have. */
      readonly most: number;
      readonly origin: Origin;
    },
  ): Promise<
    { readonly outcome: 'added'; readonly webhook: Webhook } | { readonly outcome: 'unknown' | 'too-many' }
  >;
  find(id: number): Promise<Webhook | undefined>;
  /** Those of a namespace, oldest first. */
  list(namespace: string, page: IdPage): Promise<Page<Webhook>>;
  /** Every enabled hook of the registry, in order of id. */
  listEnabled(page: { readonly after?: number | undefined; readonly limit: number }): Promise<Page<Webhook>>;
  /** Enabled hooks whose endpoint fails, those first that have failed longest. */
  listFailing(limit: number): Promise<readonly Webhook[]>;
  /**
   * Changes a hook. Disabling ends what is pending; enabling begins with what happens from then on. A new URL or enabling ends
   * a pause. undefined where there is none.
   */
  update(options: {
    readonly id: number;
    readonly changes: Partial<HookSettings & { readonly enabled: boolean }>;
    readonly origin: Origin;
  }): Promise<Webhook | undefined>;
  /** False where there is none. Its deliveries go with the next prune. */
  remove(options: { readonly id: number; readonly origin: Origin }): Promise<boolean>;
  /** Writes an attempt into the log and moves the cursor of the hook to its event. No fault where the hook is gone. */
  record(attempt: Attempt): Promise<Delivery | undefined>;
  /** Notes that nothing up to `eventSeq` is for these hooks. */
  advance(cursors: readonly { readonly id: number; readonly eventSeq: number }[]): Promise<void>;
  /** Ends a pause: somebody has seen that the endpoint is well. */
  resume(id: number): Promise<void>;
  /** The pending delivery of a hook whose event is the oldest of those that are due. */
  findDue(id: number, now: number): Promise<Delivery | undefined>;
  /** When the next pending delivery of a hook is due. */
  nextDueAt(id: number): Promise<number | undefined>;
  countPending(id: number): Promise<number>;
  findDelivery(webhookId: number, id: number): Promise<Delivery | undefined>;
  /** Newest first, beginning before `before` (an id). */
  listDeliveries(
    webhookId: number,
    page: { readonly before?: number | undefined; readonly limit: number },
  ): Promise<Page<Delivery>>;
  /** Drops up to `limit` deliveries that ended before `before` or whose hook is gone, and such hooks; the number dropped. */
  prune(options: { readonly before: number; readonly limit: number }): Promise<number>;
}
