// The token endpoint over real sockets: GET with Basic, POST with a form, refresh tokens, what is granted and what is refused.
import assert from 'node:assert/strict';
import { createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { errorCode, type Headers, pushImage } from '../support/client.ts';
import { basic, bearer, password, type SignInRegistry, startSignInRegistry } from '../support/sign-in.ts';

interface TokenAnswer {
  readonly token: string;
  readonly access_token: string;
  readonly expires_in: number;
  readonly scope?: string;
  readonly refresh_token?: string;
  readonly [other: string]: unknown;
}

interface Claims {
  readonly access: readonly { type: string; name: string; actions: readonly string[] }[];
  readonly [claim: string]: unknown;
}

async function get(url: string, query: string, headers: Headers = {}): Promise<TokenAnswer> {
  const reply = await fetch(`${url}/token?${query}`, { headers });
  assert.equal(reply.status, 200, await reply.clone().text());
  return (await reply.json()) as TokenAnswer;
}

async function post(url: string, form: Record<string, string> | [string, string][]): Promise<Response> {
  return await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(form) });
}

function claimsOf(token: string): Claims {
  const [, payload = ''] = token.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims;
}

/** What a token carries, as scopes. */
function carried(token: string): string[] {
  return claimsOf(token).access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`);
}

async function startWithSam(...parameters: Parameters<typeof startSignInRegistry>): Promise<SignInRegistry> {
  const registry = await startSignInRegistry(...parameters);
  await registry.addUser('sam');
  return registry;
}

describe('GET /token', () => {
  it('answers with a token in both names, its life, and nothing that was not asked for', async (t) => {
    const { url } = await startWithSam(t);
    const reply = await fetch(`${url}/token?service=berth&scope=repository:sam/app:pull`, {
      headers: basic('sam'),
    });
    assert.equal(reply.headers.get('cache-control'), 'no-store');
    assert.match(reply.headers.get('content-type') ?? '', /^application\/json/);
    const answer = (await reply.json()) as TokenAnswer;
    assert.deepEqual(Object.keys(answer).sort(), ['access_token', 'expires_in', 'token']);
    assert.equal(answer.token, answer.access_token);
    assert.equal(answer.expires_in, 900);
    const { iss, aud, sub, exp, iat, nbf } = claimsOf(answer.token);
    assert.deepEqual([iss, aud, sub, nbf, exp], ['berth', 'berth', 'sam', iat, Number(iat) + 900]);
  });

  it('grants what today’s policy grants and leaves out the rest, possibly all of it', async (t) => {
    const { url } = await startWithSam(t);
    const table: readonly (readonly [query: string, scopes: readonly string[]])[] = [
      ['', []],
      ['scope=', []],
      ['scope=repository:sam/app:pull', ['repository:sam/app:pull']],
      ['scope=repository:sam/app:push,pull', ['repository:sam/app:pull,push']],
      ['scope=repository:sam/app:*', ['repository:sam/app:pull,push,delete']],
      ['scope=repository(plugin):sam/app:pull', ['repository:sam/app:pull']],
      ['scope=repository:joe/app:pull,push', []],
      ['scope=repository:sam/app:pull,admin', ['repository:sam/app:pull']],
      [
        'scope=repository:sam/a:pull+repository:sam/b:pull',
        ['repository:sam/a:pull', 'repository:sam/b:pull'],
      ],
      [
        'scope=repository:sam/a:pull&scope=repository:sam/b:push',
        ['repository:sam/a:pull', 'repository:sam/b:push'],
      ],
      ['scope=repository:sam/a:pull&scope=repository:sam/a:push', ['repository:sam/a:pull,push']],
      ['scope=registry:catalog:*', ['registry:catalog:*']],
      ['scope=registry:other:*', []],
      ['scope=nonsense', []],
      ['scope=repository:SAM:pull', []],
      ['scope=repository:sam/app:pull&account=joe&client_id=x&service=other', ['repository:sam/app:pull']],
    ];
    for (const [query, scopes] of table)
      assert.deepEqual(carried((await get(url, query, basic('sam'))).token), scopes, query);
  });

  it('gives a token to nobody, for what everybody may', async (t) => {
    const registry = await startWithSam(t);
    const { url } = registry;
    await registry.addOrganization('mirror', { visibility: 'public' });
    await pushImage(url, 'mirror/alpine', 'v1', 'v1', basic('admin'));
    const query = 'scope=repository:mirror/alpine:pull,push&scope=repository:sam/app:pull&offline_token=true';
    for (const headers of [{}, { authorization: 'Basic Og==' }]) {
      const answer = await get(url, query, headers);
      assert.deepEqual(carried(answer.token), ['repository:mirror/alpine:pull']);
      assert.equal(answer.refresh_token, undefined);
      assert.equal(claimsOf(answer.token).sub, '');
    }
  });

  it('takes a personal token and a robot’s, and no more than they may', async (t) => {
    const registry = await startWithSam(t);
    await registry.addOrganization('acme');
    await registry.addRobot('acme+ci');
    await registry.grant('acme+ci', 'write', 'acme/web/**');
    const query = 'scope=repository:sam/app:*&scope=repository:acme/web/app:*&scope=repository:acme/db:*';
    const reader = await registry.addToken('sam', { role: 'read', patterns: ['sam/a*'] });
    assert.deepEqual(carried((await get(registry.url, query, basic('sam', reader))).token), [
      'repository:sam/app:pull',
    ]);
    assert.deepEqual(carried((await get(registry.url, query, bearer(reader))).token), [
      'repository:sam/app:pull',
    ]);
    const robot = await registry.addToken('acme+ci');
    const given = await get(registry.url, query, basic('acme+ci', robot));
    assert.deepEqual(carried(given.token), ['repository:acme/web/app:pull,push']);
  });

  it('refuses what is not good in the form of the registry, with a sentence', async (t) => {
    const registry = await startWithSam(t);
    const { url } = registry;
    const secret = await registry.addToken('sam');
    const jwt = await registry.fetchToken([], 'sam');
    const table: readonly (readonly [headers: Headers, sentence: RegExp])[] = [
      [basic('sam', 'wrong'), /the user name or the password is wrong/],
      [basic('nobody', password), /the user name or the password is wrong/],
      [basic('sam', ''), /the user name or the password is wrong/],
      [basic('sam', `${secret}x`), /the token is damaged: copy it whole/],
      [basic('joe', secret), /this token belongs to sam: log in with -u sam/],
      [{ authorization: 'Basic !' }, /malformed/],
      [{ authorization: 'Digest x' }, /use Basic or Bearer/],
      [bearer(jwt), /an access token is no credential/],
      [bearer(await registry.fetchToken([])), /an access token is no credential/],
    ];
    for (const [headers, sentence] of table) {
      const reply = await fetch(`${url}/token`, { headers });
      assert.equal(reply.status, 401, JSON.stringify(headers));
      assert.equal(reply.headers.get('cache-control'), 'no-store');
      const text = await reply.clone().text();
      assert.equal(await errorCode(reply), 'UNAUTHORIZED');
      assert.match(text, sentence);
    }
    const many = Array.from({ length: 33 }, (_, index) => `scope=repository:sam/a${index}:pull`).join('&');
    const tooMany = await fetch(`${url}/token?${many}`, { headers: basic('sam') });
    assert.equal(tooMany.status, 400);
    assert.match(await tooMany.text(), /at most 32 scopes/);
    const again = Array.from({ length: 200 }, () => 'scope=repository:sam/app:pull').join('&');
    assert.deepEqual(carried((await get(url, again, basic('sam'))).token), ['repository:sam/app:pull']);
  });

  it('is not there in mode open', async (t) => {
    const { url } = await startSignInRegistry(t, { 'access.mode': 'open' });
    assert.equal((await fetch(`${url}/token`)).status, 404);
    assert.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 404);
  });
});

describe('POST /token', () => {
  it('takes a password in a form, chunked too, and tells what it granted', async (t) => {
    const { url, port } = await startWithSam(t);
    const form: [string, string][] = [
      ['grant_type', 'password'],
      ['service', 'berth'],
      ['client_id', 'containers/image'],
      ['username', 'sam'],
      ['password', password],
      ['scope', 'repository:sam/a:push,pull repository:joe/b:pull'],
      ['scope', 'repository:sam/a:push,pull'],
    ];
    const reply = await post(url, form);
    assert.equal(reply.status, 200);
    assert.equal(reply.headers.get('cache-control'), 'no-store');
    const answer = (await reply.json()) as TokenAnswer;
    assert.equal(answer.scope, 'repository:sam/a:pull,push');
    assert.deepEqual(carried(answer.access_token), ['repository:sam/a:pull,push']);
    assert.equal(answer.refresh_token, undefined);

    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded', 'transfer-encoding': 'chunked' };
      const sent = request(
        { host: '127.0.0.1', port, path: '/token', method: 'POST', headers },
        (received) => {
          received.resume();
          resolve(received.statusCode);
        },
      );
      sent.on('error', reject);
      for (const piece of String(new URLSearchParams(form)).match(/.{1,20}/g) ?? []) sent.write(piece);
      sent.end();
    });
    assert.equal(status, 200);
  });

  it('takes a personal token in the place of the password', async (t) => {
    const registry = await startWithSam(t);
    const secret = await registry.addToken('sam', { role: 'read' });
    const form = {
      grant_type: 'password',
      username: 'sam',
      password: secret,
      scope: 'repository:sam/a:pull,push',
    };
    assert.equal(
      ((await (await post(registry.url, form)).json()) as TokenAnswer).scope,
      'repository:sam/a:pull',
    );
  });

  it('refuses a form that says too little or too much, with a sentence', async (t) => {
    const { url } = await startWithSam(t);
    const table: readonly (readonly [form: Record<string, string>, status: number, sentence: RegExp])[] = [
      [{}, 400, /grant_type is missing/],
      [{ grant_type: 'client_credentials' }, 400, /password or refresh_token/],
      [{ grant_type: 'password', username: 'sam' }, 400, /password is missing/],
      [{ grant_type: 'password', password }, 400, /username is missing/],
      [{ grant_type: 'refresh_token' }, 400, /refresh_token is missing/],
      [
        { grant_type: 'password', username: 'sam', password: 'wrong' },
        401,
        /the user name or the password is wrong/,
      ],
      [{ grant_type: 'refresh_token', refresh_token: 'x' }, 401, /the token is not valid/],
      [
        { grant_type: 'password', username: 'sam', password: 'x'.repeat(17_000) },
        413,
        /larger than the 16384 bytes/,
      ],
    ];
    for (const [form, status, sentence] of table) {
      const reply = await post(url, form);
      assert.equal(reply.status, status, JSON.stringify(form).slice(0, 100));
      assert.equal(reply.headers.get('cache-control'), 'no-store');
      assert.match(await reply.text(), sentence);
    }
    const json = await fetch(`${url}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    assert.equal(json.status, 415);
    const wrongMethod = await fetch(`${url}/token`, { method: 'PUT' });
    assert.equal(wrongMethod.status, 405);
    assert.equal(wrongMethod.headers.get('allow'), 'GET, POST');
  });
});

