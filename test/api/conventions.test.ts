// What every endpoint of the management API has in common: problem details, unknown members, pages, entity tags, headers.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { assertProblem, startApi } from '../support/api.ts';
import { sendRaw } from '../support/client.ts';

describe('refusals', () => {
  it('are problem details with a stable code and the id of the request', async (t) => {
    const { admin } = await startApi(t);
    const reply = await admin.get('/users/nobody');
    assertProblem(reply, 404, 'not-found', /there is no user nobody/);
    assert.equal(reply.body.title, 'Not Found');
    assert.equal(reply.body.requestId, reply.headers.get('x-request-id'));
    assertProblem(await admin.get('/no/such/thing'), 404, 'not-found', /no such endpoint/);
  });

  it('ask nobody for a password by themselves', async (t) => {
    const { anonymous } = await startApi(t);
    const reply = await anonymous.get('/me');
    assertProblem(reply, 401, 'unauthenticated');
    assert.equal(reply.headers.get('www-authenticate'), 'Bearer realm="berth"');
  });

  it('name what is taken instead of an unknown member of query or body', async (t) => {
    const { admin } = await startApi(t);
    const query = await admin.get('/users?limt=3');
    assertProblem(query, 400, 'invalid', /limt/);
    assert.deepEqual(query.body.errors, [
      { pointer: '/query/limt', detail: 'this is not known; allowed: limit, cursor, sort, q, state' },
    ]);
    const body = await admin.post('/users', { name: 'ana', fulName: 'Ana', 'a/b': 1 });
    assertProblem(body, 400, 'invalid');
    assert.deepEqual(
      body.body.errors.map(({ pointer }: { pointer: string }) => pointer),
      ['/fulName', '/a~1b'],
    );
    assertProblem(await admin.post('/keys', { now: true }), 400, 'invalid', /takes no body/);
    assert.equal((await admin.get('/users/ana')).status, 404, 'nothing was done');
  });

  it('say what is wrong with each member', async (t) => {
    const { admin } = await startApi(t);
    const reply = await admin.post('/users', { role: 'king', email: 'nowhere', guest: 'yes' });
    assertProblem(reply, 400, 'invalid');
    const faults = Object.fromEntries(
      reply.body.errors.map((fault: { pointer: string; detail: string }) => [fault.pointer, fault.detail]),
    );
    assert.equal(faults['/name'], 'this is missing');
    assert.equal(faults['/role'], 'use one of: user, auditor, administrator');
    assert.equal(faults['/email'], 'use an address such as ana@example.com');
    assert.match(faults['/guest'], /boolean/);
  });

  it('tell bodies that are no JSON, too large, too deep or of another type', async (t) => {
    const { admin } = await startApi(t, { 'limits.jsonBody': '2KiB' });
    const json = { headers: { 'content-type': 'application/json' } };
    const post = (body: string, options = json) => admin.call('POST', '/users', { body, ...options });
    assertProblem(await post('{"name":'), 400, 'invalid', /not JSON/);
    assertProblem(await post('[]'), 400, 'invalid', /the body/);
    assertProblem(await post(''), 400, 'invalid');
    assertProblem(await post('['.repeat(100)), 400, 'invalid', /64 levels/);
    assertProblem(await post(`"${'x'.repeat(3000)}"`), 413, 'invalid', /2048 bytes/);
    assertProblem(
      await post('name=ana', { headers: { 'content-type': 'text/plain' } }),
      415,
      'invalid',
      /application\/json/,
    );
    assertProblem(await post('<a/>', { headers: { 'content-type': 'application/xml' } }), 415, 'invalid');
  });

  it('of a wrong method name the right ones', async (t) => {
    const { admin } = await startApi(t);
    const reply = await admin.delete('/me');
    assertProblem(reply, 405, 'invalid', /GET only/);
    assert.equal(reply.headers.get('allow'), 'GET');
  });

  it('of a path that cannot be decoded are problems, too', async (t) => {
    const { registry } = await startApi(t);
    const answer = await sendRaw(
      registry.port,
      'GET /api/v1/users/%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /"code":"invalid"/);
  });
});

describe('every answer', () => {
  it('is kept by nobody and read by no other site', async (t) => {
    const { admin, anonymous } = await startApi(t);
    for (const reply of [
      await admin.get('/users'),
      await anonymous.get('/'),
      await anonymous.get('/users'),
    ]) {
      const header = (name: string) => reply.headers.get(name);
      assert.equal(header('cache-control'), 'no-store');
      assert.equal(header('x-content-type-options'), 'nosniff');
      assert.equal(header('referrer-policy'), 'no-referrer');
      assert.equal(header('cross-origin-opener-policy'), 'same-origin');
      assert.equal(header('cross-origin-resource-policy'), 'same-origin');
      assert.match(header('content-security-policy') ?? '', /default-src 'none'/);
      assert.equal(header('access-control-allow-origin'), null);
      assert.equal(header('docker-distribution-api-version'), null);
    }
  });
});

describe('lists', () => {
  it('come in pages, whose next is a cursor and a link', async (t) => {
    const { admin, addUser } = await startApi(t);
    for (const name of ['ana', 'ben', 'cleo', 'dora']) await addUser(name);
    const seen: string[] = [];
    let path: string | undefined = '/users?limit=2&state=enabled';
    let pages = 0;
    while (path !== undefined) {
      const reply = await admin.get(path);
      assert.equal(reply.status, 200);
      seen.push(...reply.body.items.map(({ name }: { name: string }) => name));
      const link = /^<\/api\/v1([^>]*)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1];
      assert.equal(link === undefined, reply.body.next === null);
      if (link !== undefined)
        assert.equal(new URLSearchParams(link.split('?')[1]).get('cursor'), reply.body.next);
      path = link;
      pages += 1;
    }
    assert.deepEqual(seen, ['admin', 'ana', 'ben', 'cleo', 'dora']);
    assert.equal(pages, 3);
  });

  it('take limits from 1 to 1000 and cursors that they gave out', async (t) => {
    const { admin } = await startApi(t);
    for (const limit of ['0', '-1', '1001', 'many', '1.5', '']) {
      assertProblem(await admin.get(`/users?limit=${limit}`), 400, 'invalid', /limit/);
    }
    assert.equal((await admin.get('/users?limit=1000')).status, 200);
    assertProblem(await admin.get('/users?limit=1&limit=2'), 400, 'invalid', /limit/);
    for (const cursor of [
      'x',
      'NQ',
      Buffer.from('5').toString('base64url'),
      Buffer.from('{}').toString('base64url'),
    ]) {
      assertProblem(await admin.get(`/users?cursor=${cursor}`), 400, 'invalid', /cursor/);
    }
  });

  it('are as long as limits.pageSize unless told', async (t) => {
    const { admin, addUser } = await startApi(t, { 'limits.pageSize': '2' });
    await addUser('ana');
    await addUser('ben');
    assert.equal((await admin.get('/users')).body.items.length, 2);
  });
});

