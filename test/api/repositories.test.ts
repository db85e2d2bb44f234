// Repositories in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';

describe('a repository', () => {
  it('becomes public, and private again, from the next request on', async (t) => {
    const api = await startApi(t);
    const { admin, registry } = api;
    await pushImage(registry.url, 'acme/team/web', 'v1', 'v1', { authorization: `Bearer ${admin.secret}` });
    const pull = async () => (await fetch(`${registry.url}/v2/acme/team/web/manifests/v1`)).status;
    assert.equal(await pull(), 401);
    const changes = { visibility: 'public', description: 'The shop' };
    const changed = await admin.patch('/repositories/acme%2Fteam%2Fweb', changes);
    const { name, namespace, visibility, description } = changed.body;
    assert.deepEqual({ name, namespace }, { name: 'acme/team/web', namespace: 'acme' });
    assert.deepEqual({ visibility, description }, changes);
    assert.equal(await pull(), 200);
    const shown = await admin.get('/repositories/acme%2Fteam%2Fweb');
    assert.deepEqual([shown.body, shown.headers.get('etag')], [changed.body, changed.headers.get('etag')]);
    // The name as it stands means the same.
    const asItStands = `${registry.url}/api/v1/repositories/acme/team/web`;
    const headers = { authorization: `Bearer ${admin.secret}` };
    assert.deepEqual(await (await fetch(asItStands, { headers })).json(), shown.body);
    assert.equal(
      (await admin.patch('/repositories/acme%2Fteam%2Fweb', { visibility: 'private' })).status,
      200,
    );
    assert.equal(await pull(), 401);
    const events = (await admin.get('/audit?action=repository.update')).body.items;
    assert.deepEqual(
      events.map((event: { object: string; detail: Record<string, { visibility: string }> }) => [
        event.object,
        event.detail.before?.visibility,
        event.detail.after?.visibility,
      ]),
      [
        ['repository:acme/team/web', 'public', 'private'],
        ['repository:acme/team/web', 'private', 'public'],
      ],
    );
  });

  it('that is not there, or has blobs alone, is not found, and a wrong member is named', async (t) => {
    const api = await startApi(t);
    const { admin, registry } = api;
    const authorization = `Bearer ${admin.secret}`;
    await fetch(`${registry.url}/v2/acme/blobs-alone/blobs/uploads/`, {
      method: 'POST',
      headers: { authorization },
    });
    for (const name of ['acme/none', 'acme/blobs-alone']) {
      assertProblem(await admin.get(`/repositories/${encodeURIComponent(name)}`), 404, 'not-found');
      assertProblem(
        await admin.patch(`/repositories/${encodeURIComponent(name)}`, { description: 'x' }),
        404,
        'not-found',
      );
    }
    await pushImage(registry.url, 'acme/web', 'v1', 'v1', { authorization });
    assertProblem(await admin.patch('/repositories/acme%2Fweb', { visibility: 'open' }), 400, 'invalid');
    assertProblem(await admin.get('/repositories/Acme%2FWeb'), 400, 'invalid');
  });
});

