// The kinds of value a setting can have: what each spelling means, and which spellings are refused.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { accessMode, isLoopback } from '../../src/config/access-mode.ts';
import { findClosest } from '../../src/config/closest.ts';
import {
  accountName,
  addressBlock,
  bindAddress,
  duration,
  flag,
  type Kind,
  listOf,
  loopbackOrBlock,
  oneOf,
  orUnlimited,
  path,
  publicUrl,
  rate,
  room,
  schedule,
  share,
  size,
  socketAddress,
  socketPlace,
  text,
  wholeNumber,
} from '../../src/config/kinds.ts';
import { loadConfig } from '../../src/config/load.ts';

/** Each spelling and what it means; undefined: it is refused. */
function means(kind: Kind<unknown>, table: readonly (readonly [written: unknown, meaning: unknown])[]): void {
  for (const [written, meaning] of table) {
    assert.deepEqual(
      kind.parse(written),
      meaning,
      `${JSON.stringify(written)} should be ${JSON.stringify(meaning)}`,
    );
  }
}

describe('the kinds of value', () => {
  test('a duration is a number and a unit, in seconds', () => {
    means(duration(), [
      ['30s', 30],
      ['5m', 300],
      ['24h', 86_400],
      ['14d', 1_209_600],
      ['never', undefined],
      ['0s', undefined],
      ['30', undefined],
      [30, undefined],
      ['1.5h', undefined],
      ['-5m', undefined],
      ['5 m', undefined],
      ['5M', undefined],
      ['', undefined],
    ]);
  });

  test('"never" is a duration without end only where the setting has one', () => {
    means(duration({ never: true }), [
      ['never', Number.POSITIVE_INFINITY],
      ['14d', 1_209_600],
    ]);
  });

  test('a duration for a timer ends before the timers of Node overflow', () => {
    means(duration({ longestDays: 24 }), [
      ['24d', 2_073_600],
      ['25d', undefined],
    ]);
  });

  test('a size is a number and a unit of powers of 1024, in bytes', () => {
    means(size(), [
      ['512MiB', 536_870_912],
      ['10GiB', 10_737_418_240],
      ['1.5KiB', 1536],
      ['100B', 100],
      ['1TiB', 1_099_511_627_776],
      ['0B', 0],
      ['0.3B', undefined],
      ['512MB', undefined],
      ['512', undefined],
      [512, undefined],
      ['999999999999TiB', undefined],
      ['unlimited', undefined],
    ]);
    means(size({ unlimited: true }), [['unlimited', Number.POSITIVE_INFINITY]]);
  });

  test('a schedule is five fields as in a crontab', () => {
    means(schedule, [
      ['17 * * * *', '17 * * * *'],
      [' 30 3 * * 1-5 ', '30 3 * * 1-5'],
    ]);
    for (const text of ['', '17 * * *', '61 * * * *', '@hourly', '* * * * * *', 'a b c d e'])
      assert.equal(schedule.parse(text), undefined, text);
  });

  test('a rate is a size per second', () => {
    means(rate, [
      ['1KiB/s', 1024],
      ['8MiB/s', 8_388_608],
      ['1KiB', undefined],
    ]);
  });

  test('room on a disk is a share, a size, or the smaller of both', () => {
    means(room, [
      ['5% up to 2GiB', { share: 0.05, bytes: 2_147_483_648 }],
      ['1%', { share: 0.01, bytes: Number.POSITIVE_INFINITY }],
      ['2GiB', { share: 1, bytes: 2_147_483_648 }],
      ['100%', undefined],
      ['5% up to', undefined],
    ]);
    means(share, [
      ['1%', 0.01],
      ['0.5%', 0.005],
      ['1', undefined],
      [1, undefined],
    ]);
  });

  test('a bind address is an IP address or localhost', () => {
    means(bindAddress, [
      ['127.0.0.1', '127.0.0.1'],
      ['::', '::'],
      ['localhost', 'localhost'],
      ['registry.example.com', undefined],
      ['256.1.1.1', undefined],
      ['0.0.0.0:5000', undefined],
    ]);
    means(socketAddress, [
      ['127.0.0.1:9090', { host: '127.0.0.1', port: 9090 }],
      ['[::1]:9090', { host: '::1', port: 9090 }],
      ['localhost:0', { host: 'localhost', port: 0 }],
      [':9090', undefined],
      ['::1:9090', undefined],
      ['127.0.0.1:65536', undefined],
      ['127.0.0.1', undefined],
    ]);
  });

  test('a proxy is an address or a block of them, never everybody', () => {
    means(addressBlock, [
      ['10.0.0.0/8', '10.0.0.0/8'],
      ['fd00::/8', 'fd00::/8'],
      ['127.0.0.1', '127.0.0.1'],
      ['10.0.0.0/33', undefined],
      ['0.0.0.0/0', undefined],
      ['proxy', undefined],
    ]);
  });

  test('a public URL is an origin and nothing more', () => {
    means(publicUrl, [
      ['https://registry.example.com', 'https://registry.example.com'],
      ['https://registry.example.com/', 'https://registry.example.com'],
      ['HTTPS://Registry.Example.com:443', 'https://registry.example.com'],
      ['http://localhost:5000', 'http://localhost:5000'],
      ['https://registry.example.com/v2', undefined],
      ['https://user@registry.example.com', undefined],
      ['registry.example.com', undefined],
      ['ftp://registry.example.com', undefined],
      ['https://registry.example.com:99999', undefined],
    ]);
  });

  test('a text has one line', () => {
    means(text, [
      ['correct horse', 'correct horse'],
      ['two\nlines', undefined],
      ['', undefined],
      [5, undefined],
    ]);
  });

  test('a name that somebody could register is one component of a repository name', () => {
    means(accountName, [
      ['acme', 'acme'],
      ['a.b_c__d--e', 'a.b_c__d--e'],
      ['Acme', undefined],
      ['acme/web', undefined],
      ['-acme', undefined],
    ]);
  });

  test('the socket is found by itself, switched off, or at an absolute path', () => {
    means(socketPlace, [
      ['auto', 'auto'],
      ['off', 'off'],
      ['/run/berth.sock', '/run/berth.sock'],
      ['berth.sock', undefined],
      [false, undefined],
    ]);
  });

  test('a limit may be unlimited where the setting has that, and an address all of loopback', () => {
    means(orUnlimited(wholeNumber(1, 10)), [
      ['unlimited', Number.POSITIVE_INFINITY],
      [10, 10],
      [11, undefined],
      ['10', undefined],
    ]);
    assert.equal(orUnlimited(wholeNumber(1, 10)).fromText('10'), 10);
    assert.equal(orUnlimited(wholeNumber(1, 10)).fromText('unlimited'), 'unlimited');
    means(loopbackOrBlock, [
      ['loopback', 'loopback'],
      ['10.0.0.0/8', '10.0.0.0/8'],
      ['localhost', undefined],
    ]);
  });

  test('the environment gives the same values as the file', () => {
    assert.equal(flag.fromText('true'), true);
    assert.equal(flag.parse(flag.fromText('yes')), undefined);
    assert.equal(wholeNumber(0, 65_535).parse(wholeNumber(0, 65_535).fromText('5001')), 5001);
    assert.equal(wholeNumber(0, 65_535).parse(wholeNumber(0, 65_535).fromText('5001x')), undefined);
    const proxies = listOf(addressBlock);
    assert.deepEqual(proxies.parse(proxies.fromText('127.0.0.1, 10.0.0.0/8')), ['127.0.0.1', '10.0.0.0/8']);
    assert.equal(oneOf('1.2', '1.3').parse(1.2), '1.2');
  });

  test('no text and no YAML value makes a kind throw', () => {
    const kinds = [
      duration(),
      size(),
      rate,
      room,
      share,
      bindAddress,
      socketAddress,
      addressBlock,
      publicUrl,
      flag,
      path,
      wholeNumber(0, 65_535),
      oneOf('1.2', '1.3'),
      listOf(addressBlock),
      text,
      accountName,
      socketPlace,
      loopbackOrBlock,
      orUnlimited(wholeNumber(1, 10)),
    ];
    fc.assert(
      fc.property(fc.anything(), (written) => {
        for (const kind of kinds) kind.parse(written);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const kind of kinds) kind.parse(kind.fromText(text));
      }),
    );
  });
});

