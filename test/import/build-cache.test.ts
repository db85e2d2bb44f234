// A build cache of BuildKit comes over from every source: its index lists blobs where others list manifests.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ImportReport } from '../../src/import/report.ts';
import { type BuildCache, makeBuildCache } from '../support/build-cache.ts';
import { ociIndex, pushBlob, putManifest, sha256 } from '../support/client.ts';
import { DistributionWriter } from '../support/distribution-folder.ts';
import { importFolder, importLayout, importLive } from '../support/imports.ts';
import { pullBlob } from '../support/pull.ts';
import { startRegistry, type TestRegistry, temporaryFolder } from '../support/registry.ts';

const cache = makeBuildCache();
const digest = sha256(JSON.stringify(cache.index));

async function writeLayout(t: TestContext, { index, blobs }: BuildCache): Promise<string> {
  const folder = join(await temporaryFolder(t), 'layout');
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true });
  const document = Buffer.from(JSON.stringify(index));
  for (const [name, bytes] of [...blobs, [sha256(document), document] as const])
    await writeFile(join(folder, 'blobs', 'sha256', name.slice('sha256:'.length)), bytes);
  const annotations = { 'org.opencontainers.image.ref.name': 'team/app:cache' };
  const root = { mediaType: ociIndex, digest: sha256(document), size: document.length, annotations };
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [root] }));
  return folder;
}

async function writeDistribution(t: TestContext): Promise<string> {
  const source = new DistributionWriter(await temporaryFolder(t));
  for (const bytes of cache.blobs.values()) await source.writeBlob('team/app', bytes);
  await source.writeManifest('team/app', cache.index, 'cache');
  return source.folder;
}

async function startRemote(t: TestContext): Promise<string> {
  const { url } = await startRegistry(t);
  for (const bytes of cache.blobs.values()) await pushBlob(url, 'team/app', bytes);
  assert.equal((await putManifest(url, 'team/app', 'cache', cache.index, ociIndex)).status, 201);
  return url;
}

async function assertWhole({ url }: TestRegistry): Promise<void> {
  const reply = await fetch(`${url}/v2/team/app/manifests/cache`);
  assert.equal(reply.headers.get('docker-content-digest'), digest);
  for (const blob of cache.blobs.keys()) await pullBlob(url, 'team/app', blob);
}

const sources: Readonly<Record<string, (t: TestContext, here: TestRegistry) => Promise<ImportReport>>> = {
  'the folder of distribution': async (t, here) =>
    await importFolder(here.registry, await writeDistribution(t)),
  'an OCI layout': async (t, here) => await importLayout(here.registry, await writeLayout(t, cache)),
  'a live registry': async (t, here) => await importLive(here.registry, await startRemote(t)),
};

for (const [name, importIt] of Object.entries(sources)) {
  test(`a build cache comes over from ${name}`, async (t) => {
    const here = await startRegistry(t);
    const report = await importIt(t, here);
    assert.deepEqual(report.findings, []);
    assert.deepEqual(report.manifests, { stored: 1, present: 0 });
    await assertWhole(here);
    const again = await importIt(t, here);
    assert.deepEqual([again.findings, again.bytes], [[], 0]);
    // What was found damaged meanwhile heals, as the layers of an image do.
    const { blobs } = here.registry.metadata;
    for (const blob of cache.blobs.keys()) {
      const found = await blobs.find('team/app' as never, blob as never);
      assert.ok(found);
      await blobs.markDamaged(found.location);
    }
    assert.deepEqual((await importIt(t, here)).findings, []);
    await assertWhole(here);
  });
}

test('a damaged manifest that an index of a layout lists is told of as damaged', async (t) => {
  const child = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [] }));
  const index = {
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: sha256('what it was'),
        size: child.length,
      },
    ],
  };
  const blobs = new Map([[sha256('what it was'), child]]);
  const here = await startRegistry(t);
  const report = await importLayout(here.registry, await writeLayout(t, { index, blobs }));
  assert.deepEqual(
    report.findings.map(({ kind }) => kind),
    ['damaged', 'incomplete'],
  );
});

test('a layer of a build cache that a layout lacks leaves its index out', async (t) => {
  const [missing = ''] = cache.blobs.keys();
  const blobs = new Map([...cache.blobs].filter(([name]) => name !== missing));
  const here = await startRegistry(t);
  const report = await importLayout(here.registry, await writeLayout(t, { ...cache, blobs }));
  assert.deepEqual(
    report.findings.map(({ kind, detail }) => [kind, detail.includes(missing)]),
    [['incomplete', true]],
  );
});
