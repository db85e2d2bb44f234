// Webhooks of a namespace, and in the namespace `system` of the whole registry.
import { Type } from 'typebox';
import { parseGrantObject } from '../../../auth/granting.ts';
import { everythingIn, parsePattern, wholeRegistry } from '../../../auth/pattern.ts';
import type { HookEvent, Webhook } from '../../../storage/webhook-store.ts';
import { isDelivered } from '../../../webhooks/attempts.ts';
import { parseHookUrl, RefusedUrlError } from '../../../webhooks/hook-url.ts';
import { createHookSecret } from '../../../webhooks/signature.ts';
import type { ApiContext } from './context.ts';
import { findNamespace } from './namespaces.ts';
import { afterNumber, pageMembers, pageOf, sortedByCreation } from './pages.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { type Call, created, found, list, nothing, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';
import {
  deliverySchema,
  hookChanges,
  hookSchema,
  hookWithSecret,
  newHook,
  settingsOfHook,
  showDelivery,
  showHook,
  testSchema,
} from './webhook-schemas.ts';

/** Each is sent to at the same time as the others. */
const mostInNamespace = 20;
const registryNamespace = 'system';

interface HookParams {
  readonly namespace: string;
  readonly id: string;
}

export function webhookRoutes(routes: Routes, context: ApiContext): void {
  listHooks(routes, context);
  addHook(routes, context);
  showOne(routes, context);
  changeHook(routes, context);
  removeHook(routes, context);
  tryHook(routes, context);
  deliveries(routes, context);
  redeliver(routes, context);
}

function listHooks(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'GET', '/namespaces/:namespace/webhooks', {
    need: ['admin'],
    summary: 'Webhooks of a namespace, oldest first.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(hookSchema) },
    handle: async (call) => {
      const { params, query } = call;
      await findNamespace(context, params.namespace);
      const limit = query.limit ?? context.config.limits.pageSize;
      const wanted = { ...sortedByCreation.read(query), limit };
      const page = await storeOf(context).list(params.namespace, wanted);
      return list(
        sortedByCreation.page(
          query,
          page,
          (hook) => showHook(hook, isMasked(call)),
          ({ id }) => id,
        ),
      );
    },
  });
}

function addHook(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'POST', '/namespaces/:namespace/webhooks', {
    need: ['admin'],
    summary: 'Adds a webhook, which is told of what happens from now on.',
    description:
      'In the namespace system it is for the whole registry. Where no secret is given one is made and told this once. Where ' +
      'it may go is a setting: webhooks.allowedHosts.',
    body: newHook,
    answers: { 201: hookWithSecret },
    handle: async ({ params, body, origin }) => {
      const { namespace } = params;
      admitUrl(context, body.url);
      admitEvents(context, body.events);
      const repositories = patternOf(namespace, body.repositories ?? wholeRegistry);
      const secret = body.secret ?? createHookSecret();
      const added = await storeOf(context).add({
        namespace,
        url: body.url,
        events: body.events,
        repositories,
        format: body.format ?? 'distribution',
        secret,
        enabled: body.enabled ?? true,
        most: mostInNamespace,
        origin,
      });
      if (added.outcome === 'unknown') throw notFound(`namespace ${namespace}`);
      if (!('webhook' in added)) {
        const detail = `${namespace} has ${mostInNamespace} webhooks, and more it cannot have: remove one first`;
        throw new Problem('conflict', detail);
      }
      await context.webhooks.changed();
      const path = `/namespaces/${namespace}/webhooks/${added.webhook.id}`;
      return created(path, showHook(added.webhook), body.secret === undefined ? { secret } : {});
    },
  });
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'GET', '/namespaces/:namespace/webhooks/:id', {
    need: ['admin'],
    summary: 'One webhook, without its secret.',
    answers: { 200: hookSchema },
    handle: async (call) => {
      const hook = await findHook(context, call.params);
      return found(showHook(hook, isMasked(call)), settingsOfHook(hook));
    },
  });
}

function changeHook(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'PATCH', '/namespaces/:namespace/webhooks/:id', {
    need: ['admin'],
    summary: 'Changes a webhook (JSON merge patch).',
    description:
      'Disabling gives up what is to be tried again; enabling begins with what happens from then on. Another URL ends a pause.',
    body: hookChanges,
    answers: { 200: hookSchema },
    whileReadOnly: (body) => body.enabled === false && Object.keys(body).length === 1,
    current: async ({ params }) => settingsOfHook(await findHook(context, params)),
    handle: async ({ params, body, origin }) => {
      const hook = await findHook(context, params);
      if (body.url !== undefined) admitUrl(context, body.url);
      if (body.events !== undefined) admitEvents(context, body.events);
      const { repositories, ...rest } = body;
      const changes =
        repositories === undefined
          ? rest
          : { ...rest, repositories: patternOf(params.namespace, repositories) };
      const changed = await storeOf(context).update({ id: hook.id, changes, origin });
      if (changed === undefined) throw noHook(params);
      await context.webhooks.changed();
      return found(showHook(changed), settingsOfHook(changed));
    },
  });
}

