// The order of tags that are versions: as the library compares them, whatever strangers call their tags.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compare, parse } from 'semver';
import { versionKey } from '../../src/storage/sqlite/version-key.ts';

describe('the key of a version', () => {
  test('puts tags in the order of Semantic Versioning', () => {
    const sorted = [
      ...[
        'latest',
        '1',
        'v1.2',
        '1.2.3-0',
        '1.2.3-1',
        '1.2.3-alpha',
        '1.2.3-alpha.1',
        '1.2.3-alpha.beta',
        '1.2.3-rc.2',
      ],
      ...['1.2.3-rc.11', '1.2.3', 'v1.2.4', '1.10.0', '2'],
    ];
    const shuffled = sorted.toReversed();
    shuffled.sort((one, other) => (versionKey(one) < versionKey(other) ? -1 : 1));
    assert.deepEqual(shuffled, sorted);
  });

  test('is empty for what is no version, and the same for what means the same', () => {
    for (const tag of [
      'latest',
      '1.2.3.4',
      '01.2.3',
      '20240131',
      'v',
      '1.x',
      'release-1.2.3',
      '1.2.3-',
      `v1.${'9'.repeat(30)}.0`,
    ])
      assert.equal(versionKey(tag), '', tag);
    assert.equal(versionKey('v1.2.3'), versionKey('1.2.3_build.7'));
    assert.equal(versionKey('1.2'), versionKey('1.2.0'));
  });

  test('compares as the library does', () => {
    const number = fc.oneof(fc.nat(20), fc.nat(), fc.maxSafeNat()).map(String);
    const identifier = fc.oneof(number, fc.stringMatching(/^[0-9A-Za-z-]{0,4}[A-Za-z-][0-9A-Za-z-]{0,4}$/));
    const version = fc
      .tuple(number, number, number, fc.array(identifier, { maxLength: 3 }))
      .map(
        ([major, minor, patch, rest]) =>
          `${major}.${minor}.${patch}${rest.length > 0 ? `-${rest.join('.')}` : ''}`,
      )
      .filter((text) => parse(text) !== null);
    fc.assert(
      fc.property(version, version, (one, other) => {
        const [first, second] = [versionKey(one), versionKey(other)];
        assert.equal(first < second ? -1 : first > second ? 1 : 0, compare(one, other), `${one} ${other}`);
      }),
      { numRuns: 2000 },
    );
  });

  test('takes any text', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => typeof versionKey(text) === 'string'));
  });
});
