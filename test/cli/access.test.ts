// The commands about what one may and what was done: grants, explanations, the audit log, keys, read-only, status, whoami.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeTestFolder, runCommand, startCommand } from '../support/berth-command.ts';
import { commandLine } from '../support/command-line.ts';
import { startRegistry } from '../support/registry.ts';

const password = 'a-password-for-tests';

async function start(t: TestContext) {
  const registry = await startRegistry(t, {
    'access.mode': 'token',
    'access.adminPassword': password,
    'auth.password.bcryptCost': '10',
  });
  const homeFolder = await makeTestFolder(t);
  const berth = commandLine({ data: registry.data, folder: homeFolder, homeFolder });
  const asUser = async (name: string, ...options: string[]) => {
    await berth.withInput(password)('user', 'add', name, '--password-stdin', ...options);
    const login = berth.with({
      BERTH_REGISTRY: `localhost:${registry.port}`,
      REGISTRY_AUTH_FILE: join(homeFolder, `${name}.json`),
    });
    await login.withInput(password)('login', '-u', name, '--password-stdin');
    return login;
  };
  return { registry, berth, asUser };
}

/** Makes a repository by pushing an image of nothing to it, as the administrator. */
async function makeRepository(url: string, name: string): Promise<void> {
  const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
  const config = '{}';
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  const blob = await fetch(`${url}/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers: { authorization },
    body: config,
  });
  assert.equal(blob.status, 201);
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const described = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length };
  const manifest = await fetch(`${url}/v2/${name}/manifests/latest`, {
    method: 'PUT',
    headers: { authorization, 'content-type': mediaType },
    body: JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers: [] }),
  });
  assert.equal(manifest.status, 201);
}

const rows = (table: string) =>
  table
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

test('berth repo set changes who may see a repository, and says so', async (t) => {
  const { berth, registry } = await start(t);
  await makeRepository(registry.url, 'acme/web');
  assert.equal(
    await berth('repo', 'set', 'acme/web', '--visibility', 'public'),
    'acme/web is public: everybody can pull it, also without signing in\n',
  );
  assert.equal((await fetch(`${registry.url}/v2/acme/web/manifests/latest`)).status, 200);
  assert.match(await berth('repo', 'show', 'acme/web'), /visibility +public/);
});

describe('berth access', { concurrency: 2 }, () => {
  test('grant says what it comes to, explain why, revoke takes it back', async (t) => {
    const { berth, asUser, registry } = await start(t);
    await berth('org', 'add', 'acme', '--visibility', 'internal');
    const dave = await asUser('dave');
    await makeRepository(registry.url, 'acme/web');
    await berth('team', 'add', 'acme/dev');
    assert.equal(
      await berth('access', 'grant', 'team:acme/dev', 'write', 'acme/**'),
      'team:acme/dev: write on acme/** (1 repository now, and every new one)\n',
    );
    assert.equal(
      await berth('access', 'explain', 'dave', 'acme/web'),
      'dave may: pull, list        because acme/web is internal\n' +
        'dave may not: push          nearest: grant team:acme/dev write acme/**  (dave is not in that team)\n' +
        'dave may not: delete        to allow it: berth access grant dave maintain acme/web\n',
    );
    await berth('team', 'member', 'add', 'acme/dev', 'dave');
    const explained = JSON.parse(await dave('access', 'explain', 'dave', 'acme/web', '--json'));
    assert.equal(explained.role, 'write');
    assert.equal(await dave('access', 'explain', 'dave', 'acme/other', '-q'), 'write\n');
    assert.equal(
      await berth('access', 'grant', 'dave', 'read', 'acme/api', '--until', '2099-03-31'),
      'dave: read on acme/api until 2099-03-31 23:59 UTC\n',
    );
    assert.deepEqual(
      rows(await berth('access', 'list', 'acme')).map((row) => row.slice(1, 4)),
      [
        ['SUBJECT', 'ROLE', 'OBJECT'],
        ['team:acme/dev', 'write', 'acme/**'],
        ['dave', 'read', 'acme/api'],
      ],
    );
    assert.deepEqual(rows(await berth('access', 'list', '--subject', 'dave')).length, 2);
    assert.deepEqual(rows(await berth('access', 'list', 'acme/api')).length, 2);
    const wrong = await berth.tries('access', 'revoke', 'dave', 'acme/web', '--yes');
    assert.deepEqual(
      [wrong.code, wrong.stderr],
      [5, 'berth: dave has no grant on acme/web; it has grants on acme/api\n'],
    );
    assert.equal((await berth.tries('access', 'revoke', 'dave', 'acme/api')).code, 2);
    await berth('access', 'revoke', 'dave', 'acme/api', '--dry-run');
    assert.equal(
      await berth('access', 'revoke', 'team:acme/dev', 'acme/**', '--yes'),
      'team:acme/dev: write on acme/** taken back, from the next request on\n',
    );
    assert.equal(await dave('access', 'explain', 'dave', 'acme/web', '-q'), 'read\n');
    assert.equal(await berth('access', 'explain', 'anonymous', 'acme/web', '-q'), 'none\n');
  });

  test('a pattern that leaves out what lies one level down is noted', async (t) => {
    const { berth, registry } = await start(t);
    await berth('org', 'add', 'acme');
    for (const name of ['acme/api', 'acme/web/app', 'acme/web/site'])
      await makeRepository(registry.url, name);
    await berth('user', 'add', 'kim');
    const { stdout, stderr } = await berth.tries('access', 'grant', 'kim', 'read', 'acme/*');
    assert.equal(stdout, 'kim: read on acme/* (new repositories included)\n');
    assert.equal(
      stderr,
      'note: acme/* leaves out 2 repositories one level down (acme/web/app, acme/web/site): acme/** takes them\n',
    );
  });

  test('a bare name is asked about where a namespace is called so', async (t) => {
    const { berth } = await start(t);
    await berth('org', 'add', 'acme');
    await berth('user', 'add', 'kim');
    const { code, stderr } = await berth.tries('access', 'grant', 'kim', 'read', 'acme');
    assert.equal(code, 2);
    assert.match(stderr, /^berth: acme alone is the one repository of that name; did you mean acme\/\*\*\?/);
    const { items } = JSON.parse(await berth('access', 'list', 'library', '--json'));
    assert.deepEqual(items, []);
    assert.match(await berth('access', 'grant', 'kim', 'read', 'acme', '--yes'), /^kim: read on acme\n$/);
    assert.match(await berth('access', 'grant', 'kim', 'read', 'alpine'), /^kim: read on alpine\n$/);
  });

  test('what cannot be granted is refused: wrong words before anything is tried', async (t) => {
    const { berth } = await start(t);
    const usage = ['kim own acme/web', 'kim read a**', 'Kim read acme/web', 'acme/dev read acme/web'];
    for (const args of usage) {
      assert.equal((await berth.tries('access', 'grant', ...args.split(' '))).code, 2, args);
    }
    assert.equal(
      (await berth.tries('access', 'grant', 'kim', 'read', 'acme/web', '--until', '2020-01-01')).code,
      2,
    );
    await berth('org', 'add', 'acme');
    const anonymous = await berth.tries('access', 'grant', 'anonymous', 'write', 'acme/**');
    assert.deepEqual([anonymous.code, /only be given read/.test(anonymous.stderr)], [1, true]);
  });
});

describe('berth audit', { concurrency: 2 }, () => {
  test('shows what was done, newest first, and what was refused', async (t) => {
    const { berth, asUser } = await start(t);
    const sam = await asUser('sam');
    await berth('org', 'add', 'acme');
    await sam.tries('org', 'remove', 'acme', '--yes');
    const table = rows(await berth('audit', '--since', '1h'));
    assert.deepEqual(table[0], ['TIME', 'ACTOR', 'FROM', 'ACTION', 'OBJECT', 'OUTCOME']);
    assert.equal(table[1]?.includes('organization.add'), true);
    const { items } = JSON.parse(await berth('audit', '--action', 'user.add', '--json'));
    assert.deepEqual(
      items.map(({ object, outcome }: { object: string; outcome: string }) => [object, outcome]),
      [
        ['user:sam', 'allowed'],
        ['user:admin', 'allowed'],
      ],
    );
    assert.equal((await berth('audit', '-q', '--limit', '2')).trim().split('\n').length, 2);
    assert.deepEqual(await berth.tries('audit', '--actor', 'nobody'), {
      code: 0,
      stdout: '',
      stderr: 'nothing was found\n',
    });
    assert.equal((await berth.tries('audit', '--since', 'yesterday')).code, 2);
    assert.equal((await berth.tries('audit', '--limit', '0')).code, 2);
  });

  test('counts sign-ins by the minute, and names the server itself as system', async (t) => {
    const { berth, asUser } = await start(t);
    const sam = await asUser('sam');
    await sam('whoami');
    let signIns = '';
    for (const deadline = performance.now() + 20_000; signIns === '' && performance.now() < deadline; ) {
      signIns = (await berth.tries('audit', '--action', 'sign-in')).stdout;
    }
    assert.match(signIns, /^\d{4}-\d\d-\d\d \d\d:\d\d +sam +127\.0\.0\.1 +sign-in(, \d+ times)? +allowed$/m);
    const { items } = JSON.parse(await berth('audit', '--actor', 'system', '--json'));
    assert.deepEqual(items.map(({ action }: { action: string }) => action).sort(), [
      'key.rotate',
      'user.add',
    ]);
  });

  test('--follow prints what happens from then on, one line an event', async (t) => {
    const folder = await makeTestFolder(t);
    const environment = {
      BERTH_ACCESS_MODE: 'token',
      BERTH_ACCESS_ADMIN_PASSWORD: password,
      BERTH_AUTH_PASSWORD_BCRYPT_COST: '10',
    };
    const server = await startCommand(t, ['serve', '--port', '0'], { folder, environment });
    await server.untilPrinted(/listening/);
    await runCommand(t, ['user', 'add', 'before'], { folder });
    const follow = await startCommand(t, ['audit', '--follow', '--json', '--action', 'user.add'], { folder });
    await follow.untilPrinted(/following/);
    await runCommand(t, ['user', 'add', 'after'], { folder });
    const [line] = await follow.untilPrinted(/^\{.*\}$/m);
    assert.equal(JSON.parse(line).object, 'user:after');
    const { signal, stdout } = await follow.end('SIGINT');
    assert.equal(signal, 'SIGINT');
    assert.equal(stdout, `${line}\n`);
  });
});

test('berth audit --follow ends quietly when nobody reads it any more', async (t) => {
  const folder = await makeTestFolder(t);
  const environment = { BERTH_ACCESS_MODE: 'open' };
  const server = await startCommand(t, ['serve', '--port', '0'], { folder, environment });
  await server.untilPrinted(/listening/);
  const follow = await startCommand(t, ['audit', '--follow', '--json'], { folder });
  await follow.untilPrinted(/following/);
  follow.child.stdout?.destroy();
  for (const name of ['ana', 'bob']) {
    await runCommand(t, ['user', 'add', name, '-q'], { folder });
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
  const { code, stderr } = await follow.ended;
  assert.deepEqual([code, stderr], [0, 'following; Ctrl-C ends it\n']);
});

test('berth key lists and rotates the keys that sign tokens', async (t) => {
  const { berth } = await start(t);
  const [first = ''] = (await berth('key', 'list', '-q')).split('\n');
  assert.match(await berth('key', 'rotate'), /^key [\w-]{43} signs from now on\n$/);
  assert.deepEqual(
    rows(await berth('key', 'list')).map(([, state]) => state),
    ['STATE', 'current', 'previous'],
  );
  assert.equal(JSON.parse(await berth('key', 'list', '--json')).items[1].kid, first);
});

test('berth read-only refuses changes with its message until it is off', async (t) => {
  const { berth } = await start(t);
  await berth('read-only', 'on', '--message', 'Moving to a new disk');
  const { code, stderr } = await berth.tries('user', 'add', 'sam');
  assert.deepEqual([code, /Moving to a new disk/.test(stderr)], [6, true]);
  assert.match(await berth('status'), /^warning +Moving to a new disk$/m);
  await berth('read-only', 'off');
  await berth('user', 'add', 'sam');
});

test('berth status and whoami tell what runs, where, and for whom it takes one', async (t) => {
  const { berth, asUser, registry } = await start(t);
  const sam = await asUser('sam');
  const status = await berth('status');
  assert.match(
    status,
    new RegExp(`^registry +localhost:${registry.port}\naddress +${registry.data}/berth.sock\n`),
  );
  assert.match(status, /^access +token\nwrites +accepted\nholds +2 users, 0 repositories, /m);
  assert.equal(JSON.parse(await berth('status', '--json')).counts.users, 2);
  assert.equal((await sam.tries('status')).code, 4);
  assert.match(
    await sam('whoami'),
    new RegExp(
      `^name +sam\nkind +user\nrole +user\nsigned in by +password\nregistry +localhost:${registry.port}, by http`,
    ),
  );
  assert.match(await sam('whoami'), /^namespaces +sam \(admin\)$/m);
  assert.match(await berth('whoami'), /^name +local:.*\nkind +local\nrole +administrator\n/);
});
