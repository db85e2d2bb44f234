// The HTTP surface of Berth as an ordered table of contents.
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { managementApi } from './http/api/v1/api.ts';
import type { ApiContext } from './http/api/v1/context.ts';
import { needGuard } from './http/api/v1/needs-guard.ts';
import { isManagement, sendProblem } from './http/api/v1/problem.ts';
import { createServer, refuseConnection, type TlsMaterial } from './http/connections.ts';
import { asOciError, errorBody, replyNotFound, replyWithError } from './http/errors.ts';
import { guard } from './http/guard.ts';
import { healthRoutes } from './http/health.ts';
import { createMetrics, type Metrics, metricsRoutes } from './http/metrics.ts';
import { observe } from './http/observe.ts';
import { escapeRepositoryPath } from './http/repository-path.ts';
import { searchRoutes } from './http/search.ts';
import { startPageRoutes } from './http/start-page.ts';
import { tokenRoutes } from './http/token.ts';
import { baseRoutes } from './http/v2/base.ts';
import { blobRoutes } from './http/v2/blobs.ts';
import { listRoutes } from './http/v2/lists.ts';
import { manifestRoutes } from './http/v2/manifests.ts';
import { referrerRoutes } from './http/v2/referrers.ts';
import { uploadRoutes } from './http/v2/uploads.ts';

/** Longer than any parameter that is valid, so that a parser and not the router says what is wrong with it. */
const longestParameter = 8192;

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
    rewriteUrl: (request) => escapeRepositoryPath(request.url ?? '/'),
    routerOptions: { maxParamLength: longestParameter },
    frameworkErrors: (error, request, reply) => {
      if (isManagement(request)) return sendProblem(error, request, reply);
      const oci = asOciError(error);
      reply.raw
        .writeHead(oci.status, {
          'content-type': 'application/json; charset=utf-8',
          'docker-distribution-api-version': 'registry/2.0',
        })
        .end(errorBody(oci));
    },
    genReqId: requestIds(),
    trustProxy: config.http.trustedProxies.length > 0 ? [...config.http.trustedProxies] : false,
    exposeHeadRoutes: false,
    // Requests that are under way when the server stops are served to their end.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });

  const routes: DeclaredRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.push({ method: one, url });
  });
  app.setErrorHandler(replyWithError);
  app.addHook('onRequest', (_request, reply, done) => {
    reply
      .header('docker-distribution-api-version', 'registry/2.0')
      .header('x-content-type-options', 'nosniff');
    if (tls !== undefined) reply.header('strict-transport-security', 'max-age=31536000');
    if (context.draining()) reply.header('connection', 'close');
    done();
  });
  observe(app, log, metrics, config.log.requests);
  guard(app, { ...context, decideNeed: needGuard(context), onRefusal: metrics.refuse });
  passBodiesOn(app);
  app.setNotFoundHandler({}, replyNotFound);

  healthRoutes(app, context);
  if (config.metrics.address === undefined) metricsRoutes(app, metrics);
  startPageRoutes(app, context);
  tokenRoutes(app, context, metrics.refuse);
  searchRoutes(app, context);
  baseRoutes(app);
  listRoutes(app, context);
  manifestRoutes(app, context);
  blobRoutes(app, context);
  uploadRoutes(app, context);
  referrerRoutes(app, context);
  managementApi(app, context);
  return { fastify: app, metrics, routes };
}

// Bodies reach the handlers as streams, whatever their media type: a blob is never held in memory.
function passBodiesOn(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
}

function requestIds(): () => string {
  const process = randomBytes(6).toString('base64url');
  let count = 0;
  return () => {
    count += 1;
    return `${process}-${count.toString(36)}`;
  };
}
