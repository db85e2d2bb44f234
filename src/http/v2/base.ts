// The base of the API: the version check, the end-to-end ping and the extension list (OCI distribution-spec, "Determining
// support" and "Extensions").
import type { FastifyInstance } from 'fastify';
import { declare } from '../context.ts';

export function baseRoutes(app: FastifyInstance): void {
  declare(app, '/v2/', 'base', {
    GET: ['ping', (_request, reply) => reply.type('application/json').send('{}')],
    HEAD: ['ping', (_request, reply) => reply.type('application/json').header('content-length', '2').send()],
  });
  declare(app, '/v2', 'base', {
    GET: ['none', (_request, reply) => reply.redirect('/v2/', 301)],
    HEAD: ['none', (_request, reply) => reply.redirect('/v2/', 301)],
  });
  declare(app, '/v2/_oci/ext/discover', 'extensions', {
    GET: ['ping', (_request, reply) => reply.type('application/json').send('{"extensions":[]}')],
  });
}
