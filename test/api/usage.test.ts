// Quotas, usage and damage in the management API.
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';

const headersOf = ({ admin }: ApiRegistry) => ({ authorization: `Bearer ${admin.secret}` });
const push = (api: ApiRegistry, name: string, tag: string, seed = tag) =>
  pushImage(api.registry.url, name, tag, seed, headersOf(api));

async function upload(api: ApiRegistry, name: string): Promise<Response> {
  return await fetch(`${api.registry.url}/v2/${name}/blobs/uploads/`, {
    method: 'POST',
    headers: headersOf(api),
  });
}

describe('quotas', () => {
  it('are those of the settings until one is set, and refuse a push with what is used and what to do', async (t) => {
    const api = await startApi(t, { 'quotas.organization': '1GiB' });
    await api.addOrganization('acme');
    const [registry, acme] = (await api.admin.get('/quotas')).body.items;
    assert.deepEqual(
      [registry.namespace, registry.kind, registry.limit.bytes],
      [null, 'registry', 'unlimited'],
    );
    assert.deepEqual(acme.quota, { bytes: null, repositories: null });
    assert.equal(acme.limit.bytes, 2 ** 30);
    await push(api, 'acme/app', 'v1');
    const set = await api.admin.put('/namespaces/acme/quota', { bytes: 10, repositories: 1 });
    assert.equal(set.status, 200);
    assert.deepEqual(set.body.limit, { bytes: 10, repositories: 1 });
    assert.ok(set.body.used.bytes > 10);
    const refused = await upload(api, 'acme/new');
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /DENIED.*namespace acme has 1 of 1 repositories/);
    const off = await api.admin.put('/namespaces/acme/quota', { bytes: 'unlimited', repositories: null });
    assert.equal(off.body.limit.bytes, 'unlimited');
    assert.equal((await upload(api, 'acme/new')).status, 202);
    const [event] = (await api.admin.get('/audit?action=quota.set')).body.items;
    assert.deepEqual([event.actor, event.namespace], ['admin', 'acme']);
  });

  it('hold for the registry as a whole', async (t) => {
    const api = await startApi(t);
    await push(api, 'acme/app', 'v1');
    assert.equal((await api.admin.put('/quota', { bytes: null, repositories: 1 })).body.namespace, null);
    const refused = await upload(api, 'other/app');
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /the registry has 1 of 1 repositories/);
  });

  it('are listed in pages, the registry first', async (t) => {
    const api = await startApi(t);
    await api.addOrganization('acme');
    const names: (string | null)[] = [];
    let path: string | undefined = '/quotas?limit=1';
    while (path !== undefined) {
      const { body }: { body: { items: { namespace: string | null }[]; next: string | null } } =
        await api.admin.get(path);
      assert.equal(body.items.length, 1);
      names.push(...body.items.map(({ namespace }) => namespace));
      path = body.next === null ? undefined : `/quotas?limit=1&cursor=${body.next}`;
    }
    assert.equal(names[0], null);
    assert.deepEqual(names.slice(1), names.slice(1).toSorted());
    assert.ok(names.includes('acme'));
  });

  it('take whole numbers alone, a namespace that is there, and the tag of what was read', async (t) => {
    const { admin, addOrganization } = await startApi(t);
    await addOrganization('acme');
    for (const bytes of [-1, 1.5, '10GiB', undefined]) {
      const body = { bytes, repositories: null };
      assertProblem(await admin.put('/namespaces/acme/quota', body), 400, 'invalid');
    }
    const quota = { bytes: 5, repositories: null };
    assertProblem(await admin.put('/namespaces/nope/quota', quota), 404, 'not-found');
    const { headers } = await admin.put('/namespaces/acme/quota', quota);
    const ifMatch = { headers: { 'if-match': headers.get('etag') ?? '' } };
    assert.equal((await admin.put('/namespaces/acme/quota', { ...quota, bytes: 6 }, ifMatch)).status, 200);
    assertProblem(await admin.put('/namespaces/acme/quota', quota, ifMatch), 412, 'precondition-failed');
  });
});

