// The care of the store by command, through each of the doors: real processes over real servers.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeTestFolder, runCommand, startCommand } from '../support/berth-command.ts';
import { pushImage } from '../support/client.ts';
import { DistributionWriter } from '../support/distribution-folder.ts';
import { pullEverything } from '../support/pull.ts';
import { startSilentRegistry } from '../support/silent-registry.ts';

const settings = { BERTH_COLLECTOR_LEASE: '1s' };

async function serve(t: TestContext, more: Record<string, string> = {}) {
  const folder = await makeTestFolder(t);
  const data = join(folder, 'data');
  const environment = { ...settings, ...more };
  const server = await startCommand(t, ['serve', '--port', '0', '--data', data], { folder, environment });
  const [, url = ''] = await server.untilPrinted(/listening on (http:\/\/127\.0\.0\.1:\d+)/);
  const berth = (args: string, options: { input?: string; environment?: Record<string, string> } = {}) =>
    runCommand(t, args.split(' '), {
      folder,
      ...options,
      environment: { ...settings, ...options.environment },
    });
  const begin = (args: string) => startCommand(t, args.split(' '), { folder, environment: settings });
  return { server, folder, data, url, berth, begin };
}

async function remove(url: string, reference: string): Promise<void> {
  const answer = await fetch(`${url}/v2/${reference}`, { method: 'DELETE' });
  assert.equal(answer.status, 202, await answer.text());
}

