// What was deleted and comes back, and removing many tags, in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiClient, assertProblem, testOrigin } from '../support/api.ts';
import { manifestsOf, namesIn, startShop, tagsOf } from '../support/shop.ts';

describe('what was deleted', () => {
  it('comes back by its tag for maintainers alone, and is told of in its history', async (t) => {
    const { push, people } = await startShop(t);
    const digest = await push('acme/web', 'v1');
    await push('acme/web', 'v1', 'other');
    assert.equal((await people.maintain.delete(`${manifestsOf('acme/web')}/${digest}`)).status, 204);
    const { items } = (await people.read.get(`${tagsOf('acme/web')}/v1/history`)).body;
    assert.deepEqual([items[1].digest, items[1].state], [digest, 'deleted']);
    assert.match(items[1].restorableUntil, /^\d{4}-/);
    const restore = (who: ApiClient) => who.put(`${tagsOf('acme/web')}/v1`, { digest });
    assertProblem(await restore(people.write), 403, 'denied', /takes the role maintain/);
    const restored = await restore(people.maintain);
    assert.deepEqual([restored.body.change.action, restored.body.change.restored], ['restore', [digest]]);
  });

  it('is listed for who may bring it back, comes back once, and is given up by administrators', async (t) => {
    const { admin, push, people, addOrganization, addUser, anonymous } = await startShop(t);
    await addOrganization('shop');
    const digest = await push('acme/web', 'v1');
    const other = await push('shop/web', 'v1');
    const kept = await push('acme/web', 'v2');
    await admin.delete(`${tagsOf('acme/web')}/v2`);
    await admin.delete(`${manifestsOf('acme/web')}/${digest}`);
    await admin.delete(`${manifestsOf('shop/web')}/${other}`);
    const listed = async (who: ApiClient, query = '') => (await who.get(`/deleted${query}`)).body.items;
    const all = await listed(admin);
    assert.deepEqual(
      all.map((each: { kind: string; repository: string; tag: string; tags: string[] }) => [
        each.kind,
        each.repository,
        each.tag,
        each.tags,
      ]),
      [
        ['manifest', 'shop/web', null, ['v1']],
        ['manifest', 'acme/web', null, ['v1']],
        ['tag', 'acme/web', 'v2', []],
      ],
    );
    assert.equal((await listed(people.maintain)).length, 2);
    assert.equal((await listed(people.maintain, '?kind=tag'))[0].digest, kept);
    assert.equal((await listed(people.maintain, '?repository=shop/web')).length, 0);
    assert.equal((await listed(people.write)).length, 0);
    assert.equal((await listed(await addUser('audi', { role: 'auditor' }))).length, 3);
    assertProblem(await anonymous.get('/deleted'), 401, 'unauthenticated');
    const paged: string[] = [];
    for (let path: string | null = '/deleted?limit=1'; path !== null; ) {
      const page: { items: { id: string }[]; next: string | null } = (await admin.get(path)).body;
      paged.push(...page.items.map(({ id }) => id));
      path = page.next && `/deleted?limit=1&cursor=${page.next}`;
    }
    assert.deepEqual(
      paged,
      all.map(({ id }: { id: string }) => id),
    );
    const [foreign, manifest, tag] = paged as [string, string, string];
    const restore = (who: ApiClient, id: string, query = '') => who.post(`/deleted/${id}/restore${query}`);
    for (const id of [foreign, 'manifest-999', 'tag-999', 'blob-1', 'x'])
      assertProblem(await restore(people.maintain, id), 404, 'not-found');
    assertProblem(await restore(people.write, manifest), 404, 'not-found');
    const plan = await restore(people.maintain, manifest, '?dryRun=true');
    assert.deepEqual([plan.body.dryRun, plan.body.tags], [true, ['v1']]);
    const { dryRun: _dryRun, ...foreseen } = plan.body;
    assert.deepEqual((await restore(people.maintain, manifest)).body, foreseen);
    assertProblem(await restore(people.maintain, manifest), 404, 'not-found');
    await push('acme/web', 'v2', 'again');
    assertProblem(await restore(people.maintain, tag), 404, 'not-found');
    assertProblem(await people.maintain.delete(`/deleted/${foreign}`), 403, 'denied');
    assert.equal((await admin.delete(`/deleted/${foreign}?dryRun=true`)).body.purges.repository, 'shop/web');
    assert.equal((await admin.delete(`/deleted/${foreign}`)).status, 204);
    assertProblem(await admin.delete(`/deleted/${foreign}`), 404, 'not-found');
    const [event] = (await admin.get('/audit?action=deleted.purge')).body.items;
    assert.equal(event.object, `manifest:shop/web@${other}`);
  });

  it('a removed tag is not for purging, and its name may be taken', async (t) => {
    const { admin, push, registry } = await startShop(t);
    await push('acme/web', 'v1');
    await admin.delete(`${tagsOf('acme/web')}/v1`);
    const [{ id }] = (await admin.get('/deleted')).body.items;
    assertProblem(await admin.delete(`/deleted/${id}`), 409, 'conflict', /holds no bytes/);
    const { restoreTag } = registry.registry.metadata.deleted;
    await restoreTag({ id: Number(id.slice('tag-'.length)), origin: testOrigin, dryRun: false });
    assertProblem(await admin.post(`/deleted/${id}/restore`), 404, 'not-found');
  });
});

describe('removing many tags', () => {
  it('goes by pattern and age, foresees itself, and needs a pattern', async (t) => {
    const { admin, push, people } = await startShop(t);
    const digest = await push('acme/web', 'v1');
    for (const tag of ['pr-1', 'pr-2', 'rc-1']) await admin.put(`${tagsOf('acme/web')}/${tag}`, { digest });
    const remove = (query: string, who = people.maintain) => who.delete(`${tagsOf('acme/web')}${query}`);
    const future = '2099-01-01T00:00:00Z';
    assert.deepEqual((await remove('?match=*&pushedBefore=2020-01-01T00:00:00Z')).body.deleted, []);
    const plan = (await remove(`?match=pr-*&pushedBefore=${future}&pulledBefore=${future}&dryRun=true`)).body;
    const done = (await remove(`?match=pr-*&pushedBefore=${future}&pulledBefore=${future}`)).body;
    assert.deepEqual(plan, { dryRun: true, ...done });
    assert.deepEqual(done, {
      deleted: [
        { name: 'pr-1', digest },
        { name: 'pr-2', digest },
      ],
      kept: [],
      next: null,
    });
    assert.deepEqual(namesIn((await admin.get(tagsOf('acme/web'))).body.items), ['rc-1', 'v1']);
    for (const query of [
      '',
      '?match=',
      '?match=%5B',
      '?match=a b',
      '?match=*&pushedBefore=yesterday',
      '?match=*&cursor=x',
    ])
      assertProblem(await remove(query), 400, 'invalid');
    assertProblem(await remove('?match=*', people.write), 403, 'denied');
    assertProblem(await admin.delete(`${tagsOf('acme/none')}?match=*`), 404, 'not-found');
  });
});
