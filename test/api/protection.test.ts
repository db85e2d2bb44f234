// Rules of protection in the management API, and what they refuse on every way to a tag.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiClient, type ApiRegistry, assertProblem, callLocally, startApi } from '../support/api.ts';
import { ociManifest, pushBlob, pushImage, putManifest, sha256 } from '../support/client.ts';
import { DistributionWriter } from '../support/distribution-folder.ts';
import { importFolder } from '../support/imports.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

const path = (namespace: string) => `/namespaces/${namespace}/protection-rules`;
const headersOf = ({ secret }: ApiClient) => ({ authorization: `Bearer ${secret}` });
const vRule = { repositories: '**', tags: 'v*', rule: 'immutable' };

/** Puts the whole set after it was read. */
async function put(client: ApiClient, namespace: string, items: readonly object[]) {
  const read = await client.get(path(namespace));
  const etag = read.headers.get('etag') ?? '';
  return await client.put(path(namespace), { items }, { headers: { 'if-match': etag } });
}

async function start(t: Parameters<typeof startApi>[0], items: readonly object[] = [vRule]) {
  const api = await startApi(t);
  await api.addOrganization('acme');
  const image = await pushImage(api.registry.url, 'acme/app', 'v1', 'one', headersOf(api.admin));
  const set = await put(api.admin, 'acme', items);
  assert.equal(set.status, 200, set.text);
  return { ...api, image, set };
}

/** Pushes another image than any before, under `reference` or its digest. */
async function pushWith(api: ApiRegistry, query: string, reference?: string, client = api.admin) {
  const { url } = api.registry;
  const headers = headersOf(client);
  const digest = await pushBlob(url, 'acme/app', '{}', headers);
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2 };
  const annotations = { turn: `${turn++}` };
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations };
  const place = reference ?? sha256(JSON.stringify(manifest));
  return await putManifest(url, 'acme/app', place + query, manifest, ociManifest, headers);
}

let turn = 0;

