// Manifests: lists, also of those without a tag, and deleting one.
import { Type } from 'typebox';
import { type Digest, parseDigest } from '../../../oci/digest.ts';
import type { RepositoryName } from '../../../oci/name.ts';
import { TagProtectedError } from '../../../storage/protection-store.ts';
import type { ApiContext } from './context.ts';
import { afterNumber, pageMembers } from './pages.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { list, nothing, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';
import { manifestKind, manifestSchema, repositoryIn, showManifest } from './tag-shapes.ts';

export function manifestRoutes(routes: Routes, context: ApiContext): void {
  const { metadata, tagging, writes } = context.registry;

  routes.declare('manifests', 'GET', '/repositories/:repository/-/manifests', {
    need: ['read'],
    summary: 'The manifests of a repository, newest first, also those without a tag.',
    description: 'With a filter a page may be short, even empty, and yet have a `next`.',
    query: strict({
      ...pageMembers,
      tagged: Type.Optional(Type.Boolean({ description: 'false: those alone that have no tag.' })),
      kind: Type.Optional(manifestKind),
    }),
    answers: { 200: listOf(manifestSchema) },
    content: true,
    handle: async ({ params, query }) => {
      const repository = repositoryIn(params.repository);
      const { tagged, kind, limit = context.config.limits.pageSize } = query;
      const wanted = { repository, before: afterNumber(query), limit, tagged, kind };
      const part = await metadata.manifests.details(wanted);
      if (part === undefined) throw notFound(`repository ${repository}`);
      return list({ items: part.items.map(showManifest), next: part.next?.[0] });
    },
  });

  routes.declare('manifests', 'DELETE', '/repositories/:repository/-/manifests/:reference', {
    need: ['maintain'],
    summary: 'Deletes a manifest with all its tags: gone at once, restorable for repositories.undeleteFor.',
    answers: { 204: Type.Null() },
    content: true,
    whileReadOnly: false,
    plan: async ({ params, origin }) => {
      writes.admitDeletePlan();
      const repository = repositoryIn(params.repository);
      const digest = digestIn(params.reference);
      const manifest = await metadata.manifests.findDetails(repository, digest);
      if (manifest === undefined) throw unknown(repository, digest);
      const [parent] = manifest.listedBy;
      if (parent !== undefined) throw listed(parent);
      const kept = await metadata.protection.findProtectedManifest(repository, digest, origin);
      if (kept !== undefined) throw new TagProtectedError(kept);
      const freed = await metadata.care.usage.freedBy({ repository, tags: [], digests: [digest] });
      const { tags, tagCount } = manifest;
      return { digest, tags, tagCount, bytes: freed?.exclusive.bytes ?? 0 };
    },
    handle: async ({ params, origin }) => {
      const repository = repositoryIn(params.repository);
      const digest = digestIn(params.reference);
      const removed = await tagging.removeManifest(repository, digest, origin);
      if (removed.outcome === 'unknown') throw unknown(repository, digest);
      if (removed.outcome === 'listed') throw listed(removed.parent);
      return nothing;
    },
  });
}

function digestIn(text: string): Digest {
  return parseMember('/params/reference', () => parseDigest(text));
}

function unknown(repository: RepositoryName, digest: Digest): Problem {
  return notFound(`manifest ${repository}@${digest}`);
}

function listed(parent: Digest): Problem {
  return new Problem('conflict', `the manifest is part of index ${parent}: delete that first`);
}
