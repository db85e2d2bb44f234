// `berth serve` as a process: what it prints, how it ends, and what it says when it cannot start.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, constants, type FileHandle, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { connect as connectPlainly, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { makeTestFolder, project, runCommand, startCommand } from '../support/berth-command.ts';
import { sha256 } from '../support/client.ts';

const { version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { version: string };
const listening = /^Berth \S+ listening on (http:\/\/127\.0\.0\.1:(\d+)) data (\S+) access open\n/;

/** Rejects after so many seconds, unless the test has ended. */
function failAfter(t: TestContext, seconds: number): Promise<never> {
  return new Promise((_resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nothing came within ${seconds} s`)), seconds * 1000);
    t.after(() => clearTimeout(timer));
  });
}

describe('a server that starts', { concurrency: 3 }, () => {
  test('names itself, its address, its folder and its mode in the first line, in every log format', async (t) => {
    for (const format of ['json', 'pretty', 'auto']) {
      const environment = { BERTH_LOG_FORMAT: format, BERTH_LOG_LEVEL: 'trace' };
      const serve = await startCommand(t, ['serve', '--port', '0'], { environment });
      const [, url = '', port, data] = await serve.untilPrinted(listening);
      assert.equal(data, join(serve.folder, 'data'));
      assert.notEqual(port, '0');
      assert.equal((await fetch(`${url}/v2/`)).status, 200);
      const { code, stdout } = await serve.end();
      assert.equal(code, 0);
      assert.ok(stdout.startsWith(`Berth ${version} listening on ${url} data ${data} access open\n`));
    }
  });

  test('says what is in its folder, who may use it, and nothing to try when nobody reads along', async (t) => {
    const serve = await startCommand(t, ['serve', '--port', '0']);
    await serve.untilPrinted(/everybody else is refused\n/);
    const { stdout } = await serve.end();
    const [, data, access, ...log] = stdout.trimEnd().split('\n');
    assert.match(data ?? '', /^ {2}data {7}new; [\d.]+ [KMGT]iB free \(node [\d.]+, sqlite [\d.]+\)$/);
    assert.equal(
      access,
      '  access     open: anyone on this machine may push and pull; everybody else is refused',
    );
    for (const line of log) assert.equal(typeof JSON.parse(line).msg, 'string');
    const again = await startCommand(t, ['serve', '--port', '0'], { folder: serve.folder });
    await again.untilPrinted(/^ {2}data {7}found; /m);
  });

  test('tells a person on a terminal what to try', { skip: missing('script') }, async (t) => {
    const command = `${process.execPath} ${project}/src/main.ts serve --port 0`;
    const program = ['script', '-qec', command, '/dev/null'];
    const serve = await startCommand(t, [], { program, environment: { NO_COLOR: '1' } });
    const [, port] = await serve.untilPrinted(
      / {2}try {8}podman push --tls-verify=false alpine localhost:(\d+)\/alpine\r?\n/,
    );
    const [last] = await serve.untilPrinted(/ {2}or {9}npx berth setup podman.*once, then no flag is needed/);
    assert.ok(last.includes(`npx berth setup podman --registry localhost:${port} --write`));
    const { stdout } = await serve.end();
    // The escape sequences of colours begin with ESC [; NO_COLOR asks for none.
    assert.ok(!stdout.includes('\u001b['));
  });

  test('ends when its terminal is closed, which sends SIGHUP too', { skip: missing('script') }, async (t) => {
    const command = `${process.execPath} ${project}/src/main.ts serve --port 0`;
    const serve = await startCommand(t, [], { program: ['script', '-qec', command, '/dev/null'] });
    const [, port] = await serve.untilPrinted(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    await serve.end('SIGKILL');
    const answers = () =>
      fetch(`http://127.0.0.1:${port}/livez`).then(
        () => true,
        () => false,
      );
    for (let waited = 0; waited < 100 && (await answers()); waited += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(await answers(), false);
  });

  test('mentions variables of distribution that it does not read', async (t) => {
    const environment = { REGISTRY_HTTP_ADDR: ':5000' };
    const serve = await startCommand(t, ['serve', '--port', '0'], { environment });
    await serve.untilPrinted(
      /^ {2}note {7}REGISTRY_HTTP_ADDR is not read; Berth has BERTH_HTTP_ADDRESS and BERTH_HTTP_PORT$/m,
    );
  });

  test('makes its folder for its own user alone', async (t) => {
    const serve = await startCommand(t, ['serve', '--port', '0', '--data', 'deep/store']);
    await serve.untilPrinted(listening);
    const { stdout } = await runCommand(t, ['-c', '%a', join(serve.folder, 'deep/store')], {
      program: ['stat'],
    });
    assert.equal(stdout.trim(), '700');
  });
});

