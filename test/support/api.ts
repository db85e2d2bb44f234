// startApi(t): a registry in mode token with an administrator, and clients of its management API. Every answer is held to the
// OpenAPI document that the registry itself gives out.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { createSecret } from '../../src/auth/secrets.ts';
import { escapeRepositoryPath } from '../../src/http/repository-path.ts';
import type { AccountStore, CredentialKind, RegistryRole, Role } from '../../src/storage/account-store.ts';
import type { Clock } from '../../src/storage/clock.ts';
import type { Cleanup } from './cleanup.ts';
import { type Settings, startRegistry, type TestRegistry } from './registry.ts';

export const testOrigin = { actor: 'test' };
/** Good enough for the rules, and the same for everybody. */
export const goodPassword = 'tangerine lamp 77 oboe';

export interface ApiReply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please, and the document says what it is
  readonly body: any;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export class ApiClient {
  readonly #registry: TestRegistry;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #documents: Documents;
  /** The secret of its token, where it has one. */
  readonly secret: string | undefined;

  constructor(
    registry: TestRegistry,
    documents: Documents,
    headers: Record<string, string>,
    secret?: string,
  ) {
    this.#registry = registry;
    this.#documents = documents;
    this.#headers = headers;
    this.secret = secret;
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<ApiReply> {
    const { body } = options;
    const isText = typeof body === 'string';
    const reply = await fetch(`${this.#registry.url}/api/v1${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...this.#headers,
        ...(body === undefined ? {} : { 'content-type': isText ? 'text/plain' : 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
    });
    const text = await reply.text();
    const isJson = /^application\/(?:problem\+)?json\b/.test(reply.headers.get('content-type') ?? '');
    const found = {
      status: reply.status,
      headers: reply.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
    };
    // The document names a repository as one part of the path.
    const documented = escapeRepositoryPath(`/api/v1${path}`).slice('/api/v1'.length);
    await this.#documents.check(this.#registry.url, method, documented, found);
    return found;
  }

  get = (path: string, options?: CallOptions) => this.call('GET', path, options);
  post = (path: string, body?: unknown, options?: CallOptions) =>
    this.call('POST', path, { ...options, body });
  put = (path: string, body?: unknown, options?: CallOptions) => this.call('PUT', path, { ...options, body });
  patch = (path: string, body?: unknown, options?: CallOptions) =>
    this.call('PATCH', path, { ...options, body });
  delete = (path: string, options?: CallOptions) => this.call('DELETE', path, options);
}

/** Finds what the document says of an answer, and holds it to that. */
class Documents {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  // biome-ignore lint/suspicious/noExplicitAny: it is JSON of another program's form
  #document: Promise<any> | undefined;
  readonly #validators = new Map<string, ValidateFunction>();

  // biome-ignore lint/suspicious/noExplicitAny: see above
  read(url: string): Promise<any> {
    this.#document ??= fetch(`${url}/api/v1/openapi.json`).then((reply) => reply.json());
    return this.#document;
  }

  async check(url: string, method: string, path: string, { status, body, text }: ApiReply): Promise<void> {
    if (body === undefined || status === 405) return;
    const document = await this.read(url);
    const template = findTemplate(Object.keys(document.paths), `/api/v1${path.split('?')[0]}`);
    const operation = template === undefined ? undefined : document.paths[template][method.toLowerCase()];
    if (operation === undefined) {
      assert.equal(status, 404, `${method} ${path} is not in the document and answers ${status}`);
      return;
    }
    const answer = operation.responses[status] ?? (status >= 400 ? operation.responses.default : undefined);
    assert.ok(answer, `${method} ${template} answers ${status}, which the document does not say: ${text}`);
    const [[type, { schema }] = ['', {}]] = Object.entries(answer.content ?? {}) as [
      string,
      { schema?: object },
    ][];
    assert.ok(schema, `${method} ${template} ${status} has no schema`);
    if (status >= 400) assert.equal(type, 'application/problem+json');
    const key = `${method} ${template} ${status}`;
    const validate = this.#validators.get(key) ?? this.#ajv.compile(schema);
    this.#validators.set(key, validate);
    assert.ok(validate(body), `${key}: ${this.#ajv.errorsText(validate.errors)}: ${text}`);
  }
}

function findTemplate(templates: readonly string[], path: string): string | undefined {
  const bare = (text: string) => text.replace(/\/$/, '');
  const fits = (template: string) =>
    new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(bare(path));
  return templates.find((template) => bare(template) === bare(path)) ?? templates.find(fits);
}

export interface ApiRegistry {
  readonly registry: TestRegistry;
  readonly accounts: AccountStore;
  /** An administrator, with a token of the role admin. */
  readonly admin: ApiClient;
  /** Nobody. */
  readonly anonymous: ApiClient;
  /** With these headers and nothing else. */
  with(headers: Record<string, string>): ApiClient;
  /** Adds a user, without a password unless one is given, and signs it in with a token of the role admin. */
  addUser(
    name: string,
    options?: { readonly role?: RegistryRole; readonly guest?: boolean; readonly password?: string },
  ): Promise<ApiClient>;
  /** Signs in with a new token of somebody who is there. */
  signIn(
    subject: string,
    options?: {
      readonly role?: Role | undefined;
      readonly patterns?: readonly string[];
      readonly expiresAt?: number;
    },
  ): Promise<ApiClient>;
  /** Adds an organization and a robot in it on the way to a test about something else. */
  addOrganization(name: string, owner?: string): Promise<void>;
  addRobot(name: string): Promise<ApiClient>;
}

/** Starts it. Settings as flags. */
export async function startApi(
  t: Cleanup,
  settings: Settings = {},
  options: { readonly clock?: Clock } = {},
): Promise<ApiRegistry> {
  const all = {
    'access.mode': 'token',
    'access.adminPassword': goodPassword,
    ...settings,
  };
  const registry = await startRegistry(t, all, options);
  const { accounts } = registry.registry.metadata;
  const documents = new Documents();
  const as = (headers: Record<string, string>, secret?: string) =>
    new ApiClient(registry, documents, headers, secret);
  let tokens = 0;
  const signIn: ApiRegistry['signIn'] = async (subject, { role = 'admin', patterns, expiresAt } = {}) => {
    const kind: CredentialKind = subject.includes('+') ? 'robot' : 'personal';
    const { secret, hash } = createSecret(kind);
    tokens += 1;
    const label = `test ${tokens}`;
    const added = await accounts.credentials.add({
      subject,
      kind,
      hash,
      label,
      role,
      patterns,
      expiresAt,
      origin: testOrigin,
    });
    assert.equal(added.outcome, 'added');
    return as({ authorization: `Bearer ${secret}` }, secret);
  };
  return {
    registry,
    accounts,
    admin: await signIn('admin'),
    anonymous: as({}),
    with: (headers) => as(headers),
    signIn,
    async addUser(name, { role = 'user', guest = false, password } = {}) {
      const passwordHash =
        password === undefined ? undefined : await registry.authority.passwords.hash(password);
      const added = await accounts.users.add({ name, role, guest, passwordHash, origin: testOrigin });
      assert.equal(added.outcome, 'added');
      return await signIn(name);
    },
    async addOrganization(name, owner) {
      const added = await accounts.organizations.add({ name, owner, origin: testOrigin });
      assert.equal(added.outcome, 'added');
    },
    async addRobot(full) {
      const [namespace = '', name = ''] = full.split('+');
      const added = await accounts.robots.add({ namespace, name, description: '', origin: testOrigin });
      assert.equal(added.outcome, 'added');
      return await signIn(full);
    },
  };
}

/** Asks over the management socket. */
export async function callLocally(
  registry: TestRegistry,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ readonly status: number; readonly body: unknown }> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        socketPath: registry.socket,
        method,
        path: `/api/v1${path}`,
        headers: {
          'berth-local-user': '0(root)',
          ...(text === undefined ? {} : { 'content-type': 'application/json' }),
        },
      },
      (reply) => {
        let answer = '';
        reply.setEncoding('utf8').on('data', (chunk: string) => {
          answer += chunk;
        });
        reply.on('end', () =>
          resolve({ status: reply.statusCode ?? 0, body: answer === '' ? undefined : JSON.parse(answer) }),
        );
      },
    );
    sent.on('error', reject).end(text);
  });
}

/** Asserts a refusal: its status, its code, and what its detail says. */
export function assertProblem(reply: ApiReply, status: number, code: string, detail?: RegExp): void {
  assert.equal(reply.status, status, reply.text);
  assert.equal(reply.body?.code, code, reply.text);
  assert.equal(reply.body?.status, status);
  assert.match(reply.headers.get('content-type') ?? '', /^application\/problem\+json/);
  if (detail !== undefined) assert.match(reply.body.detail, detail);
}
