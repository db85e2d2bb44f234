// Patterns of repository names: what they match, what lies within them, and that no pattern makes matching slow.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InvalidNameError } from '../../src/auth/account-name.ts';
import {
  intersectPatterns,
  isWithin,
  matchesPattern,
  namespaceOfPattern,
  parsePattern,
} from '../../src/auth/pattern.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts';
import { anyCharacter } from '../support/characters.ts';
import { cpuMilliseconds } from '../support/cpu-time.ts';

// Few, so that they meet often.
const part = fc.constantFrom('a', 'b', 'ab', 'a-b');
const name = fc
  .array(part, { minLength: 1, maxLength: 4 })
  .map((parts) => parseRepositoryName(parts.join('/')));
const glob = fc.constantFrom('*', 'a', 'b', 'a*', '*b', '*a*', 'a*b', 'ab');
const pattern = fc.oneof(
  fc.constant('**'),
  fc
    .tuple(part, fc.array(glob, { maxLength: 3 }), fc.boolean())
    .map(([first, rest, below]) => [first, ...rest, ...(below ? ['**'] : [])].join('/')),
);

/** The same rule once more, as a regular expression. */
function asExpression(text: string): RegExp {
  if (text === '**') return /^.*$/;
  const below = text.endsWith('/**');
  const body = (below ? text.slice(0, -3) : text).replaceAll('*', '[^/]*');
  return new RegExp(`^${body}${below ? '/.+' : ''}$`);
}

function matches(text: string, repository: string): boolean {
  return matchesPattern(parsePattern(text), repository as RepositoryName);
}

