// What commands print and understand, without a registry: tables, times, formats of credentials, explanations.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { path } from '../../src/cli/client/api.ts';
import { problemError } from '../../src/cli/client/problem.ts';
import { addressText, parseRegistryAddress, splitReference } from '../../src/cli/client/registry-address.ts';
import { patternsOfRobot } from '../../src/cli/client/robot-names.ts';
import { parseChallenge } from '../../src/cli/client/sign-in.ts';
import { type Explanation, explanationLines } from '../../src/cli/commands/explain.ts';
import type { CommandContext } from '../../src/cli/context.ts';
import { confirm, readSecretFromInput } from '../../src/cli/output/ask.ts';
import {
  dockerConfigText,
  environmentText,
  kubernetesText,
  netrcText,
} from '../../src/cli/output/credential-formats.ts';
import { parseSince, parseUntil } from '../../src/cli/output/moments.ts';
import { type ListForm, type OutputOptions, printList, tableText } from '../../src/cli/output/print.ts';
import { countText, distanceText, escapeControls, listText } from '../../src/cli/output/text.ts';

function makeContext(options: { isTTY?: boolean; input?: string } = {}) {
  const printed = { stdout: '', stderr: '' };
  const context: CommandContext = {
    environment: {},
    folder: '/',
    homeFolder: '/',
    userId: 1000,
    stdin: Readable.from(options.input === undefined ? [] : [Buffer.from(options.input)]),
    stdout: { write: (text) => (printed.stdout += text), isTTY: options.isTTY === true },
    stderr: { write: (text) => (printed.stderr += text) },
    finish: () => undefined,
  };
  return { context, printed };
}

interface Thing {
  readonly name: string;
  readonly digest: string;
}

describe('a list', () => {
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
  const items: readonly Thing[] = [
    { name: 'a', digest },
    { name: 'longer', digest: '' },
  ];
  const form: ListForm<Thing> = {
    columns: [
      { head: 'NAME', text: ({ name }) => name },
      { head: 'DIGEST', text: ({ digest }) => digest },
    ],
    key: ({ name }) => name,
    none: 'no things',
  };
  const print = (options: OutputOptions, isTTY = false, shown = items) => {
    const { context, printed } = makeContext({ isTTY });
    printList(shown, form, options, context);
    return printed;
  };

  test('is a table, with digests short on a terminal only', () => {
    assert.equal(print({}).stdout, `NAME    DIGEST\na       ${digest}\nlonger\n`);
    assert.equal(print({}, true).stdout, 'NAME    DIGEST\na       sha256:0123456789ab\nlonger\n');
    assert.equal(print({ trunc: false }, true).stdout, `NAME    DIGEST\na       ${digest}\nlonger\n`);
  });

  test('is one document as JSON, and keys alone with --quiet', () => {
    assert.deepEqual(JSON.parse(print({ json: true }).stdout), { items });
    assert.equal(print({ quiet: true }).stdout, 'a\nlonger\n');
  });

  test('that is empty says so on stderr', () => {
    assert.deepEqual(print({}, false, []), { stdout: '', stderr: 'no things\n' });
    assert.deepEqual(print({ quiet: true }, false, []), { stdout: '', stderr: '' });
    assert.deepEqual(JSON.parse(print({ json: true }, false, []).stdout), { items: [] });
  });

  test('shows control characters instead of obeying them, and counts letters as they are seen', () => {
    const rows = [
      ['\u001b[31mred', 'x'],
      ['e\u0301\u202e', 'y'],
    ];
    assert.equal(
      tableText(['A', 'B'], rows),
      'A              B\n\\u001b[31mred  x\ne\u0301\\u202e        y\n',
    );
  });
});

