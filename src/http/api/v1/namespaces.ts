// Namespaces: whose first part of a repository's name is, and what new repositories in it are.
import { type Static, Type } from 'typebox';
import type { Namespace } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { seesNamespace } from './needs-guard.ts';
import { type ListPage, type SortedQuery, sortedByName } from './pages.ts';
import { notFound } from './problem.ts';
import { type Call, found, list, type Routes } from './route.ts';
import { description, listOf, nullable, strict, time, timeText, visibility } from './schemas.ts';

export const namespaceSchema = strict({
  name: Type.String(),
  kind: Type.Enum(['user', 'organization', 'proxy', 'unowned']),
  description: Type.String(),
  defaultVisibility: nullable(visibility, 'Of new repositories; null: as access.defaultVisibility says.'),
  createdAt: time,
});
const withUsage = strict({
  ...namespaceSchema.properties,
  usage: nullable(
    strict({ repositories: Type.Integer(), size: Type.Integer({ description: 'Bytes.' }) }),
    'null: for those who may read all of it.',
  ),
});
const scanned = 200;

export function namespaceRoutes(routes: Routes, context: ApiContext): void {
  listNamespaces(routes, context);
  showOne(routes, context);
  changeNamespace(routes, context);
}

function listNamespaces(routes: Routes, context: ApiContext): void {
  routes.declare('namespaces', 'GET', '/namespaces', {
    need: ['signed-in'],
    summary: 'Namespaces that the caller may see, in order of name.',
    query: strict({ ...sortedByName.members, kind: Type.Optional(Type.Enum(['user', 'organization'])) }),
    answers: { 200: listOf(namespaceSchema) },
    handle: async (call) => list(await listSeen(context, call)),
  });
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('namespaces', 'GET', '/namespaces/:namespace', {
    need: ['read'],
    summary: 'One namespace.',
    description:
      'Of whoever has a right in it, and where its default visibility is public or internal of those too.',
    answers: { 200: withUsage },
    content: true,
    handle: async (call) => {
      const namespace = await findNamespace(context, call.params.namespace);
      const tagged = showNamespace(namespace);
      return found({ ...tagged, usage: readsAll(call) ? usageOf(namespace) : null }, tagged);
    },
  });
}

function changeNamespace(routes: Routes, context: ApiContext): void {
  const { namespaces } = context.registry.metadata.accounts;
  routes.declare('namespaces', 'PATCH', '/namespaces/:namespace', {
    need: ['admin'],
    summary:
      'Changes a namespace (JSON merge patch). A new default visibility is for repositories made from then on.',
    body: strict({
      defaultVisibility: Type.Optional(nullable(visibility)),
      description: Type.Optional(description),
    }),
    answers: { 200: withUsage },
    content: true,
    current: async ({ params }) => {
      const namespace = await namespaces.find(params.namespace);
      return namespace && showNamespace(namespace);
    },
    handle: async (call) => {
      const { params, body, origin } = call;
      if (!(await namespaces.update({ name: params.namespace, changes: body, origin }))) {
        throw notFound(`namespace ${params.namespace}`);
      }
      const namespace = await findNamespace(context, params.namespace);
      const tagged = showNamespace(namespace);
      return found({ ...tagged, usage: readsAll(call) ? usageOf(namespace) : null }, tagged);
    },
  });
}

/** The namespace, or the not-found Problem. */
export async function findNamespace({ registry }: ApiContext, name: string): Promise<Namespace> {
  const namespace = await registry.metadata.accounts.namespaces.find(name);
  if (namespace === undefined) throw notFound(`namespace ${name}`);
  return namespace;
}

export function showNamespace(namespace: Namespace): Static<typeof namespaceSchema> {
  return {
    name: namespace.name,
    kind: namespace.kind,
    description: namespace.description,
    defaultVisibility: namespace.defaultVisibility ?? null,
    createdAt: timeText(namespace.createdAt),
  };
}

function usageOf({ repositories, usedBytes }: Namespace) {
  return { repositories, size: usedBytes };
}

/** Whether the caller may read everything in the namespace of the path, and so be told how much there is. */
export function readsAll({
  request,
  params,
  now,
}: Call<{ readonly namespace: string }, unknown, unknown>): boolean {
  // Mode open: everything about content is everybody's.
  if (request.rights === undefined) return true;
  return request.rights.roleOnNamespace(params.namespace, now) !== undefined;
}

// Pages of the store are read until there is one more than wanted.
async function listSeen(
  context: ApiContext,
  call: Call<unknown, SortedQuery & { kind?: 'user' | 'organization' }, unknown>,
) {
  const { namespaces } = context.registry.metadata.accounts;
  const { query } = call;
  const limit = query.limit ?? context.config.limits.pageSize;
  const seen: Namespace[] = [];
  const wanted = sortedByName.read(query);
  let { after } = wanted;
  for (;;) {
    const page = await namespaces.list({ ...wanted, after, limit: scanned, kind: query.kind });
    for (const namespace of page.items) {
      if (await seesNamespace(context, call, namespace.name, namespace)) seen.push(namespace);
      if (seen.length > limit) break;
    }
    if (seen.length > limit || !page.more) break;
    after = page.items.at(-1)?.name;
  }
  const items = seen.slice(0, limit);
  const last = seen.length > limit ? items.at(-1) : undefined;
  const next = last && sortedByName.next(query, last.name);
  return { items: items.map(showNamespace), next } satisfies ListPage<object>;
}
