// The world of the authorization matrix: a registry with repositories of every kind, and everybody who could ask, each with
// what a person would say that they may. Nothing of this is worked out by the code under test.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createSecret } from '../../../src/auth/secrets.ts';
import type { RegistryRole, Role } from '../../../src/storage/account-store.ts';
import type { Visibility } from '../../../src/storage/metadata-store.ts';
import { type ApiRegistry, startApi, testOrigin } from '../api.ts';
import { ociManifest, sha256 } from '../client.ts';

/** Names of one length: answers about them can be compared byte by byte. */
export const repositories = {
  app: 'acme/app',
  /** Not there; who has a role on acme/** has it here, too. */
  new: 'acme/new',
  public: 'shop/visible',
  internal: 'shop/in-team',
  private: 'shop/private',
  missing: 'shop/missing',
} as const;
export type RepositoryKey = keyof typeof repositories;

/** `hall` and `yard` show themselves by their default visibility; `nope` is not there. */
export const namespaces = ['acme', 'shop', 'nope', 'hall', 'yard'] as const;
export type NamespaceName = (typeof namespaces)[number];

/** Besides whoever asks: `otto` is there, `nemo` is not. */
export const otherUsers = ['otto', 'nemo'] as const;

export interface Asker {
  readonly label: string;
  /** nobody: no credentials; void: credentials that are no longer good. */
  readonly credentials: 'good' | 'nobody' | 'void';
  readonly kind: 'user' | 'robot';
  readonly name: string;
  readonly authorization: string | undefined;
  /** With which /token is asked: a name and a secret. */
  readonly basic: string | undefined;
  readonly registryRole: RegistryRole;
  readonly guest: boolean;
  /** On everything in acme, and on acme/app, which may be more. */
  readonly acme: Role | undefined;
  readonly app: Role | undefined;
  /** On everything in shop. */
  readonly shop: Role | undefined;
  /** Whether the credential reaches what is outside of acme/**; one that is limited to some repositories does not. */
  readonly everywhere: boolean;
  readonly memberOf: readonly string[];
  readonly ownerOf: readonly string[];
  /** What of the account and the registry as a whole the credential reaches. */
  readonly account: 'change' | 'read' | 'none';
  /** Of an access token: what it carries on acme/app. undefined: it is no access token. */
  readonly carries: readonly string[] | undefined;
}

export interface World extends ApiRegistry {
  readonly askers: readonly Asker[];
  /** Of a layer that every repository has. */
  readonly layer: string;
}

const nobody: Omit<Asker, 'label' | 'name'> = {
  credentials: 'good',
  kind: 'user',
  authorization: undefined,
  basic: undefined,
  registryRole: 'user',
  guest: false,
  acme: undefined,
  app: undefined,
  shop: undefined,
  everywhere: true,
  memberOf: [],
  ownerOf: [],
  account: 'change',
  carries: undefined,
};

export async function buildWorld(t: TestContext): Promise<World> {
  const api = await startApi(t, { 'log.requests': 'false', 'signatures.simpleSigning': 'true' });
  await addAccounts(api);
  const layer = await addRepositories(api);
  const { status } = await api.admin.post('/operations', { kind: 'gc', dryRun: true });
  assert.equal(status, 202);
  await api.registry.registry.operations.wait(1);
  return { ...api, layer, askers: await makeAskers(api) };
}