describe('protection rules', () => {
  it('are put as a whole in place of what was read, and read again with those of the registry', async (t) => {
    const api = await start(t);
    assert.deepEqual(api.set.body, { items: [{ ...vRule, exempt: [] }], inherited: [] });
    assertProblem(await api.admin.put(path('acme'), { items: [] }), 428, 'precondition-required');
    const stale = { headers: { 'if-match': '"stale"' } };
    assertProblem(await api.admin.put(path('acme'), { items: [] }, stale), 412, 'precondition-failed');
    const global = {
      repositories: 'acme/**',
      tags: 'release-?',
      rule: 'no-delete',
      exempt: ['administrators'],
    };
    assert.equal((await put(api.admin, 'system', [global])).status, 200);
    const { body } = await api.admin.get(path('acme'));
    assert.deepEqual(body, { items: [{ ...vRule, exempt: [] }], inherited: [global] });
    assert.deepEqual((await api.admin.get(path('system'))).body, { items: [global], inherited: [] });
    assertProblem(await api.admin.get(path('nope')), 404, 'not-found');
    const [event] = (await api.admin.get('/audit?action=rule.set&namespace=acme')).body.items;
    assert.deepEqual(event.detail.after.rules, [{ ...vRule, exempt: [] }]);
    assert.deepEqual(event.detail.before.rules, []);
  });

  it('are refused with what is wrong and where', async (t) => {
    const api = await start(t);
    const faults: readonly (readonly [object, string, RegExp])[] = [
      [{ tags: 'v{1' }, '/items/0/tags', /without its }/],
      [{ tags: '' }, '/items/0/tags', /./],
      [{ repositories: 'other/**' }, '/items/0/repositories', /not in the namespace acme/],
      [{ repositories: 'app' }, '/items/0/repositories', /write acme\/app/],
      [{ repositories: 'ACME/x' }, '/items/0/repositories', /no pattern/],
      [{ rule: 'frozen' }, '/items/0/rule', /./],
      [{ exempt: ['nobody'] }, '/items', /no nobody/],
      [{ exempt: ['authenticated'] }, '/items/0/exempt/0', /everybody/],
      [{ exempt: ['a/b/c'] }, '/items/0/exempt/0', /no subject/],
      [{ exempt: ['team:other/dev'] }, '/items', /no team:other\/dev/],
      [{ until: 'tomorrow' }, '/items/0/until', /./],
    ];
    for (const [member, pointer, detail] of faults) {
      const reply = await put(api.admin, 'acme', [{ ...vRule, ...member }]);
      assertProblem(reply, 400, 'invalid');
      assert.equal(reply.body.errors[0].pointer, pointer, reply.text);
      assert.match(reply.body.errors[0].detail, detail);
    }
    assertProblem(await put(api.admin, 'acme', Array(101).fill(vRule)), 400, 'invalid');
  });

  it('are for who maintains the namespace, and those of the registry for administrators', async (t) => {
    const api = await start(t, [{ ...vRule, exempt: ['administrators'] }]);
    for (const name of ['mia', 'rita', 'sam']) await api.addUser(name);
    for (const [subject, role] of [
      ['mia', 'maintain'],
      ['rita', 'read'],
    ])
      await api.admin.post('/namespaces/acme/grants', { subject, object: 'acme/**', role });
    await api.admin.post('/namespaces/system/grants', {
      subject: 'mia',
      object: 'system/**',
      role: 'maintain',
    });
    const [mia, rita, sam] = [await api.signIn('mia'), await api.signIn('rita'), await api.signIn('sam')];
    assert.deepEqual((await rita.get(path('acme'))).body.items, [vRule]);
    assert.deepEqual((await mia.get(path('acme'))).body.items, [{ ...vRule, exempt: ['administrators'] }]);
    assertProblem(await sam.get(path('acme')), 404, 'not-found');
    assertProblem(await put(rita, 'acme', []), 403, 'denied');
    assertProblem(await put(mia, 'system', []), 403, 'denied');
    assert.equal((await put(mia, 'acme', [])).status, 200);
  });

  it('hold in an open registry, where everybody on its machine sets those of a namespace', async (t) => {
    const registry = await startRegistry(t);
    const { url } = registry;
    await pushImage(url, 'acme/app', 'v1', 'one');
    const call = (namespace: string, method: string, headers: Record<string, string> = {}, body?: object) =>
      fetch(`${url}/api/v1${path(namespace)}`, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(body && { body: JSON.stringify(body) }),
      });
    for (const [namespace, status] of [
      ['acme', 200],
      ['system', 403],
    ] as const) {
      const etag = (await call(namespace, 'GET')).headers.get('etag') ?? '';
      const reply = await call(namespace, 'PUT', { 'if-match': etag }, { items: [vRule] });
      assert.equal(reply.status, status, await reply.text());
    }
    await assert.rejects(pushImage(url, 'acme/app', 'v1', 'two'), /403|immutable/);
    const local = await callLocally(registry, 'GET', path('system'));
    assert.equal(local.status, 200);
  });
});

