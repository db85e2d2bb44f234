// Archives over HTTP: what is in them, that their length is told, that one is never whole when something is missing.
import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { readTarIndex } from '../../src/import/tar-index.ts';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { ociIndex, sha256, sha512 } from '../support/client.ts';
import { pushIndex, pushLayers } from '../support/layered-images.ts';
import { temporaryFolder } from '../support/registry.ts';
import { shareApi } from '../support/shared-api.ts';
import { makeTar } from '../support/tars.ts';

const targetOf = ({ registry, admin }: ApiRegistry) => ({
  url: registry.url,
  name: 'acme/web',
  headers: { authorization: `Bearer ${admin.secret}` },
});
const layer = (name: string, size = 10) => makeTar([{ name, content: name.repeat(size) }]);

async function download({ registry, admin }: ApiRegistry, query: string): Promise<Response> {
  const headers = { authorization: `Bearer ${admin.secret}`, host: 'registry.example.com' };
  return await fetch(`${registry.url}/api/v1/repositories/acme/web/-/archive?${query}`, { headers });
}

describe('an archive', () => {
  const shared = shareApi();

  it('is an OCI layout with everything of an image, of the length that was told', async (t) => {
    const image = await pushLayers(targetOf(shared()), 'v1', {
      layers: [layer('one'), layer('two', 40_000)],
    });
    const reply = await download(shared(), 'reference=v1');
    const bytes = Buffer.from(await reply.arrayBuffer());
    assert.deepEqual([reply.status, Number(reply.headers.get('content-length'))], [200, bytes.length]);
    assert.equal(reply.headers.get('content-type'), 'application/x-tar');
    assert.equal(reply.headers.get('content-disposition'), 'attachment; filename="web-v1.tar"');
    const path = join(await temporaryFolder(t), 'archive.tar');
    await writeFile(path, bytes);
    const files = await readTarIndex(path);
    const content = (name: string) => {
      const entry = files.get(name);
      assert.ok(entry, name);
      return bytes.subarray(entry.offset, entry.offset + entry.size);
    };
    assert.deepEqual(JSON.parse(content('oci-layout').toString()), { imageLayoutVersion: '1.0.0' });
    const { host } = new URL(shared().registry.url);
    assert.deepEqual(JSON.parse(content('index.json').toString()), {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [
        {
          mediaType: image.mediaType,
          digest: image.digest,
          size: image.size,
          annotations: {
            'org.opencontainers.image.ref.name': 'v1',
            'io.containerd.image.name': `${host}/acme/web:v1`,
          },
        },
      ],
    });
    const digests = [image.digest, image.config.digest, ...image.layers.map(({ digest }) => digest)];
    for (const digest of digests) assert.equal(sha256(content(`blobs/${digest.replace(':', '/')}`)), digest);
    assert.equal(files.size, 2 + digests.length);
  });

  it('of an index holds all platforms, or the one that is asked for', async () => {
    const platforms = [];
    for (const architecture of ['amd64', 'arm64']) {
      const config = { os: 'linux', architecture };
      const { mediaType, digest, size } = await pushLayers(targetOf(shared()), undefined, {
        layers: [layer(architecture)],
        config,
      });
      platforms.push({ mediaType, digest, size, platform: config });
    }
    const index = await pushIndex(targetOf(shared()), 'multi', platforms);
    const all = await (await download(shared(), 'reference=multi')).text();
    for (const digest of [index.digest, ...platforms.map((one) => one.digest)]) {
      assert.ok(all.includes(`blobs/${digest.replace(':', '/')}\0`), digest);
    }
    const one = await (await download(shared(), 'reference=multi&platform=linux/arm64')).text();
    assert.ok(one.includes(platforms[1]?.digest.slice(7) ?? ''));
    assert.ok(!one.includes(platforms[0]?.digest.slice(7) ?? ''));
    const byDigest = await download(shared(), `reference=${index.digest}`);
    assert.ok(!(await byDigest.text()).includes('ref.name'));
  });

  it('leaves layers out that are to be fetched from elsewhere, and takes a digest of sha512', async () => {
    const urls = ['https://example.com/layer'];
    const foreign = {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
      digest: sha256('away'),
      size: 5,
      urls,
    };
    await pushLayers(targetOf(shared()), 'foreign', { layers: [foreign, layer('here')] });
    const text = await (await download(shared(), 'reference=foreign')).text();
    assert.ok(!text.includes(`blobs/sha256/${foreign.digest.slice(7)}`));
    const long = layer('long');
    const digest = sha512(long);
    const { url, headers } = targetOf(shared());
    const put = await fetch(`${url}/v2/acme/web/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      headers,
      body: long,
    });
    assert.equal(put.status, 201);
    const described = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: long.length };
    await pushLayers(targetOf(shared()), 'long', { layers: [described] });
    assert.ok(
      (await (await download(shared(), 'reference=long')).text()).includes(
        `path=blobs/sha512/${digest.slice(7)}\n`,
      ),
    );
  });

  it('is refused where something is missing from the start, or the question is wrong', async () => {
    const ask = (query: string) => shared().admin.get(`/repositories/acme%2Fweb/-/archive${query}`);
    assertProblem(await ask(''), 400, 'invalid', /reference/);
    assertProblem(await ask('?reference=none'), 404, 'not-found');
    assertProblem(await ask('?reference=a:b'), 400, 'invalid', /digest/);
    const image = await pushLayers(targetOf(shared()), 'gone', { layers: [layer('gone')] });
    await removeFile(shared(), image.layers[0]?.digest ?? '');
    assert.equal((await shared().admin.get('/repositories/acme%2Fweb/-/manifests/gone/files')).status, 404);
    assertProblem(await ask('?reference=gone'), 404, 'not-found', /not whole/);
  });

  it('that turns out not to be whole breaks the connection off', async () => {
    const image = await pushLayers(targetOf(shared()), 'half', {
      layers: [layer('half', 200_000), layer('lost')],
    });
    // Nobody has noticed yet.
    await removeFile(shared(), image.layers[1]?.digest ?? '');
    const reply = await download(shared(), 'reference=half');
    assert.equal(reply.status, 200);
    await assert.rejects(reply.arrayBuffer());
    assert.equal((await download(shared(), 'reference=half')).status, 404);
  });

  it('ends with its client', async () => {
    await pushLayers(targetOf(shared()), 'large', { layers: [layer('large', 8_000_000)] });
    const { registry, admin } = shared();
    const before = registry.logged.length;
    const begun = Promise.withResolvers<void>();
    const sent = request(`${registry.url}/api/v1/repositories/acme/web/-/archive?reference=large`, {
      headers: { authorization: `Bearer ${admin.secret}` },
    });
    sent
      .on('error', () => undefined)
      .on('response', (reply) => {
        reply.once('data', () => {
          reply.pause();
          begun.resolve();
        });
      });
    sent.end();
    await begun.promise;
    sent.destroy();
    for (;;) {
      const line = registry.logged
        .slice(before)
        .find((one) => one.aborted === true && one.route === 'api images');
      if (line !== undefined) {
        assert.equal(line.msg, 'request', 'a client that goes away is no failure');
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
});

describe('an archive', () => {
  it('counts as a pull, and looking does not', async (t) => {
    const api = await startApi(t);
    const image = await pushLayers(targetOf(api), 'v1', { layers: [layer('v1')] });
    await pushLayers(targetOf(api), 'v2', { layers: [layer('v2')] });
    for (const tag of ['v1', 'v2']) {
      for (const rest of ['', '/raw', '/config', '/files', '/referrers']) {
        assert.equal((await api.admin.get(`/repositories/acme%2Fweb/-/manifests/${tag}${rest}`)).status, 200);
      }
    }
    await (await download(api, 'reference=v1')).arrayBuffer();
    await api.registry.close();
    const database = new Database(join(api.registry.data, 'berth.db'), { readonly: true });
    const rows = database
      .prepare('SELECT m.digest, p.pulls FROM pull_count p JOIN manifest m ON m.id = p.manifest_id')
      .all();
    database.close();
    assert.deepEqual(rows, [{ digest: image.digest, pulls: 1 }]);
  });
});

async function removeFile({ registry }: ApiRegistry, digest: string): Promise<void> {
  const hex = digest.slice('sha256:'.length);
  const folder = join(registry.data, 'blobs', 'sha256', hex.slice(0, 2));
  for (const name of await readdir(folder)) if (name.startsWith(hex)) await rm(join(folder, name));
}
