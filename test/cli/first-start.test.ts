// The first start of a registry that asks for sign-in: its administrator, where the first password is, and what is said of it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeTestFolder, runCommand, startCommand } from '../support/berth-command.ts';
import { pushImage } from '../support/client.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';
import { basic, password } from '../support/sign-in.ts';

const cheap = { 'auth.password.bcryptCost': '10' };
const origin = { actor: 'test' };
const passwordFile = 'initial-admin-password';

describe('the first start in mode token', () => {
  test('makes the user admin with a random password, in a file and nowhere else', async (t) => {
    const registry = await startRegistry(t, { 'access.mode': 'token', ...cheap });
    const file = join(registry.data, passwordFile);
    assert.deepEqual(registry.firstPassword, { file });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const secret = (await readFile(file, 'utf8')).trimEnd();
    assert.match(secret, /^(?:[a-z2-9]{5}-){4}[a-z2-9]{5}$/);
    const ping = () => fetch(`${registry.url}/v2/`, { headers: basic('admin', secret) });
    assert.equal((await ping()).status, 200);
    assert.equal(JSON.stringify(registry.logged).includes(secret), false);
    const admin = await registry.registry.metadata.accounts.users.find('admin');
    assert.deepEqual([admin?.role, admin?.guest], ['administrator', false]);

    await registry.close();
    const again = await startRegistry(t, { 'access.mode': 'token', ...cheap }, { data: registry.data });
    assert.deepEqual(again.firstPassword, { file }, 'it is the same one, until it is changed');
    assert.equal((await readFile(file, 'utf8')).trimEnd(), secret);
  });

  test('takes the password of the settings instead, and writes no file', async (t) => {
    const settings = { 'access.mode': 'token', 'access.adminPassword': password, ...cheap };
    const registry = await startRegistry(t, settings);
    assert.equal(registry.firstPassword, 'setting');
    assert.equal(existsSync(join(registry.data, passwordFile)), false);
    assert.equal((await fetch(`${registry.url}/v2/`, { headers: basic('admin') })).status, 200);
    await registry.close();
    const other = { ...settings, 'access.adminPassword': 'another good password 5' };
    const again = await startRegistry(t, other, { data: registry.data });
    assert.equal(again.firstPassword, undefined, 'the setting is for the first start');
    assert.equal((await fetch(`${again.url}/v2/`, { headers: basic('admin') })).status, 200);
  });

  test('is over when there is a user: nobody is made beside it', async (t) => {
    const open = await startRegistry(t, cheap);
    assert.equal(open.mode, 'open');
    const { users } = open.registry.metadata.accounts;
    await users.add({ name: 'sam', role: 'user', guest: false, origin });
    await open.close();
    const token = await startRegistry(t, cheap, { data: open.data });
    assert.equal(token.mode, 'token', 'auto is token as soon as somebody may sign in');
    assert.equal(token.firstPassword, undefined);
    assert.equal(await token.registry.metadata.accounts.users.count(), 1);
  });
});

describe('the file of the first password', () => {
  test('goes away when the password of admin is changed, and of nobody else', async (t) => {
    const registry = await startRegistry(t, { 'access.mode': 'token', ...cheap });
    const file = join(registry.data, passwordFile);
    const { socket } = registry;
    const change = (user: string) =>
      runCommand(t, ['--silent', '--unix-socket', socket ?? '', '--request', 'PUT', ...json(user)], {
        program: ['curl'],
      });
    await registry.registry.metadata.accounts.users.add({ name: 'sam', role: 'user', guest: false, origin });
    const json = (user: string) => [
      ...['--header', 'content-type: application/json', '--data', JSON.stringify({ password })],
      `http://localhost/api/v1/users/${user}/password`,
    ];
    await change('sam');
    assert.ok(existsSync(file));
    await change('admin');
    assert.equal(existsSync(file), false);
    assert.equal((await fetch(`${registry.url}/v2/`, { headers: basic('admin') })).status, 200);
  });

  test('is not kept by a server that ended between the change and its removal', async (t) => {
    const first = await startRegistry(t, { 'access.mode': 'token', ...cheap });
    const hash = await first.authority.passwords.hash(password);
    await first.registry.metadata.accounts.users.setPassword({ name: 'admin', hash, origin });
    await first.close();
    const file = join(first.data, passwordFile);
    assert.ok(existsSync(file));
    const second = await startRegistry(t, { 'access.mode': 'token', ...cheap }, { data: first.data });
    assert.equal(second.firstPassword, undefined);
    assert.equal(existsSync(file), false);
  });
});

