// Registries in mode token, who there is in them, and how a client proves who it is.
import assert from 'node:assert/strict';
import type { CredentialKind, RegistryRole, Role } from '../../src/storage/account-store.ts';
import type { Clock } from '../../src/storage/clock.ts';
import type { Visibility } from '../../src/storage/metadata-store.ts';
import type { Cleanup } from './cleanup.ts';
import type { Headers } from './client.ts';
import { type Settings, startRegistry, type TestRegistry } from './registry.ts';

/** Good enough for the rules, and everybody's in these tests. */
export const password = 'tangerine lamp 77 oboe';

const origin = { actor: 'test' };

export interface SignInRegistry extends TestRegistry {
  /** Adds a user whose password is `password`. */
  addUser(name: string, options?: { role?: RegistryRole; guest?: boolean }): Promise<void>;
  addOrganization(name: string, options?: { visibility?: Visibility; owner?: string }): Promise<void>;
  /** By full name, 'acme+ci'. */
  addRobot(name: string): Promise<void>;
  /** Gives `subject` a role on a pattern; '**' is the registry. */
  grant(subject: string, role: Role, pattern: string, expiresAt?: number): Promise<void>;
  /** A personal or robot token of `subject`; the secret. */
  addToken(
    subject: string,
    options?: { role?: Role; patterns?: readonly string[]; expiresAt?: number; label?: string },
  ): Promise<string>;
  /** A bearer token of /token with what is granted of `scopes`; without `secret` for nobody. */
  fetchToken(scopes: readonly string[], name?: string, secret?: string): Promise<string>;
  /** Disables a user. */
  disable(name: string): Promise<void>;
}

/** Starts one with the administrator `admin`. */
export async function startSignInRegistry(
  t: Cleanup,
  settings: Settings = {},
  options: { data?: string; clock?: Clock } = {},
): Promise<SignInRegistry> {
  const basics = {
    'access.mode': 'token',
    'access.adminPassword': password,
  };
  const registry = await startRegistry(t, { ...basics, ...settings }, options);
  const { accounts } = registry.registry.metadata;
  let hash: Promise<string> | undefined;
  return {
    ...registry,
    async addUser(name, { role = 'user', guest = false } = {}) {
      hash ??= registry.authority.passwords.hash(password);
      const added = await accounts.users.add({ name, role, guest, passwordHash: await hash, origin });
      assert.equal(added.outcome, 'added');
    },
    async addOrganization(name, { visibility, owner } = {}) {
      const added = await accounts.organizations.add({ name, owner, defaultVisibility: visibility, origin });
      assert.equal(added.outcome, 'added');
    },
    async addRobot(full) {
      const [namespace = '', name = ''] = full.split('+');
      const added = await accounts.robots.add({ namespace, name, description: '', origin });
      assert.equal(added.outcome, 'added');
    },
    async grant(subject, role, pattern, expiresAt) {
      const [first = ''] = pattern.split('/');
      const namespace = pattern === '**' ? undefined : pattern.includes('/') ? first : 'library';
      const put = await accounts.grants.put({ namespace, subject, pattern, role, expiresAt, origin });
      assert.equal(put.outcome, 'created');
    },
    async addToken(subject, { role, patterns, expiresAt, label = 'test' } = {}) {
      const kind: CredentialKind = subject.includes('+') ? 'robot' : 'personal';
      const made = await registry.authority.credentials.create({
        ...{ subject, kind, label, role, patterns, expiresAt, origin },
      });
      assert.equal(made.outcome, 'added');
      return made.secret;
    },
    async fetchToken(scopes, name, secret = password) {
      const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&');
      const headers = name === undefined ? {} : basic(name, secret);
      const reply = await fetch(`${registry.url}/token?service=berth&${query}`, { headers });
      assert.equal(reply.status, 200, await reply.clone().text());
      return ((await reply.json()) as { token: string }).token;
    },
    async disable(name) {
      const disabled = await accounts.users.disable({ name, origin });
      assert.equal(disabled.outcome, 'disabled');
    },
  };
}

/** The headers of Basic credentials. */
export function basic(name: string, secret = password): Headers {
  return { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}` };
}

export function bearer(token: string): Headers {
  return { authorization: `Bearer ${token}` };
}

/** What a challenge says, by parameter. Fails unless there is exactly one, of the scheme Bearer. */
export function challengeOf(reply: Response): Record<string, string> {
  const text = reply.headers.get('www-authenticate') ?? '';
  assert.match(text, /^Bearer realm="[^"]*"(?:,[a-z]+="[^"]*")*$/);
  return Object.fromEntries(
    [...text.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
}