describe('making a repository', () => {
  it('gives one without content, which has tags and is not in the catalog', async (t) => {
    const { admin, registry } = await startApi(t);
    const made = await admin.post('/repositories', { name: 'acme/web', description: 'The shop' });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.get('location'), '/api/v1/repositories/acme/web');
    assert.deepEqual([made.body.visibility, made.body.tags, made.body.manifests], ['private', 0, 0]);
    const shown = await admin.get('/repositories/acme/web');
    assert.equal(shown.headers.get('etag'), made.headers.get('etag'));
    const headers = { authorization: `Bearer ${admin.secret}` };
    const read = async (path: string) => (await fetch(`${registry.url}/v2/${path}`, { headers })).json();
    assert.deepEqual(await read('acme/web/tags/list'), { name: 'acme/web', tags: [] });
    assert.deepEqual(await read('_catalog'), { repositories: [] });
    assertProblem(
      await admin.post('/repositories', { name: 'acme/web' }),
      409,
      'exists',
      /acme\/web is taken/,
    );
    assertProblem(await admin.post('/repositories', { name: 'Acme' }), 400, 'invalid', /lower-case/);
    assertProblem(await admin.post('/repositories', { name: 'acme/x', tags: [] }), 400, 'invalid');
  });

  it('takes the role write on its name, and admin for a visibility', async (t) => {
    const api = await startApi(t);
    await api.addOrganization('acme', 'admin');
    const sam = await api.addUser('sam');
    const grant = (object: string, role: string) =>
      api.admin.post('/namespaces/acme/grants', { subject: 'sam', object, role });
    assertProblem(await api.anonymous.post('/repositories', { name: 'acme/x' }), 401, 'unauthenticated');
    // In the words of a push, and the same whether there is such a repository.
    await api.admin.post('/repositories', { name: 'acme/there' });
    for (const name of ['acme/there', 'acme/none']) {
      const refused = await sam.post('/repositories', { name });
      assertProblem(refused, 403, 'denied');
      assert.equal(refused.body.detail, `sam may not push to ${name}; your own namespace is sam/`);
    }
    await grant('acme/**', 'read');
    assertProblem(
      await sam.post('/repositories', { name: 'acme/none' }),
      403,
      'denied',
      /takes the role write/,
    );
    await grant('acme/**', 'write');
    const open = { name: 'acme/open', visibility: 'public' };
    assertProblem(await sam.post('/repositories', open), 403, 'denied', /role admin/);
    assert.equal((await sam.post('/repositories', { name: 'acme/none' })).status, 201);
    assertProblem(await sam.post('/repositories', { name: 'acme/there' }), 409, 'exists');
    assert.equal((await sam.post('/repositories', { ...open, name: 'sam/open' })).body.visibility, 'public');
    await api.admin.put('/namespaces/acme/quota', { bytes: null, repositories: 2 });
    assertProblem(await sam.post('/repositories', { name: 'acme/more' }), 403, 'quota-exceeded', /2 of 2/);
    const limited = await api.signIn('sam', { patterns: ['sam/a'] });
    assertProblem(
      await limited.post('/repositories', { name: 'sam/b' }),
      403,
      'denied',
      /limited to .*sam\/a/,
    );
    assert.equal((await limited.post('/repositories', { name: 'sam/a' })).status, 201);
  });

  it('is the only way to one where pushes make none', async (t) => {
    const { admin, registry } = await startApi(t, { 'access.createOnPush': 'false' });
    const headers = { authorization: `Bearer ${admin.secret}` };
    const begun = await fetch(`${registry.url}/v2/acme/web/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(begun.status, 403);
    const { errors } = (await begun.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'DENIED');
    assert.match(errors[0]?.message ?? '', /acme\/web does not exist.*berth repo add acme\/web/);
    assertProblem(await admin.get('/namespaces/acme'), 404, 'not-found');
    await admin.post('/repositories', { name: 'acme/web' });
    await pushImage(registry.url, 'acme/web', 'v1', 'v1', headers);
    await admin.delete('/repositories/acme/web');
    const again = await fetch(`${registry.url}/v2/acme/web/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(again.status, 403);
  });
});

