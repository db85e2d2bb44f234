// What the routes work with.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Access, Action } from '../auth/access.ts';
import type { Authority } from '../auth/authority.ts';
import type { Config } from '../config/config.ts';
import type { CareTasks } from '../registry/care-tasks.ts';
import type { Registry } from '../registry/registry.ts';
import type { Clock } from '../storage/clock.ts';
import { publicBaseOf } from './challenge.ts';
import { refuseMethod } from './errors.ts';
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

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of a path that a parameter of another one would fit as well: no request for it goes there. */
    alone?: 'taken' | 'refused';
  }
}

/**
 * Declares the methods that one path takes, each with the action it needs. `handler` names the path in logs and metrics. With
 * `alone` the path is none of those that a parameter of another one fits.
 */
export function declare(
  app: FastifyInstance,
  url: string,
  handler: string,
  endpoints: Partial<Record<Method, readonly [Action, Handler]>>,
  { alone = false } = {},
): void {
  const allow = methods.filter((method) => endpoints[method] !== undefined).join(', ');
  for (const method of methods) {
    const endpoint = endpoints[method];
    if (endpoint === undefined && !alone) continue;
    const [action, handle] = endpoint ?? (['none', () => refuseMethod(allow)] as const);
    const config = {
      action,
      handler,
      ...(alone ? ({ alone: endpoint ? 'taken' : 'refused' } as const) : {}),
    };
    app.route({ method, url, config, handler: handle, exposeHeadRoute: false });
  }
}

/** `path` as a client should follow it: relative, or with the public base where http.relativeUrls is off. */
export function linkTo(context: HttpContext, request: FastifyRequest, path: string): string {
  if (context.config.http.relativeUrls) return path;
  return `${publicBaseOf(context.config, request)}${path}`;
}