describe('texts', () => {
  test('tell how far a time is away', () => {
    const now = Date.parse('2026-12-01T12:00:00.000Z');
    const table = [
      ['2026-12-01T11:59:54.000Z', '6 seconds ago'],
      ['2026-12-01T09:00:00.000Z', '3 hours ago'],
      ['2026-11-30T11:00:00.000Z', '1 day ago'],
      ['2027-02-28T12:00:00.000Z', 'in 89 days'],
      ['2027-05-01T12:00:00.000Z', 'in 5 months'],
      ['2026-12-15T12:00:00.000Z', 'in 14 days'],
      ['2026-12-01T12:00:00.400Z', 'in 0 seconds'],
      ['2024-11-01T12:00:00.000Z', '2 years ago'],
    ] as const;
    for (const [time, text] of table) assert.equal(distanceText(time, 'never', now), text);
    assert.equal(distanceText('1970-01-01T00:00:00.000Z'), 'from the start');
    assert.equal(distanceText(null), 'never');
    assert.equal(distanceText(undefined, ''), '');
  });

  test('count and list', () => {
    assert.equal(countText(1, 'repository'), '1 repository');
    assert.equal(countText(2114, 'repository'), '2,114 repositories');
    assert.equal(countText(12, 'push'), '12 pushes');
    assert.equal(countText(0, 'token'), '0 tokens');
    assert.equal(countText(2, 'day'), '2 days');
    assert.equal(listText(['a']), 'a');
    assert.equal(listText(['a', 'b', 'c']), 'a, b and c');
    assert.equal(escapeControls('a\nb\u009b1m'), 'a\\u000ab\\u009b1m');
  });
});

describe('times on the command line', () => {
  const now = Date.parse('2026-12-01T12:00:00.000Z');
  test('are durations, days in UTC or moments', () => {
    assert.equal(parseUntil('90d', '--until', now), '2027-03-01T12:00:00.000Z');
    assert.equal(parseUntil('2027-03-31', '--until', now), '2027-03-31T23:59:59.000Z');
    assert.equal(parseUntil('2027-03-31T10:00:00+02:00', '--until', now), '2027-03-31T08:00:00.000Z');
    assert.equal(parseSince('24h', '--since', now), '2026-11-30T12:00:00.000Z');
    assert.equal(parseSince('2026-11-01', '--since', now), '2026-11-01T00:00:00.000Z');
  });

  test('that are none, or past, are wrong usage', () => {
    for (const text of ['2027-02-30', '90', 'tomorrow', '2027-3-1', '', '99999999999d', '2026-11-30', '0d']) {
      assert.throws(() => parseUntil(text, '--until', now), { code: 2 }, text);
    }
  });
});

describe('a token in the form of', () => {
  const facts = {
    host: 'registry.example.com:5000',
    address: 'registry.example.com:5000',
    user: 'acme+k8s',
    secret: 'berth_robot_x',
  };
  const auth = Buffer.from('acme+k8s:berth_robot_x').toString('base64');

  test('a docker configuration', () => {
    assert.deepEqual(JSON.parse(dockerConfigText(facts)), {
      auths: { 'registry.example.com:5000': { username: 'acme+k8s', password: 'berth_robot_x', auth } },
    });
  });

  test('a Kubernetes pull secret', () => {
    const secret = parseYaml(kubernetesText(facts, 'berth', 'prod'));
    const { data, ...rest } = secret;
    assert.deepEqual(rest, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'berth', namespace: 'prod' },
      type: 'kubernetes.io/dockerconfigjson',
    });
    const content = Buffer.from(data['.dockerconfigjson'], 'base64').toString('utf8');
    assert.equal(JSON.parse(content).auths['registry.example.com:5000'].auth, auth);
    assert.equal(parseYaml(kubernetesText(facts, '123', undefined)).metadata.name, '123');
    for (const name of ['Berth', 'a b', '', '-a', 'a"', 'a'.repeat(254)]) {
      assert.throws(() => kubernetesText(facts, name, undefined), { code: 2 });
    }
  });

  test('variables and netrc', () => {
    assert.equal(
      environmentText(facts),
      'BERTH_REGISTRY=registry.example.com:5000\nBERTH_USER=acme+k8s\nBERTH_TOKEN=berth_robot_x\n',
    );
    assert.equal(netrcText(facts), 'machine registry.example.com\nlogin acme+k8s\npassword berth_robot_x\n');
  });
});

