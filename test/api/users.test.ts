// Users in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import bcrypt from 'bcrypt';
import { assertProblem, goodPassword, startApi } from '../support/api.ts';

const basic = (name: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
});

describe('adding a user', () => {
  it('gives it the namespace of its name, and lets it sign in', async (t) => {
    const api = await startApi(t);
    const made = await api.admin.post('/users', { name: 'ana', password: goodPassword, fullName: 'Ana A' });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('location'), '/api/v1/users/ana');
    assert.deepEqual(made.body, {
      name: 'ana',
      role: 'user',
      guest: false,
      fullName: 'Ana A',
      email: null,
      enabled: true,
      hasPassword: true,
      createdAt: made.body.createdAt,
      disabledAt: null,
    });
    assert.match(made.body.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const me = await api.with(basic('ana', goodPassword)).get('/me');
    assert.equal(me.body.credential.kind, 'password');
    assert.deepEqual(me.body.namespaces, [{ name: 'ana', role: 'admin' }]);
  });

  it('without a password hands out a code, with which the user sets one, once', async (t) => {
    const api = await startApi(t);
    const made = await api.admin.post('/users', { name: 'ana' });
    const { code } = made.body;
    assert.match(code, /^berth_code_/);
    assert.equal((await api.admin.get('/users/ana')).body.code, undefined);
    const set = (body: object) => api.anonymous.put('/set-password', body);
    assertProblem(await set({ name: 'ben', code, new: goodPassword }), 401, 'unauthenticated');
    assertProblem(await set({ name: 'ana', code: `${code}x`, new: goodPassword }), 401, 'unauthenticated');
    const weak = await set({ name: 'ana', code, new: 'short' });
    assertProblem(weak, 400, 'invalid', /12/);
    assert.equal(weak.body.errors[0].pointer, '/new');
    assert.equal((await set({ name: 'ana', code, new: goodPassword })).status, 204);
    assertProblem(await set({ name: 'ana', code, new: `${goodPassword} 2` }), 401, 'unauthenticated');
    assert.equal((await api.with(basic('ana', goodPassword)).get('/me')).status, 200);
  });

  it('refuses names that are taken, reserved or impossible, and passwords that are weak', async (t) => {
    const { admin, addUser, addOrganization } = await startApi(t, { 'access.reservedNames': 'boss' });
    await addUser('ana');
    await addOrganization('acme');
    assertProblem(await admin.post('/users', { name: 'ana' }), 409, 'exists', /ana is taken/);
    assertProblem(await admin.post('/users', { name: 'acme' }), 409, 'exists');
    for (const name of [
      'root',
      'api',
      'boss',
      'library',
      'system',
      'Ana',
      'a',
      'a+b',
      'a/b',
      'x'.repeat(65),
      '-',
    ]) {
      const reply = await admin.post('/users', { name });
      assertProblem(reply, 400, 'invalid');
      assert.equal(reply.body.errors[0].pointer, '/name', name);
    }
    assertProblem(
      await admin.post('/users', { name: 'ben', password: 'password1234' }),
      400,
      'invalid',
      /guessed/,
    );
    await admin.delete('/users/ana');
    assertProblem(await admin.post('/users', { name: 'ana' }), 409, 'exists', /removed/);
  });
});

describe('changing a user', () => {
  it('oneself: full name and email; administrators everything but the name', async (t) => {
    const { admin, addUser } = await startApi(t);
    const ana = await addUser('ana');
    assert.equal((await ana.patch('/users/ana', { fullName: 'Ana', email: 'ana@example.com' })).status, 200);
    assertProblem(await ana.patch('/users/ana', { role: 'administrator' }), 403, 'denied', /administrators/);
    assertProblem(await ana.patch('/users/ana', { guest: true }), 403, 'denied');
    assertProblem(await ana.patch('/users/ana', { name: 'eve' }), 400, 'invalid', /allowed: fullName, email/);
    const changed = await admin.patch('/users/ana', { email: null, role: 'auditor' });
    assert.equal(changed.body.email, null);
    assert.equal(changed.body.fullName, 'Ana');
    assert.equal(changed.body.role, 'auditor');
    assert.equal((await ana.get('/users')).status, 200, 'an auditor reads from the next request on');
  });

  it('never takes away the last administrator', async (t) => {
    const { admin, addUser } = await startApi(t);
    assertProblem(await admin.patch('/users/admin', { role: 'user' }), 409, 'conflict', /last administrator/);
    assertProblem(await admin.post('/users/admin/disable'), 409, 'conflict', /last administrator/);
    assertProblem(await admin.delete('/users/admin'), 409, 'conflict', /last administrator/);
    assertProblem(await admin.delete('/users/admin?dryRun=true'), 409, 'conflict', /last administrator/);
    await addUser('boss', { role: 'administrator' });
    assert.equal((await admin.patch('/users/admin', { role: 'user' })).status, 200);
    assertProblem(await admin.get('/users'), 403, 'denied');
  });
});

