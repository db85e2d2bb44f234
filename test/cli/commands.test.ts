// The commands around the server: how wrong usage ends, and what config, status, setup and version print and write.
import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { commands } from '../../src/cli/commands/all.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { makeTestFolder, project, runCommand, startCommand } from '../support/berth-command.ts';
import { runHere } from '../support/command-line.ts';

describe('wrong usage ends with 2 and says what was probably meant', { concurrency: 3 }, () => {
  const table: readonly (readonly [args: string, message: string])[] = [
    ['serve 5001', 'berth: unknown argument "5001"; did you mean --port 5001?'],
    ['serve prot', 'berth: unknown argument "prot"; did you mean --port?'],
    ['serve something', 'berth: unknown argument "something"; berth serve --help shows what it takes'],
    ['serve --prot 5001', "berth: unknown option '--prot'\n(Did you mean --port?)"],
    ['serve --port', "berth: option '--port <port>' argument missing"],
    ['5001', 'berth: unknown command "5001"; did you mean berth serve --port 5001?'],
    ['srve', 'berth: unknown command "srve"; did you mean berth serve?'],
    ['config chekc', 'berth: unknown command "chekc"; did you mean berth config check?'],
    ['user lst', 'berth: unknown command "lst"; did you mean berth user list?'],
    ['user show', "berth: missing required argument 'name'"],
    ['user show a b', 'berth: unknown argument "b"; berth user show --help shows what it takes'],
    ['setup podman x', 'berth: unknown argument "x"; berth setup podman --help shows what it takes'],
    [
      'setup podman --registry nas/x',
      'berth: --registry: found "nas/x", allowed: HOST, HOST:PORT or a URL without a path',
    ],
  ];
  for (const [args, message] of table) {
    test(`berth ${args}`, async () => {
      const { code, stdout, stderr } = await runHere(args.split(' '));
      assert.deepEqual([code, stdout, stderr], [2, '', `${message}\n`]);
    });
  }

  test('an unknown command is answered with those that there are', async () => {
    const { code, stderr } = await runHere(['frobnicate']);
    assert.equal(code, 2);
    const listed = /^berth: unknown command "frobnicate"; the commands are (.*)\n$/
      .exec(stderr)?.[1]
      ?.split(', ');
    for (const name of ['serve', 'status', 'login', 'repo', 'gc']) assert.ok(listed?.includes(name), stderr);
    assert.ok((listed?.length ?? 0) >= commands.length, stderr);
  });

  test('npm start -- 5001', async (t) => {
    const program = ['npm', 'start', '--silent', '--', '5001'];
    const { code, stderr } = await runCommand(t, [], {
      program,
      folder: project,
      environment: { HOME: await makeTestFolder(t) },
    });
    assert.equal(code, 2);
    assert.match(stderr, /^berth: unknown argument "5001"; did you mean --port 5001\?$/m);
  });
});

describe('help', () => {
  const walk = (command: Command): string[] => [
    nameOf(command),
    ...command.commands.filter((one) => one.name() !== 'help').flatMap(walk),
  ];
  const nameOf = (command: Command): string =>
    command.parent === null ? '' : `${nameOf(command.parent)} ${command.name()}`.trim();
  const context = {
    environment: {},
    folder: '/',
    homeFolder: '/',
    userId: 1000,
    stdin: Readable.from([]),
    stdout: { write: () => true },
    stderr: { write: () => true },
    finish: () => undefined,
  };
  for (const command of walk(buildProgram(context, commands))) {
    test(`berth ${command} --help has examples and ends with 0`, async () => {
      const { code, stdout } = await runHere([...command.split(' '), '--help'].filter(Boolean));
      assert.equal(code, 0);
      assert.match(stdout, /\nExamples:\n {2}/);
    });
  }
});

