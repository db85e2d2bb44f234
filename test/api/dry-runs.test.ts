// A dry run of every route that deletes, puts a set of rules or begins a run: 200 with the plan, and not a row is another one
// afterwards, also while the registry is read-only. The routes are those of the OpenAPI document, so that a new one is held to it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { type ApiClient, type ApiRegistry, assertProblem, goodPassword, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { shareApi } from '../support/shared-api.ts';

interface Try {
  readonly path: string;
  readonly body?: unknown;
  readonly as?: ApiClient;
  /** A whole set: it is put in place of the one that was read. */
  readonly puts?: boolean;
}

const retention = { policies: [{ keepTags: [{ mostRecentlyPushedCount: 1 }] }] };
const vRule = { repositories: '**', tags: 'v*', rule: 'immutable' };
const takesDryRun = (parameters: readonly { readonly name: string }[] = []) =>
  parameters.some(({ name }) => name === 'dryRun');

/** Whether a route deletes, puts rules or begins a run. */
function isHeldToIt(method: string, path: string): boolean {
  if (method === 'delete') return true;
  if (method === 'put') return path.endsWith('-rules');
  return method === 'post' && /-runs$|\/operations$|\/import$/.test(path);
}

/** Something of every kind that can be deleted, and a request for each route. */
async function furnish(api: ApiRegistry): Promise<Readonly<Record<string, Try>>> {
  const { admin } = api;
  const headers = { authorization: `Bearer ${admin.secret}` };
  const made = async (reply: Promise<{ status: number; text: string; body: { id: string } }>) => {
    const { status, text, body } = await reply;
    assert.ok(status < 300, text);
    return body;
  };
  const ana = await api.addUser('ana', { password: goodPassword });
  await api.addUser('ben');
  await api.addUser('cleo');
  await api.addOrganization('acme', 'admin');
  await api.addOrganization('bare', 'admin');
  await api.addRobot('acme+bot');
  await made(admin.put('/organizations/acme/members/ben', { role: 'member' }));
  await made(admin.post('/organizations/acme/teams', { name: 'dev' }));
  await made(admin.put('/organizations/acme/teams/dev/members/ben', {}));
  const grant = await made(
    admin.post('/namespaces/acme/grants', { subject: 'ben', object: 'acme/**', role: 'read' }),
  );
  const wide = await made(admin.post('/grants', { subject: 'ben', object: '**', role: 'read' }));
  const hook = await made(
    admin.post('/namespaces/acme/webhooks', { url: 'https://ci.example.com/', events: ['push'] }),
  );
  const own = await made(ana.post('/users/ana/tokens', { name: 'laptop' }));
  const robotToken = await made(admin.post('/namespaces/acme/robots/acme+bot/tokens', { name: 'first' }));
  const image = await pushImage(api.registry.url, 'acme/old', 'v1', 'one', headers);
  await pushImage(api.registry.url, 'acme/old', 'v2', 'two', headers);
  await made(admin.patch('/repositories/acme/old', { name: 'acme/app' }));
  await pushImage(api.registry.url, 'acme/gone', 'v1', 'gone', headers);
  assert.equal((await admin.delete('/repositories/acme/gone')).status, 204);
  const [alias] = (await admin.get('/repositories/acme/app/-/aliases')).body.items;
  const [deleted] = (await admin.get('/deleted?kind=repository')).body.items;
  const read = await admin.get('/namespaces/acme/retention-rules');
  const ifMatch = { headers: { 'if-match': read.headers.get('etag') ?? '' } };
  await made(admin.put('/namespaces/acme/retention-rules', retention, ifMatch));
  const signedIn = await api.anonymous.post('/sessions', { name: 'ana', password: goodPassword });
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
  const browser = api.with({ cookie, 'x-csrf-token': signedIn.body.csrfToken });
  const [session] = (await ana.get('/users/ana/sessions')).body.items;
  const organization = '/organizations/{organization}';
  const namespace = '/namespaces/{namespace}';
  const repository = '/repositories/{repository}';
  return {
    'delete /users/{user}': { path: '/users/cleo' },
    'delete /users/{user}/tokens/{id}': { path: `/users/ana/tokens/${own.id}` },
    'delete /users/{user}/sessions': { path: '/users/ana/sessions' },
    'delete /users/{user}/sessions/{id}': { path: `/users/ana/sessions/${session.id}` },
    'delete /sessions/current': { path: '/sessions/current', as: browser },
    'post /users/import': { path: '/users/import', body: `dora:${'$2y$05$'.padEnd(60, 'a')}\nana:x\n` },
    [`delete ${organization}`]: { path: '/organizations/bare' },
    [`delete ${organization}/members/{user}`]: { path: '/organizations/acme/members/ben' },
    [`delete ${organization}/teams/{team}`]: { path: '/organizations/acme/teams/dev' },
    [`delete ${organization}/teams/{team}/members/{user}`]: {
      path: '/organizations/acme/teams/dev/members/ben',
    },
    [`delete ${namespace}/robots/{robot}`]: { path: '/namespaces/acme/robots/acme+bot' },
    [`delete ${namespace}/robots/{robot}/tokens/{id}`]: {
      path: `/namespaces/acme/robots/acme+bot/tokens/${robotToken.id}`,
    },
    [`delete ${namespace}/grants/{id}`]: { path: `/namespaces/acme/grants/${grant.id}` },
    'delete /grants/{id}': { path: `/grants/${wide.id}` },
    [`delete ${namespace}/webhooks/{id}`]: { path: `/namespaces/acme/webhooks/${hook.id}` },
    [`delete ${repository}`]: { path: '/repositories/acme/app' },
    [`delete ${repository}/-/aliases/{id}`]: { path: `/repositories/acme/app/-/aliases/${alias.id}` },
    [`delete ${repository}/-/tags`]: { path: '/repositories/acme/app/-/tags?match=v*' },
    [`delete ${repository}/-/tags/{tag}`]: { path: '/repositories/acme/app/-/tags/v1' },
    [`delete ${repository}/-/manifests/{reference}`]: {
      path: `/repositories/acme/app/-/manifests/${image.digest}`,
    },
    'delete /deleted/{id}': { path: `/deleted/${deleted.id}` },
    [`put ${namespace}/protection-rules`]: {
      path: '/namespaces/acme/protection-rules',
      body: { items: [vRule] },
      puts: true,
    },
    [`put ${namespace}/retention-rules`]: {
      path: '/namespaces/acme/retention-rules',
      body: { policies: [] },
      puts: true,
    },
    [`post ${namespace}/retention-runs`]: { path: '/namespaces/acme/retention-runs', body: {} },
    'post /operations': { path: '/operations', body: { kind: 'gc', now: true } },
  };
}

