// What the API says of webhooks and deliveries, and what it takes for one.
import { type Static, Type } from 'typebox';
import {
  type Delivery,
  deliveryStates,
  hookEvents,
  hookFormats,
  type Webhook,
} from '../../../storage/webhook-store.ts';
import { nullable, strict, time, timeText, timeTextOrNull } from './schemas.ts';

const url = Type.String({
  minLength: 1,
  maxLength: 2048,
  description: 'a URL of the scheme https or http, without a name and password',
});
const events = Type.Array(Type.Enum([...hookEvents]), {
  minItems: 1,
  uniqueItems: true,
  description: 'a list of push, delete, pull, mount and restore',
});
const repositories = Type.String({
  minLength: 1,
  maxLength: 255,
  description:
    'a pattern of full repository names, such as acme/** or acme/web-*; ** is all of the namespace',
});
const format = Type.Enum([...hookFormats]);
const secret = Type.String({
  minLength: 16,
  maxLength: 256,
  pattern: '^[\\x20-\\x7e]+$',
  description: '16 to 256 printable ASCII characters, such as the whsec_… that is made where none is given',
});

export const newHook = strict({
  url,
  events,
  repositories: Type.Optional(repositories),
  format: Type.Optional(format),
  secret: Type.Optional(secret),
  enabled: Type.Optional(Type.Boolean()),
});

export const hookChanges = strict({
  url: Type.Optional(url),
  events: Type.Optional(events),
  repositories: Type.Optional(repositories),
  format: Type.Optional(format),
  secret: Type.Optional(secret),
  enabled: Type.Optional(Type.Boolean()),
});

const hookMembers = {
  id: Type.Integer(),
  namespace: Type.String({ description: 'system: the whole registry.' }),
  url: Type.String({ description: 'For an auditor its origin alone: the rest may be a password.' }),
  events: Type.Array(Type.Enum([...hookEvents])),
  repositories: Type.String(),
  format,
  enabled: Type.Boolean(),
  failingSince: nullable(time, 'Since when every attempt fails; null: none does.'),
  failures: Type.Integer({ description: 'Attempts that failed since then.' }),
  pausedUntil: nullable(time, 'Nothing is sent before, because the endpoint did not answer.'),
  createdAt: time,
  createdBy: Type.String(),
};
export const hookSchema = strict(hookMembers);
export const hookWithSecret = strict({
  ...hookMembers,
  secret: Type.Optional(Type.String({ description: 'Told this once, where none was given.' })),
});

const attemptMembers = {
  status: nullable(Type.Integer(), 'What the endpoint answered; null: it did not.'),
  milliseconds: Type.Integer(),
  error: nullable(Type.String(), 'What went wrong; null: nothing.'),
  answer: nullable(Type.String(), 'The first KiB of what the endpoint answered.'),
};
export const testSchema = strict({ delivered: Type.Boolean(), ...attemptMembers });
export const deliverySchema = strict({
  id: Type.Integer(),
  event: Type.Integer({ description: 'The id of the event, as in the audit log and the live stream.' }),
  state: Type.Enum([...deliveryStates], {
    description: 'pending: it is tried again; failed: it was given up.',
  }),
  attempts: Type.Integer(),
  nextAt: nullable(time),
  firstAt: time,
  lastAt: time,
  ...attemptMembers,
});

/** `masked`: for somebody who may read everything but secrets. */
export function showHook(hook: Webhook, masked = false): Static<typeof hookSchema> {
  return {
    id: hook.id,
    namespace: hook.namespace,
    url: masked ? `${new URL(hook.url).origin}/…` : hook.url,
    events: [...hook.events],
    repositories: hook.repositories,
    format: hook.format,
    enabled: hook.enabled,
    failingSince: timeTextOrNull(hook.failingSince),
    failures: hook.failures,
    pausedUntil: timeTextOrNull(hook.pausedUntil),
    createdAt: timeText(hook.createdAt),
    createdBy: hook.createdBy,
  };
}

/** What of a hook somebody set, which is what its entity tag is about. */
export function settingsOfHook({ url, events, repositories, format, enabled, secret }: Webhook): object {
  return { url, events, repositories, format, enabled, secret };
}

export function showDelivery(delivery: Delivery): Static<typeof deliverySchema> {
  return {
    id: delivery.id,
    event: delivery.eventSeq,
    state: delivery.state,
    attempts: delivery.attempts,
    nextAt: timeTextOrNull(delivery.nextAt),
    firstAt: timeText(delivery.firstAt),
    lastAt: timeText(delivery.lastAt),
    status: delivery.status ?? null,
    milliseconds: delivery.milliseconds,
    error: delivery.error ?? null,
    answer: delivery.answer ?? null,
  };
}