describe('a server that is told to stop', { concurrency: 3 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`ends with 0 after ${signal}, also through npm start`, async (t) => {
      const direct = await startCommand(t, ['serve', '--port', '0']);
      await direct.untilPrinted(listening);
      const ended = await direct.end(signal);
      assert.deepEqual([ended.code, ended.signal], [0, null]);
      const data = await makeTestFolder(t);
      const program = ['npm', 'start', '--', '--port', '0', '--data', join(data, 'store')];
      const npm = await startCommand(t, [], { program, folder: project, environment: { HOME: data } });
      await npm.untilPrinted(/listening on/);
      assert.equal((await npm.end(signal)).code, 0);
    });
  }

  test('does not wait for connections on which no request ever came', async (t) => {
    const serve = await startCommand(t, ['serve', '--port', '0']);
    const [, , port] = await serve.untilPrinted(listening);
    const silent = ['', 'GET /v2/ HT'].map((begun) => {
      const socket = connectPlainly(Number(port), '127.0.0.1', () => socket.write(begun));
      return socket;
    });
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    const closed = silent.map((socket) =>
      once(
        socket.on('error', () => undefined),
        'close',
      ),
    );
    serve.child.kill('SIGTERM');
    await serve.untilPrinted(/SIGTERM: finishing requests in flight, at most 60 s/);
    // Long before those 60 seconds are over.
    await Promise.race([Promise.all(closed), failAfter(t, 30)]);
    assert.equal((await serve.ended).code, 0);
  });

  test('finishes a request in flight first, and a second signal does not wait for it', async (t) => {
    for (const insist of [false, true]) {
      const serve = await startCommand(t, ['serve', '--port', '0']);
      const [, url = ''] = await serve.untilPrinted(listening);
      const { location, body, send } = await beginUpload(url);
      serve.child.kill('SIGTERM');
      await serve.untilPrinted(/SIGTERM: finishing requests in flight, at most 60 s/);
      if (insist) {
        await new Promise((resolve) => setTimeout(resolve, 600));
        serve.child.kill('SIGTERM');
        assert.equal((await serve.ended).code, 1);
        await assert.rejects(body);
      } else {
        send();
        assert.equal((await body).status, 202, location);
        assert.equal((await serve.ended).code, 0);
      }
    }
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`breaks off its start on ${signal}`, { skip: missing('mkfifo') }, async (t) => {
      for (const hangs of [false, true]) {
        // Whoever reads a named pipe waits until somebody writes to it, as with a network drive that does not answer.
        const folder = await makeTestFolder(t);
        await runCommand(t, ['pipe.crt'], { folder, program: ['mkfifo'] });
        await writeFile(join(folder, 'a.key'), 'no key');
        await writeFile(join(folder, 'berth.yaml'), 'http: {tls: {certificate: pipe.crt, key: a.key}}\n');
        const serve = await startCommand(t, ['serve', '--port', '0'], { folder });
        const pipe = await openWhenRead(join(folder, 'pipe.crt'));
        serve.child.kill(signal);
        await serve.untilPrinted(new RegExp(`${signal}: breaking off the start`));
        if (!hangs) await pipe.close();
        const { code, signal: endedBy, stdout } = await serve.ended;
        if (hangs) await pipe.close();
        assert.deepEqual([code, endedBy], hangs ? [null, 'SIGKILL'] : [0, null]);
        assert.match(stdout, hangs ? /a file or the network does not answer/ : /stopped/);
        assert.doesNotMatch(stdout, /listening/);
      }
    });
  }

  test('reads its configuration again on SIGHUP, keeps the old one when the new has a fault, and lives on', async (t) => {
    const folder = await makeTestFolder(t);
    const file = join(folder, 'berth.yaml');
    await writeFile(file, 'log: {level: info}\n');
    const serve = await startCommand(t, ['serve', '--port', '0'], { folder });
    const [, url = ''] = await serve.untilPrinted(listening);
    await writeFile(file, 'log: {levle: warn}\nhttp: {port: x}\n');
    serve.child.kill('SIGHUP');
    await serve.untilPrinted(/SIGHUP: the configuration has faults; all stays as it was/);
    await writeFile(file, 'data: elsewhere\nstorage: {readOnly: true}\n');
    serve.child.kill('SIGHUP');
    await serve.untilPrinted(
      /"settings":\["data"\],"msg":"SIGHUP: these settings change with the next start"/,
    );
    await serve.untilPrinted(/SIGHUP: the configuration and the TLS files were read again/);
    const refused = await fetch(`${url}/v2/some/name/blobs/uploads/`, { method: 'POST' });
    assert.equal(refused.status, 503);
    assert.equal((await serve.end()).code, 0);
  });
});