function fileOf(data: string, digest: string): string {
  const names = readdirSync(join(data, 'blobs'), { recursive: true, encoding: 'utf8' });
  const name = names.find((found) => found.includes(digest.slice('sha256:'.length)));
  assert.ok(name, `${digest} is below ${data}`);
  return join(data, 'blobs', name);
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('berth gc and berth usage', { concurrency: 2 }, () => {
  test('tell what is held and why, and give it up on demand', async (t) => {
    const { berth, url } = await serve(t);
    await pushImage(url, 'team/app', 'kept');
    const { digest } = await pushImage(url, 'team/app', 'gone');
    const freeBy = await berth('usage team/app --free-by gone');
    assert.match(freeBy.stdout, /^would free \d+ B \(2 blobs\) with 1 manifest\n$/, freeBy.stderr);
    await remove(url, `team/app/manifests/${digest}`);
    const held = await berth('gc');
    assert.deepEqual([held.code, held.stderr], [0, '']);
    assert.match(
      held.stdout,
      /^freed +0 B \(0 blobs, 0 manifests\) in .*\nheld +\d+ B deleted less than 14 days ago /,
    );
    await pause(2500);
    const dry = await berth('gc --now --dry-run');
    assert.match(dry.stdout, /^would free +\d+ B \(2 blobs, 1 manifest\)\n/);
    const now = await berth('gc --now --json');
    const { kind, state, report, request } = JSON.parse(now.stdout);
    assert.deepEqual([kind, state, report.freed.blobs, request.now], ['gc', 'done', 2, true]);
    assert.equal((await berth('gc -q')).stdout, '0\n');

    const whole = await berth('usage');
    assert.match(whole.stdout, /^stored +\d+ B \(2 blobs\)\n/);
    assert.match(whole.stdout, /\nteam +\d+ B +.*1\n/);
    assert.match((await berth('usage team')).stdout, /^namespace +team\nused +\d+ B\nrepositories +1\n/);
    assert.match((await berth('usage team/app')).stdout, /\nTAG +ITS DELETION FREES\nkept +\d+ B\n$/);
    assert.equal((await berth('usage team/other')).code, 5);
    assert.equal((await berth('usage nobody')).code, 5);
    assert.equal((await berth('usage --free-by v1')).code, 2);
  });

  test('after an older berth.db was put back: what came since stays, and it is said what to do', async (t) => {
    const first = await serve(t);
    await pushImage(first.url, 'team/app', 'v1');
    await first.server.end();
    const { data, folder, berth } = first;
    const database = join(data, 'berth.db');
    await copyFile(database, join(folder, 'older.db'));
    const again = async () => {
      const args = ['serve', '--port', '0', '--data', data];
      const server = await startCommand(t, args, { folder, environment: settings });
      const [, address = ''] = await server.untilPrinted(/listening on (http:\/\/127\.0\.0\.1:\d+)/);
      return { server, address };
    };
    const { server, address: url } = await again();
    const { digest } = await pushImage(url, 'team/app', 'v2');
    const answer = await fetch(`${url}/v2/team/app/manifests/${digest}`);
    const { layers } = (await answer.json()) as { layers: { digest: string }[] };
    await server.end();
    for (const suffix of ['', '-wal', '-shm']) await rm(database + suffix, { force: true });
    await copyFile(join(folder, 'older.db'), database);
    for (const args of ['gc', 'gc --now']) {
      const { code, stdout, stderr } = await berth(args);
      assert.equal(code, 6, stderr);
      assert.match(stdout, /\nunknown +\d+ B in \d files? without a row .* another database before/);
      assert.match(stdout, /\nstopped +.* if an older berth\.db was put back, .* berth gc --force takes it/i);
    }
    await again();
    const told = await berth('status');
    assert.match(
      told.stdout,
      /^warning +at .* if an older berth\.db was put back, .* no space is taken back, .* berth gc --force$/m,
      told.stderr,
    );
    assert.ok(fileOf(data, layers[0]?.digest ?? ''));
    const forced = await berth('gc --force');
    assert.match(forced.stdout, /\nfreed +\d+ B in \d files? without a row/, forced.stderr);
    assert.throws(() => fileOf(data, layers[0]?.digest ?? ''));
    assert.equal((await berth('gc')).code, 0);
    assert.doesNotMatch((await berth('status')).stdout, /put back/);
  });

  test('on a folder that nobody serves', async (t) => {
    const { berth, url, server } = await serve(t);
    await pushImage(url, 'team/app', 'v1');
    await server.end();
    const collected = await berth('gc');
    assert.deepEqual([collected.code, collected.stderr], [0, '']);
    assert.match(collected.stdout, /^freed +0 B /);
    assert.match(
      (await berth('scrub --deep')).stdout,
      /^checked +2 blobs \(\d+ B; every byte read\), 1 manifest and /,
    );
    const listed = JSON.parse((await berth('operation list --json')).stdout);
    assert.deepEqual(
      listed.items.map((one: { kind: string; state: string }) => [one.kind, one.state]),
      [
        ['scrub', 'done'],
        ['gc', 'done'],
      ],
    );
  });

  test('over the network, for administrators alone', async (t) => {
    const password = 'a-password-for-tests';
    const { berth, url } = await serve(t, {
      BERTH_ACCESS_MODE: 'token',
      BERTH_ACCESS_ADMIN_PASSWORD: password,
      BERTH_AUTH_PASSWORD_BCRYPT_COST: '10',
    });
    const environment = { REGISTRY_AUTH_FILE: join(await makeTestFolder(t), 'auth.json') };
    const login = await berth(`login ${url} -u admin --password-stdin`, { input: password, environment });
    assert.equal(login.code, 0, login.stderr);
    assert.match((await berth(`gc -r ${url}`, { environment })).stdout, /^freed +0 B /);
    assert.equal((await berth(`gc -r ${url}`)).code, 4);
    const relative = await berth(`backup create here -r ${url}`, { environment });
    assert.deepEqual([relative.code, relative.stdout], [2, '']);
    assert.match(relative.stderr, /DESTINATION: here would be on the machine of .*: give the whole path/);
    const folder = join(await makeTestFolder(t), 'backups');
    const made = await berth(`backup create ${folder} -r ${url}`, { environment });
    assert.match(made.stderr, new RegExp(`^${folder} is a path on the machine of 127\\.0\\.0\\.1:\\d+\n`));
    assert.match(made.stdout, new RegExp(`^backup +\\S+ in ${folder}\n`));
  });
});

describe('berth scrub', { concurrency: 2 }, () => {
  test('ends with 3 for damage, tells what it touches, and with 0 after the next push', async (t) => {
    const { berth, url, data } = await serve(t);
    const { layer } = await pushImage(url, 'team/app', 'v1');
    await pushImage(url, 'other', 'copy', 'v1');
    assert.equal((await berth('scrub')).code, 0);
    const file = fileOf(data, layer);
    const bytes = await readFile(file);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const found = await berth('scrub --deep');
    assert.equal(found.code, 3);
    const lines = found.stdout.split('\n');
    const at = lines.indexOf('Damaged blobs:');
    assert.match(
      lines[at + 1] ?? '',
      new RegExp(`^ {2}${layer} {2}\\d+ B {2}quarantined \\d+ seconds? ago$`),
    );
    assert.deepEqual(lines.slice(at + 2, at + 4).sort(), ['    other: copy', '    team/app: v1']);
    assert.match(
      found.stdout,
      /\n {4}to heal: push .* again from wherever .*\nAs in: podman push localhost:\d+\//,
    );
    const { damage, state } = JSON.parse((await berth('scrub --json')).stdout);
    assert.deepEqual([state, damage[0].digest], ['done', layer]);
    assert.equal((await berth('scrub -q')).stdout, `${layer}\n`);
    await pushImage(url, 'team/app', 'v1');
    const healed = await berth('scrub --deep');
    assert.deepEqual([healed.code, healed.stdout.includes('Damaged')], [0, false]);
  });
});

describe('berth quota', { concurrency: 2 }, () => {
  test('is set, shown and removed', async (t) => {
    const { berth, url } = await serve(t);
    await pushImage(url, 'team/app', 'v1');
    const set = await berth('quota set team --size 1MiB --repositories 3');
    assert.match(set.stdout, /^team: at most 1\.0 MiB, repositories: 3; \d+ B used\n$/, set.stderr);
    await berth('quota set team --size 2GiB');
    assert.match((await berth('quota show team')).stdout, /\nteam +\d+ B +2\.0 GiB +1 +3 +quota\n$/);
    assert.match((await berth('quota set team --size 1B')).stderr, /^that is less than is used: /);
    await berth('quota set ** --size 1TiB');
    assert.match((await berth('quota show')).stdout, /\n\*\* +\d+ B +1\.0 TiB /);
    const { items } = JSON.parse((await berth('quota show --json')).stdout);
    assert.ok(items.some(({ namespace }: { namespace: string | null }) => namespace === 'team'));
    assert.match((await berth('quota remove team')).stdout, /^team: unlimited, repositories: unlimited\n$/);
    assert.match((await berth('quota show team')).stdout, / settings\n$/);
    assert.equal((await berth('quota set nobody --size 1GiB')).code, 5);
    for (const wrong of ['team', 'team --size 50', 'team --size much', 'team --repositories few'])
      assert.equal((await berth(`quota set ${wrong}`)).code, 2, wrong);
  });
});

describe('berth import', { concurrency: 2 }, () => {
  test('takes a folder over, tells what is damaged, and goes on where it was', async (t) => {
    const { berth, url, folder } = await serve(t);
    await mkdir(join(folder, 'old'));
    const source = new DistributionWriter(join(folder, 'old'));
    await source.writeImage('team/app', 'v1', 'one', 2000);
    await source.writeImage('team/app', 'v2', 'two', 2000);
    await source.writeImage('other', 'v1', 'three', 2000);
    const some = await berth('import distribution old --repositories team/** --tags v1');
    assert.match(
      some.stdout,
      /^repositories 1\/1 {3}tags 1 {3}blobs 2 \(linked\) {3}\S+ \S+ {3}0 damaged {3}00:00:0\d\n$/,
    );
    assert.equal(some.stderr, `${join(folder, 'old')} is a path of the server's, with the server's rights\n`);
    const all = JSON.parse((await berth('import distribution old --json')).stdout);
    assert.deepEqual([all.state, all.report.tags], ['done', { stored: 2, present: 1 }]);
    assert.deepEqual([...(await pullEverything(url)).keys()].sort(), [
      'other:v1',
      'team/app:v1',
      'team/app:v2',
    ]);
    const nothing = await berth('import distribution nowhere');
    assert.deepEqual([nothing.code, nothing.stdout], [1, '']);
    assert.match(nothing.stderr, /nowhere is not the folder of a registry/);
    assert.equal((await berth('import registry not/a/host')).code, 2);
    assert.equal((await berth('import registry old:5000 -u sam')).code, 2);
  });
});

describe('an operation that lasts', { concurrency: 2 }, () => {
  test('tells how far it is, outlives Ctrl-C, and is paused, resumed and cancelled', async (t) => {
    const silent = await startSilentRegistry(t);
    const { berth, begin, server } = await serve(t);
    const command = await begin(`import registry ${silent}`);
    const [line] = await command.untilPrinted(/^\{"id":.*\}\n/m);
    const { id, kind, state } = JSON.parse(line);
    assert.deepEqual([kind, state], ['import', 'running']);
    const second = await berth(`import registry ${silent}`);
    assert.deepEqual([second.code, second.stdout], [6, '']);
    assert.match(second.stderr, new RegExp(`\\b${id}\\b`));
    const { code, stderr } = await command.end('SIGINT');
    assert.equal(code, 130);
    assert.match(
      stderr,
      new RegExp(`\nberth: interrupted: operation ${id} goes on\\. berth operation show ${id} --follow, or `),
    );

    assert.equal((await berth(`operation show ${id} -q`)).stdout, 'running\n');
    assert.equal((await berth(`operation pause ${id}`)).stdout, `operation ${id} paused\n`);
    assert.equal((await berth(`operation show ${id} -q`)).stdout, 'paused\n');
    assert.equal((await berth(`operation resume ${id}`)).stdout, `operation ${id} goes on\n`);
    assert.match(
      (await berth(`operation show ${id}`)).stdout,
      /^operation +\d+\nkind +import\nstate +running\n/,
    );
    const follower = await begin(`operation show ${id} --follow`);
    assert.equal((await berth(`operation cancel ${id}`)).code, 0);
    const followed = await follower.ended;
    assert.deepEqual([followed.code, followed.stdout], [1, '']);
    assert.match(
      followed.stderr,
      /berth: import \(operation \d+\) was cancelled; what it did so far stays done\n$/,
    );
    assert.equal((await berth(`operation list --state cancelled -q`)).stdout, `${id}\n`);
    assert.equal((await berth('operation show 4711')).code, 5);
    assert.equal((await berth('operation show x')).code, 2);

    const left = await begin(`import registry ${silent}`);
    await left.untilPrinted(/^\{"id":/m);
    await server.end('SIGKILL');
    const gone = await left.ended;
    assert.equal(gone.code, 7);
    assert.match(gone.stderr, /\noperation \d+ goes on where the registry does: berth operation show \d+\n$/);
  });

  test('is stopped cleanly by Ctrl-C on a folder that nobody serves', async (t) => {
    const silent = await startSilentRegistry(t);
    const { berth, begin, server } = await serve(t);
    await server.end();
    const command = await begin(`import registry ${silent}`);
    const [, id] = await command.untilPrinted(/^\{"id":(\d+),/m);
    const { code, stderr } = await command.end('SIGINT');
    assert.equal(code, 130);
    assert.match(
      stderr,
      new RegExp(`\nberth: interrupted: operation ${id} is stopped; what it did so far stays done\n$`),
    );
    const shown = JSON.parse((await berth(`operation show ${id} --json`)).stdout);
    assert.equal(shown.state, 'interrupted');
  });
});
