// Quotas: what each namespace and the registry may hold, and how much of that is used.
import { type Static, Type } from 'typebox';
import type { Quota, QuotaUse } from '../../../storage/care-store.ts';
import type { ApiContext } from './context.ts';
import { sortedByName } from './pages.ts';
import { notFound } from './problem.ts';
import { type Call, found, list, type Routes } from './route.ts';
import { listOf, nullable, strict } from './schemas.ts';

const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const limit = Type.Union([amount, Type.Literal('unlimited')], {
  description: 'a whole number from 0, or "unlimited"',
});
const quotaBody = strict({
  bytes: nullable(limit, 'a whole number of bytes, "unlimited", or null for what the settings say'),
  repositories: nullable(limit, 'a whole number, "unlimited", or null for what the settings say'),
});
type QuotaBody = Static<typeof quotaBody>;

export const usedSchema = strict({ bytes: amount, repositories: amount });
export const limitSchema = strict({ bytes: limit, repositories: limit });
export const quotaUse = strict({
  namespace: nullable(Type.String(), 'null: the registry as a whole, with all bytes that are stored.'),
  kind: Type.Enum(['user', 'organization', 'proxy', 'unowned', 'registry']),
  used: usedSchema,
  quota: Type.Unsafe<QuotaBody>({ ...quotaBody, description: 'What was set for it.' }),
  limit: Type.Unsafe<Static<typeof limitSchema>>({
    ...limitSchema,
    description: 'What holds: that, or what the settings say.',
  }),
});

export function quotaRoutes(routes: Routes, context: ApiContext): void {
  const { quotas } = context.registry.metadata.care;

  routes.declare('quotas', 'GET', '/quotas', {
    need: ['auditor'],
    summary: 'The registry first, then each namespace in order of name: what is used and what is allowed.',
    query: strict(sortedByName.members),
    answers: { 200: listOf(quotaUse) },
    handle: async ({ query }) => {
      const wanted = query.limit ?? context.config.limits.pageSize;
      const { after, descending } = sortedByName.read(query);
      const first = after === undefined ? await find(undefined) : [];
      // The empty name is the registry's own: all others come after it, in whatever order.
      const page = await quotas.list({ after: after || undefined, descending, limit: wanted - first.length });
      const items = [...first, ...page.items].map(showQuota);
      const last = items.at(-1)?.namespace ?? '';
      return list({ items, next: page.more ? sortedByName.next(query, last) : undefined });
    },
  });

  for (const url of ['/quota', '/namespaces/:namespace/quota'] as const) {
    const named = ({ params }: Call<unknown, unknown, unknown>) =>
      (params as { readonly namespace?: string }).namespace;
    routes.declare('quotas', 'PUT', url, {
      need: ['administrator'],
      summary:
        url === '/quota'
          ? 'Sets the quota of the registry.'
          : 'Sets the quota of a namespace in place of the settings.',
      description: 'What is there already stays, even where it is more: then nothing new is taken.',
      body: quotaBody,
      answers: { 200: quotaUse },
      current: async (call) => {
        const [use] = await find(named(call));
        return use && showQuota(use).quota;
      },
      handle: async (call) => {
        const namespace = named(call);
        const quota = {
          bytes: call.body.bytes ?? undefined,
          repositories: call.body.repositories ?? undefined,
        };
        const isSet = await quotas.set({ namespace, quota, origin: call.origin });
        const [use] = isSet ? await find(namespace) : [];
        if (use === undefined) throw notFound(`namespace ${namespace}`);
        const shown = showQuota(use);
        return found(shown, shown.quota);
      },
    });
  }

  async function find(namespace: string | undefined): Promise<readonly QuotaUse[]> {
    const use = await quotas.find(namespace);
    return use === undefined ? [] : [use];
  }
}

export function showQuota({ namespace, kind, used, quota, limit: holds }: QuotaUse): Static<typeof quotaUse> {
  return { namespace: namespace ?? null, kind, used, quota: orNull(quota), limit: holds };
}

function orNull({ bytes, repositories }: Quota): QuotaBody {
  return { bytes: bytes ?? null, repositories: repositories ?? null };
}