describe('berth version', () => {
  test('prints one line, or JSON', async (t) => {
    const { version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as {
      version: string;
    };
    const line = await runCommand(t, ['version']);
    assert.match(line.stdout, new RegExp(`^berth ${version} \\(node [\\d.]+, \\w+/\\w+\\)\n$`));
    const json = await runCommand(t, ['version', '--json']);
    assert.equal(JSON.parse(json.stdout).version, version);
  });
});

describe('berth config', { concurrency: 3 }, () => {
  test('show tells each value and where it comes from', async (t) => {
    const folder = await makeTestFolder(t);
    await writeFile(join(folder, 'berth.yaml'), '\nlog: {level: warn}\n');
    const environment = { BERTH_HTTP_PORT: '5055' };
    const shown = await runCommand(t, ['config', 'show', '--data', '/srv/x'], { folder, environment });
    assert.equal(shown.stderr, `file: ${folder}/berth.yaml\n`);
    const rows = shown.stdout.split('\n').map((row) => row.split(/ {2,}/));
    for (const row of [
      ['SETTING', 'VALUE', 'FROM'],
      ['data', '/srv/x', '--data'],
      ['http.port', '5055', 'BERTH_HTTP_PORT'],
      ['log.level', 'warn', 'berth.yaml:2'],
      ['http.publicUrl', '-', 'default'],
      ['storage.keepFree', '5% up to 2GiB', 'default'],
    ]) {
      assert.ok(
        rows.some((one) => one.join('|') === row.join('|')),
        row.join(' '),
      );
    }
    const secret = { ...environment, BERTH_ACCESS_ADMIN_PASSWORD: 'correct horse battery' };
    const hidden = await runCommand(t, ['config', 'show'], { folder, environment: secret });
    assert.match(hidden.stdout, /^access\.adminPassword +\(set\) +BERTH_ACCESS_ADMIN_PASSWORD$/m);
    assert.doesNotMatch(hidden.stdout, /battery/);
    const json = await runCommand(t, ['config', 'show', '--json'], { folder, environment });
    const { file, items } = JSON.parse(json.stdout);
    assert.equal(file, join(folder, 'berth.yaml'));
    assert.deepEqual(items[2], {
      path: 'http.port',
      value: 5055,
      source: 'BERTH_HTTP_PORT',
      variable: 'BERTH_HTTP_PORT',
    });
  });

  test('check ends with 0 when nothing is wrong, and with 3 and every fault when something is', async (t) => {
    const fine = await runCommand(t, ['config', 'check', '--config', join(project, 'config/berth.yaml')]);
    assert.deepEqual([fine.code, fine.stdout], [0, `${project}/config/berth.yaml: nothing wrong\n`]);
    const folder = await makeTestFolder(t);
    await writeFile(join(folder, 'berth.yaml'), 'http:\n  port: x\n  colour: red\n');
    const faulty = await runCommand(t, ['config', 'check'], { folder });
    assert.equal(faulty.code, 3);
    assert.equal(
      faulty.stdout,
      'berth.yaml:3: unknown setting http.colour; known here: address, port, publicUrl, trustedProxies, relativeUrls, tls, socket\n' +
        'berth.yaml:2: http.port: found "x", allowed: a whole number from 0 to 65535\n',
    );
    const short = await runCommand(t, ['config', 'check', '--json'], {
      environment: { BERTH_ACCESS_ADMIN_PASSWORD: 'short' },
    });
    assert.equal(short.code, 3);
    assert.equal(JSON.parse(short.stdout).faults[0].where, 'BERTH_ACCESS_ADMIN_PASSWORD');
  });

  test('schema prints a JSON Schema', async (t) => {
    const { stdout } = await runCommand(t, ['config', 'schema']);
    const schema = JSON.parse(stdout);
    assert.equal(schema.properties.http.properties.port.default, 5000);
    assert.equal(schema.additionalProperties, false);
  });
});

describe('berth status', { concurrency: 3 }, () => {
  test('--health says by its exit code alone whether the server is ready', async (t) => {
    const serve = await startCommand(t, ['serve', '--port', '0']);
    const [, port = ''] = await serve.untilPrinted(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    const ready = await runCommand(t, ['status', '--health', '--port', port]);
    assert.deepEqual([ready.code, ready.stdout, ready.stderr], [0, '', '']);
    const environment = { BERTH_HTTP_PORT: port, BERTH_HTTP_ADDRESS: '0.0.0.0' };
    const everywhere = await runCommand(t, ['status', '--health'], { environment });
    assert.deepEqual([everywhere.code, everywhere.stdout, everywhere.stderr], [0, '', '']);
    // Of a server that is asked by its address and not by its data folder, what everybody may know.
    const told = await runCommand(t, ['status', '--port', port]);
    assert.match(told.stdout, new RegExp(`^address +http://127.0.0.1:${port}\nstatus +ready\n`));
    const json = await runCommand(t, ['status', '--json', '--port', port]);
    assert.equal(JSON.parse(json.stdout).status, 'ready');
    await serve.end();
    const gone = await runCommand(t, ['status', '--health', '--port', port]);
    assert.deepEqual([gone.code, gone.stdout], [7, '']);
    assert.equal(gone.stderr, `berth: no answer from http://127.0.0.1:${port}: nothing listens there\n`);
  });
});

describe('berth setup', { concurrency: 3 }, () => {
  test('podman --write puts the file where podman looks, for this registry only', async (t) => {
    const folder = await makeTestFolder(t);
    const file = join(folder, '.config/containers/registries.conf.d/berth-localhost-5055.conf');
    const first = await runCommand(t, ['setup', 'podman', '--write', '--port', '5055'], { folder });
    assert.equal(first.stdout, `wrote ${file}   (plain http is allowed for localhost:5055 only)\n`);
    const text = await readFile(file, 'utf8');
    assert.match(text, /^\[\[registry\]\]\nlocation = "localhost:5055"\ninsecure = true$/m);
    const again = await runCommand(t, ['setup', 'podman', '--write', '--port', '5055'], { folder });
    assert.equal(
      again.stdout,
      `${file} is there already   (plain http is allowed for localhost:5055 only)\n`,
    );
    const printed = await runCommand(t, ['setup', 'podman'], {
      folder,
      environment: { BERTH_REGISTRY: 'localhost:5055' },
    });
    assert.equal(printed.stdout, text);
  });

  test('a registry with HTTPS needs no file, and docker none for this machine', async (t) => {
    const secure = await runCommand(t, ['setup', 'podman', '--write', '-r', 'https://registry.example.com']);
    assert.deepEqual([secure.code, secure.stdout], [0, '']);
    assert.match(secure.stderr, /^registry\.example\.com speaks HTTPS: podman needs no file\./);
    const local = await runCommand(t, ['setup', 'docker']);
    assert.deepEqual([local.code, local.stdout], [0, '']);
    assert.match(local.stderr, /^docker takes plain HTTP from this machine/);
    const remote = await runCommand(t, ['setup', 'docker', '-r', 'nas:5000']);
    assert.deepEqual(JSON.parse(remote.stdout), { 'insecure-registries': ['nas:5000'] });
  });

  test('samples are made out to the configured port, name and image', async (t) => {
    const environment = {
      BERTH_HTTP_PUBLIC_URL: 'https://hub.example.org',
      BERTH_HTTP_PORT: '5055',
      BERTH_HTTP_TRUSTED_PROXIES: '127.0.0.1',
    };
    const nginx = (await runCommand(t, ['setup', 'nginx'], { environment })).stdout;
    assert.match(nginx, /^ {4}server 127\.0\.0\.1:5055;$/m);
    assert.match(nginx, /^ {4}server_name hub\.example\.org;$/m);
    assert.doesNotMatch(nginx, /registry\.example\.com|5000/);
    const elsewhere = { ...environment, BERTH_HTTP_PUBLIC_URL: 'https://hub.example.org:8443' };
    const onPort = (await runCommand(t, ['setup', 'nginx'], { environment: elsewhere })).stdout;
    assert.match(
      onPort,
      /^ {4}listen 8443 ssl;\n {4}listen \[::\]:8443 ssl;\n {4}server_name hub\.example\.org;$/m,
    );
    assert.match(onPort, /publicUrl: "https:\/\/hub\.example\.org:8443"/);
    const quadlet = (
      await runCommand(t, ['setup', 'quadlet', '--port', '5055', '--image', 'quay.io/me/berth:1'])
    ).stdout;
    assert.match(quadlet, /^PublishPort=127\.0\.0\.1:5055:5000$/m);
    assert.match(quadlet, /^Image=quay\.io\/me\/berth:1\nAutoUpdate=registry$|^AutoUpdate=registry$/m);
    const plain = (await runCommand(t, ['setup', 'compose'])).stdout;
    assert.equal(plain, await readFile(join(project, 'config/compose/compose.yaml'), 'utf8'));
  });

  test('--write never replaces what somebody else wrote', async (t) => {
    const folder = await makeTestFolder(t);
    const file = join(folder, 'compose.yaml');
    await writeFile(file, 'services: {}\n');
    const refused = await runCommand(t, ['setup', 'compose', '--write'], { folder });
    assert.equal(refused.code, 6);
    assert.equal(await readFile(file, 'utf8'), 'services: {}\n');
    const nginx = await runCommand(t, ['setup', 'nginx', '--write'], { folder });
    assert.equal(
      nginx.stdout,
      `wrote ${folder}/berth.conf   (its place is /etc/nginx/conf.d/; nginx -t checks it)\n`,
    );
  });
});

describe("docker's daemon.json", async () => {
  const { addInsecureRegistry } = await import('../../src/cli/setup-files.ts');

  test('gets the registry added and keeps everything else, its indentation and its link', async (t) => {
    const folder = await makeTestFolder(t);
    const file = join(folder, 'etc/docker/daemon.json');
    assert.equal(addInsecureRegistry(file, 'nas:5000'), 'wrote');
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { 'insecure-registries': ['nas:5000'] });
    await writeFile(file, '{\n    "debug": true,\n    "insecure-registries": ["old:1"]\n}\n');
    const link = join(folder, 'link.json');
    await symlink(file, link);
    assert.equal(addInsecureRegistry(link, 'nas:5000'), 'wrote');
    const text = await readFile(file, 'utf8');
    assert.deepEqual(JSON.parse(text), { debug: true, 'insecure-registries': ['old:1', 'nas:5000'] });
    assert.match(text, /^ {4}"debug"/m);
    assert.equal(addInsecureRegistry(link, 'nas:5000'), 'unchanged');
  });

  test('is left as it is when it is not what docker could read', async (t) => {
    const folder = await makeTestFolder(t);
    for (const text of ['{"debug": tru', '[]', '{"insecure-registries": "nas"}']) {
      const file = join(folder, 'daemon.json');
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
      assert.throws(() => addInsecureRegistry(file, 'nas:5000'), { name: 'CommandError', code: 6 });
      assert.equal(await readFile(file, 'utf8'), text);
    }
  });
});