async function addAccounts({ accounts }: ApiRegistry): Promise<void> {
  const origin = testOrigin;
  const { users, organizations, grants, robots, namespaces: spaces } = accounts;
  const names = ['olga', 'mia', 'sten', 'rita', 'wes', 'max', 'ada', 'pia', 'fred', 'dan', 'otto'];
  for (const name of names) await users.add({ name, role: 'user', guest: false, origin });
  for (const name of ['gus', 'gil']) await users.add({ name, role: 'user', guest: true, origin });
  await users.add({ name: 'audi', role: 'auditor', guest: false, origin });
  await users.add({ name: 'boss', role: 'administrator', guest: false, origin });
  for (const [name, owner] of [
    ['acme', 'olga'],
    ['shop', 'fred'],
    ['hall', 'fred'],
    ['yard', 'fred'],
  ] as const) {
    await organizations.add({ name, owner, origin });
    await organizations.addTeam({ organization: name, team: 'dev', origin });
    await robots.add({ namespace: name, name: 'bot', description: '', origin });
  }
  await spaces.update({ name: 'hall', changes: { defaultVisibility: 'public' }, origin });
  await spaces.update({ name: 'yard', changes: { defaultVisibility: 'internal' }, origin });
  await organizations.setMember({ organization: 'acme', user: 'mia', role: 'member', origin });
  const given: readonly (readonly [string, string, Role])[] = [
    ['rita', 'acme/**', 'read'],
    ['gil', 'acme/**', 'read'],
    ['wes', 'acme/**', 'write'],
    ['max', 'acme/**', 'maintain'],
    ['ada', 'acme/**', 'admin'],
    ['dan', 'acme/**', 'admin'],
    ['pia', 'acme/app', 'admin'],
    ['acme+bot', 'acme/**', 'write'],
    ['shop+bot', 'shop/**', 'admin'],
  ];
  for (const [subject, pattern, role] of given) {
    const namespace = pattern.split('/')[0];
    const put = await grants.put({ namespace, subject, pattern, role, origin });
    assert.equal(put.outcome, 'created', `${subject} ${pattern}`);
  }
}

// An image of one layer under the tag v1, in each repository that is there.
async function addRepositories(api: ApiRegistry): Promise<string> {
  const visibilities: Partial<Record<RepositoryKey, Visibility>> = {
    app: 'private',
    public: 'public',
    internal: 'internal',
    private: 'private',
  };
  let layer = '';
  for (const [key, visibility] of Object.entries(visibilities)) {
    const repository = repositories[key as RepositoryKey];
    // Repositories take the default of their namespace when they are made.
    const change = { name: repository.split('/')[0] ?? '', origin: testOrigin };
    await api.accounts.namespaces.update({ ...change, changes: { defaultVisibility: visibility } });
    layer = await pushImage(api, repository);
    await api.accounts.namespaces.update({ ...change, changes: { defaultVisibility: null } });
  }
  return layer;
}

async function pushImage({ registry, admin }: ApiRegistry, repository: string): Promise<string> {
  const content = '{"a":"layer"}';
  const digest = sha256(content);
  const send = async (method: string, path: string, body: string, type: string) => {
    const headers = { authorization: `Bearer ${admin.secret}`, 'content-type': type };
    const reply = await fetch(`${registry.url}/v2/${repository}/${path}`, { method, headers, body });
    assert.equal(reply.status, 201, await reply.text());
  };
  const descriptor = { mediaType: 'application/octet-stream', digest, size: content.length };
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config: descriptor, layers: [descriptor] };
  await send('POST', `blobs/uploads/?digest=${digest}`, content, 'application/octet-stream');
  await send('PUT', 'manifests/v1', JSON.stringify(manifest), ociManifest);
  return digest;
}