test('quotas of the settings hold from SIGHUP on, for pushes that run and for those that come', async (t) => {
  const folder = await makeTestFolder(t);
  const file = join(folder, 'berth.yaml');
  const settings = (limit: string) => `quotas: {organization: ${limit}, registry: 10KiB}\n`;
  await writeFile(file, settings('unlimited'));
  const serve = await startCommand(t, ['serve', '--port', '0'], { folder });
  const [, url = ''] = await serve.untilPrinted(listening);
  const push = async (size: number) => {
    const content = Buffer.alloc(size, `${size} `);
    const path = `/v2/team/app/blobs/uploads/?digest=${sha256(content)}`;
    const reply = await fetch(url + path, { method: 'POST', body: content });
    return { status: reply.status, text: await reply.text() };
  };
  let reloads = 0;
  const reload = async (text: string) => {
    await writeFile(file, text);
    serve.child.kill('SIGHUP');
    reloads += 1;
    await serve.untilPrinted(new RegExp(`(?:read again[^]*){${reloads}}`));
  };
  assert.equal((await push(2000)).status, 201);
  const session = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
  const { href } = new URL(session.headers.get('location') ?? '', url);
  const content = Buffer.alloc(3000, 'begun before ');
  // Its length is not known before its end.
  const stream = new Blob([content]).stream();
  const appended = await fetch(href, { method: 'PATCH', body: stream, duplex: 'half' } as RequestInit);
  assert.equal(appended.status, 202);

  await reload(settings('4KiB'));
  const refused = await push(2500);
  assert.equal(refused.status, 403);
  assert.match(
    refused.text,
    /namespace team uses 2\.0 KiB of its quota of 4\.0 KiB, and 2\.4 KiB more do not fit/,
  );
  const finish = `${href}${href.includes('?') ? '&' : '?'}digest=${sha256(content)}`;
  assert.equal((await fetch(finish, { method: 'PUT' })).status, 403);
  assert.equal((await push(1500)).status, 201);

  await reload(settings('unlimited'));
  assert.equal((await push(2500)).status, 201);
  const whole = await push(5000);
  assert.equal(whole.status, 403);
  assert.match(whole.text, /the registry uses 5\.9 KiB of its quota of 10\.0 KiB/);
  await reload('quotas: {registry: unlimited}\n');
  assert.equal((await push(5000)).status, 201);
  assert.equal((await serve.end()).code, 0);
});

