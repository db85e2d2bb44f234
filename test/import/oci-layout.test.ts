// Import from OCI layouts, as a folder and as an archive that tar made of one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeIndexLayout } from '../support/images.ts';
import { importLayout } from '../support/imports.ts';
import { pullEverything } from '../support/pull.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

async function newLayout(t: TestContext, tag = '1.0') {
  return await writeIndexLayout(join(await temporaryFolder(t), 'Shop'), tag, ['amd64', 'arm64']);
}

test('a layout brings its images under the name of the folder, a given one, or the one that is written there', async (t) => {
  for (const [name, repository, expected] of [
    ['1.0', undefined, 'shop:1.0'],
    ['1.0', 'team/web', 'team/web:1.0'],
    ['team/app:v2', undefined, 'team/app:v2'],
    ['registry.example.com:5000/team/app:v2', undefined, 'team/app:v2'],
    ['docker.io/library/alpine', undefined, 'library/alpine:latest'],
  ] as const) {
    const layout = await newLayout(t, name);
    const here = await startRegistry(t);
    const report = await importLayout(here.registry, layout.folder, repository ? { repository } : {});
    assert.deepEqual(report.findings, []);
    assert.deepEqual([...(await pullEverything(here.url))], [[expected, layout.digest]]);
    await here.close();
  }
});

test('an archive of a layout is read in place, whichever way tar wrote it', async (t) => {
  for (const format of ['ustar', 'gnu', 'pax']) {
    const layout = await newLayout(t);
    const archive = `${layout.folder}-${format}.tar`;
    execFileSync('tar', [
      '--create',
      `--format=${format}`,
      '--file',
      archive,
      '--directory',
      layout.folder,
      '.',
    ]);
    const here = await startRegistry(t);
    const report = await importLayout(here.registry, archive);
    assert.deepEqual(report.findings, []);
    assert.equal(report.blobs.fetched, 4);
    assert.deepEqual([...(await pullEverything(here.url))], [[`shop-${format}:1.0`, layout.digest]]);
    await here.close();
  }
});

test('images without a name come untagged, and what is damaged is told of', async (t) => {
  const layout = await newLayout(t);
  const index = JSON.parse(await readFile(join(layout.folder, 'index.json'), 'utf8'));
  delete index.manifests[0].annotations;
  await writeFile(join(layout.folder, 'index.json'), JSON.stringify(index));
  const here = await startRegistry(t);
  await importLayout(here.registry, layout.folder, { repository: 'app' });
  assert.equal((await fetch(`${here.url}/v2/app/manifests/${layout.digest}`)).status, 200);

  const [config = ''] = layout.digests;
  const damaged = await startRegistry(t);
  await writeFile(join(layout.folder, 'blobs', 'sha256', config.slice(7)), 'x');
  const report = await importLayout(damaged.registry, layout.folder, { repository: 'app' });
  assert.deepEqual(
    report.findings.map(({ kind }) => kind),
    ['damaged', 'incomplete', 'incomplete'],
  );
});

test('what is no layout is refused with a reason', async (t) => {
  const folder = await temporaryFolder(t);
  const here = await startRegistry(t);
  await assert.rejects(importLayout(here.registry, folder), /no OCI layout/);
  await assert.rejects(importLayout(here.registry, join(folder, 'none')), /there is no/);
  const text = join(folder, 'text');
  await writeFile(text, 'a'.repeat(2000));
  await assert.rejects(importLayout(here.registry, text), /no tar archive/);
  await mkdir(join(folder, 'bad'));
  await writeFile(join(folder, 'bad', 'index.json'), '{');
  await assert.rejects(importLayout(here.registry, join(folder, 'bad')), /index.json/);
  const layout = await newLayout(t);
  const archive = `${layout.folder}.tar`;
  execFileSync('tar', ['--create', '--file', archive, '--directory', layout.folder, '.']);
  await truncate(archive, 2000);
  await assert.rejects(importLayout(here.registry, archive), /ends in the middle|no index.json/);
});
