// Deleted repositories in /deleted: who sees them, under which names they come back, what is given up.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type ApiClient, assertProblem, startApi, testOrigin } from '../support/api.ts';
import { pushImage } from '../support/client.ts';

const headersOf = ({ secret }: ApiClient) => ({ authorization: `Bearer ${secret}` });

async function startShop(...[t, settings]: Parameters<typeof startApi>) {
  const api = await startApi(t, settings);
  await api.addOrganization('acme');

  const grant = async (subject: string, pattern: string, role: 'read' | 'write' | 'maintain' | 'admin') => {
    const namespace = pattern.split('/')[0] ?? '';
    await api.accounts.grants.put({ namespace, subject, pattern, role, origin: testOrigin });
  };
  const push = async (name: string, tag = 'v1', seed = tag) =>
    await pushImage(api.registry.url, name, tag, seed, headersOf(api.admin));
  const deletedAs = async (name: string): Promise<string> => {
    assert.equal((await api.admin.delete(`/repositories/${name}`)).status, 204);
    return (await api.admin.get('/deleted?kind=repository')).body.items[0].id;
  };
  return { ...api, grant, push, deletedAs };
}

const restore = (who: ApiClient, id: string, body?: unknown, query = '') =>
  who.post(`/deleted/${id}/restore${query}`, body);

it('a deleted repository is listed first for its admins, and comes back with all that it had', async (t) => {
  const { admin, addUser, grant, push, deletedAs, registry } = await startShop(t);
  const [ada, mia] = [await addUser('ada'), await addUser('mia')];
  await grant('ada', 'acme/web', 'admin');
  await grant('mia', 'acme/**', 'maintain');
  const { digest } = await push('acme/web');
  const other = await push('acme/db', 'v1', 'db');
  await admin.delete(`/repositories/acme/db/-/manifests/${other.digest}`);
  await admin.patch('/repositories/acme/web', { labels: { team: 'shop' }, readme: '# Web' });
  const before = (await admin.get('/repositories/acme/web')).body;
  const id = await deletedAs('acme/web');
  const listed = async (who: ApiClient, query = '') =>
    (await who.get(`/deleted${query}`)).body.items.map((item: { id: string }) => item.id);
  const [first, second] = (await admin.get('/deleted')).body.items;
  assert.match(first.id, /^repository-\d+$/);
  assert.deepEqual([first.kind, first.repository, first.digest], ['repository', 'acme/web', null]);
  assert.ok(first.size > 0);
  assert.match(first.restorableUntil, /^\d{4}-/);
  assert.equal(second.kind, 'manifest');
  assert.deepEqual(await listed(ada), [id]);
  assert.deepEqual(await listed(mia), [second.id]);
  assert.deepEqual(await listed(admin, '?kind=repository&repository=acme/db'), []);
  assert.deepEqual(await listed(admin, '?repository=acme/web'), [id]);
  const page = (await admin.get('/deleted?limit=1')).body;
  assert.deepEqual(await listed(admin, `?limit=1&cursor=${page.next}`), [second.id]);
  assertProblem(await restore(mia, id), 404, 'not-found');
  assertProblem(await restore(ada, 'repository-999'), 404, 'not-found');
  const back = { repository: 'acme/web', restored: [], tags: [], taken: [] };
  assert.deepEqual((await restore(ada, id, undefined, '?dryRun=true')).body, { dryRun: true, ...back });
  assertProblem(await admin.get('/repositories/acme/web'), 404, 'not-found');
  assert.deepEqual((await restore(ada, id)).body, back);
  assertProblem(await restore(ada, id), 404, 'not-found');
  const after = (await admin.get('/repositories/acme/web')).body;
  assert.deepEqual(after, before);
  const pull = await fetch(`${registry.url}/v2/acme/web/manifests/v1`, { headers: headersOf(admin) });
  assert.equal(pull.headers.get('docker-content-digest'), digest);
});

it('it comes back under another name where its own is taken, for who may make that one', async (t) => {
  const { admin, addUser, grant, push, deletedAs } = await startShop(t);
  const ada = await addUser('ada');
  await grant('ada', 'acme/web', 'admin');
  await push('acme/web');
  const id = await deletedAs('acme/web');
  await push('acme/web', 'v2');
  await push('acme/old');
  await admin.patch('/repositories/acme/old', { name: 'acme/older' });
  for (const query of ['', '?dryRun=true'])
    assertProblem(await restore(ada, id, undefined, query), 409, 'exists', /is taken.*--as NAME/);
  assertProblem(await restore(ada, id, { name: 'acme/saved' }), 403, 'denied');
  assertProblem(await restore(admin, id, { name: 'acme/old' }), 409, 'exists', /old name of acme\/older/);
  assertProblem(await restore(admin, id, { name: 'Acme' }), 400, 'invalid');
  assertProblem(await restore(admin, id, { as: 'acme/saved' }), 400, 'invalid');
  await grant('ada', 'acme/saved', 'write');
  assert.equal((await restore(ada, id, { name: 'acme/saved' })).body.repository, 'acme/saved');
  assert.equal((await admin.get('/repositories/acme/saved')).body.tags, 1);
  const [event] = (await admin.get('/audit?action=repository.restore')).body.items;
  assert.deepEqual([event.object, event.actor], ['repository:acme/saved', 'ada']);
  const manifest = await push('acme/web', 'v3');
  await admin.delete(`/repositories/acme/web/-/manifests/${manifest.digest}`);
  const [{ id: other }] = (await admin.get('/deleted?kind=manifest')).body.items;
  assertProblem(await restore(admin, other, { name: 'acme/saved' }), 400, 'invalid', /only a repository/);
});

it('it comes back elsewhere where its namespace is gone, and not while the registry is read-only', async (t) => {
  const { admin, addUser, push } = await startShop(t);
  await addUser('sam');
  await push('sam/web');
  assert.equal((await admin.delete('/users/sam?deleteRepositories=true')).status, 204);
  const [{ id }] = (await admin.get('/deleted')).body.items;
  assertProblem(await restore(admin, id), 409, 'conflict', /namespace of sam\/web was removed.*--as NAME/);
  await admin.put('/read-only', { readOnly: true });
  assertProblem(await restore(admin, id, { name: 'acme/web' }), 503, 'read-only');
  await admin.put('/read-only', { readOnly: false });
  assert.equal((await restore(admin, id, { name: 'acme/web' })).status, 200);
});

it('administrators give it up', async (t) => {
  const { admin, addUser, grant, push, deletedAs } = await startShop(t);
  const ada = await addUser('ada');
  await grant('ada', 'acme/web', 'admin');
  await push('acme/web');
  const id = await deletedAs('acme/web');
  assertProblem(await ada.delete(`/deleted/${id}`), 403, 'denied');
  assert.equal((await admin.delete(`/deleted/${id}?dryRun=true`)).body.purges.repository, 'acme/web');
  assert.equal((await admin.delete(`/deleted/${id}`)).status, 204);
  assertProblem(await restore(admin, id), 404, 'not-found');
  assert.deepEqual((await admin.get('/deleted')).body.items, []);
  const [event] = (await admin.get('/audit?action=repository.purge')).body.items;
  assert.equal(event.object, 'repository:acme/web');
});