describe('names on the command line', () => {
  test('of registries are HTTPS unless they are this machine or say otherwise', () => {
    const origin = (text: string) => parseRegistryAddress(text, '-r').origin;
    assert.equal(origin('registry.example.com'), 'https://registry.example.com');
    assert.equal(origin('localhost:5000'), 'http://localhost:5000');
    assert.equal(origin('127.0.0.1:5000'), 'http://127.0.0.1:5000');
    assert.equal(origin('[::1]:5000'), 'http://[::1]:5000');
    assert.equal(origin('http://nas:5000/'), 'http://nas:5000');
    assert.equal(origin('https://localhost:5000'), 'https://localhost:5000');
    for (const text of ['', 'nas/x', 'ftp://nas', 'a b']) assert.throws(() => origin(text), { code: 2 });
  });

  test('of registries have a scheme where it would not be understood', () => {
    assert.equal(addressText('https://registry.example.com'), 'registry.example.com');
    assert.equal(addressText('http://localhost:5000'), 'localhost:5000');
    assert.equal(addressText('https://localhost:5000'), 'https://localhost:5000');
    assert.equal(addressText('http://nas:5000'), 'http://nas:5000');
  });

  test('of repositories may have the registry in front', () => {
    assert.deepEqual(splitReference('registry.example.com/acme/**'), {
      host: 'registry.example.com',
      name: 'acme/**',
    });
    assert.deepEqual(splitReference('localhost/acme'), { host: 'localhost', name: 'acme' });
    assert.deepEqual(splitReference('nas:5000/alpine'), { host: 'nas:5000', name: 'alpine' });
    for (const name of ['acme/web', 'alpine', 'my.name', '**']) {
      assert.deepEqual(splitReference(name), { host: undefined, name });
    }
  });

  test('of a robot say where its patterns begin', () => {
    const { context, printed } = makeContext();
    assert.deepEqual(patternsOfRobot('acme', ['web/**', '**'], context), ['acme/web/**', 'acme/**']);
    assert.deepEqual(patternsOfRobot('system', ['acme/**', '**'], context), ['acme/**', '**']);
    assert.equal(printed.stderr, '');
    patternsOfRobot('acme', ['acme/web'], context);
    assert.equal(printed.stderr, 'note: patterns of acme+… begin within acme/, so this is acme/acme/web\n');
    assert.throws(() => patternsOfRobot('acme', ['we**b'], context), { name: 'InvalidNameError' });
  });

  test('become one segment of a path each', () => {
    assert.equal(path`users/${'a/../b'}/tokens/${7}`, 'users/a%2F..%2Fb/tokens/7');
    assert.equal(path`robots/${'acme+ci'}`, 'robots/acme+ci');
  });
});

