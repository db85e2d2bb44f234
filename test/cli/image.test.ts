// berth image: what a person sees of an image, and bytes that come as they are.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTestFolder, runCommand } from '../support/berth-command.ts';
import { commandLine } from '../support/command-line.ts';
import { pushIndex, pushLayers } from '../support/layered-images.ts';
import { startRegistry } from '../support/registry.ts';
import { makeGzip } from '../support/tars.ts';

const random = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 131) % 256));

async function start(t: TestContext) {
  const registry = await startRegistry(t);
  const folder = await makeTestFolder(t);
  const target = { url: registry.url, name: 'acme/web' };
  const base = makeGzip([
    { name: 'etc/', type: '5' },
    { name: 'etc/os-release', content: 'NAME=test\n' },
    { name: 'bin/tool', content: random, mode: 0o4755 },
    { name: 'bin/sh', type: '2', link: 'tool' },
    { name: 'secret', content: 'x' },
  ]);
  const image = await pushLayers(target, 'v1', {
    layers: [base, makeGzip([{ name: '.wh.secret' }])],
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: '2026-01-02T03:04:05Z',
      config: { Env: ['A=b'], Cmd: ['sh'], Labels: { 'org.x': '\u001b[31mred' } },
      history: [
        { created_by: '/bin/sh -c #(nop) ADD file:base in / ' },
        { created_by: 'ENV A=b', empty_layer: true },
        { created_by: 'RUN /bin/sh -c rm secret # buildkit' },
      ],
    },
  });
  const host = `localhost:${registry.port}`;
  return {
    registry,
    target,
    image,
    folder,
    host,
    berth: commandLine({ data: registry.data, folder, homeFolder: folder }),
  };
}

