// The token endpoint (distribution's token specification, "Token Authentication" and "OAuth2 Token Authentication"), and the
// public keys that verify its tokens.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authentication, Principal, RequestFacts } from '../auth/access.ts';
import type { TokenBearer } from '../auth/bearer-tokens.ts';
import { formatScopes, grantScopes } from '../auth/grant-scopes.ts';
import type { Caller } from '../auth/sign-ins.ts';
import { OciError } from '../oci/errors.ts';
import { DiskFullError } from '../storage/faults.ts';
import { declare, type Handler, type HttpContext } from './context.ts';
import { factsOf } from './facts.ts';
import { originOf, principalOf, tooManySignIns } from './guard.ts';
import type { RefusalReason } from './metrics.ts';
import { type Grant, readForm, readQuery, type TokenRequest } from './token-request.ts';

/** Registers the routes, in mode token. `onRefusal` is told of credentials that are no good. */
export function tokenRoutes(
  app: FastifyInstance,
  context: HttpContext,
  onRefusal: (reason: RefusalReason) => void,
): void {
  // Without sign-in there are no tokens; nothing challenges clients to come here.
  if (context.access.mode === 'open') return;
  const endpoint = { context, onRefusal };
  const { tokens } = context.authority;
  const get: Handler = async (request, reply) => {
    reply.header('cache-control', 'no-store');
    return reply.send(await answer(endpoint, request, readQuery(request)));
  };
  const post: Handler = async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const asked = await readForm(request, context.config.limits.jsonBodyTimeout);
    return reply.send(await answer(endpoint, request, asked));
  };
  declare(app, '/token', 'token', { GET: ['none', get], POST: ['none', post] });
  declare(app, '/.well-known/jwks.json', 'jwks', {
    GET: [
      'none',
      async (_request, reply: FastifyReply) => {
        const text = JSON.stringify(await tokens.jwks());
        return reply
          .type('application/jwk-set+json')
          .header('cache-control', 'public, max-age=300')
          .send(text);
      },
    ],
  });
}

interface Endpoint {
  readonly context: HttpContext;
  readonly onRefusal: (reason: RefusalReason) => void;
}

interface TokenAnswer {
  readonly token: string;
  /** The same: the names of the two specifications. */
  readonly access_token: string;
  readonly expires_in: number;
  readonly scope?: string;
  readonly refresh_token?: string;
}

// What is not granted is left out, possibly all of it: the guard then says what is missing, in words that reach the person.
async function answer(
  endpoint: Endpoint,
  request: FastifyRequest,
  asked: TokenRequest,
): Promise<TokenAnswer> {
  const { context } = endpoint;
  const { policy, tokens } = context.authority;
  const principal = await identify(endpoint, request, asked);
  request.principal = principal;
  const bearer = bearerOf(principal);
  const rights = await policy.rightsOf(principal);
  if (rights === undefined) throw wrongCredentials('the credentials were withdrawn just now');
  const granted = await grantScopes({
    asked: asked.scopes,
    rights,
    findVisibility: (repository) => policy.findVisibility(repository),
    findMoved: (repository) => policy.findMoved(repository),
    now: context.clock.unixSeconds(),
  });
  const { token, expiresInSeconds } = await tokens.issue(bearer, granted);
  const refresh = asked.offline ? await refreshTokenFor(context, request, asked.clientId) : undefined;
  return {
    token,
    access_token: token,
    expires_in: expiresInSeconds,
    ...(asked.grant.kind === 'header' ? {} : { scope: formatScopes(granted) }),
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
  };
}

async function refreshTokenFor(
  { authority }: HttpContext,
  request: FastifyRequest,
  label: string,
): Promise<string | undefined> {
  const origin = originOf(request);
  try {
    return (await authority.credentials.issueRefreshToken(principalOf(request), { label, origin }))?.secret;
  } catch (error) {
    // Pulls go on while the disk is full, and so do logins: without this token the client keeps the password.
    if (error instanceof DiskFullError) return undefined;
    throw error;
  }
}

async function identify(
  { context, onRefusal }: Endpoint,
  request: FastifyRequest,
  { grant }: TokenRequest,
): Promise<Principal> {
  const authentication = await authenticate(context, factsOf(request), grant);
  if (authentication.outcome === 'principal') return authentication.principal;
  onRefusal(authentication.outcome);
  switch (authentication.outcome) {
    case 'throttled':
      throw tooManySignIns(authentication.retryAfterSeconds);
    case 'invalid':
      throw wrongCredentials(authentication.reason);
    case 'refused':
      throw new OciError('DENIED', authentication.reason);
  }
}

async function authenticate(
  { access, authority: { credentials } }: HttpContext,
  facts: RequestFacts,
  grant: Grant,
): Promise<Authentication> {
  const caller: Caller = { address: facts.clientAddress, userAgent: facts.userAgent };
  switch (grant.kind) {
    case 'header':
      return await access.authenticate(facts);
    case 'password':
      return await credentials.signIn(grant.name, grant.password, caller);
    case 'refresh':
      return await credentials.presentRefresh(grant.token, caller);
  }
}

// What the token is tied to, and ends with. A token does not obtain another one: withdrawing what it was obtained with would
// never end it, and its scopes would grow.
function bearerOf(principal: Principal): TokenBearer {
  if (principal.kind === 'local') {
    throw new OciError('DENIED', 'this is the management socket: whoever may open it needs no token');
  }
  const nobody = { name: '', subjectId: 0, credentialId: undefined, passwordGeneration: undefined };
  if (principal.kind === 'anonymous' && principal.scopes === undefined) return nobody;
  if (principal.kind !== 'anonymous' && principal.proof.kind !== 'bearer') {
    const { name, subjectId, proof } = principal;
    return {
      name,
      subjectId,
      credentialId: proof.kind === 'password' ? undefined : proof.credentialId,
      passwordGeneration: proof.kind === 'password' ? proof.passwordGeneration : undefined,
    };
  }
  throw wrongCredentials('an access token is no credential: sign in with a password or a personal token');
}

function wrongCredentials(message: string): OciError {
  return new OciError(
    'UNAUTHORIZED',
    message,
    {},
    { headers: { 'www-authenticate': 'Basic realm="berth"' } },
  );
}
