// One log line and one set of metrics a request, written when it is over. No header, query or body goes into the log.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Metrics } from './metrics.ts';

/** Routes whose requests are not worth a line each. */
const quietHandlers = new Set(['health', 'metrics']);

/** What logs and metrics say of a request whose client left before the answer began (nginx made it customary). */
const clientLeft = 499;

/** Registers the hooks. `requests: false` leaves out the line of a request that went well. */
export function observe(app: FastifyInstance, log: Logger, metrics: Metrics, requests: boolean): void {
  app.addHook('onRequest', (request, reply, done) => {
    const beganAt = performance.now();
    const writtenBefore = request.raw.socket.bytesWritten;
    const { handler = 'other' } = request.routeOptions.config;
    const endpoint = metrics.requests.of(handler, request.method);
    endpoint.begin();
    // Not onResponse, which an aborted request never reaches.
    reply.raw.once('close', () => {
      const milliseconds = performance.now() - beganAt;
      const aborted = !reply.raw.writableFinished;
      const bytes = aborted ? request.raw.socket.bytesWritten - writtenBefore : bodyBytes(request, reply);
      const status = reply.raw.headersSent ? reply.statusCode : clientLeft;
      endpoint.end({
        status,
        durationSeconds: milliseconds / 1000,
        requestBytes: Number(request.headers['content-length'] ?? 0),
        responseBytes: bytes,
      });
      const failed = request.failure !== undefined;
      if (!failed && (!requests || quietHandlers.has(handler))) return;
      const line = {
        requestId: request.id,
        method: request.method,
        route: handler,
        repository: request.repository,
        reference: referenceOf(request.params),
        status,
        bytes,
        milliseconds: Math.round(milliseconds * 100) / 100,
        actor: request.principal?.name,
        address: request.ip,
        ...(aborted ? { aborted } : {}),
      };
      if (failed) log.error({ ...line, err: request.failure }, 'request failed');
      else log.info(line, 'request');
    });
    done();
  });
}

function bodyBytes(request: FastifyRequest, reply: FastifyReply): number {
  if (request.method === 'HEAD' || reply.statusCode === 304) return 0;
  return Number(reply.getHeader('content-length') ?? 0);
}

function referenceOf(params: unknown): string | undefined {
  const { reference, digest } = (params ?? {}) as { reference?: string; digest?: string };
  return (reference ?? digest)?.slice(0, 140);
}
