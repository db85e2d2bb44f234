// Where the command line finds credentials for a registry, and what it writes: the files and helpers of podman and docker.
import assert from 'node:assert/strict';
import { chmod, lstat, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { authFileToWrite, changeEntry } from '../../src/cli/client/auth-file.ts';
import { eraseWithHelper, storeWithHelper } from '../../src/cli/client/credential-helper.ts';
import { authorizationOf, findCredential } from '../../src/cli/client/credentials.ts';
import type { Surroundings } from '../../src/cli/context.ts';
import { makeTestFolder } from '../support/berth-command.ts';

const host = 'registry.example.com';
const auth = (user: string, secret: string) => Buffer.from(`${user}:${secret}`).toString('base64');

async function makeSurroundings(t: TestContext, environment: Record<string, string> = {}) {
  const folder = await makeTestFolder(t);
  const surroundings: Surroundings = {
    environment: { XDG_RUNTIME_DIR: join(folder, 'runtime'), ...environment },
    folder,
    homeFolder: folder,
    userId: 1000,
    stdin: Readable.from([]),
    stdout: { write: () => true },
    stderr: { write: () => true },
  };
  const write = async (path: string, content: unknown) => {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  };
  return { folder, surroundings, write };
}

/** A credential helper that answers from a file beside it, as the real ones do by protocol. */
async function installHelper(folder: string, name: string, credentials: Record<string, [string, string]>) {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const file = join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify(credentials));
  const program = join(bin, `docker-credential-${name}`);
  await writeFile(
    program,
    `#!${process.execPath}
const fs = require('node:fs');
const input = fs.readFileSync(0, 'utf8').trim();
const kept = JSON.parse(fs.readFileSync(${JSON.stringify(file)}, 'utf8'));
const action = process.argv[2];
const save = () => fs.writeFileSync(${JSON.stringify(file)}, JSON.stringify(kept));
if (action === 'store') {
  const { ServerURL, Username, Secret } = JSON.parse(input);
  kept[ServerURL] = [Username, Secret];
  save();
} else if (kept[input] === undefined) {
  process.stdout.write('credentials not found in native keychain');
  process.exitCode = 1;
} else if (action === 'get') {
  const [Username, Secret] = kept[input];
  process.stdout.write(JSON.stringify({ ServerURL: input, Username, Secret }));
} else {
  delete kept[input];
  save();
}
`,
  );
  await chmod(program, 0o755);
  return {
    bin,
    kept: async () => JSON.parse(await readFile(file, 'utf8')) as Record<string, [string, string]>,
  };
}

describe('credentials are looked for', () => {
  test('first in BERTH_TOKEN, then in the file of BERTH_TOKEN_FILE', async (t) => {
    const { surroundings, write } = await makeSurroundings(t, { BERTH_TOKEN: 'berth_pat_x' });
    await write('runtime/containers/auth.json', { auths: { [host]: { auth: auth('sam', 'secret') } } });
    const found = await findCredential(host, surroundings);
    assert.deepEqual(found, { kind: 'bearer', token: 'berth_pat_x', from: 'BERTH_TOKEN' });
    const file = await write('token', 'berth_pat_y\n');
    const byFile = { ...surroundings, environment: { BERTH_TOKEN_FILE: file } };
    assert.deepEqual(await findCredential(host, byFile), {
      kind: 'bearer',
      token: 'berth_pat_y',
      from: `BERTH_TOKEN_FILE ${file}`,
    });
    const both = { ...surroundings, environment: { BERTH_TOKEN: 'a', BERTH_TOKEN_FILE: file } };
    await assert.rejects(findCredential(host, both), { code: 2 });
    const missing = { ...surroundings, environment: { BERTH_TOKEN_FILE: `${file}-not` } };
    await assert.rejects(findCredential(host, missing), { code: 2 });
  });

  test('in the files of podman and docker, in their order', async (t) => {
    const { folder, surroundings, write } = await makeSurroundings(t);
    assert.equal(await findCredential(host, surroundings), undefined);
    const expectUser = async (user: string, file: string) => {
      const found = await findCredential(host, surroundings);
      assert.deepEqual(found, { kind: 'basic', user, secret: 'se:cret', from: join(folder, file) });
    };
    await write('.docker/config.json', { auths: { [host]: { auth: auth('docker', 'se:cret') } } });
    await expectUser('docker', '.docker/config.json');
    await write('.config/containers/auth.json', { auths: { [host]: { auth: auth('config', 'se:cret') } } });
    await expectUser('config', '.config/containers/auth.json');
    await write('runtime/containers/auth.json', { auths: { [host]: { auth: auth('runtime', 'se:cret') } } });
    await expectUser('runtime', 'runtime/containers/auth.json');
    const named = await write('elsewhere.json', { auths: {} });
    const only = { ...surroundings, environment: { REGISTRY_AUTH_FILE: named } };
    assert.equal(await findCredential(host, only), undefined);
  });

  test('under the host as it is, or as the URL that docker writes', async (t) => {
    const { surroundings, write } = await makeSurroundings(t);
    await write('.docker/config.json', {
      auths: {
        [`https://${host}/v1/`]: { auth: auth('sam', 'x') },
        [`${host}:5000`]: { auth: auth('port', 'x') },
        [`${host}/acme`]: { auth: auth('namespace', 'x') },
      },
    });
    const users = await Promise.all(
      [host, `${host}:5000`, 'example.com'].map((name) => findCredential(name, surroundings)),
    );
    assert.deepEqual(
      users.map((found) => found?.kind === 'basic' && found.user),
      ['sam', 'port', false],
    );
  });

  test("docker's identity token is a token", async (t) => {
    const { surroundings, write } = await makeSurroundings(t);
    await write('.docker/config.json', {
      auths: { [host]: { auth: auth('sam', ''), identitytoken: 'berth_refresh_x' } },
    });
    const found = await findCredential(host, surroundings);
    assert(found !== undefined);
    assert.equal(authorizationOf(found), 'Bearer berth_refresh_x');
  });

  test('with the helper of the host, else that of all hosts, else in the file itself', async (t) => {
    const { folder, surroundings, write } = await makeSurroundings(t);
    const one = await installHelper(folder, 'one', { [host]: ['sam', 'by-one'] });
    await installHelper(folder, 'all', { 'other.example.com': ['<token>', 'berth_refresh_x'] });
    const environment = { ...surroundings.environment, PATH: one.bin };
    const here = { ...surroundings, environment };
    await write('runtime/containers/auth.json', {
      credHelpers: { [host]: 'one' },
      credsStore: 'all',
      auths: { 'plain.example.com': { auth: auth('plain', 'x') } },
    });
    assert.deepEqual(await findCredential(host, here), {
      kind: 'basic',
      user: 'sam',
      secret: 'by-one',
      from: 'docker-credential-one',
    });
    const token = await findCredential('other.example.com', here);
    assert.deepEqual(token, { kind: 'bearer', token: 'berth_refresh_x', from: 'docker-credential-all' });
    const plain = await findCredential('plain.example.com', here);
    assert.equal(plain?.kind === 'basic' && plain.user, 'plain');
  });

  test('and a helper that is missing, or a file that is no JSON, is said', async (t) => {
    const { surroundings, write } = await makeSurroundings(t, { PATH: '/nowhere' });
    await write('runtime/containers/auth.json', { credHelpers: { [host]: 'gone' } });
    await assert.rejects(findCredential(host, surroundings), {
      code: 1,
      message: 'credential helper docker-credential-gone: it is not installed',
    });
    await write('runtime/containers/auth.json', { credHelpers: { [host]: '../../bin/sh' } });
    await assert.rejects(findCredential(host, surroundings), /that is not a name/);
    const file = await write('runtime/containers/auth.json', '{"auths": ');
    await assert.rejects(findCredential(host, surroundings), {
      code: 1,
      message: new RegExp(`^${file} is not valid JSON`),
    });
  });
});

