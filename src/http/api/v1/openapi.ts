// The description of the management API, made from its routes: OpenAPI 3.1 for programs, and the same as one page for people.
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { ApiContext } from './context.ts';
import { type ApiDocument, documentPage, pagePolicy } from './document-page.ts';
import { found, type Routes } from './route.ts';

/** Gathers the routes that are declared from now on. */
export async function describeRoutes(api: FastifyInstance, context: ApiContext): Promise<void> {
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Berth management API',
        version: context.version,
        description:
          'Errors are problem details (RFC 9457) with a stable code. Lists are {"items", "next"}: pass next as cursor. ' +
          'Objects have an ETag, and changes heed If-Match. Secrets are told once, in the answer that made them.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: {
          token: {
            type: 'http',
            scheme: 'bearer',
            description: 'A personal or robot token: berth_pat_… or berth_robot_…',
          },
          basic: { type: 'http', scheme: 'basic', description: 'Name, and password or token.' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: '__Host-berth_session',
            description: 'Changes need X-CSRF-Token.',
          },
        },
      },
      security: [{ token: [] }, { basic: [] }, { session: [] }],
    },
    stripBasePath: false,
    convertConstToEnum: false,
  });
}

export function documentRoutes(api: FastifyInstance, routes: Routes): void {
  routes.declare('registry', 'GET', '/openapi.json', {
    need: ['anyone'],
    summary: 'This description as OpenAPI 3.1.',
    answers: { 200: Type.Object({ openapi: Type.String() }) },
    handle: async () => found(documentOf(api)),
  });

  let page: string | undefined;
  routes.declare('registry', 'GET', '/docs', {
    need: ['anyone'],
    summary: 'This description as a page for people.',
    answers: { 200: Type.String() },
    mediaType: 'text/html',
    handle: async ({ reply }) => {
      page ??= documentPage(documentOf(api));
      reply.header('content-type', 'text/html; charset=utf-8').header('content-security-policy', pagePolicy);
      return { kind: 'sent', reply: reply.send(page) };
    },
  });
}

function documentOf(api: FastifyInstance): ApiDocument {
  return api.swagger() as unknown as ApiDocument;
}
