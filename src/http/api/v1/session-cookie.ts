// The cookie of a browser session, and what keeps other sites' pages from using it.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isLoopbackAddress, isLoopbackHost } from '../../../auth/open-access.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';

/** The first name under HTTPS, which a sub-domain cannot set and plain HTTP cannot either; the second on plain HTTP. */
const cookieNames = { secure: '__Host-berth_session', plain: 'berth_session' } as const;
const csrfHeader = 'x-csrf-token';

/** The secret of the session that a request brings along. */
export function sessionCookieOf({ raw, protocol }: FastifyRequest): string | undefined {
  const { cookie } = raw.headers;
  // Behind a proxy that is not trusted the browser's HTTPS is plain HTTP here; the prefix tells that it was HTTPS.
  const secret = cookieOf(cookie, cookieNames.secure);
  return secret ?? (protocol === 'https' ? undefined : cookieOf(cookie, cookieNames.plain));
}

/** The value of one cookie; undefined when it is not there, or there twice: then somebody else may have set one of them. */
function cookieOf(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] || undefined : undefined;
}

/**
 * The name under which this browser keeps its session. Throws the denied Problem where it would not keep it: over plain HTTP to
 * another machine.
 */
export function sessionCookieName(request: FastifyRequest, { config }: ApiContext): string {
  // A browser takes the prefix __Host- only from a secure origin, for the whole of that host and no other.
  if (request.protocol === 'https' || config.http.publicUrl?.startsWith('https:')) return cookieNames.secure;
  const { remoteAddress } = request.raw.socket;
  if (isLoopbackAddress(remoteAddress ?? '') && isLoopbackHost(request.host)) return cookieNames.plain;
  throw new Problem(
    'denied',
    'a browser session needs HTTPS: set http.tls, or http.publicUrl behind a proxy. Tokens work without',
  );
}

/** Gives the browser the cookie `name`; an age of 0 takes it away. */
export function setSessionCookie(
  reply: FastifyReply,
  name: string,
  secret: string,
  maxAgeSeconds: number,
): void {
  const secure = name === cookieNames.secure ? '; Secure' : '';
  const age = Math.floor(maxAgeSeconds);
  // The secret is letters, digits and underscores: nothing of it needs quoting.
  reply.header('set-cookie', `${name}=${secret}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Lax${secure}`);
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
    throw new Problem(
      'denied',
      'changes of a browser session need the header X-CSRF-Token, as /api/v1/me tells it',
    );
  }
}

/** Throws the denied Problem when a browser says that a page of another origin makes the request. */
export function refuseForeignPage(request: FastifyRequest, context: ApiContext): void {
  if (isForeignPage(request, context))
    throw new Problem('denied', 'this request was made by a page of another site');
}

/** Whether a browser says that a page of another origin makes the request. */
export function isForeignPage(request: FastifyRequest, context: ApiContext): boolean {
  const { origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  if (site === undefined) return origin !== undefined && origin !== ownOrigin(request, context);
  return site !== 'same-origin' && site !== 'none';
}

function ownOrigin(request: FastifyRequest, { config }: ApiContext): string {
  const { publicUrl } = config.http;
  return publicUrl === undefined ? `${request.protocol}://${request.host}` : new URL(publicUrl).origin;
}
