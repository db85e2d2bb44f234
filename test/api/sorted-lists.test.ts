// ?sort= of lists: which lists take which orders, that pages of each order hold everything once, and that a cursor is of its order.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type ApiClient, assertProblem } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { shareApi } from '../support/shared-api.ts';

interface Row {
  readonly id: number;
  readonly name: string;
  readonly namespace: string | null;
}

const byName = ['name', '-name'];
const byCreation = ['createdAt', '-createdAt'];
/** Every list that can be sorted, in the test's world, and its orders: the first holds unless told. */
const lists: Readonly<Record<string, { readonly path: string; readonly orders: readonly string[] }>> = {
  '/users': { path: '/users', orders: [...byName, ...byCreation] },
  '/users/{user}/tokens': { path: '/users/ana/tokens', orders: byCreation },
  '/users/{user}/sessions': { path: '/users/ana/sessions', orders: byCreation },
  '/namespaces': { path: '/namespaces', orders: byName },
  '/organizations/{organization}/members': { path: '/organizations/acme/members', orders: byName },
  '/organizations/{organization}/teams': { path: '/organizations/acme/teams', orders: byName },
  '/organizations/{organization}/teams/{team}/members': {
    path: '/organizations/acme/teams/a/members',
    orders: byName,
  },
  '/namespaces/{namespace}/robots': { path: '/namespaces/acme/robots', orders: byName },
  '/namespaces/{namespace}/robots/{robot}/tokens': {
    path: '/namespaces/acme/robots/acme+a/tokens',
    orders: byCreation,
  },
  '/namespaces/{namespace}/grants': { path: '/namespaces/acme/grants', orders: byCreation },
  '/grants': { path: '/grants', orders: byCreation },
  '/namespaces/{namespace}/webhooks': { path: '/namespaces/acme/webhooks', orders: byCreation },
  '/quotas': { path: '/quotas', orders: byName },
  '/repositories': {
    path: '/repositories',
    orders: [...byName, 'pushedAt', '-pushedAt', 'pulledAt', '-pulledAt'],
  },
  '/repositories/{repository}/-/aliases': { path: '/repositories/acme/c/-/aliases', orders: byCreation },
  '/repositories/{repository}/-/tags': {
    path: '/repositories/acme/c/-/tags',
    orders: [
      ...byName,
      'pushedAt',
      '-pushedAt',
      'pulledAt',
      '-pulledAt',
      'size',
      '-size',
      'semver',
      '-semver',
    ],
  },
};

const keyOf = ({ id, name, namespace }: Row) => id ?? name ?? namespace ?? '(registry)';

async function allOf(client: ApiClient, path: string, query: string) {
  const keys: (string | number)[] = [];
  const cursors: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const reply = await client.get(
      `${path}?limit=2${query}${cursor === undefined ? '' : `&cursor=${cursor}`}`,
    );
    assert.equal(reply.status, 200, `${path} ${query}: ${reply.text}`);
    keys.push(...reply.body.items.map(keyOf));
    cursor = reply.body.next;
    if (cursor !== null && cursor !== undefined) cursors.push(cursor);
    assert.ok(cursors.length < 50, `${path}${query} does not end`);
  }
  return { keys, cursors };
}

