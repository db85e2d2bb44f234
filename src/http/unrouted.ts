// What is answered where no route takes a request: its target is no valid one, its path takes other methods, or there is no such
// path. All three pass through the same hooks as every other request, so that log, metrics and headers know them.
import type { FastifyContextConfig, FastifyRequest } from 'fastify';
import { OciError } from '../oci/errors.ts';
import { refuseMethod, replyNotFound } from './errors.ts';
import { escapeRepositoryPath } from './repository-path.ts';

/** Longer than any path that is valid, and so than any parameter. */
export const longestPath = 8192;

const managementPrefix = '/api/v1/';

/**
 * What is routed in the place of a request target: repository names with their slashes escaped, and for a target that the router
 * itself would fail at, a path that no route has.
 */
export function routedTarget(target: string): string {
  const url = escapeRepositoryPath(target);
  if (faultOf(url) === undefined) return url;
  return url.startsWith(managementPrefix) ? `${managementPrefix}-` : '/-';
}

/** What is wrong with the target of a request that no route took. */
export function targetFaultOf({ originalUrl }: FastifyRequest): OciError | undefined {
  return faultOf(originalUrl);
}

function faultOf(url: string): OciError | undefined {
  if (url.length <= longestPath && !url.includes('%')) return undefined;
  const path = pathOf(url);
  if (path.length > longestPath) {
    const message = `the path is longer than ${longestPath} bytes, and so than any name, tag or digest`;
    return new OciError('SIZE_INVALID', message, {}, { status: 414 });
  }
  if (decoded(path) !== undefined) return undefined;
  return new OciError('NAME_INVALID', 'the request target is not a valid URL', {}, { status: 400 });
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}

// As the router decodes: what separates the parts of a URL stays escaped.
function decoded(path: string): string | undefined {
  try {
    return decodeURI(path);
  } catch {
    return undefined;
  }
}

const usualOrder = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

interface DeclaredPath {
  readonly pattern: RegExp;
  readonly methods: Set<string>;
  readonly alone: boolean;
}

/** The paths that routes were declared for, and what methods each takes. */
export class DeclaredPaths {
  readonly #paths = new Map<string, DeclaredPath>();

  /** `url` as it is declared, with `:name` for what a parameter takes. */
  add(method: string, url: string, { alone }: FastifyContextConfig = {}): void {
    const path = this.#paths.get(url) ?? { pattern: patternOf(url), methods: new Set(), alone: !!alone };
    if (alone !== 'refused') path.methods.add(method);
    this.#paths.set(url, path);
  }

  /** The methods that the path of a request takes; empty: there is no such path. Several may fit: /users/import is a user's, too. */
  methodsFor({ raw }: FastifyRequest): readonly string[] {
    const path = decoded(pathOf(raw.url ?? '/')) ?? '';
    const fitting = [...this.#paths.values()].filter(({ pattern }) => pattern.test(path));
    const alone = fitting.find((one) => one.alone);
    const methods = alone?.methods ?? new Set(fitting.flatMap((one) => [...one.methods]));
    return usualOrder.filter((method) => methods.has(method));
  }
}

function patternOf(url: string): RegExp {
  const escaped = url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+');
  return new RegExp(`^${escaped}$`);
}

/** Fastify's not-found handler of everything but the management API. */
export function refuseUnrouted(paths: DeclaredPaths): (request: FastifyRequest) => never {
  return (request) => {
    const fault = targetFaultOf(request);
    if (fault !== undefined) throw fault;
    const allow = paths.methodsFor(request).join(', ');
    if (allow === '') replyNotFound();
    refuseMethod(allow);
  };
}
