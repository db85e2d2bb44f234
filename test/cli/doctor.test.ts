// `berth doctor`: what it finds at a registry that is well, and behind proxies and certificates that are not.
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, readFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeTestFolder, runCommand } from '../support/berth-command.ts';
import { commandLine } from '../support/command-line.ts';
import { findProgram } from '../support/programs.ts';
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
  const environment = { REGISTRY_AUTH_FILE: join(homeFolder, 'auth.json') };
  const berth = commandLine({ data: registry.data, folder: homeFolder, homeFolder, environment });
  const login = (host: string) => berth.withInput(password)('login', host, '-u', 'admin', '--password-stdin');
  return { registry, berth, login, homeFolder, host: `localhost:${registry.port}` };
}

/** What passes requests on to a registry, as a proxy does, but for what `change` does to them. */
type Change = (asked: IncomingMessage, answer: ServerResponse) => boolean;

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

function proxyTo(port: number, change: Change = () => false): RequestListener {
  return (asked, answer) => {
    if (change(asked, answer)) {
      asked.resume();
      return;
    }
    const { method, url: path, headers } = asked;
    const passed = request({ port, host: '127.0.0.1', method, path, headers }, (given) => {
      answer.writeHead(given.statusCode ?? 500, { ...given.headers, ...pickHeaders(answer) });
      given.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    asked.pipe(passed);
  };
}

const pickHeaders = (answer: ServerResponse) => answer.getHeaders() as Record<string, string | string[]>;
const findingsOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/, 2).join(' '));
const lineOf = (text: string, check: string) =>
  text.split('\n').find((line) => line.split(/ +/)[1] === check) ?? `no finding of ${check}:\n${text}`;

describe('berth doctor', { concurrency: 2 }, () => {
  test('finds nothing wrong with a server on this machine and its folder', async (t) => {
    const { berth, login, host } = await start(t);
    await login(host);
    for (const size of ['x', '-1', '1.5', '']) {
      const wrong = await berth.tries('doctor', '--upload-size', size);
      assert.deepEqual([wrong.code, wrong.stdout], [2, '']);
    }
    const { code, stdout } = await berth.tries('doctor', '--upload-size', '5');
    assert.deepEqual(
      findingsOf(stdout),
      ['dns', 'tls', 'challenge', 'realm', 'clock', 'upload', 'disk', 'permissions', 'server'].map(
        (one) => `ok ${one}`,
      ),
      stdout,
    );
    assert.equal(code, 0);
    assert.match(
      lineOf(stdout, 'upload'),
      new RegExp(`5\\.0 MiB body accepted, .*; Location stays on http://${host}$`),
    );
  });

  test('leaves no upload behind, and without credentials tries none', async (t) => {
    const { berth, login, host, registry } = await start(t);
    const without = await berth.tries('doctor', '--url', `http://${host}`);
    assert.match(lineOf(without.stdout, 'upload'), /^skip +upload +not signed in: berth login /);
    assert.equal(without.code, 0);
    await login(host);
    await berth('doctor', '--url', `http://${host}`, '--upload-size', '1');
    assert.equal(JSON.parse(await berth('status', '--json')).counts.openUploads, 0);
    assert.equal((await registry.registry.metadata.repositories.totals()).repositories, 0);
  });

  test('fails where nothing listens and where the name is unknown', async (t) => {
    const { berth } = await start(t);
    const closed = await berth.tries('doctor', '--url', 'http://127.0.0.1:1');
    assert.deepEqual(findingsOf(closed.stdout), ['ok dns', 'ok tls', 'fail challenge']);
    assert.equal(closed.code, 3);
    const unknown = await berth.tries('doctor', '--url', 'https://no-such-host.invalid', '--json');
    assert.equal(unknown.code, 3);
    assert.deepEqual(
      JSON.parse(unknown.stdout).items.map(({ state, check }: { state: string; check: string }) => [
        state,
        check,
      ]),
      [['fail', 'dns']],
    );
  });

  const proxies: readonly (readonly [what: string, change: Change, check: string, message: RegExp])[] = [
    [
      'a proxy that asks for a password of its own',
      (_asked, answer) => {
        answer.writeHead(401, {
          'www-authenticate': ['Bearer realm="http://x/token"', 'Basic realm="proxy"'],
          'docker-distribution-api-version': 'registry/2.0',
        });
        answer.end();
        return true;
      },
      'challenge',
      /2 challenges, which podman and docker do not take/,
    ],
    [
      'a proxy that passes on nothing but /',
      (asked, answer) => {
        if (!asked.url?.startsWith('/v2/')) return false;
        answer.writeHead(404).end('<h1>nginx</h1>');
        return true;
      },
      'challenge',
      /GET \/v2\/ answered 404, and not as a registry/,
    ],
    [
      'a proxy that refuses large bodies',
      (asked, answer) => {
        if (asked.method !== 'PATCH') return false;
        answer.writeHead(413).end();
        return true;
      },
      'upload',
      /1\.0 MiB body is refused \(413\): raise the proxy's limit \(nginx: client_max_body_size 0\)/,
    ],
    [
      'a proxy that leads uploads elsewhere',
      (asked, answer) => {
        if (asked.method === 'POST') answer.setHeader('location', 'http://127.0.0.1:9/v2/x');
        return false;
      },
      'upload',
      /Location leads to http:\/\/127\.0\.0\.1:9, away from http:/,
    ],
    [
      'a clock that is wrong',
      (_asked, answer) => {
        answer.setHeader('date', new Date(Date.now() - 3_600_000).toUTCString());
        return false;
      },
      'clock',
      /^fail +clock +3[56]\d\d s from the registry's; tokens bear 60 s$/,
    ],
  ];
  for (const [what, change, check, message] of proxies) {
    test(`sees ${what}`, async (t) => {
      const { berth, login, registry } = await start(t);
      let broken = false;
      const port = await listen(
        t,
        createServer(proxyTo(registry.port, (asked, answer) => broken && change(asked, answer))),
      );
      await login(`127.0.0.1:${port}`);
      broken = true;
      const { code, stdout } = await berth.tries(
        'doctor',
        '--url',
        `http://127.0.0.1:${port}`,
        '--upload-size',
        '1',
      );
      assert.match(lineOf(stdout, check), message);
      assert.equal(code, 3, stdout);
    });
  }

  test('sees that clients are sent elsewhere to sign in', async (t) => {
    const { berth, registry } = await start(t);
    // Without its Host header the registry names the address that the proxy called.
    const port = await listen(
      t,
      createServer((asked, answer) => {
        asked.headers.host = `127.0.0.1:${registry.port}`;
        proxyTo(registry.port)(asked, answer);
      }),
    );
    const { code, stdout } = await berth.tries('doctor', '--url', `http://127.0.0.1:${port}`);
    assert.equal(code, 3);
    assert.match(
      lineOf(stdout, 'realm'),
      new RegExp(`^fail +realm +clients are sent to http://127\\.0\\.0\\.1:${registry.port} `),
    );
  });

  test('sees a database that everybody may read', async (t) => {
    const { berth, registry } = await start(t);
    await chmod(registry.data, 0o755);
    await chmod(join(registry.data, 'berth.db'), 0o644);
    const { code, stdout } = await berth.tries('doctor');
    assert.equal(code, 3);
    assert.match(
      lineOf(stdout, 'permissions'),
      /^fail +permissions +everybody on this machine may read the database: chmod /,
    );
  });
});