describe('passwords', () => {
  it('of one’s own are changed with the current one, which ends sessions', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const ana = api.with(basic('ana', goodPassword));
    const session = await api.anonymous.post('/sessions', { name: 'ana', password: goodPassword });
    const cookie = (session.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    assert.equal((await api.with({ cookie }).get('/me')).status, 200);
    const next = 'clarinet fog 19 marble';
    assertProblem(
      await ana.put('/me/password', { current: 'wrong', new: next }),
      403,
      'denied',
      /current password/,
    );
    assert.equal((await ana.put('/me/password', { current: goodPassword, new: next })).status, 204);
    assertProblem(await ana.get('/me'), 401, 'unauthenticated');
    assertProblem(await api.with({ cookie }).get('/me'), 401, 'unauthenticated');
    assert.equal((await api.with(basic('ana', next)).get('/me')).status, 200);
  });

  it('are set by an administrator, or replaced by a code', async (t) => {
    const api = await startApi(t);
    await api.addUser('ana', { password: goodPassword });
    const next = 'clarinet fog 19 marble';
    assert.equal((await api.admin.put('/users/ana/password', { password: next })).status, 204);
    assert.equal((await api.with(basic('ana', next)).get('/me')).status, 200);
    const code = await api.admin.put('/users/ana/password', { oneTime: true });
    assert.equal(code.status, 201);
    assert.match(code.body.code, /^berth_code_/);
    assertProblem(await api.with(basic('ana', next)).get('/me'), 401, 'unauthenticated');
    assertProblem(await api.admin.put('/users/ana/password', {}), 400, 'invalid', /either/);
    assertProblem(await api.admin.put('/users/nemo/password', { oneTime: true }), 404, 'not-found');
  });

  it('that are guessed are throttled, and codes with them', async (t) => {
    const api = await startApi(t, {
      'auth.throttle.failuresPerAccount': '3',
      'auth.throttle.exemptAddresses': '',
    });
    const made = await api.admin.post('/users', { name: 'ana' });
    const guess = (code: string) =>
      api.anonymous.put('/set-password', { name: 'ana', code, new: goodPassword });
    const replies = [];
    for (const code of ['one', 'two', 'three', 'four', 'five']) replies.push(await guess(code));
    const last = replies.at(-1);
    assert.ok(last);
    assertProblem(last, 429, 'too-many-requests');
    assert.ok(Number(last.headers.get('retry-after')) > 0);
    assert.equal((await guess(made.body.code)).status, 204, 'the code itself is looked up, not guessed');
  });
});

describe('disabling a user', () => {
  it('holds from the next request on, and tells what ended and what stays', async (t) => {
    const { admin, addUser, addOrganization, signIn, accounts } = await startApi(t);
    const carol = await addUser('carol', { password: goodPassword });
    await signIn('carol');
    await addOrganization('lab', 'carol');
    assert.equal((await carol.post('/namespaces/lab/robots', { name: 'ci' })).status, 201);
    const { status, body } = await admin.post('/users/carol/disable');
    assert.equal(status, 200);
    assert.deepEqual(body, {
      ended: { password: true, tokens: 2, sessions: 0, refreshTokens: 0, uploads: 0 },
      stays: { robots: ['lab+ci'], namespace: 'carol', repositories: 0, onlyOwnerOf: ['lab'] },
    });
    assertProblem(await carol.get('/me'), 401, 'unauthenticated');
    assert.equal((await admin.get('/users?state=disabled')).body.items[0].name, 'carol');
    assert.equal((await admin.post('/users/carol/enable')).status, 204);
    assert.equal((await carol.get('/me')).status, 200);
    assert.ok(await accounts.robots.find('lab+ci'));
  });
});

