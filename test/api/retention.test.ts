// Rules, previews and runs of retention in the management API.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Clock } from '../../src/storage/clock.ts';
import { type ApiClient, type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { manualClock } from '../support/metadata.ts';

const path = (what: string, namespace = 'acme') => `/namespaces/${namespace}/retention-${what}`;
const headersOf = ({ secret }: ApiClient) => ({ authorization: `Bearer ${secret}` });
const day = 86_400;
const newest = { policies: [{ keepTags: [{ mostRecentlyPushedCount: 1 }] }] };

async function put(client: ApiClient, rules: object, namespace = 'acme') {
  const read = await client.get(path('rules', namespace));
  const etag = read.headers.get('etag') ?? '';
  return await client.put(path('rules', namespace), rules, { headers: { 'if-match': etag } });
}

/** acme/app with v1, v2 and v3, and acme/web with v1, all three days old. */
async function start(t: TestContext, settings: Record<string, string> = {}) {
  const clock = manualClock();
  const api = await startApi(t, settings, { clock: clock as Clock });
  await api.addOrganization('acme');
  for (const tag of ['v1', 'v2', 'v3'])
    await pushImage(api.registry.url, 'acme/app', tag, tag, headersOf(api.admin));
  await pushImage(api.registry.url, 'acme/web', 'v1', 'v1', headersOf(api.admin));
  clock.advance(3 * day);
  return { ...api, clock };
}

async function runOf(api: ApiRegistry, body: object = {}, client = api.admin) {
  const begun = await client.post(path('runs'), body);
  assert.equal(begun.status, 202, begun.text);
  await api.registry.registry.operations.wait(begun.body.id);
  return (await client.get(`${path('runs')}/${begun.body.id}`)).body;
}

async function tagsOf(api: ApiRegistry, name: string): Promise<readonly string[]> {
  const reply = await fetch(`${api.registry.url}/v2/${name}/tags/list`, { headers: headersOf(api.admin) });
  return ((await reply.json()) as { tags: string[] }).tags;
}

describe('retention rules', () => {
  it('are none at first, are put as a whole, and told in the audit log', async (t) => {
    const api = await start(t);
    assert.deepEqual((await api.admin.get(path('rules'))).body, { policies: [] });
    assertProblem(await api.admin.put(path('rules'), newest), 428, 'precondition-required');
    const whole = {
      dryRun: false,
      delay: '48h',
      policies: [
        {
          repositories: ['acme/app', 'acme/ci-*'],
          deleteReferrers: true,
          deleteUntagged: true,
          keepTags: [
            {
              patterns: ['^v\\d+', '.*-prod'],
              mostRecentlyPushedCount: 10,
              mostRecentlyPulledCount: 10,
              highestSemverCount: 3,
              semverPrereleases: true,
              pushedWithin: '720h',
              pulledWithin: '30d',
            },
          ],
        },
      ],
    };
    const set = await put(api.admin, whole);
    assert.deepEqual([set.status, set.body], [200, whole]);
    assert.deepEqual((await api.admin.get(path('rules'))).body, whole);
    const stale = { headers: { 'if-match': '"stale"' } };
    assertProblem(await api.admin.put(path('rules'), newest, stale), 412, 'precondition-failed');
    const [event] = (await api.admin.get('/audit?action=rule.set')).body.items;
    assert.deepEqual([event.object, event.detail.after.rules], ['retention:acme', whole]);
    assert.deepEqual((await put(api.admin, { policies: [] })).body, { policies: [] });
    assertProblem(await api.admin.get(path('rules', 'nope')), 404, 'not-found');
  });

  it('are refused with what is wrong and where', async (t) => {
    const api = await start(t);
    const faults: readonly (readonly [object, string])[] = [
      [{ policies: [{ keepTags: [{ patterns: ['*-prod'] }] }] }, '/policies/0/keepTags/0/patterns/0'],
      [{ policies: [{ keepTags: [{ pushedWithin: 'long' }] }] }, '/policies/0/keepTags/0/pushedWithin'],
      [
        { policies: [{ keepTags: [{ mostRecentlyPushedCount: 0 }] }] },
        '/policies/0/keepTags/0/mostRecentlyPushedCount',
      ],
      [{ policies: [{ repositories: ['other/**'] }] }, '/policies/0/repositories/0'],
      [{ policies: [{ keepTag: [] }] }, '/policies/0/keepTag'],
      [{ policies: [], delay: '-1h' }, '/delay'],
      [{}, '/policies'],
    ];
    for (const [rules, pointer] of faults) {
      const reply = await put(api.admin, rules);
      assertProblem(reply, 400, 'invalid');
      assert.equal(reply.body.errors[0].pointer, pointer, reply.text);
    }
    const previewed = await api.admin.post(path('preview'), { rules: faults[0]?.[0] });
    assert.equal(previewed.body.errors[0].pointer, '/rules/policies/0/keepTags/0/patterns/0');
  });
});

describe('a preview', () => {
  it('tells what would go and why all else stays, page by page, and changes nothing', async (t) => {
    const api = await start(t);
    const { body } = await api.admin.post(path('preview'), { rules: newest });
    const { bytes, ...totals } = body.totals;
    assert.deepEqual(totals, {
      tags: { removed: 2, kept: 2 },
      manifests: { removed: 2 },
      repositories: 2,
      reasons: { mostRecentlyPushedCount: 2 },
    });
    assert.ok(bytes > 0);
    const short = (items: { repository: string; tag: string; removes: boolean; because: string[] }[]) =>
      items.map(({ repository, tag, removes, because }) => `${repository}:${tag} ${removes} ${because}`);
    const all = [
      'acme/app:v1 true noRuleKeeps',
      'acme/app:v2 true noRuleKeeps',
      'acme/app:v3 false mostRecentlyPushedCount',
      'acme/web:v1 false mostRecentlyPushedCount',
    ];
    assert.deepEqual(short(body.items), all);
    const paged: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await api.admin.post(path('preview'), {
        rules: newest,
        limit: 1,
        ...(cursor && { cursor }),
      });
      assert.equal(page.body.totals === null, cursor !== undefined);
      paged.push(...short(page.body.items));
      cursor = page.body.next;
    }
    assert.deepEqual(paged, all);
    const one = await api.admin.post(path('preview'), { rules: newest, repository: 'acme/web' });
    assert.deepEqual(short(one.body.items), all.slice(3));
    const removed = await api.admin.post(path('preview'), { rules: newest, only: 'removed' });
    assert.deepEqual(short(removed.body.items), all.slice(0, 2));
    assert.deepEqual((await api.admin.post(path('preview'), {})).body.items, []);
    assert.deepEqual(await tagsOf(api, 'acme/app'), ['v1', 'v2', 'v3']);
    assertProblem(await api.admin.post(path('preview'), { cursor: 'x' }), 400, 'invalid');
    const elsewhere = Buffer.from('"other/app 0"').toString('base64url');
    assertProblem(await api.admin.post(path('preview'), { cursor: elsewhere }), 400, 'invalid');
    assertProblem(await api.admin.post(path('preview'), { repository: 'acme/no' }), 404, 'not-found');
  });
});

