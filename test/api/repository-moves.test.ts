// Moves: a repository under its new name, and what its old names still give, to whom, here and under /v2.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type ApiClient, type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { beginUpload, errorCode, type PushedImage, pushBlob, pushImage, sha256 } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

interface World extends ApiRegistry {
  readonly sam: ApiClient;
  readonly image: PushedImage;
  readonly bearer: (client: ApiClient, scope: string) => Promise<Record<string, string>>;
  readonly v2: (path: string, init?: RequestInit) => Promise<Response>;
}

const basic = (name: string, { secret = '' }: ApiClient) => ({
  authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
});

/** sam's private sam/app, which he may move into acme. */
async function startWorld(t: TestContext): Promise<World> {
  const api = await startApi(t);
  const { url } = api.registry;
  await api.addOrganization('acme', 'admin');
  const sam = await api.addUser('sam');
  await api.admin.post('/namespaces/acme/grants', { subject: 'sam', object: 'acme/**', role: 'write' });
  const image = await pushImage(url, 'sam/app', 'v1', 'v1', basic('sam', sam));
  const v2 = (path: string, init: RequestInit = {}) => fetch(`${url}/v2/${path}`, init);
  const bearer = async (client: ApiClient, scope: string) => {
    const headers = { authorization: `Basic ${Buffer.from(`sam:${client.secret}`).toString('base64')}` };
    const reply = await fetch(`${url}/token?service=berth&scope=${scope}`, { headers });
    const { token } = (await reply.json()) as { token: string };
    return { authorization: `Bearer ${token}` };
  };
  return { ...api, sam, image, bearer, v2 };
}

const moveTo = (client: ApiClient, from: string, to: string) =>
  client.patch(`/repositories/${from}`, { name: to });

describe('moving a repository', () => {
  it('takes admin on it and write on its new name', async (t) => {
    const { admin, sam, addUser } = await startWorld(t);
    const kim = await addUser('kim');
    assertProblem(await moveTo(kim, 'sam/app', 'kim/app'), 404, 'not-found');
    await admin.post('/namespaces/sam/grants', { subject: 'kim', object: 'sam/app', role: 'maintain' });
    assertProblem(await moveTo(kim, 'sam/app', 'kim/app'), 403, 'denied');
    assertProblem(await moveTo(sam, 'sam/app', 'kim/app'), 403, 'denied', /sam may not push to kim\/app/);
    assertProblem(await moveTo(sam, 'sam/app', 'Acme'), 400, 'invalid');
    const moved = await moveTo(sam, 'sam/app', 'acme/app');
    assert.equal(moved.status, 200, moved.text);
    assert.deepEqual([moved.body.name, moved.body.tags], ['acme/app', 1]);
    assertProblem(await sam.get('/repositories/sam/app'), 404, 'not-found');
    // The grant on exactly its name goes along.
    assert.equal((await kim.get('/repositories/acme/app')).status, 200);
    const grants = (await admin.get('/namespaces/acme/grants')).body.items;
    assert.ok(grants.some((one: { object: string }) => one.object === 'acme/app'));
  });

  it('is refused where the name is taken, in words that tell no more than one may see', async (t) => {
    const { admin, sam, addUser, v2 } = await startWorld(t);
    await admin.post('/repositories', { name: 'acme/there' });
    assertProblem(await moveTo(sam, 'sam/app', 'acme/there'), 409, 'exists', /acme\/there is taken/);
    await admin.post('/repositories', { name: 'acme/first' });
    await moveTo(admin, 'acme/first', 'acme/second');
    assertProblem(await moveTo(sam, 'sam/app', 'acme/first'), 409, 'exists', /an old name of acme\/second/);
    assertProblem(await sam.post('/repositories', { name: 'acme/first' }), 409, 'exists', /acme\/second/);
    // Where it went to is not for everybody.
    await addUser('kim');
    await admin.patch('/repositories/acme/second', { name: 'kim/second' });
    const hidden = await sam.post('/repositories', { name: 'acme/first' });
    assertProblem(hidden, 409, 'exists', /kept for a repository that was moved/);
    assert.doesNotMatch(hidden.text, /kim/);
    const push = await v2('acme/first/blobs/uploads/', { method: 'POST', headers: basic('sam', sam) });
    assert.equal(push.status, 403);
    const text = await push.text();
    assert.match(text, /the name acme\/first is kept for a repository that was moved/);
    assert.doesNotMatch(text, /kim/);
    await admin.put('/namespaces/acme/quota', { bytes: 1, repositories: null });
    assertProblem(await moveTo(sam, 'sam/app', 'acme/app'), 403, 'quota-exceeded');
    assert.equal((await sam.get('/repositories/sam/app')).status, 200);
  });

  it('holds to If-Match, and moving onto the own name changes nothing', async (t) => {
    const { sam } = await startWorld(t);
    const tag = (await sam.get('/repositories/sam/app')).headers.get('etag') ?? '';
    assert.equal((await moveTo(sam, 'sam/app', 'sam/app')).status, 200);
    await sam.patch('/repositories/sam/app', { description: 'x' });
    const stale = await sam.patch(
      '/repositories/sam/app',
      { name: 'sam/b' },
      { headers: { 'if-match': tag } },
    );
    assertProblem(stale, 412, 'precondition-failed');
  });
});

