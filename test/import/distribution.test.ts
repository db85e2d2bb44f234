// Import from the folder of a distribution registry: all that it has, what is damaged in it, and what is not to be touched.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import { ociIndex, pushImage, sha256 } from '../support/client.ts';
import { DistributionWriter } from '../support/distribution-folder.ts';
import { importFolder } from '../support/imports.ts';
import { repository } from '../support/metadata.ts';
import { pullBlob, pullEverything, pullImage } from '../support/pull.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

async function newWriter(t: TestContext): Promise<DistributionWriter> {
  return new DistributionWriter(await temporaryFolder(t));
}

/** Every file below a folder with its bytes, mode and time of change. */
async function photograph(folder: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode, mtimeMs } = await stat(path);
    const content = entry.isFile() ? sha256(await readFile(path)) : '';
    found.set(path, `${mode} ${entry.isFile() ? mtimeMs : ''} ${content}`);
  }
  return found;
}

test('tags, untagged manifests, children and referrers come over, the source stays as it was', async (t) => {
  const source = await newWriter(t);
  const image = await source.writeImage('team/app', 'v1', 'one');
  const child = await source.writeImage('team/app', undefined, 'child');
  const loose = await source.writeImage('team/app', undefined, 'loose');
  const list = { schemaVersion: 2, mediaType: ociIndex, manifests: [child] };
  await source.writeManifest('team/app', list, 'multi');
  const signature = { ...image.manifest, subject: { ...image, manifest: undefined } };
  const signed = await source.writeManifest('team/app', signature);
  const long = await source.writeManifest(
    'team/app',
    { ...image.manifest, annotations: { a: 'b' } },
    'long',
    'sha512',
  );
  await source.writeImage('plain', 'latest', 'one');
  await source.writeImage('a/b/c/d', 'x', 'deep');
  // Nothing can be pulled through a layer that no manifest needs, or from a repository of uploads alone.
  const orphan = await source.writeBlob('team/app', 'nobody needs this');
  await source.writeBlob('only/blobs', 'nor this');
  const before = await photograph(source.folder);

  const here = await startRegistry(t);
  const report = await importFolder(here.registry, source.folder);
  assert.deepEqual(report.findings, []);
  assert.deepEqual(report.repositories, { done: 3, total: 3 });
  assert.deepEqual(report.blobs, { linked: 8, copied: 0, fetched: 0, mounted: 2, present: 4 });
  assert.deepEqual(await photograph(source.folder), before);
  assert.deepEqual(
    [...(await pullEverything(here.url)).keys()],
    ['a/b/c/d:x', 'plain:latest', 'team/app:long', 'team/app:multi', 'team/app:v1'],
  );
  for (const { digest } of [image, child, loose, signed, long])
    assert.equal(await pullImage(here.url, 'team/app', digest), digest);
  const referrers = await fetch(`${here.url}/v2/team/app/referrers/${image.digest}`);
  assert.equal(((await referrers.json()) as { manifests: unknown[] }).manifests.length, 1);
  await assert.rejects(pullBlob(here.url, 'team/app', orphan.digest));

  const again = await importFolder(here.registry, source.folder);
  assert.deepEqual(again.manifests, { stored: 0, present: 8 });
  assert.equal(again.bytes, 0);
  // The bytes are safe from whatever happens to the source.
  await rm(source.folder, { recursive: true });
  assert.equal((await pullEverything(here.url)).size, 5);
});

test('blobs are linked on the same file system, copied on another and where asked', async (t) => {
  const source = await newWriter(t);
  const image = await source.writeImage('team/app', 'v1', 'one');
  const linked = await startRegistry(t);
  await importFolder(linked.registry, source.folder);
  assert.equal(statSync(source.blobFile(image.layer)).nlink, 2);
  const copied = await startRegistry(t);
  const report = await importFolder(copied.registry, source.folder, { link: false });
  assert.deepEqual([report.blobs.linked, report.blobs.copied], [0, 2]);
  assert.equal(statSync(source.blobFile(image.layer)).nlink, 2);
  // A symbolic link is followed once, never kept.
  const moved = `${source.blobFile(image.layer)}.moved`;
  await rename(source.blobFile(image.layer), moved);
  await symlink(moved, source.blobFile(image.layer));
  const through = await startRegistry(t);
  assert.equal((await importFolder(through.registry, source.folder)).blobs.copied, 1);
  await unlink(moved);
  assert.equal((await pullEverything(through.url)).size, 1);

  const far = new DistributionWriter(await mkdtemp('/dev/shm/berth-test-'));
  t.after(() => rm(far.folder, { recursive: true, force: true }));
  if (statSync(far.folder).dev === statSync(linked.data).dev)
    return t.diagnostic('/dev/shm is no other file system');
  await far.writeImage('team/far', 'v1', 'far');
  const other = await importFolder(linked.registry, far.folder);
  assert.deepEqual([other.blobs.linked, other.blobs.copied], [0, 2]);
  await pullImage(linked.url, 'team/far', 'v1');
});

