// One log line and one set of metrics a request, written when it is over. No header, query or body goes into the log.
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Metrics } from './metrics.ts';

/** Routes whose requests are not worth a line each. */
const quietHandlers = new Set(['health', 'metrics']);

/** Registers the hooks. `requests: false` leaves out the line of a request that went well. */
export function observe(app: FastifyInstance, log: Logger, metrics: Metrics, requests: boolean): void {
  app.addHook('onRequest', (_request, _reply, done) => {
    metrics.begin();
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { statusCode } = reply;
    const { handler } = request.routeOptions.config;
    const bytes = Number(reply.getHeader('content-length') ?? 0);
    metrics.end(request, reply, reply.elapsedTime / 1000, bytes);
    if (request.failure !== undefined) {
      log.error({ ...lineOf(), err: request.failure }, 'request failed');
    } else if (requests && !quietHandlers.has(handler ?? '')) {
      log.info(lineOf(), 'request');
    }
    done();

    function lineOf() {
      const aborted = !reply.raw.writableFinished;
      return {
        requestId: request.id,
        method: request.method,
        route: handler ?? 'other',
        repository: request.repository,
        reference: referenceOf(request.params),
        status: statusCode,
        bytes,
        milliseconds: Math.round(reply.elapsedTime * 100) / 100,
        actor: request.principal?.name,
        address: request.ip,
        ...(aborted ? { aborted } : {}),
      };
    }
  });
}

function referenceOf(params: unknown): string | undefined {
  const { reference, digest } = (params ?? {}) as { reference?: string; digest?: string };
  return (reference ?? digest)?.slice(0, 140);
}
