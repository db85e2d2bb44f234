// Access in real life: eight situations, each with the commands that people type and the clients that they use. The registry is a
// process of its own, `berth` on its machine goes through its socket, and podman and skopeo sign in over the network.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { project } from '../support/berth-command.ts';
import type { Cleanup } from '../support/cleanup.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { BASE_IMAGE, buildBaseImage } from '../support/images.ts';
import { type Finished, skipWithout } from '../support/programs.ts';
import { type RunningBerth, startBerth } from '../support/running-berth.ts';

const skip = skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'root');
const settings = {
  BERTH_ACCESS_MODE: 'token',
  BERTH_AUTH_PASSWORD_BCRYPT_COST: '10',
};
const password = 'a-password-for-tests';

/** A person, or a machine, with a home of their own: no image and no login of others is there. */
interface Person {
  readonly home: ClientHome;
  podman(...args: string[]): Promise<Finished>;
  /** Runs podman, which has to fail, and gives what it printed. */
  refused(...args: string[]): Promise<string>;
  login(user: string, secret: string): Promise<Finished>;
  /** The command line, over the network with what podman signed in with. */
  berth(...args: string[]): Promise<string>;
}

async function makePerson(t: Cleanup, { host }: RunningBerth): Promise<Person> {
  const home = await makeClientHome(t);
  const insecure = '--tls-verify=false';
  const withFlag = ([verb = '', ...rest]: readonly string[]) =>
    ['push', 'pull', 'login', 'search'].includes(verb) ? [verb, insecure, ...rest] : [verb, ...rest];
  return {
    home,
    podman: (...args) => home.run('podman', withFlag(args)),
    refused: async (...args) => (await home.run('podman', withFlag(args), { expect: 'fails' })).output,
    login: (user, secret) =>
      home.run('podman', ['login', insecure, '-u', user, '--password-stdin', host], { input: secret }),
    berth: (...args) => runBerth(home, { BERTH_REGISTRY: host }, args),
  };
}

async function runBerth(
  home: ClientHome,
  environment: Readonly<Record<string, string>>,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const { stdout } = await home.run(process.execPath, [join(project, 'src/main.ts'), ...args], {
    environment: { ...home.environment, ...environment },
    ...(input === undefined ? {} : { input }),
  });
  return stdout;
}

/** A registry with the commands of its own machine. */
async function start(t: Cleanup) {
  const berth = await startBerth(t, { environment: settings });
  const server = await makeClientHome(t);
  const local = { BERTH_DATA: berth.dataFolder };
  const root = (...args: string[]) => runBerth(server, local, args);
  /** However it ends. */
  const rootTries = (...args: string[]) =>
    server.run(process.execPath, [join(project, 'src/main.ts'), ...args], {
      environment: { ...server.environment, ...local },
      expect: 'either',
    });
  const addUser = (name: string, ...options: string[]) =>
    runBerth(server, local, ['user', 'add', name, '--password-stdin', ...options], password);
  /** Somebody signed in, with an image to push. */
  const somebody = async (user: string, secret = password) => {
    const person = await makePerson(t, berth);
    await buildBaseImage(person.home);
    await person.login(user, secret);
    return person;
  };
  const image = (name: string) => `${berth.host}/${name}`;
  return { berth, server, local, root, rootTries, addUser, somebody, image };
}

const tokenIn = (printed: string) => /berth_robot_\w+/.exec(printed)?.[0] ?? assert.fail(printed);

