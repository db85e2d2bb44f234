// Search as podman and docker ask for it (the Docker Registry v1 API, of which only this part is alive).
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Repository } from '../storage/metadata-store.ts';
import { declare, type HttpContext } from './context.ts';
import { principalOf } from './guard.ts';
import { queryValue } from './query.ts';

const defaultResults = 25;
const mostResults = 100;

export function searchRoutes(app: FastifyInstance, context: HttpContext): void {
  declare(app, '/v1/_ping', 'search', {
    // Whether there is a search is what /v1/search says.
    GET: ['none', (_request, reply) => reply.type('application/json').send('true')],
  });
  declare(app, '/v1/search', 'search', {
    GET: [
      'search',
      async (request, reply) => {
        const query = queryValue(request, 'q') ?? '';
        const results = (await findVisible(context, request, query)).map(resultOf);
        const body = {
          query,
          num_results: results.length,
          num_pages: 1,
          page: 1,
          page_size: results.length,
          results,
        };
        return reply.type('application/json').send(JSON.stringify(body));
      },
    ],
  });
}

async function findVisible(
  context: HttpContext,
  request: FastifyRequest,
  query: string,
): Promise<Repository[]> {
  const isVisible = await context.access.visibility(principalOf(request));
  const limit = resultLimit(queryValue(request, 'n'));
  const found: Repository[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await context.registry.metadata.repositories.search({
      term: query.trim(),
      limit: mostResults,
      ...(after === undefined ? {} : { after }),
    });
    found.push(...page.items.filter(isVisible));
    if (!page.more || found.length >= limit) return found.slice(0, limit);
    after = page.items.at(-1)?.name;
  }
}

function resultLimit(text: string | undefined): number {
  const wanted = Number(text ?? defaultResults);
  return Number.isInteger(wanted) && wanted >= 1 ? Math.min(wanted, mostResults) : defaultResults;
}

function resultOf({ name, description }: Repository) {
  return { name, description, star_count: 0, is_official: false, is_automated: false, is_trusted: false };
}