describe('usage', () => {
  it('tells what is stored and shared, and what is held and why after a delete', async (t) => {
    const api = await startApi(t);
    const { digest } = await push(api, 'acme/app', 'v1');
    await push(api, 'acme/copy', 'v1');
    const before = (await api.admin.get('/usage')).body;
    assert.equal(before.stored.blobs, 2);
    assert.deepEqual(before.shared, before.stored);
    assert.deepEqual(before.held, []);
    assert.equal(before.namespaces[0].namespace, 'acme');
    const url = `${api.registry.url}/v2/acme/app/manifests/${digest}`;
    assert.equal((await fetch(url, { method: 'DELETE', headers: headersOf(api) })).status, 202);
    await fetch(`${api.registry.url}/v2/acme/copy/manifests/${digest}`, {
      method: 'DELETE',
      headers: headersOf(api),
    });
    const after = (await api.admin.get('/usage')).body;
    assert.equal(after.reclaimable.blobs, 0);
    assert.equal(
      after.held.reduce((sum: number, { blobs }: { blobs: number }) => sum + blobs, 0),
      2,
    );
    const { body } = await api.admin.post('/operations', { kind: 'gc' });
    await api.registry.registry.operations.wait(body.id);
    const { collector } = (await api.admin.get('/status')).body;
    assert.equal(collector.last.id, body.id);
    assert.equal(collector.held[0].blobs, 2);
  });

  it('tells of a repository what it has alone, and what deleting tags would free', async (t) => {
    const api = await startApi(t);
    const first = await push(api, 'acme/app', 'v1');
    await push(api, 'acme/app', 'v2');
    await push(api, 'acme/copy', 'v1');
    const path = '/repositories/acme%2Fapp/-/usage';
    const { body } = await api.admin.get(path);
    assert.deepEqual([body.own.blobs, body.shared.blobs, body.moreTags], [2, 2, false]);
    assert.deepEqual(
      body.tags.map(({ name, exclusive }: { name: string; exclusive: { blobs: number } }) => [
        name,
        exclusive.blobs,
      ]),
      [
        ['v1', 0],
        ['v2', 2],
      ],
    );
    const freed = (await api.admin.get(`${path}?delete=tag:v2,${first.digest}`)).body;
    assert.deepEqual([freed.manifests, freed.exclusive.blobs, freed.shared.blobs], [2, 2, 2]);
    assertProblem(await api.admin.get(`${path}?delete=v2`), 400, 'invalid');
    assertProblem(await api.admin.get(`${path}?delete=tag:v2,tag:nope`), 404, 'not-found', /:nope/);
    const absent = `sha256:${'0'.repeat(64)}`;
    assertProblem(await api.admin.get(`${path}?delete=${absent}`), 404, 'not-found', /0000/);
    assertProblem(await api.admin.get('/repositories/acme%2Fnone/-/usage'), 404, 'not-found');
    assertProblem(await api.admin.get('/repositories/Acme/-/usage'), 400, 'invalid');
    const plain = await fetch(`${api.registry.url}/api/v1/repositories/acme/app/-/usage`, {
      headers: headersOf(api),
    });
    assert.deepEqual(await plain.json(), body);
  });

  it('of a namespace is for those who may read all of it', async (t) => {
    const api = await startApi(t);
    await api.addOrganization('acme');
    await push(api, 'acme/app', 'v1');
    const { body } = await api.admin.get('/namespaces/acme/usage');
    assert.ok(body.used.bytes > 0);
    const ana = await api.addUser('ana');
    assertProblem(await ana.get('/namespaces/acme/usage'), 404, 'not-found');
    await api.admin.patch('/namespaces/acme', { defaultVisibility: 'public' });
    const shown = await ana.get('/namespaces/acme/usage');
    assert.deepEqual([shown.status, shown.body.used, shown.body.limit], [200, null, null]);
    assertProblem(
      await ana.get('/repositories/acme%2Fapp/-/usage'),
      404,
      'not-found',
      /repository acme\/app/,
    );
  });
});

describe('damage', () => {
  it('is listed with what it touches and how it heals, warned of, and gone after a push', async (t) => {
    const api = await startApi(t);
    const { layer } = await push(api, 'acme/app', 'v1');
    assert.deepEqual((await api.admin.get('/damage')).body, { items: [], next: null });
    const hex = layer.slice('sha256:'.length);
    const folder = join(api.registry.data, 'blobs', 'sha256', hex.slice(0, 2));
    for (const file of await readdir(folder)) {
      if (file.startsWith(hex)) await writeFile(join(folder, file), 'rotten bytes!!');
    }
    const { body: begun } = await api.admin.post('/operations', { kind: 'scrub', deep: true });
    await api.registry.registry.operations.wait(begun.id);
    assert.equal((await api.admin.get(`/operations/${begun.id}`)).body.report.sound, false);
    const [damaged] = (await api.admin.get('/damage')).body.items;
    assert.equal(damaged.digest, layer);
    assert.deepEqual(damaged.touches, [{ repository: 'acme/app', tags: ['v1'] }]);
    assert.match(damaged.heal, /push acme\/app:v1 again/);
    const { warnings } = (await api.admin.get('/status')).body;
    assert.ok(warnings.some(({ code }: { code: string }) => code === 'damage'));
    await push(api, 'acme/app', 'v1');
    assert.deepEqual((await api.admin.get('/damage')).body.items, []);
  });
});