/** Every row of the registry but for what moves by itself. */
function rowsOf(data: string): Readonly<Record<string, string>> {
  const db = new Database(join(data, 'berth.db'), { readonly: true });
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
  const rows = tables
    .filter((table) => table !== 'uptime_clock')
    .map((table) => {
      const all = db.prepare(`SELECT * FROM "${table}"`).all() as Record<string, unknown>[];
      const still = all.map(({ last_used_at: _at, last_used_from: _from, ...row }) => row);
      return [
        table,
        JSON.stringify(still, (_key, value) => (Buffer.isBuffer(value) ? value.toString('hex') : value)),
      ];
    });
  db.close();
  return Object.fromEntries(rows);
}

describe('a dry run', () => {
  const api = shareApi();
  let tries: Readonly<Record<string, Try>>;
  before(async () => {
    tries = await furnish(api());
  });

  async function send(key: string, dryRun = 'true') {
    const { path, body, as = api().admin, puts = false } = tries[key] ?? { path: '' };
    const query = `${path.includes('?') ? '&' : '?'}dryRun=${dryRun}`;
    const etag = puts ? ((await as.get(path)).headers.get('etag') ?? '') : undefined;
    const headers: Record<string, string> = etag === undefined ? {} : { 'if-match': etag };
    return await as.call(key.split(' ')[0]?.toUpperCase() ?? '', path + query, { body, headers });
  }

  it('is taken by every route that deletes, puts rules or begins a run', async () => {
    const { paths } = (await api().admin.get('/openapi.json')).body;
    const held: string[] = [];
    for (const [path, methods] of Object.entries<Record<string, { parameters?: { name: string }[] }>>(
      paths,
    )) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!isHeldToIt(method, path)) continue;
        const key = `${method} ${path.replace('/api/v1', '')}`;
        held.push(key);
        assert.ok(takesDryRun(operation.parameters), `${key} takes no ?dryRun=true`);
      }
    }
    assert.deepEqual(held.toSorted(), Object.keys(tries).toSorted());
  });

  for (const readOnly of [false, true]) {
    it(`answers 200 with a plan and changes nothing${readOnly ? ', while the registry is read-only' : ''}`, async () => {
      const { admin, registry } = api();
      if (readOnly) await admin.put('/read-only', { readOnly });
      try {
        const before = rowsOf(registry.data);
        for (const key of Object.keys(tries)) {
          const reply = await send(key);
          assert.equal(reply.status, 200, `${key}: ${reply.text}`);
          assert.equal(reply.body.dryRun, true, key);
          assert.deepEqual(rowsOf(registry.data), before, key);
        }
      } finally {
        if (readOnly) await admin.put('/read-only', { readOnly: false });
      }
    });
  }

  it('is no dry run without the word true', async () => {
    for (const key of Object.keys(tries)) assertProblem(await send(key, 'yes'), 400, 'invalid', /dryRun/);
  });
});

