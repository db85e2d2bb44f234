// The container image: built from the Dockerfile on a base made here, run as whichever user and on a read-only root
// folder, pushed to and pulled from with skopeo.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { access, chmod, chown, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildNodeBase, npmBuildOptions } from '../support/base-image.ts';
import { onEnd } from '../support/cleanup.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { writeIndexLayout } from '../support/images.ts';
import { findFreePort } from '../support/ports.ts';
import { listDescendants } from '../support/process-tree.ts';
import { skipWithout } from '../support/programs.ts';
import { password } from '../support/sign-in.ts';

const skip = skipWithout('buildah', 'skopeo', 'debootstrap', 'unshare', 'chroot', 'root');
const PROJECT = join(import.meta.dirname, '..', '..');
const IMAGE = 'localhost/berth-test/berth:1';
const ANY_USER = '12345:0';
const INSTALLED = 'usr/local/lib/berth';

test('the container image', { skip }, async (t) => {
  const home = await makeClientHome(t);
  await buildNodeBase(home, await readBaseName());
  await home.run(
    'buildah',
    [
      ...['build', '--format', 'docker', '--isolation', 'chroot', '--pull=never', '--tag', IMAGE],
      ...['--build-arg', 'VERSION=1.2.3', ...(await npmBuildOptions(home)), PROJECT],
    ],
    { timeoutSeconds: 900 },
  );

  await t.test('says how it is started, checked and where it keeps what it stores', async () => {
    const { stdout } = await home.run('buildah', ['inspect', '--type', 'image', IMAGE]);
    const { config } = JSON.parse(stdout).Docker;
    assert.deepEqual(config.Entrypoint, ['berth']);
    assert.deepEqual(config.Cmd, ['serve']);
    assert.deepEqual(config.Healthcheck.Test, ['CMD', 'berth', 'status', '--health']);
    assert.deepEqual(Object.keys(config.Volumes), ['/var/lib/berth']);
    assert.deepEqual(Object.keys(config.ExposedPorts), ['5000/tcp']);
    assert.match(config.User, /^[1-9]\d*:0$/);
    assert.equal(config.Labels['org.opencontainers.image.version'], '1.2.3');
    for (const setting of [
      'BERTH_DATA=/var/lib/berth',
      'BERTH_HTTP_ADDRESS=0.0.0.0',
      'BERTH_ACCESS_MODE=token',
    ]) {
      assert(config.Env.includes(setting), `${setting} is missing in ${config.Env}`);
    }
  });

  const container = (await home.run('buildah', ['from', '--pull-never', IMAGE])).stdout.trim();
  const root = (await home.run('buildah', ['mount', container])).stdout.trim();

  await t.test('holds what the server needs and no development dependency', async (t) => {
    const lock = JSON.parse(await readFile(join(PROJECT, 'package-lock.json'), 'utf8'));
    const packages = Object.entries<{ dev?: boolean; optional?: boolean }>(lock.packages);
    const isThere = (path: string) => access(join(root, INSTALLED, path)).then(...[() => true, () => false]);
    for (const [path, { dev, optional }] of packages) {
      if (path === '' || optional === true) continue;
      assert.equal(await isThere(path), dev !== true, path);
    }
    for (const path of ['src/main.ts', 'migrations', 'config']) assert(await isThere(path), path);
    for (const path of ['test', 'bench', '.git', 'docs']) assert(!(await isThere(path)), path);
    // For the image's own user: Node keeps compiled sources apart by user.
    const [cache = ''] = await readdir(join(root, INSTALLED, 'node_modules/.cache/compile'));
    assert.match(cache, /^v24\..*-10001$/);
    const compiled = await readdir(join(root, INSTALLED, 'node_modules/.cache/compile', cache));
    t.diagnostic(`${compiled.length} compiled sources in the image`);
    assert(compiled.length > 300);
  });

  await t.test('accepts its own settings and knows its version', async () => {
    const berth = (...args: string[]) =>
      home.run('buildah', ['run', '--isolation', 'chroot', container, '--', 'berth', ...args]);
    assert.match((await berth('version')).stdout, /\d+\.\d+\.\d+/);
    await berth('config', 'check');
  });

  await t.test('runs as any user of group 0, takes a push, gives it back and ends with 0', async (t) => {
    const port = await findFreePort();
    const asUser = ['run', '--isolation', 'chroot', '--user', ANY_USER];
    const settings = [
      `BERTH_HTTP_PORT=${port}`,
      'BERTH_HTTP_ADDRESS=127.0.0.1',
      `BERTH_ACCESS_ADMIN_PASSWORD=${password}`,
    ].flatMap((one) => ['--env', one]);
    const child = home.start('buildah', [...asUser, ...settings, container, '--', 'berth', 'serve']);
    const server = watch(t, child);
    await server.untilListening();
    assert.match(server.printed(), / access token$/m);
    const anonymous = await fetch(`http://127.0.0.1:${port}/v2/`);
    assert.equal(anonymous.status, 401);
    await pushAndPull(home, `127.0.0.1:${port}`, 'user', password);
    const health = [...asUser, ...settings, container, '--', 'berth', 'status', '--health'];
    await home.run('buildah', health);
    assert.equal(await server.end(), 0, server.printed());
    await home.run('buildah', health, { expect: 'fails' });
  });

  await t.test('runs on a read-only root folder, where only the volume can be written', async (t) => {
    const port = await findFreePort();
    const volume = home.path('volume');
    await mkdir(volume);
    await chown(volume, 0, 0);
    await chmod(volume, 0o770);
    const server = watch(
      t,
      startReadOnly(home, root, volume, [
        ...['BERTH_DATA=/var/lib/berth', 'BERTH_ACCESS_MODE=token', `BERTH_HTTP_PORT=${port}`],
      ]),
    );
    await server.untilListening();
    const first = await readFile(join(volume, 'initial-admin-password'), 'utf8');
    await pushAndPull(home, `127.0.0.1:${port}`, 'read-only', first.trimEnd());
    assert.equal(await server.end(), 0, server.printed());
  });
});