function removeHook(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'DELETE', '/namespaces/:namespace/webhooks/:id', {
    need: ['admin'],
    summary: 'Removes a webhook with the log of its deliveries.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => settingsOfHook(await findHook(context, params)),
    plan: async ({ params }) => ({
      removes: [`webhook:${params.namespace}/${(await findHook(context, params)).id}`],
    }),
    handle: async ({ params, origin }) => {
      const { id } = await findHook(context, params);
      if (!(await storeOf(context).remove({ id, origin }))) throw noHook(params);
      await context.webhooks.changed();
      return nothing;
    },
  });
}

function tryHook(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'POST', '/namespaces/:namespace/webhooks/:id/test', {
    need: ['admin'],
    summary: 'Sends an event of the type `test` now, and tells what the endpoint answered.',
    answers: { 200: testSchema },
    whileReadOnly: true,
    waitsAlone: true,
    handle: async ({ params }) => {
      const result = await context.webhooks.test(await findHook(context, params));
      if (result === undefined)
        throw new Problem('conflict', 'a test of this webhook is under way: wait for its answer');
      return found({
        delivered: isDelivered(result),
        status: result.status ?? null,
        milliseconds: Math.round(result.milliseconds),
        error: result.error ?? null,
        answer: result.answer ?? null,
      });
    },
  });
}

function deliveries(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'GET', '/namespaces/:namespace/webhooks/:id/deliveries', {
    need: ['admin'],
    summary:
      'What was sent, newest first, each as its last attempt left it; kept for webhooks.deliveriesKept.',
    query: strict(pageMembers),
    answers: { 200: listOf(deliverySchema) },
    handle: async ({ params, query }) => {
      const hook = await findHook(context, params);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await storeOf(context).listDeliveries(hook.id, { before: afterNumber(query), limit });
      return list(pageOf(page, showDelivery, ({ id }) => id));
    },
  });
}

function redeliver(routes: Routes, context: ApiContext): void {
  routes.declare('webhooks', 'POST', '/namespaces/:namespace/webhooks/:id/deliveries/:delivery/redeliver', {
    need: ['admin'],
    summary: 'Sends the event of a delivery again, now and once, and tells what came of it.',
    answers: { 200: deliverySchema },
    whileReadOnly: true,
    waitsAlone: true,
    handle: async ({ params }) => {
      const hook = await findHook(context, params);
      const id = numberOf(params.delivery);
      const delivery = id === undefined ? undefined : await storeOf(context).findDelivery(hook.id, id);
      if (delivery === undefined) throw notFound(`delivery ${params.delivery.slice(0, 20)}`);
      const sent = await context.webhooks.redeliver(hook, delivery);
      if (sent === undefined)
        throw new Problem('conflict', 'the event of this delivery is not kept any more (audit.keep)');
      return found(showDelivery(sent));
    },
  });
}

function storeOf({ registry }: ApiContext) {
  return registry.metadata.webhooks;
}

/** A hook of the namespace in the path, or the not-found Problem. */
async function findHook(context: ApiContext, params: HookParams): Promise<Webhook> {
  const id = numberOf(params.id);
  const hook = id === undefined ? undefined : await storeOf(context).find(id);
  if (hook?.namespace !== params.namespace) throw noHook(params);
  return hook;
}

function numberOf(text: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
}

function noHook({ namespace, id }: HookParams): Problem {
  return notFound(`webhook ${id.slice(0, 20)} in ${namespace}`);
}

function isMasked({ rights }: Call<unknown, unknown, unknown>): boolean {
  return rights.registryRole === 'auditor';
}

/** ** is all of the namespace, and in `system` all of the registry. */
function patternOf(namespace: string, text: string): string {
  return parseMember('/repositories', () => {
    if (namespace === registryNamespace) return parsePattern(text);
    return text === wholeRegistry ? everythingIn(namespace) : parseGrantObject(text, namespace);
  });
}

function admitUrl({ hookHosts }: ApiContext, text: string): void {
  try {
    parseHookUrl(text, hookHosts);
  } catch (error) {
    if (error instanceof RefusedUrlError) throw invalidMember('/url', error.message);
    throw error;
  }
}

/** Pulls are no events unless the settings make them. */
export function admitEvents({ config }: ApiContext, events: readonly HookEvent[], pointer = '/events'): void {
  if (!events.includes('pull') || config.audit.recordPulls) return;
  throw invalidMember(
    pointer,
    'pulls are counted here and no events: an administrator can set audit.recordPulls',
  );
}
