// Lists of tags and of repositories (OCI distribution-spec, "Listing tags"; distribution's `_catalog`).
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { OciError } from '../../oci/errors.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Page } from '../../storage/metadata-store.ts';
import { declare, type HttpContext } from '../context.ts';
import { askedNameOf, principalOf, repositoryOf } from '../guard.ts';
import { linkNext, type WantedPage, wantedPage } from '../pages.ts';
import { rangesOf, sees, walkByName } from '../repository-walk.ts';

/** A filtered list is read in pages of so many at least. */
const leastPage = 100;

export function listRoutes(app: FastifyInstance, context: HttpContext): void {
  const { metadata } = context.registry;
  const { listWithoutN } = context.config.limits;

  declare(app, '/v2/:name/tags/list', 'tags', {
    GET: [
      'pull',
      async (request, reply) => {
        const name = askedNameOf(request);
        const wanted = wantedPage(request, listWithoutN);
        const page = await metadata.tags.list(repositoryOf(request), queryOf(wanted));
        if (page === undefined)
          throw new OciError('NAME_UNKNOWN', `repository ${name} does not exist`, { name });
        const tags = wanted.limit === 0 ? [] : page.items;
        const last = tags.at(-1);
        if (page.more && last !== undefined) {
          linkNext(context, request, reply, `/v2/${name}/tags/list`, { last, n: String(wanted.limit) });
        }
        return reply.type('application/json').send(JSON.stringify({ name, tags }));
      },
    ],
  });

  declare(app, '/v2/_catalog', 'catalog', {
    GET: [
      'catalog',
      async (request, reply) => {
        const wanted = wantedPage(request, listWithoutN);
        const page = await listVisible(context, request, wanted);
        const repositories = page.items;
        const last = repositories.at(-1);
        if (page.more && last !== undefined) {
          linkNext(context, request, reply, '/v2/_catalog', { last, n: String(wanted.limit) });
        }
        return reply.type('application/json').send(JSON.stringify({ repositories }));
      },
    ],
  });
}

// The store is asked for one item at least: an empty page still tells whether the repository exists.
function queryOf({ limit, after }: WantedPage) {
  return { limit: Math.max(limit, 1), ...(after === undefined ? {} : { after }) };
}

// The repositories with a manifest that the caller may pull from. Who may see all of them has them from the catalog's own index, all
// others by what they may see. A cursor is the name itself here (`last`), for everybody to read: so a page ends at a name that the
// caller sees, and the walk has no budget but goes on, however many rows lie between, until there is one more or no more. Others get
// their turn between its batches.
async function listVisible(
  context: HttpContext,
  request: FastifyRequest,
  wanted: WantedPage,
): Promise<Page<RepositoryName>> {
  const rights = await context.authority.policy.rightsOf(principalOf(request));
  if (wanted.limit === 0 || rights === undefined) return { items: [], more: false };
  const viewer = { rights, now: context.clock.unixSeconds() };
  const ranges = rangesOf(viewer);
  if (ranges.some(({ kind }) => kind === 'all')) return await listAll(context, wanted);
  const items: RepositoryName[] = [];
  const walk = { after: wanted.after, wanted: wanted.limit };
  for await (const batch of walkByName(context.registry.metadata.repositories, ranges, walk)) {
    const seen = batch.filter((record) => record.manifests > 0 && sees(viewer, record));
    items.push(...seen.map(({ name }) => name));
    if (items.length > wanted.limit) return { items: items.slice(0, wanted.limit), more: true };
  }
  return { items, more: false };
}

// Pages of the store are read until there is one more than wanted.
async function listAll(context: HttpContext, wanted: WantedPage): Promise<Page<RepositoryName>> {
  const items: RepositoryName[] = [];
  let { after } = wanted;
  for (;;) {
    const limit = Math.max(wanted.limit + 1 - items.length, leastPage);
    const page = await context.registry.metadata.repositories.list(queryOf({ limit, after }));
    items.push(...page.items.map(({ name }) => name));
    if (items.length > wanted.limit) return { items: items.slice(0, wanted.limit), more: true };
    if (!page.more) return { items, more: false };
    after = page.items.at(-1)?.name;
  }
}
