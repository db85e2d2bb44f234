// Reading the configuration: order of the sources, and the exact text of every fault.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { parse } from 'yaml';
import { accessMode } from '../../src/config/access-mode.ts';
import { listForeignVariables, readEnvironment, variableOf } from '../../src/config/environment.ts';
import { parseConfigText } from '../../src/config/file.ts';
import { jsonSchemaOf } from '../../src/config/json-schema.ts';
import { path } from '../../src/config/kinds.ts';
import { loadConfig } from '../../src/config/load.ts';
import { listChangesForRestart } from '../../src/config/reload.ts';
import { listSettings, optional, settings } from '../../src/config/settings.ts';
import { faultsOf, load } from '../support/configuration.ts';

const project = join(import.meta.dirname, '..', '..');
const sections = Object.keys(settings).join(', ');

describe('the sources of a configuration', () => {
  test('an empty file, and none, are a working registry', (t) => {
    const { config } = load(t, '');
    assert.deepEqual(config.http, {
      address: '127.0.0.1',
      port: 5000,
      publicUrl: undefined,
      trustedProxies: [],
      relativeUrls: true,
      tls: undefined,
      socket: 'auto',
    });
    assert.deepEqual(config.storage.keepFree, { share: 0.05, bytes: 2 ** 31 });
    assert.equal(config.repositories.undeleteFor, 14 * 86_400);
    assert.deepEqual({ ...load(t, undefined).config, data: '' }, { ...config, data: '' });
  });

  test('a flag wins over the environment, that over the file, and that over the default', (t) => {
    const yaml = 'http:\n  port: 1\n  address: 127.0.0.2\nlog:\n  level: warn\n';
    const environment = { BERTH_HTTP_PORT: '2', BERTH_LOG_LEVEL: 'debug' };
    const flags = [{ path: 'http.port', flag: '--port', text: '3' }];
    const { config, sources } = load(t, yaml, { environment, flags });
    assert.deepEqual([config.http.port, config.log.level, config.http.address], [3, 'debug', '127.0.0.2']);
    assert.deepEqual(Object.fromEntries(sources), {
      'http.port': '--port',
      'log.level': 'BERTH_LOG_LEVEL',
      'http.address': 'berth.yaml:3',
    });
  });

  test('paths start from the folder that Berth is started in', (t) => {
    const yaml = 'data: store\nhttp: {tls: {certificate: a.crt, key: /etc/b.key}}';
    const { config, file } = load(t, yaml);
    const folder = join(file ?? '', '..');
    assert.equal(config.data, join(folder, 'store'));
    assert.deepEqual(config.http.tls, {
      certificate: join(folder, 'a.crt'),
      key: '/etc/b.key',
      minimumVersion: '1.2',
    });
  });

  test('a key without a value, and an empty variable, leave the default', (t) => {
    const { config, sources } = load(t, 'http:\n  port:\n  tls:\nlog:\n', {
      environment: { BERTH_HTTP_ADDRESS: '' },
    });
    assert.deepEqual([config.http.port, config.http.address, sources.size], [5000, '127.0.0.1', 0]);
  });

  test('the configuration cannot be changed', (t) => {
    const { config } = load(t, '');
    assert.ok(
      Object.isFrozen(config) &&
        Object.isFrozen(config.storage.upload) &&
        Object.isFrozen(config.http.trustedProxies),
    );
  });

  test('BERTH_CONFIG names the file, and a flag another one', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-config-'));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'a.yaml'), 'http: {port: 1}');
    writeFileSync(join(folder, 'b.yaml'), 'http: {port: 2}');
    const environment = { BERTH_CONFIG: 'a.yaml' };
    assert.equal(loadConfig({ folder, environment }).config.http.port, 1);
    assert.equal(loadConfig({ folder, environment, file: 'b.yaml' }).config.http.port, 2);
  });

  test('every setting has a variable of its own', () => {
    assert.equal(variableOf('data'), 'BERTH_DATA');
    assert.equal(variableOf('http.publicUrl'), 'BERTH_HTTP_PUBLIC_URL');
    assert.equal(variableOf('http.tls.minimumVersion'), 'BERTH_HTTP_TLS_MINIMUM_VERSION');
    assert.equal(variableOf('limits.listWithoutN'), 'BERTH_LIMITS_LIST_WITHOUT_N');
    const variables = [...listSettings(settings).keys()].map(variableOf);
    assert.equal(new Set(variables).size, variables.length);
  });

  test('a list in the environment has commas', (t) => {
    const environment = {
      BERTH_HTTP_TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8',
      BERTH_ACCESS_MODE: 'open',
      BERTH_ACCESS_OPEN_ON_NETWORK: 'true',
    };
    assert.deepEqual(load(t, '', { environment }).config.http.trustedProxies, ['127.0.0.1', '10.0.0.0/8']);
  });
});

