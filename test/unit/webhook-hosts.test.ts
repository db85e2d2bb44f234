// Where webhooks may go: what an address is, what a list of allowed hosts lets through, and which URLs are refused at once.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { webhookHost } from '../../src/config/kinds.ts';
import { hostRules, kindOfAddress } from '../../src/webhooks/allowed-hosts.ts';
import { parseHookUrl, RefusedUrlError } from '../../src/webhooks/hook-url.ts';

const usual = hostRules(['external']);

describe('an address is', () => {
  const table = {
    external: ['1.1.1.1', '8.8.8.8', '172.32.0.1', '192.169.0.1', '2606:4700::1111', '2a00:1450::5'],
    loopback: ['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1', '0:0:0:0:0:ffff:7f00:1'],
    private: [
      '10.0.0.1',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      'fd00::1',
      'fc00::1',
      '::ffff:10.1.2.3',
    ],
    special: [
      ...['0.0.0.0', '0.1.2.3', '::', '169.254.169.254', '169.254.0.1', '::ffff:169.254.169.254'],
      ...[
        'fe80::1',
        'fe80::1%eth0',
        'fec0::1',
        '100.64.0.1',
        '100.100.100.200',
        '168.63.129.16',
        '192.0.0.192',
      ],
      ...['224.0.0.1', '239.1.1.1', 'ff02::1', '240.0.0.1', '255.255.255.255', '198.18.0.1', '203.0.113.5'],
      ...[
        '64:ff9b::a9fe:a9fe',
        '64:ff9b:1::1',
        '2002:7f00:1::',
        '2001::1',
        '2001:db8::1',
        '::7f00:1',
        '::10.0.0.1',
      ],
      ...['fd00:ec2::254', '100::1', 'no address', '', '1.2.3', '::ffff:0:127.0.0.1'],
    ],
  } as const;
  for (const [kind, addresses] of Object.entries(table)) {
    for (const address of addresses) {
      test(`${kind}: ${address}`, () => assert.equal(kindOfAddress(address), kind));
    }
  }

  test('the same in every spelling of it, also where IPv6 carries IPv4', () => {
    const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
    fc.assert(
      fc.property(octets, ([a, b, c, d]) => {
        const plain = `${a}.${b}.${c}.${d}`;
        const hex = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
        for (const mapped of [`::ffff:${plain}`, `::ffff:${hex}`, `0:0:0:0:0:FFFF:${hex}`])
          assert.equal(kindOfAddress(mapped), kindOfAddress(plain), mapped);
      }),
      { numRuns: 2000 },
    );
  });

  test('never external where it is not routed on the internet', () => {
    const group = fc.nat(0xffff).map((value) => value.toString(16));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const address = groups.join(':');
        const first = Number.parseInt(groups[0] ?? '', 16);
        if (first < 0x2000 || first > 0x3fff) assert.notEqual(kindOfAddress(address), 'external', address);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.constantFrom(10, 127, 0, 224, 239, 240, 255), fc.nat(255), fc.nat(255), (a, b, c) => {
        assert.equal(usual.allows('hooks.example.com', `${a}.${b}.${c}.9`), false);
      }),
    );
  });
});

describe('a list of allowed hosts', () => {
  test('lets through what its words say, and nothing special', () => {
    const addresses = {
      external: '1.1.1.1',
      private: '10.0.0.1',
      loopback: '127.0.0.1',
      special: '169.254.169.254',
    };
    for (const word of ['external', 'private', 'loopback']) {
      const rules = hostRules([word]);
      for (const [kind, address] of Object.entries(addresses))
        assert.equal(rules.allows('h.example.com', address), kind === word, `${word}: ${address}`);
    }
    assert.equal(hostRules([]).allows('h.example.com', '1.1.1.1'), false);
  });

  test('lets through addresses and blocks, special ones too', () => {
    const rules = hostRules(['100.64.0.0/10', '169.254.1.1', 'fd12::/16']);
    assert.ok(rules.allows('x', '100.127.1.1'));
    assert.ok(rules.allows('x', '::ffff:100.127.1.1'));
    assert.ok(rules.allows('x', '169.254.1.1'));
    assert.ok(rules.allows('x', 'fd12::7'));
    for (const other of ['169.254.169.254', '100.128.0.1', '1.1.1.1', 'fd13::1'])
      assert.equal(rules.allows('x', other), false, other);
  });

  test('lets a named host lead to private addresses and not to special ones', () => {
    const rules = hostRules(['ci.example.com', '*.hooks.example.com']);
    for (const host of ['ci.example.com', 'CI.example.com.', 'a.hooks.example.com', 'a.b.hooks.example.com'])
      assert.ok(rules.allows(host, '10.0.0.1'), host);
    for (const host of [
      'example.com',
      'hooks.example.com',
      'evilhooks.example.com',
      'ci.example.com.evil.org',
    ])
      assert.equal(rules.allows(host, '10.0.0.1'), false, host);
    assert.equal(rules.allows('ci.example.com', '169.254.169.254'), false);
  });

  test('is written as the setting says', () => {
    for (const good of [
      'external',
      'private',
      'loopback',
      '10.0.0.0/8',
      '10.1.2.3',
      'fd00::/8',
      'ci',
      '*.example.com',
    ])
      assert.equal(webhookHost.parse(good), good);
    for (const bad of [
      '',
      '*',
      '*.',
      'a b',
      'http://x',
      '10.0.0.0/99',
      '10.0.0.0/0',
      'a..b',
      '*.*.com',
      '1.2.3',
      7,
    ])
      assert.equal(webhookHost.parse(bad), undefined, String(bad));
  });
});

describe('the URL of a webhook', () => {
  const refusal = (text: string, rules = usual): string => {
    try {
      parseHookUrl(text, rules);
      return 'taken';
    } catch (error) {
      assert.ok(error instanceof RefusedUrlError);
      return error.message;
    }
  };

  test('is http or https, without a password', () => {
    for (const good of [
      'https://example.com/x?token=1',
      'http://example.com:8080',
      'HTTPS://EXAMPLE.com/',
      'https://1.1.1.1/',
    ])
      assert.equal(refusal(good), 'taken');
    for (const bad of [
      'ftp://example.com',
      'file:///etc/passwd',
      '//example.com',
      'example.com',
      'https://',
      'gopher://x',
      '',
    ])
      assert.match(refusal(bad), /https:\/\/ or http:\/\//, bad);
    assert.match(refusal('https://a:b@example.com/'), /no name and password/);
    assert.match(refusal('https://a@example.com/'), /no name and password/);
    assert.match(refusal('https://example.com/#x'), /leave it out/);
    assert.match(refusal(`https://example.com/${'x'.repeat(2050)}`), /at most 2048/);
  });

  test('with an address in any spelling is refused where that is not allowed, and the setting is named', () => {
    const hidden = [
      ...[
        'http://127.0.0.1/',
        'http://localhost:5000/',
        'http://a.localhost/',
        'http://2130706433/',
        'http://0x7f.1/',
      ],
      ...[
        'http://[::1]/',
        'http://[::ffff:127.0.0.1]/',
        'http://169.254.169.254/latest',
        'http://0/',
        'http://10.0.0.1',
      ],
      ...['http://[fd00::1]/', 'http://017700000001/', 'http://127.1/', 'http://[64:ff9b::7f00:1]/'],
    ];
    for (const url of hidden) assert.match(refusal(url), /webhooks\.allowedHosts/, url);
    assert.equal(refusal('http://localhost:1/', hostRules(['loopback'])), 'taken');
    assert.equal(refusal('http://127.0.0.1:1/', hostRules(['loopback'])), 'taken');
  });
});
