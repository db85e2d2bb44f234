// Bringing a registry somewhere else, and bringing another one along, with the command line: backups during pushes, the folder of
// docker-registry, and docker-registry as it runs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../support/berth-command.ts';
import { makeFolder } from '../support/cleanup.ts';
import { pushImage } from '../support/client.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { buildBaseImage, buildSmallImage, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { pullEverything, pullImage } from '../support/pull.ts';
import { startBerth } from '../support/running-berth.ts';

const skip = skipWithout('podman', 'buildah', 'skopeo', 'busybox', 'docker-registry', 'root');
const account = { username: 'sam', password: 'a long password' };

test('a backup that is made while people push is restored elsewhere, and every image is pulled', async (t) => {
  const berth = await startBerth(t);
  const folder = await makeFolder(t, 'backup');
  const command = (...args: string[]) =>
    runCommand(t, args, { folder, environment: { BERTH_DATA: berth.dataFolder } });
  const pushing = { on: true };
  const pushes = (async () => {
    for (let number = 0; pushing.on; number += 1) await pushImage(berth.url, 'churn/app', `v${number}`);
  })();
  const earlier = await untilPulled(berth.url);
  const first = await command('backup', 'create', 'backups');
  const second = await command('backup', 'create', 'backups', '--keep', '1', '--verify');
  pushing.on = false;
  await pushes;
  for (const { code, stdout, stderr } of [first, second]) {
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, new RegExp(`^backup +\\S+ in ${join(folder, 'backups')}\n`));
    assert.match(stderr, /backups is a path of the server's, with the server's rights\n/);
  }
  assert.match(second.stdout, /\nverified +every blob has its hash\nremoved +1 old backup/);
  assert.equal((await command('backup', 'list', 'backups', '-q')).stdout.split('\n').length, 2);
  assert.equal((await command('backup', 'verify', 'backups')).code, 0);

  const restored = await command('backup', 'restore', 'backups', '--data', 'new');
  assert.equal(restored.code, 0, restored.stderr);
  const again = await startBerth(t, { dataFolder: join(folder, 'new') });
  const pulled = await pullEverything(again.url);
  for (const [name, digest] of earlier) assert.equal(pulled.get(name), digest);
  t.diagnostic(`${pulled.size} of ${(await pullEverything(berth.url)).size} tags were in the backup`);
  assert.equal((await command('backup', 'restore', 'backups', '--data', 'new')).code, 6);
});

async function untilPulled(url: string) {
  for (;;) {
    const pulled = await pullEverything(url);
    if (pulled.size > 2) return pulled;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What the old registry holds: two images and an index. Gives name → digest. */
async function fill(home: ClientHome, { host }: DockerRegistry): Promise<ReadonlyMap<string, string>> {
  await buildBaseImage(home);
  await buildSmallImage(home, 'localhost/one:1', 'one');
  await buildSmallImage(home, 'localhost/two:1', 'two');
  const creds = ['--creds', `${account.username}:${account.password}`];
  const digests = new Map<string, string>();
  for (const [image, name, format] of [
    ['one', 'team/app:1', 'v2s2'],
    ['two', 'team/deep/app:2', 'oci'],
  ] as const) {
    const target = `docker://${host}/${name}`;
    const args = ['--tls-verify=false', ...creds, '--format', format, '--digestfile', home.path('digest')];
    await home.run('podman', ['push', ...args, `localhost/${image}:1`, target]);
    digests.set(name, (await home.run('cat', [home.path('digest')])).stdout.trim());
  }
  const layout = await writeIndexLayout(home.path('layout'), 'multi', ['amd64', 'arm64']);
  await home.run('skopeo', [
    ...['copy', '--all', '--dest-tls-verify=false', `--dest-creds=${creds[1]}`],
    ...[`oci:${layout.folder}:multi`, `docker://${host}/team/multi:1`],
  ]);
  return digests.set('team/multi:1', layout.digest);
}

test('the folder of docker-registry is taken over without a server, and served with the same digests', {
  skip,
}, async (t) => {
  const home = await makeClientHome(t);
  const old = await startDockerRegistry(t);
  const expected = await fill(home, old);
  await old.end();
  // Nobody serves the folder: the command is alone with it.
  const first = await startBerth(t);
  await first.end();
  const command = (...args: string[]) =>
    runCommand(t, args, { environment: { BERTH_DATA: first.dataFolder, HOME: home.folder } });
  const imported = await command('import', 'distribution', old.folder);
  assert.deepEqual([imported.code, imported.stderr], [0, '']);
  assert.match(
    imported.stdout,
    /^repositories 3\/3 {3}tags 3 {3}blobs \d+ \(.*\) {3}\S+ \S+ {3}0 damaged {3}00:00:\d\d\n$/,
  );
  const again = await command('import', 'distribution', old.folder, '--json');
  const { report, state } = JSON.parse(again.stdout);
  assert.deepEqual([state, report.manifests.stored, report.bytes], ['done', 0, 0]);

  const berth = await startBerth(t, { dataFolder: first.dataFolder });
  assert.deepEqual(await pullEverything(berth.url), new Map([...expected].sort()));
  for (const [name, digest] of expected) {
    const [repository = ''] = name.split(':');
    assert.equal(await pullImage(berth.url, repository, digest), digest);
  }
  await home.run('podman', ['pull', '--tls-verify=false', `${berth.host}/team/app:1`]);
  const missing = await command('import', 'distribution', '/nowhere');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /there is no|is not the folder of a registry/);
});

test('docker-registry with htpasswd is taken over as it runs, by flag or by what podman login stored', {
  skip,
}, async (t) => {
  const home = await makeClientHome(t);
  const old = await startDockerRegistry(t, { account });
  const expected = await fill(home, old);
  const berth = await startBerth(t);
  const environment = { BERTH_DATA: berth.dataFolder, REGISTRY_AUTH_FILE: home.path('auth.json') };
  const command = (args: readonly string[], input?: string) =>
    runCommand(t, ['import', 'registry', ...args], {
      environment,
      ...(input === undefined ? {} : { input }),
    });

  const unknown = await command([old.url]);
  assert.equal(unknown.code, 1, unknown.stdout);
  assert.match(unknown.stderr, /does not allow/);
  const some = await command(
    [
      old.host,
      '--username',
      account.username,
      '--password-stdin',
      '--repositories',
      'team/app',
      'team/deep/**',
    ],
    account.password,
  );
  assert.equal(some.code, 0, some.stderr);
  assert.match(some.stdout, /^repositories 2\/2 {3}tags 2 {3}blobs \d+ \(/);
  await home.run('podman', [
    ...['login', '--tls-verify=false', '-u', account.username, '--password', account.password, old.host],
  ]);
  const rest = await command([old.url]);
  assert.equal(rest.code, 0, rest.stderr);
  assert.match(rest.stdout, /^repositories 3\/3 {3}tags 3 {3}/);
  assert.deepEqual(await pullEverything(berth.url), new Map([...expected].sort()));
  const { stdout } = await runCommand(t, ['operation', 'list', '--json'], { environment });
  assert.ok(!stdout.includes(account.password), 'the password is not kept');
});