describe('faults of a configuration', () => {
  test('all of them are reported at once, each with its line', (t) => {
    const yaml = [
      'data: ""',
      'http:',
      '  prot: 5000',
      '  port: "5000"',
      '  trustedProxies:',
      '    - 10.0.0.0/8',
      '    - 10.0.0.0/99',
      'storage:',
      '  delete: yes',
      '  keepFree: lots',
      'limits: 5',
      'scanner: {}',
    ].join('\n');
    const environment = { BERTH_LOG_LEVEL: 'loud', BERTH_HTTP_PROT: '1' };
    const flags = [{ path: 'http.address', flag: '--address', text: 'nas' }];
    assert.deepEqual(faultsOf(t, yaml, { environment, flags }), [
      'berth.yaml:3: unknown setting http.prot; did you mean http.port?',
      'berth.yaml:11: limits: found 5, allowed: a block with connections, headerSize, headersTimeout, jsonBody, jsonBodyTimeout, idleTimeout, keepAlive, slowestTransfer, listWithoutN, pageSize, shutdown',
      `berth.yaml:12: unknown setting scanner; known here: ${sections}`,
      'BERTH_HTTP_PROT: unknown variable; did you mean BERTH_HTTP_PORT?',
      'berth.yaml:1: data: found "", allowed: a path, absolute or from the folder that Berth is started in',
      'berth.yaml:4: http.port: found "5000", allowed: a whole number from 0 to 65535',
      'berth.yaml:7: http.trustedProxies: found "10.0.0.0/99", allowed: an IP address or a block of them in CIDR form, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8',
      'berth.yaml:9: storage.delete: found "yes", allowed: true or false',
      'berth.yaml:10: storage.keepFree: found "lots", allowed: a percentage, a size or both, such as 5% up to 2GiB, 5% or 2GiB',
      'BERTH_LOG_LEVEL: log.level: found "loud", allowed: one of trace, debug, info, warn, error',
      '--address: http.address: found "nas", allowed: an IP address of this machine, such as 127.0.0.1, 0.0.0.0 or ::, or localhost',
    ]);
  });

  test('a setting in the wrong place is found in the right one', (t) => {
    assert.deepEqual(faultsOf(t, 'port: 5000\nhttp.port: 1\nhttp: {mode: open}'), [
      'berth.yaml:1: unknown setting port; did you mean http.port?',
      'berth.yaml:2: http.port: write it as blocks, not with dots: http: {port: ...}',
      'berth.yaml:3: unknown setting http.mode; did you mean access.mode?',
    ]);
  });

  test('broken YAML is reported with its line', (t) => {
    assert.deepEqual(faultsOf(t, 'http:\n\tport: 5000\n'), [
      'berth.yaml:2: a tab is used for indentation: YAML allows spaces only',
    ]);
    assert.deepEqual(faultsOf(t, 'data: x\n---\ndata: y\n'), [
      'berth.yaml:2: a second document begins (---): one file is one document',
    ]);
    const [first = ''] = faultsOf(t, 'data: x\nhttp: {port: 5000\n');
    assert.match(first, /^berth\.yaml:\d: not valid YAML: /);
    assert.deepEqual(faultsOf(t, '- a\n- b\n'), [
      `berth.yaml: the file: found a list, allowed: a block with ${sections}`,
    ]);
  });

  test('a key that stands twice is reported with both lines', (t) => {
    assert.deepEqual(faultsOf(t, 'http:\n  port: 1\n  port: 2\nhttp:\n  port: 3\n'), [
      'berth.yaml:3: http.port is set a second time; the first is in line 2',
      'berth.yaml:4: http is set a second time; the first is in line 1',
    ]);
  });

  test('a file that is named and not there is a fault', (t) => {
    assert.deepEqual(faultsOf(t, undefined, { file: 'gone.yaml' }), ['gone.yaml: there is no such file']);
    assert.deepEqual(faultsOf(t, undefined, { file: '.' }), ['.: it is a folder; name the file in it']);
  });

  test('aliases are refused, so that neither a loop nor an expansion bomb does harm', (t) => {
    assert.deepEqual(faultsOf(t, 'data: &d x\nhttp:\n  publicUrl: *d\n'), [
      'berth.yaml:3: *d: aliases are not read here; write the value out',
    ]);
    assert.equal(faultsOf(t, 'http: &h\n  tls: *h\n').length, 1);
  });

  test('no text makes the reading of a file throw', () => {
    const lines = fc.stringMatching(/^[a-z :{}[\]&*!|>\n\t#'"-]{0,80}$/);
    fc.assert(fc.property(fc.oneof(fc.string(), lines), (text) => void parseConfigText(text, 'f', settings)));
    for (const deep of ['['.repeat(20_000), '{a: '.repeat(20_000), '- '.repeat(20_000)]) {
      assert.ok(parseConfigText(deep, 'f', settings).faults.length > 0);
    }
  });
});

describe('the environment', () => {
  const withSecret = {
    data: settings.data,
    access: { adminPassword: optional(path, 'A secret.', { secret: true }) },
  };

  test("a secret is read from the file of its _FILE variable, without the line's end", (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-config-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'secret');
    writeFileSync(file, 'pass word\n');
    assert.deepEqual(readEnvironment({ BERTH_ACCESS_ADMIN_PASSWORD_FILE: file }, withSecret), {
      entries: [
        { path: 'access.adminPassword', written: 'pass word', where: 'BERTH_ACCESS_ADMIN_PASSWORD_FILE' },
      ],
      faults: [],
    });
    const both = { BERTH_ACCESS_ADMIN_PASSWORD_FILE: file, BERTH_ACCESS_ADMIN_PASSWORD: 'x' };
    assert.deepEqual(readEnvironment(both, withSecret).faults, [
      {
        where: 'BERTH_ACCESS_ADMIN_PASSWORD',
        message: 'BERTH_ACCESS_ADMIN_PASSWORD_FILE is set too: use one of the two',
      },
    ]);
    const [gone] = readEnvironment({ BERTH_ACCESS_ADMIN_PASSWORD_FILE: `${file}-gone` }, withSecret).faults;
    assert.match(gone?.message ?? '', /^the file cannot be read: /);
  });

  test('what is not known is a fault, and what others put there is not', () => {
    const faults = (environment: Record<string, string>) => readEnvironment(environment, settings).faults;
    assert.deepEqual(faults({ BERTH_PORT: '5001' }), [
      { where: 'BERTH_PORT', message: 'unknown variable; did you mean BERTH_HTTP_PORT?' },
    ]);
    assert.deepEqual(faults({ BERTH_DATA_FILE: '/x' }), [
      { where: 'BERTH_DATA_FILE', message: 'only secrets are read from a file; set BERTH_DATA itself' },
    ]);
    assert.deepEqual(faults({ BERTH_COLOUR: 'red' }), [
      { where: 'BERTH_COLOUR', message: 'unknown variable; `berth config show` lists them all' },
    ]);
    assert.deepEqual(
      faults({ BERTH_CONFIG: 'x', BERTH_REGISTRY: 'x', BERTH_TOKEN: 'x', BERTH_TOKEN_FILE: 'x' }),
      [],
    );
    // What Kubernetes sets in each pod beside a service that is called berth, and one called berth-http.
    const links = {
      BERTH_PORT: 'tcp://10.0.0.7:5000',
      BERTH_SERVICE_HOST: '10.0.0.7',
      BERTH_SERVICE_PORT: '5000',
      BERTH_SERVICE_PORT_HTTP: '5000',
      BERTH_PORT_5000_TCP: 'tcp://10.0.0.7:5000',
      BERTH_PORT_5000_TCP_ADDR: '10.0.0.7',
      BERTH_HTTP_PORT: 'tcp://10.0.0.8:80',
    };
    assert.deepEqual(readEnvironment(links, settings), { entries: [], faults: [] });
  });

  test("a variable of distribution is answered with Berth's", () => {
    const environment = {
      REGISTRY_HTTP_ADDR: ':5000',
      REGISTRY_STORAGE_DELETE_ENABLED: 'true',
      REGISTRY_PROXY_REMOTEURL: 'https://registry-1.docker.io',
      REGISTRY_OF_DEEDS: 'not ours to remark on',
    };
    assert.deepEqual(listForeignVariables(environment), [
      'REGISTRY_HTTP_ADDR is not read; Berth has BERTH_HTTP_ADDRESS and BERTH_HTTP_PORT',
      'REGISTRY_PROXY_REMOTEURL is not read, and Berth has no setting like it',
      'REGISTRY_STORAGE_DELETE_ENABLED is not read; Berth has BERTH_STORAGE_DELETE',
    ]);
  });
});

describe('the files that come with Berth', () => {
  const annotated = readFileSync(join(project, 'config/berth.yaml'), 'utf8');

  test('config/berth.yaml has every setting with its default, and no other', () => {
    const written = flatten(parse(annotated), settings);
    const defaults = Object.fromEntries(
      [...listSettings(settings)].map(([one, { fallback }]) => [one, fallback ?? null]),
    );
    assert.deepEqual(written, defaults);
  });

  test('config/berth.yaml marks exactly the settings that SIGHUP takes over', () => {
    const { entries } = parseConfigText(
      annotated.replace(/^(\s*(?:certificate|key):)/gm, '$1 x'),
      'f',
      settings,
    );
    const lines = annotated.split('\n');
    const marked = entries.filter(({ where }) =>
      lines[Number(where.split(':')[1]) - 1]?.includes('[reload]'),
    );
    const reloaded = [...listSettings(settings)].filter(([, { reload }]) => reload).map(([one]) => one);
    assert.deepEqual(marked.map((entry) => entry.path).sort(), reloaded.sort());
  });

  test('the schema accepts what Berth accepts and refuses what it refuses', () => {
    const validate = new Ajv({ allErrors: true }).compile(jsonSchemaOf(settings));
    for (const file of ['berth.yaml', 'examples/production.yaml']) {
      assert.ok(
        validate(parse(readFileSync(join(project, 'config', file), 'utf8'))),
        JSON.stringify(validate.errors),
      );
    }
    assert.ok(!validate({ http: { prot: 1 } }));
    assert.ok(!validate({ http: { port: 70_000 } }));
    assert.ok(!validate({ limits: { shutdown: '60' } }));
    for (const [written, valid] of [
      ['unlimited', true],
      [5, true],
      [null, true],
      ['many', false],
    ] as const) {
      assert.equal(validate({ auth: { throttle: { failuresPerAccount: written } } }), valid, String(written));
    }
  });

  test('the production example can be started with', (t) => {
    const yaml = readFileSync(join(project, 'config/examples/production.yaml'), 'utf8');
    const { config } = load(t, yaml);
    assert.equal(config.data, '/var/lib/berth');
    assert.equal(accessMode(config), 'token');
  });

  test('a change that waits for the next start is told from one that is taken over', (t) => {
    const { config: running } = load(t, '');
    const { config: changed } = load(
      t,
      'data: /x\nlog: {level: debug}\nhttp: {port: 1, tls: {certificate: a, key: b}}\n',
    );
    assert.deepEqual(listChangesForRestart({ ...running, data: '/y' }, changed), [
      'data',
      'http.port',
      'http.tls.minimumVersion',
    ]);
  });
});

/** Dotted paths and values of a YAML tree, down to the settings of the schema. */
function flatten(node: unknown, section: object, prefix = ''): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(node as Record<string, unknown>)) {
    const below = (section as Record<string, object>)[name];
    if (below !== undefined && !('kind' in below))
      Object.assign(flat, flatten(value, below, `${prefix}${name}.`));
    else flat[prefix + name] = value;
  }
  return flat;
}
