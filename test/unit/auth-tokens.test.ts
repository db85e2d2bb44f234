// Access tokens: what is accepted, every known way to forge one, and the life of the keys. jose is the real one.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from 'jose';
import { BearerTokens, type TokenBearer, type TokenSettings } from '../../src/auth/bearer-tokens.ts';
import { FakeAccounts, ManualClock } from '../support/fake-accounts.ts';

const settings: TokenSettings = {
  issuer: 'https://r.example',
  service: 'r.example',
  lifetime: 900,
  clockSkew: 60,
  keyRotation: 30 * 86_400,
};
const alice: TokenBearer = { name: 'alice', subjectId: 7, credentialId: undefined, passwordGeneration: 3 };
const scopes = [
  { type: 'repository', name: 'acme/web', actions: ['pull', 'push'] },
  { type: 'registry', name: 'catalog', actions: ['*'] },
];
const origin = { actor: 'test' };

function bench(changed: Partial<TokenSettings> = {}) {
  const clock = new ManualClock();
  const accounts = new FakeAccounts(clock);
  const tokens = new BearerTokens(accounts.store.keys, clock, { ...settings, ...changed });
  return { clock, accounts, tokens };
}

type Bench = ReturnType<typeof bench>;

/** A token as ours, of our own key, but for what is changed: undefined takes a claim or header away. */
async function forge(
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

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined) =>
  JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Record<string, unknown>;

describe('tokens', () => {
  test('say what they were made with', async () => {
    const { tokens, clock } = bench();
    const { token, expiresInSeconds } = await tokens.issue(alice, scopes);
    assert.equal(expiresInSeconds, 900);
    const verified = await tokens.verify(token);
    assert.ok(verified);
    const { id, scopes: found, ...rest } = verified;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, { ...alice, expiresAt: Math.floor(clock.unix) + 900 });
    assert.deepEqual([...(found.repositories.get('acme/web') ?? [])], ['pull', 'push']);
    assert.equal(found.catalog, true);
    const [header, payload] = token.split('.');
    assert.deepEqual(Object.keys(decode(header)).sort(), ['alg', 'kid', 'typ']);
    assert.deepEqual(Object.keys(decode(payload)).sort(), [
      'access',
      'aud',
      'exp',
      'iat',
      'iss',
      'jti',
      'nbf',
      'pwg',
      'sid',
      'sub',
    ]);
  });

  test('one for nobody is for nobody', async () => {
    const { tokens } = bench();
    const { token } = await tokens.issue(
      { name: '', subjectId: 0, credentialId: undefined, passwordGeneration: undefined },
      [],
    );
    const verified = await tokens.verify(token);
    assert.deepEqual([verified?.name, verified?.subjectId, verified?.credentialId], ['', 0, undefined]);
  });

  test('are good until they expire, and for the clock skew after', async () => {
    const { tokens, clock } = bench();
    const { token } = await tokens.issue(alice, []);
    assert.ok(await tokens.verify(token));
    clock.advance(959);
    assert.ok(await tokens.verify(token));
    clock.advance(1);
    assert.equal(await tokens.verify(token), undefined);
  });

  test('a remembered token is judged by the clock as one seen first', async () => {
    const one = bench();
    const { token } = await one.tokens.issue(alice, []);
    const second = new BearerTokens(one.accounts.store.keys, one.clock, settings);
    assert.ok(await one.tokens.verify(token));
    for (const seconds of [-61, 60, 900, 60, 1]) {
      one.clock.unix += seconds;
      const seenFirst = new BearerTokens(one.accounts.store.keys, one.clock, settings);
      const expected = (await seenFirst.verify(token)) !== undefined;
      assert.equal((await one.tokens.verify(token)) !== undefined, expected, `${seconds}`);
    }
    assert.equal(await second.verify(token), undefined);
  });

  test('a life under a minute is a minute, since clients take less for an error', async () => {
    const { tokens } = bench({ lifetime: 1 });
    assert.equal((await tokens.issue(alice, [])).expiresInSeconds, 60);
  });

  test('32 scopes of long names fit into a header', async () => {
    const { tokens } = bench();
    const many = Array.from({ length: 32 }, (_, index) => ({
      type: 'repository',
      name: `a/${'x'.repeat(100)}${index}`.padEnd(109, 'y'),
      actions: ['pull', 'push', 'delete'],
    }));
    const { token } = await tokens.issue(alice, many);
    assert.ok(token.length < 8192, `${token.length}`);
    assert.ok(await tokens.verify(token));
  });
});

