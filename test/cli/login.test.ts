// `berth login` and `berth logout`: against real servers, into the files and helpers where podman and docker look.
import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeTestFolder } from '../support/berth-command.ts';
import { commandLine } from '../support/command-line.ts';
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
  const environment = { XDG_RUNTIME_DIR: join(homeFolder, 'runtime'), PATH: join(homeFolder, 'bin') };
  const berth = commandLine({ data: registry.data, folder: homeFolder, homeFolder, environment });
  return { registry, berth, homeFolder, host: `localhost:${registry.port}` };
}

describe('berth login', { concurrency: 2 }, () => {
  test('tries the password first, and keeps it where podman does', async (t) => {
    const { berth, homeFolder, host } = await start(t);
    const file = join(homeFolder, 'runtime/containers/auth.json');
    const wrong = await berth.withInput('nonsense\n').tries('login', host, '-u', 'admin', '--password-stdin');
    assert.equal(wrong.code, 4);
    await assert.rejects(stat(file), { code: 'ENOENT' });
    assert.equal(
      await berth.withInput(`${password}\n`)('login', host, '-u', 'admin', '--password-stdin'),
      `signed in to ${host} as admin (kept in ${file})\n`,
    );
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { auths } = JSON.parse(await readFile(file, 'utf8'));
    assert.equal(Buffer.from(auths[host].auth, 'base64').toString(), `admin:${password}`);
    assert.equal(await berth('logout', host), `signed out of ${host}\n`);
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')).auths, {});
  });

  test('takes a token with its own name only, and says whose it is', async (t) => {
    const { berth, host } = await start(t);
    await berth('org', 'add', 'acme');
    const token = (await berth('robot', 'add', 'acme+ci', '-q')).trim();
    const login = berth.withInput(token);
    await login('login', host, '-u', 'acme+ci', '--password-stdin');
    const other = await login.tries('login', host, '-u', 'admin', '--password-stdin');
    assert.deepEqual(
      [other.code, other.stderr],
      [4, 'berth: this token belongs to acme+ci: log in with -u acme+ci\n'],
    );
  });

  test('gives it to the credential helper that is set, and takes it back from there', async (t) => {
    const { berth, homeFolder, host } = await start(t);
    const kept = join(homeFolder, 'kept');
    await mkdir(join(homeFolder, 'bin'));
    const helper = join(homeFolder, 'bin/docker-credential-test');
    await writeFile(
      helper,
      `#!/bin/sh
case $1 in
  store) /bin/cat > ${kept} ;;
  get) if [ -s ${kept} ]; then /bin/cat ${kept}; else echo 'credentials not found in native keychain'; exit 1; fi ;;
  erase) : > ${kept} ;;
esac
`,
    );
    await chmod(helper, 0o755);
    const file = join(homeFolder, 'runtime/containers/auth.json');
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, JSON.stringify({ credHelpers: { [host]: 'test' } }));
    assert.equal(
      await berth.withInput(password)('login', host, '-u', 'admin', '--password-stdin'),
      `signed in to ${host} as admin (kept in docker-credential-test)\n`,
    );
    assert.deepEqual(JSON.parse(await readFile(kept, 'utf8')), {
      ServerURL: host,
      Username: 'admin',
      Secret: password,
    });
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { credHelpers: { [host]: 'test' } });
    assert.equal(await berth('whoami', '-q', '-r', host), 'admin\n');
    await berth('logout', host);
    assert.equal((await berth.tries('whoami', '-r', host)).code, 4);
  });

  test('says where else credentials are left', async (t) => {
    const { berth, homeFolder, host } = await start(t);
    const docker = join(homeFolder, '.docker/config.json');
    await mkdir(join(docker, '..'));
    await writeFile(docker, JSON.stringify({ auths: { [host]: { auth: 'eDp5' } } }));
    const { code, stdout, stderr } = await berth.tries('logout', host);
    assert.deepEqual([code, stdout, stderr], [0, '', `${docker} still has credentials for ${host}\n`]);
  });

  test('stores nothing where nobody is asked to sign in', async (t) => {
    const { berth, homeFolder, host } = await start(t, { 'access.mode': 'open' });
    const { code, stderr } = await berth.withInput('x').tries('login', host, '-u', 'sam', '--password-stdin');
    assert.deepEqual([code, stderr], [0, `${host} asks nobody to sign in; nothing was stored\n`]);
    await assert.rejects(stat(join(homeFolder, 'runtime')), { code: 'ENOENT' });
  });

  test('needs a name and a registry, and asks nobody without a terminal', async (t) => {
    const { berth, host } = await start(t);
    assert.equal((await berth.tries('login')).code, 2);
    assert.equal((await berth.tries('login', host)).code, 2);
    assert.equal((await berth.tries('login', host, '-u', 'admin')).code, 2);
    assert.equal((await berth.tries('login', `${host}/acme`, '-u', 'admin')).code, 2);
  });

  test('is no registry at a page that answers everything with 200 or 404', async (t) => {
    const { berth } = await start(t);
    const server = createServer((_request, response) => response.writeHead(404).end('<h1>Not here</h1>'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await berth.withInput('x').tries('login', host, '-u', 'sam', '--password-stdin');
    assert.equal(code, 1);
    assert.match(stderr, /answered 404, and not as a registry that asks to sign in/);
  });
});