const needsOpenssl = findProgram('openssl') === undefined ? 'openssl is not installed' : false;

describe('berth doctor on TLS', { skip: needsOpenssl }, () => {
  async function serveTls(t: TestContext, days: number) {
    const started = await start(t, { 'http.trustedProxies': '127.0.0.1' });
    const folder = await makeTestFolder(t);
    const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', String(days)];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const made = await runCommand(t, ['req', '-x509', ...kind, ...names, ...files], { program: ['openssl'] });
    assert.equal(made.code, 0, made.stderr);
    const [key, cert] = await Promise.all(
      ['key.pem', 'cert.pem'].map((name) => readFile(join(folder, name))),
    );
    const pass = proxyTo(started.registry.port);
    const server = createTlsServer({ key, cert }, (asked, answer) => {
      asked.headers['x-forwarded-proto'] = 'https';
      asked.headers['x-forwarded-host'] = asked.headers.host;
      pass(asked, answer);
    });
    const port = await listen(t, server);
    const trust = async () => {
      const place = join(started.homeFolder, `.config/containers/certs.d/localhost:${port}`);
      await mkdir(place, { recursive: true });
      await copyFile(join(folder, 'cert.pem'), join(place, 'ca.crt'));
    };
    return { ...started, url: `https://localhost:${port}`, trust };
  }

  test("a certificate of one's own counts where podman reads it, and its days are told", async (t) => {
    const { berth, url, trust } = await serveTls(t, 90);
    const untrusted = await berth.tries('doctor', '--url', url);
    assert.equal(untrusted.code, 3);
    assert.match(
      lineOf(untrusted.stdout, 'tls'),
      /^fail +tls +self-signed: clients need its certificate in \/etc\/containers\/certs\.d\/localhost:/,
    );
    const refused = await berth.tries('user', 'list', '-r', url);
    assert.deepEqual([refused.code, /authority that is not trusted here/.test(refused.stderr)], [7, true]);
    await trust();
    const { code, stdout } = await berth.tries('doctor', '--url', url);
    assert.match(
      lineOf(stdout, 'tls'),
      /^ok +tls +chain complete, valid for (89|90) days; old clients: TLS 1\.2 offered$/,
    );
    assert.deepEqual(findingsOf(stdout), [
      'ok dns',
      'ok tls',
      'ok challenge',
      'ok realm',
      'ok clock',
      'skip upload',
    ]);
    assert.equal(code, 0, stdout);
  });

  test('one that ends soon is warned about', async (t) => {
    const { berth, url, trust } = await serveTls(t, 5);
    await trust();
    const { code, stdout } = await berth.tries('doctor', '--url', url);
    assert.match(lineOf(stdout, 'tls'), /^warn +tls +chain complete, valid for (4|5) days/);
    assert.equal(code, 0);
  });
});
