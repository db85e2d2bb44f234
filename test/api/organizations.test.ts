// Namespaces, organizations, their members and teams in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DiskFullError } from '../../src/storage/faults.ts';
import { assertProblem, startApi } from '../support/api.ts';

const namesIn = ({ body }: { body: { items: { name: string }[] } }) => body.items.map(({ name }) => name);

describe('founding an organization', () => {
  it('is for administrators, unless users may', async (t) => {
    const strict = await startApi(t);
    const sten = await strict.addUser('sten');
    assertProblem(
      await sten.post('/organizations', { name: 'acme' }),
      403,
      'denied',
      /organizationsCreatedBy/,
    );
    const made = await strict.admin.post('/organizations', {
      name: 'acme',
      defaultVisibility: 'internal',
      description: 'We',
    });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('location'), '/api/v1/namespaces/acme');
    assert.deepEqual(
      [made.body.kind, made.body.defaultVisibility, made.body.description],
      ['organization', 'internal', 'We'],
    );
    assert.deepEqual((await strict.admin.get('/organizations/acme/members')).body.items, [
      { name: 'admin', role: 'owner' },
    ]);
    for (const name of ['acme', 'sten'])
      assertProblem(await strict.admin.post('/organizations', { name }), 409, 'exists');
    assertProblem(await strict.admin.post('/organizations', { name: 'library' }), 400, 'invalid', /reserved/);
  });

  it('is for users where the setting says so, guests excepted', async (t) => {
    const free = await startApi(t, { 'access.organizationsCreatedBy': 'users' });
    const ana = await free.addUser('ana');
    const gus = await free.addUser('gus', { guest: true });
    const robot = await free.addRobot('ana+ci');
    assert.equal((await ana.post('/organizations', { name: 'acme' })).status, 201);
    assert.deepEqual(namesIn(await ana.get('/organizations/acme/members')), ['ana']);
    assertProblem(await gus.post('/organizations', { name: 'beta' }), 403, 'denied');
    assertProblem(await robot.post('/organizations', { name: 'beta' }), 403, 'denied');
  });

  it('gives what was pushed while nobody owned it to no user: only administrators take it over', async (t) => {
    const free = await startApi(t, { 'access.organizationsCreatedBy': 'users' });
    const ana = await free.addUser('ana');
    const type = 'application/vnd.oci.image.index.v1+json';
    const pushed = await fetch(`${free.registry.url}/v2/legacy/app/manifests/v1`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${free.admin.secret}`, 'content-type': type },
      body: JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [] }),
    });
    assert.equal(pushed.status, 201);
    assertProblem(await ana.post('/organizations', { name: 'legacy' }), 409, 'exists', /is taken/);
    assertProblem(await ana.get('/namespaces/legacy'), 404, 'not-found');
    const made = await free.admin.post('/organizations', { name: 'legacy' });
    assert.deepEqual([made.status, made.body.adopted], [201, 1]);
  });
});

describe('members', () => {
  it('are made and unmade by owners, may leave by themselves, and never leave nobody behind', async (t) => {
    const { admin, addUser, addOrganization } = await startApi(t);
    const olga = await addUser('olga');
    const mia = await addUser('mia');
    await addOrganization('acme', 'olga');
    const path = '/organizations/acme/members';
    assertProblem(await mia.get(path), 404, 'not-found', /no organization acme/);
    assert.equal((await olga.put(`${path}/mia`, { role: 'member' })).status, 201);
    assert.equal((await olga.put(`${path}/mia`, { role: 'member' })).status, 200);
    assert.deepEqual(namesIn(await mia.get(path)), ['mia', 'olga']);
    assertProblem(await mia.put(`${path}/mia`, { role: 'owner' }), 403, 'denied', /an owner/);
    assertProblem(await mia.delete(`${path}/olga`), 403, 'denied');
    assertProblem(await olga.put(`${path}/nemo`, { role: 'member' }), 404, 'not-found');
    assertProblem(await olga.put(`${path}/olga`, { role: 'member' }), 409, 'conflict', /last owner/);
    assertProblem(await olga.delete(`${path}/olga`), 409, 'conflict', /last owner/);
    assert.equal((await mia.delete(`${path}/mia`)).status, 204);
    assertProblem(await mia.delete(`${path}/mia`), 404, 'not-found');
    assertProblem(await admin.put('/organizations/mia/members/olga', { role: 'member' }), 404, 'not-found');
  });
});

describe('teams', () => {
  it('hold members of the organization, and grants to them come and go with them', async (t) => {
    const { addUser, addOrganization } = await startApi(t);
    const olga = await addUser('olga');
    const bob = await addUser('bob');
    await addOrganization('acme', 'olga');
    await addOrganization('shop', 'olga');
    const teams = '/organizations/acme/teams';
    assert.equal((await olga.post(teams, { name: 'dev' })).status, 201);
    assertProblem(await olga.post(teams, { name: 'dev' }), 409, 'exists');
    assertProblem(await olga.post(teams, { name: 'De v' }), 400, 'invalid');
    const added = await olga.put(`${teams}/dev/members/bob`);
    assert.equal(added.status, 201);
    assert.equal(added.headers.get('location'), '/api/v1/organizations/acme/teams/dev/members/bob');
    assert.equal((await olga.put(`${teams}/dev/members/bob`)).status, 200);
    assertProblem(await olga.put(`${teams}/ops/members/bob`), 404, 'not-found', /team ops/);
    assertProblem(
      await olga.put('/organizations/shop/teams/dev/members/bob'),
      404,
      'not-found',
      /team dev of shop/,
    );
    const grant = { subject: 'team:acme/dev', object: 'acme/**', role: 'write' };
    assert.equal((await olga.post('/namespaces/acme/grants', grant)).status, 201);
    const access = async () => (await bob.get('/access?repository=acme/web')).body;
    assert.equal((await access()).role, 'write');
    assert.equal((await access()).because[0].grant.subject, 'team:acme/dev');
    assert.deepEqual((await bob.get(teams)).body.items, [{ name: 'dev', members: 1 }]);
    assert.deepEqual(namesIn(await bob.get(`${teams}/dev/members`)), ['bob']);
    assert.equal((await olga.delete(`${teams}/dev/members/bob`)).status, 204);
    assertProblem(await olga.delete(`${teams}/dev/members/bob`), 404, 'not-found');
    assert.equal((await access()).role, null);
    assert.deepEqual((await olga.delete(`${teams}/dev?dryRun=true`)).body, {
      dryRun: true,
      removes: ['team:acme/dev'],
      members: 0,
    });
    assert.equal((await olga.delete(`${teams}/dev`)).status, 204);
    assertProblem(await olga.delete(`${teams}/dev`), 404, 'not-found');
    assert.deepEqual((await olga.get('/namespaces/acme/grants')).body.items, []);
  });
});

describe('namespaces', () => {
  it('are seen by whoever has something there, or where what is new is seen anyway', async (t) => {
    const { admin, addUser, addOrganization, anonymous } = await startApi(t);
    const sten = await addUser('sten');
    const gus = await addUser('gus', { guest: true });
    for (const name of ['closed', 'inner', 'open']) await addOrganization(name, 'admin');
    await admin.patch('/namespaces/inner', { defaultVisibility: 'internal' });
    await admin.patch('/namespaces/open', { defaultVisibility: 'public' });
    assert.deepEqual(namesIn(await sten.get('/namespaces')), ['inner', 'open', 'sten']);
    assert.deepEqual(namesIn(await gus.get('/namespaces')), ['open']);
    assert.deepEqual(namesIn(await sten.get('/namespaces?kind=organization&limit=1')), ['inner']);
    assert.equal((await anonymous.get('/namespaces/open')).status, 200);
    assertProblem(await anonymous.get('/namespaces/closed'), 401, 'unauthenticated');
    assertProblem(await sten.get('/namespaces/closed'), 404, 'not-found');
    const grant = { subject: 'gus', object: 'closed/web', role: 'read' };
    assert.equal((await admin.post('/namespaces/closed/grants', grant)).status, 201);
    assert.equal(
      (await gus.get('/namespaces/closed')).body.usage,
      null,
      'how much is there is for who may read it all',
    );
    assert.deepEqual((await admin.get('/namespaces/closed')).body.usage, { repositories: 0, size: 0 });
    assertProblem(
      await gus.patch('/namespaces/closed', { description: 'x' }),
      403,
      'denied',
      /the role admin/,
    );
  });

  it('go on in pages past those that are not seen', async (t) => {
    const { addUser, addOrganization, admin } = await startApi(t);
    const sten = await addUser('sten');
    for (const name of ['o1', 'o2', 'o3', 'o4', 'o5']) await addOrganization(name, 'admin');
    for (const name of ['o2', 'o5'])
      await admin.patch(`/namespaces/${name}`, { defaultVisibility: 'public' });
    const first = await sten.get('/namespaces?limit=2');
    assert.deepEqual(namesIn(first), ['o2', 'o5']);
    assert.deepEqual(namesIn(await sten.get(`/namespaces?limit=2&cursor=${first.body.next}`)), ['sten']);
  });

  it('library and system are kept by administrators, whatever was granted in them', async (t) => {
    const { admin, addUser } = await startApi(t);
    const ana = await addUser('ana');
    const grant = { subject: 'ana', object: 'library/**', role: 'admin' };
    assert.equal((await admin.post('/namespaces/library/grants', grant)).status, 201);
    for (const path of ['robots', 'grants']) {
      assertProblem(await ana.get(`/namespaces/library/${path}`), 403, 'denied');
    }
    assertProblem(await ana.patch('/namespaces/library', { description: 'mine' }), 403, 'denied');
    assert.equal(
      (await admin.post('/namespaces/system/robots', { name: 'scanner' })).body.name,
      'system+scanner',
    );
  });
});

describe('removing an organization', () => {
  it('takes robots, teams and grants along, keeps the name, and is for owners', async (t) => {
    const { addUser, addOrganization, addRobot, admin } = await startApi(t);
    const olga = await addUser('olga');
    const mia = await addUser('mia');
    await addOrganization('acme', 'olga');
    await olga.put('/organizations/acme/members/mia', { role: 'member' });
    const robot = await addRobot('acme+ci');
    assertProblem(await mia.delete('/organizations/acme'), 403, 'denied', /an owner/);
    const plan = await olga.delete('/organizations/acme?dryRun=true');
    assert.deepEqual(plan.body, { dryRun: true, removes: ['organization:acme'], repositories: 0 });
    assert.equal((await olga.delete('/organizations/acme')).status, 204);
    assertProblem(await olga.get('/namespaces/acme'), 404, 'not-found');
    assertProblem(await robot.get('/me'), 401, 'unauthenticated');
    assertProblem(await admin.post('/organizations', { name: 'acme' }), 409, 'exists', /removed/);
    assertProblem(await admin.delete('/organizations/olga'), 404, 'not-found');
  });

  it('goes on a full disk, too: the ballast gives it the room', async (t) => {
    const api = await startApi(t);
    await api.addOrganization('acme');
    const { organizations } = api.registry.registry.metadata.accounts;
    const remove = organizations.remove.bind(organizations);
    let full = true;
    organizations.remove = async (options) => {
      if (!full) return await remove(options);
      full = false;
      throw new DiskFullError('database or disk is full');
    };
    assert.equal((await api.admin.delete('/organizations/acme')).status, 204);
  });
});