describe('berth serve in mode token', { concurrency: 3 }, () => {
  const environment = { BERTH_ACCESS_MODE: 'token', BERTH_AUTH_PASSWORD_BCRYPT_COST: '10' };

  test('says who may what, where the first password is, and that there is no TLS', async (t) => {
    const folder = await makeTestFolder(t);
    const everywhere = { ...environment, BERTH_HTTP_ADDRESS: '0.0.0.0' };
    const serve = await startCommand(t, ['serve', '--port', '0'], { folder, environment: everywhere });
    await serve.untilPrinted(/ {2}warning .*\n/);
    const { stdout } = await serve.end();
    const lines = stdout.split('\n');
    assert.match(lines[0] ?? '', / listening on http:\/\/0\.0\.0\.0:\d+ data \S+ access token$/);
    assert.deepEqual(lines.slice(2, 5), [
      '  access     token: sign in to push; nothing is public',
      `  admin      user "admin", first password in ${folder}/data/initial-admin-password`,
      '  warning    no TLS: passwords cross the network in the clear. http.tls.certificate and http.tls.key, or a proxy with http.publicUrl',
    ]);
    const secret = (await readFile(join(folder, 'data', passwordFile), 'utf8')).trimEnd();
    assert.equal(stdout.includes(secret), false);
    const again = await startCommand(t, ['serve', '--port', '0'], { folder, environment });
    await again.untilPrinted(/^ {2}access {5}token: sign in to push, and to pull what is not public$/m);
    await again.untilPrinted(/^ {2}admin {6}user "admin", first password in /m);
    assert.doesNotMatch((await again.end()).stdout, /warning/, 'nothing leaves this machine');
  });

  test('does not start with a first password that no user could set', async (t) => {
    const folder = await makeTestFolder(t);
    const common = { ...environment, BERTH_ACCESS_ADMIN_PASSWORD: 'password1234' };
    const { code, stderr } = await runCommand(t, ['serve', '--port', '0'], { folder, environment: common });
    assert.equal(code, 2);
    assert.match(stderr, /^berth: access\.adminPassword: /);
    assert.equal(stderr.includes('password1234'), false);
  });

  test('takes over a default visibility on SIGHUP', async (t) => {
    const folder = await temporaryFolder(t);
    const config = (visibility: string) => `access: {mode: token, defaultVisibility: ${visibility}}\n`;
    await writeFile(join(folder, 'berth.yaml'), config('private'));
    const settings = { BERTH_ACCESS_ADMIN_PASSWORD: password, ...environment };
    const serve = await startCommand(t, ['serve', '--port', '0'], { folder, environment: settings });
    const [, url = ''] = await serve.untilPrinted(/listening on (http:\/\/127\.0\.0\.1:\d+)/);
    const push = (name: string) => pushImage(url, name, 'v1', 'v1', basic('admin'));
    await push('acme/before');
    await writeFile(join(folder, 'berth.yaml'), config('public'));
    serve.child.kill('SIGHUP');
    await serve.untilPrinted(/SIGHUP: the configuration and the TLS files were read again/);
    await push('acme/after');
    const statusOf = async (name: string) => (await fetch(`${url}/v2/${name}/manifests/v1`)).status;
    assert.deepEqual([await statusOf('acme/before'), await statusOf('acme/after')], [401, 200]);
    assert.equal((await serve.end()).code, 0);
  });
});
