// Damaged blobs: quarantined, answered 404, and healed by the next push of their content.
import { type Static, Type } from 'typebox';
import type { DamagedBlob } from '../../../storage/care-store.ts';
import type { ApiContext } from './context.ts';
import { afterNumber, pageMembers, pageOf } from './pages.ts';
import { list, type Routes } from './route.ts';
import { listOf, strict, time, timeText } from './schemas.ts';

const damageSchema = strict({
  digest: Type.String(),
  size: Type.Integer(),
  damagedAt: time,
  touches: Type.Array(strict({ repository: Type.String(), tags: Type.Array(Type.String()) }), {
    description:
      'The first hundred repositories that have it, and up to a hundred tags of each that lead to it.',
  }),
  heal: Type.String({ description: 'What to do, for people.' }),
});

export function damageRoutes(routes: Routes, context: ApiContext): void {
  const { scrub } = context.registry.metadata.care;
  routes.declare('damage', 'GET', '/damage', {
    need: ['auditor'],
    summary: 'Quarantined blobs, and which repositories and tags they touch.',
    query: strict(pageMembers),
    answers: { 200: listOf(damageSchema) },
    handle: async ({ query }) => {
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await scrub.listDamaged({ after: afterNumber(query), limit });
      return list(pageOf(page, showDamage, ({ cursor }) => cursor));
    },
  });
}

function showDamage({ digest, size, damagedAt, touches }: DamagedBlob): Static<typeof damageSchema> {
  const tagged = touches.find(({ tags }) => tags.length > 0);
  const heal =
    touches.length === 0
      ? 'nothing needs it any more: a collection removes it'
      : tagged === undefined
        ? 'push an image with this blob again, or let a scrub with repair look for another copy'
        : `push ${tagged.repository}:${tagged.tags[0]} again from wherever it still is: only the damaged blob travels`;
  const shown = touches.map(({ repository, tags }) => ({ repository, tags: [...tags] }));
  return { digest, size, damagedAt: timeText(damagedAt), touches: shown, heal };
}
