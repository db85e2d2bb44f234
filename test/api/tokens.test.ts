// Personal and robot tokens in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertProblem, startApi } from '../support/api.ts';

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

describe('a personal token', () => {
  it('is made by its owner alone, and its secret told once', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana');
    const made = await ana.post('/users/ana/tokens', {
      name: 'laptop',
      role: 'read',
      repositories: ['acme/**'],
    });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('location'), `/api/v1/users/ana/tokens/${made.body.id}`);
    assert.match(made.body.secret, /^berth_pat_[0-9A-Za-z]{49}$/);
    const listed = await ana.get('/users/ana/tokens');
    assert.equal(listed.text.includes(made.body.secret), false);
    const [, token] = listed.body.items;
    assert.deepEqual(
      [token.name, token.role, token.repositories, token.lastUsedAt],
      ['laptop', 'read', ['acme/**'], null],
    );
    const end = Date.parse(token.expiresAt) - Date.parse(token.createdAt);
    assert.equal(end, 90 * 86_400_000, 'as auth.personalToken.defaultExpiry says');
    assertProblem(
      await api.admin.post('/users/ana/tokens', { name: 'spy', role: 'read' }),
      403,
      'denied',
      /the user whom it is about/,
    );
    assert.equal((await api.admin.get('/users/ana/tokens')).status, 200);
    assertProblem(await ana.post('/users/ana/tokens', { name: 'laptop', role: 'read' }), 409, 'exists');
  });

  it('reads or changes no more than it was made for', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana');
    const read = api.with(
      bearer((await ana.post('/users/ana/tokens', { name: 'r', role: 'read' })).body.secret),
    );
    assert.equal((await read.get('/me')).body.credential.role, 'read');
    assert.equal((await read.get('/users/ana/tokens')).status, 200);
    assertProblem(
      await read.post('/users/ana/tokens', { name: 'more', role: 'admin' }),
      403,
      'denied',
      /limited to read/,
    );
    assertProblem(await read.patch('/users/ana', { fullName: 'x' }), 403, 'denied');
    assertProblem(await read.patch('/namespaces/ana', { description: 'x' }), 403, 'denied');
    const made = await ana.post('/users/ana/tokens', { name: 'p', role: 'admin', repositories: ['ana/web'] });
    const part = api.with(bearer(made.body.secret));
    assertProblem(await part.get('/users/ana/tokens'), 403, 'denied', /limited to admin on ana\/web/);
    assertProblem(await part.patch('/namespaces/ana', { description: 'x' }), 403, 'denied');
    assert.equal((await part.get('/me')).status, 200);
  });

  it('of an administrator is one only as far as it goes', async (t) => {
    const { signIn } = await startApi(t);
    const read = await signIn('admin', { role: 'read' });
    assert.equal((await read.get('/users')).status, 200);
    assert.equal((await read.get('/me')).body.role, 'auditor');
    assertProblem(
      await read.post('/users', { name: 'ana' }),
      403,
      'denied',
      /an administrator; the token in use/,
    );
    const part = await signIn('admin', { role: 'admin', patterns: ['acme/**'] });
    assertProblem(await part.get('/users'), 403, 'denied');
  });

  it('ends when the settings say, or sooner', async (t) => {
    const api = await startApi(t, { 'auth.personalToken.longestExpiry': '100d' });
    const ana = await api.addUser('ana');
    const add = (name: string, expiresAt: unknown) =>
      ana.post('/users/ana/tokens', { name, role: 'read', expiresAt });
    assertProblem(await add('a', null), 400, 'invalid', /100 days/);
    assertProblem(await add('b', '2999-01-01T00:00:00Z'), 400, 'invalid', /100 days/);
    assertProblem(await add('c', '2001-01-01T00:00:00Z'), 400, 'invalid', /to come/);
    assertProblem(await add('d', 'tomorrow'), 400, 'invalid', /RFC 3339/);
    assertProblem(await add('e', '2027-02-31T00:00:00Z'), 400, 'invalid');
    const soon = new Date(Date.now() + 86_400_000).toISOString();
    const made = await add('f', soon);
    assert.equal(made.status, 201);
    assert.equal(made.body.expiresAt, `${soon.slice(0, 19)}.000Z`);
  });

  it('is taken away by its owner or an administrator, of whom it is', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana');
    const ben = await api.addUser('ben');
    const { id, secret } = (await ana.post('/users/ana/tokens', { name: 'x', role: 'read' })).body;
    assertProblem(await ben.delete(`/users/ana/tokens/${id}`), 404, 'not-found');
    assertProblem(await ben.delete(`/users/ben/tokens/${id}`), 404, 'not-found');
    assertProblem(await api.admin.delete(`/users/ben/tokens/${id}`), 404, 'not-found');
    assert.deepEqual((await ana.delete(`/users/ana/tokens/${id}?dryRun=true`)).body.removes, ['token:ana/x']);
    assert.equal((await api.with(bearer(secret)).get('/me')).status, 200);
    assert.equal((await api.admin.delete(`/users/ana/tokens/${id}`)).status, 204);
    assertProblem(await api.with(bearer(secret)).get('/me'), 401, 'unauthenticated');
    assertProblem(await ana.delete(`/users/ana/tokens/${id}`), 404, 'not-found');
    for (const odd of ['0', '-1', 'x', '1e3', '999999999999999999']) {
      assertProblem(await ana.delete(`/users/ana/tokens/${odd}`), 404, 'not-found');
    }
  });

  it('may be limited to patterns that can be', async (t) => {
    const api = await startApi(t);
    const ana = await api.addUser('ana');
    for (const pattern of ['*/x', 'acme/**/x', 'Acme', '../etc', '']) {
      const reply = await ana.post('/users/ana/tokens', { name: 'x', role: 'read', repositories: [pattern] });
      assertProblem(reply, 400, 'invalid');
    }
  });
});

