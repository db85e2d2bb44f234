// Uploads over HTTP: every form of bringing a blob, resuming, cancelling and mounting.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { beginUpload, errorCode, pushBlob, sha256, sha512 } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';
import { sharedRegistry } from '../support/shared.ts';

const content = 'the content of a blob';
const digest = sha256(content);

/** The status of a blob in a repository. */
async function blobStatus(url: string, name: string, of = digest): Promise<number> {
  return (await fetch(`${url}/v2/${name}/blobs/${of}`, { method: 'HEAD' })).status;
}

describe('an upload', () => {
  const own = sharedRegistry();

  it('works as one POST', async () => {
    const { url, web } = own();
    const reply = await fetch(`${url}/v2/${web}/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      body: content,
    });
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get('location'), `/v2/${web}/blobs/${digest}`);
    assert.equal(reply.headers.get('docker-content-digest'), digest);
    assert.equal(await (await fetch(`${url}/v2/${web}/blobs/${digest}`)).text(), content);
  });

  it('works as POST and PUT, with and without the trailing slash', async () => {
    const { url } = own();
    for (const [name, path] of [
      ['a/b', 'uploads/'],
      ['a/c', 'uploads'],
    ]) {
      const begun = await fetch(`${url}/v2/${name}/blobs/${path}`, { method: 'POST' });
      assert.equal(begun.status, 202);
      assert.equal(begun.headers.get('range'), '0-0');
      assert.ok(begun.headers.get('docker-upload-uuid'));
      const location = new URL(begun.headers.get('location') ?? '', url);
      location.searchParams.set('digest', digest);
      const reply = await fetch(location, { method: 'PUT', body: content });
      assert.equal(reply.status, 201);
      assert.equal(await blobStatus(url, name ?? ''), 200);
    }
  });

  it('works as a streamed PATCH and an empty PUT', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    const body = new Blob([content]).stream();
    const patched = await fetch(location, { method: 'PATCH', body, duplex: 'half' } as RequestInit);
    assert.equal(patched.status, 202);
    assert.equal(patched.headers.get('range'), `0-${content.length - 1}`);
    assert.ok(patched.headers.get('location'));
    assert.ok(patched.headers.get('docker-upload-uuid'));
    assert.equal((await fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status, 201);
    assert.equal(await blobStatus(url, web), 200);
  });

  it('works in chunks, and tells where to go on when one does not fit', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    const patch = (range: string, body: string) =>
      fetch(location, { method: 'PATCH', body, headers: { 'content-range': range } });
    assert.equal((await patch('0-9', content.slice(0, 10))).status, 202);
    const early = await patch('5-9', content.slice(5, 10));
    assert.equal(early.status, 416);
    assert.equal(early.headers.get('range'), '0-9');
    assert.equal(new URL(early.headers.get('location') ?? '', url).href, location);
    assert.ok(early.headers.get('docker-upload-uuid'));
    assert.equal((await patch('20-25', 'xxxxxx')).status, 416);
    const lying = await patch('10-12', content.slice(10));
    assert.equal(lying.status, 400);
    assert.equal(await errorCode(lying), 'SIZE_INVALID');
    const status = await fetch(location);
    assert.equal(status.status, 204);
    assert.equal(status.headers.get('range'), '0-9');
    const last = await fetch(`${location}?digest=${digest}`, {
      method: 'PUT',
      body: content.slice(10),
      headers: { 'content-range': `10-${content.length - 1}` },
    });
    assert.equal(last.status, 201);
    assert.equal(await (await fetch(`${url}/v2/${web}/blobs/${digest}`)).text(), content);
  });

  it('keeps what arrived when the client goes away in mid-PATCH', async (t) => {
    const { url } = await startRegistry(t);
    const location = await beginUpload(url, 'acme/web');
    await new Promise<void>((resolve) => {
      const patch = request(location, { method: 'PATCH', headers: { 'transfer-encoding': 'chunked' } });
      patch.on('error', () => resolve());
      patch.write(content.slice(0, 7), () => setTimeout(() => patch.destroy(), 100));
      patch.on('close', () => resolve());
    });
    let range = '';
    for (let attempt = 0; attempt < 50 && range !== '0-6'; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      range = (await fetch(location)).headers.get('range') ?? '';
    }
    assert.equal(range, '0-6');
    const rest = await fetch(location, {
      method: 'PATCH',
      body: content.slice(7),
      headers: { 'content-range': `7-${content.length - 1}` },
    });
    assert.equal(rest.status, 202);
    assert.equal((await fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status, 201);
  });

  it('of nothing is a blob of zero bytes', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    const empty = await fetch(location, { method: 'PATCH', body: '' });
    assert.equal(empty.status, 202);
    assert.equal(empty.headers.get('range'), '0-0');
    assert.equal((await fetch(`${location}?digest=${sha256('')}`, { method: 'PUT' })).status, 201);
    const reply = await fetch(`${url}/v2/${web}/blobs/${sha256('')}`);
    assert.equal(reply.status, 200);
    assert.equal(reply.headers.get('content-length'), '0');
  });

  it('takes sha512 without being told before, and keeps that identity', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    await fetch(location, { method: 'PATCH', body: content });
    const reply = await fetch(`${location}?digest=${sha512(content)}`, { method: 'PUT' });
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get('docker-content-digest'), sha512(content));
    assert.equal(await blobStatus(url, web, sha512(content)), 200);
    assert.equal(await blobStatus(url, web), 404);
  });

  it('takes a hint of its algorithm', async () => {
    const { url, web } = own();
    const begun = await fetch(`${url}/v2/${web}/blobs/uploads/?digest-algorithm=sha512`, {
      method: 'POST',
    });
    assert.equal(begun.status, 202);
    const location = new URL(begun.headers.get('location') ?? '', url).href;
    assert.equal(
      (await fetch(`${location}?digest=${sha512(content)}`, { method: 'PUT', body: content })).status,
      201,
    );
    const unknown = await fetch(`${url}/v2/${web}/blobs/uploads/?digest-algorithm=md5`, { method: 'POST' });
    assert.equal(unknown.status, 400);
  });

  it('that is not what its digest says is refused and over', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    const missing = await fetch(location, { method: 'PUT', body: content });
    assert.equal(missing.status, 400);
    assert.equal(await errorCode(missing), 'DIGEST_INVALID');
    const wrong = await fetch(`${location}?digest=${sha256('other')}`, { method: 'PUT', body: content });
    assert.equal(wrong.status, 400);
    assert.equal(await errorCode(wrong), 'DIGEST_INVALID');
    assert.equal((await fetch(location)).status, 404);
    assert.equal(await blobStatus(url, web), 404);
  });

  it('can be cancelled, once', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    assert.equal((await fetch(location, { method: 'DELETE' })).status, 204);
    const again = await fetch(location, { method: 'DELETE' });
    assert.equal(again.status, 404);
    assert.equal(await errorCode(again), 'BLOB_UPLOAD_UNKNOWN');
    assert.equal((await fetch(location, { method: 'PATCH', body: 'x' })).status, 404);
  });

  it('is unknown in another repository', async () => {
    const { url, web } = own();
    const location = await beginUpload(url, web);
    assert.equal((await fetch(location.replace(web, 'acme/api'))).status, 404);
  });

  it('goes on after a restart of the server, at the offset it reports', async (t) => {
    const first = await startRegistry(t);
    const path = new URL(await beginUpload(first.url, 'acme/web')).pathname;
    await fetch(first.url + path, { method: 'PATCH', body: content.slice(0, 5) });
    await first.close();
    const second = await startRegistry(t, {}, { data: first.data });
    assert.equal((await fetch(second.url + path)).headers.get('range'), '0-4');
    const reply = await fetch(`${second.url}${path}?digest=${digest}`, {
      method: 'PUT',
      body: content.slice(5),
    });
    assert.equal(reply.status, 201);
    assert.equal(await (await fetch(`${second.url}/v2/acme/web/blobs/${digest}`)).text(), content);
  });

  it('beyond the blob size limit is refused with 413 and the session stays', async (t) => {
    const { url } = await startRegistry(t, { 'storage.blobSizeLimit': '1KiB' });
    const location = await beginUpload(url, 'acme/web');
    const reply = await fetch(location, { method: 'PATCH', body: Buffer.alloc(2048) });
    assert.equal(reply.status, 413);
    assert.equal(await errorCode(reply), 'SIZE_INVALID');
    assert.equal((await fetch(location)).headers.get('range'), '0-0');
  });

  it('beyond the limit of open sessions is refused with 429 and when to try again', async (t) => {
    const { url } = await startRegistry(t, { 'storage.upload.perRepository': '2' });
    await beginUpload(url, 'acme/web');
    await beginUpload(url, 'acme/web');
    const reply = await fetch(`${url}/v2/acme/web/blobs/uploads/`, { method: 'POST' });
    assert.equal(reply.status, 429);
    assert.match(reply.headers.get('retry-after') ?? '', /^\d+$/);
    assert.equal(await errorCode(reply), 'TOOMANYREQUESTS');
    await beginUpload(url, 'acme/api');
  });
});

describe('a mount', () => {
  it('links a blob of another repository without its bytes', async (t) => {
    const { url } = await startRegistry(t);
    await pushBlob(url, 'acme/base', content);
    const reply = await fetch(`${url}/v2/acme/web/blobs/uploads/?mount=${digest}&from=acme/base`, {
      method: 'POST',
    });
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get('location'), `/v2/acme/web/blobs/${digest}`);
    assert.equal(await blobStatus(url, 'acme/web'), 200);
  });

  it('without a source finds a repository that has the blob', async (t) => {
    const { url } = await startRegistry(t);
    await pushBlob(url, 'acme/base', content);
    const encoded = encodeURIComponent(digest);
    assert.equal(
      (await fetch(`${url}/v2/acme/web/blobs/uploads/?mount=${encoded}`, { method: 'POST' })).status,
      201,
    );
  });

  it('that is not possible becomes an upload', async (t) => {
    const { url } = await startRegistry(t);
    for (const query of [
      `mount=${digest}&from=acme/base`,
      `mount=${digest}`,
      'mount=nonsense',
      `mount=${digest}&from=NO`,
    ]) {
      const reply = await fetch(`${url}/v2/acme/web/blobs/uploads/?${query}`, { method: 'POST' });
      assert.equal(reply.status, 202, query);
      assert.ok(reply.headers.get('location')?.startsWith('/v2/acme/web/blobs/uploads/'));
    }
  });
});
