// Which platforms manifests are for: found out at the push, and afterwards where the push could not tell.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { platformsOfConfig } from '../../src/oci/description.ts';
import { Platforms } from '../../src/registry/platforms.ts';
import { ociManifest, pushBlob, pushImage, putManifest, sha256 } from '../support/client.ts';
import { repository, tag } from '../support/metadata.ts';
import { startRegistry } from '../support/registry.ts';

const app = repository('team/app');

test('an image has the platform of its config from its push on', async (t) => {
  const { url, registry } = await startRegistry(t);
  await pushImage(url, app, 'v1');
  assert.deepEqual((await registry.metadata.tags.find(app, tag('v1')))?.platforms, ['linux/amd64']);
  // Something else than an image, and a config that is none.
  const text = 'no JSON';
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: await pushBlob(url, app, text),
    size: text.length,
  };
  const other = { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' };
  for (const [name, of] of [
    ['broken', config],
    ['chart', other],
  ] as const) {
    const manifest = { schemaVersion: 2, mediaType: ociManifest, config: of, layers: [] };
    assert.equal((await putManifest(url, app, name, manifest)).status, 201);
    assert.deepEqual((await registry.metadata.tags.find(app, tag(name)))?.platforms, []);
  }
  assert.deepEqual(await registry.metadata.manifests.listUnread({ after: 0, limit: 10 }), []);
});

test('a config that arrives after its manifest is looked into then', async (t) => {
  const { url, registry } = await startRegistry(t, { 'storage.sparseManifests': 'all' });
  const config = JSON.stringify({ os: 'linux', architecture: 'riscv64' });
  const mediaType = 'application/vnd.oci.image.config.v1+json';
  const descriptor = { mediaType, digest: sha256(config), size: config.length };
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config: descriptor, layers: [] };
  assert.equal((await putManifest(url, app, 'v1', manifest)).status, 201);
  const { metadata, store } = registry;
  const platforms = new Platforms({ metadata, store });
  const shown = async () => (await metadata.tags.find(app, tag('v1')))?.platforms;
  await platforms.readUnread();
  assert.deepEqual(await shown(), []);
  assert.deepEqual(await metadata.manifests.listUnread({ after: 0, limit: 10 }), []);
  await pushBlob(url, app, config);
  await platforms.readUnread();
  assert.deepEqual(await shown(), platformsOfConfig(Buffer.from(config)));
  assert.deepEqual(await shown(), ['linux/riscv64']);
});
