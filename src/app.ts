// The HTTP surface of Berth as an ordered table of contents.
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { managementApi } from './http/api/v1/api.ts';
import type { ApiContext } from './http/api/v1/context.ts';
import { needGuard } from './http/api/v1/needs-guard.ts';
import { createServer, refuseConnection, type TlsMaterial } from './http/connections.ts';
import { replyWithError } from './http/errors.ts';
import { guard } from './http/guard.ts';
import { healthRoutes } from './http/health.ts';
import { createMetrics, type Metrics, metricsRoutes } from './http/metrics.ts';
import { observe } from './http/observe.ts';
import { searchRoutes } from './http/search.ts';
import { setupRoutes } from './http/setup.ts';
import { startPageRoutes } from './http/start-page.ts';
import { tokenRoutes } from './http/token.ts';
import { DeclaredPaths, longestPath, refuseUnrouted, routedTarget } from './http/unrouted.ts';
import { baseRoutes } from './http/v2/base.ts';
import { blobRoutes } from './http/v2/blobs.ts';
import { listRoutes } from './http/v2/lists.ts';
import { manifestRoutes } from './http/v2/manifests.ts';
import { referrerRoutes } from './http/v2/referrers.ts';
import { announceSignatures, signatureRoutes } from './http/v2/signatures.ts';
import { uploadRoutes } from './http/v2/uploads.ts';

/** On every answer: nothing that is kept here may act as a page of this origin, or be guessed to be of another type. */
const everyAnswer = {
  'docker-distribution-api-version': 'registry/2.0',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

export interface App {
  readonly fastify: FastifyInstance;
  readonly metrics: Metrics;
  /** Every route that it has once it is ready. */
  readonly routes: readonly DeclaredRoute[];
}

/** A method of a path, with its parameters as `:name`. */
export interface DeclaredRoute {
  readonly method: string;
  readonly url: string;
}

/** The application over its context, not yet listening. `tls` makes it speak HTTPS. */
export function buildApp(context: ApiContext, log: Logger, tls: TlsMaterial | undefined): App {
  const { config } = context;
  const metrics = createMetrics(context.registry, context.webhooks);
  const app = Fastify({
    serverFactory: (listener) => createServer(config.limits, tls, listener) as Server,
    clientErrorHandler: refuseConnection,
    rewriteUrl: (request) => routedTarget(request.url ?? '/'),
    // Never reached: a parser says what is wrong with a parameter that is too long.
    routerOptions: { maxParamLength: longestPath },
    // Schemas are the management API's alone, which has compilers of its own: Fastify would load ajv for nothing.
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
    genReqId: requestIds(),
    trustProxy: config.http.trustedProxies.length > 0 ? [...config.http.trustedProxies] : false,
    exposeHeadRoutes: false,
    // Requests that are under way when the server stops are served to their end.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });

  const routes: DeclaredRoute[] = [];
  const paths = new DeclaredPaths();
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const one of [method].flat()) {
      routes.push({ method: one, url });
      paths.add(one, url, config);
    }
  });
  app.setErrorHandler(replyWithError);
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(everyAnswer);
    if (tls !== undefined) reply.header('strict-transport-security', 'max-age=31536000');
    if (context.draining()) reply.header('connection', 'close');
    done();
  });
  if (config.signatures.simpleSigning) announceSignatures(app);
  observe(app, log, metrics, config.log.requests);
  guard(app, { ...context, decideNeed: needGuard(context), onRefusal: metrics.refuse });
  passBodiesOn(app);
  app.setNotFoundHandler({}, refuseUnrouted(paths));

  healthRoutes(app, context);
  if (config.metrics.address === undefined) metricsRoutes(app, metrics);
  startPageRoutes(app, context);
  setupRoutes(app, context);
  tokenRoutes(app, context, metrics.refuse);
  searchRoutes(app, context);
  baseRoutes(app);
  listRoutes(app, context);
  manifestRoutes(app, context);
  blobRoutes(app, context);
  uploadRoutes(app, context);
  referrerRoutes(app, context);
  if (config.signatures.simpleSigning) signatureRoutes(app, context);
  managementApi(app, context, paths);
  return { fastify: app, metrics, routes };
}

// Bodies reach the handlers as streams, whatever their media type: a blob is never held in memory.
function passBodiesOn(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
}

function noCompiler(): () => never {
  return () => {
    throw new Error('a route with a schema stands outside of the management API');
  };
}

function requestIds(): () => string {
  const process = randomBytes(6).toString('base64url');
  let count = 0;
  return () => {
    count += 1;
    return `${process}-${count.toString(36)}`;
  };
}