describe('removing a user', () => {
  it('waits for organizations and repositories to be seen to', async (t) => {
    const { admin, addUser, addOrganization, registry } = await startApi(t);
    const carol = await addUser('carol');
    await addOrganization('lab', 'carol');
    assertProblem(await admin.delete('/users/carol?dryRun=true'), 409, 'conflict', /only owner of lab/);
    assertProblem(await admin.delete('/users/carol'), 409, 'conflict', /only owner of lab/);
    await admin.put('/organizations/lab/members/admin', { role: 'owner' });
    const headers = {
      authorization: `Bearer ${carol.secret}`,
      'content-type': 'application/vnd.oci.image.index.v1+json',
    };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: headers['content-type'], manifests: [] });
    const push = await fetch(`${registry.url}/v2/carol/web/manifests/v1`, { method: 'PUT', headers, body });
    assert.equal(push.status, 201, await push.text());
    assertProblem(await admin.delete('/users/carol'), 409, 'conflict', /1 repository/);
    assert.equal(
      (await admin.delete('/users/carol?deleteRepositories=true&dryRun=true')).body.repositories,
      1,
    );
    assert.equal((await admin.delete('/users/carol?deleteRepositories=true')).status, 204);
    assertProblem(await admin.get('/users/carol'), 404, 'not-found');
    assertProblem(await carol.get('/me'), 401, 'unauthenticated');
  });
});

describe('a list of users', () => {
  it('is searched by name, full name and email', async (t) => {
    const { admin, addUser } = await startApi(t);
    const ana = await addUser('ana');
    await addUser('ben');
    await ana.patch('/users/ana', { fullName: 'Benedikta', email: 'ana@example.com' });
    const names = async (q: string) =>
      (await admin.get(`/users?q=${q}`)).body.items.map(({ name }: { name: string }) => name);
    assert.deepEqual(await names('ben'), ['ana', 'ben']);
    assert.deepEqual(await names('example.com'), ['ana']);
    assert.deepEqual(await names('nobody'), []);
  });
});

describe('an import of an htpasswd file', () => {
  it('adds bcrypt entries, which sign in, and tells of every other line', async (t) => {
    const api = await startApi(t);
    await api.addUser('old');
    const hash = (await bcrypt.hash(goodPassword, 10)).replace('$2b$', '$2y$');
    const file = [
      '# users of the old registry',
      `ana:${hash}`,
      'bob:$apr1$abc$defghijklmnopqrstuvwxyz',
      `Old:${hash}`,
      `old:${hash}`,
      '',
      `ben:${hash}`,
      'nonsense',
    ].join('\n');
    const { status, body } = await api.admin.post('/users/import', file);
    assert.equal(status, 200);
    assert.deepEqual(body.added, ['ana', 'ben']);
    const lines = body.skipped.map(({ line, name }: { line: number; name: string | null }) => [line, name]);
    assert.deepEqual(lines, [
      [3, 'bob'],
      [4, 'Old'],
      [5, 'old'],
      [8, null],
    ]);
    assert.match(body.skipped[0].reason, /MD5 hash; only bcrypt/);
    assert.equal((await api.with(basic('ana', goodPassword)).get('/me')).status, 200);
    assertProblem(await api.admin.post('/users/import', { file }), 415, 'invalid', /text\/plain/);
  });
});

describe('a change of the own password', () => {
  it('does not undo one that an administrator made meanwhile', async (t) => {
    const { registry, accounts, addUser } = await startApi(t);
    const ana = await addUser('ana', { password: goodPassword });
    const { passwords } = registry.authority;
    const hashed = passwords.hash.bind(passwords);
    t.mock.method(passwords, 'hash', async (password: string) => {
      await accounts.users.clearPassword({ name: 'ana', origin: { actor: 'admin' } });
      return await hashed(password);
    });
    const changed = await ana.put('/me/password', { current: goodPassword, new: 'violet anchor 31 quartz' });
    assertProblem(changed, 403, 'denied');
    assert.equal((await accounts.users.find('ana'))?.hasPassword, false);
  });
});
