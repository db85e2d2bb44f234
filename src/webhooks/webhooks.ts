// Sends events to webhooks. Each hook follows the event rows by a cursor of its own, one delivery at a time, so that what is to be
// sent survives every restart, needs no memory, and waits for no other hook.

import { randomUUID } from 'node:crypto';
import { Places } from '../places.ts';
import type { Clock } from '../storage/clock.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import type { Delivery, Webhook } from '../storage/webhook-store.ts';
import { errorOf, isDelivered, judge, messageOf, type Outcome } from './attempts.ts';
import { type ContentEvent, findContent, readContent } from './content-events.ts';
import { eventId, type SentEvent, type Source } from './envelope.ts';
import type { EventFeed } from './event-feed.ts';
import { type Follower, isFor, testEvent, waitUntil } from './follower.ts';
import type { Sender, SendResult } from './sender.ts';
import { systemTimers, type Timers } from './timers.ts';

export interface WebhooksOptions {
  readonly metadata: Pick<MetadataStore, 'events' | 'webhooks' | 'instance'>;
  readonly feed: EventFeed;
  readonly sender: Pick<Sender, 'post'>;
  /** Runs a change that needs little room, also on a full disk. */
  readonly withBallast: <Result>(change: () => Promise<Result>) => Promise<Result>;
  readonly clock: Clock;
  readonly attempts: number;
  readonly deliveriesKeptSeconds: number;
  /** The base of links, without a trailing slash. */
  readonly baseUrl: () => string;
  readonly onFailure: (error: unknown) => void;
  /** For tests. */
  readonly timers?: Timers;
  readonly random?: () => number;
}

