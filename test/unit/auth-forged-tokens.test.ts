// Every known way to forge an access token. jose is the real one.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import { anyCharacter } from '../support/characters.ts';
import { alice, bench, decode, encode, forge, scopes, settings } from '../support/token-forge.ts';

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
          fc.string({ unit: anyCharacter }),
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
