// What a client asks of the token endpoint (distribution's token specification and its OAuth 2 form): read from a query or a
// form, without judging whether it may have it.
import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { OciError } from '../oci/errors.ts';
import { readBody } from './body.ts';
import { queryValue, queryValues } from './query.ts';

/** Distinct scopes of one request; a token with more would not fit into a header. */
const mostScopes = 32;
const longestForm = 16 * 1024;

export type Grant =
  /** GET: the Authorization header, or nobody. */
  | { readonly kind: 'header' }
  | { readonly kind: 'password'; readonly name: string; readonly password: string }
  | { readonly kind: 'refresh'; readonly token: string };

export interface TokenRequest {
  readonly grant: Grant;
  /** As the client wrote them, each once. */
  readonly scopes: readonly string[];
  /** A refresh token is wanted too (docker's identity token). */
  readonly offline: boolean;
  /** The program that asks, as it calls itself. */
  readonly clientId: string;
}

/** The request of a GET. `account` and `service` are no more than hints: who asks is told by the header, and the service is one. */
export function readQuery(request: FastifyRequest): TokenRequest {
  return {
    grant: { kind: 'header' },
    scopes: scopesOf(queryValues(request, 'scope')),
    offline:
      queryValue(request, 'offline_token') === 'true' || queryValue(request, 'access_type') === 'offline',
    clientId: queryValue(request, 'client_id') ?? '',
  };
}

/** The request of a POST, whose body is a form. Throws OciError SIZE_INVALID (413, 408), and 400 or 415 with a sentence. */
export async function readForm(request: FastifyRequest, timeoutSeconds: number): Promise<TokenRequest> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== undefined && type !== 'application/x-www-form-urlencoded') {
    const message = 'the token endpoint takes a form: Content-Type: application/x-www-form-urlencoded';
    throw new OciError('UNSUPPORTED', message, {}, { status: 415 });
  }
  const body = await readBody(request.body as Readable | undefined, longestForm, timeoutSeconds);
  const form = new URLSearchParams(body.toString('utf8'));
  return {
    grant: grantOf(form),
    scopes: scopesOf(form.getAll('scope')),
    offline: form.get('access_type') === 'offline' || form.get('offline_token') === 'true',
    clientId: form.get('client_id') ?? '',
  };
}

function grantOf(form: URLSearchParams): Grant {
  const grantType = form.get('grant_type');
  if (grantType === 'password') {
    return { kind: 'password', name: needed(form, 'username'), password: needed(form, 'password') };
  }
  if (grantType === 'refresh_token') return { kind: 'refresh', token: needed(form, 'refresh_token') };
  throw badRequest(
    grantType === null
      ? 'grant_type is missing: password or refresh_token'
      : 'this grant_type is not known here: use password or refresh_token',
  );
}

function needed(form: URLSearchParams, name: string): string {
  const value = form.get(name);
  if (value === null || value === '') throw badRequest(`${name} is missing, which this grant_type needs`);
  return value;
}

// Clients repeat a scope (podman), put several into one value, or both.
function scopesOf(values: readonly string[]): readonly string[] {
  const scopes = new Set(values.flatMap((value) => value.split(' ')).filter((scope) => scope !== ''));
  if (scopes.size > mostScopes) throw badRequest(`at most ${mostScopes} scopes fit into one token`);
  return [...scopes];
}

function badRequest(message: string): OciError {
  return new OciError('UNSUPPORTED', message, {}, { status: 400 });
}