describe('a token of a robot', () => {
  it('lives without end unless told, several at a time, and outlives its maker', async (t) => {
    const api = await startApi(t);
    const olga = await api.addUser('olga');
    await api.addOrganization('acme', 'olga');
    await api.addRobot('acme+ci');
    const path = '/namespaces/acme/robots/acme+ci/tokens';
    const first = await olga.post(path, { name: 'first', role: 'write' });
    assert.match(first.body.secret, /^berth_robot_/);
    assert.equal(first.body.expiresAt, null);
    const second = await olga.post(path, { name: 'second' });
    assert.equal(second.body.role, null);
    await api.admin.put('/organizations/acme/members/admin', { role: 'owner' });
    assert.equal((await api.admin.delete('/users/olga')).status, 204);
    for (const { secret } of [first.body, second.body]) {
      const me = await api.with(bearer(secret)).get('/me');
      assert.deepEqual([me.body.kind, me.body.name], ['robot', 'acme+ci']);
    }
  });

  it('is found under its own namespace and robot only', async (t) => {
    const api = await startApi(t);
    await api.addOrganization('acme');
    await api.addOrganization('shop');
    await api.addRobot('acme+ci');
    await api.addRobot('shop+ci');
    const made = await api.admin.post('/namespaces/acme/robots/acme+ci/tokens', { name: 'x' });
    const { id } = made.body;
    assertProblem(await api.admin.delete(`/namespaces/shop/robots/acme+ci/tokens/${id}`), 404, 'not-found');
    assertProblem(await api.admin.delete(`/namespaces/shop/robots/shop+ci/tokens/${id}`), 404, 'not-found');
    assert.equal((await api.admin.delete(`/namespaces/acme/robots/acme+ci/tokens/${id}`)).status, 204);
  });

  it('gives no more than the token that makes it', async (t) => {
    const api = await startApi(t);
    await api.addUser('olga');
    await api.addOrganization('acme', 'olga');
    await api.addRobot('acme+ci');
    const path = '/namespaces/acme/robots/acme+ci/tokens';
    const part = await api.signIn('olga', { role: 'admin', patterns: ['acme/**'] });
    assertProblem(
      await part.post(path, { name: 'a', role: 'write' }),
      400,
      'invalid',
      /limited to acme\/\*\*/,
    );
    assertProblem(
      await part.post(path, { name: 'b', role: 'write', repositories: ['acme/web', 'shop/web'] }),
      400,
      'invalid',
      /not shop\/web/,
    );
    assert.equal(
      (await part.post(path, { name: 'c', role: 'write', repositories: ['acme/web'] })).status,
      201,
    );
  });
});
