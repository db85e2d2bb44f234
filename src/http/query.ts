// Query parameters. Unknown ones are ignored (clients add `ns`, `origin` and more), and any may come more than once.
import type { FastifyRequest } from 'fastify';

/** Every value of a parameter, decoded, in order. */
export function queryValues(request: FastifyRequest, name: string): string[] {
  const value = (request.query as Record<string, string | string[] | undefined>)[name];
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

/** The first value of a parameter, decoded; undefined when it is not there. */
export function queryValue(request: FastifyRequest, name: string): string | undefined {
  return queryValues(request, name)[0];
}
