// The requests of the authorization matrix: a concrete one for each route and object, made so that whoever is allowed to gets
// past the guard and yet changes nothing.
import { Agent, request } from 'node:http';
import type { Expectation, Target } from './expectations.ts';
import { type Asker, namespaces, otherUsers, type RepositoryKey, repositories, type World } from './world.ts';

export interface MatrixRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly repository: RepositoryKey | undefined;
  readonly target: Target;
}

export interface MatrixReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

const nowhere: Target = { namespace: undefined, user: undefined };
const unknownDigest = `sha256:${'0'.repeat(64)}`;
// Every endpoint of the management API refuses this after the guard and before it does anything.
const uselessBody = '{"matrix":true}';

/** Whether a route outside of the management API names a repository. */
export function isAboutRepository(url: string): boolean {
  return /^\/(?:extensions\/)?v2\/:name/.test(url);
}

/** The requests of a route: one for each object that its path can name. */
export function requestsOf(expectation: Expectation, world: World, asker: Asker): MatrixRequest[] {
  const { url } = expectation;
  if (isAboutRepository(url)) {
    return (Object.keys(repositories) as RepositoryKey[]).map((key) =>
      repositoryRequest(expectation, world, key),
    );
  }
  if (!url.startsWith('/api/v1')) return [plain(expectation)];
  if (url.includes(':repository')) {
    return (Object.keys(repositories) as RepositoryKey[]).map((repository) => {
      const made = apiRequest(expectation, nowhere);
      return { ...made, path: made.path.replace(':repository', repositories[repository]), repository };
    });
  }
  if (/:namespace|:organization/.test(url)) {
    const users = url.includes(':user') ? [...otherUsers, asker.name] : ['otto'];
    return namespaces.flatMap((namespace) =>
      users.map((user) =>
        apiRequest(expectation, { namespace, user: url.includes(':user') ? user : undefined }),
      ),
    );
  }
  if (url.includes(':user')) {
    return [...otherUsers, asker.name].map((user) => apiRequest(expectation, { namespace: undefined, user }));
  }
  if (url === '/api/v1/audit') {
    return [
      apiRequest(expectation, nowhere),
      ...namespaces.map((namespace) => auditRequest(expectation, namespace)),
    ];
  }
  return [apiRequest(expectation, nowhere)];
}

function plain({ method, url }: Expectation): MatrixRequest {
  return { method, path: url, body: undefined, headers: {}, repository: undefined, target: nowhere };
}

function repositoryRequest({ method, url }: Expectation, world: World, key: RepositoryKey): MatrixRequest {
  const isDelete = method === 'DELETE';
  const path = url
    .replace(':name', repositories[key])
    .replace(':reference', isDelete ? unknownDigest : 'v1')
    .replace(':digest', isDelete ? unknownDigest : world.layer)
    .replace(':upload', 'unknown');
  // A digest that is none is refused after the guard.
  const query = method === 'POST' ? '?digest=none' : '';
  const body = method === 'PUT' || method === 'PATCH' ? 'x' : undefined;
  return { method, path: path + query, body, headers: {}, repository: key, target: nowhere };
}

function apiRequest({ method, url }: Expectation, target: Target): MatrixRequest {
  const path = url
    .replace(/:namespace|:organization/, target.namespace ?? '')
    .replace(':user', target.user ?? '')
    .replace(':robot', `${target.namespace}+bot`)
    .replace(':team', 'dev')
    .replace(':tag', 'v1')
    .replace(':reference', 'v1')
    // The first operation is there; nothing else has such an id.
    .replace(':id', url.startsWith('/api/v1/operations') ? '1' : '999999')
    .replace(':delivery', '999999');
  const query = queryOf(url);
  const body = method === 'GET' ? undefined : uselessBody;
  const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  return { method, path: path + query, body, headers, repository: undefined, target };
}

/** What the guard lets through gets no further without these. */
const queries: Readonly<Record<string, string>> = {
  access: '?repository=acme/app',
  archive: '?reference=v1',
  file: '?path=/etc/hosts',
};

// What is not there, and a stream that never ends, is asked for in a way that is refused after the guard.
function queryOf(url: string): string {
  if (/\/webhooks\/:id|\/events$/.test(url) && !url.includes('operations')) return '?matrix=true';
  return queries[url.slice(url.lastIndexOf('/') + 1)] ?? '';
}

function auditRequest(expectation: Expectation, namespace: (typeof namespaces)[number]): MatrixRequest {
  const target = { namespace, user: undefined };
  const made = apiRequest(expectation, target);
  return { ...made, path: `${made.path}?limit=1&namespace=${namespace}` };
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/** Sends a request as somebody. */
export function send(
  world: World,
  { method, path, body, headers }: MatrixRequest,
  asker: Asker,
): Promise<MatrixReply> {
  const { authorization } = asker;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port: world.registry.port,
        method,
        path,
        headers: {
          ...headers,
          ...(authorization === undefined ? {} : { authorization }),
          // Node frames no body of a DELETE by itself.
          ...(body === undefined ? {} : { 'content-length': String(body.length) }),
        },
      },
      (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: text }));
        reply.on('error', reject);
      },
    );
    sent.on('error', reject).end(body);
  });
}

/** Ends the connections. */
export function closeConnections(): void {
  agent.destroy();
}

/** A reply as a person who compares two would see it: without its time and the id of its request, and the name he asked for. */
export function comparable({ status, headers, body }: MatrixReply, name: string): string {
  const { date: _date, 'x-request-id': requestId, ...rest } = headers;
  const text = JSON.stringify({ status, headers: rest, body });
  const anonymous = typeof requestId === 'string' ? text.replaceAll(requestId, 'ID') : text;
  return anonymous.replaceAll(name, 'NAME');
}