describe('an old name', () => {
  it('is read as before: manifests, blobs, tags, referrers, with a token for the old name, and a warning', async (t) => {
    const { sam, image, bearer, v2 } = await startWorld(t);
    const before = await bearer(sam, 'repository:sam/app:pull,push');
    await moveTo(sam, 'sam/app', 'acme/app');
    const after = await bearer(sam, 'repository:sam/app:pull');
    for (const headers of [before, after, basic('sam', sam)]) {
      for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${image.layer}`, 'tags/list']) {
        const reply = await v2(`sam/app/${path}`, { headers });
        assert.equal(reply.status, 200, path);
        const warning = '299 - "repository sam/app was moved to acme/app: use that name"';
        assert.equal(reply.headers.get('warning'), warning);
        assert.equal(reply.headers.get('location'), null);
        await reply.arrayBuffer();
      }
      assert.equal((await v2('sam/app/manifests/v1', { method: 'HEAD', headers })).status, 200);
      assert.equal((await v2(`sam/app/referrers/${image.digest}`, { headers })).status, 200);
    }
    // What a client goes on with is the name it asked for.
    const list = await v2('sam/app/tags/list?n=1', { headers: after });
    assert.deepEqual(await list.json(), { name: 'sam/app', tags: ['v1'] });
    const absent = await v2('sam/app/manifests/v2', { headers: after });
    assert.deepEqual([absent.status, await errorCode(absent)], [404, 'MANIFEST_UNKNOWN']);
    const catalog = await v2('_catalog', { headers: await bearer(sam, 'registry:catalog:*') });
    assert.deepEqual(await catalog.json(), { repositories: ['acme/app'] });
  });

  it('carries pull alone in tokens, and takes no push and no delete', async (t) => {
    const { sam, bearer, v2, image, registry } = await startWorld(t);
    const headers = basic('sam', sam);
    const open = await beginUpload(registry.url, 'sam/app', headers);
    await moveTo(sam, 'sam/app', 'acme/app');
    const token = await bearer(sam, 'repository:sam/app:pull,push,delete');
    const [, payload = ''] = (token.authorization ?? '').split('.');
    const { access } = JSON.parse(Buffer.from(payload, 'base64url').toString());
    assert.deepEqual(access, [{ type: 'repository', name: 'sam/app', actions: ['pull'] }]);
    const refused = async (path: string, method: string, body?: string) => {
      for (const credentials of [headers, token]) {
        const reply = await v2(`sam/app/${path}`, {
          method,
          headers: credentials,
          ...(body ? { body } : {}),
        });
        assert.equal(reply.status, 403, `${method} ${path}`);
        const { errors } = (await reply.json()) as { errors: { code: string; message: string }[] };
        assert.deepEqual(errors[0]?.code, 'DENIED');
        assert.match(errors[0]?.message ?? '', /sam\/app was moved to acme\/app.*use acme\/app/);
      }
    };
    await refused('blobs/uploads/', 'POST');
    await refused('manifests/v2', 'PUT', image.body);
    await refused('manifests/v1', 'DELETE');
    await refused(`blobs/${image.layer}`, 'DELETE');
    await refused(new URL(open).pathname.slice('/v2/sam/app/'.length), 'PATCH', 'x');
    // Under the new name all of it goes on.
    await pushImage(registry.url, 'acme/app', 'v2', 'v2', headers);
    // A client that knows a blob from the old name mounts it from there.
    const mount = `acme/other/blobs/uploads/?mount=${image.layer}&from=sam/app`;
    assert.equal((await v2(mount, { method: 'POST', headers })).status, 201);
    const scope = 'repository:sam/app:pull%20repository:acme/third:pull,push';
    const mounting = mount.replace('acme/other', 'acme/third');
    assert.equal((await v2(mounting, { method: 'POST', headers: await bearer(sam, scope) })).status, 201);
  });

  it('gives nobody more than the repository by its name of today', async (t) => {
    const { admin, addUser, signIn, sam, v2, image } = await startWorld(t);
    const kim = await addUser('kim');
    const lea = await addUser('lea');
    // kim may read all of sam's namespace, lea what is in acme.
    await admin.post('/namespaces/sam/grants', { subject: 'kim', object: 'sam/**', role: 'read' });
    await admin.post('/namespaces/acme/grants', { subject: 'lea', object: 'acme/**', role: 'read' });
    await moveTo(sam, 'sam/app', 'acme/app');
    const read = async (name: string, client: ApiClient, path = 'sam/app/manifests/v1') => {
      const reply = await v2(path, { headers: basic(name, client) });
      return { status: reply.status, warning: reply.headers.get('warning'), body: await reply.text() };
    };
    const hidden = await read('kim', kim);
    assert.deepEqual([hidden.status, hidden.warning], [404, null]);
    const none = await read('kim', kim, 'sam/not/manifests/v1');
    assert.equal(hidden.body.replaceAll('sam/app', 'sam/not'), none.body);
    const other = await addUser('otto');
    const stranger = await read('otto', other);
    const absent = await read('otto', other, 'sam/not/manifests/v1');
    assert.equal(stranger.body.replaceAll('sam/app', 'sam/not'), absent.body);
    assert.equal((await read('lea', lea)).status, 200);
    const anonymous = await v2('sam/app/manifests/v1');
    assert.equal(anonymous.status, 401);
    const push = await v2('sam/app/blobs/uploads/', { method: 'POST', headers: basic('otto', other) });
    assert.match(await push.text(), /otto may not push to sam\/app/);
    // A token for the old name, or for all that is below, still reaches it; one for another name does not.
    for (const [pattern, status] of [
      ['sam/app', 200],
      ['sam/**', 200],
      ['acme/app', 200],
      ['sam/other', 404],
    ] as const) {
      const limited = await signIn('sam', { patterns: [pattern] });
      assert.equal((await read('sam', limited)).status, status, pattern);
    }
    // What is withdrawn on the new name is withdrawn on the old one, from the next request on.
    await admin.patch('/repositories/acme/app', { visibility: 'public' });
    assert.equal((await v2(`sam/app/blobs/${image.layer}`)).status, 200);
    await admin.patch('/repositories/acme/app', { visibility: 'private' });
    assert.equal((await v2(`sam/app/blobs/${image.layer}`)).status, 401);
  });

  it('is listed until it is removed, and then free', async (t) => {
    const { admin, sam, v2, addUser } = await startWorld(t);
    await moveTo(sam, 'sam/app', 'acme/app');
    await moveTo(admin, 'acme/app', 'acme/web');
    const { items } = (await sam.get('/repositories/acme/web/-/aliases')).body;
    assert.deepEqual(
      items.map(({ name, servedSeconds }: { name: string; servedSeconds: number }) => [
        name,
        servedSeconds > 89 * 86_400,
      ]),
      [
        ['sam/app', true],
        ['acme/app', true],
      ],
    );
    const path = `/repositories/acme/web/-/aliases/${items[0].id}`;
    assertProblem(await sam.delete(path), 403, 'denied');
    const kim = await addUser('kim');
    assertProblem(await kim.delete(path), 404, 'not-found');
    assert.deepEqual((await admin.delete(`${path}?dryRun=true`)).body.removes, ['alias:sam/app']);
    assert.equal((await admin.delete(path)).status, 204);
    assertProblem(await admin.delete(path), 404, 'not-found');
    assertProblem(await admin.delete(`${path}?dryRun=true`), 404, 'not-found');
    assert.equal((await v2('sam/app/manifests/v1', { headers: basic('sam', sam) })).status, 404);
    const digest = await pushBlob(new URL((await v2('')).url).origin, 'sam/app', 'new', basic('sam', sam));
    assert.equal(digest, sha256('new'));
    const actions = (await admin.get('/audit?action=alias.remove')).body.items;
    assert.deepEqual(actions[0].object, 'alias:sam/app');
  });

  it('is read by everybody in mode open, and pushed to by nobody', async (t) => {
    const { url } = await startRegistry(t);
    await pushImage(url, 'web', 'v1');
    const headers = { 'content-type': 'application/json' };
    const moved = await fetch(`${url}/api/v1/repositories/web`, {
      method: 'PATCH',
      headers,
      body: '{"name":"site"}',
    });
    assert.equal(moved.status, 200, await moved.text());
    assert.equal((await fetch(`${url}/v2/web/manifests/v1`)).status, 200);
    const push = await fetch(`${url}/v2/web/blobs/uploads/`, { method: 'POST' });
    assert.equal(push.status, 403);
    assert.match(await push.text(), /web was moved to site/);
    const list = (await (await fetch(`${url}/api/v1/repositories`)).json()) as { items: { name: string }[] };
    assert.deepEqual(
      list.items.map(({ name }) => name),
      ['site'],
    );
    assert.equal((await fetch(`${url}/api/v1/repositories/site`, { method: 'DELETE' })).status, 204);
    assert.equal((await fetch(`${url}/v2/web/manifests/v1`)).status, 404);
  });
});

describe('a user who leaves', () => {
  it('hands the repositories on, which are read under their old names', async (t) => {
    const { admin, sam, registry, v2 } = await startWorld(t);
    await pushImage(registry.url, 'sam/deep/er', 'v1', 'v2', basic('sam', sam));
    assertProblem(await admin.delete('/users/sam'), 409, 'conflict', /2 repositories: transferTo=NAMESPACE/);
    const both = '/users/sam?transferTo=acme&deleteRepositories=true';
    assertProblem(await admin.delete(both), 400, 'invalid', /not both/);
    for (const nowhere of ['nope', 'sam'])
      assertProblem(
        await admin.delete(`/users/sam?transferTo=${nowhere}`),
        400,
        'invalid',
        /no other namespace/,
      );
    await admin.post('/repositories', { name: 'acme/app' });
    for (const query of ['transferTo=acme', 'transferTo=acme&dryRun=true'])
      assertProblem(
        await admin.delete(`/users/sam?${query}`),
        409,
        'exists',
        /nothing was changed.*acme\/app/,
      );
    assert.equal((await sam.get('/repositories/sam/app')).status, 200);
    await admin.delete('/repositories/acme/app');
    const plan = await admin.delete('/users/sam?transferTo=acme&dryRun=true');
    assert.deepEqual(plan.body.moves, [
      { from: 'sam/app', to: 'acme/app' },
      { from: 'sam/deep/er', to: 'acme/deep/er' },
    ]);
    assert.equal((await admin.delete('/users/sam?transferTo=acme')).status, 204);
    assertProblem(await admin.get('/users/sam'), 404, 'not-found');
    assert.equal((await admin.get('/repositories/acme/deep/er')).body.tags, 1);
    const headers = { authorization: `Bearer ${admin.secret}` };
    assert.equal((await v2('sam/app/manifests/v1', { headers })).status, 200);
    const push = await v2('sam/app/blobs/uploads/', { method: 'POST', headers });
    assert.match(await push.text(), /was moved to acme\/app/);
  });

  it('goes on where a quota had stopped it', async (t) => {
    const { admin, sam, registry } = await startWorld(t);
    await pushImage(registry.url, 'sam/b', 'v1', 'v2', basic('sam', sam));
    await admin.put('/namespaces/acme/quota', { bytes: null, repositories: 1 });
    const stopped = await admin.delete('/users/sam?transferTo=acme');
    assertProblem(stopped, 403, 'quota-exceeded', /sam\/b.*1 of 2 repositories were moved; do it again/);
    assert.equal((await admin.get('/users/sam')).status, 200);
    await admin.put('/namespaces/acme/quota', { bytes: null, repositories: null });
    assert.equal((await admin.delete('/users/sam?transferTo=acme')).status, 204);
    assert.equal((await admin.get('/repositories/acme/b')).status, 200);
  });
});

describe('a user with many repositories', () => {
  it('hands them on, and where that is stopped each is here or there and the rest follows', async (t) => {
    const { admin } = await startWorld(t);
    const names = Array.from({ length: 120 }, (_, index) => `r${String(index).padStart(3, '0')}`);
    for (const name of names) await admin.post('/repositories', { name: `sam/${name}` });
    await admin.put('/namespaces/acme/quota', { bytes: null, repositories: 70 });
    const stopped = await admin.delete('/users/sam?transferTo=acme');
    // With the one that was there before.
    assertProblem(stopped, 403, 'quota-exceeded', /^sam\/r069: .*70 of 121 repositories were moved/);
    const where = async (namespace: string): Promise<number> =>
      (await admin.get(`/repositories?namespace=${namespace}&limit=1000`)).body.items.length;
    assert.deepEqual([await where('acme'), await where('sam')], [70, 51]);
    await admin.put('/namespaces/acme/quota', { bytes: null, repositories: null });
    assert.equal((await admin.delete('/users/sam?transferTo=acme')).status, 204);
    assert.equal(await where('acme'), 121);
    assertProblem(await admin.get('/users/sam'), 404, 'not-found');
  });
});

describe('an organization that was removed', () => {
  it('comes back with its members and repositories', async (t) => {
    const { admin, sam, registry, addUser, v2 } = await startWorld(t);
    await addUser('olga');
    await admin.put('/organizations/acme/members/olga', { role: 'owner' });
    await pushImage(registry.url, 'acme/web', 'v1', 'v1', basic('sam', sam));
    assert.equal((await admin.delete('/organizations/acme')).status, 204);
    const headers = { authorization: `Bearer ${admin.secret}` };
    assert.equal((await v2('acme/web/manifests/v1', { headers })).status, 404);
    assertProblem(await sam.post('/organizations/acme/restore'), 404, 'not-found');
    const restored = await admin.post('/organizations/acme/restore');
    assert.deepEqual([restored.status, restored.body.name, restored.body.repositories], [200, 'acme', 1]);
    assertProblem(
      await admin.post('/organizations/acme/restore'),
      404,
      'not-found',
      /removed organization acme/,
    );
    assert.equal((await v2('acme/web/manifests/v1', { headers })).status, 200);
    const members = (await admin.get('/organizations/acme/members')).body.items;
    assert.ok(
      members.some((one: { name: string; role: string }) => one.name === 'olga' && one.role === 'owner'),
    );
    // Rights are given anew.
    assertProblem(await sam.get('/repositories/acme/web'), 404, 'not-found');
    assert.deepEqual((await admin.get('/namespaces/acme/grants')).body.items, []);
  });
});