describe('credentials are written', () => {
  test('where podman would, for this user alone, and everything else in the file stays', async (t) => {
    const { folder, surroundings } = await makeSurroundings(t);
    const file = authFileToWrite(surroundings);
    assert.equal(file, join(folder, 'runtime/containers/auth.json'));
    changeEntry(file, host, { auth: 'abc' });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await writeFile(
      file,
      JSON.stringify({ credHelpers: { x: 'y' }, auths: { other: { auth: '1' } }, new: [1] }),
    );
    await chmod(file, 0o644);
    changeEntry(file, host, { auth: 'abc' });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), {
      credHelpers: { x: 'y' },
      auths: { other: { auth: '1' }, [host]: { auth: 'abc' } },
      new: [1],
    });
    assert.equal(changeEntry(file, host, undefined), true);
    assert.equal(changeEntry(file, host, undefined), false);
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')).auths, { other: { auth: '1' } });
  });

  test('through a link, which stays one', async (t) => {
    const { folder, write } = await makeSurroundings(t);
    const file = await write('real.json', {});
    const link = join(folder, 'link.json');
    await symlink(file, link);
    changeEntry(link, host, { auth: 'abc' });
    assert.equal((await lstat(link)).isSymbolicLink(), true);
    assert.equal(JSON.parse(await readFile(file, 'utf8')).auths[host].auth, 'abc');
  });

  test('never over a file that cannot be understood', async (t) => {
    const { write } = await makeSurroundings(t);
    const file = await write('auth.json', '{"auths": ');
    assert.throws(() => changeEntry(file, host, { auth: 'abc' }), { code: 1 });
    assert.equal(await readFile(file, 'utf8'), '{"auths": ');
  });

  test('in the place podman has for its kind of user', () => {
    const place = (environment: Record<string, string>, userId = 1000) =>
      authFileToWrite({ environment, homeFolder: '/home/ana', userId });
    assert.equal(
      place({ REGISTRY_AUTH_FILE: '/a.json', DOCKER_CONFIG: '/d', XDG_RUNTIME_DIR: '/r' }),
      '/a.json',
    );
    assert.equal(place({ DOCKER_CONFIG: '/d', XDG_RUNTIME_DIR: '/r' }), '/d/config.json');
    assert.equal(place({ XDG_RUNTIME_DIR: '/r' }), '/r/containers/auth.json');
    assert.equal(place({}, 0), '/run/containers/0/auth.json');
  });

  test('with a helper, and erased with it', async (t) => {
    const { folder } = await makeSurroundings(t);
    const { bin, kept } = await installHelper(folder, 'store', {});
    const environment = { PATH: bin };
    await storeWithHelper('store', host, { user: 'sam', secret: 'x' }, environment);
    assert.deepEqual(await kept(), { [host]: ['sam', 'x'] });
    assert.equal(await eraseWithHelper('store', host, environment), true);
    assert.deepEqual(await kept(), {});
    assert.equal(await eraseWithHelper('store', host, environment), false);
  });
});
