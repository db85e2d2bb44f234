// What of the scopes asked for goes into a token.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatScopes, grantScopes, readScopes } from '../../src/auth/grant-scopes.ts';
import { Rights } from '../../src/auth/rights.ts';
import type { SubjectFacts } from '../../src/storage/account-store.ts';
import type { Visibility } from '../../src/storage/metadata-store.ts';
import { anyCharacter } from '../support/characters.ts';
import { grant, subject } from '../support/fake-accounts.ts';

const visibilities: Record<string, Visibility> = {
  'pub/x': 'public',
  'int/x': 'internal',
  'prv/x': 'private',
};

function rightsOf(facts?: SubjectFacts): Rights {
  const holder = facts === undefined ? ({ kind: 'anonymous' } as const) : { kind: facts.kind, facts };
  return new Rights({ holder, commonGrants: [], personalNamespaces: true });
}

async function granted(rights: Rights, ...asked: string[]): Promise<string> {
  const findVisibility = async (name: string) => visibilities[name];
  return formatScopes(
    await grantScopes({ asked, rights, findVisibility, findMoved: async () => undefined, now: 0 }),
  );
}

const sam = rightsOf(
  subject('sam', {
    grants: [
      grant('sam', 'write', 'acme/**'),
      grant('sam', 'maintain', 'acme/web'),
      grant('sam', 'read', 'prv/x'),
    ],
  }),
);

describe('scopes', () => {
  test('only what the policy gives is granted, and nothing is an error', async () => {
    assert.equal(await granted(sam, 'repository:acme/api:pull,push,delete'), 'repository:acme/api:pull,push');
    assert.equal(await granted(sam, 'repository:prv/x:push,pull'), 'repository:prv/x:pull');
    assert.equal(await granted(sam, 'repository:joe/x:pull,push'), '');
    assert.equal(
      await granted(sam, 'repository:joe/x:push', 'repository:sam/a:push'),
      'repository:sam/a:push',
    );
    assert.equal(await granted(sam), '');
  });

  test('a star is what is held, and never stands in the token', async () => {
    assert.equal(await granted(sam, 'repository:acme/web:*'), 'repository:acme/web:pull,push,delete');
    assert.equal(await granted(sam, 'repository:acme/api:*'), 'repository:acme/api:pull,push');
    assert.equal(await granted(sam, 'repository:joe/x:*'), '');
  });

  test('nobody gets what is public and no more', async () => {
    const asked = [
      'repository:pub/x:pull,push,delete',
      'repository:int/x:pull',
      'repository:prv/x:pull',
      'repository:none/x:pull',
    ];
    assert.equal(await granted(rightsOf(), ...asked), 'repository:pub/x:pull');
    assert.equal(
      await granted(rightsOf(subject('joe')), ...asked),
      'repository:pub/x:pull repository:int/x:pull',
    );
  });

  test('the catalog is for everybody; its search and other types are left out', async () => {
    assert.equal(await granted(rightsOf(), 'registry:catalog:*'), 'registry:catalog:*');
    assert.equal(
      await granted(sam, 'registry:catalog:search', 'registry:other:*', 'image:acme/api:pull'),
      '',
    );
    assert.equal(await granted(sam, 'registry:catalog:search,*'), 'registry:catalog:*');
  });

  test('the class is ignored, a host with a port is taken off, repetitions are put together', async () => {
    assert.equal(await granted(sam, 'repository(plugin):acme/api:pull'), 'repository:acme/api:pull');
    assert.equal(await granted(sam, 'repository:localhost:5000/acme/api:push'), 'repository:acme/api:push');
    assert.equal(
      await granted(sam, 'repository:acme/api:pull', 'repository:acme/api:push'),
      'repository:acme/api:pull,push',
    );
    assert.equal(
      await granted(sam, 'repository:evil:5000/joe/x:push', 'repository::/acme/x:pull'),
      'repository:acme/x:pull',
    );
  });

  test('what is no scope is passed over', async () => {
    for (const text of [
      '',
      ':',
      'repository:acme/api',
      'repository:Acme/api:pull',
      'repository:acme/../x:pull',
      'repository:acme/%61pi:pull',
    ])
      assert.equal(await granted(sam, text), '', text);
  });

  test('a token names 32 repositories at most, and never too many bytes of them', async () => {
    const many = Array.from({ length: 1000 }, (_, index) => `repository:sam/r${index}:pull`);
    assert.equal((await granted(sam, ...many)).split(' ').length, 32);
    const long = Array.from({ length: 100 }, (_, index) => `repository:sam/r${index}${'x'.repeat(240)}:*`);
    assert.ok((await granted(sam, ...long)).length < 5000);
  });

  test('no text is an error, and nothing comes out that was not asked for', async () => {
    const parts = fc.constantFrom(
      'repository',
      'registry',
      ':',
      ',',
      'pull',
      'push',
      '*',
      'sam/x',
      'joe/x',
      'catalog',
      '(',
      ')',
      '5000/',
    );
    const text = fc.oneof(
      fc.array(parts, { maxLength: 9 }).map((all) => all.join('')),
      fc.string({ unit: anyCharacter }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 4 }), async (asked) => {
        const found = await granted(sam, ...asked);
        assert.ok(!found.includes('joe/'));
        for (const one of found.split(' ').filter((scope) => scope !== ''))
          assert.match(one, /^(?:repository:sam\/x[a-z0-9/]*:[a-z,]+|registry:catalog:\*)$/);
      }),
      { numRuns: 2000 },
    );
  });

  test('a claim of another shape carries nothing', () => {
    for (const claim of [
      undefined,
      null,
      'repository:a:pull',
      {},
      [null],
      [1],
      [{ type: 'repository' }],
      [{ type: 'repository', name: 1, actions: [] }],
    ]) {
      const scopes = readScopes(claim);
      assert.deepEqual(
        [scopes.catalog, [...scopes.repositories.values()].flatMap((actions) => [...actions])],
        [false, []],
      );
    }
    const scopes = readScopes([{ type: 'repository', name: 'a', actions: ['*', 'pull', 7, 'admin'] }]);
    assert.deepEqual([...(scopes.repositories.get('a') ?? [])], ['pull']);
  });
});
