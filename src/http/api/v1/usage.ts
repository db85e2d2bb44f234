// Usage: what takes the space, in the registry, a namespace and a repository, and what deleting something would free.
import { setImmediate as turn } from 'node:timers/promises';
import { Type } from 'typebox';
import { type Digest, parseDigest } from '../../../oci/digest.ts';
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import { parseTag, type Tag } from '../../../oci/reference.ts';
import type { BlobCount, QuotaUse, SurveyCursor } from '../../../storage/care-store.ts';
import type { ApiContext } from './context.ts';
import { readsAll } from './namespaces.ts';
import { invalidMember, notFound, parseMember } from './problem.ts';
import { limitSchema, quotaUse, showQuota, usedSchema } from './quotas.ts';
import { found, type Routes } from './route.ts';
import { nullable, strict } from './schemas.ts';

const blobCount = strict({ blobs: Type.Integer(), bytes: Type.Integer() });
const registryUsage = strict({
  stored: blobCount,
  shared: Type.Unsafe<BlobCount>({ ...blobCount, description: 'In more than one repository, counted once.' }),
  reclaimable: Type.Unsafe<BlobCount>({
    ...blobCount,
    description: 'What a collection would take back now.',
  }),
  held: Type.Array(strict({ reason: Type.Enum(['undelete', 'lease']), ...blobCount.properties }), {
    description:
      'What no manifest references and stays: undelete: deleted and restorable still; lease: clients were told that it is there.',
  }),
  namespaces: Type.Array(quotaUse, {
    description: 'The hundred that use most, most first; /quotas lists all.',
  }),
});
const namespaceUsage = strict({
  ...quotaUse.properties,
  used: nullable(usedSchema, 'null: for those who may read all of it.'),
  limit: nullable(limitSchema, 'null: for those who may read all of it.'),
});
const freedBy = strict({
  manifests: Type.Integer({ description: 'Those named, and children of indexes that nothing else needs.' }),
  exclusive: blobCount,
  shared: blobCount,
});
const repositoryUsage = strict({
  own: Type.Unsafe<BlobCount>({ ...blobCount, description: 'In no other repository.' }),
  shared: blobCount,
  tags: Type.Array(strict({ name: Type.String(), exclusive: blobCount }), {
    description: 'What deleting each alone would free; the first 500 in order of name.',
  }),
  moreTags: Type.Boolean(),
});

const pageOfBlobs = 2000;
const pageOfNamespaces = 500;
const namespacesShown = 100;
const tagsShown = 500;
const mostReferences = 100;

