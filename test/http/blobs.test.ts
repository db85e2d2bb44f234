// Blobs over HTTP: ranges, conditional requests, deletes, damage.
import assert from 'node:assert/strict';
import { readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { errorCode, pushBlob, pushImage, sha256 } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

const small = '0123456789';
/** Larger than what goes out as one buffer, and no multiple of a buffer's size. */
const large = Buffer.alloc(3 * (1 << 20) + 17, 'berth');

/** The files under the blob store of a data folder. */
async function blobFiles(data: string): Promise<string[]> {
  const entries = await readdir(join(data, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe('blobs', () => {
  it('come back with everything a client caches them by', async (t) => {
    const { url } = await startRegistry(t);
    for (const content of [Buffer.from(small), large, Buffer.alloc(0)]) {
      const digest = await pushBlob(url, 'acme/web', content);
      for (const method of ['GET', 'HEAD']) {
        const reply = await fetch(`${url}/v2/acme/web/blobs/${digest}`, { method });
        assert.equal(reply.status, 200);
        assert.equal(reply.headers.get('content-length'), String(content.length));
        assert.equal(reply.headers.get('docker-content-digest'), digest);
        assert.equal(reply.headers.get('content-type'), 'application/octet-stream');
        assert.equal(reply.headers.get('accept-ranges'), 'bytes');
        assert.equal(reply.headers.get('etag'), `"${digest}"`);
        assert.equal(reply.headers.get('cache-control'), 'max-age=31536000');
        assert.ok(
          Buffer.from(await reply.arrayBuffer()).equals(method === 'GET' ? content : Buffer.alloc(0)),
        );
      }
    }
  });

  it('are served in ranges', async (t) => {
    const { url } = await startRegistry(t);
    for (const content of [Buffer.from(small), large]) {
      const digest = await pushBlob(url, 'acme/web', content);
      const last = content.length - 1;
      const get = (range: string) => fetch(`${url}/v2/acme/web/blobs/${digest}`, { headers: { range } });
      for (const [range, start, end] of [
        ['bytes=2-5', 2, 5],
        ['bytes=4-', 4, last],
        ['bytes=-3', last - 2, last],
        [`bytes=1-${content.length + 100}`, 1, last],
        ['bytes=0-0', 0, 0],
      ] as const) {
        const reply = await get(range);
        assert.equal(reply.status, 206, range);
        assert.equal(reply.headers.get('content-range'), `bytes ${start}-${end}/${content.length}`);
        assert.equal(reply.headers.get('content-length'), String(end - start + 1));
        assert.ok(Buffer.from(await reply.arrayBuffer()).equals(content.subarray(start, end + 1)), range);
      }
      for (const range of ['bytes=5-0', `bytes=${content.length}-`]) {
        const reply = await get(range);
        assert.equal(reply.status, 416, range);
        assert.equal(reply.headers.get('content-range'), `bytes */${content.length}`);
        assert.equal(await errorCode(reply), 'RANGE_INVALID');
      }
      const whole = await get('lines=1-2');
      assert.equal(whole.status, 200);
      assert.equal((await whole.arrayBuffer()).byteLength, content.length);
    }
  });

  it('honour If-None-Match and If-Range', async (t) => {
    const { url } = await startRegistry(t);
    const digest = await pushBlob(url, 'acme/web', small);
    const get = (headers: Record<string, string>) => fetch(`${url}/v2/acme/web/blobs/${digest}`, { headers });
    assert.equal((await get({ 'if-none-match': `"${digest}"` })).status, 304);
    assert.equal((await get({ range: 'bytes=1-2', 'if-range': `"${digest}"` })).status, 206);
    assert.equal((await get({ range: 'bytes=1-2', 'if-range': '"other"' })).status, 200);
  });

  it('of one repository are unknown in another', async (t) => {
    const { url } = await startRegistry(t);
    const digest = await pushBlob(url, 'acme/web', small);
    const reply = await fetch(`${url}/v2/acme/api/blobs/${digest}`);
    assert.equal(reply.status, 404);
    assert.equal(await errorCode(reply), 'BLOB_UNKNOWN');
  });

  it('are gone at once when deleted, but not while a manifest needs them', async (t) => {
    const { url } = await startRegistry(t);
    const digest = await pushBlob(url, 'acme/web', small);
    const remove = (of: string) => fetch(`${url}/v2/acme/web/blobs/${of}`, { method: 'DELETE' });
    assert.equal((await remove(digest)).status, 202);
    assert.equal((await fetch(`${url}/v2/acme/web/blobs/${digest}`)).status, 404);
    assert.equal((await remove(digest)).status, 404);
    const image = await pushImage(url, 'acme/web', 'v1');
    const held = await remove(image.layer);
    assert.equal(held.status, 405);
    const { errors } = (await held.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'UNSUPPORTED');
    assert.ok(errors[0]?.message.includes(image.digest));
  });

  it('whose file is gone are answered 404 from then on, and healed by the next push', async (t) => {
    const { url, data, logged } = await startRegistry(t);
    for (const content of [small, large]) {
      const digest = await pushBlob(url, 'acme/web', content);
      for (const file of await blobFiles(data)) await rm(file);
      assert.equal((await fetch(`${url}/v2/acme/web/blobs/${digest}`)).status, 404);
      assert.equal((await fetch(`${url}/v2/acme/web/blobs/${digest}`, { method: 'HEAD' })).status, 404);
      assert.ok(logged.some(({ damage }) => (damage as { digest?: string })?.digest === digest));
      await pushBlob(url, 'acme/web', content);
      const healed = await fetch(`${url}/v2/acme/web/blobs/${digest}`);
      assert.equal(healed.status, 200);
      assert.ok(Buffer.from(await healed.arrayBuffer()).equals(Buffer.from(content)));
    }
  });

  it('whose file is short are never served as whole', async (t) => {
    const { url, data } = await startRegistry(t);
    for (const content of [small, large]) {
      const digest = await pushBlob(url, 'acme/web', content);
      for (const file of await blobFiles(data)) await truncate(file, content.length - 1);
      assert.equal((await fetch(`${url}/v2/acme/web/blobs/${digest}`)).status, 404);
      assert.equal((await fetch(`${url}/v2/acme/web/blobs/${digest}`, { method: 'HEAD' })).status, 404);
    }
  });

  it('stay whole for a client that is reading them while they are deleted', async (t) => {
    const { url, data } = await startRegistry(t);
    const content = Buffer.alloc(16 << 20, 'slow');
    const digest = await pushBlob(url, 'acme/web', content);
    const reply = await fetch(`${url}/v2/acme/web/blobs/${digest}`);
    await fetch(`${url}/v2/acme/web/blobs/${digest}`, { method: 'DELETE' });
    for (const file of await blobFiles(data)) await rm(file);
    assert.equal(sha256(Buffer.from(await reply.arrayBuffer())), digest);
  });
});
