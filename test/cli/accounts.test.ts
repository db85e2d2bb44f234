// The commands for people, organizations, teams, robots, tokens and sessions, over the socket of a real server: what they print,
// how they end, and that --json is the API's own.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { hash } from 'bcrypt';
import { makeTestFolder } from '../support/berth-command.ts';
import { type CommandLine, commandLine, type Printed } from '../support/command-line.ts';
import { startRegistry } from '../support/registry.ts';

const password = 'a-password-for-tests';

async function start(t: TestContext, settings: Record<string, string> = {}) {
  const registry = await startRegistry(t, {
    'access.mode': 'token',
    'access.adminPassword': password,
    'auth.password.bcryptCost': '10',
    ...settings,
  });
  const homeFolder = await makeTestFolder(t);
  const berth = commandLine({ data: registry.data, folder: homeFolder, homeFolder });
  const host = `localhost:${registry.port}`;
  const as = (token: string): CommandLine => berth.with({ BERTH_REGISTRY: host, BERTH_TOKEN: token });
  /** A user who exists, with a token of their own. */
  const addUser = async (name: string, ...options: string[]) => {
    await berth.withInput(password)('user', 'add', name, '--password-stdin', ...options);
    const environment = { BERTH_REGISTRY: host, REGISTRY_AUTH_FILE: join(homeFolder, `${name}.json`) };
    const login = berth.with(environment);
    await login.withInput(password)('login', '-u', name, '--password-stdin');
    return login;
  };
  return { registry, berth, host, as, addUser, homeFolder };
}

const rows = (table: string) =>
  table
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
const ends = ({ code, stdout, stderr }: Printed) => [code, stdout, stderr.replace(/ \(request [^)]+\)/g, '')];