test('berth image show and layers tell what an image is', async (t) => {
  const { berth, image, host } = await start(t);
  const shown = await berth('image', 'show', `${host}/acme/web:v1`);
  for (const line of [
    /^image +acme\/web:v1$/m,
    new RegExp(`^digest +${image.digest}$`, 'm'),
    /^platform +linux\/amd64$/m,
    /^created +2026-01-02 03:04 UTC$/m,
    /^env +A=b$/m,
    /^label +org\.x=\\u001b\[31mred$/m,
    /ADD file:base in \/$/m,
  ]) {
    assert.match(shown, line);
  }
  assert.equal(await berth('image', 'show', 'acme/web:v1', '-q'), `${image.digest}\n`);
  assert.equal(JSON.parse(await berth('image', 'show', 'acme/web:v1', '--json')).image.os, 'linux');
  assert.equal(await berth('image', 'show', `acme/web@${image.digest}`, '--raw'), image.body);
  assert.match(await berth('image', 'show', 'acme/web:v1', '--image-config'), /^\{"architecture":"amd64"/);
  const layers = await berth('image', 'layers', 'acme/web:v1');
  assert.match(layers, /^- +- +ENV A=b$/m);
  assert.match(layers, new RegExp(`^${image.layers[1]?.digest} +.*RUN rm secret$`, 'm'));
  const digests = image.layers.map(({ digest }) => `${digest}\n`).join('');
  assert.equal(await berth('image', 'layers', 'acme/web:v1', '-q'), digests);
});

test('berth image files and cat look into layers', async (t) => {
  const { berth, image, folder, registry } = await start(t);
  const listed = await berth('image', 'files', 'acme/web:v1', '/bin');
  assert.match(listed, /^lrw-r--r-- .* \/bin\/sh -> tool$/m);
  assert.match(listed, /^-rwsr-xr-x +0:0 +4\.9 KiB +2023-11-14 22:13 UTC .* \/bin\/tool$/m);
  const all = await berth('image', 'files', 'acme/web:v1', '--recursive', '-q');
  assert.deepEqual(all.trim().split('\n'), ['/bin/sh', '/bin/tool', '/etc', '/etc/os-release']);
  const below = await berth('image', 'files', 'acme/web:v1', '--layer', image.layers[1]?.digest ?? '');
  assert.match(below, /^whiteout .* \/secret$/m);
  assert.equal(await berth('image', 'cat', 'acme/web:v1', '/etc/os-release'), 'NAME=test\n');
  const gone = await berth.tries('image', 'cat', 'acme/web:v1', '/secret');
  assert.equal(gone.code, 5);
  assert.match(gone.stderr, new RegExp(`still in layer ${image.layers[0]?.digest}`));
  const still = ['image', 'cat', 'acme/web:v1', '/secret', '--layer', image.layers[0]?.digest ?? ''];
  assert.equal(await berth(...still), 'x');
  // Bytes, not text: through a real pipe.
  const file = join(folder, 'out');
  const program = ['sh', '-c', `exec ${process.execPath} src/main.ts "$@" > ${file}`, 'sh'];
  const args = ['image', 'cat', 'acme/web:v1', '/bin/sh', '--data', registry.data];
  const { code, stderr } = await runCommand(t, args, { program, folder: join(import.meta.dirname, '../..') });
  assert.equal(code, 0, stderr);
  assert.deepEqual(await readFile(file), random);
});

test('berth image save writes a whole archive or none', async (t) => {
  const { berth, folder, registry, image } = await start(t);
  const { stderr } = await berth.tries('image', 'save', 'acme/web:v1', '-o', 'web.tar');
  assert.match(stderr, /^wrote .*web\.tar \(/);
  assert.ok((await readFile(join(folder, 'web.tar'))).includes(`blobs/sha256/${image.digest.slice(7)}`));
  assert.match(await berth('image', 'save', 'acme/web:v1'), /^oci-layout\0/);
  const lost = await pushLayers({ url: registry.url, name: 'acme/web' }, 'lost', {
    layers: [makeGzip([{ name: 'a', content: 'lost' }])],
  });
  const hex = lost.layers[0]?.digest.slice(7) ?? '';
  const place = join(registry.data, 'blobs', 'sha256', hex.slice(0, 2));
  for (const name of await readdir(place))
    if (name.startsWith(hex)) await writeFile(join(place, name), 'short');
  const broken = await berth.tries('image', 'save', 'acme/web:lost', '-o', 'lost.tar');
  assert.deepEqual([broken.code, /not whole/.test(broken.stderr)], [1, true], broken.stderr);
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.includes('lost')),
    [],
  );
  assert.equal((await berth.tries('image', 'save', 'acme/web:v1', '-o', 'no/such/folder/x.tar')).code, 1);
});

test('what berth writes reaches a slow reader whole', async (t) => {
  const { registry, target, folder } = await start(t);
  const members = Array.from({ length: 2000 }, (_, index) => ({ name: `${index}-${'n'.repeat(90)}` }));
  await pushLayers(target, 'large', { layers: [randomBytes(16 * 1024 * 1024)] });
  await pushLayers(target, 'many', { layers: [makeGzip(members)] });
  const archive = await fetch(`${registry.url}/api/v1/repositories/acme%2Fweb/-/archive?reference=large`);
  const { byteLength } = await archive.arrayBuffer();
  const names = members.reduce((sum, { name }) => sum + name.length + 2, 0);
  for (const [command, bytes] of [
    [['image', 'save', 'acme/web:large'], byteLength],
    [['image', 'files', 'acme/web:many', '-q'], names],
  ] as const) {
    // Reads nothing until the command has had every chance to end, or waits for its reader.
    const script = `{ ${process.execPath} src/main.ts "$@"; echo $? > ${folder}/code; } | { sleep 2; wc -c; }`;
    const program = ['sh', '-c', script, 'sh'];
    const { stdout, stderr } = await runCommand(t, [...command, '--data', registry.data], {
      program,
      folder: join(import.meta.dirname, '../..'),
    });
    assert.deepEqual([Number(stdout), stderr], [bytes, '']);
    assert.equal(await readFile(join(folder, 'code'), 'utf8'), '0\n');
  }
});

test('what berth cannot write is a failure', async (t) => {
  const { target, registry } = await start(t);
  await pushLayers(target, 'large', { layers: [randomBytes(1024 * 1024)] });
  const program = ['sh', '-c', `exec ${process.execPath} src/main.ts "$@" > /dev/full`, 'sh'];
  const args = ['image', 'save', 'acme/web:large', '--data', registry.data];
  const { code, stderr } = await runCommand(t, args, { program, folder: join(import.meta.dirname, '../..') });
  assert.deepEqual([code, stderr], [1, 'berth: the output cannot be written: ENOSPC\n']);
});

test('berth image tells of indexes, artifacts and referrers', async (t) => {
  const { berth, target, image } = await start(t);
  const { mediaType, digest, size } = image;
  const platform = { os: 'linux', architecture: 'amd64' };
  await pushIndex(target, 'multi', [{ mediaType, digest, size, platform }]);
  assert.match(
    await berth('image', 'show', 'acme/web:multi'),
    new RegExp(`^linux/amd64 +${digest} .*image$`, 'm'),
  );
  const refused = await berth.tries('image', 'layers', 'acme/web:multi');
  assert.deepEqual([refused.code, /--platform linux\/amd64/.test(refused.stderr)], [2, true]);
  assert.equal((await berth.tries('image', 'files', 'acme/web:multi')).code, 1);
  assert.match(
    await berth('image', 'files', 'acme/web:multi', '--platform', 'linux/amd64', '-q'),
    /^\/bin$/m,
  );
  assert.match((await berth.tries('image', 'referrers', 'acme/web:v1')).stderr, /nothing refers to it/);
  const sbom = await pushLayers(target, undefined, {
    layers: [Buffer.from('{}')],
    layerType: 'application/spdx+json',
    config: {},
    configType: 'application/vnd.oci.empty.v1+json',
    manifest: { artifactType: 'application/spdx+json', subject: { mediaType, digest, size } },
  });
  const tree = await berth('image', 'referrers', 'acme/web:v1');
  assert.match(tree, new RegExp(`^${sbom.digest} {2}sbom spdx, `));
  assert.equal(await berth('image', 'referrers', 'acme/web:v1', '-q'), `${sbom.digest}\n`);
  const wrong = await berth.tries('image', 'show', 'acme/web:v1:v2');
  assert.deepEqual([wrong.code, /REPOSITORY:TAG/.test(wrong.stderr)], [2, true]);
  assert.equal((await berth.tries('image', 'show', 'acme/web')).code, 5);
});