describe('patterns', () => {
  test('a pattern is anchored at both ends', () => {
    assert.ok(matches('acme/web', 'acme/web'));
    for (const other of ['acme/web2', 'acme/web/app', 'evil-acme/web', 'x/acme/web', 'acme', 'acme/we'])
      assert.ok(!matches('acme/web', other), other);
    for (const other of ['evil-acme/x', 'acme', 'acme2/x', 'acme-evil/x', 'x/acme/y'])
      assert.ok(!matches('acme/**', other), other);
  });

  test('a star stays within its component', () => {
    assert.ok(matches('acme/*', 'acme/web'));
    assert.ok(!matches('acme/*', 'acme/web/app'));
    assert.ok(matches('acme/web-*', 'acme/web-shop'));
    assert.ok(matches('acme/web*', 'acme/web'));
    assert.ok(!matches('acme/web-*', 'acme/web-shop/api'));
    assert.ok(matches('acme/*/app', 'acme/web/app'));
    assert.ok(!matches('acme/*/app', 'acme/app'));
    assert.ok(!matches('acme/*/app', 'acme/a/b/app'));
  });

  test('two stars take one or more components below', () => {
    assert.ok(matches('acme/**', 'acme/web'));
    assert.ok(matches('acme/**', 'acme/web/app/x'));
    assert.ok(!matches('acme/web/**', 'acme/web'));
    assert.ok(matches('acme/w*/**', 'acme/web/app/x'));
    assert.ok(matches('**', 'alpine'));
    assert.ok(matches('**', 'a/b/c'));
  });

  test('library/** takes the names without a slash too, and nothing else does but **', () => {
    assert.ok(matches('library/**', 'alpine'));
    assert.ok(matches('library/**', 'library/alpine'));
    assert.ok(!matches('library/*', 'alpine'));
    assert.ok(!matches('library/alpine', 'alpine'));
    assert.ok(!matches('alpine', 'library/alpine'));
    assert.ok(!matches('alpine/**', 'alpine'));
  });

  test('it agrees with a regular expression on every pattern and name', () => {
    fc.assert(
      fc.property(pattern, name, (text, repository) => {
        const expected =
          asExpression(text).test(repository) || (text === 'library/**' && !repository.includes('/'));
        assert.equal(matchesPattern(text, repository), expected);
      }),
      { numRuns: 3000 },
    );
  });

  test('what is written wrong is refused with a sentence', () => {
    const wrong = [
      '',
      '*',
      'a*',
      '*/web',
      '**/web',
      'acme/**/web',
      'acme/***',
      'acme/w**',
      'acme//web',
      '/acme',
    ];
    const worse = [
      'acme/',
      'Acme/web',
      'acme/web*_',
      'acme/-*',
      'acme/..',
      'acme/%2f',
      'acme/wéb',
      'acme/web ',
    ];
    for (const text of [
      ...wrong,
      ...worse,
      'acme/a\0b',
      'a'.repeat(300),
      `acme/${'*a'.repeat(200)}`,
      'acme/web?',
    ])
      assert.throws(() => parsePattern(text), InvalidNameError, text);
    for (const text of [
      'acme',
      'acme/web',
      'acme/*',
      'acme/*-web',
      'acme/a*b*c',
      'library/**',
      'a__b/**',
      '**',
    ])
      assert.equal(parsePattern(text), text);
  });

  test('a pattern of many stars takes no noticeable time', () => {
    const text = parsePattern(`acme/${'a*'.repeat(120)}b`);
    const begun = cpuMilliseconds();
    for (let times = 0; times < 100; times++)
      assert.ok(!matchesPattern(text, `acme/${'a'.repeat(245)}` as RepositoryName));
    assert.ok(cpuMilliseconds() - begun < 500);
  });

  test('no text makes parsing fail in any other way', () => {
    const near = fc.string({
      unit: fc.constantFrom('*', '/', 'a', '-', '.', '_', 'A', '\0', 'é'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: anyCharacter })), (text) => {
        try {
          assert.equal(parsePattern(text), text);
        } catch (error) {
          assert.ok(error instanceof InvalidNameError);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('the namespace can be told from the pattern', () => {
    assert.equal(namespaceOfPattern('acme/web-*'), 'acme');
    assert.equal(namespaceOfPattern('alpine'), 'library');
    assert.equal(namespaceOfPattern('library/**'), 'library');
    assert.equal(namespaceOfPattern('**'), undefined);
  });
});

describe('patterns within patterns', () => {
  test('what lies within another matches nothing that the other does not', () => {
    fc.assert(
      fc.property(pattern, pattern, name, (outer, inner, repository) => {
        if (isWithin([outer], inner) && matchesPattern(inner, repository))
          assert.ok(matchesPattern(outer, repository), `${inner} in ${outer}: ${repository}`);
      }),
      { numRuns: 10_000 },
    );
  });

  test('each lies within itself, its namespace and the registry', () => {
    fc.assert(
      fc.property(pattern, (text) => {
        assert.ok(isWithin([text], text));
        assert.ok(isWithin(['**'], text));
        const namespace = namespaceOfPattern(text);
        if (namespace !== undefined) assert.ok(isWithin([`${namespace}/**`], text));
      }),
    );
  });

  test('the known cases', () => {
    for (const [outer, inner, expected] of [
      ['acme/**', 'acme/web', true],
      ['acme/**', 'acme/web/**', true],
      ['acme/*', 'acme/web-*', true],
      ['acme/web-*', 'acme/*', false],
      ['acme/*', 'acme/**', false],
      ['acme/**', '**', false],
      ['acme/web/**', 'acme/**', false],
      ['acme/web/**', 'acme/web', false],
      ['acme/*/**', 'acme/**', false],
      ['acme/*/**', 'acme/*', false],
      ['acme/w*/**', 'acme/web/app', true],
      ['library/**', 'alpine', true],
      ['library/**', 'library/**', true],
      ['alpine/**', 'alpine', false],
      ['acme/**', 'evil-acme/**', false],
    ] as const)
      assert.equal(isWithin([outer], inner), expected, `${inner} in ${outer}`);
    assert.ok(!isWithin([], 'acme/web'));
  });

  test('an intersection holds nothing that is not in both', () => {
    fc.assert(
      fc.property(
        fc.array(pattern, { maxLength: 3 }),
        fc.array(pattern, { maxLength: 3 }),
        name,
        (one, other, of) => {
          const inOne = one.some((text) => matchesPattern(text, of));
          const inOther = other.some((text) => matchesPattern(text, of));
          if (intersectPatterns(one, other).some((text) => matchesPattern(text, of)))
            assert.ok(inOne && inOther);
        },
      ),
      { numRuns: 3000 },
    );
    assert.deepEqual(intersectPatterns(['acme/**'], ['acme/web/**', 'other/x']), ['acme/web/**']);
  });
});
