// What a hook that is enabled needs to be followed: where it is, what is for it, and how long it waits.
import { matchesPattern } from '../auth/pattern.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Webhook } from '../storage/webhook-store.ts';
import { longestWaitSeconds } from './back-off.ts';
import type { ContentEvent } from './content-events.ts';
import type { SentEvent } from './envelope.ts';

/** A hook that is enabled. */
export interface Follower {
  hook: Webhook;
  /** Nothing up to here is still to be looked at; what of it is still to be sent is in `queue`. */
  seen: number;
  queue: ContentEvent[];
  /** The cursor in its row. */
  saved: number;
  running: boolean;
  /** There was a reason to run while it ran. */
  again: boolean;
  cancelTimer: (() => void) | undefined;
}

/** Whether a hook is told of an event. */
export function isFor({ events, repositories }: Webhook, { type, repository }: ContentEvent): boolean {
  return events.includes(type) && matchesPattern(repositories, repository);
}

/** Seconds until a time. One that is further away than any wait is of a clock that was set. */
export function waitUntil(at: number | undefined, now: number): number {
  const seconds = at === undefined ? 0 : at - now;
  return seconds > 2 * longestWaitSeconds ? 0 : Math.max(0, seconds);
}

/** What is sent to see whether it arrives: of a type that nobody acts upon. */
export function testEvent({ namespace, createdBy }: Webhook, now: number): SentEvent {
  return {
    seq: 0,
    at: Math.floor(now),
    type: 'test',
    kind: 'tag',
    repository: `${namespace}/test` as RepositoryName,
    tag: 'test',
    digest: undefined,
    mediaType: undefined,
    size: undefined,
    actor: createdBy,
    count: undefined,
    address: undefined,
    userAgent: undefined,
    requestId: undefined,
  };
}
