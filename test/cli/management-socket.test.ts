// The management socket: who comes in by it, where it is, and what happens to one that a killed server left.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { link, mkdir, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import pino from 'pino';
import { startServer } from '../../src/cli/server.ts';
import { loadConfig } from '../../src/config/load.ts';
import { pushImage } from '../support/client.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';
import { basic, startSignInRegistry } from '../support/sign-in.ts';

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** A request over a socket, as the command line makes it. */
async function ask(
  socketPath: string | undefined,
  path: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Reply> {
  assert.ok(socketPath !== undefined, 'there is a socket');
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, ...options }, (reply) => {
      let body = '';
      reply.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }));
    });
    sent.on('error', reject).end();
  });
}

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

describe('whoever opens the socket', () => {
  test('is administrator without credentials, by the name that the command tells', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url, socket, logged } = registry;
    await registry.addUser('sam');
    await pushImage(url, 'sam/app', 'v1', 'v1', basic('sam'));
    for (const [said, actor] of [
      ['0(root)', 'local:0(root)'],
      ['1000(a.b-c_d@e)', 'local:1000(a.b-c_d@e)'],
      ['0(root) or not', 'local'],
      ['sam', 'local'],
      [undefined, 'local'],
    ] as const) {
      const headers: Record<string, string> = said === undefined ? {} : { 'berth-local-user': said };
      const { status } = await ask(socket, '/v2/sam/app/manifests/v1', { headers });
      assert.equal(status, 200);
      assert.equal(logged.filter(({ msg }) => msg === 'request').at(-1)?.actor, actor);
    }
  });

  test('is so in mode open, too, and from no other site or host', async (t) => {
    const { socket } = await startRegistry(t);
    const headers = { host: 'anywhere.example', 'x-forwarded-for': '192.0.2.1' };
    assert.equal((await ask(socket, '/v2/', { headers })).status, 200);
  });

  test('is known by the socket and not by the header', async (t) => {
    const { url } = await startSignInRegistry(t, { 'http.trustedProxies': '127.0.0.1' });
    for (const headers of [
      { 'berth-local-user': '0(root)' },
      { 'berth-local-user': '0(root)', 'x-forwarded-for': '' },
      { 'berth-local-user': '0(root)', 'x-forwarded-for': 'unix:' },
    ])
      assert.equal((await fetch(`${url}/v2/_catalog`, { headers })).status, 401);
  });

  test('gets no tokens', async (t) => {
    const { socket } = await startSignInRegistry(t);
    const { status, body } = await ask(socket, '/token?scope=repository:a/b:pull');
    assert.equal(status, 403);
    assert.match(body, /needs no token/);
  });
});