describe('forged tokens', () => {
  test('what differs in nothing is accepted, so that the rest of these tests mean something', async () => {
    const one = bench();
    assert.ok(await one.tokens.verify(await forge(one)));
  });

  test('no algorithm, and the public key as a secret', async () => {
    const one = bench();
    const [, payload] = (await forge(one)).split('.');
    const { keys } = await one.tokens.jwks();
    const [jwk] = keys;
    assert.ok(jwk);
    for (const alg of ['none', 'None', 'NONE', '']) {
      const header = encode({ alg, kid: jwk.kid, typ: 'JWT' });
      assert.equal(await one.tokens.verify(`${header}.${payload}.`), undefined, alg);
      assert.equal(await one.tokens.verify(`${header}.${payload}`), undefined, alg);
    }
    const header = encode({ alg: 'HS256', kid: jwk.kid, typ: 'JWT' });
    for (const secret of [JSON.stringify(jwk), jwk.x ?? '', jwk.kid ?? '', '']) {
      const signature = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url');
      assert.equal(await one.tokens.verify(`${header}.${payload}.${signature}`), undefined);
    }
  });

  test('a key of the forger’s own, however it is handed over', async () => {
    const one = bench();
    await one.tokens.load();
    const own = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(own.publicKey);
    const kid = one.accounts.signingKeys[0]?.kid ?? '';
    const now = Math.floor(one.clock.unix);
    const claims = { sid: 7, pwg: 3, access: scopes };
    const headers: Record<string, unknown>[] = [
      { kid },
      { kid, jwk },
      { jwk },
      { kid: await calculateJwkThumbprint(jwk), jwk },
      { kid, jku: 'https://evil.example/jwks.json' },
      { kid, x5u: 'https://evil.example/x', x5c: ['MIIB'] },
      { kid: '../../dev/null' },
      { kid: '' },
      { kid: ['x'] },
      { kid: 'constructor' },
      { kid: '__proto__' },
    ];
    for (const header of headers) {
      const token = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', typ: 'JWT', ...header } as JWTHeaderParameters)
        .setIssuer(settings.issuer)
        .setAudience(settings.service)
        .setSubject('alice')
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + 900)
        .setJti('x')
        .sign(own.privateKey);
      assert.equal(await one.tokens.verify(token), undefined, JSON.stringify(header));
    }
  });

  test('another algorithm with a key of its own kind', async () => {
    const one = bench();
    await one.tokens.load();
    const now = Math.floor(one.clock.unix);
    for (const [alg, pair] of [
      ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
      ['EdDSA', generateKeyPairSync('ed25519')],
      ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ] as const) {
      const token = await new SignJWT({ sid: 7, pwg: 3 })
        .setProtectedHeader({ alg, typ: 'JWT', kid: one.accounts.signingKeys[0]?.kid ?? '' })
        .setIssuer(settings.issuer)
        .setAudience(settings.service)
        .setSubject('alice')
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + 900)
        .setJti('x')
        .sign(pair.privateKey);
      assert.equal(await one.tokens.verify(token), undefined, alg);
    }
  });

  test('every required claim that is missing, and every wrong one', async () => {
    const one = bench();
    for (const claim of ['iss', 'aud', 'sub', 'iat', 'nbf', 'exp', 'jti', 'sid'])
      assert.equal(await one.tokens.verify(await forge(one, { [claim]: undefined })), undefined, claim);
    const now = Math.floor(one.clock.unix);
    const wrong: Record<string, unknown>[] = [
      { iss: 'https://evil.example' },
      { iss: [settings.issuer] },
      { aud: 'other' },
      { aud: [] },
      { aud: ['other', 'another'] },
      { exp: now - 60 },
      { exp: 'never' },
      { exp: null },
      { nbf: now + 61 },
      { nbf: 'x' },
      { iat: now + 3600 },
      { iat: now - 5000 },
      { iat: 'x' },
      { sub: 7 },
      { sub: '' },
      { sid: 0 },
      { sid: '7' },
      { sid: -1 },
      { sid: 1.5 },
      { jti: 1 },
      { pwg: undefined },
      { pwg: 'x' },
      { cid: 4 },
      { cid: '4', pwg: undefined },
    ];
    for (const claims of wrong)
      assert.equal(await one.tokens.verify(await forge(one, claims)), undefined, JSON.stringify(claims));
    // As from years ago with an end years ahead: older than any token of ours gets.
    assert.equal(
      await one.tokens.verify(await forge(one, { iat: now - 1000, nbf: now - 1000, exp: now + 1e9 })),
      undefined,
    );
  });

  test('a wrong type, critical extensions, and signatures that were touched', async () => {
    const one = bench();
    for (const header of [
      { typ: 'at+jwt' },
      { typ: undefined },
      { crit: ['exp'], exp: 1 },
      { crit: [] },
      { b64: false, crit: ['b64'] },
    ])
      await forge(one, {}, header).then(
        async (token) => assert.equal(await one.tokens.verify(token), undefined, JSON.stringify(header)),
        () => undefined,
      );
    const good = await forge(one);
    const [header = '', payload = '', signature = ''] = good.split('.');
    const other = encode({ ...decode(payload), sub: 'root', sid: 1 });
    for (const token of [
      `${header}.${other}.${signature}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${good}.x`,
      `${good}=`,
      `.${good}`,
      `${good} `,
      `${header}.${payload}.${'A'.repeat(86)}`,
    ])
      assert.equal(await one.tokens.verify(token), undefined);
  });

  test('huge ones, and any text at all', async () => {
    const one = bench();
    await one.tokens.load();
    assert.equal(
      await one.tokens.verify(`${encode({ alg: 'ES256' })}.${'A'.repeat(1_000_000)}.x`),
      undefined,
    );
    const nested = Buffer.from(`{"kid":${'['.repeat(3000)}${']'.repeat(3000)}}`).toString('base64url');
    assert.equal(await one.tokens.verify(`${nested}.x.x`), undefined);
    const good = await forge(one);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.nat(good.length - 1).map((at) => `${good.slice(0, at)}~${good.slice(at + 1)}`),
        ),
        async (text) => {
          assert.equal(await one.tokens.verify(text), undefined);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('one of another registry, with the same names', async () => {
    const [one, other] = [bench(), bench()];
    const { token } = await other.tokens.issue(alice, scopes);
    assert.equal(await one.tokens.verify(token), undefined);
  });
});