describe('entity tags', () => {
  it('let one of two changes through that rest on the same state', async (t) => {
    const { admin, addUser } = await startApi(t);
    await addUser('ana');
    const tag = (await admin.get('/users/ana')).headers.get('etag') ?? '';
    assert.match(tag, /^"[\w-]+"$/);
    const change = (fullName: string) =>
      admin.patch('/users/ana', { fullName }, { headers: { 'if-match': tag } });
    const replies = await Promise.all([change('Ana A'), change('Ana B'), change('Ana C')]);
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 412, 412]);
    const lost = replies.find(({ status }) => status === 412);
    assert.ok(lost);
    assertProblem(lost, 412, 'precondition-failed', /read it again/);
    const won = replies.find(({ status }) => status === 200);
    assert.equal((await admin.get('/users/ana')).headers.get('etag'), won?.headers.get('etag'));
  });

  it('hold for removals, members and what is not there', async (t) => {
    const { admin, addUser, addOrganization } = await startApi(t);
    await addUser('ana');
    await addOrganization('acme', 'admin');
    const member = '/organizations/acme/members/ana';
    const headers = { 'if-match': '*' };
    assertProblem(await admin.put(member, { role: 'member' }, { headers }), 412, 'precondition-failed');
    const once = { headers: { 'if-none-match': '*' } };
    assert.equal((await admin.put(member, { role: 'member' }, once)).status, 201);
    assertProblem(await admin.put(member, { role: 'owner' }, once), 412, 'precondition-failed');
    assertProblem(
      await admin.delete(member, { headers: { 'if-match': '"other"' } }),
      412,
      'precondition-failed',
    );
    assert.equal((await admin.delete(member, { headers })).status, 204);
    assertProblem(await admin.delete(member), 404, 'not-found');
    assertProblem(
      await admin.post('/organizations', { name: 'beta' }, { headers }),
      412,
      'precondition-failed',
    );
  });

  it('spare a client what it has already', async (t) => {
    const { admin } = await startApi(t);
    const first = await admin.get('/users/admin');
    const again = await admin.get('/users/admin', {
      headers: { 'if-none-match': first.headers.get('etag') ?? '' },
    });
    assert.equal(again.status, 304);
    assert.equal(again.text, '');
  });
});

describe('a dry run', () => {
  it('says what a removal would do, and does nothing', async (t) => {
    const { admin, addUser } = await startApi(t);
    await addUser('ana');
    const plan = await admin.delete('/users/ana?dryRun=true');
    assert.equal(plan.status, 200);
    assert.equal(plan.body.dryRun, true);
    assert.deepEqual(plan.body.removes, ['user:ana']);
    assert.equal(plan.body.tokens, 1);
    assert.equal((await admin.get('/users/ana')).status, 200);
    assert.equal((await admin.delete('/users/ana')).status, 204);
    assertProblem(await admin.delete('/users/ana?dryRun=true'), 404, 'not-found');
  });
});

describe('a change whose body takes its time', () => {
  it('is decided by what holds when it is made', async (t) => {
    const { registry, admin, addUser, addOrganization } = await startApi(t);
    const ana = await addUser('ana');
    await addUser('ben');
    await addOrganization('acme', 'admin');
    const grants = '/namespaces/acme/grants';
    const own = await admin.post(grants, { subject: 'ana', object: 'acme/**', role: 'admin' });
    const text = JSON.stringify({ subject: 'ben', object: 'acme/**', role: 'admin' });
    const { promise: status, resolve, reject } = Promise.withResolvers<number | undefined>();
    const slow = request(`${registry.url}/api/v1${grants}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${ana.secret}`,
        'content-type': 'application/json',
        'content-length': text.length,
        expect: '100-continue',
      },
    });
    slow.on('response', (reply) => resolve(reply.resume().statusCode)).on('error', reject);
    const begun = new Promise<void>((done) => slow.once('continue', done));
    slow.flushHeaders();
    await begun;
    slow.write(text.slice(0, 10));
    // By then the first one is past its guard.
    assert.equal((await ana.get(grants)).status, 200);
    assert.equal((await admin.delete(`${grants}/${own.body.id}`)).status, 204);
    slow.end(text.slice(10));
    assert.equal(await status, 404);
    assert.deepEqual((await admin.get(grants)).body.items, []);
  });
});