describe('access in real life', { skip }, () => {
  test('1. a contractor pulls from two repositories, until a day', async (t) => {
    const { root, somebody, addUser, berth, image } = await start(t);
    await root('org', 'add', 'acme', '--visibility', 'internal');
    await addUser('alice');
    await root('org', 'member', 'add', 'acme', 'alice', '--owner');
    const alice = await somebody('alice');
    for (const name of ['acme/web', 'acme/api', 'acme/secret'])
      await alice.podman('push', BASE_IMAGE, image(`${name}:1`));

    const code = (await root('user', 'add', 'kim', '--guest', '-q')).trim();
    const kim = await makePerson(t, berth);
    await runBerth(
      kim.home,
      { BERTH_REGISTRY: berth.host },
      ['user', 'passwd', 'kim', '--code', '--password-stdin'],
      `${code}\n${password}\n`,
    );
    await kim.login('kim', password);
    assert.match(await kim.refused('pull', image('acme/web:1')), /does not exist, or kim may not see it/);
    assert.equal(
      await root('access', 'grant', 'kim', 'read', 'acme/web', '--until', '2099-03-31'),
      'kim: read on acme/web until 2099-03-31 23:59 UTC\n',
    );
    await root('access', 'grant', 'kim', 'read', 'acme/api', '--until', '15s');
    await kim.podman('pull', image('acme/web:1'));
    await kim.podman('pull', image('acme/api:1'));
    // Internal is for people of the house: a guest does not even learn that it is there.
    assert.match(await kim.refused('pull', image('acme/secret:1')), /does not exist, or kim may not see it/);
    assert.match(await kim.refused('push', BASE_IMAGE, image('acme/web:2')), /kim|not/);
    const seen = await kim.podman('search', '--format', '{{.Name}}', `${berth.host}/`);
    assert.doesNotMatch(seen.stdout, /secret/);
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    assert.match(await kim.refused('pull', image('acme/api:1')), /does not exist, or kim may not see it/);
    await kim.podman('pull', image('acme/web:1'));
  });

  test('2. the CI of a team pushes below its pattern, and nowhere else', async (t) => {
    const { root, rootTries, somebody, image, berth } = await start(t);
    await root('org', 'add', 'acme');
    const added = await root('robot', 'add', 'acme+web-ci', '--role', 'write', '--repositories', 'web/**');
    assert.match(added, /^robot acme\+web-ci added: write on acme\/web\/\*\*\ntoken \(shown once; no expiry/);
    assert.match(added, new RegExp(`podman login localhost:${berth.port} -u acme\\+web-ci --password-stdin`));
    const ci = await somebody('acme+web-ci', tokenIn(added));
    await ci.podman('push', BASE_IMAGE, image('acme/web/app:pr-1'));
    assert.match(
      await ci.refused('push', BASE_IMAGE, image('acme/billing:1')),
      /denied: acme\+web-ci may not push to acme\/billing; it may push to acme\/web\/\*\*/,
    );
    await root('user', 'add', 'kim');
    const { stderr } = await rootTries('access', 'grant', 'kim', 'read', 'acme/*');
    assert.match(
      stderr,
      /^note: acme\/\* leaves out 1 repository one level down \(acme\/web\/app\): acme\/\*\* takes them$/m,
    );

    // Cleaning up takes maintain: another token for another job, and the grant that it cannot go beyond.
    const tag = `docker://${image('acme/web/app:pr-1')}`;
    const refusal = await ci.home.run('skopeo', ['delete', '--tls-verify=false', tag], { expect: 'fails' });
    assert.match(
      refusal.output,
      /acme\+web-ci may pull acme\/web\/app, but deleting needs the role maintain/,
    );
    await root('access', 'grant', 'acme+web-ci', 'maintain', 'acme/web/**');
    const cleaner = (
      await root('token', 'add', '--for', 'acme+web-ci', 'clean-up', '--role', 'maintain', '-q')
    ).trim();
    const creds = `acme+web-ci:${cleaner}`;
    await ci.home.run('skopeo', ['delete', '--tls-verify=false', '--creds', creds, tag]);

    // Rotation without a gap: the new token works before the old one ends.
    const next = (await root('token', 'add', '--for', 'acme+web-ci', 'rotate-2026-12', '-q')).trim();
    await ci.login('acme+web-ci', next);
    await root('token', 'remove', '--for', 'acme+web-ci', 'first', '--yes');
    await ci.podman('push', BASE_IMAGE, image('acme/web/app:2'));
    const old = await makePerson(t, berth);
    const wrong = await old.home.run(
      'podman',
      ['login', '--tls-verify=false', '-u', 'acme+web-ci', '--password-stdin', berth.host],
      { input: tokenIn(added), expect: 'fails' },
    );
    assert.match(wrong.output, /invalid username\/password|unauthorized/);
  });

  test('3. everybody pulls from a mirror, and its robot alone pushes', async (t) => {
    const { root, rootTries, somebody, addUser, berth, image } = await start(t);
    const source = await startBerth(t);
    await root('org', 'add', 'mirror', '--visibility', 'public');
    const token = (await root('robot', 'add', 'mirror+sync', '--role', 'write', '-q')).trim();
    const sync = await somebody('mirror+sync', token);
    for (const tag of ['1', '2']) await sync.podman('push', BASE_IMAGE, `${source.host}/tools/shell:${tag}`);
    await sync.home.run('skopeo', [
      ...['sync', '--src', 'docker', '--dest', 'docker', '--src-tls-verify=false', '--dest-tls-verify=false'],
      ...[`${source.host}/tools/shell`, `${berth.host}/mirror`],
    ]);
    const anybody = await makePerson(t, berth);
    await buildBaseImage(anybody.home);
    await anybody.podman('pull', image('mirror/shell:1'));
    await anybody.podman('pull', image('mirror/shell:2'));
    assert.match(
      await anybody.refused('push', BASE_IMAGE, image('mirror/shell:3')),
      /denied|unauthorized|authentication required/,
    );
    await addUser('sam');
    const sam = await somebody('sam');
    assert.match(
      await sam.refused('push', BASE_IMAGE, image('mirror/shell:3')),
      /sam may pull mirror\/shell, but pushing needs the role write/,
    );
    const refused = await rootTries('access', 'grant', 'anonymous', 'write', 'mirror/**');
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /anonymous may only be given read/);
  });

  test('4. an employee leaves: everything ends with the next request, and what must not stop goes on', async (t) => {
    const { root, rootTries, somebody, addUser, berth, image } = await start(t);
    await addUser('carol');
    await addUser('dave');
    await root('org', 'add', 'lab');
    await root('org', 'member', 'add', 'lab', 'carol', '--owner');
    const carol = await somebody('carol');
    await carol.podman('push', BASE_IMAGE, image('carol/notes:1'));
    await carol.podman('push', BASE_IMAGE, image('lab/tool:1'));
    await carol.berth('token', 'add', 'laptop', '-q');
    const robot = (await carol.berth('robot', 'add', 'lab+ci', '--role', 'write', '-q')).trim();
    assert.equal(
      await root('user', 'disable', 'carol'),
      'user carol disabled. From the next request: 1 password and 1 token\n' +
        'Robots that carol made stay: lab+ci\n' +
        'carol owns namespace carol (1 repository)\n' +
        'carol is the only owner of lab: berth org member add lab USER --owner\n',
    );
    assert.match(
      await carol.refused('pull', image('lab/tool:1')),
      /unauthorized|denied|authentication required/,
    );
    const ci = await somebody('lab+ci', robot);
    await ci.podman('push', BASE_IMAGE, image('lab/tool:2'));

    const early = await rootTries('user', 'remove', 'carol', '--yes');
    assert.equal(early.code, 6);
    await root('org', 'member', 'add', 'lab', 'dave', '--owner');
    const full = await rootTries('user', 'remove', 'carol', '--yes');
    assert.equal(full.code, 6, full.output);
    assert.match(full.stderr, /1 repository/);
    await root('user', 'remove', 'carol', '--delete-repositories', '--yes');
    assert.equal((await rootTries('user', 'add', 'carol')).code, 6);
    await ci.podman('push', BASE_IMAGE, image('lab/tool:3'));
    const dave = await somebody('dave');
    await dave.podman('pull', image('lab/tool:3'));
    assert.match(
      await dave.refused('pull', image('carol/notes:1')),
      /does not exist, or dave may not see it/,
    );
    assert.equal(berth.child.exitCode, null);
  });

  test("5. a namespace of one's own is there with the first push, to share and for a robot", async (t) => {
    const { somebody, addUser, image } = await start(t);
    assert.equal(await addUser('alice'), 'user alice added; namespace alice/ is theirs\n');
    await addUser('bob');
    const [alice, bob] = [await somebody('alice'), await somebody('bob')];
    await alice.podman('push', BASE_IMAGE, image('alice/demo:1'));
    // The same words whether there is such a repository or not.
    for (const name of ['joe/alpine', 'bob/alpine']) {
      assert.match(
        await alice.refused('push', BASE_IMAGE, image(name)),
        new RegExp(`denied: alice may not push to ${name}; your own namespace is alice/`),
      );
    }
    assert.match(await bob.refused('pull', image('alice/demo:1')), /does not exist, or bob may not see it/);
    await alice.berth('access', 'grant', 'bob', 'read', 'alice/demo');
    await bob.podman('pull', image('alice/demo:1'));
    assert.match(
      await bob.refused('push', BASE_IMAGE, image('alice/demo:2')),
      /bob may pull alice\/demo, but pushing needs the role write/,
    );
    await alice.berth('access', 'revoke', 'bob', 'alice/demo', '--yes');
    assert.match(await bob.refused('pull', image('alice/demo:1')), /does not exist, or bob may not see it/);
    const token = (await alice.berth('robot', 'add', 'alice+laptop', '--role', 'write', '-q')).trim();
    const laptop = await somebody('alice+laptop', token);
    await laptop.podman('push', BASE_IMAGE, image('alice/demo:3'));
  });

  test('6. break-glass: whoever has a shell on the server gets in again, and the audit log tells', async (t) => {
    const { root, rootTries, addUser, berth, server, local } = await start(t);
    const first = join(berth.dataFolder, 'initial-admin-password');
    assert.equal(existsSync(first), true);
    const change = (to: string) =>
      runBerth(server, local, ['user', 'passwd', 'admin', '--password-stdin'], to);
    assert.equal(
      await change('password-number-1'),
      'admin: password changed. The first-password file is gone\n',
    );
    assert.equal(existsSync(first), false);
    for (const verb of [['disable'], ['remove', '--yes']]) {
      const last = await rootTries('user', verb[0] ?? '', 'admin', ...verb.slice(1));
      assert.equal(last.code, 6, last.output);
      assert.match(last.stderr, /last administrator/);
    }
    await addUser('dave');
    await root('user', 'set', 'dave', '--role', 'administrator');
    await root('user', 'disable', 'admin');
    const person = await makePerson(t, berth);
    const login = (user: string, secret: string) =>
      person.home.run('podman', ['login', '--tls-verify=false', '-u', user, '--password-stdin', berth.host], {
        input: secret,
        expect: 'either',
      });
    assert.notEqual((await login('admin', 'password-number-1')).code, 0);
    await root('user', 'enable', 'admin');
    assert.equal((await login('admin', 'password-number-1')).code, 0);

    await berth.end();
    assert.equal(await change('password-number-2'), 'admin: password changed\n');
    const again = await startBerth(t, { environment: settings, dataFolder: berth.dataFolder });
    const back = await makePerson(t, again);
    await back.login('admin', 'password-number-2');
    assert.equal(await back.berth('whoami', '-q'), 'admin\n');
    const { items } = JSON.parse(await back.berth('audit', '--action', 'user.password', '--json'));
    assert.deepEqual(
      items.map(({ actor, object }: { actor: string; object: string }) => [actor, object]),
      [
        ['local:0(root)', 'user:admin'],
        ['local:0(root)', 'user:admin'],
      ],
    );
  });

  test('7. an auditor sees everything but secrets and changes nothing; a scanner pulls everything', async (t) => {
    const { root, somebody, addUser, image } = await start(t);
    await addUser('alice');
    await addUser('eve', '--role', 'auditor');
    const [alice, eve] = [await somebody('alice'), await somebody('eve')];
    await alice.podman('push', BASE_IMAGE, image('alice/private:1'));
    await eve.podman('pull', image('alice/private:1'));
    assert.match(
      await eve.refused('push', BASE_IMAGE, image('alice/private:2')),
      /eve may pull alice\/private, but/,
    );
    for (const command of [
      'user list',
      'access list alice',
      'audit --since 1h',
      'key list',
      'status',
      'robot list alice',
    ]) {
      await eve.berth(...command.split(' '));
    }
    for (const command of [
      'user add joe',
      'user disable alice',
      'access grant eve write alice/private',
      'key rotate',
    ]) {
      const { code, output } = await eve.home.run(
        process.execPath,
        [join(project, 'src/main.ts'), ...command.split(' '), '-r', image('').replace(/\/$/, '')],
        { expect: 'fails' },
      );
      assert.equal(code, 4, `${command}: ${output}`);
    }
    const token = (await root('robot', 'add', 'system+scanner', '-q')).trim();
    const scanner = await somebody('system+scanner', token);
    assert.match(
      await scanner.refused('pull', image('alice/private:1')),
      /does not exist, or system\+scanner may not see it/,
    );
    assert.match(
      await root('access', 'grant', 'system+scanner', 'read', '**'),
      /^system\+scanner: read on \*\*/,
    );
    await scanner.podman('pull', image('alice/private:1'));
    assert.notEqual((await scanner.refused('push', BASE_IMAGE, image('alice/private:2'))).length, 0);
  });

  test('8. a pull secret for Kubernetes, and whether it is used', async (t) => {
    const { root, somebody, addUser, image, berth } = await start(t);
    await addUser('alice');
    await root('org', 'add', 'acme');
    await root('org', 'member', 'add', 'acme', 'alice', '--owner');
    const alice = await somebody('alice');
    await alice.podman('push', BASE_IMAGE, image('acme/app:1'));
    await alice.berth('robot', 'add', 'acme+k8s', '--role', 'read', '-q');
    const secret = parseYaml(
      await alice.berth(
        ...[
          'token',
          'add',
          '--for',
          'acme+k8s',
          'prod',
          '--format',
          'kubernetes',
          '--name',
          'berth',
          '-n',
          'prod',
        ],
      ),
    );
    assert.deepEqual([secret.kind, secret.metadata], ['Secret', { name: 'berth', namespace: 'prod' }]);
    const content = Buffer.from(secret.data['.dockerconfigjson'], 'base64');
    assert.deepEqual(Object.keys(JSON.parse(content.toString()).auths), [berth.host]);
    const used = async () =>
      JSON.parse(await alice.berth('token', 'list', '--for', 'acme+k8s', '--json')).items[1];
    assert.deepEqual(
      [(await used()).name, (await used()).lastUsedAt, (await used()).expiresAt],
      ['prod', null, null],
    );

    // What the kubelet does with it: its own credentials and nobody else's.
    const node = await makePerson(t, berth);
    const file = node.home.path('pull-secret.json');
    await writeFile(file, content);
    await node.podman('pull', '--authfile', file, image('acme/app:1'));
    assert.equal((await readFile(file)).equals(content), true);
    for (let waited = 0; (await used()).lastUsedAt === null; waited += 1) {
      assert(waited < 30, 'the use of a token is told within seconds');
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    assert.equal((await used()).lastUsedFrom, '127.0.0.1');
  });
});
