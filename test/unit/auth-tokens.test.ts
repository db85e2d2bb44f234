// Access tokens: what they say and for how long, and the life of the keys behind them. jose is the real one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { calculateJwkThumbprint, importJWK, type JWK, SignJWT } from 'jose';
import { BearerTokens } from '../../src/auth/bearer-tokens.ts';
import { alice, bench, decode, encode, forge, origin, scopes, settings } from '../support/token-forge.ts';

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
