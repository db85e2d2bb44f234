// Globs of tags: what they match, what is no glob, and that none takes long.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileTagGlob, InvalidGlobError } from '../../src/oci/tag-glob.ts';

const cases: readonly (readonly [glob: string, fits: readonly string[], others: readonly string[]])[] = [
  ['*', ['v1', 'latest', '_'], []],
  ['v*', ['v', 'v1', 'v1.0'], ['1.0', 'V1', 'latest', 'dev']],
  ['v1.0', ['v1.0'], ['v1x0', 'v1.00']],
  ['v?', ['v1'], ['v', 'v12']],
  ['*-prod', ['a-prod', '-prod'], ['a-prod-1']],
  ['v*.*', ['v1.0', 'v.'], ['v1']],
  ['v[0-9]*', ['v1', 'v9x'], ['v', 'vx']],
  ['[!v]*', ['1', 'latest'], ['v1']],
  ['[^v]*', ['1'], ['v1']],
  ['[]a]x', ['ax'], ['bx']],
  ['[a-]x', ['ax', '-x'], ['bx']],
  ['{v*,release-?}', ['v1', 'release-1'], ['release-12', 'main']],
  ['a{b,c{d,e}}f', ['abf', 'acdf', 'acef'], ['acf', 'abcf']],
  ['{,x}y', ['y', 'xy'], ['xxy']],
];

describe('globs of tags', () => {
  for (const [glob, fits, others] of cases) {
    it(`${glob} matches ${fits.join(', ')} and not ${others.join(', ') || 'nothing else'}`, () => {
      const { matches } = compileTagGlob(glob);
      for (const tag of fits) assert.ok(matches(tag), tag);
      for (const tag of others) assert.ok(!matches(tag), tag);
    });
  }

  it('what is no glob is refused with a sentence', () => {
    for (const glob of ['', 'v{1', 'v1}', 'v[1', 'v 1', 'v1/2', 'ü*', '[z-a]', 'a'.repeat(301)]) {
      assert.throws(() => compileTagGlob(glob), InvalidGlobError, glob);
    }
    const many = '{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}';
    assert.throws(() => compileTagGlob(many), /more than 64/);
    assert.throws(() => compileTagGlob('{a,b}'.repeat(50)), /more than 64/);
  });

  it('every tag that fits begins with the prefix', () => {
    assert.equal(compileTagGlob('v1.*').prefix, 'v1.');
    assert.equal(compileTagGlob('{v1*,v2}').prefix, 'v');
    assert.equal(compileTagGlob('{a,b}*').prefix, '');
    const part = fc.constantFrom('*', '?', 'a', 'b', '[ab]', '{a,b*}');
    const text = fc.stringMatching(/^[ab]{1,8}$/);
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), text, (parts, tag) => {
        const { matches, prefix } = compileTagGlob(parts.join(''));
        return !matches(tag) || tag.startsWith(prefix);
      }),
    );
  });

  it('agrees with a plain regular expression', () => {
    const part = fc.constantFrom('*', '?', 'a', 'b', '.', '[ab]', '[!a]');
    const text = fc.stringMatching(/^[ab.]{0,10}$/);
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 7 }), text, (parts, tag) => {
        const source = parts
          .join('')
          .replaceAll('.', '\\.')
          .replaceAll('*', '.*')
          .replaceAll('?', '.')
          .replaceAll('[!', '[^');
        return compileTagGlob(parts.join('')).matches(tag) === new RegExp(`^${source}$`).test(tag);
      }),
      { numRuns: 2000 },
    );
  });

  it('no glob needs more steps than its length times the tag’s', () => {
    // A backtracking matcher would not come back from this.
    assert.ok(!compileTagGlob(`${'*a'.repeat(40)}b`).matches('a'.repeat(128)));
  });
});
