// The one place that decides whether a request may go on, before any body is read. Every route declares the action it needs;
// one that does not is refused, so that a forgotten declaration fails closed.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Access, Action, Authentication, Decision, Principal } from '../auth/access.ts';
import type { Config } from '../config/config.ts';
import { OciError } from '../oci/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts';
import type { Origin } from '../storage/metadata-store.ts';
import { type ChallengeError, challengeText } from './challenge.ts';
import { replyNotFound } from './errors.ts';
import { factsOf } from './facts.ts';
import type { RefusalReason } from './metrics.ts';
import { warn } from './warning.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route needs. */
    action?: Action;
    /** The name the route has in logs and metrics, as distribution names its handlers. */
    handler?: string;
  }
  interface FastifyRequest {
    principal: Principal | undefined;
    /** The repository of the path, by its name of today; undefined on routes without one. */
    repository: RepositoryName | undefined;
    /** The name in the path, which the client goes on with: its token is for that. */
    askedName: RepositoryName | undefined;
    /** What went wrong, for the log, where the client is only told that something did. */
    failure: unknown;
  }
}

/**
 * Decides the routes that declare a `need` in the place of an action (the management API, whose refusals have another form).
 * Sets the principal, or throws what the client is told.
 */
export type NeedGuard = (request: FastifyRequest) => Promise<void>;

export interface GuardOptions {
  readonly access: Access;
  readonly config: Config;
  /** Told of each request that is not let on. */
  readonly onRefusal: (reason: RefusalReason) => void;
  /** Without it no route may declare a need. */
  readonly decideNeed?: NeedGuard | undefined;
}

/** Registers the guard for every route of `app`. */
export function guard(app: FastifyInstance, options: GuardOptions): void {
  app.decorateRequest('principal', undefined);
  app.decorateRequest('repository', undefined);
  app.decorateRequest('askedName', undefined);
  app.decorateRequest('failure', undefined);
  app.addHook('onRoute', (route) => {
    const declared = route.config?.action !== undefined || (hasNeed(route.config) && options.decideNeed);
    if (!declared) throw new Error(`route ${String(route.method)} ${route.url} declares no action`);
  });
  app.addHook('onRequest', async (request, reply) => {
    // No route: there is nothing to guard, and the answer is 404 for everybody.
    if (request.is404) return;
    const { config } = request.routeOptions;
    if (config.action !== undefined) return admit(request, reply, config.action, options);
    if (!hasNeed(config) || options.decideNeed === undefined) throw new Error('the route declares no action');
    return options.decideNeed(request);
  });
}

function hasNeed(config: object | undefined): boolean {
  return (config as { need?: unknown } | undefined)?.need !== undefined;
}

async function admit(
  request: FastifyRequest,
  reply: FastifyReply,
  action: Action,
  options: GuardOptions,
): Promise<void> {
  if (action === 'none') return;
  const { access } = options;
  const authentication = await access.authenticate(factsOf(request));
  const name = (request.params as { name?: string }).name;
  if (authentication.outcome !== 'principal') throw refusalOf(request, action, name, authentication, options);
  const { principal } = authentication;
  request.principal = principal;
  const repository = name === undefined ? undefined : parseRepositoryName(name);
  request.repository = repository;
  request.askedName = repository;
  const decision = await access.decide(principal, action, repository);
  if (decision.outcome === 'allowed') {
    if (decision.servedAs !== undefined) serveAs(request, reply, decision.servedAs);
    return;
  }
  throw denialOf(request, action, principal, decision, options);
}

// No redirect: a token names the repository it is for, and clients follow none with another one.
function serveAs(request: FastifyRequest, reply: FastifyReply, today: RepositoryName): void {
  warn(reply, `repository ${request.repository} was moved to ${today}: use that name`);
  request.repository = today;
}

/** What is answered to whoever was not identified. */
function refusalOf(
  request: FastifyRequest,
  action: Action,
  name: string | undefined,
  authentication: Exclude<Authentication, { outcome: 'principal' }>,
  options: GuardOptions,
): OciError {
  options.onRefusal(authentication.outcome);
  switch (authentication.outcome) {
    case 'refused':
      return new OciError('DENIED', authentication.reason);
    case 'throttled':
      return tooManySignIns(authentication.retryAfterSeconds);
    case 'invalid':
      request.repository = name === undefined ? undefined : parseRepositoryName(name);
      return unauthorized(request, action, authentication.reason, authentication.error, options);
  }
}

/** What is answered to `principal` where the decision is not to let it. */
function denialOf(
  request: FastifyRequest,
  action: Action,
  principal: Principal,
  decision: Exclude<Decision, { outcome: 'allowed' }>,
  options: GuardOptions,
): OciError {
  options.onRefusal(decision.outcome);
  switch (decision.outcome) {
    case 'unauthenticated':
      return unauthorized(request, action, 'authentication required: sign in first', undefined, options);
    case 'insufficient-scope': {
      const message = 'the token does not allow this: fetch one for the scope of the challenge';
      return unauthorized(request, action, message, 'insufficient_scope', options);
    }
    case 'hidden':
      return hidden(request, principal, decision.reason);
    case 'denied':
      return new OciError('DENIED', decision.reason);
  }
}

function unauthorized(
  request: FastifyRequest,
  action: Action,
  message: string,
  error: ChallengeError | undefined,
  { config }: GuardOptions,
): OciError {
  const challenge = challengeText(config, request, { action, repository: request.repository, error });
  return new OciError('UNAUTHORIZED', message, {}, { headers: { 'www-authenticate': challenge } });
}

// What may not be seen is answered as what is not there. Reads alone: a push begins with HEAD of a blob, and goes on after a 404
// to the POST, whose sentence reaches the person.
function hidden(request: FastifyRequest, principal: Principal, reason: string): OciError {
  const { repository, method } = request;
  if (method !== 'GET' && method !== 'HEAD') return new OciError('DENIED', reason);
  if (repository === undefined) return replyNotFound();
  const message = `repository ${repository} does not exist, or ${principal.name} may not see it`;
  return new OciError('NAME_UNKNOWN', message, { name: repository });
}

/** The answer to whoever tried too many wrong passwords. */
export function tooManySignIns(retryAfterSeconds: number): OciError {
  const seconds = Math.max(1, Math.ceil(retryAfterSeconds));
  return new OciError(
    'TOOMANYREQUESTS',
    `too many sign-ins with wrong passwords: try again in ${seconds} seconds`,
    { retryAfterSeconds: seconds },
    { headers: { 'retry-after': String(seconds) } },
  );
}

/** The repository of a request whose route has one in its path. */
export function repositoryOf(request: FastifyRequest): RepositoryName {
  if (request.repository === undefined) throw new Error('the route has no repository');
  return request.repository;
}

/** The name under which a request asks for its repository, for what the client is to ask for next. */
export function askedNameOf(request: FastifyRequest): RepositoryName {
  return request.askedName ?? repositoryOf(request);
}

/** The principal that the guard let through. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined) throw new Error('the route has no principal');
  return request.principal;
}

/** More of a user agent is not worth a row. */
const longestUserAgent = 256;

/** Who did it, from where, for history and events. */
export function originOf(request: FastifyRequest): Origin {
  return {
    actor: principalOf(request).name,
    address: request.ip,
    userAgent: request.headers['user-agent']?.slice(0, longestUserAgent),
    requestId: request.id,
  };
}
