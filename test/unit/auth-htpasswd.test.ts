// Reading htpasswd files: what is kept, and what is said of the rest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseHtpasswd } from '../../src/auth/htpasswd.ts';

const tail = 'abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234';
const bcryptHash = `$2y$05$${tail}`;

test('bcrypt entries are kept, $2y$ under its portable name', () => {
  const { entries, skipped } = parseHtpasswd(
    `alice:${bcryptHash}\r\nbob:$2b$12$${tail}\n\n# comment\n carol:$2a$10$${tail}:more`,
  );
  assert.deepEqual(entries, [
    { line: 1, name: 'alice', hash: `$2b$05$${tail}` },
    { line: 2, name: 'bob', hash: `$2b$12$${tail}` },
    { line: 5, name: 'carol', hash: `$2a$10$${tail}` },
  ]);
  assert.deepEqual(skipped, []);
});

test('everything else is reported by line, with what it is and what to do', () => {
  const file = [
    'bob:$apr1$abcdefgh$abcdefghijklmnopqrstuv',
    'dan:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    'eve:abJnggxhB/yWI',
    'fay:hunter2',
    'gus:',
    `Hans:${bcryptHash}`,
    `admin:${bcryptHash}`,
    `me:${bcryptHash}`,
    `me:${bcryptHash}`,
    'my-password-without-a-name',
    ':x',
    'ina:$6$salt$hash',
    'jon:$2y$05$short',
    `kai:$2y$31$${tail}`,
    `acme:${bcryptHash}`,
  ].join('\n');
  const { entries, skipped } = parseHtpasswd(file, ['acme']);
  assert.deepEqual(
    entries.map(({ name }) => name),
    ['me'],
  );
  const reasons = skipped.map(({ line, reason }) => `${line} ${reason}`);
  const expected = [
    /^1 MD5 hash; only bcrypt entries can be kept\. Fix: berth user add bob$/,
    /^2 SHA-1 hash/,
    /^3 crypt hash/,
    /^4 plain text or an unknown/,
    /^5 no hash/,
    /^6 "Hans" cannot be a name/,
    /^7 the name admin is reserved/,
    /^9 me is in line 8 already/,
    /^10 no NAME:HASH/,
    /^11 no NAME:HASH/,
    /^12 SHA hash/,
    /^13 damaged bcrypt hash/,
    /^14 bcrypt of a cost over 16/,
    /^15 the name acme is reserved/,
  ];
  assert.equal(reasons.length, expected.length);
  for (const [index, pattern] of expected.entries()) assert.match(reasons[index] ?? '', pattern);
  assert.ok(!JSON.stringify(skipped).includes('hunter2'));
  assert.ok(!JSON.stringify(skipped).includes('my-password'));
});

test('no file makes it fail, and every line is accounted for once', () => {
  const lines = fc.array(
    fc.string({
      unit: fc.constantFrom('a', 'b', ':', '$2y$', '#', ' ', '\uFEFF', '\0', bcryptHash),
      maxLength: 6,
    }),
  );
  fc.assert(
    fc.property(lines, (all) => {
      const { entries, skipped } = parseHtpasswd(all.join('\n'));
      const seen = [...entries, ...skipped].map(({ line }) => line);
      assert.equal(new Set(seen).size, seen.length);
    }),
  );
});
