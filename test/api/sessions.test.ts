// Browser sessions in the management API: the cookie, what keeps other sites' pages from using it, and signing out.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiRegistry, assertProblem, callLocally, goodPassword, startApi } from '../support/api.ts';
import { sendRaw } from '../support/client.ts';
import { manualClock } from '../support/metadata.ts';

/** Signs ana in as a browser would. */
async function signIn(api: ApiRegistry, headers: Record<string, string> = {}) {
  const reply = await api.anonymous.post('/sessions', { name: 'ana', password: goodPassword }, { headers });
  assert.equal(reply.status, 201, reply.text);
  const setCookie = reply.headers.get('set-cookie') ?? '';
  const cookie = setCookie.split(';')[0] ?? '';
  return {
    setCookie,
    cookie,
    csrf: reply.body.csrfToken as string,
    location: reply.headers.get('location') ?? '',
  };
}

describe('signing a browser in', () => {
  it('sets a cookie that scripts cannot read, and a token for changes', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const { setCookie, cookie, csrf } = await signIn(api);
    assert.match(
      setCookie,
      /^berth_session=berth_session_\w+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Lax$/,
    );
    const me = await api.with({ cookie }).get('/me');
    assert.deepEqual([me.body.name, me.body.credential.kind, me.body.csrfToken], ['ana', 'session', csrf]);
  });

  it('takes the password alone, and says of nothing else what is wrong', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana', { password: goodPassword });
    await api.addUser('dan', { password: goodPassword });
    await api.admin.post('/users/dan/disable');
    const attempts = [
      { name: 'ana', password: 'wrong horse battery' },
      { name: 'nemo', password: goodPassword },
      { name: 'dan', password: goodPassword },
      { name: 'ana', password: ana.secret },
    ];
    for (const attempt of attempts) {
      const reply = await api.anonymous.post('/sessions', attempt);
      assertProblem(reply, 401, 'unauthenticated', /^name or password is not right/);
      assert.equal(reply.headers.get('set-cookie'), null);
    }
  });

  it('is refused over plain HTTP to another machine, where a browser would not keep it', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const body = JSON.stringify({ name: 'ana', password: goodPassword });
    const answer = await sendRaw(
      api.registry.port,
      `POST /api/v1/sessions HTTP/1.1\r\nHost: nas:5000\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.match(answer, /a browser session needs HTTPS/);
    assert.doesNotMatch(answer, /set-cookie/i);
  });

  it('uses the name that browsers keep for one secure host, behind a public URL', async (t) => {
    const api = await startApi(t, { 'http.publicUrl': 'https://registry.example.com' });
    await api.addUser('ana', { password: goodPassword });
    const { setCookie, cookie } = await signIn(api, { origin: 'https://registry.example.com' });
    assert.match(
      setCookie,
      /^__Host-berth_session=\S+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/,
    );
    assert.equal((await api.with({ cookie }).get('/me')).status, 200);
  });
});

describe('a change that a cookie vouches for', () => {
  it('needs the token, and must not come from a page of another site', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const { cookie, csrf } = await signIn(api);
    const change = (headers: Record<string, string>) =>
      api.with({ cookie, ...headers }).patch('/users/ana', { fullName: 'Ana' });
    assertProblem(await change({}), 403, 'denied', /X-CSRF-Token/);
    assertProblem(await change({ 'x-csrf-token': 'x' }), 403, 'denied', /X-CSRF-Token/);
    const token = { 'x-csrf-token': csrf };
    for (const foreign of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      assertProblem(await change({ ...token, ...foreign }), 403, 'denied', /another site/);
    }
    assert.equal(
      (await change({ ...token, 'sec-fetch-site': 'same-origin', origin: api.registry.url })).status,
      200,
    );
    assert.equal((await change(token)).status, 200);
    const other = await signIn(api);
    assertProblem(await api.with({ cookie: other.cookie, ...token }).patch('/users/ana', {}), 403, 'denied');
  });

  it('is not needed for a sign-in, which another site’s page cannot do either', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const body = { name: 'ana', password: goodPassword };
    const headers = { 'sec-fetch-site': 'cross-site' };
    assertProblem(await api.anonymous.post('/sessions', body, { headers }), 403, 'denied', /another site/);
  });

  it('reads nothing for another site', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const { cookie } = await signIn(api);
    assertProblem(
      await api.with({ cookie, 'sec-fetch-site': 'cross-site' }).get('/me'),
      401,
      'unauthenticated',
    );
    assertProblem(await api.with({ cookie: `${cookie}; ${cookie}` }).get('/me'), 401, 'unauthenticated');
  });
});

describe('sessions', () => {
  it('are listed to their owner, and ended one by one or all at once', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana', { password: goodPassword });
    const one = await signIn(api, { 'user-agent': 'Browser One' });
    const two = await signIn(api, { 'user-agent': 'Browser Two' });
    const three = await signIn(api);
    const listed = (await api.with({ cookie: one.cookie }).get('/users/ana/sessions')).body.items;
    assert.deepEqual(
      listed.slice(0, 2).map(({ client, kind, current }: Record<string, unknown>) => [client, kind, current]),
      [
        ['Browser One', 'session', true],
        ['Browser Two', 'session', false],
      ],
    );
    const ben = await api.addUser('ben');
    const path = one.location.replace('/api/v1', '');
    assertProblem(await ben.delete(path), 404, 'not-found');
    assertProblem(await ben.delete(path.replace('ana', 'ben')), 404, 'not-found');
    assert.equal((await ana.delete(path)).status, 204);
    assertProblem(await api.with({ cookie: one.cookie }).get('/me'), 401, 'unauthenticated');
    const headers = { cookie: two.cookie, 'x-csrf-token': two.csrf };
    const out = await api.with(headers).delete('/sessions/current');
    assert.equal(out.status, 204);
    assert.match(out.headers.get('set-cookie') ?? '', /^berth_session=; Path=\/; Max-Age=0/);
    assertProblem(await api.with({ cookie: two.cookie }).get('/me'), 401, 'unauthenticated');
    assertProblem(await ana.delete('/sessions/current'), 404, 'not-found');
    assert.equal((await ana.delete('/users/ana/sessions?dryRun=true')).body.removes.length, 1);
    assert.equal((await api.admin.delete('/users/ana/sessions')).status, 204);
    assertProblem(await api.with({ cookie: three.cookie }).get('/me'), 401, 'unauthenticated');
    assert.equal((await ana.get('/me')).status, 200, 'tokens are no sessions');
  });

  it('end when nobody uses them, and after their longest life in any case', async (t) => {
    const clock = manualClock(Math.floor(Date.now() / 1000));
    const api = await startApi(t, { 'auth.session.idle': '1h', 'auth.session.longest': '3h' }, { clock });
    await api.addUser('ana', { password: goodPassword });
    const idle = await signIn(api);
    const used = await signIn(api);
    const use = ({ cookie }: { cookie: string }) => api.with({ cookie }).get('/me');
    for (let minutes = 0; minutes < 160; minutes += 40) {
      assert.equal((await use(used)).status, 200);
      clock.advance(40 * 60);
    }
    assertProblem(await use(idle), 401, 'unauthenticated');
    clock.advance(25 * 60);
    assertProblem(await use(used), 401, 'unauthenticated');
  });

  it('of the socket there are none: whoever opens it is administrator, and says so in the audit log', async (t) => {
    const { registry, admin } = await startApi(t);
    const me = await callLocally(registry, 'GET', '/me');
    assert.equal(me.status, 200);
    const { kind, name, role } = me.body as Record<string, unknown>;
    assert.deepEqual([kind, name, role], ['local', 'local:0(root)', 'administrator']);
    assert.equal((await callLocally(registry, 'POST', '/users', { name: 'ana' })).status, 201);
    const refused = await callLocally(registry, 'PUT', '/me/password', { current: 'x', new: 'y' });
    assert.equal(refused.status, 403);
    const [event] = (await admin.get('/audit?action=user.add&limit=1')).body.items;
    assert.equal(event.actor, 'local:0(root)');
  });
});
