// The challenge of a 401 (distribution's token specification; RFC 6750, section 3): where to fetch a token, and for what.
import type { FastifyRequest } from 'fastify';
import type { Action } from '../auth/access.ts';
import type { Config } from '../config/config.ts';
import { formatScope } from '../oci/scope.ts';

export type ChallengeError = 'invalid_token' | 'insufficient_scope';

export interface Challenge {
  readonly action: Action;
  /** The repository that the action is about. */
  readonly repository: string | undefined;
  readonly error: ChallengeError | undefined;
}

const repositoryScopes: Partial<Record<Action, readonly string[]>> = {
  pull: ['pull'],
  push: ['pull', 'push'],
  delete: ['delete'],
};

/**
 * The value of WWW-Authenticate: one Bearer challenge with at most one scope entry. A second challenge, a Basic one or a second
 * scope breaks docker and podman.
 */
export function challengeText(config: Config, request: FastifyRequest, challenge: Challenge): string {
  const parameters = [
    `realm="${publicBaseOf(config, request)}/token"`,
    `service="${serviceOf(config)}"`,
    ...quoted('scope', scopeOf(challenge)),
    ...quoted('error', challenge.error),
  ];
  return `Bearer ${parameters.join(',')}`;
}

function quoted(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`${name}="${value}"`];
}

function scopeOf({ action, repository }: Challenge): string | undefined {
  const actions = repositoryScopes[action];
  if (actions !== undefined && repository !== undefined)
    return formatScope({ type: 'repository', name: repository, actions });
  if (action === 'catalog' || action === 'search')
    return formatScope({ type: 'registry', name: 'catalog', actions: ['*'] });
  return undefined;
}

/** The service that tokens are made for, as the challenge names it. */
export function serviceOf({ auth, http }: Config): string {
  const { service } = auth.token;
  // The quotes of the challenge must stay closed whatever the setting holds.
  if (service !== undefined) return service.replace(/["\\]/g, '');
  return http.publicUrl === undefined ? 'berth' : new URL(http.publicUrl).host;
}

const hostPattern = /^[A-Za-z0-9._~:[\]-]{1,261}$/;

/** Scheme, host and port by which the client reaches this server: http.publicUrl, else what the request says of it. */
export function publicBaseOf({ http }: Config, request: FastifyRequest): string {
  if (http.publicUrl !== undefined) return http.publicUrl;
  const { host, protocol } = request;
  const scheme = protocol === 'https' ? 'https' : 'http';
  // A host may be of the right characters and none all the same: a:99999, [.
  const isUsable = hostPattern.test(host) && URL.canParse(`${scheme}://${host}`);
  return `${scheme}://${isUsable ? host : ownHostOf(request)}`;
}

// A request without a usable Host header (HTTP/1.0) gets the address that it came to.
function ownHostOf({ raw }: FastifyRequest): string {
  const { localAddress = 'localhost', localPort } = raw.socket;
  const name = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
  return localPort === undefined ? name : `${name}:${localPort}`;
}