/** The image that the Dockerfile builds on unless told otherwise. */
async function readBaseName(): Promise<string> {
  const dockerfile = await readFile(join(PROJECT, 'Dockerfile'), 'utf8');
  const name = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile)?.[1];
  assert(name !== undefined, 'the Dockerfile names no base image');
  return name;
}

/** Starts the server in the image's root folder, mounted read-only in a mount namespace that ends with the server. */
function startReadOnly(
  home: ClientHome,
  root: string,
  volume: string,
  settings: readonly string[],
): ChildProcess {
  const script = [
    'set -e',
    'mount --bind "$1" "$1"',
    'mount --bind "$2" "$1/var/lib/berth"',
    'mount -t proc proc "$1/proc"',
    'mount -o remount,bind,ro "$1"',
    'root=$1; shift 2',
    `exec chroot --userspec=${ANY_USER} --groups= "$root" /usr/bin/env -i "$@" \\`,
    '  /bin/sh -c "! touch /usr/written 2>/dev/null && exec berth serve"',
  ].join('\n');
  const path = 'PATH=/usr/local/bin:/usr/bin:/bin';
  const namespace = ['--mount', '--propagation', 'private'];
  return home.start('unshare', [...namespace, 'sh', '-c', script, 'sh', root, volume, path, ...settings]);
}

/** Copies an index with two platforms to the server and back, as its first administrator, and compares the digests. */
async function pushAndPull(home: ClientHome, host: string, name: string, secret: string): Promise<void> {
  const layout = await writeIndexLayout(home.path(`${name}-layout`), 'v1', ['amd64', 'arm64']);
  const there = `docker://${host}/team/app:v1`;
  const copy = ['copy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false'];
  const creds = `admin:${secret}`;
  await home.run('skopeo', [...copy, '--dest-creds', creds, `oci:${layout.folder}:v1`, there]);
  await home.run('skopeo', [...copy, '--src-creds', creds, there, `oci:${home.path(`${name}-pulled`)}:v1`]);
  const pulled = JSON.parse(await readFile(home.path(`${name}-pulled`, 'index.json'), 'utf8'));
  assert.equal(pulled.manifests[0].digest, layout.digest);
}

/** Follows what a server prints; it is killed after the test if it still runs. */
function watch(t: TestContext, child: ChildProcess) {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  // The server itself is below buildah, which does not pass every signal on.
  const signal = (name: NodeJS.Signals) => {
    if (child.pid === undefined || child.exitCode !== null) return;
    process.kill(listDescendants(child.pid).at(-1) ?? child.pid, name);
  };
  onEnd(t, async () => {
    signal('SIGKILL');
    await ended;
  });
  return {
    printed: () => text,
    async end() {
      signal('SIGTERM');
      return await ended;
    },
    async untilListening() {
      for (let waited = 0; waited < 600 && !/ listening on /.test(text); waited += 1) {
        assert.equal(child.exitCode, null, `the server ended: ${text}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.match(text, / listening on /);
    },
  };
}
