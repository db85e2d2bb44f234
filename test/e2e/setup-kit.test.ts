// The setup kit as somebody uses it on another machine: fetched from the registry, put in its place, and the client works
// without a flag.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { startContainerd } from '../support/daemons.ts';
import { buildBaseImage, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

test('podman speaks plain HTTP by the file that the registry gives', {
  skip: skipWithout('podman', 'buildah', 'busybox', 'root'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const image = await buildBaseImage(home);
  const target = `${berth.host}/tools/base:1`;
  const refused = await home.run('podman', ['push', image, target], { expect: 'fails' });
  assert.match(refused.output, /server gave HTTP response to HTTPS client/);
  const file = await (await fetch(`${berth.url}/-/setup/podman`)).text();
  const environment = { ...home.environment, CONTAINERS_REGISTRIES_CONF: await home.write('kit.conf', file) };
  await home.run('podman', ['push', image, target], { environment });
  await home.run('podman', ['pull', target], { environment });
});

test('containerd speaks plain HTTP by the hosts.toml that the registry gives', {
  skip: skipWithout('containerd', 'ctr', 'root'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const address = await startContainerd(t, home);
  const ctr = (...args: string[]) => home.run('ctr', ['--address', address, ...args]);
  const layout = await writeIndexLayout(home.path('layout'), 'v1', ['amd64', 'arm64']);
  await home.run('tar', ['--create', '--file', home.path('layout.tar'), '--directory', layout.folder, '.']);
  const image = `${berth.host}/tools/app:v1`;
  await ctr(
    ...['images', 'import', '--all-platforms', '--no-unpack'],
    '--index-name',
    image,
    home.path('layout.tar'),
  );
  const file = await (await fetch(`${berth.url}/-/setup/containerd`)).text();
  await home.write(`certs.d/${berth.host}/hosts.toml`, file);
  await ctr('images', 'push', '--hosts-dir', home.path('certs.d'), image);
  await ctr('images', 'remove', '--sync', image);
  await ctr('content', 'fetch', '--hosts-dir', home.path('certs.d'), '--all-platforms', image);
});
