// Tags and manifests in the management API: lists, retag and copy, notices of deprecation.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiClient, assertProblem } from '../support/api.ts';
import { ociIndex, ociManifest, putManifest, sha256 } from '../support/client.ts';
import { headersOf, manifestsOf, namesIn, startShop, tagsOf } from '../support/shop.ts';

describe('lists of tags', () => {
  it('tell of each tag what people ask for, and sort, filter and page', async (t) => {
    const { admin, push, registry } = await startShop(t);
    const digest = await push('acme/web', 'v1.2.0');
    await push('acme/web', 'v1.10.0');
    await push('acme/web', 'latest', 'v1.10.0');
    await fetch(`${registry.url}/v2/acme/web/manifests/v1.2.0`, { headers: headersOf(admin) });
    const { body } = await admin.get(`${tagsOf('acme/web')}?q=V1.2`);
    const [shown] = body.items;
    assert.deepEqual(
      { ...shown, pushedAt: '', size: 0 },
      {
        name: 'v1.2.0',
        digest,
        mediaType: ociManifest,
        artifactType: 'application/vnd.oci.image.config.v1+json',
        kind: 'image',
        platforms: ['linux/amd64'],
        size: 0,
        pulledAt: null,
        pulls: 0,
        signed: false,
        pushedAt: '',
        pushedBy: 'admin',
        immutable: null,
        deprecation: null,
      },
    );
    const list = async (query: string) =>
      namesIn((await admin.get(`${tagsOf('acme/web')}${query}`)).body.items);
    assert.deepEqual(await list(''), ['latest', 'v1.10.0', 'v1.2.0']);
    assert.deepEqual(await list('?sort=-semver'), ['v1.10.0', 'v1.2.0', 'latest']);
    assert.deepEqual(await list('?q=v1.*&sort=semver'), ['v1.2.0', 'v1.10.0']);
    assert.deepEqual(await list('?platform=linux/arm64'), []);
    assert.deepEqual(await list('?platform=linux/amd64&signed=false&q=latest'), ['latest']);
    const names: string[] = [];
    let path: string | null = `${tagsOf('acme/web')}?limit=1&sort=-size`;
    while (path !== null) {
      const page: { items: { name: string }[]; next: string | null } = (await admin.get(path)).body;
      names.push(...namesIn(page.items));
      path = page.next && `${tagsOf('acme/web')}?limit=1&sort=-size&cursor=${page.next}`;
    }
    assert.equal(names.length, 3);
    const { next } = (await admin.get(`${tagsOf('acme/web')}?limit=1&sort=size`)).body;
    for (const query of [
      `?sort=-size&cursor=${next}`,
      '?sort=digest',
      '?platform=linux',
      '?q=%5Ba',
      '?cursor=WyJuYW1lIiw1XQ',
      '?cursor=x',
      '?immutable=true',
    ])
      assertProblem(await admin.get(`${tagsOf('acme/web')}${query}`), 400, 'invalid');
    assertProblem(await admin.get(tagsOf('acme/none')), 404, 'not-found');
  });

  it('count pulls, tell of signatures, and one tag has an entity tag that pulls do not move', async (t) => {
    const { admin, push, registry } = await startShop(t);
    const digest = await push('acme/web', 'v1');
    const one = () => admin.get(`${tagsOf('acme/web')}/v1`);
    const before = await one();
    await registry.registry.metadata.manifests.recordPulls([
      { repository: 'acme/web' as never, digest: digest as never, pulls: 2, lastAt: 1_900_000_000 },
    ]);
    const signature = {
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256('{}'), size: 2 },
      layers: [],
      subject: { mediaType: ociManifest, digest, size: 10 },
      annotations: { 'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1' },
    };
    await fetch(`${registry.url}/v2/acme/web/blobs/uploads/?digest=${sha256('{}')}`, {
      method: 'POST',
      headers: headersOf(admin),
      body: '{}',
    });
    const text = JSON.stringify(signature);
    const put = await putManifest(
      registry.url,
      'acme/web',
      sha256(text),
      signature,
      ociManifest,
      headersOf(admin),
    );
    assert.equal(put.status, 201, await put.text());
    const after = await one();
    assert.deepEqual(
      [after.body.pulls, after.body.pulledAt, after.body.signed],
      [2, '2030-03-17T17:46:40.000Z', true],
    );
    assert.equal(after.headers.get('etag'), before.headers.get('etag'));
    assertProblem(await admin.get(`${tagsOf('acme/web')}/v9`), 404, 'not-found');
    assertProblem(await admin.get(`${tagsOf('acme/web')}/.v9`), 400, 'invalid');
  });

  it('of manifests show those without a tag, and what lists them', async (t) => {
    const { admin, push, registry } = await startShop(t);
    const child = await push('acme/web', 'v1');
    const index = {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [
        {
          mediaType: ociManifest,
          digest: child,
          size: 10,
          platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
        },
        {
          mediaType: ociManifest,
          digest: child,
          size: 10,
          platform: { os: 'unknown', architecture: 'unknown' },
        },
      ],
    };
    assert.equal(
      (await putManifest(registry.url, 'acme/web', 'multi', index, ociIndex, headersOf(admin))).status,
      201,
    );
    assert.equal((await admin.delete(`${tagsOf('acme/web')}/v1`)).status, 204);
    const list = async (query = '') => (await admin.get(`${manifestsOf('acme/web')}${query}`)).body.items;
    const [first, second] = await list();
    assert.deepEqual(
      [first.kind, first.platforms, first.tags, first.listedBy],
      ['index', ['linux/arm64'], ['multi'], []],
    );
    assert.equal(first.size, second.size);
    assert.deepEqual([second.digest, second.tags, second.listedBy], [child, [], [first.digest]]);
    assert.deepEqual((await list('?tagged=false')).length, 1);
    assert.deepEqual((await list('?kind=index')).length, 1);
    const refused = await admin.delete(`${manifestsOf('acme/web')}/${child}`);
    assertProblem(refused, 409, 'conflict', /part of index sha256:/);
    const plan = (await admin.delete(`${manifestsOf('acme/web')}/${first.digest}?dryRun=true`)).body;
    assert.deepEqual([plan.dryRun, plan.tags, plan.tagCount], [true, ['multi'], 1]);
    assert.equal((await admin.delete(`${manifestsOf('acme/web')}/${first.digest}`)).status, 204);
    assertProblem(await admin.delete(`${manifestsOf('acme/web')}/${first.digest}`), 404, 'not-found');
    assertProblem(await admin.delete(`${manifestsOf('acme/web')}/multi`), 400, 'invalid');
  });
});