test('what is damaged in the source is told of with its tags, and all else comes over', async (t) => {
  const source = await newWriter(t);
  const good = await source.writeImage('team/app', 'good', 'good');
  const flipped = await source.writeImage('team/app', 'flipped', 'flipped');
  const short = await source.writeImage('team/app', 'short', 'short');
  const gone = await source.writeImage('team/app', 'gone', 'gone');
  const broken = await source.writeImage('team/app', 'broken-manifest', 'broken');
  const deleted = await source.writeImage('team/app', 'deleted', 'deleted');
  await source.writeImage('team/app', 'bad-link', 'bad link');
  await source.writeImage('second', 'flipped-too', 'flipped');
  const list = { schemaVersion: 2, mediaType: ociIndex, manifests: [good, flipped] };
  await source.writeManifest('team/app', list, 'multi');
  const schema1 = { schemaVersion: 1, name: 'team/app', tag: 'old', fsLayers: [], history: [] };
  await source.writeManifest('team/app', schema1, 'schema1');
  await source.writeImage('Upper/Case', 'v1', 'name');

  const bytes = await readFile(source.blobFile(flipped.layer));
  await writeFile(source.blobFile(flipped.layer), Buffer.concat([Buffer.from('x'), bytes.subarray(1)]));
  await writeFile(source.blobFile(short.layer), bytes.subarray(0, 10));
  await unlink(source.blobFile(gone.layer));
  await writeFile(source.blobFile(broken.digest), '{}');
  await unlink(source.manifestLink('team/app', deleted.digest));
  await writeFile(source.tagLink('team/app', 'bad-link'), 'sha256:nonsense');

  const here = await startRegistry(t);
  const report = await importFolder(here.registry, source.folder);
  const told = report.findings.map(
    ({ kind, repository, digest, tags }) => `${repository} ${kind} ${tags?.join() || digest?.slice(7, 13)}`,
  );
  const hex = (digest: string) => digest.slice(7, 13);
  assert.deepEqual(
    told.sort(),
    [
      `Upper/Case invalid undefined`,
      `second damaged ${hex(flipped.layer)}`,
      'second incomplete flipped-too',
      `team/app damaged ${hex(flipped.layer)}`,
      `team/app damaged ${hex(short.layer)}`,
      'team/app damaged bad-link',
      'team/app damaged broken-manifest',
      'team/app deleted deleted',
      'team/app incomplete flipped',
      'team/app incomplete gone',
      'team/app incomplete multi',
      'team/app incomplete short',
      `team/app missing ${hex(gone.layer)}`,
      'team/app schema1 schema1',
    ].sort(),
  );
  assert.equal(report.damaged, 6);
  // The manifest whose link of a tag is nonsense is there, untagged.
  assert.deepEqual([...(await pullEverything(here.url)).keys()], ['team/app:good']);
  const leftovers = await readdir(join(here.data, 'uploads'));
  assert.deepEqual(leftovers, [], 'no bytes stay of what was refused');

  // Once the source is mended, the next run brings what was left out.
  await writeFile(source.blobFile(flipped.layer), bytes);
  const second = await importFolder(here.registry, source.folder);
  assert.equal(second.tags.stored, 3);
  assert.deepEqual(
    [...(await pullEverything(here.url)).keys()],
    ['second:flipped-too', 'team/app:flipped', 'team/app:good', 'team/app:multi'],
  );
});

test('a second import heals a blob that was found damaged meanwhile', async (t) => {
  const source = await newWriter(t);
  const image = await source.writeImage('team/app', 'v1', 'one');
  const here = await startRegistry(t);
  const { registry, url } = here;
  await importFolder(registry, source.folder);
  const { blobs } = registry.metadata;
  const layer = image.manifest.layers[0]?.digest as Digest;
  const damaged = await blobs.find(repository('team/app'), layer);
  assert.ok(damaged);
  await blobs.markDamaged(damaged.location);
  await assert.rejects(pullBlob(url, 'team/app', layer));
  const report = await importFolder(registry, source.folder);
  assert.deepEqual(report.findings, []);
  assert.equal(await pullImage(url, 'team/app', image.digest), image.digest);
});

