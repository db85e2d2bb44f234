// Access mode `token`: everybody signs in, and today's policy decides each request. What a bearer token carries can only narrow
// that; it never gives what the policy has taken away.
import type { RepositoryName } from '../oci/name.ts';
import type { MovedRepository, Role } from '../storage/account-store.ts';
import type { Clock } from '../storage/clock.ts';
import {
  type Access,
  type Action,
  type AnonymousPrincipal,
  type Authentication,
  anonymous,
  type Decision,
  type Principal,
  type Proof,
  type RequestFacts,
  roleForAction,
  type TokenScopes,
} from './access.ts';
import type { BearerTokens } from './bearer-tokens.ts';
import type { Credentials } from './credentials.ts';
import type { Policy } from './policy.ts';
import { deniedSentence, hiddenSentence, movedSentence } from './refusals.ts';
import type { Rights } from './rights.ts';
import { includesRole } from './roles.ts';

type RepositoryAction = keyof typeof roleForAction;

/** The scopes that an action takes, as the challenge names them. */
const scopesForAction = {
  pull: ['pull'],
  push: ['pull', 'push'],
  delete: ['delete'],
} as const satisfies Record<RepositoryAction, readonly RepositoryAction[]>;

const allowed: Decision = { outcome: 'allowed' };
const unauthenticated: Decision = { outcome: 'unauthenticated' };
const insufficientScope: Decision = { outcome: 'insufficient-scope' };
const signedOut: Authentication = { outcome: 'principal', principal: anonymous };

/** A password or a name of more than that cannot be right; the header itself is bounded by the server. */
const longestBasic = 2048;

export interface TokenAccessOptions {
  readonly policy: Policy;
  readonly credentials: Credentials;
  readonly tokens: BearerTokens;
  readonly clock: Clock;
}

/** The policy of mode `token`. */
export function tokenAccess(options: TokenAccessOptions): Access {
  const { policy, clock } = options;
  return {
    mode: 'token',
    authenticate: (facts) => authenticate(options, facts),
    decide: (principal, action, repository) => decide(options, principal, action, repository),
    visibility: async (principal) => {
      const rights = await policy.rightsOf(principal);
      if (rights === undefined) return () => false;
      return ({ name, visibility }) => rights.roleOn(name, visibility, clock.unixSeconds()) !== undefined;
    },
  };
}

// ── who is it ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function authenticate(options: TokenAccessOptions, facts: RequestFacts): Promise<Authentication> {
  if (facts.localUser !== undefined)
    return { outcome: 'principal', principal: { kind: 'local', name: facts.localUser } };
  const { credentials } = options;
  const caller = { address: facts.clientAddress, userAgent: facts.userAgent };
  if (facts.authorization === undefined) {
    // Another site's page must not act for whoever is signed in here.
    if (facts.sessionCookie === undefined || facts.crossSite) return signedOut;
    const principal = await credentials.presentSession(facts.sessionCookie, caller);
    return principal === undefined ? signedOut : { outcome: 'principal', principal };
  }
  const [, scheme = '', value = ''] = /^([a-z]+) +(\S+) *$/i.exec(facts.authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') {
    if (value.startsWith('berth_')) return credentials.present(value, caller);
    return authenticateBearer(options, value);
  }
  if (scheme.toLowerCase() !== 'basic') {
    return { outcome: 'invalid', reason: 'use Basic or Bearer credentials', error: undefined };
  }
  const basic = readBasic(value);
  if (basic === undefined) {
    return { outcome: 'invalid', reason: 'the Basic credentials are malformed', error: undefined };
  }
  // docker sends an empty name and password when it is logged out.
  if (basic.name === '' && basic.secret === '') return signedOut;
  return credentials.signIn(basic.name, basic.secret, caller);
}