describe('what a repository says of itself', () => {
  it('is changed member by member, and labels one by one', async (t) => {
    const { admin, registry } = await startApi(t);
    const headers = { authorization: `Bearer ${admin.secret}` };
    const image = await pushImage(registry.url, 'acme/web', 'v1', 'v1', headers);
    const links = [{ title: 'Source', url: 'https://example.com/web' }];
    const change = (body: object, ifMatch?: string | null) =>
      admin.patch('/repositories/acme/web', body, ifMatch ? { headers: { 'if-match': ifMatch } } : {});
    const first = await change({ readme: '# Web', links, labels: { team: 'web', tier: '1' } });
    assert.equal(first.status, 200, first.text);
    // Counts move by themselves: they are no part of the entity tag.
    await fetch(`${registry.url}/v2/acme/web/manifests/${image.digest}`, { headers });
    await pushImage(registry.url, 'acme/web', 'v2', 'v1', headers);
    const tag = first.headers.get('etag');
    const second = await change({ labels: { team: null, tier: '2' } }, tag);
    assert.deepEqual([second.body.labels, second.body.readme], [{ tier: '2' }, '# Web']);
    assert.deepEqual([second.body.links, second.body.pushes, second.body.tags], [links, 2, 2]);
    assertProblem(await change({ readme: 'late' }, tag), 412, 'precondition-failed');
  });

  it('is held to bounds, and each fault is named', async (t) => {
    const { admin } = await startApi(t);
    await admin.post('/repositories', { name: 'acme/web' });
    const wrong = async (body: object, pointer: string) => {
      const reply = await admin.patch('/repositories/acme/web', body);
      assertProblem(reply, 400, 'invalid');
      assert.equal(reply.body.errors[0].pointer, pointer, reply.text);
    };
    await wrong({ readme: 'x'.repeat(65_537) }, '/readme');
    await wrong({ readme: 'é'.repeat(40_000) }, '/readme');
    for (const url of ['javascript:alert(1)', 'ftp://example.com', '/x', 'https://me:secret@example.com']) {
      await wrong({ links: [{ title: 'x', url }] }, '/links/0/url');
    }
    await wrong({ links: Array.from({ length: 21 }, () => ({ title: 'x', url: 'https://a.b' })) }, '/links');
    for (const key of ['Team', '', '-x', 'x'.repeat(64)])
      await wrong({ labels: { [key]: 'y' } }, `/labels/${key}`);
    await wrong({ labels: { 'a/b': 'line\nbreak' } }, '/labels/a~1b');
    await wrong({ labels: { a: 'x'.repeat(256) } }, '/labels/a');
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`k${index}`, 'v']));
    await wrong({ labels: many }, '/labels');
    await wrong({ name: 'acme/other', description: 'x' }, '/name');
    await wrong({ tags: 3 }, '/tags');
  });
});

describe('deleting a repository', () => {
  const push = async ({ registry, admin }: ApiRegistry, name: string) =>
    await pushImage(registry.url, name, 'v1', 'v1', { authorization: `Bearer ${admin.secret}` });

  it('tells what would go, then takes it out of sight, and the name is free', async (t) => {
    const api = await startApi(t);
    const { admin, registry } = api;
    const { body } = await push(api, 'acme/web');
    const plan = await admin.delete('/repositories/acme/web?dryRun=true');
    const bytes = JSON.parse(body).config.size + JSON.parse(body).layers[0].size;
    const removes = ['repository:acme/web'];
    assert.deepEqual(plan.body, { dryRun: true, removes, tags: 1, manifests: 1, bytes });
    assert.equal((await admin.get('/repositories/acme/web')).status, 200);
    assert.equal((await admin.delete('/repositories/acme/web')).status, 204);
    assertProblem(await admin.delete('/repositories/acme/web'), 404, 'not-found');
    assertProblem(await admin.get('/repositories/acme/web'), 404, 'not-found');
    const headers = { authorization: `Bearer ${admin.secret}` };
    const pull = await fetch(`${registry.url}/v2/acme/web/manifests/v1`, { headers });
    assert.equal(pull.status, 404);
    await push(api, 'acme/web');
    const [deleted] = (await registry.registry.metadata.repositories.listDeleted({ limit: 5 })).items;
    assert.deepEqual([deleted?.name, deleted?.deletedBy, deleted?.tags], ['acme/web', 'admin', 1]);
  });

  it('is refused where deleting is switched off, and while the registry is read-only', async (t) => {
    const off = await startApi(t, { 'storage.delete': 'false' });
    await push(off, 'acme/web');
    for (const query of ['', '?dryRun=true'])
      assertProblem(
        await off.admin.delete(`/repositories/acme/web${query}`),
        405,
        'invalid',
        /storage\.delete/,
      );
    const api = await startApi(t);
    await push(api, 'acme/web');
    await api.admin.put('/read-only', { readOnly: true });
    assertProblem(await api.admin.delete('/repositories/acme/web'), 503, 'read-only');
    assertProblem(await api.admin.post('/repositories', { name: 'acme/new' }), 503, 'read-only');
  });
});
