// Paging of the lists under /v2 (OCI distribution-spec, "Listing tags"): `n`, `last` and the Link header.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OciError } from '../oci/errors.ts';
import { type HttpContext, linkTo } from './context.ts';
import { queryValue } from './query.ts';

/** The largest page; a larger `n` is clamped. */
const largestPage = 10_000;

export interface WantedPage {
  /** 0 asks for an empty list. */
  readonly limit: number;
  /** Exclusive. */
  readonly after: string | undefined;
}

/** The page that a request asks for. Throws OciError PAGINATION_NUMBER_INVALID. */
export function wantedPage(request: FastifyRequest, limitWithoutN: number): WantedPage {
  const after = queryValue(request, 'last');
  const text = queryValue(request, 'n');
  if (text === undefined || text === '')
    return { limit: limitWithoutN, after: after === '' ? undefined : after };
  if (!/^\d+$/.test(text)) {
    throw new OciError('PAGINATION_NUMBER_INVALID', 'n is not a number of items: use 0 or more', {
      n: text.slice(0, 50),
    });
  }
  return { limit: Math.min(Number(text), largestPage), after: after === '' ? undefined : after };
}

/** Links the page that follows. `path` is the list's own path. */
export function linkNext(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
  parameters: URLSearchParams | Readonly<Record<string, string>>,
): void {
  const query = new URLSearchParams(parameters as Record<string, string>);
  reply.header('link', `<${linkTo(context, request, `${path}?${query}`)}>; rel="next"`);
}