describe('the plan of a set of rules', () => {
  const api = shareApi();
  const protection = '/namespaces/acme/protection-rules';
  const rules = '/namespaces/acme/retention-rules';
  before(async () => {
    const { admin, addOrganization, registry } = api();
    await addOrganization('acme');
    const headers = { authorization: `Bearer ${admin.secret}` };
    for (const tag of ['v1', 'v2', 'latest']) await pushImage(registry.url, 'acme/app', tag, tag, headers);
    await pushImage(registry.url, 'acme/web', 'v1', 'web', headers);
  });
  const put = async (path: string, body: object, query = '') => {
    const { admin } = api();
    const etag = (await admin.get(path)).headers.get('etag') ?? '';
    return await admin.put(path + query, body, { headers: { 'if-match': etag } });
  };

  it('tells how it would stand, what comes and goes, and how many tags that is about', async () => {
    const kept = { repositories: 'acme/web', tags: '*', rule: 'no-delete', exempt: [] };
    assert.equal((await put(protection, { items: [kept, vRule] })).status, 200);
    const latest = { repositories: '**', tags: 'latest', rule: 'immutable', exempt: ['administrators'] };
    const plan = await put(protection, { items: [latest, kept] }, '?dryRun=true');
    assert.equal(plan.status, 200, plan.text);
    assert.deepEqual(plan.body, {
      dryRun: true,
      items: [latest, kept],
      inherited: [],
      added: [latest],
      removed: [{ ...vRule, exempt: [] }],
      // v1 of acme/web is protected all the same.
      tags: { becomeProtected: 1, loseProtection: 2 },
    });
    const same = await put(protection, { items: [vRule, kept] }, '?dryRun=true');
    assert.deepEqual([same.body.added, same.body.removed], [[], []]);
    assert.deepEqual((await api().admin.get(protection)).body.items, [kept, { ...vRule, exempt: [] }]);
  });

  it('of the registry counts everywhere', async () => {
    const all = { repositories: '**', tags: '*', rule: 'no-delete' };
    const plan = await put('/namespaces/system/protection-rules', { items: [all] }, '?dryRun=true');
    assert.equal(plan.status, 200, plan.text);
    assert.deepEqual(plan.body.tags, { becomeProtected: 1, loseProtection: 0 });
  });

  it('of retention tells where the preview is', async () => {
    const first = { policies: [{ repositories: ['acme/app'], deleteUntagged: true }] };
    assert.equal((await put(rules, first)).status, 200);
    const next = { delay: '24h', policies: [{ keepTags: [{ pushedWithin: '30d' }] }] };
    const plan = await put(rules, next, '?dryRun=true');
    assert.deepEqual(plan.body, {
      dryRun: true,
      rules: next,
      added: next.policies,
      removed: first.policies,
      preview: '/api/v1/namespaces/acme/retention-preview',
    });
    assert.deepEqual((await api().admin.get(rules)).body, first);
  });

  it('is refused as the change would be', async () => {
    const { admin } = api();
    for (const [path, good, bad] of [
      [protection, { items: [] }, { items: [{ ...vRule, exempt: ['nobody'] }] }],
      [rules, { policies: [] }, { policies: [{ repositories: ['other/**'] }] }],
    ] as const) {
      const where = `${path}?dryRun=true`;
      assertProblem(await admin.put(where, good), 428, 'precondition-required');
      const stale = { headers: { 'if-match': '"stale"' } };
      assertProblem(await admin.put(where, good, stale), 412, 'precondition-failed');
      const real = await put(path, bad);
      const dry = await put(path, bad, '?dryRun=true');
      assertProblem(dry, 400, 'invalid');
      assert.deepEqual(dry.body.errors, real.body.errors);
      const nowhere = where.replace('acme', 'nope');
      assertProblem(
        await admin.put(nowhere, good, { headers: { 'if-match': '*' } }),
        412,
        'precondition-failed',
      );
    }
    await api().addUser('rita');
    await admin.post('/namespaces/acme/grants', { subject: 'rita', object: 'acme/**', role: 'read' });
    const rita = await api().signIn('rita');
    assertProblem(await rita.put(`${protection}?dryRun=true`, { items: [] }), 403, 'denied');
  });
});

