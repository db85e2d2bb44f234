// The challenge of a 401, the ping that clients take it from, and the throttle of wrong passwords.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { errorCode, type Headers, sendRaw, sha256 } from '../support/client.ts';
import { basic, bearer, challengeOf, type SignInRegistry, startSignInRegistry } from '../support/sign-in.ts';

const absent = sha256('nowhere');

/** A request with a Host header of its own, which fetch would not send; resolves with its challenge. */
async function challengeWith(port: number, path: string, headers: Headers): Promise<string> {
  return await new Promise((resolve, reject) => {
    const get = request({ host: '127.0.0.1', port, path, headers }, (reply) => {
      reply.resume().on('end', () => resolve(String(reply.headers['www-authenticate'])));
    });
    get.on('error', reject).end();
  });
}

describe('the challenge', () => {
  it('names where to fetch a token and for what, and nothing else', async (t) => {
    const { url, port } = await startSignInRegistry(t);
    const realm = `http://127.0.0.1:${port}/token`;
    const ping = await fetch(`${url}/v2/`);
    assert.equal(ping.status, 401);
    assert.equal(await errorCode(ping), 'UNAUTHORIZED');
    assert.deepEqual(challengeOf(ping), { realm, service: 'berth' });
    const wanted: readonly (readonly [method: string, path: string, scope: string])[] = [
      ['GET', 'acme/web/manifests/v1', 'repository:acme/web:pull'],
      ['HEAD', `acme/web/blobs/${absent}`, 'repository:acme/web:pull'],
      ['GET', 'acme/web/tags/list', 'repository:acme/web:pull'],
      ['GET', `acme/web/referrers/${absent}`, 'repository:acme/web:pull'],
      ['POST', 'acme/web/blobs/uploads/', 'repository:acme/web:pull,push'],
      ['PATCH', 'acme/web/blobs/uploads/x', 'repository:acme/web:pull,push'],
      ['PUT', 'acme/web/manifests/v1', 'repository:acme/web:pull,push'],
      ['DELETE', 'acme/web/manifests/v1', 'repository:acme/web:delete'],
      ['DELETE', `acme/web/blobs/${absent}`, 'repository:acme/web:delete'],
      ['GET', '_catalog', 'registry:catalog:*'],
    ];
    for (const [method, path, scope] of wanted) {
      const reply = await fetch(`${url}/v2/${path}`, { method });
      assert.equal(reply.status, 401, path);
      assert.deepEqual(challengeOf(reply), { realm, service: 'berth', scope }, `${method} ${path}`);
    }
  });

  it('names the public address where one is set', async (t) => {
    const { url } = await startSignInRegistry(t, { 'http.publicUrl': 'https://registry.example.com' });
    assert.deepEqual(challengeOf(await fetch(`${url}/v2/`)), {
      realm: 'https://registry.example.com/token',
      service: 'registry.example.com',
    });
  });

  it('believes X-Forwarded-Proto and -Host of a trusted proxy alone', async (t) => {
    const forwarded = {
      host: 'inside:5000',
      'x-forwarded-host': 'registry.example.com',
      'x-forwarded-proto': 'https',
    };
    const trusting = await startSignInRegistry(t, { 'http.trustedProxies': '127.0.0.1' });
    const outside = 'Bearer realm="https://registry.example.com/token",service="berth"';
    assert.equal(await challengeWith(trusting.port, '/v2/', forwarded), outside);
    const inside = 'Bearer realm="http://inside:5000/token",service="berth"';
    assert.equal(await challengeWith(trusting.port, '/v2/', { host: 'inside:5000' }), inside);
    const wary = await startSignInRegistry(t);
    assert.equal(await challengeWith(wary.port, '/v2/', forwarded), inside);
    const elsewhere = await startSignInRegistry(t, { 'http.trustedProxies': '192.0.2.1' });
    assert.equal(await challengeWith(elsewhere.port, '/v2/', forwarded), inside);
  });

  it('keeps its quotes closed whatever the Host header or the service is', async (t) => {
    const { port } = await startSignInRegistry(t, { 'auth.token.service': 'a "quoted" service\\' });
    const own = `Bearer realm="http://127.0.0.1:${port}/token",service="a quoted service"`;
    for (const host of ['evil",x="', 'evil.example/path?', 'a b', '\\']) {
      assert.equal(await challengeWith(port, '/v2/', { host }), own, host);
    }
    const bracketed = await challengeWith(port, '/v2/', { host: '[::1]:5000' });
    assert.match(bracketed, /^Bearer realm="http:\/\/\[::1\]:5000\/token",/);
    const old = await sendRaw(port, 'GET /v2/ HTTP/1.0\r\n\r\n');
    assert.ok(old.includes(`www-authenticate: ${own}\r\n`), old);
  });

  it('comes before a body is read, and reaches a client that is still sending one', async (t) => {
    const { url } = await startSignInRegistry(t);
    const body = Buffer.alloc(8 << 20);
    const reply = await fetch(`${url}/v2/acme/web/blobs/uploads/?digest=${sha256(body)}`, {
      method: 'POST',
      body,
    });
    assert.equal(reply.status, 401);
    assert.equal(await errorCode(reply), 'UNAUTHORIZED');
  });

  it('says invalid_token of a token that is not good, and nothing of a wrong password', async (t) => {
    const { url } = await startSignInRegistry(t);
    for (const token of ['x', 'a.b.c', 'berth_pat_damaged']) {
      const reply = await fetch(`${url}/v2/`, { headers: bearer(token) });
      assert.equal(reply.status, 401);
      assert.equal(challengeOf(reply).error, 'invalid_token', token);
    }
    const wrong = await fetch(`${url}/v2/`, { headers: basic('admin', 'wrong') });
    assert.equal(wrong.status, 401);
    assert.equal(challengeOf(wrong).error, undefined);
    assert.match(await wrong.text(), /the user name or the password is wrong/);
    const loggedOut = await fetch(`${url}/v2/`, { headers: { authorization: 'Basic Og==' } });
    assert.equal(challengeOf(loggedOut).error, undefined);
  });

  it('says insufficient_scope where a fresh token would do, and only there', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    await registry.addUser('sam');
    const pull = await registry.fetchToken(['repository:sam/app:pull'], 'sam');
    const push = await fetch(`${url}/v2/sam/app/blobs/uploads/`, { method: 'POST', headers: bearer(pull) });
    assert.equal(push.status, 401);
    const { error, scope } = challengeOf(push);
    assert.deepEqual([error, scope], ['insufficient_scope', 'repository:sam/app:pull,push']);
    const nobody = await registry.fetchToken(['repository:sam/app:pull,push']);
    const anonymous = await fetch(`${url}/v2/sam/app/tags/list`, { headers: bearer(nobody) });
    assert.equal(anonymous.status, 401);
    assert.equal(challengeOf(anonymous).error, undefined, 'signing in is what helps');
    const catalog = await fetch(`${url}/v2/_catalog`, { headers: bearer(nobody) });
    assert.equal(challengeOf(catalog).error, 'insufficient_scope');
  });
});