describe('berth user', { concurrency: 2 }, () => {
  test('add, list, show and set', async (t) => {
    const { berth } = await start(t);
    const added = await berth.withInput(`${password}\n`)('user', 'add', 'sam', '--password-stdin');
    assert.equal(added, 'user sam added; namespace sam/ is theirs\n');
    const guest = await berth(
      'user',
      'add',
      'kim',
      '--guest',
      '--full-name',
      'Kim K',
      '--email',
      'kim@example.com',
    );
    assert.match(guest, /^user kim added, a guest\none-time code, good for 72 hours .*:\nberth_code_\w+\n$/);
    assert.deepEqual(rows((await berth('user', 'list')).replace(/\d+ seconds? ago/g, 'now')), [
      ['NAME', 'FULL NAME', 'EMAIL', 'ROLE', 'STATE', 'ADDED'],
      ['admin', 'administrator', 'enabled', 'now'],
      ['kim', 'Kim K', 'kim@example.com', 'guest', 'enabled', 'now'],
      ['sam', 'user', 'enabled', 'now'],
    ]);
    const { items } = JSON.parse(await berth('user', 'list', '--json', '--search', 'kim@'));
    assert.deepEqual(
      items.map(({ name, guest: isGuest }: { name: string; guest: boolean }) => [name, isGuest]),
      [['kim', true]],
    );
    await berth('user', 'set', 'kim', '--no-guest', '--role', 'auditor', '--email', '');
    const shown = JSON.parse(await berth('user', 'show', 'kim', '--json'));
    assert.deepEqual(
      [shown.guest, shown.role, shown.email, shown.fullName],
      [false, 'auditor', null, 'Kim K'],
    );
    assert.match(
      await berth('user', 'show', 'kim'),
      /^name +kim\nfull name +Kim K\nrole +auditor\nstate +enabled\npassword +none yet\n/,
    );
    assert.deepEqual(ends(await berth.tries('user', 'add', 'sam')), [
      6,
      '',
      'berth: the name sam is taken: by a user, an organization, or one that was removed\n',
    ]);
    assert.equal((await berth.tries('user', 'show', 'nobody')).code, 5);
    assert.equal((await berth.tries('user', 'set', 'kim')).code, 2);
    assert.equal((await berth.tries('user', 'add', 'No')).code, 1);
  });

  test('without personal namespaces none is promised', async (t) => {
    const { berth } = await start(t, { 'access.personalNamespaces': 'false' });
    assert.match(await berth('user', 'add', 'sam'), /^user sam added\none-time code/);
  });

  test('passwd: for another user, with a one-time code, and the own one', async (t) => {
    const { berth, host, addUser, homeFolder } = await start(t);
    const login = async (name: string, secret: string) =>
      (await berth.withInput(secret).tries('login', host, '-u', name, '--password-stdin')).code;
    const code = await berth('user', 'add', 'sam', '-q');
    const redeem = berth.withInput(`${code.trim()}\nnew-password-of-sam\n`);
    assert.equal(
      await redeem('user', 'passwd', 'sam', '--code', '--password-stdin', '-r', host),
      'sam: password set\n',
    );
    assert.equal(await login('sam', 'new-password-of-sam'), 0);
    const again = await redeem.tries('user', 'passwd', 'sam', '--code', '--password-stdin', '-r', host);
    assert.equal(again.code, 4);

    // The login that was stored with the password before is void by then, and in nobody's way.
    const stored = berth.with({ REGISTRY_AUTH_FILE: join(homeFolder, 'sam.json') });
    await stored.withInput('new-password-of-sam')('login', host, '-u', 'sam', '--password-stdin');
    const other = await berth('user', 'passwd', 'sam', '--one-time', '-q');
    assert.match(other, /^berth_code_\w+\n$/);
    assert.equal(await login('sam', 'new-password-of-sam'), 4);
    const renew = stored.withInput(`${other.trim()}\nother-password-of-sam\n`);
    await renew('user', 'passwd', 'sam', '--code', '--password-stdin', '-r', host);
    assert.equal(await login('sam', 'other-password-of-sam'), 0);

    const set = berth.withInput('third-password-of-sam\n');
    assert.equal(await set('user', 'passwd', 'sam', '--password-stdin'), 'sam: password changed\n');
    assert.equal(await login('sam', 'third-password-of-sam'), 0);

    const ana = await addUser('ana');
    const own = await ana.withInput(`${password}\nsecond-password-of-ana`)(
      'user',
      'passwd',
      '--password-stdin',
    );
    assert.equal(own, 'password changed. Sessions and stored logins have ended\n');
    assert.equal(await login('ana', 'second-password-of-ana'), 0);
    const short = await berth.withInput('short').tries('user', 'passwd', 'sam', '--password-stdin');
    assert.equal(short.code, 1);
    assert.match(short.stderr, /12/);
    for (const args of [
      ['--code'],
      ['sam', '--one-time', '--code'],
      ['sam', '--one-time', '--password-stdin'],
    ])
      assert.equal((await berth.tries('user', 'passwd', ...args)).code, 2, args.join(' '));
  });

  test('disable tells what ends and what stays; remove asks, and the name stays taken', async (t) => {
    const { berth, addUser } = await start(t);
    const carol = await addUser('carol');
    await carol('token', 'add', 'one');
    await berth('org', 'add', 'lab');
    await berth('org', 'member', 'add', 'lab', 'carol', '--owner');
    await carol('robot', 'add', 'lab+ci', '-q');
    assert.equal(
      await berth('user', 'disable', 'carol'),
      'user carol disabled. From the next request: 1 password and 1 token\n' +
        'Robots that carol made stay: lab+ci\n' +
        'carol is the only owner of lab: berth org member add lab USER --owner\n',
    );
    assert.equal((await carol.tries('whoami')).code, 4);
    assert.match(await berth('user', 'list', '--state', 'disabled'), /^carol .*disabled \d+ seconds? ago/m);
    assert.equal(await berth('user', 'enable', 'carol'), 'user carol enabled\n');
    assert.equal(await carol('whoami', '-q'), 'carol\n');

    const lastOwner = await berth.tries('user', 'remove', 'carol', '--yes');
    assert.deepEqual(
      [lastOwner.code, /only owner of lab: give it another owner first/.test(lastOwner.stderr)],
      [6, true],
    );
    await berth('user', 'add', 'dave');
    await berth('org', 'member', 'add', 'lab', 'dave', '--owner');
    const asked = await berth.tries('user', 'remove', 'carol');
    assert.equal(asked.code, 2);
    assert.match(
      asked.stderr,
      /^berth: Remove user carol \(1 password and 1 token\)\? There is no terminal to answer on: say --yes\n$/,
    );
    assert.match(await berth('user', 'remove', 'carol', '--dry-run'), /^user carol would be removed: /);
    assert.equal(await carol('whoami', '-q'), 'carol\n');
    assert.equal(
      await berth('user', 'rm', 'carol', '--yes'),
      'user carol removed: 1 password and 1 token. The name stays taken\nRobots that carol made stay: lab+ci\n',
    );
    assert.equal((await berth.tries('user', 'add', 'carol')).code, 6);
    for (const verb of ['disable', 'remove']) {
      const last = await berth.tries('user', verb, 'admin', ...(verb === 'remove' ? ['--yes'] : []));
      assert.deepEqual([last.code, /last administrator/.test(last.stderr)], [6, true]);
    }
  });

  test('import adds what bcrypt hashed and tells the rest by line', async (t) => {
    const { berth, host, homeFolder } = await start(t);
    const bcrypt = (await hash(password, 10)).replace('$2b$', '$2y$');
    const file = join(homeFolder, 'users.htpasswd');
    await writeFile(file, `ana:${bcrypt}\nbob:$apr1$abc$def\nadmin:${bcrypt}\n`);
    const planned = await berth.tries('user', 'import', 'users.htpasswd', '--dry-run');
    assert.equal(planned.code, 3);
    assert.match(planned.stdout, /would be added/);
    const imported = await berth.tries('user', 'import', 'users.htpasswd');
    assert.equal(imported.code, 3);
    assert.match(
      imported.stdout,
      /^3 users: 1 added, 2 left out\n {2}line 2 {2}bob: .*bcrypt.*\n {2}line 3 {2}admin: .*\n$/,
    );
    assert.equal(
      (await berth.withInput(password).tries('login', host, '-u', 'ana', '--password-stdin')).code,
      0,
    );
    assert.equal((await berth.tries('user', 'import', 'not-there')).code, 2);
    const clean = berth.withInput(`eve:${bcrypt}\n`);
    assert.equal(await clean('user', 'import', '-'), '1 user: 1 added\n');
  });
});

