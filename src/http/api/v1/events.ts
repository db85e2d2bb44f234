// What happens to content as it happens: server-sent events, each judged by what the reader may at that moment.
import { Type } from 'typebox';
import { parsePattern } from '../../../auth/pattern.ts';
import { type HookEvent, hookEvents } from '../../../storage/webhook-store.ts';
import type { ApiContext } from './context.ts';
import { EventStreams, tellEvents } from './event-stream.ts';
import { invalidMember, Problem, parseMember } from './problem.ts';
import type { Routes } from './route.ts';
import { nullable, strict, time } from './schemas.ts';
import { admitEvents } from './webhooks.ts';

const eventSchema = strict({
  id: Type.Integer(),
  at: time,
  type: Type.Enum([...hookEvents]),
  kind: Type.Enum(['manifest', 'tag', 'blob', 'repository']),
  repository: Type.String(),
  tag: nullable(Type.String()),
  digest: nullable(Type.String()),
  mediaType: nullable(Type.String()),
  size: nullable(Type.Integer(), 'Bytes of the manifest or blob itself.'),
  actor: Type.String(),
  count: Type.Optional(Type.Integer({ description: 'Pulls that one event stands for.' })),
});

export function eventRoutes(routes: Routes, context: ApiContext): void {
  const streams = new EventStreams();
  routes.declare('events', 'GET', '/events', {
    need: ['signed-in'],
    summary: 'Pushes, deletes and pulls as server-sent events, as they happen.',
    description:
      'The name of each event is its type, its data the event. `Last-Event-ID` goes on where a stream was left; where some of what ' +
      'came since is not kept any more an event `gap` comes first. `end` is the last one: the server stops, or the reader may ' +
      'read no more. Only events of repositories come that the reader may read when they are sent.',
    query: strict({
      repository: Type.Optional(
        Type.String({ minLength: 1, maxLength: 255, description: 'acme/web, acme/web-*, acme/**' }),
      ),
      type: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 100,
          description: 'push, delete, mount, pull, restore, with commas between',
        }),
      ),
    }),
    answers: { 200: eventSchema },
    mediaType: 'text/event-stream',
    content: true,
    handle: async ({ query, principal, request, reply }) => {
      const types = typesOf(query.type);
      if (query.type !== undefined) admitEvents(context, types, '/query/type');
      const { repository } = query;
      const pattern =
        repository === undefined
          ? undefined
          : parseMember('/query/repository', () => parsePattern(repository));
      const after = lastSeen(request.headers['last-event-id']);
      const place = streams.take(principal.name);
      if (place === undefined) {
        const detail = 'too many streams of events are open: end one of them, or try again later';
        throw new Problem('too-many-requests', detail, { headers: { 'retry-after': '30' } });
      }
      const stream = tellEvents(context, { principal, types, pattern, after });
      reply.raw.once('close', () => {
        place.leave();
        stream.leave();
      });
      reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        // nginx would gather events until it has a bufferful.
        .header('x-accel-buffering', 'no');
      return { kind: 'sent', reply: reply.send(stream.body) };
    },
  });
}

function typesOf(text: string | undefined): readonly HookEvent[] {
  if (text === undefined) return hookEvents;
  const words = text.split(',').map((word) => word.trim());
  for (const word of words) {
    if ((hookEvents as readonly string[]).includes(word)) continue;
    throw invalidMember(
      '/query/type',
      `${JSON.stringify(word.slice(0, 40))} is none of ${hookEvents.join(', ')}`,
    );
  }
  return words as HookEvent[];
}

function lastSeen(header: string | string[] | undefined): number | undefined {
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header);
  throw invalidMember('/headers/last-event-id', 'this is the id of no event here: leave it out to begin now');
}