describe('a server with TLS', { skip: missing('openssl') }, () => {
  test('takes over renewed files on SIGHUP, and keeps the old ones when the new are unusable', async (t) => {
    const folder = await makeTestFolder(t);
    const makeCertificate = (name: string) => {
      const files = ['-keyout', 'a.key', '-out', 'a.crt', '-subj', `/CN=${name}`];
      const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
      return runCommand(t, ['req', '-x509', ...kind, ...files], { folder, program: ['openssl'] });
    };
    await makeCertificate('first.example.com');
    await writeFile(join(folder, 'berth.yaml'), 'http: {tls: {certificate: a.crt, key: a.key}}\n');
    const serve = await startCommand(t, ['serve', '--port', '0'], { folder });
    const [, port = ''] = await serve.untilPrinted(/listening on https:\/\/127\.0\.0\.1:(\d+) /);
    assert.equal(await servedName(Number(port)), 'first.example.com');
    const healthy = await runCommand(t, ['status', '--health', '--port', port], { folder });
    assert.deepEqual([healthy.code, healthy.stderr], [0, '']);
    await makeCertificate('second.example.com');
    serve.child.kill('SIGHUP');
    await serve.untilPrinted(/SIGHUP: the configuration and the TLS files were read again/);
    assert.equal(await servedName(Number(port)), 'second.example.com');
    await writeFile(join(folder, 'a.crt'), 'no certificate');
    serve.child.kill('SIGHUP');
    await serve.untilPrinted(/reload failed; all stays as it was/);
    assert.equal(await servedName(Number(port)), 'second.example.com');
    assert.equal((await serve.end()).code, 0);
  });
});

/** The name in the certificate that a port of this machine shows. */
async function servedName(port: number): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return Array.isArray(CN) ? CN[0] : CN;
}