describe('a refusal of the API', () => {
  const problem = (code: string, more: object = {}) =>
    problemError(
      400,
      'application/problem+json; charset=utf-8',
      JSON.stringify({ title: 'T', detail: 'do this', code, requestId: 'r-1', ...more }),
      'https://registry.example.com',
    );

  test('ends with the exit code of its code and says detail and request', () => {
    const table = {
      unauthenticated: 4,
      denied: 4,
      'not-found': 5,
      exists: 6,
      conflict: 6,
      immutable: 6,
      'quota-exceeded': 6,
      'read-only': 6,
      'precondition-failed': 6,
      'precondition-required': 6,
      invalid: 1,
      'too-many-requests': 1,
      unavailable: 1,
      internal: 1,
    };
    for (const [code, exit] of Object.entries(table)) assert.equal(problem(code).code, exit, code);
    assert.equal(problem('denied').message, 'do this (request r-1)');
  });

  test('tells the faults of single members', () => {
    const errors = [
      { pointer: '/name', detail: 'too short' },
      { pointer: '/role', detail: 'unknown' },
    ];
    assert.equal(
      problem('invalid', { errors }).message,
      'do this (request r-1)\n  /name: too short\n  /role: unknown',
    );
    const alone = [{ pointer: '/name', detail: 'do this' }];
    assert.equal(problem('invalid', { errors: alone }).message, 'do this (request r-1)');
  });

  test('that is not of Berth is said to be so', () => {
    const error = problemError(502, 'text/html', '<h1>Bad Gateway', 'https://registry.example.com');
    assert.equal(error.code, 1);
    assert.match(error.message, /answered 502 and not in the way of Berth's management API/);
  });
});

test('a challenge is read with its realm and service', () => {
  const header = 'Bearer realm="https://r.example.com/token",service="r.example.com",error="invalid_token"';
  assert.deepEqual(parseChallenge(header), {
    scheme: 'Bearer',
    realm: 'https://r.example.com/token',
    service: 'r.example.com',
  });
  assert.deepEqual(parseChallenge('Basic'), { scheme: 'Basic', realm: undefined, service: undefined });
});

describe('an explanation', () => {
  const base: Explanation = { role: null, actions: [], because: [], limitedBy: [], missing: [] };
  const team = { subject: 'team:acme/dev', object: 'acme/**', role: 'write', expiresAt: null } as const;

  test('says what is allowed, because of what, and the nearest way to the rest', () => {
    const found: Explanation = {
      ...base,
      role: 'read',
      actions: ['pull'],
      because: [{ kind: 'visibility', role: 'read', visibility: 'internal' }],
      missing: [
        { action: 'push', needed: 'write', nearest: team },
        { action: 'delete', needed: 'maintain', nearest: null },
      ],
    };
    assert.deepEqual(explanationLines('dave', 'acme/web', found), [
      'dave may: pull, list        because acme/web is internal',
      'dave may not: push          nearest: grant team:acme/dev write acme/**  (dave is not in that team)',
      'dave may not: delete        to allow it: berth access grant dave maintain acme/web',
    ]);
  });

  test('names every reason, until when, and the bounds of the token', () => {
    const grant = { ...team, expiresAt: '2027-03-31T23:59:59.000Z' };
    const found: Explanation = {
      ...base,
      role: 'admin',
      actions: ['pull', 'push', 'delete'],
      because: [
        { kind: 'owner', role: 'admin', namespace: 'acme' },
        { kind: 'grant', role: 'write', grant },
      ],
      limitedBy: [{ role: 'read', repositories: ['acme/web'] }],
    };
    assert.deepEqual(explanationLines('dave', 'acme/web', found), [
      'dave may: pull, list, push, delete  because dave owns acme',
      '                                    and because of grant team:acme/dev write acme/** until 2027-03-31 23:59 UTC',
      '                                    within the bounds of the token in use: read on acme/web',
    ]);
  });

  test("calls a namespace of one's own that", () => {
    const found: Explanation = {
      ...base,
      role: 'admin',
      actions: ['pull'],
      because: [{ kind: 'owner', role: 'admin', namespace: 'sam' }],
    };
    assert.deepEqual(explanationLines('sam', 'sam/web', found), [
      'sam may: pull, list         because sam/ is the own namespace of sam',
    ]);
  });

  test('advises no grant that would be refused', () => {
    const found: Explanation = {
      ...base,
      missing: [
        { action: 'pull', needed: 'read', nearest: null },
        { action: 'push', needed: 'write', nearest: null },
      ],
    };
    assert.deepEqual(explanationLines('anonymous', 'acme/web', found), [
      'anonymous may not: pull, list  to allow it: berth access grant anonymous read acme/web',
      'anonymous may not: push        that takes signing in: anonymous is never given more than read',
    ]);
  });
});

describe('questions', () => {
  test('are not asked without a terminal: wrong usage without --yes', async () => {
    const { context } = makeContext();
    await assert.rejects(confirm('Remove it?', {}, context), {
      code: 2,
      message: 'Remove it? There is no terminal to answer on: say --yes',
    });
    await confirm('Remove it?', { yes: true }, context);
  });

  test('a secret by stdin loses its line end alone', async () => {
    assert.equal(await readSecretFromInput(makeContext({ input: ' pass word \r\n' }).context), ' pass word ');
    await assert.rejects(readSecretFromInput(makeContext().context), { code: 2 });
    await assert.rejects(readSecretFromInput(makeContext({ input: 'x'.repeat(5000) }).context), { code: 2 });
  });
});
