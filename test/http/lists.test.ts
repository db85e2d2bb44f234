// Lists over HTTP: tags, catalog, referrers, search.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  errorCode,
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
  putManifest,
  sha256,
} from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

async function json<Body>(url: string): Promise<{ body: Body; headers: Headers; status: number }> {
  const reply = await fetch(url);
  return { body: (await reply.json()) as Body, headers: reply.headers, status: reply.status };
}

describe('tags/list', () => {
  it('is in bytewise order and pages by n and last', async (t) => {
    const { url } = await startRegistry(t);
    const { body: manifest } = await pushImage(url, 'acme/web', 'b');
    for (const tag of ['a', 'B', '10', '9', '_x'])
      await putManifest(url, 'acme/web', tag, Buffer.from(manifest));
    const whole = await json<object>(`${url}/v2/acme/web/tags/list`);
    assert.deepEqual(whole.body, { name: 'acme/web', tags: ['10', '9', 'B', '_x', 'a', 'b'] });
    assert.equal(whole.headers.get('link'), null);
    const seen: string[] = [];
    let next: string | undefined = '/v2/acme/web/tags/list?n=2';
    while (next !== undefined) {
      const page: { body: { tags: string[] }; headers: Headers } = await json(url + next);
      assert.ok(page.body.tags.length > 0);
      seen.push(...page.body.tags);
      next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
    }
    assert.deepEqual(seen, ['10', '9', 'B', '_x', 'a', 'b']);
    assert.deepEqual((await json<{ tags: string[] }>(`${url}/v2/acme/web/tags/list?last=_x`)).body.tags, [
      'a',
      'b',
    ]);
    const none = await json<{ tags: string[] }>(`${url}/v2/acme/web/tags/list?n=0`);
    assert.deepEqual(none.body.tags, []);
    assert.equal(none.headers.get('link'), null);
    for (const n of ['99999999', '9'.repeat(30)]) {
      const all = await json<{ tags: string[] }>(`${url}/v2/acme/web/tags/list?n=${n}`);
      assert.equal(all.body.tags.length, 6);
    }
  });

  it('refuses an n that is no number', async (t) => {
    const { url } = await startRegistry(t);
    await pushImage(url, 'acme/web', 'v1');
    for (const n of ['-1', 'x', '1.5', '1e3']) {
      const reply = await fetch(`${url}/v2/acme/web/tags/list?n=${n}`);
      assert.equal(reply.status, 400, n);
      assert.equal(await errorCode(reply), 'PAGINATION_NUMBER_INVALID');
    }
  });

  it('does not know a repository that has blobs alone', async (t) => {
    const { url } = await startRegistry(t);
    await pushBlob(url, 'acme/web', 'x');
    const reply = await fetch(`${url}/v2/acme/web/tags/list`);
    assert.equal(reply.status, 404);
    assert.equal(await errorCode(reply), 'NAME_UNKNOWN');
    assert.deepEqual((await json(`${url}/v2/_catalog`)).body, { repositories: [] });
  });
});

describe('the catalog', () => {
  it('lists repositories with a manifest, page by page', async (t) => {
    const { url } = await startRegistry(t);
    for (const name of ['acme/web', 'alpine', 'acme/api']) await pushImage(url, name, 'v1');
    assert.deepEqual((await json(`${url}/v2/_catalog`)).body, {
      repositories: ['acme/api', 'acme/web', 'alpine'],
    });
    const first = await json(`${url}/v2/_catalog?n=2`);
    assert.deepEqual(first.body, { repositories: ['acme/api', 'acme/web'] });
    assert.equal(first.headers.get('link'), '</v2/_catalog?last=acme%2Fweb&n=2>; rel="next"');
    const last = await json(`${url}/v2/_catalog?n=2&last=acme/web`);
    assert.deepEqual(last.body, { repositories: ['alpine'] });
    assert.equal(last.headers.get('link'), null);
  });
});

