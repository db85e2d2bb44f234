// The bodies that the management API takes: JSON, bounded in bytes, depth and time, and plain text where a route asks for it.
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseBoundedJson } from '../../../oci/json.ts';
import { readBody } from '../../body.ts';
import { Problem } from './problem.ts';

const jsonTypes = ['application/json', 'application/merge-patch+json'];

/** Replaces the body parsers of `api`, which inherits that of /v2: streams as they come. */
export function parseBodies(
  api: FastifyInstance,
  limits: { readonly jsonBody: number; readonly jsonBodyTimeout: number },
): void {
  const read = (payload: Readable) => readBody(payload, limits.jsonBody, limits.jsonBodyTimeout);
  api.removeAllContentTypeParsers();
  api.addContentTypeParser(jsonTypes, async (request: FastifyRequest, payload: Readable) => {
    if (request.routeOptions.config.textBody === true) throw wrongType('text/plain');
    const bytes = await read(payload);
    if (bytes.length === 0) return undefined;
    try {
      return parseBoundedJson(bytes);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new Problem('invalid', `the body cannot be used: ${error.message}`);
    }
  });
  api.addContentTypeParser('text/plain', async (request: FastifyRequest, payload: Readable) => {
    if (request.routeOptions.config.textBody !== true) throw wrongType('application/json');
    return (await read(payload)).toString('utf8');
  });
  api.addContentTypeParser('*', async (request: FastifyRequest) => {
    throw wrongType(request.routeOptions.config.textBody === true ? 'text/plain' : 'application/json');
  });
}

function wrongType(wanted: string): Problem {
  return new Problem('invalid', `send the body with Content-Type: ${wanted}`, {
    status: 415,
    headers: { accept: wanted },
  });
}