describe('lists', () => {
  const api = shareApi();
  before(async () => {
    const { admin, addUser, addOrganization, addRobot, signIn, registry } = api();
    const users = ['dora', 'ana', 'cleo', 'ben'];
    for (const name of users) await addUser(name);
    await addOrganization('acme', 'admin');
    for (const name of users) await admin.put(`/organizations/acme/members/${name}`, { role: 'member' });
    for (const name of ['c', 'a', 'd', 'b', 'e']) await admin.post('/organizations/acme/teams', { name });
    for (const name of users) await admin.put(`/organizations/acme/teams/a/members/${name}`, {});
    for (const name of ['c', 'a', 'd', 'b', 'e']) await addRobot(`acme+${name}`);
    for (let turn = 0; turn < 4; turn++) {
      await signIn('ana');
      await signIn('acme+a');
      const secret = { hash: Buffer.from(`hash ${turn}`.padEnd(32, '.')), label: 'browser' };
      const session = { subject: 'ana', kind: 'session', ...secret, origin: { actor: 'test' } } as const;
      assert.equal((await api().accounts.credentials.add(session)).outcome, 'added');
      await admin.post('/namespaces/acme/webhooks', {
        url: `https://ci.example.com/${turn}`,
        events: ['push'],
      });
    }
    for (const subject of users) {
      await admin.post('/namespaces/acme/grants', { subject, object: 'acme/**', role: 'read' });
      await admin.post('/grants', { subject, object: '**', role: 'read' });
    }
    const headers = { authorization: `Bearer ${admin.secret}` };
    for (const name of ['b', 'x', 'a', 'e', 'd'])
      await pushImage(registry.url, `acme/${name}`, 'v1', name, headers);
    for (const [from, to] of ['xy', 'yz', 'zw', 'wv', 'vc'])
      await admin.patch(`/repositories/acme/${from}`, { name: `acme/${to}` });
    for (const tag of ['w', 'v', 'u']) await pushImage(registry.url, 'acme/c', tag, tag, headers);
  });

  it('take the orders that the document names', async () => {
    const { paths } = (await api().admin.get('/openapi.json')).body;
    const found: Record<string, string[]> = {};
    for (const [path, { get }] of Object.entries<{
      get?: { parameters?: { name: string; schema: { enum?: string[] } }[] };
    }>(paths)) {
      const sort = get?.parameters?.find(({ name }) => name === 'sort');
      if (sort !== undefined) found[path.replace('/api/v1', '')] = sort.schema.enum ?? [];
    }
    const expected = Object.entries(lists).map(([path, { orders }]) => [path, orders] as const);
    assert.deepEqual(found, Object.fromEntries(expected));
  });

  for (const [list, { path, orders }] of Object.entries(lists)) {
    it(`${list} comes in each of them, in pages, and backwards`, async () => {
      const { admin } = api();
      const unsorted = await allOf(admin, path, '');
      assert.ok(unsorted.keys.length > 3, `${path} has ${unsorted.keys.length}`);
      for (const order of orders.filter((each) => !each.startsWith('-'))) {
        const up = await allOf(admin, path, `&sort=${order}`);
        const down = await allOf(admin, path, `&sort=-${order}`);
        if (order === orders[0]) assert.deepEqual(up.keys, unsorted.keys);
        // The registry itself stands first among the quotas, whatever the order.
        const own = (keys: readonly (string | number)[]) => keys.filter((key) => key !== '(registry)');
        assert.deepEqual(own(down.keys), own(up.keys).toReversed(), `${path} ${order}`);
        if (order === 'name' || order === 'createdAt') {
          const isIds = typeof own(up.keys)[0] === 'number';
          if (order === 'name' || isIds)
            assert.deepEqual(
              own(up.keys),
              own(up.keys).toSorted((one, other) => (one < other ? -1 : 1)),
            );
        }
        assert.equal(new Set(up.keys).size, unsorted.keys.length);
      }
    });

    it(`${list} refuses other orders, and a cursor of another order`, async () => {
      const { admin } = api();
      for (const wrong of ['colour', '', '--name', `+${orders[0]}`, `${orders[0]},${orders[1]}`]) {
        const reply = await admin.get(`${path}?sort=${encodeURIComponent(wrong)}`);
        assertProblem(reply, 400, 'invalid', /^sort: use one of: /);
        assert.equal(reply.body.errors[0].detail, `use one of: ${orders.join(', ')}`);
      }
      for (const order of orders) {
        const { next } = (await admin.get(`${path}?limit=2&sort=${order}`)).body;
        assert.notEqual(next, null, `${path} ${order}`);
        for (const other of orders.filter((each) => each !== order)) {
          const reply = await admin.get(`${path}?sort=${other}&cursor=${next}`);
          assertProblem(reply, 400, 'invalid', /cursor/);
        }
      }
    });
  }

  it('of users are sorted within what they are filtered by', async () => {
    const { admin } = api();
    const { keys } = await allOf(admin, '/users', '&state=enabled&q=a&sort=-createdAt');
    const names = (await admin.get('/users?q=a&sort=-createdAt')).body.items.map(({ name }: Row) => name);
    assert.deepEqual(keys, names);
    assert.deepEqual(names, ['ana', 'dora', 'admin']);
  });

  it('of repositories are sorted within what the caller may see', async () => {
    const ana = await api().signIn('ana');
    const all = await allOf(api().admin, '/repositories', '&sort=-name&namespace=acme');
    const seen = await allOf(ana, '/repositories', '&sort=-name');
    assert.deepEqual(seen.keys, all.keys);
    assert.deepEqual(seen.keys, ['acme/e', 'acme/d', 'acme/c', 'acme/b', 'acme/a']);
    for (const order of ['pushedAt', '-pushedAt', 'pulledAt', '-pulledAt']) {
      const query = `&namespace=acme&sort=${order}`;
      const [few, many] = [
        await allOf(ana, '/repositories', query),
        await allOf(api().admin, '/repositories', query),
      ];
      assert.deepEqual(few.keys, many.keys, order);
    }
  });
});