describe('setting a tag', () => {
  it('retags, with a history, one audit row and the tag that /v2 gives at once', async (t) => {
    const { push, people, registry } = await startShop(t);
    const one = await push('acme/web', 'v1');
    const two = await push('acme/web', 'v2');
    const set = await people.write.put(`${tagsOf('acme/web')}/stable`, { digest: one });
    assert.equal(set.status, 201, set.text);
    assert.equal(set.headers.get('location'), '/api/v1/repositories/acme/web/-/tags/stable');
    assert.deepEqual([set.body.digest, set.body.change.action], [one, 'retag']);
    const etag = set.headers.get('etag') ?? '';
    const move = (headers: Record<string, string>, digest = two) =>
      people.write.put(`${tagsOf('acme/web')}/stable`, { digest }, { headers });
    assertProblem(await move({ 'if-none-match': '*' }), 412, 'precondition-failed');
    const moved = await move({ 'if-match': etag });
    assert.deepEqual([moved.status, moved.body.change.previousDigest], [200, one]);
    assertProblem(await move({ 'if-match': etag }), 412, 'precondition-failed');
    const pulled = await fetch(`${registry.url}/v2/acme/web/manifests/stable`, {
      headers: headersOf(people.read),
    });
    assert.equal(pulled.headers.get('docker-content-digest'), two);
    const { items } = (await people.read.get(`${tagsOf('acme/web')}/stable/history`)).body;
    assert.deepEqual(
      items.map((each: { action: string; digest: string; actor: string }) => [
        each.action,
        each.digest,
        each.actor,
      ]),
      [
        ['retag', two, 'a-write'],
        ['retag', one, 'a-write'],
      ],
    );
    assertProblem(await people.read.get(`${tagsOf('acme/web')}/never/history`), 404, 'not-found');
    assertProblem(await people.read.get(`${tagsOf('acme/none')}/never/history`), 404, 'not-found');
    assertProblem(await people.read.put(`${tagsOf('acme/web')}/stable`, { digest: one }), 403, 'denied');
    for (const body of [
      {},
      { digest: 'v1' },
      { digest: one, from: { repository: 'acme/web', reference: 'v1' } },
      { digest: one, referrers: true },
    ])
      assertProblem(await people.write.put(`${tagsOf('acme/web')}/stable`, body), 400, 'invalid');
    const none = sha256('none');
    assertProblem(await people.write.put(`${tagsOf('acme/web')}/stable`, { digest: none }), 404, 'not-found');
    assertProblem(await people.write.put(`${tagsOf('acme/none')}/stable`, { digest: one }), 404, 'not-found');
  });

  it('copies across repositories for whoever may read there, and hides what one may not', async (t) => {
    const { admin, push, people, addOrganization, registry } = await startShop(t);
    await addOrganization('shop');
    const digest = await push('shop/web', 'v1');
    const copy = (who: ApiClient, repository: string, options = {}) =>
      who.put(`${tagsOf('acme/prod')}/v1`, { from: { repository, reference: 'v1' }, ...options });
    const hidden = await copy(people.write, 'shop/web');
    const absent = await copy(people.write, 'shop/nil');
    assertProblem(hidden, 404, 'not-found');
    assert.equal(hidden.body.detail.replace('shop/web', ''), absent.body.detail.replace('shop/nil', ''));
    await admin.patch('/repositories/shop%2Fweb', { visibility: 'public' });
    const plan = await people.write.put(`${tagsOf('acme/prod')}/v1?dryRun=true`, {
      from: { repository: 'shop/web', reference: digest },
    });
    assert.deepEqual([plan.body.dryRun, plan.body.copied.manifests, plan.body.action], [true, 1, 'copy']);
    assertProblem(await admin.get(tagsOf('acme/prod')), 404, 'not-found');
    const copied = await copy(people.write, 'shop/web');
    assert.equal(copied.status, 201, copied.text);
    assert.deepEqual(copied.body.change.copied, plan.body.copied);
    const pulled = await fetch(`${registry.url}/v2/acme/prod/manifests/v1`, {
      headers: headersOf(people.read),
    });
    assert.equal(pulled.headers.get('docker-content-digest'), digest);
    assertProblem(await copy(people.read, 'shop/web'), 403, 'denied');
    assertProblem(
      await people.write.put(`${tagsOf('acme/prod')}/v1`, {
        from: { repository: 'shop/web', reference: 'v9' },
      }),
      404,
      'not-found',
      /shop\/web:v9/,
    );
    assertProblem(
      await people.write.put(`${tagsOf('elsewhere/prod')}/v1`, {
        from: { repository: 'shop/web', reference: 'v1' },
      }),
      404,
      'not-found',
    );
  });

  it('is held to the quota, and says so', async (t) => {
    const { admin, push, addOrganization } = await startShop(t);
    await addOrganization('tiny');
    await push('acme/web', 'v1');
    await admin.put('/namespaces/tiny/quota', { bytes: 5, repositories: null });
    const copy = { from: { repository: 'acme/web', reference: 'v1' } };
    assertProblem(
      await admin.put(`${tagsOf('tiny/web')}/v1`, copy),
      403,
      'quota-exceeded',
      /quota of 5 bytes/,
    );
    assertProblem(await admin.put(`${tagsOf('tiny/web')}/v1?dryRun=true`, copy), 403, 'quota-exceeded');
    assertProblem(await admin.get(tagsOf('tiny/web')), 404, 'not-found');
  });

  it('waits while the registry is read-only, but for a dry run; deleting can be switched off', async (t) => {
    const { admin, push } = await startShop(t, { 'storage.delete': 'false' });
    const digest = await push('acme/web', 'v1');
    const off = await admin.delete(`${tagsOf('acme/web')}/v1`);
    assert.equal(off.status, 405, off.text);
    assert.equal((await admin.delete(`${tagsOf('acme/web')}?match=*`)).status, 405);
    assert.equal((await admin.delete(`${manifestsOf('acme/web')}/${digest}`)).status, 405);
    await admin.put('/read-only', { readOnly: true, message: 'moving house' });
    assertProblem(await admin.put(`${tagsOf('acme/web')}/v2`, { digest }), 503, 'read-only', /moving house/);
    assert.equal((await admin.put(`${tagsOf('acme/web')}/v2?dryRun=true`, { digest })).status, 200);
    assertProblem(await admin.delete(`${tagsOf('acme/web')}/v1`), 503, 'read-only');
  });

  it('is not removed while the registry is read-only; a dry run tells what would go', async (t) => {
    const { admin, push } = await startShop(t);
    await push('acme/web', 'v1');
    await admin.put('/read-only', { readOnly: true, message: 'moving house' });
    assertProblem(await admin.delete(`${tagsOf('acme/web')}/v1`), 503, 'read-only', /moving house/);
    const planned = await admin.delete(`${tagsOf('acme/web')}/v1?dryRun=true`);
    assert.deepEqual([planned.status, planned.body.dryRun], [200, true]);
  });
});

