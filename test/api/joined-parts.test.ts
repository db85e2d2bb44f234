// Where parts meet: rules and moves, copies and rules, signatures and the trash, warnings side by side, events of every change.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { readContent } from '../../src/webhooks/content-events.ts';
import { type ApiClient, assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import type { Settings } from '../support/registry.ts';

const headersOf = ({ secret }: ApiClient) => ({ authorization: `Bearer ${secret}` });

async function start(t: Parameters<typeof startApi>[0], settings: Settings = {}) {
  const api = await startApi(t, settings);
  const { admin, registry } = api;
  const { metadata } = registry.registry;
  for (const organization of ['acme', 'shop']) await api.addOrganization(organization);
  const push = async (name: string, tag: string, seed = tag): Promise<string> =>
    (await pushImage(registry.url, name, tag, seed, headersOf(admin))).digest;
  const setRules = async (kind: 'protection' | 'retention', namespace: string, body: object) => {
    const path = `/namespaces/${namespace}/${kind}-rules`;
    const etag = (await admin.get(path)).headers.get('etag') ?? '';
    const set = await admin.put(path, body, { headers: { 'if-match': etag } });
    assert.equal(set.status, 200, set.text);
  };
  return {
    ...api,
    metadata,
    push,
    setRules,
    protect: (repositories: string, tags: string, rule = 'immutable') =>
      setRules('protection', repositories.split('/')[0] ?? '', { items: [{ repositories, tags, rule }] }),
    rulesOf: async (kind: 'protection' | 'retention', namespace: string) =>
      (await admin.get(`/namespaces/${namespace}/${kind}-rules`)).body,
    /** What the outside is told of what happens in `act`. */
    told: async (act: () => Promise<unknown>) => {
      const from = await metadata.events.newest();
      await act();
      const { items } = await readContent(metadata.events, from, 100);
      for (const { kind, type, mediaType, size } of items)
        if (type === 'push') assert.ok(mediaType !== undefined && size !== undefined, kind);
      return items.map(({ type, kind, repository, tag }) =>
        [type, kind, repository, tag].filter((part) => part !== undefined).join(' '),
      );
    },
    sign: async (repository: string, digest: string) => {
      const signature = { name: '0'.repeat(32), content: Buffer.from('signed') };
      const place = { repository: repository as RepositoryName, digest: digest as Digest };
      const origin = { actor: 'admin' };
      assert.equal(await metadata.signatures.add({ ...place, signature, most: 10, origin }), 'added');
    },
    signatures: async (repository: string, digest: string) =>
      (await metadata.signatures.list(repository as RepositoryName, digest as Digest)).length,
  };
}

it('a repository with a protected tag is not deleted, and says so beforehand', async (t) => {
  const { admin, push, protect } = await start(t);
  await push('acme/web', 'v1');
  await push('acme/web', 'latest');
  await protect('acme/**', 'v*', 'no-delete');
  for (const query of ['', '?dryRun=true'])
    assertProblem(
      await admin.delete(`/repositories/acme/web${query}`),
      409,
      'immutable',
      /has tag v1, which is no-delete/,
    );
  assert.equal((await admin.get('/repositories/acme/web')).status, 200);
  const shown = (await admin.get('/repositories/acme/web/-/tags')).body.items;
  assert.deepEqual(
    shown.map(({ name, immutable }: { name: string; immutable: string }) => [name, immutable]),
    [
      ['latest', null],
      ['v1', 'no-delete'],
    ],
  );
  assert.equal((await admin.get('/repositories/acme/web/-/tags/v1')).body.immutable, 'no-delete');
  const digest = await push('acme/web', 'other');
  const set = await admin.put('/repositories/acme/web/-/tags/v3', { digest });
  assert.equal(set.body.immutable, 'no-delete');
});

it('rules that name exactly a repository go along when it moves', async (t) => {
  const { admin, push, protect, setRules, rulesOf } = await start(t);
  const digest = await push('acme/web', 'v1');
  await protect('acme/web', 'v*');
  const policy = { repositories: ['acme/web', 'acme/db'], keepTags: [{ mostRecentlyPushedCount: 3 }] };
  await setRules('retention', 'acme', { policies: [policy] });
  const move = async (from: string, name: string) => {
    const moved = await admin.patch(`/repositories/${from}`, { name });
    assert.equal(moved.status, 200, moved.text);
    assertProblem(await admin.delete(`/repositories/${name}`), 409, 'immutable', /rule v\* of /);
    assertProblem(await admin.delete(`/repositories/${name}/-/tags/v1`), 409, 'immutable');
    assert.equal((await admin.get(`/repositories/${name}/-/tags/v1`)).body.immutable, 'immutable');
    const other = await push(name, 'other', name);
    assertProblem(await admin.put(`/repositories/${name}/-/tags/v1`, { digest: other }), 409, 'immutable');
  };
  await move('acme/web', 'acme/shop');
  assert.deepEqual((await rulesOf('retention', 'acme')).policies[0].repositories, ['acme/shop', 'acme/db']);
  await move('acme/shop', 'shop/web');
  const { items } = await rulesOf('protection', 'shop');
  assert.deepEqual(
    items.map((rule: { repositories: string }) => rule.repositories),
    ['shop/web'],
  );
  assert.deepEqual((await rulesOf('protection', 'acme')).items, []);
  assert.equal((await admin.get('/repositories/shop/web/-/tags/v1')).body.digest, digest);
});

it('a copy, a restore and a manifest that comes back leave an immutable tag where it is', async (t) => {
  const { admin, push, protect } = await start(t);
  const first = await push('acme/web', 'v1', 'first');
  await push('shop/web', 'v1', 'from elsewhere');
  assert.equal((await admin.delete(`/repositories/acme/web/-/manifests/${first}`)).status, 204);
  const [{ id }] = (await admin.get('/deleted?kind=manifest')).body.items;
  const second = await push('acme/web', 'v1', 'second');
  await protect('acme/**', 'v*');
  const tag = '/repositories/acme/web/-/tags/v1';
  const from = { repository: 'shop/web', reference: 'v1' };
  for (const query of ['?dryRun=true', ''])
    for (const body of [{ from }, { digest: first }])
      assertProblem(await admin.put(`${tag}${query}`, body), 409, 'immutable', /v1 is immutable/);
  const restored = await admin.post(`/deleted/${id}/restore`);
  assert.deepEqual([restored.body.tags, restored.body.taken], [[], ['v1']]);
  assert.equal((await admin.get(tag)).body.digest, second);
  // One that is not there may be set, by a copy too.
  const fresh = await admin.put('/repositories/acme/web/-/tags/v2', { from });
  assert.deepEqual([fresh.status, fresh.body.immutable], [201, 'immutable']);
});

it('a copy makes no repository where pushes make none', async (t) => {
  const { admin, push } = await start(t, { 'access.createOnPush': 'false' });
  await admin.post('/repositories', { name: 'acme/web' });
  await push('acme/web', 'v1');
  const body = { from: { repository: 'acme/web', reference: 'v1' } };
  for (const query of ['?dryRun=true', ''])
    assertProblem(
      await admin.put(`/repositories/acme/new/-/tags/v1${query}`, body),
      409,
      'conflict',
      /berth repo add acme\/new/,
    );
  assertProblem(await admin.get('/repositories/acme/new'), 404, 'not-found');
  assert.equal((await admin.post('/repositories', { name: 'acme/new' })).status, 201);
  assert.equal((await admin.put('/repositories/acme/new/-/tags/v1', body)).status, 201);
});

it('signatures come back with their manifest, and go along when the repository moves or is restored', async (t) => {
  const { admin, push, sign, signatures } = await start(t);
  const digest = await push('acme/web', 'v1');
  await sign('acme/web', digest);
  assert.equal((await admin.get('/repositories/acme/web/-/tags/v1')).body.signed, true);
  assert.equal((await admin.get('/repositories/acme/web/-/tags?signed=true')).body.items.length, 1);
  await admin.delete(`/repositories/acme/web/-/manifests/${digest}`);
  const [{ id }] = (await admin.get('/deleted?kind=manifest')).body.items;
  assert.deepEqual((await admin.post(`/deleted/${id}/restore`)).body.tags, ['v1']);
  assert.equal(await signatures('acme/web', digest), 1);
  await admin.patch('/repositories/acme/web', { name: 'shop/web' });
  assert.equal(await signatures('shop/web', digest), 1);
  assert.equal((await admin.get('/repositories/shop/web/-/tags/v1')).body.signed, true);
  await admin.delete('/repositories/shop/web');
  const [{ id: whole }] = (await admin.get('/deleted?kind=repository')).body.items;
  await admin.post(`/deleted/${whole}/restore`, { name: 'acme/back' });
  assert.equal(await signatures('acme/back', digest), 1);
  const from = { repository: 'acme/back', reference: 'v1' };
  await admin.put('/repositories/acme/plain/-/tags/v1', { from });
  assert.equal((await admin.get('/repositories/acme/plain/-/tags/v1')).body.signed, false);
  await admin.put('/repositories/acme/signed/-/tags/v1', { from, referrers: true });
  assert.equal((await admin.get('/repositories/acme/signed/-/tags/v1')).body.signed, true);
});

it('each change of content is told of once', async (t) => {
  const { admin, push, told } = await start(t);
  assert.deepEqual(await told(() => push('acme/web', 'v1')), ['push manifest acme/web v1']);
  const digest = await push('acme/web', 'v1');
  await push('acme/web', 'v2');
  const tag = (name: string) => `/repositories/acme/web/-/tags/${name}`;
  assert.deepEqual(await told(() => admin.put(tag('stable'), { digest })), ['push tag acme/web stable']);
  assert.deepEqual(await told(() => admin.put(tag('stable'), { digest })), []);
  assert.deepEqual(await told(() => admin.put(`${tag('new')}?dryRun=true`, { digest })), []);
  const from = { repository: 'acme/web', reference: 'v1' };
  const copied = await told(() => admin.put('/repositories/shop/web/-/tags/v1', { from }));
  assert.deepEqual(
    copied.filter((one) => !one.startsWith('mount')),
    ['push manifest shop/web', 'push tag shop/web v1'],
  );
  const manifest = `/repositories/acme/web/-/manifests/${digest}`;
  assert.deepEqual((await told(() => admin.delete(manifest))).sort(), [
    'delete manifest acme/web',
    'delete tag acme/web stable',
    'delete tag acme/web v1',
  ]);
  const [{ id }] = (await admin.get('/deleted?kind=manifest')).body.items;
  assert.deepEqual((await told(() => admin.post(`/deleted/${id}/restore`))).sort(), [
    'push manifest acme/web',
    'push tag acme/web stable',
    'push tag acme/web v1',
  ]);
  assert.deepEqual(await told(() => admin.delete('/repositories/acme/web')), ['delete repository acme/web']);
  const [{ id: whole }] = (await admin.get('/deleted?kind=repository')).body.items;
  assert.deepEqual(await told(() => admin.post(`/deleted/${whole}/restore?dryRun=true`)), []);
});

it('an old name and a notice of deprecation are two warnings, within one bound', async (t) => {
  const { admin, push, registry } = await start(t);
  await push('acme/web', 'v1');
  await admin.patch('/repositories/acme/web', { name: 'acme/shop' });
  const notice = async (message: string) => {
    await admin.patch('/repositories/acme/shop/-/tags/v1', { deprecation: { message } });
    const url = `${registry.url}/v2/acme/web/manifests/v1`;
    const pulled = await fetch(url, { headers: headersOf(admin) });
    assert.equal(pulled.status, 200);
    return Buffer.from(pulled.headers.get('warning') ?? '', 'latin1').toString('utf8');
  };
  assert.equal(
    await notice('"grün" \\ alt'),
    '299 - "repository acme/web was moved to acme/shop: use that name", ' +
      '299 - "acme/shop:v1 is deprecated: \'grün\' \\\\ alt"',
  );
  const longest = await notice('ü'.repeat(1900));
  assert.ok(Buffer.byteLength(longest) - ', '.length <= 4096);
  assert.match(longest, /ü"$/);
});