describe('berth org and team', { concurrency: 2 }, () => {
  test('organizations have members, teams and a visibility for what is new in them', async (t) => {
    const { berth, addUser } = await start(t);
    const alice = await addUser('alice');
    await berth('user', 'add', 'bob');
    assert.equal(await berth('org', 'add', 'acme', '--visibility', 'internal'), 'organization acme added\n');
    assert.equal(
      await berth('org', 'member', 'add', 'acme', 'alice', '--owner'),
      'alice is an owner of acme\n',
    );
    assert.equal(
      await alice('team', 'add', 'acme/dev'),
      'team acme/dev added; grants name it team:acme/dev\n',
    );
    assert.equal(
      await alice('team', 'member', 'add', 'acme/dev', 'alice', 'bob'),
      'alice and bob are in team acme/dev\n',
    );
    assert.deepEqual(rows(await alice('org', 'member', 'list', 'acme')), [
      ['NAME', 'ROLE'],
      ['alice', 'owner'],
      ['bob', 'member'],
    ]);
    assert.equal(await alice('team', 'list', 'acme'), 'NAME      MEMBERS\nacme/dev  2\n');
    assert.equal(await alice('team', 'member', 'list', 'team:acme/dev', '-q'), 'alice\nbob\n');
    assert.match(
      await alice('org', 'show', 'acme'),
      /^name +acme\nnew repositories +internal\nholds +0 repositories, 0 B\nowners +alice\nmembers +bob\nteams +dev \(2\)\n/,
    );
    assert.equal(
      await alice('org', 'set', 'acme', '--visibility', 'public'),
      'new repositories in acme can be pulled by everybody, without signing in\n',
    );
    await alice('org', 'set', 'acme', '--visibility', 'default', '--description', 'The web team');
    const shown = JSON.parse(await alice('org', 'show', 'acme', '--json'));
    assert.deepEqual([shown.defaultVisibility, shown.description], [null, 'The web team']);
    assert.equal(
      await alice('team', 'member', 'remove', 'acme/dev', 'bob', '--yes'),
      'bob is out of team acme/dev\n',
    );
    assert.equal(
      await alice('org', 'member', 'remove', 'acme', 'bob', '--dry-run'),
      'bob would be out of acme and its teams\n',
    );
    await alice('org', 'member', 'rm', 'acme', 'bob', '--yes');
    assert.equal((await alice.tries('org', 'member', 'rm', 'acme', 'alice', '--yes')).code, 6);
    assert.equal(await alice('team', 'remove', 'acme/dev', '--yes'), 'team acme/dev removed\n');
    assert.deepEqual(ends(await alice.tries('team', 'list', 'acme')), [0, '', 'acme has no teams\n']);
    assert.equal(
      await alice('org', 'remove', 'acme', '--dry-run'),
      'organization acme with 0 repositories would be removed. The name stays taken\n',
    );
    await alice('org', 'remove', 'acme', '--yes');
    assert.equal((await berth.tries('org', 'show', 'acme')).code, 5);
    assert.equal((await berth.tries('org', 'add', 'acme')).code, 6);
  });

  test('a name that can be no team is wrong usage', async (t) => {
    const { berth } = await start(t);
    for (const name of ['dev', 'acme/', 'acme/dev/ops', 'Acme/dev']) {
      const { code, stderr } = await berth.tries('team', 'add', name);
      assert.equal(code, 2, name);
      assert.match(stderr, /cannot be the name of a team/);
    }
  });
});