describe('signing keys', () => {
  test('the first is made at the first start and used again after the next', async () => {
    const one = bench();
    await one.tokens.load();
    assert.equal(one.accounts.signingKeys.length, 1);
    const { token } = await one.tokens.issue(alice, []);
    const again = new BearerTokens(one.accounts.store.keys, one.clock, settings);
    assert.ok(await again.verify(token));
    assert.equal(one.accounts.signingKeys.length, 1);
  });

  test('many requests at once at the first start make one key', async () => {
    const one = bench();
    const issued = await Promise.all(Array.from({ length: 20 }, () => one.tokens.issue(alice, [])));
    assert.equal(one.accounts.signingKeys.length, 1);
    for (const { token } of issued) assert.ok(await one.tokens.verify(token));
  });

  test('the public ones are published by their thumbprint, and nothing private', async () => {
    const one = bench();
    const { keys } = await one.tokens.jwks();
    assert.equal(keys.length, 1);
    const [jwk] = keys;
    assert.ok(jwk);
    assert.deepEqual(Object.keys(jwk).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    assert.equal(jwk.kid, await calculateJwkThumbprint(jwk));
    assert.deepEqual(
      (await one.tokens.listKeys()).map(({ state }) => state),
      ['current'],
    );
  });

  test('a retired key verifies until the last token that it signed has expired, and signs no more', async () => {
    const one = bench();
    const old = await one.tokens.issue(alice, []);
    one.clock.advance(1);
    const kid = await one.tokens.rotate(origin);
    const fresh = await one.tokens.issue(alice, []);
    assert.equal(decode(fresh.token.split('.')[0]).kid, kid);
    assert.ok((await one.tokens.verify(old.token)) && (await one.tokens.verify(fresh.token)));
    assert.deepEqual(
      (await one.tokens.listKeys()).map(({ state }) => state),
      ['current', 'previous'],
    );
    assert.deepEqual(
      (await one.tokens.jwks()).keys.map((key) => key.kid === kid),
      [true, false],
    );
    one.clock.advance(961);
    assert.equal((await one.tokens.jwks()).keys.length, 1);
    // Not even what the old key would sign now, were it stolen.
    const [, stolen] = one.accounts.signingKeys;
    assert.ok(stolen);
    const now = Math.floor(one.clock.unix);
    const forged = await new SignJWT({ sid: 7, pwg: 3 })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: stolen.kid })
      .setIssuer(settings.issuer)
      .setAudience(settings.service)
      .setSubject('alice')
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + 900)
      .setJti('x')
      .sign(await importJWK(JSON.parse(stolen.jwk) as JWK, 'ES256'));
    assert.equal(await one.tokens.verify(forged), undefined);
    await one.tokens.rotate(origin);
    assert.equal(one.accounts.signingKeys.length, 2);
  });

  test('a token that was remembered ends with its key', async () => {
    const one = bench({ clockSkew: 0 });
    const token = await forge(one, { exp: Math.floor(one.clock.unix) + 1e6 });
    assert.ok(await one.tokens.verify(token));
    await one.tokens.rotate(origin);
    assert.ok(await one.tokens.verify(token));
    one.clock.advance(900);
    assert.equal(await one.tokens.verify(token), undefined);
  });

  test('keys are rotated when they are due, not before, and never where they are not to be', async () => {
    const one = bench();
    await one.tokens.load();
    assert.equal(await one.tokens.rotateWhenDue(origin), false);
    one.clock.advance(30 * 86_400 - 1);
    assert.equal(await one.tokens.rotateWhenDue(origin), false);
    one.clock.advance(1);
    assert.equal(await one.tokens.rotateWhenDue(origin), true);
    assert.equal(await one.tokens.rotateWhenDue(origin), false);
    const never = bench({ keyRotation: Number.POSITIVE_INFINITY });
    await never.tokens.load();
    never.clock.advance(1e9);
    assert.equal(await never.tokens.rotateWhenDue(origin), false);
  });

  test('a key that was made elsewhere is found, and unknown ones do not make the store busy', async () => {
    const one = bench();
    const other = new BearerTokens(one.accounts.store.keys, one.clock, settings);
    await other.load();
    await one.tokens.load();
    one.clock.advance(10);
    await other.rotate(origin);
    const { token } = await other.issue(alice, []);
    assert.ok(await one.tokens.verify(token));
    one.accounts.reads.length = 0;
    for (let times = 0; times < 50; times++)
      await one.tokens.verify(`${encode({ alg: 'ES256', kid: `k${times}`, typ: 'JWT' })}.e30.x`);
    assert.ok(one.accounts.reads.length <= 1);
  });

  test('a store that fails is a fault, and the next request tries again', async () => {
    const one = bench();
    one.accounts.failing = new Error('disk');
    await assert.rejects(one.tokens.issue(alice, []), /disk/);
    await assert.rejects(one.tokens.verify('x.y.z'), /disk/);
    one.accounts.failing = undefined;
    assert.ok(await one.tokens.issue(alice, []));
  });
});
