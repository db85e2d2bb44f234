// Webhooks over a real store and real receivers, with a clock and timers that only move when told.
import type { Webhook, WebhookStore } from '../../src/storage/webhook-store.ts';
import { hostRules } from '../../src/webhooks/allowed-hosts.ts';
import { EventFeed } from '../../src/webhooks/event-feed.ts';
import { Sender } from '../../src/webhooks/sender.ts';
import type { Timers } from '../../src/webhooks/timers.ts';
import { Webhooks, type WebhooksOptions } from '../../src/webhooks/webhooks.ts';
import { type Cleanup, onEnd } from './cleanup.ts';
import { alice, type ManualClock, manualClock, openTestStore, type TestStore } from './metadata.ts';

export interface ManualTimers extends Timers {
  /** Moves the clock on and calls what is due, in order. */
  advance(seconds: number): void;
  /** Seconds until the next one, but for what happens regularly. */
  next(): number | undefined;
}

export function manualTimers(clock: ManualClock): ManualTimers {
  const waiting = new Set<{ readonly at: number; readonly seconds: number; readonly act: () => void }>();
  return {
    after(seconds, act) {
      const one = { at: clock.unixSeconds() + seconds, seconds, act };
      waiting.add(one);
      return () => waiting.delete(one);
    },
    advance(seconds) {
      clock.advance(seconds);
      for (const one of [...waiting].sort((a, b) => a.at - b.at)) {
        if (one.at > clock.unixSeconds()) continue;
        waiting.delete(one);
        one.act();
      }
    },
    next: () => {
      const left = [...waiting]
        .filter(({ seconds }) => seconds !== 600)
        .map(({ at }) => at - clock.unixSeconds());
      return left.length === 0 ? undefined : Math.min(...left);
    },
  };
}

export interface HookBench extends TestStore {
  readonly clock: ManualClock;
  readonly timers: ManualTimers;
  readonly webhooks: Webhooks;
  readonly failures: unknown[];
  add(url: string, settings?: Partial<Parameters<WebhookStore['add']>[0]>): Promise<Webhook>;
  /** Ends it as a restart does: webhooks and store. */
  end(): Promise<void>;
}

/** Opens a store in `folder` (default: a new one) and starts webhooks over it. */
export async function openHooks(
  t: Cleanup,
  options: Partial<WebhooksOptions> & { readonly folder?: string; readonly clock?: ManualClock } = {},
): Promise<HookBench> {
  const { folder, clock = manualClock(), ...more } = options;
  const opened = await openTestStore(t, { clock, ...(folder === undefined ? {} : { folder }) });
  const { store } = opened;
  const timers = manualTimers(clock);
  const failures: unknown[] = [];
  const webhooks = new Webhooks({
    metadata: store,
    feed: new EventFeed(store.events),
    sender: new Sender({ rules: hostRules(['loopback']), timeoutSeconds: 10, userAgent: 'berth/test' }),
    withBallast: (change) => change(),
    clock,
    attempts: 12,
    deliveriesKeptSeconds: 30 * 86_400,
    baseUrl: () => 'https://registry.example.com',
    onFailure: (error) => failures.push(error),
    timers,
    random: () => 0.5,
    ...more,
  });
  await webhooks.start();
  let ended: Promise<void> | undefined;
  const end = () => (ended ??= webhooks.stop().then(() => opened.close()));
  onEnd(t, end);
  return {
    ...opened,
    ...{ clock, timers, webhooks, failures, end },
    async add(url, settings = {}) {
      const added = await store.webhooks.add({
        namespace: 'system',
        url,
        events: ['push', 'delete'],
        repositories: '**',
        format: 'cloudevents',
        secret: 'a secret of the test',
        enabled: true,
        most: 100,
        origin: alice,
        ...settings,
      });
      if (!('webhook' in added)) throw new Error(added.outcome);
      await webhooks.changed();
      return added.webhook;
    },
  };
}

/** Waits until `look` finds something that it likes, and no longer than a minute. */
export async function eventually<Value>(
  look: () => Promise<Value | undefined | false> | Value | undefined | false,
): Promise<Value> {
  const begun = performance.now();
  while (performance.now() - begun < 60_000) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`waited a minute in vain: ${look}`);
}
