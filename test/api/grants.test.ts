// Robots, grants, the explanation of access and the audit log in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiClient, type ApiRegistry, assertProblem, startApi } from '../support/api.ts';

const path = '/namespaces/acme/grants';

async function startAcme(
  t: Parameters<typeof startApi>[0],
): Promise<ApiRegistry & { readonly olga: ApiClient }> {
  const api = await startApi(t);
  const olga = await api.addUser('olga');
  await api.addOrganization('acme', 'olga');
  return { ...api, olga };
}

async function push(api: ApiRegistry, repository: string): Promise<void> {
  const type = 'application/vnd.oci.image.index.v1+json';
  const reply = await fetch(`${api.registry.url}/v2/${repository}/manifests/v1`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${api.admin.secret}`, 'content-type': type },
    body: JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [] }),
  });
  assert.equal(reply.status, 201, await reply.text());
}

describe('robots', () => {
  it('of a guest are guests too: what is internal is not theirs to see', async (t) => {
    const api = await startAcme(t);
    await api.addUser('gus');
    const robot = await api.addRobot('gus+ci');
    await api.olga.patch('/namespaces/acme', { defaultVisibility: 'internal' });
    await push(api, 'acme/web');
    const pull = async () => {
      const headers = { authorization: `Bearer ${robot.secret}` };
      return (await fetch(`${api.registry.url}/v2/acme/web/manifests/v1`, { headers })).status;
    };
    assert.equal(await pull(), 200);
    assert.equal((await api.admin.patch('/users/gus', { guest: true })).status, 200);
    assert.equal(await pull(), 404);
    assert.equal((await api.admin.patch('/users/gus', { guest: false })).status, 200);
    assert.equal(await pull(), 200);
  });

  it('are added, shown, disabled and removed by who administers their namespace', async (t) => {
    const { olga, addRobot, addUser } = await startAcme(t);
    const robots = '/namespaces/acme/robots';
    const made = await olga.post(robots, { name: 'ci', description: 'builds' });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('location'), '/api/v1/namespaces/acme/robots/acme+ci');
    assert.deepEqual([made.body.name, made.body.enabled], ['acme+ci', true]);
    assertProblem(await olga.post(robots, { name: 'acme+ci' }), 409, 'exists');
    assertProblem(await olga.post(robots, { name: 'shop+ci' }), 400, 'invalid', /not a robot of acme/);
    assertProblem(await olga.post(robots, { name: 'C I' }), 400, 'invalid');
    for (const spelling of ['acme+ci', 'acme%2Bci', 'ci']) {
      assert.equal((await olga.get(`${robots}/${spelling}`)).body.description, 'builds', spelling);
    }
    const k8s = await addRobot('acme+k8s');
    assert.equal((await olga.patch(`${robots}/acme+k8s`, { enabled: false })).body.enabled, false);
    assertProblem(await k8s.get('/me'), 401, 'unauthenticated');
    assert.equal((await olga.patch(`${robots}/acme+k8s`, { enabled: true })).status, 200);
    assert.equal((await k8s.get('/me')).status, 200);
    assert.equal((await olga.delete(`${robots}/acme+k8s`)).status, 204);
    assertProblem(await olga.delete(`${robots}/acme+k8s`), 404, 'not-found');
    const sten = await addUser('sten');
    assertProblem(await sten.get(`${robots}/acme+ci`), 404, 'not-found', /no namespace acme/);
  });
});

describe('grants', () => {
  it('hold from the next request on, and are replaced by the next for the same subject and object', async (t) => {
    const api = await startAcme(t);
    const bob = await api.addUser('bob');
    await push(api, 'acme/web');
    const made = await api.olga.post(path, { subject: 'bob', object: 'acme/web', role: 'read' });
    assert.equal(made.status, 201);
    assert.deepEqual(
      [made.body.subject, made.body.object, made.body.role, made.body.grantedBy, made.body.expiresAt],
      ['bob', 'acme/web', 'read', 'olga', null],
    );
    const pull = async () => {
      const headers = { authorization: `Bearer ${bob.secret}` };
      return (await fetch(`${api.registry.url}/v2/acme/web/manifests/v1`, { headers })).status;
    };
    assert.equal(await pull(), 200);
    const until = new Date(Date.now() + 86_400_000).toISOString();
    const again = await api.olga.post(path, {
      subject: 'bob',
      object: 'acme/web',
      role: 'write',
      expiresAt: until,
    });
    assert.equal(again.status, 200);
    assert.deepEqual([again.body.id, again.body.role], [made.body.id, 'write']);
    assert.equal((await api.olga.get(path)).body.items.length, 1);
    assert.equal((await api.olga.delete(`${path}/${made.body.id}`)).status, 204);
    assert.equal(await pull(), 404);
    assertProblem(await api.olga.delete(`${path}/${made.body.id}`), 404, 'not-found');
  });

  it('are for who there is, on what lies in the namespace, and to anonymous only for reading', async (t) => {
    const { olga, admin } = await startAcme(t);
    const give = (subject: string, object: string, role = 'read') =>
      olga.post(path, { subject, object, role });
    assertProblem(await give('nemo', 'acme/**'), 400, 'invalid', /no user nemo/);
    assertProblem(await give('team:acme/ops', 'acme/**'), 400, 'invalid', /no team acme\/ops/);
    assertProblem(await give('acme+ci', 'acme/**'), 400, 'invalid', /no robot acme\+ci/);
    assertProblem(await give('acme/dev', 'acme/**'), 400, 'invalid', /team:acme\/dev/);
    assertProblem(await give('olga', 'acme'), 400, 'invalid', /did you mean acme\/\*\*/);
    assertProblem(await give('olga', 'shop/web'), 400, 'invalid', /not in the namespace acme/);
    assertProblem(await give('olga', '**'), 400, 'invalid', /whole registry/);
    assertProblem(await give('olga', 'acme/**/x'), 400, 'invalid');
    assertProblem(await give('anonymous', 'acme/web', 'write'), 400, 'invalid', /only be given read/);
    assert.equal((await give('anonymous', 'acme/web')).status, 201);
    assert.equal((await give('authenticated', 'acme/web', 'write')).status, 201);
    const past = { subject: 'olga', object: 'acme/web', role: 'read', expiresAt: '2001-01-01T00:00:00Z' };
    assertProblem(await olga.post(path, past), 400, 'invalid', /to come/);
    assertProblem(
      await admin.post('/grants', { subject: 'olga', object: 'acme/**', role: 'read' }),
      400,
      'invalid',
    );
  });

  it('say how far they reach, and what they leave out', async (t) => {
    const api = await startAcme(t);
    for (const name of ['acme/web', 'acme/web/app', 'acme/web/api', 'acme']) await push(api, name);
    const give = (object: string) => api.olga.post(path, { subject: 'olga', object, role: 'read' });
    const all = (await give('acme/**')).body;
    assert.deepEqual([all.repositories, all.notes], [3, undefined]);
    const shallow = (await give('acme/*')).body;
    assert.equal(shallow.repositories, 1);
    assert.deepEqual(shallow.notes, [
      'acme/* leaves out 2 repositories one level down (acme/web/api, acme/web/app): acme/** takes them',
    ]);
    const bare = { subject: 'olga', object: 'acme', role: 'read' };
    const noted = await api.admin.post('/namespaces/library/grants', bare);
    assert.match(noted.body.notes[0], /did you mean acme\/\*\*/);
  });

  it('are given and seen by who is admin of a part, on that part alone', async (t) => {
    const { olga, addUser } = await startAcme(t);
    const pia = await addUser('pia');
    await addUser('bob');
    await olga.post(path, { subject: 'pia', object: 'acme/web/**', role: 'admin' });
    const other = await olga.post(path, { subject: 'bob', object: 'acme/api', role: 'read' });
    const give = (object: string) => pia.post(path, { subject: 'bob', object, role: 'write' });
    assert.equal((await give('acme/web/app')).status, 201);
    assert.equal((await give('acme/web/**')).status, 201);
    assertProblem(await give('acme/**'), 403, 'denied', /admin on acme\/web\/\*\*/);
    assertProblem(await give('acme/*/app'), 403, 'denied');
    const objects = (await pia.get(path)).body.items.map(({ object }: { object: string }) => object);
    assert.deepEqual(objects, ['acme/web/**', 'acme/web/app', 'acme/web/**']);
    assertProblem(await pia.delete(`${path}/${other.body.id}`), 404, 'not-found');
    assertProblem(await pia.get('/namespaces/acme/robots'), 403, 'denied');
  });

  it('tell who is admin of a part nothing of the rest', async (t) => {
    const api = await startAcme(t);
    const { olga } = api;
    const pia = await api.addUser('pia');
    await api.addUser('bob');
    await olga.post(path, { subject: 'pia', object: 'acme/web/*', role: 'admin' });
    const hidden = await olga.post(path, { subject: 'bob', object: 'acme/api', role: 'read' });
    for (const name of ['acme/web/app', 'acme/web/app/hidden']) await push(api, name);
    const shallow = await pia.post(path, { subject: 'bob', object: 'acme/web/*', role: 'read' });
    assert.deepEqual([shallow.status, shallow.body.notes], [201, undefined]);
    const first = await pia.get(`${path}?limit=1`);
    const second = await pia.get(`${path}?limit=1&cursor=${first.body.next}`);
    const objects = [first, second].map(({ body }) =>
      body.items.map(({ object }: { object: string }) => object),
    );
    assert.deepEqual([objects, second.body.next], [[['acme/web/*'], ['acme/web/*']], null]);
    const refusals = [];
    for (const id of [hidden.body.id, 4711]) {
      const { body } = await pia.delete(`${path}/${id}`, { headers: { 'if-match': '"x"' } });
      refusals.push([body.status, body.detail]);
    }
    assert.deepEqual(refusals[0], refusals[1]);
  });

  it('to teams and robots of a namespace that one may not see are like those to who is not there', async (t) => {
    const { olga, admin, addUser, addOrganization, addRobot } = await startAcme(t);
    const bob = await addUser('bob');
    await addOrganization('hush', 'admin');
    await admin.post('/organizations/hush/teams', { name: 'ops' });
    await addRobot('hush+ci');
    const give = (subject: string, by = olga) => by.post(path, { subject, object: 'acme/web', role: 'read' });
    assertProblem(await give('team:hush/ops'), 400, 'invalid', /no team hush\/ops/);
    assertProblem(await give('hush+ci'), 400, 'invalid', /no robot hush\+ci/);
    assertProblem(await olga.get('/access?subject=hush%2Bci&repository=acme/web'), 404, 'not-found');
    assert.equal((await give('hush+ci', admin)).status, 201);
    assert.equal((await olga.get('/access?subject=hush%2Bci&repository=acme/web')).status, 200);
    await admin.put('/organizations/hush/members/olga', { role: 'member' });
    assert.equal((await give('team:hush/ops')).status, 201);
    assertProblem(await bob.get('/access?subject=hush%2Bci&repository=bob/web'), 404, 'not-found');
  });

  it('are found in their own namespace only', async (t) => {
    const { olga, admin, addOrganization } = await startAcme(t);
    await addOrganization('shop', 'admin');
    const { id } = (await olga.post(path, { subject: 'olga', object: 'acme/web', role: 'read' })).body;
    assertProblem(await admin.delete(`/namespaces/shop/grants/${id}`), 404, 'not-found');
    assertProblem(await admin.delete(`/grants/${id}`), 404, 'not-found');
    const everywhere = await admin.post('/grants', { subject: 'olga', object: '**', role: 'read' });
    assert.equal(everywhere.status, 201);
    assertProblem(await admin.delete(`${path}/${everywhere.body.id}`), 404, 'not-found');
    assert.deepEqual((await admin.delete(`/grants/${everywhere.body.id}?dryRun=true`)).body.removes, [
      'grant:**',
    ]);
    assert.equal((await admin.delete(`/grants/${everywhere.body.id}`)).status, 204);
  });

  it('are not given by a token whose role is less than admin', async (t) => {
    const { signIn } = await startAcme(t);
    const maintain = await signIn('olga', { role: 'maintain' });
    const grant = { subject: 'olga', object: 'acme/web', role: 'read' };
    assertProblem(await maintain.post(path, grant), 403, 'denied');
    const part = await signIn('olga', { role: 'admin', patterns: ['acme/web'] });
    assert.equal((await part.post(path, grant)).status, 201);
    assertProblem(await part.post(path, { ...grant, object: 'acme/api' }), 403, 'denied');
  });
});

describe('an explanation of access', () => {
  it('gives the role, every reason, and the nearest way to more', async (t) => {
    const api = await startAcme(t);
    const { olga } = api;
    const dave = await api.addUser('dave');
    await olga.patch('/namespaces/acme', { defaultVisibility: 'internal' });
    await push(api, 'acme/web');
    await olga.post('/organizations/acme/teams', { name: 'dev' });
    const grant = await olga.post(path, { subject: 'team:acme/dev', object: 'acme/**', role: 'write' });
    const asked = await olga.get('/access?subject=dave&repository=acme/web');
    assert.equal(asked.status, 200);
    assert.deepEqual(asked.body, {
      subject: 'dave',
      repository: 'acme/web',
      enabled: true,
      role: 'read',
      actions: ['pull'],
      because: [{ kind: 'visibility', role: 'read', visibility: 'internal' }],
      limitedBy: [],
      missing: [
        {
          action: 'push',
          needed: 'write',
          nearest: {
            id: grant.body.id,
            subject: 'team:acme/dev',
            object: 'acme/**',
            role: 'write',
            expiresAt: null,
          },
        },
        { action: 'delete', needed: 'maintain', nearest: null },
      ],
    });
    const own = await dave.get('/access?repository=acme/web');
    assert.deepEqual(own.body.missing[0].nearest, null, 'whom else something was given is not for everybody');
    assert.deepEqual((await olga.get('/access?repository=acme/web')).body.because[0], {
      kind: 'owner',
      role: 'admin',
      namespace: 'acme',
    });
    assert.equal((await olga.get('/access?subject=anonymous&repository=acme/web')).body.role, null);
  });

  it('of others is for who administers the repository, and tells nobody else that it is there', async (t) => {
    const api = await startAcme(t);
    const sten = await api.addUser('sten');
    const rita = await api.addUser('rita');
    await push(api, 'acme/web');
    await api.olga.post(path, { subject: 'rita', object: 'acme/**', role: 'read' });
    const ask = (repository: string) => sten.get(`/access?subject=olga&repository=${repository}`);
    const [there, absent] = [await ask('acme/web'), await ask('acme/wev')];
    assertProblem(there, 404, 'not-found');
    assert.equal(there.body.detail.replace('web', 'wev'), absent.body.detail);
    assertProblem(await rita.get('/access?subject=olga&repository=acme/web'), 403, 'denied', /role admin/);
    assertProblem(await api.olga.get('/access?subject=nemo&repository=acme/web'), 404, 'not-found');
    assertProblem(await api.olga.get('/access?subject=team:acme/dev&repository=acme/web'), 400, 'invalid');
    assertProblem(await api.olga.get('/access?repository=Acme'), 400, 'invalid', /repository name/);
  });

  it('tells what a token takes away, reads a robot’s plus, and knows who is disabled', async (t) => {
    const api = await startAcme(t);
    const token = await api.signIn('olga', { role: 'read', patterns: ['acme/**'] });
    const { body } = await token.get('/access?repository=acme/web');
    assert.deepEqual([body.role, body.limitedBy], ['read', [{ role: 'read', repositories: ['acme/**'] }]]);
    await api.addRobot('acme+ci');
    assert.equal((await api.olga.get('/access?subject=acme+ci&repository=acme/web')).body.subject, 'acme+ci');
    await api.olga.patch('/namespaces/acme/robots/acme+ci', { enabled: false });
    assert.equal((await api.olga.get('/access?subject=acme%2Bci&repository=acme/web')).body.enabled, false);
  });
});

describe('the audit log', () => {
  it('has every change with who, from where, before and after, and can be filtered', async (t) => {
    const api = await startAcme(t);
    const before = new Date().toISOString();
    await api.admin.patch('/users/olga', { fullName: 'Olga' }, { headers: { 'user-agent': 'test/1' } });
    const reply = await api.olga.post(path, { subject: 'olga', object: 'acme/web', role: 'read' });
    await push(api, 'acme/web');
    const [update] = (await api.admin.get('/audit?action=user.update')).body.items;
    assert.deepEqual(
      [update.actor, update.object, update.address, update.userAgent, update.outcome],
      ['admin', 'user:olga', '127.0.0.1', 'test/1', 'allowed'],
    );
    assert.equal(update.detail.before.fullName, undefined);
    assert.equal(update.detail.after.fullName, 'Olga');
    const [grant] = (await api.admin.get('/audit?object=grant:acme/web')).body.items;
    assert.deepEqual([grant.action, grant.actor, grant.namespace], ['grant.set', 'olga', 'acme']);
    assert.ok(grant.requestId && reply.status === 201);
    const [pushed] = (await api.admin.get('/audit?object=acme/web&action=push')).body.items;
    assert.match(pushed.object, /^acme\/web/);
    const actions = async (query: string) =>
      (await api.admin.get(`/audit?${query}`)).body.items.map(({ action }: { action: string }) => action);
    assert.deepEqual(await actions('actor=nemo'), []);
    assert.deepEqual(await actions(`until=${before.slice(0, 19)}Z&actor=olga`), []);
    assert.ok((await actions(`since=${before.slice(0, 19)}Z`)).includes('grant.set'));
    const secrets = (await api.admin.get('/audit?limit=1000')).text;
    assert.ok(!/berth_pat_|\$2b\$/.test(secrets));
  });

  it('is newest first in pages, and shows an administrator of a namespace what happened there', async (t) => {
    const api = await startAcme(t);
    await api.addUser('sten');
    for (const role of ['read', 'write', 'maintain']) {
      await api.olga.post(path, { subject: 'sten', object: 'acme/web', role });
    }
    const seen: number[] = [];
    let cursor = '';
    do {
      const { body } = await api.olga.get(`/audit?namespace=acme&limit=2${cursor}`);
      seen.push(...body.items.map(({ id }: { id: number }) => id));
      assert.ok(body.items.every(({ namespace }: { namespace: string }) => namespace === 'acme'));
      cursor = body.next === null ? '' : `&cursor=${body.next}`;
    } while (cursor !== '');
    assert.deepEqual(
      seen,
      [...seen].sort((one, other) => other - one),
    );
    assert.ok(seen.length >= 4);
    assertProblem(await api.olga.get('/audit'), 403, 'denied');
    assertProblem(await api.olga.get('/audit?namespace=shop'), 404, 'not-found');
    assertProblem(await api.olga.get('/audit?namespace=acme&namespace=shop'), 403, 'denied');
  });

  it('is exported as a line of JSON an event, all of them', async (t) => {
    const api = await startAcme(t);
    const { events } = api.registry.registry.metadata;
    const origin = { actor: 'admin' };
    await Promise.all(
      Array.from({ length: 1200 }, (_, index) =>
        events.record({ action: 'read-only.set', object: 'registry', detail: { index }, origin }),
      ),
    );
    const reply = await api.admin.get('/audit/export?action=read-only.set');
    assert.equal(reply.headers.get('content-type'), 'application/x-ndjson; charset=utf-8');
    const lines = reply.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(lines.length, 1200);
    assert.equal(new Set(lines.map(({ id }) => id)).size, 1200);
    assertProblem(await api.olga.get('/audit/export?namespace=acme'), 403, 'denied');
  });
});