describe('the socket', () => {
  test('is in the data folder, for its own user alone, and gone at the end', async (t) => {
    const registry = await startRegistry(t);
    const { data, socket } = registry;
    assert.equal(socket, join(data, 'berth.sock'));
    assert.equal(await modeOf(socket), '600');
    const file = join(data, 'server.json');
    assert.equal(await modeOf(file), '600');
    const { pid, version, url, socket: told } = JSON.parse(await readFile(file, 'utf8'));
    assert.deepEqual([pid, version, url, told], [process.pid, 'test', registry.url, socket]);
    await registry.close();
    assert.deepEqual([existsSync(socket), existsSync(file)], [false, false]);
  });

  test('can be switched off, or put elsewhere', async (t) => {
    const off = await startRegistry(t, { 'http.socket': 'off' });
    assert.equal(off.socket, undefined);
    assert.equal(JSON.parse(await readFile(join(off.data, 'server.json'), 'utf8')).socket, null);
    const place = join(await temporaryFolder(t), 'elsewhere.sock');
    const elsewhere = await startRegistry(t, { 'http.socket': place });
    assert.equal((await ask(place, '/livez')).status, 200);
    await elsewhere.close();
    assert.equal(existsSync(place), false);
  });

  test('has a short path where the data folder’s is too long for one', async (t) => {
    const data = join(await temporaryFolder(t), 'x'.repeat(100));
    await mkdir(data);
    const first = await startRegistry(t, {}, { data });
    assert.ok(first.socket !== undefined && !first.socket.startsWith(data));
    assert.equal(JSON.parse(await readFile(join(data, 'server.json'), 'utf8')).socket, first.socket);
    assert.equal(await modeOf(join(first.socket, '..')), '700');
    assert.equal((await ask(first.socket, '/livez')).status, 200);
    await first.close();
    assert.equal(existsSync(join(first.socket, '..')), false);

    const runtimeFolder = await temporaryFolder(t);
    const flags = Object.entries({ data, 'http.port': '0' });
    const { config } = loadConfig({
      folder: data,
      environment: {},
      flags: flags.map(([path, text]) => ({ path, flag: path, text })),
    });
    const second = await startServer({
      config,
      log: pino({ enabled: false }),
      version: 'test',
      runtimeFolder,
    });
    t.after(() => second.close());
    assert.equal(join(second.socket ?? '', '..'), runtimeFolder);
    await second.close();
    assert.deepEqual(await readdir(runtimeFolder), []);
  });

  test('replaces one that a killed server left, and nothing else', async (t) => {
    const folder = await temporaryFolder(t);
    const place = join(folder, 'berth.sock');
    await leaveSocket(place);
    assert.equal((await stat(place)).isSocket(), true);
    const registry = await startRegistry(t, { 'http.socket': place });
    assert.equal((await ask(place, '/livez')).status, 200);
    await assert.rejects(startRegistry(t, { 'http.socket': place }), {
      name: 'SocketTakenError',
      message: `http.socket: another program listens on ${place}; choose another path`,
    });
    assert.equal((await ask(place, '/livez')).status, 200, 'the other one goes on');
    await registry.close();
    await writeFile(place, 'not a socket');
    await assert.rejects(startRegistry(t, { 'http.socket': place }), {
      name: 'SocketTakenError',
      message: `http.socket: ${place} is there and is no socket; move it away, or choose another path`,
    });
    assert.equal(await readFile(place, 'utf8'), 'not a socket');
  });

  test('can be the only door, for a command that is alone with the folder', async (t) => {
    const data = await temporaryFolder(t);
    const flags = Object.entries({ data, 'http.socket': 'off', 'metrics.address': '127.0.0.1:1' });
    const { config } = loadConfig({
      folder: data,
      environment: {},
      flags: flags.map(([path, text]) => ({ path, flag: path, text })),
    });
    const log = pino({ enabled: false });
    const server = await startServer({ config, log, version: 'test', listen: 'socket' });
    t.after(() => server.close());
    assert.deepEqual([server.url, server.port], ['http://localhost', 0]);
    assert.equal((await ask(server.socket, '/v2/_catalog')).body, '{"repositories":[]}');
    assert.equal(JSON.parse(await readFile(join(data, 'server.json'), 'utf8')).url, null);
    await server.close();
    assert.equal(existsSync(server.socket ?? ''), false);
  });

  test('lets a request in flight finish at the end', async (t) => {
    const registry = await startRegistry(t);
    const { port } = registry;
    const begun = await fetch(`http://127.0.0.1:${port}/v2/a/b/blobs/uploads/`, { method: 'POST' });
    const path = begun.headers.get('location') ?? '';
    const answer = new Promise<number | undefined>((resolve, reject) => {
      const sent = request({ socketPath: registry.socket, path, method: 'PATCH' }, (reply) =>
        resolve(reply.resume().statusCode),
      );
      // Over the socket the session is another's: 404, but only once the body is there.
      sent.on('error', reject);
      sent.write('half, ');
      setTimeout(() => sent.end('and half'), 500);
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const closed = registry.close();
    assert.equal(await answer, 404);
    await closed;
  });
});

/** A socket file without anybody behind it: a server that is killed cannot remove its own. */
async function leaveSocket(place: string): Promise<void> {
  const aside = createServer();
  await new Promise<void>((resolve) => aside.listen(`${place}.real`, resolve));
  await link(`${place}.real`, place);
  await unlink(`${place}.real`);
  await new Promise((resolve) => aside.close(resolve));
}