describe('a protected tag', () => {
  it('is not moved by a push, and the sentence names the rule', async (t) => {
    const api = await start(t);
    const reply = await pushWith(api, '', 'v1');
    assert.equal(reply.status, 403);
    const [error] = ((await reply.json()) as { errors: { code: string; message: string; detail: object }[] })
      .errors;
    assert.equal(error?.code, 'DENIED');
    assert.equal(error?.message, 'tag v1 is immutable (rule v* of acme). Push another tag.');
    assert.deepEqual(error?.detail, { tag: 'v1', rule: 'immutable', tags: 'v*', namespace: 'acme' });
    assert.equal((await pushWith(api, '', 'dev')).status, 201);
    assert.equal((await pushWith(api, '', 'dev')).status, 201);
  });

  it('keeps a push by ?tag= from setting any of its tags', async (t) => {
    const api = await start(t);
    const reply = await pushWith(api, '?tag=new&tag=v1');
    assert.equal(reply.status, 403);
    const { url } = api.registry;
    const got = await fetch(`${url}/v2/acme/app/manifests/new`, { headers: headersOf(api.admin) });
    assert.equal(got.status, 404);
  });

  it('is not deleted, nor is its manifest, until the rule goes as the sentence says', async (t) => {
    const api = await start(t);
    const { url } = api.registry;
    const remove = (reference: string) =>
      fetch(`${url}/v2/acme/app/manifests/${reference}`, { method: 'DELETE', headers: headersOf(api.admin) });
    for (const reference of ['v1', api.image.digest]) {
      const reply = await remove(reference);
      assert.equal(reply.status, 403);
      const text = await reply.text();
      assert.match(text, /v1.* is immutable \(rule v\* of acme\)/);
      assert.match(text, /berth protect remove 'acme\/\*\*' --tags 'v\*'/);
    }
    await put(api.admin, 'acme', []);
    assert.equal((await remove(api.image.digest)).status, 202);
  });

  it('is refused by a dry run, too: of the tag, of its manifest, and of another digest for it', async (t) => {
    const api = await start(t);
    const place = '/repositories/acme/app/-';
    const other = await pushWith(api, '', 'dev');
    const digest = other.headers.get('docker-content-digest');
    assertProblem(await api.admin.delete(`${place}/tags/v1?dryRun=true`), 409, 'immutable', /tag v1 /);
    const manifest = `${place}/manifests/${api.image.digest}?dryRun=true`;
    assertProblem(await api.admin.delete(manifest), 409, 'immutable', /has tag v1, which is immutable/);
    assertProblem(
      await api.admin.put(`${place}/tags/v1?dryRun=true`, { digest }),
      409,
      'immutable',
      /tag v1 /,
    );
    assert.equal((await api.admin.delete(`${place}/manifests/${digest}?dryRun=true`)).status, 200);
    assert.equal((await api.admin.delete(`${place}/tags/dev?dryRun=true`)).status, 200);
  });

  it('is moved by who is exempted, also as a member of a team', async (t) => {
    const api = await start(t);
    await api.addUser('ana');
    const robot = await api.addRobot('acme+release');
    const origin = { actor: 'test' };
    await api.accounts.organizations.setMember({ organization: 'acme', user: 'ana', role: 'member', origin });
    await api.accounts.organizations.addTeam({ organization: 'acme', team: 'dev', origin });
    await api.accounts.organizations.addTeamMember({
      organization: 'acme',
      team: 'dev',
      user: 'ana',
      origin,
    });
    for (const subject of ['ana', 'acme+release'])
      await api.admin.post('/namespaces/acme/grants', { subject, object: 'acme/**', role: 'write' });
    const ana = await api.signIn('ana');
    assert.equal((await pushWith(api, '', 'v1', ana)).status, 403);
    const exempt = ['team:acme/dev', 'acme+release'];
    assert.equal((await put(api.admin, 'acme', [{ ...vRule, exempt }])).status, 200);
    assert.equal((await pushWith(api, '', 'v1', ana)).status, 201);
    assert.equal((await pushWith(api, '', 'v1', robot)).status, 201);
    assert.equal((await pushWith(api, '', 'v1')).status, 403);
  });

  it('keeps its organization, over the socket too, with 409 immutable', async (t) => {
    const api = await start(t);
    assertProblem(
      await api.admin.delete('/organizations/acme'),
      409,
      'immutable',
      /repository acme\/app has tag v1, which is immutable \(rule v\* of acme\)/,
    );
    const local = await callLocally(api.registry, 'DELETE', '/organizations/acme');
    assert.equal(local.status, 409);
    assert.equal((await put(api.admin, 'acme', [{ ...vRule, exempt: ['administrators'] }])).status, 200);
    assert.equal((await callLocally(api.registry, 'DELETE', '/organizations/acme')).status, 204);
  });

  it('stays in an import, which brings the rest and says so', async (t) => {
    const api = await start(t);
    const source = new DistributionWriter(await temporaryFolder(t));
    const other = await source.writeImage('acme/app', 'v1', 'from elsewhere');
    await source.writeImage('acme/app', 'v2', 'from elsewhere');
    const report = await importFolder(api.registry.registry, source.folder, { overwrite: true });
    assert.deepEqual(report.findings, [
      {
        kind: 'kept',
        repository: 'acme/app',
        digest: other.digest,
        tags: ['v1'],
        detail: 'the tag is immutable here (rule v* of acme)',
      },
    ]);
    assert.deepEqual(report.tags, { stored: 1, present: 0 });
    const { metadata } = api.registry.registry;
    const name = 'acme/app' as Parameters<typeof metadata.manifests.stat>[0];
    const stat = async (tag: string) => (await metadata.manifests.stat(name, { tag: tag as never }))?.digest;
    assert.equal(await stat('v1'), api.image.digest);
    assert.equal(await stat('v2'), other.digest);
  });
});