describe('a run', () => {
  it('needs rules, removes as previewed, and reports to who maintains the namespace', async (t) => {
    const api = await start(t);
    await api.addUser('mia');
    await api.admin.post('/namespaces/acme/grants', { subject: 'mia', object: 'acme/**', role: 'maintain' });
    const mia = await api.signIn('mia');
    assertProblem(await mia.post(path('runs'), {}), 409, 'conflict', /has no rules/);
    assert.equal((await put(mia, newest)).status, 200);
    const dry = await runOf(api, { dryRun: true }, mia);
    assert.deepEqual(await tagsOf(api, 'acme/app'), ['v1', 'v2', 'v3']);
    const run = await runOf(api, {}, mia);
    assert.deepEqual([run.state, run.kind, run.actor], ['done', 'retention', 'mia']);
    assert.deepEqual({ ...run.report, seconds: 0, dryRun: true }, { ...dry.report, seconds: 0 });
    assert.deepEqual(run.report.tags, { removed: 2, kept: 2 });
    assert.deepEqual(await tagsOf(api, 'acme/app'), ['v3']);
    const { body } = await mia.get(path('runs'));
    assert.deepEqual(
      body.items.map(({ id }: { id: number }) => id),
      [run.id, dry.id],
    );
    assert.equal((await mia.get(`${path('runs')}?limit=1`)).body.items.length, 1);
    assertProblem(await mia.get('/operations'), 403, 'denied');
    assertProblem(await mia.get(`${path('runs')}/999`), 404, 'not-found');
    assertProblem(await mia.post(`${path('runs')}/${run.id}/cancel`), 409, 'conflict');
    await api.addOrganization('other');
    assertProblem(await api.admin.get(`${path('runs', 'other')}/${run.id}`), 404, 'not-found');
    const again = await runOf(api);
    assert.deepEqual(again.report.tags, { removed: 0, kept: 2 });
  });

  it('leaves what the rules of protection hold', async (t) => {
    const api = await start(t);
    await put(api.admin, newest);
    const rules = await api.admin.get('/namespaces/acme/protection-rules');
    const items = [{ repositories: '**', tags: 'v1', rule: 'immutable' }];
    const headers = { 'if-match': rules.headers.get('etag') ?? '' };
    await api.admin.put('/namespaces/acme/protection-rules', { items }, { headers });
    const { report } = await runOf(api);
    assert.deepEqual(await tagsOf(api, 'acme/app'), ['v1', 'v3']);
    const kept = report.items.find(({ removes }: { removes: boolean }) => !removes);
    assert.deepEqual([kept.tag, kept.because, kept.rule], ['v1', ['protected'], 'rule v1 of acme']);
  });

  it('is refused while the registry is read-only or deletes nothing, but for a dry one', async (t) => {
    const api = await start(t);
    await put(api.admin, newest);
    await api.admin.put('/read-only', { readOnly: true });
    assertProblem(await api.admin.post(path('runs'), {}), 503, 'read-only');
    assert.equal((await runOf(api, { dryRun: true })).state, 'done');
    const other = await start(t, { 'storage.delete': 'false' });
    await put(other.admin, newest);
    assertProblem(await other.admin.post(path('runs'), {}), 405, 'invalid', /storage\.delete/);
    assert.deepEqual(await tagsOf(other, 'acme/app'), ['v1', 'v2', 'v3']);
  });
});