/** Name and secret of Basic credentials (RFC 7617, in UTF-8). Shared with /token. */
export function readBasic(value: string): { readonly name: string; readonly secret: string } | undefined {
  if (value.length > longestBasic || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) return undefined;
  const text = Buffer.from(value, 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { name: text.slice(0, colon), secret: text.slice(colon + 1) };
}

async function authenticateBearer(
  { tokens, policy }: TokenAccessOptions,
  text: string,
): Promise<Authentication> {
  const token = await tokens.verify(text);
  if (token === undefined) return invalidToken('the token has expired, or is not from here');
  const { scopes, subjectId, credentialId, passwordGeneration } = token;
  if (subjectId === 0) return { outcome: 'principal', principal: { ...anonymous, scopes } };
  const proof: Proof = { kind: 'bearer', credentialId, passwordGeneration, scopes };
  const claimed = { kind: 'user', name: token.name, subjectId, proof, ceiling: undefined } as const;
  const rights = await policy.rightsOf(claimed);
  if (rights?.name !== token.name || (rights.kind !== 'user' && rights.kind !== 'robot'))
    return invalidToken('what the token was obtained with is no longer valid');
  return { outcome: 'principal', principal: { ...claimed, kind: rights.kind, ceiling: rights.ceiling } };
}

function invalidToken(reason: string): Authentication {
  return { outcome: 'invalid', reason, error: 'invalid_token' };
}

// ── may they ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function decide(
  options: TokenAccessOptions,
  principal: Principal,
  action: Action,
  repository: RepositoryName | undefined,
): Promise<Decision> {
  // Anybody's, and what answers this machine only and says so itself.
  if (action === 'none' || action === 'metrics') return allowed;
  const rights = await options.policy.rightsOf(principal);
  // Ended since it was authenticated.
  if (rights === undefined) return unauthenticated;
  switch (action) {
    case 'ping':
      return isNobody(principal) && principal.scopes === undefined ? unauthenticated : allowed;
    case 'catalog':
      if (!isNobody(principal) || principal.scopes?.catalog === true) return allowed;
      // A fresh token for nobody would do, where one was sent.
      return principal.scopes === undefined ? unauthenticated : insufficientScope;
    case 'search':
      // Whoever asks without credentials is told there is no search, so that podman goes on to the catalog, with them.
      if (!isNobody(principal)) return allowed;
      return { outcome: 'hidden', reason: 'sign in to search' };
    default:
      if (repository === undefined) throw new Error(`the action ${action} is about a repository`);
      return decideOn(options, { principal, rights, action, repository });
  }
}

interface Question {
  readonly principal: Principal;
  readonly rights: Rights;
  readonly action: RepositoryAction;
  readonly repository: RepositoryName;
}

async function decideOn({ policy, clock }: TokenAccessOptions, question: Question): Promise<Decision> {
  const { principal, rights, action, repository } = question;
  const now = clock.unixSeconds();
  const moved = await policy.findMoved(repository);
  if (moved !== undefined) {
    const decision = decideOnOldName(question, moved, now);
    if (decision !== undefined) return decision;
  }
  const needed = roleForAction[action];
  // Grants alone are enough for most: the repository is looked up only where its visibility can matter.
  let role: Role | undefined = rights.roleOn(repository, undefined, now);
  if (role === undefined) role = rights.roleOn(repository, await policy.findVisibility(repository), now);
  if (includesRole(role, needed)) {
    const scopes = scopesOf(principal);
    return scopes === undefined || carries(scopes, repository, action) ? allowed : insufficientScope;
  }
  if (isNobody(principal)) return unauthenticated;
  if (role === undefined)
    return { outcome: 'hidden', reason: hiddenSentence(rights, action, repository, now) };
  return { outcome: 'denied', reason: deniedSentence(rights, action, repository, now) };
}

// undefined: to this caller it is a name like any other, under which there is nothing.
function decideOnOldName(
  { principal, rights, action, repository }: Question,
  moved: MovedRepository,
  now: number,
): Decision | undefined {
  const maySee = rights.roleOnOldName(repository, moved, now) !== undefined;
  if (action === 'pull') {
    if (!maySee) return undefined;
    const scopes = scopesOf(principal);
    const isCarried = scopes === undefined || carries(scopes, repository, action);
    return isCarried ? { outcome: 'allowed', servedAs: moved.name } : insufficientScope;
  }
  const mayOtherwise = includesRole(rights.roleOn(repository, undefined, now), roleForAction[action]);
  if (!maySee && !mayOtherwise) return undefined;
  if (isNobody(principal)) return unauthenticated;
  return { outcome: 'denied', reason: movedSentence(repository, maySee ? moved.name : undefined) };
}

// Without a token a public repository may be pulled at once; a token narrows, as everybody's does.
function scopesOf(principal: Principal): TokenScopes | undefined {
  if (principal.kind === 'anonymous') return principal.scopes;
  if (principal.kind === 'local') return undefined;
  return principal.proof.kind === 'bearer' ? principal.proof.scopes : undefined;
}

function carries(scopes: TokenScopes, repository: RepositoryName, action: RepositoryAction): boolean {
  const carried = scopes.repositories.get(repository);
  return carried !== undefined && scopesForAction[action].every((one) => carried.has(one));
}

function isNobody(principal: Principal): principal is AnonymousPrincipal {
  return principal.kind === 'anonymous' && !principal.everything;
}
