// The list of repositories: what each caller sees of it, its filters, its orders and its pages.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { Visibility } from '../../src/storage/metadata-store.ts';
import { type ApiClient, type ApiRegistry, assertProblem, startApi, testOrigin } from '../support/api.ts';
import { ociIndex, pushImage, putManifest } from '../support/client.ts';

async function namesIn(client: ApiClient, query = ''): Promise<string[]> {
  const names: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const reply = await client.get(`/repositories?limit=1000${query}${more}`);
    assert.equal(reply.status, 200, reply.text);
    names.push(...reply.body.items.map(({ name }: { name: string }) => name));
    cursor = reply.body.next;
  }
  return names;
}

const add = ({ registry }: ApiRegistry, name: string, visibility: Visibility = 'private') =>
  registry.registry.metadata.repositories.add({
    name: parseRepositoryName(name),
    visibility,
    origin: testOrigin,
  });

/** A registry with repositories of all kinds. */
async function startWorld(t: TestContext): Promise<ApiRegistry> {
  const api = await startApi(t);
  await api.addOrganization('acme', 'admin');
  await add(api, 'acme/app');
  await add(api, 'acme/inner', 'internal');
  await add(api, 'acme/open', 'public');
  await add(api, 'acme/web/a');
  await add(api, 'acme/web/b');
  await add(api, 'alpine', 'public');
  await add(api, 'busybox');
  await add(api, 'sam/own');
  return api;
}

describe('the list of repositories', () => {
  it('holds what the caller may pull: nobody, users, guests, robots and tokens', async (t) => {
    const api = await startWorld(t);
    const shown = ['acme/open', 'alpine'];
    assert.deepEqual(await namesIn(api.anonymous), shown);
    const sam = await api.addUser('sam');
    assert.deepEqual(await namesIn(sam), ['acme/inner', 'acme/open', 'alpine', 'sam/own']);
    const guest = await api.addUser('gus', { guest: true });
    assert.deepEqual(await namesIn(guest), shown);
    const grant = (subject: string, object: string) =>
      api.admin.post('/namespaces/acme/grants', { subject, object, role: 'read' });
    await grant('gus', 'acme/app');
    assert.deepEqual(await namesIn(guest), ['acme/app', ...shown]);
    await grant('gus', 'acme/*/b');
    await grant('gus', 'acme/we*/a');
    assert.deepEqual(await namesIn(guest), ['acme/app', 'acme/open', 'acme/web/a', 'acme/web/b', 'alpine']);
    const robot = await api.addRobot('acme+ci');
    await grant('acme+ci', 'acme/web/**');
    assert.deepEqual(await namesIn(robot), ['acme/inner', 'acme/open', 'acme/web/a', 'acme/web/b', 'alpine']);
    const all = [
      'acme/app',
      'acme/inner',
      'acme/open',
      'acme/web/a',
      'acme/web/b',
      'alpine',
      'busybox',
      'sam/own',
    ];
    assert.deepEqual(await namesIn(api.admin), all);
    const limited = await api.signIn('admin', { patterns: ['acme/web/**', 'library/**'] });
    assert.deepEqual(await namesIn(limited), ['acme/web/a', 'acme/web/b', 'alpine', 'busybox']);
    const own = await api.signIn('sam', { patterns: ['sam/**', 'acme/open'] });
    assert.deepEqual(await namesIn(own), ['acme/open', 'sam/own']);
    const wrong = api.with({ authorization: 'Bearer berth_pat_x' });
    assertProblem(await wrong.get('/repositories'), 401, 'unauthenticated');
  });

  it('is narrowed by namespace, visibility, words and labels', async (t) => {
    const api = await startWorld(t);
    const sam = await api.addUser('sam');
    const change = (name: string, body: object) => api.admin.patch(`/repositories/${name}`, body);
    await change('acme/open', { description: 'The Shop', labels: { team: 'web', tier: '1' } });
    await change('acme/inner', { labels: { team: 'web' } });
    await change('acme/app', { labels: { team: 'web', tier: '1' } });
    for (const [query, ofAdmin, ofSam] of [
      ['&namespace=library', ['alpine', 'busybox'], ['alpine']],
      [
        '&namespace=acme',
        ['acme/app', 'acme/inner', 'acme/open', 'acme/web/a', 'acme/web/b'],
        ['acme/inner', 'acme/open'],
      ],
      ['&namespace=none', [], []],
      ['&visibility=public', ['acme/open', 'alpine'], ['acme/open', 'alpine']],
      ['&visibility=internal&namespace=acme', ['acme/inner'], ['acme/inner']],
      ['&visibility=private&namespace=sam', ['sam/own'], ['sam/own']],
      ['&q=SHOP', ['acme/open'], ['acme/open']],
      ['&q=pine', ['alpine'], ['alpine']],
      ['&label=team%3Dweb', ['acme/app', 'acme/inner', 'acme/open'], ['acme/inner', 'acme/open']],
      ['&label=team%3Dweb&label=tier%3D1', ['acme/app', 'acme/open'], ['acme/open']],
      ['&label=tier%3D1&q=shop', ['acme/open'], ['acme/open']],
      ['&label=tier%3D2', [], []],
    ] as const) {
      assert.deepEqual(await namesIn(api.admin, query), ofAdmin, query);
      assert.deepEqual(await namesIn(sam, query), ofSam, query);
    }
    assertProblem(await sam.get('/repositories?label=team'), 400, 'invalid', /key=value/);
    assertProblem(await sam.get('/repositories?digest=x'), 400, 'invalid');
    assertProblem(await sam.get('/repositories?sort=size'), 400, 'invalid', /-pushedAt/);
  });

  it('tells where a digest lives, under which tags, since when, and nothing of what the caller may not see', async (t) => {
    const api = await startWorld(t);
    const { url } = api.registry;
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const sam = await api.addUser('sam');
    const image = await pushImage(url, 'acme/open', 'v1', 'v1', headers);
    await pushImage(url, 'acme/app', 'secret', 'v1', headers);
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [image.descriptor] };
    assert.equal((await putManifest(url, 'acme/open', 'latest', index, ociIndex, headers)).status, 201);
    for (const digest of [image.digest, image.layer]) {
      const { items } = (await sam.get(`/repositories?digest=${digest}`)).body;
      assert.deepEqual(
        items.map(({ name }: { name: string }) => name),
        ['acme/open'],
      );
      const [{ found }] = items;
      assert.deepEqual(
        found.tags.map(({ name }: { name: string }) => name),
        ['latest', 'v1'],
      );
      assert.ok(Date.parse(found.since) > 0 && Date.parse(found.tags[0].since) > 0);
      assert.deepEqual(await namesIn(api.admin, `&digest=${digest}`), ['acme/app', 'acme/open']);
      assert.deepEqual(await namesIn(api.admin, `&digest=${digest}&namespace=acme&q=app`), ['acme/app']);
    }
    assert.deepEqual(await namesIn(api.admin, `&digest=sha256:${'0'.repeat(64)}`), []);
    const plain = await sam.get('/repositories?q=open');
    assert.equal(plain.body.items[0].found, undefined);
  });

  it('goes by last push and last pull, too', async (t) => {
    const api = await startWorld(t);
    const { url, registry } = api.registry;
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const pull = (name: string, lastAt: number) => {
      const repository = parseRepositoryName(name);
      const digest = `sha256:${'0'.repeat(64)}` as never;
      return registry.metadata.manifests.recordPulls([{ repository, digest, pulls: 1, lastAt }]);
    };
    await pushImage(url, 'acme/open', 'v1', 'v1', headers);
    await pull('alpine', 2_000_000_000);
    await pull('acme/open', 2_000_000_001);
    assert.deepEqual(await namesIn(api.anonymous, '&sort=-pushedAt'), ['acme/open', 'alpine']);
    assert.equal((await namesIn(api.admin, '&sort=-pushedAt'))[0], 'acme/open');
    assert.deepEqual((await namesIn(api.admin, '&sort=-pulledAt')).slice(0, 2), ['acme/open', 'alpine']);
    for (const sort of ['name', '-pushedAt', '-pulledAt']) {
      const whole = await namesIn(api.admin, `&sort=${sort}`);
      const paged: string[] = [];
      for (let path: string | null = `/repositories?limit=3&sort=${sort}`; path !== null; ) {
        const reply = await api.admin.get(path);
        paged.push(...reply.body.items.map(({ name }: { name: string }) => name));
        path = reply.body.next && `/repositories?limit=3&sort=${sort}&cursor=${reply.body.next}`;
      }
      assert.deepEqual(paged, whole, sort);
    }
    const { next } = (await api.admin.get('/repositories?limit=1')).body;
    assertProblem(
      await api.admin.get(`/repositories?sort=-pushedAt&cursor=${next}`),
      400,
      'invalid',
      /cursor/,
    );
  });
});

