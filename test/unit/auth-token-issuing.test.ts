// The bounds and the life of new tokens: never beyond those of the credential that asks.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Ceiling } from '../../src/auth/access.ts';
import { InvalidNameError } from '../../src/auth/account-name.ts';
import { isWithin, matchesPattern } from '../../src/auth/pattern.ts';
import { includesRole } from '../../src/auth/roles.ts';
import { boundsOf, expiryOf } from '../../src/auth/token-issuing.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { roles } from '../../src/storage/account-store.ts';

const limited: Ceiling = { role: 'write', patterns: ['acme/web/**'] };

describe('the bounds of a new token', () => {
  test('are what was asked for, where nothing bounds who asks', () => {
    assert.deepEqual(boundsOf({ role: 'read', patterns: ['acme/**'] }, undefined), {
      role: 'read',
      patterns: ['acme/**'],
    });
    assert.deepEqual(boundsOf({ role: undefined, patterns: undefined }, undefined), {
      role: undefined,
      patterns: undefined,
    });
    assert.throws(() => boundsOf({ role: 'read', patterns: ['acme//'] }, undefined), InvalidNameError);
  });

  test('lie within those of the credential in use', () => {
    assert.deepEqual(boundsOf({ role: 'read', patterns: ['acme/web/app'] }, limited), {
      role: 'read',
      patterns: ['acme/web/app'],
    });
    for (const asked of [
      { role: 'maintain', patterns: ['acme/web/app'] },
      { role: undefined, patterns: ['acme/web/app'] },
      { role: 'read', patterns: ['acme/**'] },
      { role: 'read', patterns: ['acme/web/app', '**'] },
      { role: 'read', patterns: undefined },
    ] as const)
      assert.throws(() => boundsOf(asked, limited), InvalidNameError, JSON.stringify(asked));
  });

  test('no patterns at all are every repository, and that is beyond a credential of some', () => {
    assert.deepEqual(boundsOf({ role: 'read', patterns: [] }, undefined), {
      role: 'read',
      patterns: undefined,
    });
    assert.throws(() => boundsOf({ role: 'read', patterns: [] }, limited), InvalidNameError);
  });

  test('never let more through, whatever is asked for', () => {
    const pattern = fc.constantFrom('**', 'acme/**', 'acme/web', 'acme/web/**', 'acme/w*', 'sam/**');
    const role = fc.option(fc.constantFrom(...roles), { nil: undefined });
    const bounds = fc.record({
      role,
      patterns: fc.option(fc.array(pattern, { maxLength: 3 }), { nil: undefined }),
    });
    const names = ['acme/web', 'acme/web/x', 'acme/api', 'sam/x', 'alpine'].map(parseRepositoryName);
    fc.assert(
      fc.property(bounds, bounds, (asked, giver) => {
        let given: Ceiling;
        try {
          given = boundsOf(asked, giver);
        } catch {
          return;
        }
        assert.ok(giver.role === undefined || includesRole(giver.role, given.role ?? 'admin'));
        for (const name of names) {
          const lets = ({ patterns }: Ceiling) => patterns?.some((one) => matchesPattern(one, name)) ?? true;
          if (lets(given)) assert.ok(lets(giver), name);
        }
        if (giver.patterns !== undefined)
          assert.ok((given.patterns ?? ['**']).every((one) => isWithin(giver.patterns ?? [], one)));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('the end of a new token', () => {
  const day = 86_400;
  const personal = { defaultExpiry: 90 * day, longestExpiry: 365 * day };
  const robot = { defaultExpiry: Number.POSITIVE_INFINITY, longestExpiry: Number.POSITIVE_INFINITY };

  test('is the configured one unless told, and no later than the longest', () => {
    assert.equal(expiryOf(undefined, 1000.7, personal), Math.floor(1000.7 + 90 * day));
    assert.equal(expiryOf(undefined, 1000, robot), undefined);
    assert.equal(expiryOf(null, 1000, robot), undefined);
    assert.equal(expiryOf(5000, 1000, personal), 5000);
    for (const asked of [null, 1000, 999, 0, 1000 + 367 * day])
      assert.throws(() => expiryOf(asked, 1000, personal), InvalidNameError, String(asked));
  });
});
