// docker, through a dockerd of the test's own, and containerd's ctr against Berth.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { startContainerd, startDockerd } from '../support/daemons.ts';
import { writeImageArchive, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

test('docker pushes, removes, pulls by tag and by digest, and searches', {
  skip: skipWithout('dockerd', 'docker', 'containerd', 'ctr', 'root'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const host = await startDockerd(t, home);
  const docker = (...args: string[]) => home.run('docker', ['--host', host, ...args]);
  const image = `${berth.host}/docker/app:1`;
  const listed = async () => (await docker('images', '--quiet', '--no-trunc')).stdout.trim();
  const archive = await writeImageArchive(home, 'a file of docker\n');
  await docker('import', '--change', 'CMD ["cat", "/text"]', '--change', 'LABEL kept=yes', archive, image);
  const id = await listed();

  let digest = '';
  await t.test('push reports the digest under which the registry has the manifest', async () => {
    const { stdout } = await docker('push', image);
    digest = /digest: (sha256:[0-9a-f]{64})/.exec(stdout)?.[1] ?? '';
    const response = await fetch(`${berth.url}/v2/docker/app/manifests/1`, {
      headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' },
    });
    assert.equal(response.headers.get('docker-content-digest'), digest);
    assert.equal(
      response.headers.get('content-type'),
      'application/vnd.docker.distribution.manifest.v2+json',
    );
  });

  await t.test('a push to a second repository mounts the layer', async () => {
    await docker('tag', image, `${berth.host}/docker/second:1`);
    const { stdout } = await docker('push', `${berth.host}/docker/second:1`);
    assert.match(stdout, /Mounted from docker\/app|Layer already exists/);
  });

  await t.test('pull by tag brings the same image back', async () => {
    await docker('rmi', '--force', id);
    assert.equal(await listed(), '');
    await docker('pull', image);
    assert.equal(await listed(), id);
    const { stdout } = await docker('inspect', '--format', '{{.Config.Labels.kept}}', image);
    assert.equal(stdout.trim(), 'yes');
  });

  await t.test('pull by digest brings the same image back', async () => {
    await docker('rmi', '--force', id);
    await docker('pull', `${berth.host}/docker/app@${digest}`);
    assert.equal(await listed(), id);
  });

  await t.test('search finds the repository', async () => {
    const { stdout } = await docker('search', '--format', '{{.Name}}', `${berth.host}/app`);
    assert.match(stdout, /docker\/app/);
  });

  await t.test('pulling a tag that is not there says so', async () => {
    const { output } = await home.run('docker', ['--host', host, 'pull', `${berth.host}/docker/app:2`], {
      expect: 'fails',
    });
    assert.match(output, /manifest unknown|not found/);
  });
});

test('ctr pushes an index of two platforms and pulls it back whole', {
  skip: skipWithout('containerd', 'ctr', 'root'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const address = await startContainerd(t, home);
  const ctr = (...args: string[]) => home.run('ctr', ['--address', address, ...args]);
  const image = `${berth.host}/containerd/multi:1`;
  const layout = await writeIndexLayout(home.path('layout'), image, ['amd64', 'arm64']);
  await home.run('tar', ['--create', '--file', 'layout.tar', '--directory', layout.folder, '.']);
  await ctr('images', 'import', '--all-platforms', '--no-unpack', home.path('layout.tar'));

  await ctr('images', 'push', '--plain-http', image);
  const response = await fetch(`${berth.url}/v2/containerd/multi/manifests/1`, {
    headers: { accept: 'application/vnd.oci.image.index.v1+json' },
  });
  assert.equal(await response.text(), layout.index);

  await ctr('images', 'remove', '--sync', image);
  await ctr('content', 'prune', 'references');
  assert.doesNotMatch((await ctr('content', 'list', '--quiet')).stdout, new RegExp(layout.digest));
  await ctr('content', 'fetch', '--plain-http', '--all-platforms', image);
  const content = (await ctr('content', 'list', '--quiet')).stdout.trim().split('\n');
  for (const digest of layout.digests) assert.ok(content.includes(digest), `${digest} was not pulled`);
});
