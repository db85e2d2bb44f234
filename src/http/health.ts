// Health for orchestrators: /livez says that the process answers, /readyz that pulls can be served, and what writes do.
import type { FastifyInstance } from 'fastify';
import { declare, type Handler, type HttpContext } from './context.ts';

export function healthRoutes(app: FastifyInstance, context: HttpContext): void {
  const live: Handler = (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'live' });
  const ready: Handler = async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    if (context.draining())
      return reply.code(503).send({ status: 'stopping', pulls: 'draining', writes: 'refused, stopping' });
    const writes = await context.registry.writes.state();
    if (writes === 'refused, medium failed')
      return reply.code(503).send({ status: 'failed', pulls: 'refused', writes });
    return reply.send({ status: 'ready', pulls: 'served', writes });
  };
  declare(app, '/livez', 'health', { GET: ['none', live], HEAD: ['none', live] });
  declare(app, '/readyz', 'health', { GET: ['none', ready], HEAD: ['none', ready] });
}