async function makeAskers(api: ApiRegistry): Promise<readonly Asker[]> {
  const { accounts, registry } = api;
  const askers: Asker[] = [
    { ...nobody, label: 'anonymous', name: 'anonymous', credentials: 'nobody', account: 'none' },
  ];

  const add = async (
    label: string,
    name: string,
    traits: Partial<Asker>,
    bounds: { role?: Role; patterns?: readonly string[]; expiresAt?: number } = {},
  ): Promise<Asker> => {
    const kind = name.includes('+') ? 'robot' : 'user';
    const { secret, hash } = createSecret(kind === 'robot' ? 'robot' : 'personal');
    const added = await accounts.credentials.add({
      subject: name,
      kind: kind === 'robot' ? 'robot' : 'personal',
      hash,
      label,
      origin: testOrigin,
      ...bounds,
    });
    assert.equal(added.outcome, 'added');
    const asker: Asker = {
      ...nobody,
      label,
      name,
      kind,
      authorization: `Bearer ${secret}`,
      basic: `${name}:${secret}`,
      ...traits,
    };
    askers.push(asker);
    return asker;
  };

  const admin = { acme: 'admin', app: 'admin' } as const;
  await add('signed in without grants', 'sten', {});
  await add('guest without grants', 'gus', { guest: true });
  await add('guest with read', 'gil', { guest: true, acme: 'read', app: 'read' });
  await add('read', 'rita', { acme: 'read', app: 'read' });
  await add('write', 'wes', { acme: 'write', app: 'write' });
  await add('maintain', 'max', { acme: 'maintain', app: 'maintain' });
  const ada = await add('admin', 'ada', admin);
  await add('admin of one repository', 'pia', { app: 'admin' });
  await add('member', 'mia', { memberOf: ['acme'] });
  await add('owner', 'olga', { ...admin, memberOf: ['acme'], ownerOf: ['acme'] });
  const foreign = ['shop', 'hall', 'yard'];
  await add('foreign admin', 'fred', { shop: 'admin', memberOf: foreign, ownerOf: foreign });
  await add('robot', 'acme+bot', { acme: 'write', app: 'write' });
  await add('foreign robot with admin', 'shop+bot', { shop: 'admin' });
  await add('auditor', 'audi', { registryRole: 'auditor', acme: 'read', app: 'read', shop: 'read' });
  await add('administrator', 'boss', { registryRole: 'administrator', ...admin, shop: 'admin' });

  for (const role of ['read', 'write', 'maintain', 'admin'] as const) {
    const account = role === 'admin' ? 'change' : 'read';
    await add(`token of an admin, ${role}`, 'ada', { acme: role, app: role, account }, { role });
  }
  const limited = { account: 'none', everywhere: false } as const;
  await add(
    'token of an admin for its namespace',
    'ada',
    { ...admin, ...limited },
    { patterns: ['acme/**'] },
  );
  await add(
    'token of an admin for one repository',
    'ada',
    { app: 'admin', ...limited },
    { patterns: ['acme/app'] },
  );
  await add('token of an admin for elsewhere', 'ada', limited, { patterns: ['else/**'] });
  await add(
    'token of an owner, read',
    'olga',
    { acme: 'read', app: 'read', memberOf: ['acme'], account: 'read' },
    { role: 'read' },
  );
  await add(
    'token of an owner for its namespace, read',
    'olga',
    { acme: 'read', app: 'read', memberOf: ['acme'], ...limited },
    { role: 'read', patterns: ['acme/**'] },
  );
  await add(
    'token of an administrator, read',
    'boss',
    { registryRole: 'auditor', acme: 'read', app: 'read', shop: 'read', account: 'read' },
    { role: 'read' },
  );
  await add(
    'token of an administrator for one namespace',
    'boss',
    { ...admin, ...limited },
    { patterns: ['acme/**'] },
  );

  const past = Math.floor(Date.now() / 1000) - 10;
  await add('expired token', 'ada', { credentials: 'void' }, { expiresAt: past });
  const revoked = await add('revoked token', 'ada', { credentials: 'void' });
  await removeToken(api, 'ada', revoked.label);
  await add('disabled user', 'dan', { credentials: 'void' });
  await accounts.users.disable({ name: 'dan', origin: testOrigin });
  askers.push({
    ...ada,
    label: 'made-up token',
    credentials: 'void',
    authorization: 'Bearer berth_pat_x',
    basic: 'ada:x',
  });

  for (const actions of [['pull'], ['pull', 'push']]) {
    const token = await fetchToken(registry.url, ada.basic, `repository:acme/app:${actions.join(',')}`);
    const label = `access token to ${actions.join(' and ')}`;
    askers.push({ ...ada, label, authorization: `Bearer ${token}`, basic: undefined, carries: actions });
  }
  return askers;
}

async function removeToken({ accounts }: ApiRegistry, subject: string, label: string): Promise<void> {
  const page = await accounts.credentials.list(subject, { kinds: ['personal'], limit: 100 });
  const id = page.items.find((token) => token.label === label)?.id ?? 0;
  assert.ok(await accounts.credentials.remove({ subject, id, kinds: ['personal'], origin: testOrigin }));
}

/** An access token for these scopes. */
export async function fetchToken(url: string, basic: string | undefined, scope: string): Promise<string> {
  const reply = await fetch(`${url}/token?service=berth&scope=${encodeURIComponent(scope)}`, {
    headers: basic === undefined ? {} : { authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
  });
  assert.equal(reply.status, 200, await reply.clone().text());
  return ((await reply.json()) as { token: string }).token;
}
