// The cookie of a browser session, and what keeps other sites' pages from using it.
import { createHmac, timingSafeEqual } from 'node:crypto';
import cookies from '@fastify/cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isLoopbackAddress, isLoopbackHost } from '../../../auth/open-access.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';

// A browser takes the prefix __Host- only from a secure origin, for the whole of that host and no other.
const secureName = '__Host-berth_session';
const loopbackName = 'berth_session';
const csrfHeader = 'x-csrf-token';

/** The secret of the session that a request brings along. */
export function readSessionCookie(request: FastifyRequest, context: ApiContext): string | undefined {
  const { cookie } = request.headers;
  const name = cookieName(request, context);
  return cookie === undefined || name === undefined ? undefined : cookies.parse(cookie)[name] || undefined;
}

/** Gives the browser its session. Throws the denied Problem where a browser would not keep it: plain HTTP to another machine. */
export function setSessionCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  context: ApiContext,
  secret: string,
  maxAgeSeconds: number,
): void {
  const name = cookieName(request, context);
  if (name === undefined) {
    throw new Problem(
      'denied',
      'a browser session needs HTTPS: set http.tls, or http.publicUrl behind a proxy. Tokens work without',
    );
  }
  const cookie = cookies.serialize(name, secret, { ...traitsOf(name), maxAge: Math.floor(maxAgeSeconds) });
  reply.header('set-cookie', cookie);
}

export function clearSessionCookie(request: FastifyRequest, reply: FastifyReply, context: ApiContext): void {
  const name = cookieName(request, context);
  if (name !== undefined) reply.header('set-cookie', cookies.serialize(name, '', { ...traitsOf(name), maxAge: 0 }));
}

/** Whether a session can be kept by the browser that asks. */
export function canKeepSession(request: FastifyRequest, context: ApiContext): boolean {
  return cookieName(request, context) !== undefined;
}

/**
 * What a page of this registry sends as X-CSRF-Token with every change: another site can neither read it nor make it up without
 * the cookie's value.
 */
export function csrfTokenOf(secret: string): string {
  return createHmac('sha256', secret).update('berth csrf').digest('base64url');
}

/** Throws the denied Problem for a change that a session's cookie alone vouches for. */
export function refuseForgery(request: FastifyRequest, context: ApiContext, secret: string): void {
  if (request.method === 'GET') return;
  refuseForeignPage(request, context);
  const given = Buffer.from(String(request.headers[csrfHeader] ?? ''));
  const wanted = Buffer.from(csrfTokenOf(secret));
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw new Problem('denied', 'changes of a browser session need the header X-CSRF-Token, as /api/v1/me tells it');
  }
}

/** Throws the denied Problem when a browser says that a page of another origin makes the request. */
export function refuseForeignPage(request: FastifyRequest, context: ApiContext): void {
  const { origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const isForeign =
    site === undefined
      ? origin !== undefined && origin !== ownOrigin(request, context)
      : site !== 'same-origin' && site !== 'none';
  if (isForeign) throw new Problem('denied', 'this request was made by a page of another site');
}

function ownOrigin(request: FastifyRequest, { config }: ApiContext): string {
  const { publicUrl } = config.http;
  return publicUrl === undefined ? `${request.protocol}://${request.host}` : new URL(publicUrl).origin;
}

function cookieName(request: FastifyRequest, { config }: ApiContext): string | undefined {
  const isSecure = request.protocol === 'https' || config.http.publicUrl?.startsWith('https:') === true;
  if (isSecure) return secureName;
  const { remoteAddress } = request.raw.socket;
  return isLoopbackAddress(remoteAddress ?? '') && isLoopbackHost(request.host) ? loopbackName : undefined;
}

function traitsOf(name: string) {
  return { path: '/', httpOnly: true, sameSite: 'lax' as const, secure: name === secureName };
}
