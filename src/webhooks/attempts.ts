// One attempt to deliver one event to one hook: what is sent, and what follows from how it went.
import type { Attempt, Webhook } from '../storage/webhook-store.ts';
import { longestWaitSeconds, waitSeconds } from './back-off.ts';
import { envelopeOf, type SentEvent, type Source } from './envelope.ts';
import type { SendResult } from './sender.ts';
import { signatureHeaders } from './signature.ts';

/** Answers that are about the endpoint and not about the event: the next event would get the same. */
const endpointStatuses: ReadonlySet<number> = new Set([
  ...[401, 403, 404, 405, 407, 408, 410, 421, 425, 429, 451],
  ...[502, 503, 504],
]);

export interface Message {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The request of an attempt. `id` is the same for each attempt at an event, `now` (Unix seconds) and `number` are not. */
export function messageOf(
  hook: Webhook,
  event: SentEvent,
  about: { readonly id: string; readonly source: Source; readonly now: number; readonly number: number },
): Message {
  const { id, source, now, number } = about;
  const { contentType, body } = envelopeOf(hook.format, id, event, source);
  return {
    body,
    headers: {
      'content-type': contentType,
      'x-berth-event': event.type,
      'x-berth-webhook': String(hook.id),
      'x-berth-attempt': String(number),
      ...signatureHeaders(hook.secret, { id, timestamp: Math.floor(now), body }),
    },
  };
}

export type Outcome = 'delivered' | 'refused' | 'unreachable' | 'given-up';

export function isDelivered({ status = 0 }: SendResult): boolean {
  return status >= 200 && status < 300;
}

/** What follows from an attempt that the hook made by itself. */
export function judge(
  hook: Webhook,
  eventSeq: number,
  result: SendResult,
  about: {
    /** Of this attempt, from 1. */
    readonly number: number;
    readonly mostAttempts: number;
    readonly now: number;
    readonly random: number;
    /** The hook has more pending than it should: then nothing new is tried for a while. */
    readonly crowded: boolean;
  },
): { readonly attempt: Attempt; readonly outcome: Outcome } {
  const { status, milliseconds, answer } = result;
  const told = { webhookId: hook.id, eventSeq, status, milliseconds, answer, error: errorOf(result) };
  if (isDelivered(result))
    return { attempt: { ...told, state: 'delivered', endpoint: 'reached' }, outcome: 'delivered' };
  const isRedirect = status !== undefined && status >= 300 && status < 400;
  const isEndpoint = status === undefined || isRedirect || endpointStatuses.has(status);
  const { number, mostAttempts, now, random, crowded } = about;
  const wait = Math.max(
    waitSeconds(isEndpoint ? Math.max(number, hook.failures + 1) : number, random),
    Math.min(result.retryAfterSeconds ?? 0, longestWaitSeconds),
  );
  const endpoint = { pausedUntil: isEndpoint || crowded ? now + wait : now };
  if (number >= mostAttempts) return { attempt: { ...told, state: 'failed', endpoint }, outcome: 'given-up' };
  const attempt: Attempt = { ...told, state: 'pending', nextAt: now + wait, endpoint };
  return { attempt, outcome: isEndpoint ? 'unreachable' : 'refused' };
}

/** What went wrong, for the log of deliveries. */
export function errorOf(result: SendResult): string | undefined {
  const { status, error } = result;
  if (error !== undefined || isDelivered(result)) return error;
  if (status !== undefined && status >= 300 && status < 400)
    return `it answered ${status}: only the redirects 307 and 308 are followed, so put the new address into the webhook`;
  return `it answered ${status}`;
}
