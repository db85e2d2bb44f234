// The token endpoint (distribution's token specification, "Token Authentication" and "OAuth2 Token Authentication"), and the
// public keys that verify its tokens.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authentication, Principal } from '../auth/access.ts';
import type { TokenBearer } from '../auth/bearer-tokens.ts';
import { formatScopes, grantScopes } from '../auth/grant-scopes.ts';
import type { Caller } from '../auth/sign-ins.ts';
import { OciError } from '../oci/errors.ts';
import { declare, type Handler, type HttpContext } from './context.ts';
import { factsOf } from './facts.ts';
import { originOf, tooManySignIns } from './guard.ts';
import { readForm, readQuery, type TokenRequest } from './token-request.ts';

export function tokenRoutes(app: FastifyInstance, context: HttpContext): void {
  // Without sign-in there are no tokens; nothing challenges clients to come here.
  if (context.access.mode === 'open') return;
  const { tokens } = context.authority;
  const get: Handler = async (request, reply) => {
    reply.header('cache-control', 'no-store');
    return reply.send(await answer(context, request, readQuery(request)));
  };
  const post: Handler = async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const asked = await readForm(request, context.config.limits.jsonBodyTimeout);
    return reply.send(await answer(context, request, asked));
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
  context: HttpContext,
  request: FastifyRequest,
  asked: TokenRequest,
): Promise<TokenAnswer> {
  const { credentials, policy, tokens } = context.authority;
  const principal = await identify(context, request, asked);
  request.principal = principal;
  const bearer = bearerOf(principal);
  const rights = await policy.rightsOf(principal);
  if (rights === undefined) throw wrongCredentials('the credentials were withdrawn just now');
  const granted = await grantScopes({
    asked: asked.scopes,
    rights,
    findVisibility: (repository) => policy.findVisibility(repository),
    now: context.clock.unixSeconds(),
  });
  const { token, expiresInSeconds } = await tokens.issue(bearer, granted);
  const refresh = asked.offline
    ? await credentials.issueRefreshToken(principal, { label: asked.clientId, origin: originOf(request) })
    : undefined;
  return {
    token,
    access_token: token,
    expires_in: expiresInSeconds,
    ...(asked.grant.kind === 'header' ? {} : { scope: formatScopes(granted) }),
    ...(refresh === undefined ? {} : { refresh_token: refresh.secret }),
  };
}

async function identify(
  { access, authority }: HttpContext,
  request: FastifyRequest,
  { grant }: TokenRequest,
): Promise<Principal> {
  const facts = factsOf(request);
  const caller: Caller = { address: facts.clientAddress, userAgent: facts.userAgent };
  switch (grant.kind) {
    case 'header':
      return principalOf(await access.authenticate(facts));
    case 'password':
      return principalOf(await authority.credentials.signIn(grant.name, grant.password, caller));
    case 'refresh':
      return principalOf(await authority.credentials.presentRefresh(grant.token, caller));
  }
}

function principalOf(authentication: Authentication): Principal {
  switch (authentication.outcome) {
    case 'principal':
      return authentication.principal;
    case 'throttled':
      throw tooManySignIns(authentication.retryAfterSeconds);
    case 'invalid':
      throw wrongCredentials(authentication.reason);
    case 'refused':
      throw new OciError('DENIED', authentication.reason);
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
