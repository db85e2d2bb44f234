// The registry itself: what it is, how it is, its settings, and the switch that makes it read-only.
import { Type } from 'typebox';
import type { WriteGate } from '../../../registry/writes.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';
import { found, list, type Routes } from './route.ts';
import { listOf, nullable, strict } from './schemas.ts';
import { readStatus, statusSchema } from './status.ts';

const about = strict({
  name: Type.String(),
  version: Type.String(),
  links: Type.Record(Type.String(), Type.String()),
});
const settingInForce = strict({
  path: Type.String({ description: 'As in berth.yaml: http.port.' }),
  value: Type.Unknown({ description: 'As it was written; a secret that is set is "(set)".' }),
  source: Type.String({ description: 'FILE:LINE, a variable, a flag, or "default".' }),
  variable: Type.String({ description: 'Of the environment, that sets it.' }),
});
const readOnlyState = strict({
  readOnly: Type.Boolean(),
  message: nullable(Type.String(), 'What is told to whoever wants to change something.'),
  until: nullable(
    Type.Enum(['restart', 'configuration']),
    'restart: it ends with the process; configuration: storage.readOnly is set.',
  ),
});

export function registryRoutes(routes: Routes, context: ApiContext): void {
  introduce(routes, context);
  showStatus(routes, context);
  showConfig(routes, context);
  switchReadOnly(routes, context);
}

function introduce(routes: Routes, context: ApiContext): void {
  routes.declare('registry', 'GET', '/', {
    need: ['anyone'],
    summary: 'What this is, and where its descriptions are.',
    answers: { 200: about },
    handle: async () =>
      found({
        name: 'berth',
        version: context.version,
        links: { openapi: '/api/v1/openapi.json', documentation: '/api/v1/docs', registry: '/v2/' },
      }),
  });
}

function showStatus(routes: Routes, context: ApiContext): void {
  routes.declare('registry', 'GET', '/status', {
    need: ['auditor'],
    summary: 'Mode, counts, disk and warnings.',
    answers: { 200: statusSchema },
    handle: async ({ now }) => found(await readStatus(context, now)),
  });
}

function showConfig(routes: Routes, context: ApiContext): void {
  routes.declare('registry', 'GET', '/config', {
    need: ['auditor'],
    summary: 'Every setting in force and where its value comes from.',
    answers: { 200: listOf(settingInForce) },
    handle: async () => list({ items: context.settings(), next: undefined }),
  });
}

function switchReadOnly(routes: Routes, context: ApiContext): void {
  const { writes, metadata } = context.registry;
  routes.declare('registry', 'PUT', '/read-only', {
    need: ['administrator'],
    summary: 'Makes the registry read-only until it is switched back or restarted.',
    description:
      'Pulls go on; pushes, deletes and new access answer 503. For longer than the life of the process set storage.readOnly.',
    body: strict({
      readOnly: Type.Boolean(),
      message: Type.Optional(
        Type.String({ maxLength: 300, description: 'Told to whoever wants to change something.' }),
      ),
    }),
    answers: { 200: readOnlyState },
    whileReadOnly: true,
    current: async () => currentState(writes),
    handle: async ({ body, origin }) => {
      const before = currentState(writes);
      if (!body.readOnly && before.until === 'configuration') {
        throw new Problem(
          'conflict',
          'storage.readOnly is set in the configuration: change it there and send SIGHUP',
        );
      }
      writes.setReadOnly(body.readOnly ? { message: body.message } : undefined);
      const after = currentState(writes);
      await metadata.events.record({
        action: 'read-only.set',
        object: 'registry',
        detail: { before, after },
        origin,
      });
      return found(after);
    },
  });
}

function currentState(writes: WriteGate) {
  const { message, configured } = writes.readOnly();
  const until = configured ? 'configuration' : 'restart';
  return {
    readOnly: message !== undefined,
    message: message ?? null,
    until: message === undefined ? null : until,
  };
}
