// docker with its identity token, ctr, crane, oras and helm against a Berth that asks for sign-in.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { startContainerd, startDockerd } from '../support/daemons.ts';
import { writeImageArchive, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { password } from '../support/sign-in.ts';
import { startSignInBerth } from '../support/sign-in-berth.ts';

const denied = /denied: sam may not push to joe\/\w+; your own namespace is sam\//i;
const wrongPassword = /unauthorized: the user name or the password is wrong/i;

test('docker signs in with an identity token, which ends with the password', {
  skip: skipWithout('dockerd', 'docker', 'containerd', 'root'),
}, async (t) => {
  const berth = await startSignInBerth(t);
  await berth.addUsers('sam', 'joe');
  const home = await makeClientHome(t);
  const host = await startDockerd(t, home);
  const docker = async (...args: string[]) => (await home.run('docker', ['--host', host, ...args])).output;
  const refused = async (...args: string[]) =>
    (await home.run('docker', ['--host', host, ...args], { expect: 'fails' })).output;
  const login = ['login', berth.host, '-u', 'sam', '--password-stdin'];
  const image = `${berth.host}/sam/app:1`;
  await docker('import', await writeImageArchive(home, 'a file of docker\n'), image);
  await docker('tag', image, `${berth.host}/joe/app:1`);

  await t.test('without a login it is asked to sign in', async () => {
    assert.match(await refused('push', image), /unauthorized: authentication required: sign in first/);
  });

  await t.test('a wrong password is refused, a right one is kept as a token and not as it is', async () => {
    const wrong = await home.run('docker', ['--host', host, ...login], { input: 'wrong', expect: 'fails' });
    assert.match(wrong.output, wrongPassword);
    const right = await home.run('docker', ['--host', host, ...login], { input: password });
    assert.match(right.output, /Login Succeeded/);
    const settings = await readFile(home.path('.docker', 'config.json'), 'utf8');
    const { auth, identitytoken } = JSON.parse(settings).auths[berth.host];
    assert.match(identitytoken, /^berth_refresh_/);
    assert.equal(Buffer.from(auth, 'base64').toString(), 'sam:');
  });

  await t.test('it pushes, pulls and searches with that token, again and again', async () => {
    await docker('push', image);
    await docker('rmi', image);
    await docker('pull', image);
    assert.match(await docker('search', '--format', '{{.Name}}', `${berth.host}/app`), /^sam\/app$/m);
    await docker('push', image);
  });

  await t.test(
    'it shows our sentence when a push is refused, and the same for a pull of what is hidden',
    async () => {
      assert.match(await refused('push', `${berth.host}/joe/app:1`), denied);
      assert.match(
        await refused('pull', `${berth.host}/joe/app:1`),
        /name unknown: repository joe\/app does not exist, or sam may not see it/,
      );
    },
  );

  await t.test('a new password ends the token', async () => {
    await berth.manage('PUT', '/users/sam/password', { password: 'another good password 5' });
    assert.match(await refused('push', image), /unauthorized: the token is not valid/);
  });

  await t.test('logout forgets it', async () => {
    await docker('logout', berth.host);
    assert.match(await refused('pull', image), /unauthorized: authentication required: sign in first/);
  });
});

test('ctr signs in for each command', { skip: skipWithout('containerd', 'ctr', 'root') }, async (t) => {
  const berth = await startSignInBerth(t);
  await berth.addUsers('sam', 'joe');
  const home = await makeClientHome(t);
  const address = await startContainerd(t, home);
  const image = `${berth.host}/sam/multi:1`;
  // As many layers as containerd fetches tokens for at once.
  const layout = await writeIndexLayout(home.path('layout'), image, [
    'amd64',
    'arm64',
    'arm',
    's390x',
    'ppc64le',
    '386',
  ]);
  await home.run('tar', ['--create', '--file', 'layout.tar', '--directory', layout.folder, '.']);
  const ctr = (...args: string[]) => home.run('ctr', ['--address', address, ...args]);
  const refused = async (...args: string[]) =>
    (await home.run('ctr', ['--address', address, ...args], { expect: 'fails' })).output;
  await ctr('images', 'import', '--all-platforms', '--no-unpack', home.path('layout.tar'));
  const user = ['--plain-http', '--user', `sam:${password}`];

  assert.match(await refused('images', 'push', '--plain-http', image), /401|authorization failed/);
  const wrong = ['--plain-http', '--user', 'sam:wrong'];
  assert.match(await refused('images', 'push', ...wrong, image), /failed to fetch oauth token.*401/);
  await ctr('images', 'push', ...user, image);
  assert.match(await refused('images', 'push', ...user, `${berth.host}/joe/multi:1`, image), /403/);
  await ctr('images', 'remove', '--sync', image);
  await ctr('content', 'prune', 'references');
  await ctr('content', 'fetch', ...user, '--all-platforms', image);
  const content = (await ctr('content', 'list', '--quiet')).stdout.trim().split('\n');
  for (const digest of layout.digests) assert.ok(content.includes(digest), `${digest} was not pulled`);
});

test('crane, oras and helm sign in and out', { skip: skipWithout('crane', 'oras', 'helm') }, async (t) => {
  const berth = await startSignInBerth(t);
  await berth.addUsers('sam', 'joe');
  const home = await makeClientHome(t);
  const { host } = berth;
  const ok = async (program: string, ...args: string[]) => (await home.run(program, args)).output;
  const refused = async (program: string, ...args: string[]) =>
    (await home.run(program, args, { expect: 'fails' })).output;

  await t.test('crane', async () => {
    const archive = await writeImageArchive(home, 'one\n');
    await ok('crane', 'auth', 'login', host, '-u', 'sam', '-p', 'wrong');
    const push = ['append', '--new_layer', archive, '--new_tag'];
    assert.match(await refused('crane', ...push, `${host}/sam/crane:1`), wrongPassword);
    await ok('crane', 'auth', 'login', host, '-u', 'sam', '-p', password);
    await ok('crane', ...push, `${host}/sam/crane:1`);
    assert.match(await refused('crane', ...push, `${host}/joe/crane:1`), denied);
    await ok('crane', 'copy', `${host}/sam/crane:1`, `${host}/sam/copy:1`);
    assert.equal((await ok('crane', 'catalog', host)).trim(), 'sam/copy\nsam/crane');
    await ok('crane', 'delete', `${host}/sam/copy:1`);
    assert.match(
      await refused('crane', 'ls', `${host}/joe/crane`),
      /NAME_UNKNOWN: repository joe\/crane does not exist/,
    );
    await ok('crane', 'auth', 'logout', host);
    assert.match(await refused('crane', 'ls', `${host}/sam/crane`), /UNAUTHORIZED: authentication required/);
  });

  await t.test('oras', async () => {
    const login = ['login', '--plain-http', host, '-u', 'sam', '-p'];
    assert.match(await refused('oras', ...login, 'wrong'), wrongPassword);
    assert.match(await ok('oras', ...login, password), /Login Succeeded/);
    await home.write('note', 'a note\n');
    const push = (name: string) => ['push', '--plain-http', `${host}/${name}:1`, 'note:text/plain'];
    await ok('oras', ...push('sam/note'));
    assert.match(await refused('oras', ...push('joe/note')), denied);
    assert.match(await ok('oras', 'repo', 'ls', '--plain-http', host), /^sam\/note$/m);
    await ok('oras', 'logout', host);
  });

  await t.test('helm', async () => {
    const login = ['registry', 'login', '--plain-http', host, '-u', 'sam', '-p'];
    assert.match(await refused('helm', ...login, 'wrong'), wrongPassword);
    assert.match(await ok('helm', ...login, password), /Login Succeeded/);
    await home.write('chart/Chart.yaml', 'apiVersion: v2\nname: greeter\nversion: 1.2.3\n');
    await ok('helm', 'package', home.path('chart'), '--destination', home.folder);
    const push = ['push', '--plain-http', home.path('greeter-1.2.3.tgz')];
    await ok('helm', ...push, `oci://${host}/sam`);
    assert.match(await refused('helm', ...push, `oci://${host}/joe`), denied);
    const pull = ['pull', '--plain-http', '--version', '1.2.3', '--destination', home.path('tmp')];
    await ok('helm', ...pull, `oci://${host}/sam/greeter`);
    await ok('helm', 'registry', 'logout', host);
    assert.match(
      await refused('helm', ...pull, `oci://${host}/sam/greeter`),
      /unauthorized: authentication required/,
    );
  });
});