describe('a notice of deprecation', () => {
  it('is in lists and goes with every pull, escaped, until it is taken back', async (t) => {
    const { admin, push, people, registry } = await startShop(t);
    const digest = await push('acme/web', 'v1');
    const pull = async (reference: string, method = 'GET') =>
      (
        await fetch(`${registry.url}/v2/acme/web/manifests/${reference}`, {
          method,
          headers: headersOf(people.read),
        })
      ).headers.get('warning');
    assert.equal(await pull('v1'), null);
    const deprecation = { message: 'it has "holes"\\', replacement: 'acme/web:v2' };
    const set = await people.maintain.patch(`${tagsOf('acme/web')}/v1`, { deprecation });
    assert.deepEqual(set.body.deprecation, deprecation);
    const warning = '299 - "acme/web:v1 is deprecated: it has \'holes\'\\\\; use acme/web:v2 instead"';
    assert.equal(await pull('v1'), warning);
    assert.equal(await pull('v1', 'HEAD'), warning);
    assert.equal(await pull(digest), null);
    assert.deepEqual((await admin.get(tagsOf('acme/web'))).body.items[0].deprecation, deprecation);
    assertProblem(await people.write.patch(`${tagsOf('acme/web')}/v1`, { deprecation: null }), 403, 'denied');
    const cleared = await people.maintain.patch(`${tagsOf('acme/web')}/v1`, { deprecation: null });
    assert.equal(cleared.body.deprecation, null);
    assert.equal(await pull('v1'), null);
  });

  it('of a repository takes the role maintain, and only that', async (t) => {
    const { push, people, registry, admin } = await startShop(t);
    const digest = await push('acme/web', 'v1');
    const patch = (body: object) => people.maintain.patch('/repositories/acme%2Fweb', body);
    assert.equal(
      (await patch({ deprecation: { message: 'zieht um: grün' } })).body.deprecation.message,
      'zieht um: grün',
    );
    assertProblem(await patch({ deprecation: null, description: 'x' }), 403, 'denied', /role admin/);
    const pulled = await fetch(`${registry.url}/v2/acme/web/manifests/${digest}`, {
      headers: headersOf(admin),
    });
    const bytes = Buffer.from(pulled.headers.get('warning') ?? '', 'latin1').toString('utf8');
    assert.equal(bytes, `299 - "acme/web@${digest} is deprecated: zieht um: grün"`);
    assert.equal((await patch({ deprecation: null })).body.deprecation, null);
  });

  it('holds no control characters and fits into a header', async (t) => {
    const { admin, push } = await startShop(t);
    await push('acme/web', 'v1');
    const patch = (message: string, replacement?: string) =>
      admin.patch(`${tagsOf('acme/web')}/v1`, { deprecation: { message, replacement } });
    for (const message of ['a\nb', 'a\u0000b', ' ', '', 'a\u0085b', '\\'.repeat(2000), 'ü'.repeat(2000)])
      assertProblem(await patch(message), 400, 'invalid');
    assertProblem(await patch('ok', 'a\r\nx: y'), 400, 'invalid');
    assertProblem(await admin.patch(`${tagsOf('acme/web')}/v9`, { deprecation: null }), 404, 'not-found');
    const wrong = (deprecation: unknown) => admin.patch(`${tagsOf('acme/web')}/v1`, { deprecation });
    assertProblem(
      await wrong({ message: 'x'.repeat(2001) }),
      400,
      'invalid',
      /^deprecation\/message: .*2000/,
    );
    assertProblem(
      await wrong({ message: 'x', instead: 'y' }),
      400,
      'invalid',
      /allowed: message, replacement/,
    );
    assertProblem(await wrong({}), 400, 'invalid', /^deprecation\/message: this is missing/);
    assertProblem(await wrong('gone'), 400, 'invalid', /^deprecation: use object, or null/);
    assert.equal((await patch('x'.repeat(2000))).status, 200);
  });
});
