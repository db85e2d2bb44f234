// Walks of repositories by what somebody may see: whatever the grants, they find what a look at every repository would find, in order,
// each once, and in pages of any size.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Rights } from '../../src/auth/rights.ts';
import { liesWithin, rangesOf, sees, type Viewer, walkByName } from '../../src/http/repository-walk.ts';
import { namespaceOf, type RepositoryName } from '../../src/oci/name.ts';
import {
  type ManagedRepositoryStore,
  type RepositoryRecord,
  visibilities,
} from '../../src/storage/metadata-store.ts';
import { grant, subject } from '../support/fake-accounts.ts';

const names = [
  'a',
  'b',
  'a/a',
  'a/ab',
  'a/b',
  'a/b/a',
  'a/b/b',
  'a-b/x',
  'ab/a',
  'b/a',
  'b/a/c',
  'b/b',
  'library/x',
];
const patterns = [
  '**',
  'a/**',
  'a/b/**',
  'a/a',
  'a/a*',
  'a/*',
  'a/*/a',
  'b/a',
  'a',
  'library/**',
  'ab/*',
  'b/b',
];

/** The store over an array, with the promise of `walk`. */
function storeOf(records: readonly RepositoryRecord[]) {
  const reads = { rows: 0 };
  const walk: ManagedRepositoryStore['walk'] = async ({ range, after, descending = false, limit }) => {
    const precedes = (one: string, other: string) => (descending ? one > other : one < other);
    const within = records.filter(({ name, visibility }) => {
      if (after !== undefined && !precedes(after, name)) return false;
      if (range.kind === 'all') return true;
      if (name < range.from || name > range.to) return false;
      return range.kind === 'namespace'
        ? namespaceOf(name) === range.namespace
        : visibility === range.visibility;
    });
    const page = within.sort((one, other) => (precedes(one.name, other.name) ? -1 : 1)).slice(0, limit);
    reads.rows += page.length;
    return page;
  };
  return { walk, reads };
}

const records = fc
  .array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...visibilities)), { maxLength: 12 })
  .map((pairs) =>
    [...new Map(pairs)].map(
      ([name, visibility], id) => ({ id, name: name as RepositoryName, visibility }) as RepositoryRecord,
    ),
  );
const viewers = fc
  .record({
    held: fc.uniqueArray(fc.constantFrom(...patterns), { maxLength: 4 }),
    ceiling: fc.option(fc.uniqueArray(fc.constantFrom(...patterns), { minLength: 1, maxLength: 3 })),
    guest: fc.boolean(),
    nobody: fc.boolean(),
  })
  .map(({ held, ceiling, guest, nobody }): Viewer => {
    const grants = held.map((pattern) => grant('sam', 'read', pattern));
    const rights = new Rights({
      holder: nobody ? { kind: 'anonymous' } : { kind: 'user', facts: subject('sam', { grants, guest }) },
      commonGrants: [],
      personalNamespaces: true,
      ceiling: ceiling === null ? undefined : { role: undefined, patterns: ceiling },
    });
    return { rights, now: 0 };
  });
const filters = fc.record(
  {
    namespace: fc.constantFrom('a', 'b', 'library', 'none'),
    visibility: fc.constantFrom(...visibilities),
  },
  { requiredKeys: [] },
);

describe('a walk by what somebody may see', () => {
  it('finds what a look at everything finds', async () => {
    await fc.assert(
      fc.asyncProperty(
        records,
        viewers,
        filters,
        fc.integer({ min: 1, max: 20 }),
        async (all, viewer, within, wanted) => {
          const fits = (one: RepositoryRecord) => sees(viewer, one) && liesWithin(one, within);
          const expected = all
            .filter(fits)
            .map(({ name }) => name as string)
            .sort();
          for (const descending of [false, true]) {
            const found: string[] = [];
            const walk = { wanted, descending };
            for await (const batch of walkByName(storeOf(all), rangesOf(viewer, within), walk))
              found.push(...batch.filter(fits).map(({ name }) => name));
            assert.deepEqual(found, descending ? expected.toReversed() : expected);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('comes to its end in steps of any budget', async () => {
    await fc.assert(
      fc.asyncProperty(records, viewers, fc.integer({ min: 1, max: 9 }), async (all, viewer, rows) => {
        const found: string[] = [];
        let after: string | undefined;
        for (let steps = 0; ; steps += 1) {
          assert.ok(steps <= all.length + 1, 'each step comes further than the one before');
          const budget = { rows, spent: false };
          const walk = { after, wanted: 1, budget };
          for await (const batch of walkByName(storeOf(all), rangesOf(viewer), walk)) {
            found.push(...batch.filter((one) => sees(viewer, one)).map(({ name }) => name));
            after = batch.at(-1)?.name;
          }
          if (!budget.spent) break;
        }
        assert.deepEqual(
          found,
          all
            .filter((one) => sees(viewer, one))
            .map(({ name }) => name as string)
            .sort(),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('of one namespace reads no other', async () => {
    const all = names.map((name, id) => ({ id, name, visibility: 'private' }) as unknown as RepositoryRecord);
    const rights = new Rights({
      holder: { kind: 'user', facts: subject('sam', { grants: [grant('sam', 'read', 'a/b/*')] }) },
      commonGrants: [],
      personalNamespaces: true,
    });
    const store = storeOf(all);
    for await (const _ of walkByName(store, rangesOf({ rights, now: 0 }), { wanted: 10 }));
    assert.equal(store.reads.rows, 2);
  });
});