test('an index of which only some children are there comes over where the registry takes such', async (t) => {
  const source = await newWriter(t);
  const child = await source.writeImage('mirror/app', undefined, 'child');
  const absent = { ...child, digest: sha256('never pulled through') };
  const list = { schemaVersion: 2, mediaType: ociIndex, manifests: [child, absent] };
  const { digest } = await source.writeManifest('mirror/app', list, 'v1');
  const strict = await startRegistry(t);
  const refused = await importFolder(strict.registry, source.folder);
  assert.deepEqual(
    refused.findings.map(({ kind }) => kind),
    ['incomplete'],
  );
  const sparse = await startRegistry(t, { 'storage.sparseManifests': 'index' });
  assert.deepEqual((await importFolder(sparse.registry, source.folder)).findings, []);
  assert.equal((await fetch(`${sparse.url}/v2/mirror/app/manifests/${digest}`)).status, 200);
});

test('patterns choose repositories and tags, with the referrers of what is chosen', async (t) => {
  const source = await newWriter(t);
  const image = await source.writeImage('team/app', 'v1', 'one');
  await source.writeImage('team/app', 'old', 'two');
  await source.writeImage('team/app', undefined, 'loose');
  await source.writeImage('other', 'v1', 'three');
  const signed = await source.writeManifest('team/app', { ...image.manifest, subject: image });
  const here = await startRegistry(t);
  const report = await importFolder(here.registry, source.folder, {
    repositories: ['team/**'],
    tags: ['v?'],
  });
  assert.equal(report.manifests.stored, 2);
  await pullImage(here.url, 'team/app', signed.digest);
  assert.deepEqual([...(await pullEverything(here.url)).keys()], ['team/app:v1']);
});

test('a folder that is no registry is refused, and a registry without room fails the import', async (t) => {
  const source = await newWriter(t);
  const here = await startRegistry(t);
  await assert.rejects(importFolder(here.registry, source.folder), /not the folder of a registry/);
  await source.writeImage('team/app', 'v1', 'one');
  const inside = join(source.folder, 'docker', 'registry', 'v2');
  assert.equal((await importFolder(here.registry, inside)).tags.stored, 1);
  const readOnly = await startRegistry(t, { 'storage.readOnly': 'true' });
  await assert.rejects(importFolder(readOnly.registry, source.folder), /read-only/);
  const limited = await startRegistry(t, { 'storage.blobSizeLimit': '100B' });
  const report = await importFolder(limited.registry, source.folder);
  assert.deepEqual(
    report.findings.map(({ kind }) => kind),
    ['refused', 'incomplete'],
  );
});

test('a quota holds for an import, too', async (t) => {
  const source = await newWriter(t);
  await source.writeImage('small/app', 'v1', 'one', 100);
  await source.writeImage('team/app', 'v1', 'two', 5000);
  const here = await startRegistry(t);
  const { quotas } = here.registry.metadata.care;
  await pushImage(here.url, 'team/app', 'before');
  await quotas.set({
    namespace: 'team',
    quota: { bytes: 1000, repositories: undefined },
    origin: { actor: 'admin' },
  });
  const report = await importFolder(here.registry, source.folder);
  assert.deepEqual(
    report.findings.map(({ kind, repository }) => `${repository} ${kind}`),
    ['team/app refused', 'team/app incomplete'],
  );
  assert.deepEqual([...(await pullEverything(here.url)).keys()], ['small/app:v1', 'team/app:before']);
});

test('pushes go on while an import runs, and both sides keep what they stored', async (t) => {
  const source = await newWriter(t);
  for (let number = 0; number < 60; number += 1)
    await source.writeImage(`team/app${number % 7}`, `v${number}`, `seed ${number}`, 20_000);
  const here = await startRegistry(t);
  const importing = importFolder(here.registry, source.folder);
  for (let number = 0; number < 20; number += 1) await pushImage(here.url, 'team/app1', `pushed${number}`);
  assert.deepEqual((await importing).findings, []);
  assert.equal((await pullEverything(here.url)).size, 80);
});
