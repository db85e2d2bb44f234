// How an operation is shown, and what may be asked for.
import { type Static, Type } from 'typebox';
import type { OperationView } from '../../../registry/operations.ts';
import { operationKinds, operationStates } from '../../../storage/care-store.ts';
import { nullable, strict, time, timeText, timeTextOrNull } from './schemas.ts';

const facts = Type.Record(Type.String(), Type.Unknown());

export const kind = Type.Enum([...operationKinds]);
export const state = Type.Enum([...operationStates], {
  description: 'interrupted: the server ended before it did.',
});
export const operationSchema = strict({
  id: Type.Integer(),
  kind,
  state,
  actor: Type.String({ description: 'Who began it; system: a schedule.' }),
  request: Type.Unsafe<Readonly<Record<string, unknown>>>({
    ...facts,
    description: 'What was asked for, without secrets.',
  }),
  done: nullable(Type.Number(), 'Bytes of a backup; blobs, manifests or repositories of others.'),
  total: nullable(Type.Number()),
  rate: nullable(Type.Number(), '`done` per second while it was not paused; of one that runs.'),
  remainingSeconds: nullable(Type.Number()),
  startedAt: time,
  endedAt: nullable(time),
  report: nullable(
    facts,
    'While it runs what it told last, afterwards what it did; `error` of one that failed.',
  ),
});

/** What would be begun. */
export const operationPlan = strict({
  dryRun: Type.Literal(true),
  kind,
  request: Type.Unsafe<Readonly<Record<string, unknown>>>({
    ...facts,
    description: 'What was asked for, with what holds unless told and without secrets.',
  }),
});

export function showOperation(operation: OperationView): Static<typeof operationSchema> {
  const { rate, remainingSeconds, report } = operation;
  return {
    id: operation.id,
    kind: operation.kind,
    state: operation.state,
    actor: operation.actor,
    request: operation.request,
    done: operation.done ?? null,
    total: operation.total ?? null,
    rate: rate ?? null,
    remainingSeconds: remainingSeconds ?? null,
    startedAt: timeText(operation.startedAt),
    endedAt: timeTextOrNull(operation.endedAt),
    report: report === undefined ? null : { ...report },
  };
}

const path = Type.String({ minLength: 1, maxLength: 4096, description: 'An absolute path of the server.' });
const patterns = Type.Array(Type.String({ minLength: 1, maxLength: 300 }), {
  maxItems: 1000,
  description: 'Names or patterns: * is anything but a slash, ** anything at all.',
});
const parallel = Type.Integer({ minimum: 1, maximum: 32, description: 'Manifests and blobs at a time.' });

/** Which of the members each type takes is judged by operation-requests.ts, with a sentence. */
export const importSource = strict({
  type: Type.Enum(['distribution', 'oci', 'registry'], {
    description:
      "The folder of docker's registry, an OCI layout (a folder or a tar archive), a registry that runs.",
  }),
  path: Type.Optional(path),
  url: Type.Optional(
    Type.String({
      pattern: '^https?://[^/?#@\\s]+/?$',
      maxLength: 300,
      description: 'Scheme, host and port. The server connects to it itself, whatever network that is in.',
    }),
  ),
  credentials: Type.Optional(
    strict(
      {
        username: Type.String({ minLength: 1, maxLength: 300 }),
        password: Type.String({ minLength: 1, maxLength: 8192 }),
      },
      'For the registry at `url`; they are not kept.',
    ),
  ),
  certificate: Type.Optional(
    Type.String({
      maxLength: 200_000,
      description: 'Certificates to trust beside those of the server, PEM.',
    }),
  ),
  repository: Type.Optional(
    Type.String({ maxLength: 255, description: 'oci: where images go that are named by a tag alone.' }),
  ),
  repositories: Type.Optional(patterns),
  tags: Type.Optional(patterns),
  link: Type.Optional(
    Type.Boolean({ description: 'false: files are copied, even where a second name would do.' }),
  ),
  overwrite: Type.Optional(
    Type.Boolean({ description: 'Moves tags, too, that somebody has set or removed here since.' }),
  ),
  parallel: Type.Optional(parallel),
});

export const operationRequest = strict({
  kind: Type.Enum(['gc', 'scrub', 'backup', 'import']),
  dryRun: Type.Optional(Type.Boolean({ description: 'gc: looks and changes nothing.' })),
  now: Type.Optional(
    Type.Boolean({ description: 'gc: gives up what was deleted and could still be restored.' }),
  ),
  force: Type.Optional(
    Type.Boolean({
      description: 'gc: goes on however much would go, and where the folder had another database before.',
    }),
  ),
  deep: Type.Optional(Type.Boolean({ description: 'scrub: reads every byte.' })),
  repair: Type.Optional(Type.Boolean({ description: 'scrub: mends what can be mended from what is there.' })),
  destination: Type.Optional(path),
  keep: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10_000, description: 'backup: so many stay there.' }),
  ),
  verify: Type.Optional(Type.Boolean({ description: 'backup: reads it once more at the end.' })),
  source: Type.Optional(importSource),
});
export type OperationRequest = Static<typeof operationRequest>;
export type ImportSourceRequest = Static<typeof importSource>;
