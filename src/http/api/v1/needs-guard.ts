// The guard of the management API: who is asking, and whether that is enough for the endpoint, before any body is read. What may
// not be seen is answered like what is not there; what may be seen and not done is refused with a sentence.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Authentication, Principal, RequestFacts } from '../../../auth/access.ts';
import type { Rights } from '../../../auth/rights.ts';
import { parseRepositoryName } from '../../../oci/name.ts';
import type { Namespace } from '../../../storage/account-store.ts';
import { factsOf } from '../../facts.ts';
import type { NeedGuard } from '../../guard.ts';
import type { ApiContext } from './context.ts';
import { isMet, type Need, needs, type Question, sentenceOfRefusal, type Target } from './need.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { isForeignPage, refuseForgery, sessionCookieOf } from './session-cookie.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What an endpoint of the management API needs; one of them is enough. */
    need?: readonly Need[];
    /** The endpoint is about content, which in mode open is everybody's. */
    content?: boolean;
    /** The endpoint takes text/plain instead of JSON. */
    textBody?: boolean;
  }
  interface FastifyRequest {
    /** What the caller may, judged by today's policy; undefined in mode open and on endpoints for anyone. */
    rights: Rights | undefined;
  }
}

const challenge = { 'www-authenticate': 'Bearer realm="berth"' };

/** Refuses to register a route of `api` that declares no need. */
export function requireNeeds(api: FastifyInstance): void {
  api.decorateRequest('rights', undefined);
  api.addHook('onRoute', (route) => {
    const declared = route.config?.need ?? [];
    if (declared.length === 0 || declared.some((need) => !needs.includes(need))) {
      throw new Error(`route ${String(route.method)} ${route.url} declares no need`);
    }
  });
}

/** Decides the routes of the management API. */
export function needGuard(context: ApiContext): NeedGuard {
  return (request) => admit(request, context);
}

async function admit(request: FastifyRequest, context: ApiContext): Promise<void> {
  const { need: wanted } = request.routeOptions.config;
  if (wanted === undefined) throw new Error('the route declares no need');
  if (wanted.includes('anyone')) {
    request.principal = principalOf(await context.access.authenticate(factsOfNobody(request)));
    return;
  }
  const facts = factsOfCaller(request, context);
  const principal = principalOf(await context.access.authenticate(facts));
  request.principal = principal;
  if (isOpen(principal)) {
    if (request.routeOptions.config.content === true) return;
    throw new Problem(
      'denied',
      'this registry is open: nobody signs in, and only its content is managed over the network. For all else use `berth` on its machine',
    );
  }
  refuseWrongProof(principal);
  if (usesSession(principal)) refuseForgery(request, context, facts.sessionCookie ?? '');
  await decide(request, context, principal, wanted);
}

/**
 * Decides a change anew when it is made: its body may have taken its time, and another change of the same object too. Nothing to
 * decide where nobody had to sign in.
 */
export async function decideAgain(request: FastifyRequest, context: ApiContext): Promise<void> {
  const { principal, rights } = request;
  if (principal === undefined || rights === undefined) return;
  await decide(request, context, principal, request.routeOptions.config.need ?? []);
}

async function decide(
  request: FastifyRequest,
  context: ApiContext,
  principal: Principal,
  wanted: readonly Need[],
): Promise<void> {
  const rights = await context.authority.policy.rightsOf(principal);
  if (rights === undefined) throw unauthenticated('these credentials are no longer good: sign in again');
  request.rights = rights;
  await judge(request, context, {
    needs: wanted,
    target: { ...targetOf(request), repository: await repositoryOf(request, context, rights) },
    reads: request.method === 'GET',
    principal,
    rights,
    usersFound: context.config.access.organizationsCreatedBy === 'users',
    now: context.clock.unixSeconds(),
  });
}

async function judge(request: FastifyRequest, context: ApiContext, question: Question): Promise<void> {
  if (isMet(question)) return;
  const { principal, rights, target } = question;
  if (question.needs.includes('read') && target.namespace !== undefined) {
    if (await seesNamespace(context, question, target.namespace)) return;
  }
  if (principal.kind === 'anonymous') throw unauthenticated('sign in to use this');
  const { repository } = target;
  if (repository !== undefined) {
    if (repository.role === undefined) throw notFound(`repository ${repository.name}`);
  } else if (target.namespace !== undefined) {
    if (!(await seesNamespace(context, question, target.namespace))) throw notFound(nameOfNamespace(request));
  } else if (target.user !== undefined && target.user !== principal.name) {
    if (rights.registryRole === 'user') throw notFound(`user ${target.user}`);
  }
  throw new Problem('denied', sentenceOfRefusal(question));
}

