// Manifests over HTTP: push, pull, conditional requests, tags of one push, delete.
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
  sha512,
} from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';
import { sharedRegistry } from '../support/shared.ts';

describe('manifests', () => {
  const own = sharedRegistry();

  it('come back byte for byte, by tag and by digest, with the media type they were pushed with', async () => {
    const { url } = own();
    const image = await pushImage(url, 'acme/team/web', 'v1');
    for (const reference of ['v1', image.digest]) {
      const reply = await fetch(`${url}/v2/acme/team/web/manifests/${reference}`);
      assert.equal(reply.status, 200);
      assert.equal(reply.headers.get('content-type'), ociManifest);
      assert.equal(reply.headers.get('docker-content-digest'), image.digest);
      assert.equal(reply.headers.get('etag'), `"${image.digest}"`);
      assert.equal(reply.headers.get('content-length'), String(image.body.length));
      assert.equal(await reply.text(), image.body);
    }
  });

  it('are described by HEAD exactly as by GET, without a body', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const reply = await fetch(`${url}/v2/${web}/manifests/v1`, { method: 'HEAD' });
    assert.equal(reply.status, 200);
    assert.equal(reply.headers.get('content-type'), ociManifest);
    assert.equal(reply.headers.get('docker-content-digest'), image.digest);
    assert.equal(reply.headers.get('content-length'), String(image.body.length));
    const absent = await fetch(`${url}/v2/${web}/manifests/v2`, { method: 'HEAD' });
    assert.equal(absent.status, 404);
    assert.equal(await absent.text(), '');
  });

  it('answer 304 to a client that has them', async () => {
    const { url, web } = own();
    const { digest } = await pushImage(url, web, 'v1');
    const get = (etag: string) =>
      fetch(`${url}/v2/${web}/manifests/v1`, { headers: { 'if-none-match': etag } });
    for (const etag of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*', digest]) {
      assert.equal((await get(etag)).status, 304, etag);
    }
    assert.equal((await get(`"${sha256('other')}"`)).status, 200);
  });

  it('answer the push with location, digest and subject', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const referrer = {
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/example',
      config: {
        mediaType: 'application/vnd.oci.empty.v1+json',
        digest: await pushBlob(url, web, '{}'),
        size: 2,
      },
      layers: [],
      subject: image.descriptor,
    };
    const reply = await putManifest(url, web, 'sig', referrer);
    const digest = sha256(JSON.stringify(referrer));
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get('location'), `/v2/${web}/manifests/${digest}`);
    assert.equal(reply.headers.get('docker-content-digest'), digest);
    assert.equal(reply.headers.get('oci-subject'), image.digest);
  });

  it('are refused while something they reference is missing, and say what', async () => {
    const { url, web } = own();
    const missing = sha256('never pushed');
    const reply = await putManifest(url, web, 'v1', {
      schemaVersion: 2,
      mediaType: ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: missing, size: 12 },
      layers: [],
    });
    assert.equal(reply.status, 404);
    const { errors } = (await reply.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'MANIFEST_BLOB_UNKNOWN');
    assert.ok(errors[0]?.message.includes(missing));
    assert.equal((await fetch(`${url}/v2/${web}/manifests/v1`)).status, 404);
  });

  it('do not see the blobs of another repository', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const reply = await putManifest(url, 'acme/other', 'v1', Buffer.from(image.body));
    assert.equal(reply.status, 404);
    assert.equal(await errorCode(reply), 'MANIFEST_BLOB_UNKNOWN');
  });

  it('are refused when the body is not what the digest in the URL says', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const reply = await putManifest(url, web, sha256('other'), Buffer.from(image.body));
    assert.equal(reply.status, 400);
    assert.equal(await errorCode(reply), 'DIGEST_INVALID');
  });

  it('of schema 1 are refused with the reason', async () => {
    const { url, web } = own();
    const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
    const reply = await putManifest(url, web, 'v1', { schemaVersion: 1, name: web, fsLayers: [] }, type);
    assert.equal(reply.status, 400);
    const { errors } = (await reply.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'MANIFEST_INVALID');
    assert.match(errors[0]?.message ?? '', /schema 1/i);
  });

  it('beyond the size limit are refused with 413, and the client sees it', async (t) => {
    const { url } = await startRegistry(t, { 'storage.manifestSizeLimit': '4KiB' });
    const reply = await putManifest(url, 'acme/web', 'v1', Buffer.alloc(1 << 20, 0x20));
    assert.equal(reply.status, 413);
    assert.equal(await errorCode(reply), 'SIZE_INVALID');
  });

  it('take several tags in one push by digest', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const digest = sha512(image.body);
    const tags = Array.from({ length: 10 }, (_, index) => `t${index}`);
    const query = tags.map((tag) => `tag=${tag}`).join('&');
    const reply = await putManifest(url, web, `${digest}?${query}`, Buffer.from(image.body));
    assert.equal(reply.status, 201);
    assert.deepEqual(reply.headers.get('oci-tag')?.split(', '), tags);
    const pulled = await fetch(`${url}/v2/${web}/manifests/t9`);
    assert.equal(pulled.headers.get('docker-content-digest'), digest);
  });

  it('refuse more tags than one push may set with 414, and set none', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const query = Array.from({ length: 33 }, (_, index) => `tag=t${index}`).join('&');
    const reply = await putManifest(url, web, `${image.digest}?${query}`, Buffer.from(image.body));
    assert.equal(reply.status, 414);
    assert.equal((await fetch(`${url}/v2/${web}/manifests/t0`)).status, 404);
  });

  it('keep a foreign layer that was pushed, and do without one that was not', async () => {
    const { url, web } = own();
    const pushed = await pushBlob(url, web, 'a foreign layer');
    const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    const manifest = {
      schemaVersion: 2,
      mediaType: ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: await pushBlob(url, web, '{}'),
        size: 2,
      },
      layers: [pushed, sha256('elsewhere')].map((digest) => ({ mediaType: foreign, digest, size: 15 })),
    };
    assert.equal((await putManifest(url, web, 'v1', manifest)).status, 201);
    const held = await fetch(`${url}/v2/${web}/blobs/${pushed}`, { method: 'DELETE' });
    assert.equal(held.status, 405);
  });

  it('lose one tag alone when a tag is deleted', async () => {
    const { url, web } = own();
    const { digest } = await pushImage(url, web, 'v1');
    const gone = await fetch(`${url}/v2/${web}/manifests/v1`, { method: 'DELETE' });
    assert.equal(gone.status, 202);
    assert.equal((await fetch(`${url}/v2/${web}/manifests/v1`)).status, 404);
    assert.equal((await fetch(`${url}/v2/${web}/manifests/${digest}`)).status, 200);
    const list = (await (await fetch(`${url}/v2/${web}/tags/list`)).json()) as { tags: string[] };
    assert.deepEqual(list.tags, []);
  });

  it('go with their tags when deleted by digest, and answer 404 the second time', async () => {
    const { url, web } = own();
    const { digest } = await pushImage(url, web, 'v1');
    const remove = () => fetch(`${url}/v2/${web}/manifests/${digest}`, { method: 'DELETE' });
    assert.equal((await remove()).status, 202);
    for (const reference of ['v1', digest]) {
      const reply = await fetch(`${url}/v2/${web}/manifests/${reference}`);
      assert.equal(reply.status, 404);
      assert.equal(await errorCode(reply), 'MANIFEST_UNKNOWN');
    }
    assert.equal((await remove()).status, 404);
  });

  it('that an index lists cannot be deleted before the index', async () => {
    const { url, web } = own();
    const image = await pushImage(url, web, 'v1');
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [image.descriptor] };
    assert.equal((await putManifest(url, web, 'all', index, ociIndex)).status, 201);
    const reply = await fetch(`${url}/v2/${web}/manifests/${image.digest}`, { method: 'DELETE' });
    assert.equal(reply.status, 405);
    const { errors } = (await reply.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'UNSUPPORTED');
    assert.ok(errors[0]?.message.includes(sha256(JSON.stringify(index))));
  });

  it('cannot be deleted where deleting is switched off', async (t) => {
    const { url } = await startRegistry(t, { 'storage.delete': 'false' });
    const { digest } = await pushImage(url, 'acme/web', 'v1');
    const reply = await fetch(`${url}/v2/acme/web/manifests/${digest}`, { method: 'DELETE' });
    assert.equal(reply.status, 405);
    assert.equal(await errorCode(reply), 'UNSUPPORTED');
  });

  it('are addressed in repositories whose names contain the words of the API', async () => {
    const { url } = own();
    for (const name of ['blobs', 'a/manifests/b', 'a/blobs/uploads', 'tags/list', 'a/referrers']) {
      const image = await pushImage(url, name, 'v1', name);
      const reply = await fetch(`${url}/v2/${name}/manifests/v1`);
      assert.equal(reply.headers.get('docker-content-digest'), image.digest, name);
      const encoded = await fetch(`${url}/v2/${encodeURIComponent(name)}/manifests/v1`);
      assert.equal(encoded.headers.get('docker-content-digest'), image.digest, name);
    }
  });

  it('refuse malformed names, tags and digests with their own code', async () => {
    const { url, web } = own();
    const codeOf = async (path: string) => errorCode(await fetch(`${url}/v2/${path}`));
    assert.equal(await codeOf('Acme/web/manifests/v1'), 'NAME_INVALID');
    assert.equal(await codeOf(`${'a'.repeat(256)}/manifests/v1`), 'NAME_INVALID');
    assert.equal(await codeOf('acme%2F..%2Fweb/manifests/v1'), 'NAME_INVALID');
    assert.equal(await codeOf('acme%252Fweb/manifests/v1'), 'NAME_INVALID');
    assert.equal(await codeOf('acme%00/manifests/v1'), 'NAME_INVALID');
    assert.equal(await codeOf(`${web}/manifests/${'t'.repeat(129)}`), 'TAG_INVALID');
    assert.equal(await codeOf('acme/web/manifests/sha256:abc'), 'DIGEST_INVALID');
    assert.equal(await codeOf('acme/web/blobs/sha256:abc'), 'DIGEST_INVALID');
    assert.equal(await codeOf(`${web}/manifests/sha512:${'a'.repeat(128)}`), 'NAME_UNKNOWN');
  });
});