describe('this machine', () => {
  test('loopback is 127.0.0.0/8, ::1 in every spelling, and localhost', () => {
    for (const host of [
      '127.0.0.1',
      '127.1.2.3',
      '::1',
      '[::1]',
      '0:0:0:0:0:0:0:1',
      'localhost',
      'LOCALHOST',
    ]) {
      assert.ok(isLoopback(host), host);
    }
    for (const host of [
      '0.0.0.0',
      '::',
      '10.0.0.1',
      '::2',
      'fd00::1',
      '1::1',
      '127.0.0.1.example.com',
      'localhost.example',
    ]) {
      assert.ok(!isLoopback(host), host);
    }
  });

  test('auto is open on loopback, and token as soon as other machines are spoken of', () => {
    const mode = (environment: Record<string, string>) =>
      accessMode(loadConfig({ folder: '/nowhere', environment }).config);
    assert.equal(mode({}), 'open');
    assert.equal(mode({ BERTH_HTTP_ADDRESS: '::1' }), 'open');
    assert.equal(mode({ BERTH_HTTP_ADDRESS: '0.0.0.0' }), 'token');
    assert.equal(mode({ BERTH_HTTP_PUBLIC_URL: 'https://registry.example.com' }), 'token');
    assert.equal(mode({ BERTH_HTTP_TRUSTED_PROXIES: '127.0.0.1' }), 'token');
    assert.equal(mode({ BERTH_ACCESS_MODE: 'token' }), 'token');
    const { config } = loadConfig({ folder: '/nowhere', environment: {} });
    assert.equal(accessMode(config, 1), 'token', 'somebody may sign in');
    const open = loadConfig({ folder: '/nowhere', environment: { BERTH_ACCESS_MODE: 'open' } });
    assert.equal(accessMode(open.config, 1), 'open');
  });
});

describe('did you mean', () => {
  test('the nearest known word is found, and none when none is near', () => {
    const words = ['port', 'address', 'publicUrl', 'trustedProxies'];
    assert.equal(findClosest('prot', words), 'port');
    assert.equal(findClosest('adress', words), 'address');
    assert.equal(findClosest('publicURL', words), 'publicUrl');
    assert.equal(findClosest('trusted_proxies', words), 'trustedProxies');
    assert.equal(findClosest('colour', words), undefined);
  });
});