describe('referrers', () => {
  it('list the manifests of a subject with type and annotations, filtered where asked', async (t) => {
    const { url } = await startRegistry(t);
    const image = await pushImage(url, 'acme/web', 'v1');
    const empty = {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: await pushBlob(url, 'acme/web', '{}'),
      size: 2,
    };
    const refer = async (kind: string) => {
      const manifest = {
        schemaVersion: 2,
        mediaType: ociManifest,
        artifactType: `application/${kind}`,
        config: empty,
        layers: [empty],
        subject: image.descriptor,
        annotations: { kind },
      };
      const digest = sha256(JSON.stringify(manifest));
      assert.equal((await putManifest(url, 'acme/web', digest, manifest)).status, 201);
      return {
        mediaType: ociManifest,
        digest,
        size: JSON.stringify(manifest).length,
        artifactType: manifest.artifactType,
        annotations: { kind },
      };
    };
    const sbom = await refer('sbom');
    const signature = await refer('signature');
    const path = `${url}/v2/acme/web/referrers/${image.digest}`;
    const all = await json(path);
    assert.equal(all.headers.get('content-type'), ociIndex);
    assert.deepEqual(all.body, { schemaVersion: 2, mediaType: ociIndex, manifests: [sbom, signature] });
    const filtered = await json<{ manifests: object[] }>(`${path}?artifactType=application/sbom`);
    assert.deepEqual(filtered.body.manifests, [sbom]);
    assert.equal(filtered.headers.get('oci-filters-applied'), 'artifactType');
    const both = await json<{ manifests: object[] }>(
      `${path}?artifactType=application/sbom&artifactType=application/signature`,
    );
    assert.equal(both.body.manifests.length, 2);
    await fetch(`${url}/v2/acme/web/manifests/${sbom.digest}`, { method: 'DELETE' });
    assert.deepEqual((await json<{ manifests: object[] }>(path)).body.manifests, [signature]);
  });

  it('are an empty index for what is unknown, and 400 for what is no digest', async (t) => {
    const { url } = await startRegistry(t);
    const reply = await json(`${url}/v2/no/such/referrers/${sha256('x')}`);
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.body, { schemaVersion: 2, mediaType: ociIndex, manifests: [] });
    const malformed = await fetch(`${url}/v2/acme/web/referrers/sha256:x`);
    assert.equal(malformed.status, 400);
    assert.equal(await errorCode(malformed), 'DIGEST_INVALID');
  });

  it('end a page before four MiB and link the rest', async (t) => {
    const { url } = await startRegistry(t);
    const subject = { mediaType: ociManifest, digest: sha256('absent'), size: 6 };
    const annotations = { filler: 'x'.repeat(1_400_000) };
    for (let index = 0; index < 4; index += 1) {
      const manifest = {
        schemaVersion: 2,
        mediaType: ociIndex,
        manifests: [],
        subject,
        annotations: { ...annotations, index: String(index) },
      };
      assert.equal((await putManifest(url, 'acme/web', `i${index}`, manifest, ociIndex)).status, 201);
    }
    const seen: string[] = [];
    let next: string | undefined = `/v2/acme/web/referrers/${subject.digest}`;
    let pages = 0;
    while (next !== undefined) {
      const reply: Response = await fetch(url + next);
      const text = await reply.text();
      assert.ok(text.length < 4 << 20);
      const { manifests } = JSON.parse(text) as { manifests: { annotations: { index: string } }[] };
      seen.push(...manifests.map((manifest) => manifest.annotations.index));
      next = /^<([^>]+)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1];
      pages += 1;
    }
    assert.deepEqual(seen, ['0', '1', '2', '3']);
    assert.equal(pages, 2);
  });
});

describe('search', () => {
  it('finds by a part of the name, in docker’s words', async (t) => {
    const { url } = await startRegistry(t);
    for (const name of ['acme/web', 'acme/api', 'alpine']) await pushImage(url, name, 'v1');
    assert.equal((await fetch(`${url}/v1/_ping`)).status, 200);
    type Found = { num_results: number; query: string; results: { name: string; is_official: boolean }[] };
    const found = await json<Found>(`${url}/v1/search?q=ACME&n=25`);
    assert.equal(found.body.num_results, 2);
    assert.deepEqual(
      found.body.results.map(({ name }) => name),
      ['acme/api', 'acme/web'],
    );
    assert.equal((await json<Found>(`${url}/v1/search?q=&n=1`)).body.results.length, 1);
    assert.deepEqual((await json<Found>(`${url}/v1/search?q=100%25_`)).body.results, []);
  });
});