describe('berth robot and token', { concurrency: 2 }, () => {
  test('a robot is added with a grant and a first token, rotated, disabled and removed', async (t) => {
    const { berth, as, host } = await start(t);
    await berth('org', 'add', 'acme');
    const added = await berth('robot', 'add', 'acme+ci', '--role', 'write', '--repositories', 'web/**');
    const [, token = ''] =
      /^robot acme\+ci added: write on acme\/web\/\*\*\ntoken \(shown once; no expiry.*\):\n(berth_robot_\w+)\n/.exec(
        added,
      ) ?? [];
    assert.match(
      added,
      new RegExp(`\n {2}podman login ${host} -u acme\\+ci --password-stdin <<< "\\$BERTH_TOKEN"\n$`),
    );
    const robot = as(token);
    assert.equal(await robot('whoami', '-q'), 'acme+ci\n');
    assert.match(
      await robot('access', 'explain', 'acme+ci', 'acme/web/app'),
      /^acme\+ci may: pull, list, push +because of grant acme\+ci write acme\/web\/\*\*\nacme\+ci may not: delete /,
    );
    const next = as((await berth('token', 'add', '--for', 'acme+ci', 'rotate-2026-12', '-q')).trim());
    assert.deepEqual(
      rows(await berth('token', 'list', '--for', 'acme+ci')).map((row) => row.slice(1, 4)),
      [
        ['NAME', 'MAY', 'EXPIRES'],
        ['first', 'all that acme+ci may', 'never'],
        ['rotate-2026-12', 'all that acme+ci may', 'never'],
      ],
    );
    const removed = await berth('token', 'remove', '--for', 'acme+ci', 'first', '--yes');
    assert.equal(removed, 'token first of acme+ci ends with the next request\n');
    assert.equal((await robot.tries('whoami')).code, 4);
    assert.equal(await next('whoami', '-q'), 'acme+ci\n');
    assert.equal((await berth.tries('token', 'remove', '--for', 'acme+ci', 'first', '--yes')).code, 5);

    assert.equal(await berth('robot', 'disable', 'acme+ci'), 'robot acme+ci disabled\n');
    assert.equal((await next.tries('whoami')).code, 4);
    assert.equal(await berth('robot', 'enable', 'acme+ci'), 'robot acme+ci enabled\n');
    assert.equal(await next('whoami', '-q'), 'acme+ci\n');
    assert.match(
      await berth('robot', 'show', 'acme+ci'),
      /^may +write on acme\/web\/\*\*\ntoken +rotate-2026-12, no expiry, (never )?used/m,
    );
    assert.deepEqual(
      rows(await berth('robot', 'list')).map(([name]) => name),
      ['NAME', 'acme+ci'],
    );
    assert.equal(
      await berth('robot', 'remove', 'acme+ci', '--dry-run'),
      'robot acme+ci with 1 token would be removed\n',
    );
    assert.equal(await berth('robot', 'rm', 'acme+ci', '--yes'), 'robot acme+ci with 1 token removed\n');
    assert.equal((await next.tries('whoami')).code, 4);
    assert.deepEqual(ends(await berth.tries('robot', 'list', 'acme')), [0, '', 'no robots\n']);
  });

  test('a robot that cannot have what it should have is not left half made', async (t) => {
    const { berth, addUser } = await start(t);
    await berth('org', 'add', 'acme');
    const sam = await addUser('sam');
    assert.equal((await sam.tries('robot', 'add', 'acme+ci', '--role', 'read')).code, 5);
    await berth('access', 'grant', 'sam', 'admin', 'acme/**');
    assert.equal(
      await sam('robot', 'add', 'acme+ok', '--role', 'admin', '-q').then((token) => token.length > 50),
      true,
    );
    assert.equal((await berth.tries('robot', 'add', 'acme+ci', '--repositories', 'web')).code, 2);
    assert.equal((await berth.tries('robot', 'add', 'ci', '--role', 'read')).code, 2);
    assert.deepEqual(rows(await berth('robot', 'list', 'acme', '-q')), [['acme+ok']]);
  });

  test('the own tokens have a bound and an end', async (t) => {
    const { addUser, as } = await start(t);
    const sam = await addUser('sam');
    const made = JSON.parse(
      await sam(
        'token',
        'add',
        'laptop',
        '--role',
        'read',
        '--repositories',
        'sam/**',
        'lab/**',
        '--expires',
        '30d',
        '--json',
      ),
    );
    assert.deepEqual([made.role, made.repositories], ['read', ['sam/**', 'lab/**']]);
    const days = (Date.parse(made.expiresAt) - Date.now()) / 86_400_000;
    assert(days > 29.9 && days < 30.1);
    assert.match(
      await as(made.secret)('whoami'),
      /^signed in by +token laptop: read on sam\/\*\*, lab\/\*\*, expires in (29|30) days$/m,
    );
    assert.deepEqual(rows(await sam('token', 'list'))[1]?.slice(1, 3), ['laptop', 'read on sam/**, lab/**']);
    assert.match(
      await sam('token', 'add'),
      /^token \d{4}-\d\d-\d\d\.\d{6} of sam: all that sam may\n\(shown once; expires in 90 days/,
    );
    assert.equal((await sam.tries('token', 'add', 'laptop')).code, 6);
    assert.equal((await sam.tries('token', 'add', 'x', '--expires', 'never')).code, 1);
    assert.equal((await sam.tries('token', 'add', 'x', '--expires', 'soon')).code, 2);
    assert.equal((await sam.tries('token', 'add', 'x', '--repositories', 'a**')).code, 2);
    assert.equal((await sam.tries('token', 'add', 'x', '--for', 'ana')).code, 5);
    assert.equal(
      await sam('token', 'remove', String(made.id), '--dry-run'),
      'token laptop of sam would end with the next request\n',
    );
    assert.equal((await sam.tries('token', 'remove', String(made.id))).code, 2);
    await sam('token', 'rm', String(made.id), '--yes');
    assert.equal((await as(made.secret).tries('whoami')).code, 4);
  });

  test("a token of nobody is wrong usage at this machine's own door", async (t) => {
    const { berth } = await start(t);
    for (const args of [
      ['token', 'add'],
      ['token', 'list'],
      ['session', 'list'],
    ]) {
      const { code, stderr } = await berth.tries(...args);
      assert.equal(code, 2);
      assert.match(stderr, /^berth: whose\? /);
    }
  });

  test('formats hold host, name and secret, and a wrong one makes no token', async (t) => {
    const { berth, host, as } = await start(t);
    await berth('org', 'add', 'acme');
    await berth('robot', 'add', 'acme+k8s', '--role', 'read', '-q');
    const add = (name: string, ...args: string[]) =>
      berth('token', 'add', '--for', 'acme+k8s', name, ...args);
    const config = JSON.parse(await add('a', '--format', 'dockerconfig')).auths[host];
    assert.equal(config.username, 'acme+k8s');
    assert.equal(await as(config.password)('whoami', '-q'), 'acme+k8s\n');
    const env = await add('b', '--format', 'env');
    assert.match(
      env,
      new RegExp(`^BERTH_REGISTRY=${host}\nBERTH_USER=acme\\+k8s\nBERTH_TOKEN=berth_robot_\\w+\n$`),
    );
    assert.match(
      await add('c', '--format', 'netrc'),
      /^machine localhost\nlogin acme\+k8s\npassword berth_robot_\w+\n$/,
    );
    assert.match(
      await add('d', '--format', 'kubernetes', '-n', 'prod'),
      /\n {2}name: "berth"\n {2}namespace: "prod"\n/,
    );
    assert.match(JSON.parse(await add('e', '--format', 'json')).secret, /^berth_robot_/);
    const wrong = await berth.tries(
      'token',
      'add',
      '--for',
      'acme+k8s',
      'f',
      '--format',
      'kubernetes',
      '--name',
      'A B',
    );
    assert.equal(wrong.code, 2);
    assert.deepEqual(rows(await berth('token', 'list', '--for', 'acme+k8s')).length, 7);
  });
});

test('berth session lists and ends where a user is signed in', async (t) => {
  const { berth, addUser, registry } = await start(t);
  const sam = await addUser('sam');
  const signIn = () =>
    fetch(`${registry.url}/api/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'a browser' },
      body: JSON.stringify({ name: 'sam', password }),
    });
  for (let count = 0; count < 3; count += 1) assert.equal((await signIn()).status, 201);
  const listed = rows(await sam('session', 'list'));
  assert.equal(listed.length, 4);
  assert.deepEqual(listed[1]?.slice(1, 2), ['a browser']);
  const [first = ''] = (await berth('session', 'list', 'sam', '-q')).split('\n');
  assert.equal(await sam('session', 'remove', first, '--yes'), `session ${first} of sam ended\n`);
  assert.equal((await sam.tries('session', 'remove', first, '--yes')).code, 5);
  assert.equal(
    await berth('session', 'remove', 'sam', '--dry-run'),
    'sam would be signed out of 2 sessions\n',
  );
  assert.equal(await berth('session', 'remove', 'sam', '--yes'), 'sam is signed out of 2 sessions\n');
  assert.deepEqual(ends(await sam.tries('session', 'list')), [0, '', 'sam is signed in nowhere\n']);
});

test('what a user may not is refused with 4, what is not to be seen with 5', async (t) => {
  const { berth, addUser } = await start(t);
  await berth('org', 'add', 'acme');
  const sam = await addUser('sam');
  for (const args of ['user list', 'status', 'key rotate', 'read-only on', 'access list', 'audit']) {
    const { code, stdout, stderr } = await sam.tries(...args.split(' '));
    assert.deepEqual([code, stdout], [4, ''], args);
    assert.match(stderr, /^berth: sam may not do this: it takes an (auditor or )?administrator/, args);
  }
  for (const args of [
    'org show acme',
    'team list acme',
    'robot list acme',
    'access list acme',
    'user show admin',
  ]) {
    assert.equal((await sam.tries(...args.split(' '))).code, 5, args);
  }
});
