// skopeo and buildah against Berth: inspecting, listing, copying between every kind of place, deleting, synchronizing.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { buildBaseImage, buildSmallImage, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

const skip = skipWithout('skopeo', 'buildah', 'busybox', 'root');
const INSECURE = ['--src-tls-verify=false', '--dest-tls-verify=false'];

test('skopeo inspects, lists, copies and deletes what buildah pushed', { skip }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const skopeo = (...args: string[]) => home.run('skopeo', args);
  const copy = (from: string, to: string, ...more: string[]) =>
    skopeo('copy', ...INSECURE, ...more, from, to);
  const repository = `docker://${berth.host}/tools/app`;
  const digestOf = async (reference: string) =>
    (await skopeo('inspect', '--tls-verify=false', '--format', '{{.Digest}}', reference)).stdout.trim();
  const configOf = async (reference: string) => {
    const { stdout } = await skopeo('inspect', '--tls-verify=false', '--raw', reference);
    return JSON.parse(stdout).config.digest as string;
  };

  await buildBaseImage(home);
  await buildSmallImage(home, 'localhost/app:1', 'first');
  await home.run('buildah', ['push', '--tls-verify=false', 'localhost/app:1', `${repository}:1`]);
  await home.run('buildah', [
    ...['push', '--tls-verify=false', '--format', 'v2s2'],
    ...['localhost/app:1', `${repository}:docker`],
  ]);
  const digest = await digestOf(`${repository}:1`);

  await t.test('inspect tells name, digest, labels, platform and tags', async () => {
    const { stdout } = await skopeo('inspect', '--tls-verify=false', `${repository}:1`);
    const image = JSON.parse(stdout);
    assert.equal(image.Name, `${berth.host}/tools/app`);
    assert.match(image.Digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal(image.Labels['org.example.text'], 'first');
    assert.equal(image.Os, 'linux');
    assert.deepEqual(image.RepoTags, ['1', 'docker']);
    assert.equal(image.Layers.length, 2);
  });

  await t.test('inspect --config shows the configuration of the image', async () => {
    const { stdout } = await skopeo('inspect', '--tls-verify=false', '--config', `${repository}:1`);
    assert.deepEqual(JSON.parse(stdout).config.Cmd, ['cat', '/text']);
  });

  await t.test('an image pushed as Docker schema 2 keeps that type', async () => {
    const { stdout } = await skopeo('inspect', '--tls-verify=false', '--raw', `${repository}:docker`);
    assert.equal(JSON.parse(stdout).mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
  });

  await t.test('list-tags lists the tags', async () => {
    const { stdout } = await skopeo('list-tags', '--tls-verify=false', repository);
    assert.deepEqual(JSON.parse(stdout).Tags, ['1', 'docker']);
  });

  await t.test('copy within the registry mounts the blobs and keeps the digest', async () => {
    await copy(`${repository}:1`, `docker://${berth.host}/tools/copied:1`);
    assert.equal(await digestOf(`docker://${berth.host}/tools/copied:1`), digest);
  });

  for (const [kind, suffix] of [
    ['dir', ''],
    ['oci', ':1'],
    ['oci-archive', ':1'],
  ] as const) {
    await t.test(`copy to ${kind}: and back keeps the digest`, async () => {
      const place = `${kind}:${home.path(`as-${kind}`)}${suffix}`;
      const target = `docker://${berth.host}/from/${kind}:1`;
      await copy(`${repository}:1`, place);
      await copy(place, target);
      assert.equal(await digestOf(target), digest);
    });
  }

  await t.test('copy to docker-archive: and back keeps the configuration of the image', async () => {
    const place = `docker-archive:${home.path('archive.tar')}:example/app:1`;
    const target = `docker://${berth.host}/from/docker-archive:1`;
    await copy(`${repository}:docker`, place);
    await copy(`docker-archive:${home.path('archive.tar')}`, target);
    assert.equal(await configOf(target), await configOf(`${repository}:docker`));
  });

  await t.test('copy to containers-storage: and back keeps the configuration of the image', async () => {
    const target = `docker://${berth.host}/from/storage:1`;
    await home.run('buildah', ['rmi', '--all', '--force']);
    await copy(`${repository}:1`, 'containers-storage:localhost/again:1');
    await copy('containers-storage:localhost/again:1', target);
    assert.equal(await configOf(target), await configOf(`${repository}:1`));
  });

  await t.test('delete of a tag takes the manifest away, and a second delete fails', async () => {
    await skopeo('delete', '--tls-verify=false', `docker://${berth.host}/tools/copied:1`);
    const gone = await home.run(
      'skopeo',
      ['inspect', '--tls-verify=false', `docker://${berth.host}/tools/copied:1`],
      { expect: 'fails' },
    );
    assert.match(gone.output, /manifest unknown/i);
    await home.run('skopeo', ['delete', '--tls-verify=false', `docker://${berth.host}/tools/copied:1`], {
      expect: 'fails',
    });
    assert.equal(await digestOf(`${repository}:1`), digest);
  });
});

test('skopeo copies all images of an index, or the one of a platform', { skip }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const layout = await writeIndexLayout(home.path('layout'), 'multi', ['amd64', 'arm64', 'riscv64']);
  const first = `docker://${berth.host}/tools/multi:1`;
  const second = `docker://${berth.host}/tools/again:1`;
  const raw = async (reference: string) =>
    (await home.run('skopeo', ['inspect', '--tls-verify=false', '--raw', reference])).stdout;

  await home.run('skopeo', ['copy', ...INSECURE, '--all', `oci:${layout.folder}:multi`, first]);
  await home.run('skopeo', ['copy', ...INSECURE, '--all', first, second]);
  assert.equal(await raw(second), layout.index);
  assert.equal(await raw(first), layout.index);

  await home.run('skopeo', [
    ...['--override-arch', 'arm64', 'copy', ...INSECURE],
    ...[first, `docker://${berth.host}/tools/single:1`],
  ]);
  const single = JSON.parse(await raw(`docker://${berth.host}/tools/single:1`));
  assert.match(single.mediaType ?? 'application/vnd.oci.image.manifest.v1+json', /image\.manifest/);
});

