// What the routes work with.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Access, Action } from '../auth/access.ts';
import type { Authority } from '../auth/authority.ts';
import type { Config } from '../config/config.ts';
import { OciError } from '../oci/errors.ts';
import type { CareTasks } from '../registry/care-tasks.ts';
import type { Registry } from '../registry/registry.ts';
import type { Clock } from '../storage/clock.ts';
import { publicBaseOf } from './challenge.ts';
import type { TransferWatch } from './transfer-watch.ts';

export interface HttpContext {
  readonly config: Config;
  readonly version: string;
  readonly access: Access;
  /** Who there is, and how they prove it. */
  readonly authority: Authority;
  readonly registry: Registry;
  /** Long work that may be asked for. */
  readonly care: CareTasks;
  readonly transfers: TransferWatch;
  readonly clock: Clock;
  /** True from the moment the server was told to stop. */
  readonly draining: () => boolean;
  /** To be called after the password of a user was changed or taken away. */
  readonly passwordChanged: (user: string) => Promise<void>;
}

export type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
type Method = (typeof methods)[number];

/**
 * Declares every method of one path: each with the action it needs, and all others as 405 with an Allow header. `handler`
 * names the path in logs and metrics.
 */
export function declare(
  app: FastifyInstance,
  url: string,
  handler: string,
  endpoints: Partial<Record<Method, readonly [Action, Handler]>>,
): void {
  const allowed = methods.filter((method) => endpoints[method] !== undefined);
  for (const method of methods) {
    const endpoint = endpoints[method];
    const [action, handle] = endpoint ?? (['none', () => refuseMethod(allowed)] as const);
    app.route({ method, url, config: { action, handler }, handler: handle, exposeHeadRoute: false });
  }
}

function refuseMethod(allowed: readonly Method[]): never {
  const allow = allowed.join(', ');
  throw new OciError('UNSUPPORTED', `this endpoint takes ${allow} only`, { allow }, { headers: { allow } });
}

/** `path` as a client should follow it: relative, or with the public base where http.relativeUrls is off. */
export function linkTo(context: HttpContext, request: FastifyRequest, path: string): string {
  if (context.config.http.relativeUrls) return path;
  return `${publicBaseOf(context.config, request)}${path}`;
}
