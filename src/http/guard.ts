// The one place that decides whether a request may go on, before any body is read. Every route declares the action it needs;
// one that does not is refused, so that a forgotten declaration fails closed.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Access, Action, Principal } from '../auth/access.ts';
import { isLoopbackHost } from '../auth/open-access.ts';
import { OciError } from '../oci/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts';
import type { Origin } from '../storage/metadata-store.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route needs. */
    action?: Action;
    /** The name the route has in logs and metrics, as distribution names its handlers. */
    handler?: string;
  }
  interface FastifyRequest {
    principal: Principal | undefined;
    /** The repository of the path, parsed; undefined on routes without one. */
    repository: RepositoryName | undefined;
    /** What went wrong, for the log, where the client is only told that something did. */
    failure: unknown;
  }
}

/** Registers the guard for every route of `app`. */
export function guard(app: FastifyInstance, access: Access): void {
  app.decorateRequest('principal', undefined);
  app.decorateRequest('repository', undefined);
  app.decorateRequest('failure', undefined);
  app.addHook('onRoute', (route) => {
    if (route.config?.action === undefined)
      throw new Error(`route ${String(route.method)} ${route.url} declares no action`);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    try {
      admit(request, access);
      done();
    } catch (error) {
      done(error as Error);
    }
  });
}

function admit(request: FastifyRequest, access: Access): void {
  // No route: there is nothing to guard, and the answer is 404 for everybody.
  if (request.is404) return;
  const action = request.routeOptions.config.action;
  if (action === undefined) throw new Error('the route declares no action');
  if (action === 'none') return;
  const headers = request.raw.headers;
  const principal = access.authenticate({
    remoteAddress: request.raw.socket.remoteAddress ?? '',
    host: headers.host,
    forwarded: isForwarded(request.raw),
    crossSite: isCrossSite(headers),
    authorization: headers.authorization,
  });
  if ('refused' in principal) throw new OciError('DENIED', principal.refused);
  request.principal = principal;
  const name = (request.params as { name?: string }).name;
  request.repository = name === undefined ? undefined : parseRepositoryName(name);
  const decision = access.decide(principal, action, request.repository);
  if (!decision.allowed) throw new OciError('DENIED', decision.reason);
}

// What proxies add, standard or not.
const proxyHeaders = new Set([
  'forwarded',
  'via',
  'x-real-ip',
  'x-forwarded',
  'x-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'x-original-host',
  'x-envoy-external-address',
]);

/**
 * Whether somebody else's request is being passed on. A bare proxy_pass of nginx adds nothing and sends its upstream's
 * address as Host, but speaks HTTP/1.0, which no client of a registry does.
 */
export function isForwarded({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion === '1.0') return true;
  for (const name in headers) if (proxyHeaders.has(name) || name.startsWith('x-forwarded-')) return true;
  return false;
}

function isCrossSite({ origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined) return site === 'cross-site' || site === 'same-site';
  if (origin === undefined) return false;
  return !URL.canParse(origin) || !isLoopbackHost(new URL(origin).host);
}

/** The repository of a request whose route has one in its path. */
export function repositoryOf(request: FastifyRequest): RepositoryName {
  if (request.repository === undefined) throw new Error('the route has no repository');
  return request.repository;
}

/** The principal that the guard let through. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined) throw new Error('the route has no principal');
  return request.principal;
}

/** Who did it, from where, for history and events. */
export function originOf(request: FastifyRequest): Origin {
  return { actor: principalOf(request).name, address: request.ip, requestId: request.id };
}