test('skopeo synchronizes from the registry to a folder and back', { skip }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  await buildBaseImage(home);
  for (const tag of ['1', '2', 'latest']) {
    await buildSmallImage(home, `localhost/app:${tag}`, `text ${tag}`);
    await home.run('buildah', [
      ...['push', '--tls-verify=false', `localhost/app:${tag}`],
      `docker://${berth.host}/team/app:${tag}`,
    ]);
  }
  const mirror = home.path('mirror');
  await mkdir(mirror);

  await home.run('skopeo', [
    ...['sync', '--src', 'docker', '--dest', 'dir', '--src-tls-verify=false', '--scoped'],
    ...[`${berth.host}/team/app`, mirror],
  ]);
  const folders = await readdir(`${mirror}/${berth.host}/team`);
  assert.deepEqual(folders.sort(), ['app:1', 'app:2', 'app:latest']);

  await home.run('skopeo', [
    ...['sync', '--src', 'dir', '--dest', 'docker', '--dest-tls-verify=false'],
    ...[`${mirror}/${berth.host}/team`, `${berth.host}/restored`],
  ]);
  const tags = await home.run('skopeo', [
    'list-tags',
    '--tls-verify=false',
    `docker://${berth.host}/restored/app`,
  ]);
  assert.deepEqual(JSON.parse(tags.stdout).Tags, ['1', '2', 'latest']);

  await home.write(
    'sync.yml',
    `"${berth.host}":\n  tls-verify: false\n  images:\n    team/app: ["1", "latest"]\n`,
  );
  await home.run('skopeo', [
    ...['sync', '--src', 'yaml', '--dest', 'docker', '--dest-tls-verify=false'],
    ...[home.path('sync.yml'), `${berth.host}/chosen`],
  ]);
  const chosen = await home.run('skopeo', [
    'list-tags',
    '--tls-verify=false',
    `docker://${berth.host}/chosen/app`,
  ]);
  assert.deepEqual(JSON.parse(chosen.stdout).Tags, ['1', 'latest']);
  const manifest = await readFile(`${mirror}/${berth.host}/team/app:2/manifest.json`);
  const restored = await home.run('skopeo', [
    ...['inspect', '--raw', '--tls-verify=false', `docker://${berth.host}/restored/app:2`],
  ]);
  assert.equal(restored.stdout, manifest.toString());
});