/** Deliveries that are under way at the same time, and rows that are looked at in one turn. */
const mostAtOnce = 64;
/** Of those, by hooks of one namespace: slow endpoints of one leave seven eighths to the others. */
const mostOfNamespace = 8;
const rowsAtOnce = 200;
const hooksAtOnce = 200;
/** A hook with more pending deliveries tries nothing new for a while after each failure. */
const mostPending = 1000;
/** After a fault of the store. */
const storeRetrySeconds = 30;
/** Cursors of hooks that nothing happens for are written when they are so far behind, looked at so often. */
const cursorGrain = 1000;
const upkeepSeconds = 600;
const prunedAtOnce = 200;

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #timers: Timers;
  readonly #random: () => number;
  readonly #followers = new Map<number, Follower>();
  readonly #places = new Places(mostAtOnce, mostOfNamespace);
  readonly #tested = new Set<number>();
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #counts: Record<Outcome, number> = { delivered: 0, refused: 0, unreachable: 0, 'given-up': 0 };
  #started = false;
  /** Hooks that have nothing to do have seen everything up to here. */
  #position = 0;
  #looking: Promise<void> = Promise.resolve();
  #unwatch: (() => void) | undefined;
  #cancelUpkeep: (() => void) | undefined;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#random = options.random ?? Math.random;
  }

  /** Attempts since the start, by how they went. */
  statistics(): Readonly<Record<Outcome, number>> {
    return { ...this.#counts };
  }

  /** Begins where each hook left off. */
  async start(): Promise<void> {
    const { feed, metadata } = this.#options;
    this.#started = true;
    this.#unwatch = feed.watch(() => this.#lookAgain());
    this.#position = await metadata.events.newest();
    await this.changed();
    this.#lookAgain();
    this.#keepUp();
  }

  /** Breaks off what is being sent, which is sent again at the next start, and writes how far the hooks have come. */
  async stop(): Promise<void> {
    this.#unwatch?.();
    this.#cancelUpkeep?.();
    this.#stop.abort(new Error('the server is stopping'));
    for (const { cancelTimer } of this.#followers.values()) cancelTimer?.();
    await this.#looking;
    await Promise.allSettled(this.#running);
    if (this.#started) await this.#saveCursors(1).catch(this.#options.onFailure);
  }

  /** To be called after a hook was added, changed or removed. */
  async changed(): Promise<void> {
    if (!this.#started) return;
    const { webhooks } = this.#options.metadata;
    const enabled = new Map<number, Webhook>();
    let after: number | undefined;
    for (;;) {
      const page = await webhooks.listEnabled({ after, limit: hooksAtOnce });
      for (const hook of page.items) enabled.set(hook.id, hook);
      after = page.items.at(-1)?.id;
      if (!page.more) break;
    }
    for (const [id, follower] of this.#followers) {
      if (enabled.has(id)) continue;
      follower.cancelTimer?.();
      this.#followers.delete(id);
    }
    for (const hook of enabled.values()) this.#follow(hook);
  }

  /**
   * Sends an event of type `test` now, whether or not the hook is enabled; where it arrives, a pause of the hook ends. undefined
   * while another test of it is under way.
   */
  async test(hook: Webhook): Promise<SendResult | undefined> {
    if (this.#tested.has(hook.id)) return undefined;
    this.#tested.add(hook.id);
    try {
      const { clock, metadata } = this.#options;
      const source = await this.#source();
      const event = testEvent(hook, clock.unixSeconds());
      const result = await this.#send(hook, event, `${source.instance}-test-${randomUUID()}`, 1);
      if (isDelivered(result)) {
        await metadata.webhooks.resume(hook.id);
        await this.changed();
      }
      return { ...result, error: errorOf(result) };
    } finally {
      this.#tested.delete(hook.id);
    }
  }

  /** Sends the event of a delivery again, now. undefined where the event is not kept any more. */
  async redeliver(hook: Webhook, delivery: Delivery): Promise<Delivery | undefined> {
    const { metadata } = this.#options;
    const event = await findContent(metadata.events, delivery.eventSeq);
    if (event === undefined) return undefined;
    const id = eventId(event, await this.#source());
    const result = await this.#send(hook, event, id, delivery.attempts + 1);
    const delivered = isDelivered(result);
    const stays = delivery.state === 'pending' ? 'pending' : 'failed';
    const recorded = await metadata.webhooks.record({
      webhookId: hook.id,
      eventSeq: event.seq,
      state: delivered ? 'delivered' : stays,
      nextAt: delivery.nextAt,
      status: result.status,
      milliseconds: result.milliseconds,
      error: errorOf(result),
      answer: result.answer,
      endpoint: delivered ? 'reached' : 'untouched',
    });
    this.#counts[delivered ? 'delivered' : 'refused'] += 1;
    if (delivered) await this.changed();
    return recorded;
  }

  // ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #follow(hook: Webhook): void {
    const known = this.#followers.get(hook.id);
    if (known === undefined) {
      const fresh = { queue: [], running: false, again: false, cancelTimer: undefined };
      const follower: Follower = { ...fresh, hook, seen: hook.eventSeq, saved: hook.eventSeq };
      this.#followers.set(hook.id, follower);
      this.#kick(follower);
      return;
    }
    known.hook = hook;
    // What was found by the old settings is looked for anew.
    const [first] = known.queue.splice(0);
    if (first !== undefined) known.seen = first.seq - 1;
    known.seen = Math.max(known.seen, hook.eventSeq);
    this.#kick(known);
  }

  #lookAgain(): void {
    this.#looking = this.#looking.then(() => this.#look()).catch((error) => this.#options.onFailure(error));
  }

  /** Looks at what is new, once for all hooks that have nothing to do, and sets those going that it is for. */
  async #look(): Promise<void> {
    for (let more = true; more && !this.#stop.signal.aborted; ) {
      const page = await readContent(this.#options.metadata.events, this.#position, rowsAtOnce);
      // From here on without a pause: a hook that comes to rest meanwhile compares itself with the position.
      const before = this.#position;
      this.#position = page.seen;
      more = page.more;
      for (const follower of this.#followers.values()) {
        if (follower.running || follower.queue.length > 0 || follower.seen < before) continue;
        const first = page.items.find((event) => isFor(follower.hook, event));
        follower.seen = Math.max(follower.seen, first === undefined ? page.seen : first.seq - 1);
        if (first !== undefined) this.#kick(follower);
      }
    }
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #kick(follower: Follower): void {
    follower.again = follower.running;
    if (follower.running || this.#stop.signal.aborted) return;
    follower.cancelTimer?.();
    follower.running = true;
    const run = this.#run(follower)
      .catch((error: unknown) => {
        this.#options.onFailure(error);
        this.#wakeAfter(follower, storeRetrySeconds);
      })
      .finally(() => {
        follower.running = false;
        this.#running.delete(run);
        // It may have come to rest behind what was looked at.
        const isIdle = follower.cancelTimer === undefined;
        if (follower.again || (isIdle && this.#isBehind(follower))) this.#kick(follower);
      });
    this.#running.add(run);
  }

  #isBehind(follower: Follower): boolean {
    const isCurrent = this.#followers.get(follower.hook.id) === follower;
    return isCurrent && (follower.queue.length > 0 || follower.seen < this.#position);
  }

  #wakeAfter(follower: Follower, seconds: number): void {
    follower.cancelTimer?.();
    follower.cancelTimer = this.#timers.after(seconds, () => {
      follower.cancelTimer = undefined;
      this.#kick(follower);
    });
  }

  /** Sends until there is nothing to send, or a reason to wait. */
  async #run(follower: Follower): Promise<void> {
    const { webhooks } = this.#options.metadata;
    follower.cancelTimer = undefined;
    while (!this.#stop.signal.aborted) {
      const hook = await webhooks.find(follower.hook.id);
      const isCurrent = this.#followers.get(follower.hook.id) === follower;
      if (hook?.enabled !== true && isCurrent) this.#followers.delete(follower.hook.id);
      if (hook?.enabled !== true || !isCurrent) return;
      follower.hook = hook;
      const now = this.#options.clock.unixSeconds();
      const pause = waitUntil(hook.pausedUntil, now);
      if (pause > 0) return this.#wakeAfter(follower, pause);
      const next = await this.#next(follower, now);
      if (next === undefined) {
        const dueAt = await webhooks.nextDueAt(hook.id);
        if (dueAt !== undefined) this.#wakeAfter(follower, Math.max(1, waitUntil(dueAt, now)));
        return;
      }
      await this.#deliver(follower, next.event, next.attempts + 1);
    }
  }

  /** What is due again goes before what is new. */
  async #next(follower: Follower, now: number) {
    const { webhooks, events } = this.#options.metadata;
    for (;;) {
      const dueAt = await webhooks.nextDueAt(follower.hook.id);
      if (dueAt === undefined || waitUntil(dueAt, now) > 0) break;
      const due = await webhooks.findDue(follower.hook.id, Math.max(now, dueAt));
      if (due === undefined) break;
      const event = await findContent(events, due.eventSeq);
      if (event !== undefined) return { event, attempts: due.attempts };
      const { webhookId, eventSeq, status, milliseconds } = due;
      const error = 'its event is not kept any more (audit.keep)';
      const lost = {
        webhookId,
        eventSeq,
        status,
        milliseconds,
        error,
        state: 'failed',
        endpoint: 'untouched',
      } as const;
      await this.#options.withBallast(() => webhooks.record(lost));
    }
    const event = await this.#nextNew(follower);
    return event && { event, attempts: 0 };
  }

  async #nextNew(follower: Follower): Promise<ContentEvent | undefined> {
    for (;;) {
      const found = follower.queue.shift();
      if (found !== undefined) {
        if (isFor(follower.hook, found)) return found;
        continue;
      }
      const page = await readContent(this.#options.metadata.events, follower.seen, rowsAtOnce);
      follower.queue = page.items.filter((event) => isFor(follower.hook, event));
      follower.seen = page.seen;
      if (follower.queue.length === 0 && !page.more) return undefined;
    }
  }

  async #deliver(follower: Follower, event: ContentEvent, number: number): Promise<void> {
    let recorded = false;
    try {
      recorded = await this.#attempt(follower, event, number);
    } finally {
      // What is not written down was not sent: it comes again, after a restart too.
      if (!recorded && number === 1) {
        follower.queue = [];
        follower.seen = event.seq - 1;
      }
    }
  }

  /** False where it was broken off: whether it arrived is not known. */
  async #attempt(follower: Follower, event: ContentEvent, number: number): Promise<boolean> {
    const { hook } = follower;
    const { metadata, clock, attempts: mostAttempts, withBallast } = this.#options;
    const result = await this.#send(hook, event, eventId(event, await this.#source()), number);
    if (this.#stop.signal.aborted && !isDelivered(result)) return false;
    const pending = isDelivered(result) ? 0 : await metadata.webhooks.countPending(hook.id);
    const { attempt, outcome } = judge(hook, event.seq, result, {
      number,
      mostAttempts,
      now: clock.unixSeconds(),
      random: this.#random(),
      crowded: pending >= mostPending,
    });
    this.#counts[outcome] += 1;
    await withBallast(() => metadata.webhooks.record(attempt));
    follower.saved = Math.max(follower.saved, event.seq);
    return true;
  }

  async #send(hook: Webhook, event: SentEvent, id: string, number: number): Promise<SendResult> {
    const source = await this.#source();
    return await this.#places.pass(hook.namespace, () => {
      const now = this.#options.clock.unixSeconds();
      const message = messageOf(hook, event, { id, source, now, number });
      return this.#options.sender.post(hook.url, message, this.#stop.signal);
    });
  }

  async #source(): Promise<Source> {
    return { url: this.#options.baseUrl(), instance: await this.#options.metadata.instance() };
  }

  // ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #keepUp(): void {
    const work = async () => {
      await this.#saveCursors(cursorGrain);
      await this.#prune();
    };
    const run = work()
      .catch((error: unknown) => this.#options.onFailure(error))
      .finally(() => {
        this.#running.delete(run);
        if (!this.#stop.signal.aborted)
          this.#cancelUpkeep = this.#timers.after(upkeepSeconds, () => this.#keepUp());
      });
    this.#running.add(run);
  }

  async #saveCursors(grain: number): Promise<void> {
    const resting = [...this.#followers.values()].filter(
      ({ running, queue, seen, saved }) => !running && queue.length === 0 && seen - saved >= grain,
    );
    if (resting.length === 0) return;
    const cursors = resting.map(({ hook, seen }) => ({ id: hook.id, eventSeq: seen }));
    await this.#options.metadata.webhooks.advance(cursors);
    for (const [index, follower] of resting.entries()) follower.saved = cursors[index]?.eventSeq ?? 0;
  }

  async #prune(): Promise<void> {
    const before = this.#options.clock.unixSeconds() - this.#options.deliveriesKeptSeconds;
    // Of what is never dropped, removed hooks are.
    const since = Number.isFinite(before) ? before : 0;
    const drop = () => this.#options.metadata.webhooks.prune({ before: since, limit: prunedAtOnce });
    while (!this.#stop.signal.aborted && (await drop()) >= prunedAtOnce);
  }
}