/**
 * Whether somebody may know that a namespace is there: who has a right in it or belongs to it, and where what is pushed to it
 * is internal or public by default, everybody who may pull that. `known`: the namespace, where it was read already.
 */
export async function seesNamespace(
  { config, registry }: ApiContext,
  { principal, rights, now }: Pick<Question, 'principal' | 'rights' | 'now'>,
  name: string,
  known?: Namespace,
): Promise<boolean> {
  if (rights.registryRole !== 'user') return true;
  if (rights.roleOnNamespace(name, now) !== undefined || rights.namespaces(now).includes(name)) return true;
  const namespace = known ?? (await registry.metadata.accounts.namespaces.find(name));
  if (namespace === undefined || rights.ceiling?.patterns !== undefined) return false;
  const visibility = namespace.defaultVisibility ?? config.access.defaultVisibility;
  return (
    visibility === 'public' || (visibility === 'internal' && principal.kind !== 'anonymous' && !rights.guest)
  );
}

// Whoever signs in may still bring along what is left of an earlier session.
function factsOfNobody(request: FastifyRequest): RequestFacts {
  return { ...readFacts(request), authorization: undefined, sessionCookie: undefined };
}

function factsOfCaller(request: FastifyRequest, context: ApiContext): RequestFacts {
  const { authorization } = request.headers;
  const sessionCookie = authorization === undefined ? sessionCookieOf(request) : undefined;
  const facts = readFacts(request);
  // Changes of a session that another page made are refused with a sentence further on; here it only must not read.
  const crossSite =
    sessionCookie === undefined
      ? facts.crossSite
      : request.method === 'GET' && isForeignPage(request, context);
  return { ...facts, crossSite, authorization, sessionCookie };
}

function readFacts(request: FastifyRequest): Omit<RequestFacts, 'authorization' | 'sessionCookie'> {
  const facts = factsOf(request);
  return {
    remoteAddress: facts.remoteAddress,
    host: facts.host,
    forwarded: facts.forwarded,
    crossSite: facts.crossSite,
    clientAddress: facts.clientAddress,
    userAgent: facts.userAgent,
    localUser: facts.localUser,
  };
}

function targetOf(request: FastifyRequest): Target {
  const params = request.params as { user?: string; namespace?: string; organization?: string };
  const { namespace } = request.query as { namespace?: unknown };
  const named = params.namespace ?? params.organization;
  return {
    // The user of an organization's member is not what is seen or hidden.
    user: params.user,
    namespace: named ?? (typeof namespace === 'string' ? namespace : undefined),
  };
}

async function repositoryOf(
  { params }: FastifyRequest,
  context: ApiContext,
  rights: Rights,
): Promise<Target['repository']> {
  const { repository } = params as { repository?: string };
  if (repository === undefined) return undefined;
  const name = parseMember('/params/repository', () => parseRepositoryName(repository));
  const visibility = await context.authority.policy.findVisibility(name);
  return { name, role: rights.roleOn(name, visibility, context.clock.unixSeconds()) };
}

function nameOfNamespace(request: FastifyRequest): string {
  const { organization, namespace } = request.params as { organization?: string; namespace?: string };
  if (organization !== undefined) return `organization ${organization}`;
  return `namespace ${namespace ?? String((request.query as { namespace?: unknown }).namespace)}`;
}

function principalOf(authentication: Authentication): Principal {
  switch (authentication.outcome) {
    case 'principal':
      return authentication.principal;
    case 'refused':
      throw new Problem('denied', authentication.reason);
    case 'invalid':
      throw unauthenticated(authentication.reason);
    case 'throttled':
      throw new Problem('too-many-requests', 'too many wrong passwords: try again later, or use a token', {
        headers: { 'retry-after': String(Math.max(1, Math.ceil(authentication.retryAfterSeconds))) },
      });
  }
}

/** The 401 of the management API. No Basic challenge: browsers would pop up a box of their own. */
export function unauthenticated(detail: string): Problem {
  return new Problem('unauthenticated', detail, { headers: challenge });
}

function isOpen(principal: Principal): boolean {
  return principal.kind === 'anonymous' && principal.everything;
}

function usesSession(principal: Principal): boolean {
  return (principal.kind === 'user' || principal.kind === 'robot') && principal.proof.kind === 'session';
}

// An access token of /token is for pulls and pushes: it lives on for minutes where its owner thinks that he has signed out.
function refuseWrongProof(principal: Principal): void {
  const isAccessToken =
    principal.kind === 'anonymous'
      ? principal.scopes !== undefined
      : principal.kind !== 'local' && principal.proof.kind === 'bearer';
  if (isAccessToken) {
    throw unauthenticated(
      'access tokens of /token are for pulls and pushes: use a personal or robot token, a password, or a session here',
    );
  }
}
