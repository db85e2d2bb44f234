// The three doors: each command reaches a registry by its name, by the socket of the server on this machine, or by taking the
// folder when nobody runs. Real processes over real servers.
import assert from 'node:assert/strict';
import { chown, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type ListenOptions, type Server } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { exchange } from '../../src/cli/client/http.ts';
import { lockFolder } from '../../src/storage/sqlite/lock.ts';
import { makeTestFolder, runCommand, startCommand } from '../support/berth-command.ts';

const password = 'a-password-for-tests';
const isRoot = process.getuid?.() === 0;
const settings = {
  BERTH_ACCESS_MODE: 'token',
  BERTH_ACCESS_ADMIN_PASSWORD: password,
  BERTH_AUTH_PASSWORD_BCRYPT_COST: '10',
};

async function serve(t: TestContext, more: Record<string, string> = {}) {
  const folder = await makeTestFolder(t);
  const data = join(folder, 'data');
  const environment = { ...settings, ...more };
  const server = await startCommand(t, ['serve', '--port', '0', '--data', data], { folder, environment });
  const [, port = ''] = await server.untilPrinted(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
  const berth = (args: string, options: { input?: string; environment?: Record<string, string> } = {}) =>
    runCommand(t, args.split(' '), { folder, ...options });
  return { server, folder, data, host: `127.0.0.1:${port}`, berth };
}

/** A data folder with an administrator, and nobody who serves it. */
async function makeStoppedFolder(t: TestContext) {
  const running = await serve(t);
  await running.server.end();
  return running;
}

describe('a registry that is named', { concurrency: 2 }, () => {
  test('is reached over the network, with what login stored or BERTH_TOKEN holds', async (t) => {
    const { host, berth } = await serve(t);
    const environment = { REGISTRY_AUTH_FILE: join(await makeTestFolder(t), 'auth.json') };
    const unknown = await berth(`user list -r ${host}`, { environment });
    assert.deepEqual([unknown.code, unknown.stdout], [4, '']);
    assert.match(unknown.stderr, new RegExp(`\nsign in first: berth login ${host} `));

    const wrong = await berth(`login ${host} -u admin --password-stdin`, { input: 'wrong', environment });
    assert.deepEqual([wrong.code, wrong.stdout], [4, '']);
    const login = await berth(`login ${host} -u admin --password-stdin`, { input: password, environment });
    assert.match(login.stdout, new RegExp(`^signed in to ${host} as admin `));
    for (const by of [`-r ${host}`, `-r http://${host}`]) {
      const listed = await berth(`user list -q ${by}`, { environment });
      assert.deepEqual([listed.code, listed.stdout, listed.stderr], [0, 'admin\n', '']);
    }
    const byVariable = await berth('whoami -q', { environment: { ...environment, BERTH_REGISTRY: host } });
    assert.equal(byVariable.stdout, 'admin\n');
    const byReference = await berth(`access explain admin ${host}/acme/web -q`, { environment });
    assert.equal(byReference.stdout, 'admin\n');

    const made = await berth(`token add cli -q -r ${host}`, { environment });
    const token = { BERTH_TOKEN: made.stdout.trim() };
    assert.equal((await berth(`whoami -q -r ${host}`, { environment: token })).stdout, 'admin\n');
    assert.equal((await berth(`token remove cli --yes -r ${host}`, { environment })).code, 0);
    const gone = await berth(`whoami -q -r ${host}`, { environment: token });
    assert.equal(gone.code, 4);
    assert.match(gone.stderr, /\nthe credentials are from BERTH_TOKEN\n/);
    assert.equal((await berth(`logout ${host}`, { environment })).stdout, `signed out of ${host}\n`);
    assert.equal((await berth(`logout ${host}`, { environment })).code, 5);
  });

  test('that does not answer ends with 7', async (t) => {
    const { stderr, code } = await runCommand(t, ['user', 'list', '-r', '127.0.0.1:1']);
    assert.deepEqual(
      [code, stderr],
      [7, 'berth: no answer from http://127.0.0.1:1: nothing listens there\n'],
    );
    const missing = await runCommand(t, ['user', 'list', '-r', 'http://no-such-host.invalid']);
    assert.equal(missing.code, 7);
  });

  test('that speaks no TLS says how plain HTTP is asked for', async (t) => {
    const { host } = await serve(t);
    const { code, stderr } = await runCommand(t, ['user', 'list', '-r', `https://${host}`]);
    assert.equal(code, 7);
    assert.match(stderr, new RegExp(`does not speak TLS\\. If plain HTTP is meant: -r http://${host}\n$`));
  });
});

test('a server that breaks off plain HTTP may speak TLS; one that is silent on its socket is named', async (t) => {
  const folder = await makeTestFolder(t);
  const listen = async (server: Server, where: ListenOptions) => {
    await new Promise<void>((resolve) => server.listen(where, resolve));
    t.after(() => server.close());
  };
  const rude = createServer((connection) => connection.destroy());
  await listen(rude, { port: 0, host: '127.0.0.1' });
  const host = `127.0.0.1:${(rude.address() as AddressInfo).port}`;
  const { code, stderr } = await runCommand(t, ['user', 'list', '-r', host]);
  assert.deepEqual(
    [code, stderr],
    [
      7,
      `berth: no answer from http://${host}: it broke the connection off. If it speaks TLS: -r https://${host}\n`,
    ],
  );

  const socketPath = join(folder, 'silent.sock');
  const silent = createServer();
  silent.on('connection', (connection) => t.after(() => connection.destroy()));
  await listen(silent, { path: socketPath });
  const target = { origin: 'http://localhost', socketPath, process: 4711 };
  await assert.rejects(exchange(target, { method: 'GET', path: '/', silenceSeconds: 0.1 }), {
    code: 7,
    message:
      `no answer from ${socketPath}: silent for 0.1 s. Process 4711 listens there and may hang: look at its log, ` +
      'or end it with kill 4711',
  });
});

describe('the server on this machine', { concurrency: 2 }, () => {
  test('is reached by its socket, as administrator, and the audit log tells by whom', async (t) => {
    const { berth, data } = await serve(t);
    const me = `local:${process.getuid?.()}(${userInfo().username})`;
    assert.equal((await berth('whoami -q')).stdout, `${me}\n`);
    assert.equal((await berth(`user add sam -q --data ${data}`)).code, 0);
    const { items } = JSON.parse((await berth('audit --json --action user.add --object user:sam')).stdout);
    assert.deepEqual(
      items.map(({ actor, object }: { actor: string; object: string }) => [actor, object]),
      [[me, 'user:sam']],
    );
  });

  test('is found where its socket cannot lie in the data folder', async (t) => {
    const folder = join(await makeTestFolder(t), 'a-long-name-for-a-folder'.repeat(4));
    await mkdir(folder, { recursive: true });
    const server = await startCommand(t, ['serve', '--port', '0'], { folder, environment: settings });
    await server.untilPrinted(/listening on/);
    assert.equal((await runCommand(t, ['user', 'list', '-q'], { folder })).stdout, 'admin\n');
    await server.end();
    assert.equal((await runCommand(t, ['user', 'list', '-q'], { folder })).stdout, 'admin\n');
  });

  test('is not for another user of the machine', { skip: !isRoot }, async (t) => {
    const { folder } = await serve(t);
    const { code, stdout, stderr } = await runCommand(t, ['user', 'list'], { folder, uid: 65_534 });
    assert.deepEqual([code, stdout], [4, '']);
    assert.match(stderr, /is not for user 65534\. Run it as the user of the server or as root/);
  });

  test('with http.socket off is named, with the process and what to do', async (t) => {
    const { berth, server } = await serve(t, { BERTH_HTTP_SOCKET: 'off' });
    const { code, stderr } = await berth('user list', { environment: { BERTH_HTTP_SOCKET: 'off' } });
    assert.equal(code, 7);
    assert.match(stderr, new RegExp(`in use by process ${server.child.pid}, .*http\\.socket is off`));
    assert.match(stderr, /-r HOST/);
  });
});

describe('a folder that nobody serves', { concurrency: 2 }, () => {
  test('is taken for the command and given back', async (t) => {
    const { berth, data, folder } = await makeStoppedFolder(t);
    const added = await berth('user add sam --guest -q');
    assert.match(added.stdout, /^berth_code_\w{49}\n$/);
    assert.equal(added.stderr, '');
    assert.equal((await berth('user list -q')).stdout, 'admin\nsam\n');
    const left = (await readdir(data)).filter((name) =>
      /^(server\.json|berth\.(sock|pid)|.*-wal)$/.test(name),
    );
    assert.deepEqual(left, []);
    const server = await startCommand(t, ['serve', '--port', '0'], { folder, environment: settings });
    await server.untilPrinted(/listening on/);
    assert.equal((await berth('user list -q')).stdout, 'admin\nsam\n');
  });

  test('does not take what would end with the command', async (t) => {
    const { berth, data } = await makeStoppedFolder(t);
    for (const command of ['read-only on', 'read-only off']) {
      const { code, stdout, stderr } = await berth(command);
      assert.deepEqual([code, stdout], [7, '']);
      assert.match(stderr, new RegExp(`^berth: no server runs on ${data}, .*storage\\.readOnly`));
    }
  });

  test('is taken by one command after the other', async (t) => {
    const { berth } = await makeStoppedFolder(t);
    const names = ['ana', 'bob', 'cleo', 'dan'];
    const ended = await Promise.all(names.map((name) => berth(`user add ${name} -q`)));
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0, 0, 0],
    );
    assert.equal((await berth('user list -q')).stdout, 'admin\nana\nbob\ncleo\ndan\n');
  });

  test('keeps its owner when root takes it', { skip: !isRoot }, async (t) => {
    const { berth, data, folder } = await makeStoppedFolder(t);
    const names = (await readdir(data, { recursive: true })).map((name) => join(data, name));
    for (const path of [folder, data, ...names]) await chown(path, 65_534, 65_534);
    const { code, stderr } = await berth('user add sam -q');
    assert.deepEqual([code, stderr], [0, '']);
    const owners = await Promise.all(
      (await readdir(data, { recursive: true })).map(async (name) => (await stat(join(data, name))).uid),
    );
    assert.deepEqual([...new Set(owners)], [65_534]);
    const { items } = JSON.parse((await berth('audit --json --object user:sam --action user.add')).stdout);
    assert.equal(items[0].actor, 'local:0(root)');
  });

  test('but is held by a process that does not answer is named with it', async (t) => {
    const { berth, data } = await makeStoppedFolder(t);
    const lock = lockFolder(data);
    t.after(() => lock.release());
    const { code, stdout, stderr } = await berth('user list');
    assert.deepEqual([code, stdout], [7, '']);
    assert.match(stderr, new RegExp(`${data} is in use by process ${process.pid}, which does not answer`));
  });

  test('and whose server had no room on the disk to say where it is answers on its socket all the same', async (t) => {
    const { berth, data } = await serve(t);
    await rm(join(data, 'server.json'));
    const listed = await berth('user list -q');
    assert.deepEqual([listed.code, listed.stdout, listed.stderr], [0, 'admin\n', '']);
    assert.match((await berth('status')).stdout, /accepted/);
  });

  test('and whose server says nowhere where it is, is not taken for the one on a socket that is shared', async (t) => {
    const folder = await makeTestFolder(t);
    const environment = { BERTH_HTTP_SOCKET: join(folder, 'shared.sock') };
    await serve(t, environment);
    const data = join(folder, 'other');
    const made = await runCommand(t, ['serve', '--port', '0', '--data', data], {
      folder,
      environment: { ...settings, BERTH_HTTP_SOCKET: join(folder, 'shared.sock') },
    });
    assert.match(made.stderr, /another program listens on/);
    const lock = lockFolder(data);
    t.after(() => lock.release());
    const { code, stdout } = await runCommand(t, ['user', 'list', '--data', data], { folder, environment });
    assert.deepEqual([code, stdout], [7, '']);
    assert.match((await runCommand(t, ['status', '--data', data], { folder, environment })).stdout, /^$/);
  });

  test('and whose server was killed is taken all the same', async (t) => {
    const { server, berth, data } = await serve(t);
    await server.end('SIGKILL');
    assert((await readdir(data)).includes('server.json'));
    assert.equal((await berth('user list -q')).stdout, 'admin\n');
  });
});

describe('where there is no registry', { concurrency: 2 }, () => {
  test('a command says so and makes none', async (t) => {
    const folder = await makeTestFolder(t);
    const { code, stderr } = await runCommand(t, ['user', 'list'], { folder });
    assert.equal(code, 7);
    assert.match(stderr, /^berth: there is no registry in .*\/data\. Name one: -r HOST /);
    assert.deepEqual(await readdir(folder), []);
  });

  test('a file or a stranger in the place of the socket is no server', async (t) => {
    const { berth, data } = await makeStoppedFolder(t);
    await writeFile(join(data, 'server.json'), '{"pid": 1, "socket": "/nowhere/berth.sock"');
    assert.equal((await berth('user list -q')).stdout, 'admin\n');
    const stranger = createServer((connection) => connection.on('error', () => undefined).end('hello\n'));
    await new Promise<void>((resolve) => stranger.listen(join(data, 'other.sock'), resolve));
    t.after(() => stranger.close());
    await writeFile(join(data, 'server.json'), JSON.stringify({ pid: 1, socket: join(data, 'other.sock') }));
    const { code, stderr } = await berth('user list -q');
    assert.equal(code, 7);
    assert.match(stderr, /no answer from .*other\.sock/);
  });
});
