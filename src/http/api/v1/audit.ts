// The audit log: every change with who, when, from where, before and after; sign-ins counted by account, address and minute.
import { Readable } from 'node:stream';
import { type Static, Type } from 'typebox';
import type { AuditFilter, RegistryEvent } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { afterNumber, pageMembers, pageOf } from './pages.ts';
import { list, type Routes } from './route.ts';
import { listOf, nullable, parseTime, strict, time, timeText } from './schemas.ts';

const eventSchema = strict({
  id: Type.Integer(),
  at: time,
  actor: Type.String(),
  action: Type.String({ description: 'user.disable, grant.set, push, delete, tag, sign-in …' }),
  object: Type.String({ description: 'user:alice, grant:acme/**, or a repository with its tag or digest.' }),
  outcome: Type.Enum(['allowed', 'refused']),
  namespace: nullable(Type.String()),
  repository: nullable(Type.String()),
  reference: nullable(Type.String()),
  digest: nullable(Type.String()),
  address: nullable(Type.String()),
  userAgent: nullable(Type.String()),
  requestId: nullable(Type.String()),
  detail: nullable(
    Type.Record(Type.String(), Type.Unknown()),
    '{"before", "after"} of a change; counts of sign-ins.',
  ),
});
const filterMembers = {
  actor: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  action: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  object: Type.Optional(
    Type.String({ minLength: 1, maxLength: 300, description: 'user:alice, or the name of a repository.' }),
  ),
  namespace: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  outcome: Type.Optional(Type.Enum(['allowed', 'refused'])),
  since: Type.Optional(time),
  until: Type.Optional(time),
};
type Filter = Partial<Record<keyof typeof filterMembers, string>>;

const exportPage = 500;

export function auditRoutes(routes: Routes, context: ApiContext): void {
  const { events } = context.registry.metadata;

  routes.declare('audit', 'GET', '/audit', {
    need: ['auditor', 'admin'],
    summary: 'The audit log, newest first.',
    description: 'Who administers a namespace reads what happened there, with ?namespace=.',
    query: strict({ ...pageMembers, ...filterMembers }),
    answers: { 200: listOf(eventSchema) },
    handle: async ({ query }) => {
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await events.audit({ filter: filterOf(query), before: afterNumber(query), limit });
      return list(pageOf(page, showEvent, ({ seq }) => seq));
    },
  });

  routes.declare('audit', 'GET', '/audit/export', {
    need: ['auditor'],
    summary: 'The audit log as application/x-ndjson, newest first, streamed.',
    query: strict(filterMembers),
    answers: { 200: eventSchema },
    mediaType: 'application/x-ndjson',
    handle: async ({ query, reply }) => {
      const lines = Readable.from(readLines(filterOf(query)), { objectMode: true, highWaterMark: 1 });
      reply
        .header('content-type', 'application/x-ndjson; charset=utf-8')
        .header('content-disposition', 'attachment; filename="berth-audit.ndjson"');
      return { kind: 'sent', reply: reply.send(lines) };
    },
  });

  // A page is read when the one before has gone out: the log may be larger than memory, and the client slower than the disk.
  async function* readLines(filter: AuditFilter): AsyncGenerator<string> {
    let before: number | undefined;
    for (;;) {
      const page = await events.audit({ filter, before, limit: exportPage });
      if (page.items.length > 0)
        yield page.items.map((event) => `${JSON.stringify(showEvent(event))}\n`).join('');
      before = page.items.at(-1)?.seq;
      if (!page.more || before === undefined) return;
    }
  }
}

function filterOf(query: Filter): AuditFilter {
  const { action, namespace, since, until } = query;
  // A form decodes the plus of a robot's name to a space; names hold none.
  const actor = query.actor?.replaceAll(' ', '+');
  const object = query.object?.replaceAll(' ', '+');
  const isAccount = object !== undefined && /^[a-z-]+:/.test(object);
  return {
    actor,
    action,
    namespace,
    object: isAccount ? object : undefined,
    repository: isAccount ? undefined : object,
    outcome: query.outcome as AuditFilter['outcome'],
    since: since === undefined ? undefined : parseTime(since, '/query/since'),
    until: until === undefined ? undefined : parseTime(until, '/query/until'),
  };
}

function showEvent(event: RegistryEvent): Static<typeof eventSchema> {
  const { repository, reference, digest } = event;
  const suffix = reference !== undefined ? `:${reference}` : digest !== undefined ? `@${digest}` : '';
  return {
    id: event.seq,
    at: timeText(event.at),
    actor: event.actor,
    action: event.kind,
    object: event.object ?? `${repository ?? ''}${suffix}`,
    outcome: event.outcome,
    namespace: event.namespace ?? null,
    repository: repository ?? null,
    reference: reference ?? null,
    digest: digest ?? null,
    address: event.address ?? null,
    userAgent: event.userAgent ?? null,
    requestId: event.requestId ?? null,
    detail: event.detail === undefined ? null : { ...event.detail },
  };
}
