// Long work: what runs and what has run, beginning it, pausing, resuming and cancelling it, and its progress as it happens.
import { Type } from 'typebox';
import { type OperationView, SameKindRunningError } from '../../../registry/operations.ts';
import type { ApiContext } from './context.ts';
import { endedEventId, progressOf } from './operation-events.ts';
import { beginOperation, planOperation } from './operation-requests.ts';
import {
  kind,
  operationPlan,
  operationRequest,
  operationSchema,
  showOperation,
  state,
} from './operation-schemas.ts';
import { afterNumber, pageMembers, pageOf } from './pages.ts';
import { notFound, Problem } from './problem.ts';
import { accepted, basePath, found, list, nothing, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';

export function operationRoutes(routes: Routes, context: ApiContext): void {
  listOperations(routes, context);
  begin(routes, context);
  showOne(routes, context);
  follow(routes, context);
  change(routes, context);
}

function listOperations(routes: Routes, context: ApiContext): void {
  const { operations } = context.registry;
  routes.declare('operations', 'GET', '/operations', {
    need: ['administrator', 'auditor'],
    summary: 'What runs and what has run, newest first.',
    query: strict({ ...pageMembers, kind: Type.Optional(kind), state: Type.Optional(state) }),
    answers: { 200: listOf(operationSchema) },
    handle: async ({ query }) => {
      const limit = query.limit ?? context.config.limits.pageSize;
      const before = afterNumber(query);
      const page = await operations.list({ kind: query.kind, state: query.state, before, limit });
      return list(pageOf(page, showOperation, ({ id }) => id));
    },
  });
}

function begin(routes: Routes, context: ApiContext): void {
  routes.declare('operations', 'POST', '/operations', {
    need: ['administrator'],
    summary: 'Begins a collection, a scrub, a backup or an import.',
    description:
      'One of each kind at a time: while one runs the answer is 409 with its id, and Location leads to it. Paths are those ' +
      'of the server, and an import from a URL makes the server itself connect there: that is why it takes an administrator. A dry run tells what would be begun and looks at nothing: what a collection ' +
      'would free is the report of one with `dryRun` in its body.',
    body: operationRequest,
    answers: { 202: operationSchema },
    whileReadOnly: true,
    plan: async ({ body, origin }) => {
      try {
        return planOperation(context, body, origin);
      } catch (error) {
        throw asConflict(error);
      }
    },
    planned: operationPlan,
    handle: async ({ body, origin }) => {
      try {
        const id = await beginOperation(context, body, origin);
        return accepted(`/operations/${id}`, showOperation(await findOperation(context, id)));
      } catch (error) {
        throw asConflict(error);
      }
    },
  });
}

function asConflict(error: unknown): unknown {
  if (!(error instanceof SameKindRunningError)) return error;
  const detail = `operation ${error.id} of this kind has not ended: wait for it or cancel it`;
  return new Problem('conflict', detail, { headers: { location: `${basePath}/operations/${error.id}` } });
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('operations', 'GET', '/operations/:id', {
    need: ['administrator', 'auditor'],
    summary: 'One operation: how far it is, or what it did.',
    answers: { 200: operationSchema },
    handle: async ({ params }) => found(showOperation(await findOperation(context, params.id))),
  });
}

function follow(routes: Routes, context: ApiContext): void {
  routes.declare('operations', 'GET', '/operations/:id/events', {
    need: ['administrator', 'auditor'],
    summary:
      'Its progress as server-sent events: `progress` while it runs, one `end`, and then the stream ends.',
    description:
      'The data of each event is the operation. Whoever comes back with the Last-Event-ID of the `end` is answered 204, ' +
      'with which browsers stop asking; anybody else is told where it is, and of an end that he missed.',
    answers: { 200: operationSchema, 204: Type.Null() },
    mediaType: 'text/event-stream',
    handle: async ({ params, request, reply }) => {
      const { id } = await findOperation(context, params.id);
      if (request.headers['last-event-id'] === endedEventId) return nothing;
      reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        // nginx would gather events until it has a bufferful.
        .header('x-accel-buffering', 'no');
      return { kind: 'sent', reply: reply.send(progressOf(context.registry.operations, id)) };
    },
  });
}

function change(routes: Routes, context: ApiContext): void {
  const { operations } = context.registry;
  const verbs = [
    [
      'pause',
      200,
      'Stops it at its next step, until it is resumed or cancelled.',
      (id: number) => operations.pause(id),
    ],
    ['resume', 200, 'Lets it go on after a pause.', (id: number) => operations.resume(id)],
    [
      'cancel',
      202,
      'Ends it at its next step. What it did so far stays done, and nothing is left half done.',
      async (id: number) => operations.cancel(id),
    ],
  ] as const;
  for (const [verb, status, summary, act] of verbs) {
    routes.declare('operations', 'POST', `/operations/:id/${verb}`, {
      need: ['administrator'],
      summary,
      answers: { [status]: operationSchema },
      whileReadOnly: true,
      handle: async ({ params }) => {
        const { id } = await findOperation(context, params.id);
        if (!(await act(id))) {
          throw new Problem('conflict', `operation ${id} has ended: there is nothing to ${verb}`);
        }
        const shown = showOperation(await findOperation(context, id));
        return status === 202 ? accepted(`/operations/${id}`, shown) : found(shown);
      },
    });
  }
}

async function findOperation({ registry }: ApiContext, id: string | number): Promise<OperationView> {
  const isId = typeof id === 'number' || /^[1-9]\d{0,14}$/.test(id);
  const operation = isId ? await registry.operations.find(Number(id)) : undefined;
  if (operation === undefined) throw notFound(`operation ${id}`);
  return operation;
}
