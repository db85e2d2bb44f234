// Webhooks and the live stream of one server, from its settings.
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { ApiContext } from '../http/api/v1/context.ts';
import type { Registry } from '../registry/registry.ts';
import type { Clock } from '../storage/clock.ts';
import { hostRules } from '../webhooks/allowed-hosts.ts';
import { EventFeed } from '../webhooks/event-feed.ts';
import { Sender } from '../webhooks/sender.ts';
import { Webhooks } from '../webhooks/webhooks.ts';

/** Puts them together; nothing is sent before `webhooks.start()`. `urlOf` tells where the server listens, once it does. */
export function openWebhooks(options: {
  readonly config: Config;
  readonly registry: Registry;
  readonly log: Logger;
  readonly version: string;
  readonly clock: Clock;
  readonly urlOf: () => string | undefined;
}): Pick<ApiContext, 'webhooks' | 'hookHosts' | 'eventFeed'> {
  const { config, registry, log, version, clock, urlOf } = options;
  const { allowedHosts, timeout, attempts, deliveriesKept } = config.webhooks;
  const hookHosts = hostRules(allowedHosts);
  const eventFeed = new EventFeed(registry.metadata.events);
  const webhooks = new Webhooks({
    metadata: registry.metadata,
    feed: eventFeed,
    sender: new Sender({ rules: hookHosts, timeoutSeconds: timeout, userAgent: `berth/${version}` }),
    withBallast: (change) => registry.writes.withBallast(change),
    clock,
    attempts,
    deliveriesKeptSeconds: deliveriesKept,
    baseUrl: () => config.http.publicUrl ?? reachable(urlOf() ?? 'http://localhost'),
    onFailure: (err) => log.error({ err }, 'webhooks could not go on: it is tried again'),
  });
  return { webhooks, hookHosts, eventFeed };
}

/** A server that listens everywhere is found by the name of its machine. */
function reachable(url: string): string {
  const { origin, hostname: host } = new URL(url);
  return host === '0.0.0.0' || host === '[::]' ? origin.replace(host, hostname()) : origin;
}