describe('a refresh token', () => {
  const refreshed = (url: string, token: string, more: Record<string, string> = {}) =>
    post(url, {
      grant_type: 'refresh_token',
      refresh_token: token,
      scope: 'repository:sam/a:pull,push',
      ...more,
    });

  it('is given on request, is stored and presented again as often as one likes', async (t) => {
    const { url } = await startWithSam(t);
    const { refresh_token: token = '' } = await get(url, 'offline_token=true&client_id=docker', basic('sam'));
    assert.match(token, /^berth_refresh_[A-Za-z0-9]{49}$/);
    for (const more of [{}, { access_type: 'offline' }, {}]) {
      const reply = await refreshed(url, token, more);
      assert.equal(reply.status, 200);
      const answer = (await reply.json()) as TokenAnswer;
      assert.deepEqual(carried(answer.token), ['repository:sam/a:pull,push']);
      assert.equal(answer.refresh_token, undefined, 'it is not renewed');
    }
    const form = { grant_type: 'password', username: 'sam', password, access_type: 'offline' };
    const offline = (await (await post(url, form)).json()) as TokenAnswer;
    assert.match(offline.refresh_token ?? '', /^berth_refresh_/);
  });

  it('is good for nothing but that', async (t) => {
    const { url } = await startWithSam(t);
    const { refresh_token: token = '' } = await get(url, 'offline_token=true', basic('sam'));
    for (const path of ['/v2/', '/token'])
      for (const headers of [bearer(token), basic('sam', token)])
        assert.equal((await fetch(url + path, { headers })).status, 401);
  });

  it('carries the bounds of the token that it was obtained with, and ends with it', async (t) => {
    const registry = await startWithSam(t);
    const { url } = registry;
    const secret = await registry.addToken('sam', { role: 'read' });
    const { refresh_token: token = '' } = await get(url, 'offline_token=true', basic('sam', secret));
    const first = (await (await refreshed(url, token)).json()) as TokenAnswer;
    assert.deepEqual(carried(first.token), ['repository:sam/a:pull']);
    const { credentials } = registry.registry.metadata.accounts;
    await credentials.removeAll({ subject: 'sam', kinds: ['personal'], origin: { actor: 'test' } });
    assert.equal((await refreshed(url, token)).status, 401);
    assert.equal((await fetch(`${url}/v2/`, { headers: bearer(first.token) })).status, 401);
  });

  it('ends with the password, with the user, and with time', async (t) => {
    let seconds = 1_800_000_000;
    const clock = { unixSeconds: () => seconds, monotonicSeconds: () => seconds };
    const registry = await startWithSam(t, { 'auth.refreshToken.lifetime': '2d' }, { clock });
    const { url, authority } = registry;
    const { users } = registry.registry.metadata.accounts;
    for (const name of ['joe', 'ada']) await registry.addUser(name);
    const obtain = async (name: string) =>
      (await get(url, 'offline_token=true', basic(name))).refresh_token ?? '';
    const [ofSam, ofJoe, ofAda] = [await obtain('sam'), await obtain('joe'), await obtain('ada')];
    const hash = await authority.passwords.hash('another good password 5');
    await users.setPassword({ name: 'sam', hash, origin: { actor: 'test' } });
    assert.equal((await refreshed(url, ofSam)).status, 401);
    await registry.disable('joe');
    assert.equal((await refreshed(url, ofJoe)).status, 401);
    seconds += 86_400;
    assert.equal((await refreshed(url, ofAda)).status, 200);
    seconds += 86_401;
    assert.equal((await refreshed(url, ofAda)).status, 401);
  });
});