describe('the plan of a run', () => {
  it('of retention is what the preview answers, and is refused as the run would be', async (t) => {
    const { admin, addOrganization, registry } = await startApi(t);
    await addOrganization('acme');
    const headers = { authorization: `Bearer ${admin.secret}` };
    for (const tag of ['v1', 'v2']) await pushImage(registry.url, 'acme/app', tag, tag, headers);
    const runs = '/namespaces/acme/retention-runs';
    assertProblem(await admin.post(`${runs}?dryRun=true`, {}), 409, 'conflict', /no rules/);
    const etag = (await admin.get('/namespaces/acme/retention-rules')).headers.get('etag') ?? '';
    const ifMatch = { headers: { 'if-match': etag } };
    await admin.put('/namespaces/acme/retention-rules', retention, ifMatch);
    const preview = await admin.post('/namespaces/acme/retention-preview', {});
    const plan = await admin.post(`${runs}?dryRun=true`, {});
    assert.deepEqual(plan.body, { dryRun: true, ...preview.body });
    assert.deepEqual((await admin.get(runs)).body.items, []);
  });

  it('of retention and a delete of tags is refused where deleting is switched off', async (t) => {
    const { admin, addOrganization, registry } = await startApi(t, { 'storage.delete': 'false' });
    await addOrganization('acme');
    await pushImage(registry.url, 'acme/app', 'v1', 'v1', { authorization: `Bearer ${admin.secret}` });
    const etag = (await admin.get('/namespaces/acme/retention-rules')).headers.get('etag') ?? '';
    await admin.put('/namespaces/acme/retention-rules', retention, { headers: { 'if-match': etag } });
    assertProblem(await admin.post('/namespaces/acme/retention-runs?dryRun=true', {}), 405, 'invalid');
    const tags = '/repositories/acme/app/-/tags?match=v*&dryRun=true';
    assertProblem(await admin.delete(tags), 405, 'invalid');
  });

  it('of an operation tells what would be begun, without secrets', async (t) => {
    const { admin } = await startApi(t);
    const plan = (body: object) => admin.post('/operations?dryRun=true', body);
    const scrub = await plan({ kind: 'scrub', deep: true });
    assert.deepEqual(scrub.body, {
      dryRun: true,
      kind: 'scrub',
      request: { deep: true, repair: false },
    });
    const credentials = { username: 'ana', password: 'secret' };
    const source = { type: 'registry', url: 'https://old.example.com', credentials };
    const imported = await plan({ kind: 'import', source });
    assert.equal(imported.status, 200, imported.text);
    assert.equal(imported.body.request.source.username, 'ana');
    assert.doesNotMatch(imported.text, /"secret"/);
    assertProblem(await plan({ kind: 'gc', deep: true }), 400, 'invalid', /gc takes/);
    assertProblem(await plan({ kind: 'backup', destination: 'relative' }), 400, 'invalid', /absolute/);
    assert.deepEqual((await admin.get('/operations')).body.items, []);
  });

  it('of an operation is refused while one of its kind runs', async (t) => {
    const { admin, registry } = await startApi(t);
    const { operations } = registry.registry;
    const end = Promise.withResolvers<object>();
    t.after(() => end.resolve({}));
    const id = await operations.start('gc', {}, { actor: 'test' }, () => end.promise as Promise<never>);
    const plan = await admin.post('/operations?dryRun=true', { kind: 'gc' });
    assertProblem(plan, 409, 'conflict', new RegExp(`operation ${id}`));
    assert.equal(plan.headers.get('location'), `/api/v1/operations/${id}`);
    end.resolve({});
    await operations.wait(id);
    assert.equal((await admin.post('/operations?dryRun=true', { kind: 'gc' })).status, 200);
  });
});

describe('the plan of a removal', () => {
  it('is refused as the removal would be', async (t) => {
    const { admin, addOrganization, addUser, registry } = await startApi(t);
    await addUser('ana');
    await addOrganization('acme', 'ana');
    assertProblem(
      await admin.delete('/organizations/acme/members/ana?dryRun=true'),
      409,
      'conflict',
      /last owner/,
    );
    const headers = { authorization: `Bearer ${admin.secret}` };
    await pushImage(registry.url, 'acme/app', 'v1', 'v1', headers);
    await admin.delete('/repositories/acme/app/-/tags/v1');
    const [{ id }] = (await admin.get('/deleted?kind=tag')).body.items;
    assertProblem(await admin.delete(`/deleted/${id}?dryRun=true`), 409, 'conflict', /holds no bytes/);
  });

  it('of users in a file, too, says which names are taken', async (t) => {
    const { admin, addUser, addOrganization } = await startApi(t);
    await addUser('ana');
    await addUser('gone');
    await addOrganization('acme');
    await admin.delete('/users/gone');
    const hash = `$2y$10$${'a'.repeat(53)}`;
    const text = ['ana', 'gone', 'acme', 'ben'].map((name) => `${name}:${hash}\n`).join('');
    const plan = await admin.call('POST', '/users/import?dryRun=true', { body: text });
    assert.equal(plan.status, 200, plan.text);
    const { dryRun, ...would } = plan.body;
    assert.equal(dryRun, true);
    assert.deepEqual(would.added, ['ben']);
    assert.equal((await admin.get('/users/ben')).status, 404);
    assert.deepEqual((await admin.call('POST', '/users/import', { body: text })).body, would);
  });
});