describe('a server that cannot start', { concurrency: 3 }, () => {
  test('names the port that is taken, and the next one', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    t.after(() => other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const { code, stdout, stderr } = await runCommand(t, ['serve', '--port', String(port)]);
    assert.equal(
      stderr,
      `berth: port ${port} is in use by another program. Start with: npm start -- --port ${port + 1}\n`,
    );
    assert.deepEqual([code, stdout], [1, '']);
  });

  test('names the process that has the folder', async (t) => {
    const first = await startCommand(t, ['serve', '--port', '0']);
    await first.untilPrinted(listening);
    const { code, stderr } = await runCommand(t, ['serve', '--port', '0'], { folder: first.folder });
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^berth: the data folder ${first.folder}/data is in use by process ${first.child.pid}: `),
    );
  });

  test('says whose folder it is not', async (t) => {
    const folder = await makeTestFolder(t);
    await mkdir(join(folder, 'closed'), { mode: 0o500 });
    const isRoot = process.getuid?.() === 0;
    if (isRoot) await chmod(folder, 0o755);
    const uid = isRoot ? 65_534 : undefined;
    const options = uid === undefined ? { folder } : { folder, uid };
    const { code, stderr } = await runCommand(t, ['serve', '--port', '0', '--data', 'closed/store'], options);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `berth: the data folder ${folder}/closed/store cannot be used: user ${uid ?? process.getuid?.()} may not write there. Give the folder to this user (chown), or choose another with --data\n`,
    );
    await writeFile(join(folder, 'file'), '');
    const onFile = await runCommand(t, ['serve', '--port', '0', '--data', 'file'], { folder });
    assert.equal(onFile.code, 1);
    assert.match(
      onFile.stderr,
      /cannot be used: it, or a part of its path, is a file\. Choose another with --data/,
    );
  });

  test('says that an address is not of this machine, and that TLS files are not there or no TLS files', async (t) => {
    const environment = { BERTH_ACCESS_MODE: 'open', BERTH_ACCESS_OPEN_ON_NETWORK: 'true' };
    const elsewhere = await runCommand(t, ['serve', '--port', '0', '--address', '192.0.2.7'], {
      environment,
    });
    assert.equal(elsewhere.code, 2);
    assert.match(elsewhere.stderr, /^berth: http\.address: 192\.0\.2\.7 is not an address of this machine\./);
    const folder = await makeTestFolder(t);
    await writeFile(join(folder, 'berth.yaml'), 'http: {tls: {certificate: a.crt, key: a.key}}\n');
    await writeFile(join(folder, 'a.key'), 'no key');
    const absent = await runCommand(t, ['serve', '--port', '0'], { folder });
    assert.equal(absent.code, 2);
    assert.equal(
      absent.stderr,
      `berth: http.tls.certificate ${folder}/a.crt cannot be read: there is no such file\n`,
    );
    await writeFile(join(folder, 'a.crt'), 'no certificate');
    const unusable = await runCommand(t, ['serve', '--port', '0'], { folder });
    assert.equal(unusable.code, 2);
    assert.match(unusable.stderr, /^berth: the TLS files are not a certificate and its key in PEM form/);
  });

  test('says where no folder can be made', { skip: process.platform !== 'linux' }, async (t) => {
    for (const folder of ['/proc/x', '/proc/x/deep/store']) {
      const { code, stdout, stderr } = await runCommand(t, ['serve', '--port', '0', '--data', folder]);
      assert.equal(
        stderr,
        `berth: the data folder ${folder} cannot be used: no folder can be made in /proc. Choose another with --data\n`,
      );
      assert.deepEqual([code, stdout], [1, '']);
    }
  });

  test('refuses being open to the network by accident', async (t) => {
    const open = await runCommand(t, ['serve', '--open', '--address', '0.0.0.0', '--port', '0']);
    assert.equal(open.code, 2);
    assert.match(
      open.stderr,
      /--address: access\.mode open is for this machine only, but http\.address 0\.0\.0\.0/,
    );
  });

  test('reports all faults of the configuration at once', async (t) => {
    const folder = await makeTestFolder(t);
    await writeFile(join(folder, 'mine.yaml'), 'http:\n  prot: 1\nlog:\n  level: loud\n');
    const { code, stdout, stderr } = await runCommand(t, ['serve', '--config', 'mine.yaml', '--port', 'x'], {
      folder,
    });
    assert.deepEqual([code, stdout], [2, '']);
    assert.equal(
      stderr,
      [
        'berth: the configuration has 3 faults; nothing was started',
        '  mine.yaml:2: unknown setting http.prot; did you mean http.port?',
        '  mine.yaml:4: log.level: found "loud", allowed: one of trace, debug, info, warn, error',
        '  --port: http.port: found "x", allowed: a whole number from 0 to 65535',
        '',
      ].join('\n'),
    );
  });
});

/** Opens a named pipe for writing once somebody reads from it. */
async function openWhenRead(path: string): Promise<FileHandle> {
  for (;;) {
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A PATCH whose body stays open until `send`. */
async function beginUpload(
  url: string,
): Promise<{ location: string; body: Promise<Response>; send: () => void }> {
  const started = await fetch(`${url}/v2/some/name/blobs/uploads/`, { method: 'POST' });
  const location = started.headers.get('location') ?? '';
  let send = () => {};
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(Buffer.from('the first half, '));
      send = () => {
        controller.enqueue(Buffer.from('and the second'));
        controller.close();
      };
    },
  });
  const init = { method: 'PATCH', body: stream, duplex: 'half' } as RequestInit;
  const body = fetch(new URL(location, url), init);
  body.catch(() => undefined);
  // The request has to be under way before the server is told to stop.
  await new Promise((resolve) => setTimeout(resolve, 200));
  return { location, body, send: () => send() };
}

/** Why a test cannot run here, if it cannot. */
function missing(program: string): string | false {
  return spawnSync(program, ['--version']).error === undefined ? false : `${program} is not installed`;
}
