// Where a page of a list that leaves out what the caller may not see ends: its cursor tells nothing of the rows that were looked at,
// and nobody can make one.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { type ApiClient, type ApiRegistry, assertProblem, testOrigin } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { shareApi } from '../support/shared-api.ts';

const orders = ['name', '-name', 'pushedAt', '-pushedAt', 'pulledAt', '-pulledAt'];
const hidden = 'acme/secret-project-';
const plain = (key: unknown) => Buffer.from(JSON.stringify(key)).toString('base64url');

/** Ana may read two repositories, on both sides of thousands in the range of her grant that she may not. */
async function addWorld(api: ApiRegistry): Promise<ApiClient> {
  const { registry, admin } = api;
  const ana = await api.addUser('ana');
  await api.addOrganization('acme', 'admin');
  const headers = { authorization: `Bearer ${admin.secret}` };
  await pushImage(registry.url, 'acme/a-prod', 'v1', 'one', headers);
  const numbers = Array.from({ length: 5600 }, (_, index) => String(index).padStart(5, '0'));
  await Promise.all(
    numbers.map((number) =>
      registry.registry.metadata.repositories.add({
        name: parseRepositoryName(hidden + number),
        visibility: 'private',
        origin: testOrigin,
      }),
    ),
  );
  await pushImage(registry.url, 'acme/secret-project-03000x', 'v1', 'one', headers);
  for (const name of ['acme/m-prod', 'acme/zz-prod'])
    await pushImage(registry.url, name, 'v1', 'one', headers);
  const grant = { subject: 'ana', object: 'acme/*-prod', role: 'read' };
  assert.equal((await admin.post('/namespaces/acme/grants', grant)).status, 201);
  return ana;
}

function assertSealed(cursor: string): void {
  const bytes = Buffer.from(cursor, 'base64url');
  assert.ok(!bytes.toString('latin1').includes('secret'), bytes.toString('latin1'));
  assert.throws(() => JSON.parse(bytes.toString()), SyntaxError, bytes.toString('latin1'));
}

describe('cursors of lists that hold what the caller may see', () => {
  const shared = shareApi();
  let reader: ApiClient | undefined;
  before(async () => {
    reader = await addWorld(shared());
  });
  const given = () => ({ api: shared(), ana: reader as ApiClient });

  for (const sort of orders) {
    it(`tell no name, time or id in the order ${sort}, and lead to all that is seen`, async () => {
      const { ana } = given();
      const found: string[] = [];
      const cursors: string[] = [];
      for (let path: string | null = `/repositories?sort=${sort}`; path !== null; ) {
        const { status, body, text } = await ana.get(path);
        assert.equal(status, 200, text);
        found.push(...body.items.map(({ name }: { name: string }) => name));
        if (body.next !== null) cursors.push(body.next);
        path = body.next && `/repositories?sort=${sort}&cursor=${body.next}`;
      }
      assert.deepEqual(found.toSorted(), ['acme/a-prod', 'acme/m-prod', 'acme/zz-prod']);
      assert.ok(cursors.length > 0, 'no page ended early');
      for (const cursor of cursors) assertSealed(cursor);
      // A page that is full looks the same.
      const full = (await given().api.admin.get(`/repositories?sort=${sort}&limit=1`)).body.next;
      assertSealed(full);
      assert.deepEqual([...new Set(cursors.map(({ length }) => length))], [full.length]);
    });

    it(`are refused in the order ${sort} where they were made by hand, changed, or are of another list or order`, async () => {
      const { ana, api } = given();
      const get = (cursor: string) => ana.get(`/repositories?sort=${sort}&cursor=${cursor}`);
      const key = sort.endsWith('name') ? `${hidden}03000` : '1700000000:3000';
      const { next } = (await ana.get(`/repositories?sort=${sort}`)).body;
      const changed = Buffer.from(next, 'base64url');
      changed[40] = (changed[40] ?? 0) ^ 1;
      const users = (await api.admin.get('/users?limit=1')).body.next;
      const other = orders[(orders.indexOf(sort) + 1) % orders.length];
      const elsewhere = (await ana.get(`/repositories?sort=${other}`)).body.next;
      const wrong = [
        plain(key),
        plain([sort, key]),
        changed.toString('base64url'),
        next.slice(0, 100),
        next.slice(0, 10),
        'x',
        users,
        elsewhere,
      ];
      for (const cursor of wrong) {
        const reply = await get(cursor);
        assertProblem(reply, 400, 'invalid', /no cursor of this list/);
        assert.equal(reply.body.errors[0].pointer, '/query/cursor');
      }
    });
  }

  it('of deleted things are the same', async () => {
    const { api } = given();
    const { admin } = api;
    for (const name of ['03001', '03002'])
      assert.equal((await admin.delete(`/repositories/${hidden}${name}`)).status, 204);
    const { next } = (await admin.get('/deleted?limit=1')).body;
    assertSealed(next);
    const { items } = (await admin.get(`/deleted?limit=1&cursor=${next}`)).body;
    assert.equal(items[0].repository, `${hidden}03001`);
    const repositories = (await admin.get('/repositories?limit=1')).body.next;
    for (const cursor of [plain(['deleted', 'repository', 3]), repositories, 'x'])
      assertProblem(await admin.get(`/deleted?cursor=${cursor}`), 400, 'invalid', /no cursor of this list/);
    assertProblem(await admin.get(`/repositories?cursor=${next}`), 400, 'invalid', /no cursor of this list/);
  });

  it('of the catalog, which are names, are names of what the caller may see', async () => {
    const { api, ana } = given();
    const headers = { authorization: `Bearer ${ana.secret}` };
    const pages: string[][] = [];
    for (let path: string | undefined = '/v2/_catalog?n=1'; path !== undefined; ) {
      const reply: Response = await fetch(new URL(path, api.registry.url), { headers });
      const { repositories } = (await reply.json()) as { repositories: string[] };
      pages.push(repositories);
      path = /^<(.*)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1];
      if (path !== undefined)
        assert.equal(new URL(path, api.registry.url).searchParams.get('last'), repositories.at(-1));
    }
    assert.deepEqual(pages, [['acme/a-prod'], ['acme/m-prod'], ['acme/zz-prod']]);
  });
});
