// Access tokens made by hand with the registry's own key, so that a test can change one thing at a time.
import assert from 'node:assert/strict';
import { importJWK, type JWK, type JWTHeaderParameters, SignJWT } from 'jose';
import { BearerTokens, type TokenBearer, type TokenSettings } from '../../src/auth/bearer-tokens.ts';
import { FakeAccounts, ManualClock } from './fake-accounts.ts';

export const settings: TokenSettings = {
  issuer: 'https://r.example',
  service: 'r.example',
  lifetime: 900,
  clockSkew: 60,
  keyRotation: 30 * 86_400,
};
export const alice: TokenBearer = {
  name: 'alice',
  subjectId: 7,
  credentialId: undefined,
  passwordGeneration: 3,
};
export const scopes = [
  { type: 'repository', name: 'acme/web', actions: ['pull', 'push'] },
  { type: 'registry', name: 'catalog', actions: ['*'] },
];
export const origin = { actor: 'test' };

export function bench(changed: Partial<TokenSettings> = {}) {
  const clock = new ManualClock();
  const accounts = new FakeAccounts(clock);
  const tokens = new BearerTokens(accounts.store.keys, clock, { ...settings, ...changed });
  return { clock, accounts, tokens };
}

export type Bench = ReturnType<typeof bench>;

/** A token as ours, of our own key, but for what is changed: undefined takes a claim or header away. */
export async function forge(
  { accounts, clock, tokens }: Bench,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  await tokens.load();
  const [stored] = accounts.signingKeys;
  assert.ok(stored);
  const key = await importJWK(JSON.parse(stored.jwk) as JWK, 'ES256');
  const now = Math.floor(clock.unixSeconds());
  const payload = {
    iss: settings.issuer,
    aud: settings.service,
    sub: 'alice',
    sid: 7,
    pwg: 3,
    iat: now,
    nbf: now,
    exp: now + 900,
    jti: 'x',
    access: scopes,
    ...claims,
  };
  const protectedHeader = { alg: 'ES256', kid: stored.kid, typ: 'JWT', ...header };
  return new SignJWT(JSON.parse(JSON.stringify(payload)))
    .setProtectedHeader(JSON.parse(JSON.stringify(protectedHeader)) as JWTHeaderParameters)
    .sign(key);
}

export const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
export const decode = (part: string | undefined) =>
  JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Record<string, unknown>;