describe('an access token', () => {
  it('that a password obtained stays void when its user was disabled and is enabled again', async (t) => {
    const registry = await startWithSam(t);
    const { url } = registry;
    const { users } = registry.registry.metadata.accounts;
    const { token } = await get(url, '', basic('sam'));
    const ping = (headers: Record<string, string>) => fetch(`${url}/v2/`, { headers });
    assert.equal((await ping(bearer(token))).status, 200);
    await registry.disable('sam');
    assert.equal((await ping(basic('sam'))).status, 401);
    await users.enable({ name: 'sam', origin: { actor: 'test' } });
    assert.equal((await ping(bearer(token))).status, 401);
    assert.equal((await ping(basic('sam'))).status, 200);
  });

  it('is verified by the published keys, and expires', async (t) => {
    let seconds = 1_800_000_000;
    const clock = { unixSeconds: () => seconds, monotonicSeconds: () => seconds };
    const registry = await startWithSam(t, {}, { clock });
    const { url } = registry;
    const { token, expires_in } = await get(url, '', basic('sam'));
    const keys = await fetch(`${url}/.well-known/jwks.json`);
    assert.match(keys.headers.get('content-type') ?? '', /^application\/jwk-set\+json/);
    const [jwk] = ((await keys.json()) as { keys: JsonWebKey[] }).keys;
    assert.ok(jwk !== undefined && !('d' in jwk));
    const [header = '', payload = '', signature = ''] = token.split('.');
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' } as const;
    const signed = Buffer.from(`${header}.${payload}`);
    assert.ok(verify('sha256', signed, key, Buffer.from(signature, 'base64url')));
    const ping = () => fetch(`${url}/v2/`, { headers: bearer(token) });
    seconds += expires_in + 59;
    assert.equal((await ping()).status, 200, 'clocks may be off by a minute');
    seconds += 2;
    assert.equal((await ping()).status, 401);
  });

  it('is for the registry alone: the management API refuses it', async (t) => {
    const registry = await startWithSam(t);
    const token = await registry.fetchToken([], 'sam');
    const reply = await fetch(`${registry.url}/api/v1/me`, { headers: bearer(token) });
    assert.equal(reply.status, 401);
  });

  it('is fetched by many at once', async (t) => {
    const { url } = await startWithSam(t);
    const scope = (index: number) => `scope=repository:sam/a${index % 6}:pull,push`;
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => get(url, scope(index), basic('sam'))),
    );
    assert.equal(new Set(answers.map(({ token }) => token)).size, 60);
  });
});