describe('among thousands of repositories', () => {
  it('whoever sees few finds them in one page, and a filter that fits little ends one early', async (t) => {
    const many = 5400;
    const api = await startApi(t);
    await api.addOrganization('big', 'admin');
    const sam = await api.addUser('sam');
    const numbers = Array.from({ length: many }, (_, index) => String(index).padStart(5, '0'));
    await Promise.all(numbers.map((number) => add(api, `big/r${number}`)));
    await Promise.all(['big/pub-1', 'big/pub-2'].map((name) => add(api, name, 'public')));
    await api.admin.post('/namespaces/big/grants', { subject: 'sam', object: 'big/r00777', role: 'read' });

    for (const sort of ['name', '-pushedAt']) {
      const reply = await sam.get(`/repositories?sort=${sort}`);
      assert.equal(reply.body.next, null);
      const names = reply.body.items.map(({ name }: { name: string }) => name).toSorted();
      assert.deepEqual(names, ['big/pub-1', 'big/pub-2', 'big/r00777']);
      // All of them come once, in each order.
      const all = await namesIn(api.admin, `&sort=${sort}`);
      assert.deepEqual([all.length, new Set(all).size], [many + 2, many + 2]);
    }
    const first = await api.admin.get('/repositories?q=r05399');
    assert.deepEqual(first.body.items, []);
    assert.notEqual(first.body.next, null);
    const second = await api.admin.get(`/repositories?q=r05399&cursor=${first.body.next}`);
    assert.deepEqual([second.body.items[0].name, second.body.next], ['big/r05399', null]);
  });
});