describe('the ping', () => {
  it('is good with a password, a personal token and any token of /token', async (t) => {
    const registry = await startSignInRegistry(t);
    await registry.addUser('sam');
    const secret = await registry.addToken('sam');
    for (const headers of [
      basic('sam'),
      basic('sam', secret),
      bearer(secret),
      bearer(await registry.fetchToken([], 'sam')),
    ]) {
      const reply = await fetch(`${registry.url}/v2/`, { headers });
      assert.equal(reply.status, 200);
      assert.equal(await reply.text(), '{}');
    }
    const other = await fetch(`${registry.url}/v2/`, { headers: basic('admin', secret) });
    assert.equal(other.status, 401);
    assert.match(await other.text(), /this token belongs to sam: log in with -u sam/);
  });
});

describe('too many wrong passwords', () => {
  it('are answered 429 with Retry-After, while tokens and good sessions go on', async (t) => {
    const settings = { 'auth.throttle.failuresPerAccount': '3', 'auth.throttle.window': '10m' };
    const registry = await startSignInRegistry(t, settings);
    const { url } = registry;
    await registry.addUser('sam');
    const secret = await registry.addToken('sam');
    const token = await registry.fetchToken([], 'sam');
    const tries = await guessUntilThrottled(registry);
    assert.equal(tries.status, 429);
    assert.equal(await errorCode(tries), 'TOOMANYREQUESTS');
    assert.match(tries.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    for (const headers of [basic('sam'), basic('sam', secret), bearer(secret), bearer(token)])
      assert.equal((await fetch(`${url}/v2/`, { headers })).status, 200);
    const endpoint = await fetch(`${url}/token`, { headers: basic('sam', 'guess 100') });
    assert.equal(endpoint.status, 429);
    assert.match(endpoint.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    assert.match(metrics, /^berth_access_refused_total\{reason="throttled"\} 2$/m);
    assert.match(metrics, /^berth_access_refused_total\{reason="invalid"\} [1-9]\d*$/m);
  });
});

async function guessUntilThrottled({ url }: SignInRegistry): Promise<Response> {
  for (let guess = 0; ; guess += 1) {
    const reply = await fetch(`${url}/v2/`, { headers: basic('sam', `guess ${guess}`) });
    if (reply.status !== 401 || guess === 20) return reply;
  }
}