export function usageRoutes(routes: Routes, context: ApiContext): void {
  const { care, tags } = context.registry.metadata;

  routes.declare('usage', 'GET', '/usage', {
    need: ['administrator', 'auditor'],
    summary: 'What is stored, shared, reclaimable and held, and by whom.',
    answers: { 200: registryUsage },
    handle: async () => {
      const { going, undelete, lease } = await survey(context);
      const held = [
        { reason: 'undelete', ...undelete },
        { reason: 'lease', ...lease },
      ].filter(({ blobs }) => blobs > 0);
      return found({
        stored: await care.usage.stored(),
        shared: await countShared(context),
        reclaimable: going,
        held,
        namespaces: (await largestNamespaces(context)).map(showQuota),
      });
    },
  });

  routes.declare('usage', 'GET', '/namespaces/:namespace/usage', {
    need: ['read'],
    summary: 'What a namespace uses, each blob counted once, and what it may use.',
    answers: { 200: namespaceUsage },
    content: true,
    handle: async (call) => {
      const use = await care.quotas.find(call.params.namespace);
      if (use === undefined) throw notFound(`namespace ${call.params.namespace}`);
      const shown = showQuota(use);
      return found(
        readsAll(call)
          ? shown
          : { ...shown, used: null, limit: null, quota: { bytes: null, repositories: null } },
      );
    },
  });

  routes.declare('usage', 'GET', '/repositories/:repository/-/usage', {
    need: ['read'],
    summary:
      'What a repository uses alone and together with others; with ?delete= what deleting that would free.',
    query: strict({
      delete: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 8192,
          description: `Tags and digests with commas between them: tag:v1,tag:v2,sha256:…; at most ${mostReferences}.`,
        }),
      ),
    }),
    answers: { 200: Type.Union([repositoryUsage, freedBy]) },
    content: true,
    handle: async ({ params, query }) => {
      const repository = parseMember('/params/repository', () => parseRepositoryName(params.repository));
      if (query.delete === undefined) return found(await usageOf(repository));
      const named = parseReferences(query.delete);
      await assertThere(repository, named);
      const freed = await care.usage.freedBy({ repository, ...named });
      if (freed === undefined) throw notFound(`repository ${repository}`);
      return found(freed);
    },
  });

  /** What is not there frees nothing, and was probably meant to be something else. */
  async function assertThere(
    repository: RepositoryName,
    { tags: tagged, digests }: { readonly tags: readonly Tag[]; readonly digests: readonly Digest[] },
  ): Promise<void> {
    const { manifests } = context.registry.metadata;
    for (const tag of tagged)
      if ((await manifests.stat(repository, { tag })) === undefined) throw notFound(`${repository}:${tag}`);
    for (const digest of digests)
      if ((await manifests.stat(repository, { digest })) === undefined)
        throw notFound(`${repository}@${digest}`);
  }

  async function usageOf(repository: RepositoryName) {
    let [own, shared] = [none, none];
    for (let after: number | undefined = 0; after !== undefined; await turn()) {
      const from: number = after;
      const page = await care.usage.ofRepository({ repository, after: from, limit: pageOfBlobs });
      if (page === undefined) throw notFound(`repository ${repository}`);
      own = sum(own, page.own);
      shared = sum(shared, page.shared);
      after = page.next;
    }
    const page = await tags.list(repository, { limit: tagsShown });
    const shown: { name: Tag; exclusive: BlobCount }[] = [];
    for (const name of page?.items ?? []) {
      const freed = await care.usage.freedBy({ repository, tags: [name], digests: [] });
      shown.push({ name, exclusive: freed?.exclusive ?? none });
      await turn();
    }
    return { own, shared, tags: shown, moreTags: page?.more ?? false };
  }
}

const none: BlobCount = { blobs: 0, bytes: 0 };

function sum(one: BlobCount, other: BlobCount): BlobCount {
  return { blobs: one.blobs + other.blobs, bytes: one.bytes + other.bytes };
}

async function survey({ registry }: ApiContext) {
  const { collector } = registry.metadata.care;
  let counts = { going: none, undelete: none, lease: none };
  let from: SurveyCursor | undefined;
  do {
    const page = await collector.survey({ everything: false, from });
    counts = {
      going: sum(counts.going, page.going),
      undelete: sum(counts.undelete, page.undelete),
      lease: sum(counts.lease, page.lease),
    };
    from = page.next;
    await turn();
  } while (from !== undefined);
  return counts;
}

async function countShared({ registry }: ApiContext): Promise<BlobCount> {
  const { usage } = registry.metadata.care;
  let shared = none;
  for (let after: number | undefined = 0; after !== undefined; await turn()) {
    const from: number = after;
    const page = await usage.shared({ after: from, limit: pageOfBlobs });
    shared = sum(shared, page.shared);
    after = page.next;
  }
  return shared;
}

async function largestNamespaces({ registry }: ApiContext): Promise<readonly QuotaUse[]> {
  const { quotas } = registry.metadata.care;
  let largest: readonly QuotaUse[] = [];
  for (let after: string | undefined = ''; after !== undefined; await turn()) {
    const from: string = after;
    const page = await quotas.list({ after: from, limit: pageOfNamespaces });
    largest = [...largest, ...page.items]
      .sort((one, other) => other.used.bytes - one.used.bytes)
      .slice(0, namespacesShown);
    after = page.more ? page.items.at(-1)?.namespace : undefined;
  }
  return largest;
}

function parseReferences(text: string): {
  readonly tags: readonly Tag[];
  readonly digests: readonly Digest[];
} {
  const parts = text.split(',');
  if (parts.length > mostReferences) {
    throw invalidMember('/query/delete', `at most ${mostReferences} references at a time`);
  }
  const tags: Tag[] = [];
  const digests: Digest[] = [];
  for (const part of parts) {
    parseMember('/query/delete', () =>
      part.startsWith('tag:')
        ? tags.push(parseTag(part.slice('tag:'.length)))
        : digests.push(parseDigest(part)),
    );
  }
  return { tags, digests };
}
