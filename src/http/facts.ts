// What a request tells of who is asking and from where: read when the policy asks for it, since mode `open` needs little of it.
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { RequestFacts } from '../auth/access.ts';
import { isLoopbackHost } from '../auth/open-access.ts';

/** The header in which a command says who it runs for; believed on the management socket alone. */
export const localUserHeader = 'berth-local-user';

const localSockets = new WeakSet<Socket>();

/** Marks every connection of `server` as coming from the management socket. A header alone never does. */
export function markLocal(server: Server): void {
  server.on('connection', (socket) => localSockets.add(socket));
}

const localUserPattern = /^\d{1,10}\([A-Za-z0-9_.@-]{0,64}\)$/;

/**
 * The facts of a request. `sessionCookie` is for routes that take a browser's session: on all others a page of another origin on
 * the same site could use it.
 */
export function factsOf(request: FastifyRequest, sessionCookie?: string): RequestFacts {
  return new HttpFacts(request, sessionCookie);
}

class HttpFacts implements RequestFacts {
  readonly #request: FastifyRequest;
  readonly #headers: IncomingHttpHeaders;
  // Not read later: a client that went away leaves a socket without an address.
  readonly remoteAddress: string;
  readonly localUser: string | undefined;
  readonly sessionCookie: string | undefined;

  constructor(request: FastifyRequest, sessionCookie: string | undefined) {
    const { raw } = request;
    this.#request = request;
    this.#headers = raw.headers;
    this.sessionCookie = sessionCookie;
    this.remoteAddress = raw.socket.remoteAddress ?? '';
    this.localUser = localSockets.has(raw.socket) ? localUserOf(raw.headers) : undefined;
  }

  get host(): string | undefined {
    return this.#headers.host;
  }

  get forwarded(): boolean {
    return isForwarded(this.#request.raw);
  }

  get crossSite(): boolean {
    return isCrossSite(this.#headers);
  }

  get clientAddress(): string {
    return this.#request.ip ?? this.remoteAddress;
  }

  get userAgent(): string | undefined {
    return this.#headers['user-agent'];
  }

  get authorization(): string | undefined {
    return this.#headers.authorization;
  }
}

function localUserOf(headers: IncomingHttpHeaders): string {
  const said = headers[localUserHeader];
  return typeof said === 'string' && localUserPattern.test(said) ? `local:${said}` : 'local';
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
