// The plan of retention: what each word keeps, and what follows what.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tag } from '../../src/oci/reference.ts';
import type { KeepTags } from '../../src/registry/retention-rules.ts';
import {
  digest,
  five,
  type Made,
  planOf,
  reasonsOf,
  removedNotes,
  removedTags,
  worldOf,
} from '../support/retention.ts';

describe('the words of retention', () => {
  it('without keepTags every tag stays', () => {
    const plan = planOf(worldOf(five), { deleteUntagged: true });
    assert.deepEqual(removedTags(plan), []);
    assert.deepEqual(reasonsOf(plan, 'a'), ['noKeepTags']);
    assert.deepEqual(removedTags(planOf(worldOf(five), { keepTags: [] })), []);
  });

  it('what matches no pattern goes, and a pattern alone keeps all that it matches', () => {
    const plan = planOf(worldOf(five), { keepTags: [{ patterns: ['^[ab]$', 'e'] }] });
    assert.deepEqual(removedTags(plan), ['c', 'd']);
    assert.deepEqual(reasonsOf(plan, 'c'), ['noPatternMatches']);
    assert.deepEqual(reasonsOf(plan, 'a'), ['patterns']);
  });

  it('a pattern is found anywhere in the tag, as in zot', () => {
    const made = [
      { note: 'x', tags: ['dev-v2'] },
      { note: 'y', tags: ['v2'] },
    ];
    assert.deepEqual(removedTags(planOf(worldOf(made), { keepTags: [{ patterns: ['v2'] }] })), []);
    assert.deepEqual(removedTags(planOf(worldOf(made), { keepTags: [{ patterns: ['^v2'] }] })), ['dev-v2']);
  });

  it('the first entry that matches decides, as in zot', () => {
    const keepTags = [{ patterns: ['^[abc]$'], mostRecentlyPushedCount: 1 }, { mostRecentlyPushedCount: 1 }];
    const plan = planOf(worldOf(five), { keepTags });
    assert.deepEqual(removedTags(plan), ['a', 'b', 'd']);
    assert.deepEqual(reasonsOf(plan, 'b'), ['noRuleKeeps']);
  });

  it('mostRecentlyPushedCount goes by the order of changes, whatever the dates say', () => {
    const made = five.map((one, index) => ({ ...one, pushed: 10 + index * 10 }));
    assert.deepEqual(removedTags(planOf(worldOf(made), { keepTags: [{ mostRecentlyPushedCount: 2 }] })), [
      'a',
      'b',
      'c',
    ]);
  });

  it('mostRecentlyPulledCount keeps what was pulled last, then what was pushed last', () => {
    const made = five.map((one, index) => (index < 2 ? { ...one, pulled: 5 + index } : one));
    const plan = (count: number) => planOf(worldOf(made), { keepTags: [{ mostRecentlyPulledCount: count }] });
    assert.deepEqual(removedTags(plan(1)), ['b', 'c', 'd', 'e']);
    assert.deepEqual(removedTags(plan(3)), ['c', 'd']);
  });

  it('highestSemverCount orders versions, of which prereleases count only if asked', () => {
    const names = ['v1.9.0', 'v1.10.0', '1.10.0', 'v2.0.0-rc.2', 'v2.0.0-rc.10', 'v1', 'latest', 'v0.1.0'];
    const world = worldOf(names.map((name) => ({ note: name, tags: [name] })));
    assert.deepEqual(removedTags(planOf(world, { keepTags: [{ highestSemverCount: 2 }] })), [
      'latest',
      'v0.1.0',
      'v1',
      'v2.0.0-rc.10',
      'v2.0.0-rc.2',
    ]);
    const keep = { highestSemverCount: 2, semverPrereleases: true };
    const plan = planOf(world, { keepTags: [keep] });
    assert.deepEqual(
      names.filter((name) => !removedTags(plan).includes(name as Tag)),
      ['v2.0.0-rc.2', 'v2.0.0-rc.10'],
    );
  });

  it('pushedWithin and pulledWithin go by what is younger of both clocks', () => {
    const made: Made[] = [
      { note: 'old', tags: ['old'], pushed: 40 },
      // Somebody set the clock forward, or the registry was off.
      { note: 'jump', tags: ['jump'], pushed: 40, uptimeAge: 3 },
      { note: 'new', tags: ['new'], pushed: 3 },
      { note: 'future', tags: ['future'], pushed: -400, uptimeAge: 40 },
      { note: 'pulled', tags: ['pulled'], pushed: 40, pulled: 2 },
    ];
    assert.deepEqual(removedTags(planOf(worldOf(made), { keepTags: [{ pushedWithin: '720h' }] })), [
      'old',
      'pulled',
    ]);
    assert.deepEqual(removedTags(planOf(worldOf(made), { keepTags: [{ pulledWithin: '30d' }] })), ['old']);
  });

  it('any word of an entry keeps, and all that keep are told', () => {
    const keepTags = [{ mostRecentlyPushedCount: 1, pushedWithin: '98d' }];
    const plan = planOf(worldOf(five), { keepTags });
    assert.deepEqual(
      removedTags(plan),
      ['a', 'b', 'c'].slice(0, 3).filter((name) => name !== 'd'),
    );
    assert.deepEqual(reasonsOf(plan, 'e'), ['mostRecentlyPushedCount', 'pushedWithin']);
  });

  it('a protected tag, a lease and the delay keep what no rule names', () => {
    const made: Made[] = [
      { note: 'v1', tags: ['v1'] },
      { note: 'fresh', tags: ['fresh'], pushed: 50, uptimeAge: 0.5 },
      { note: 'young', tags: ['young'], pushed: 2 },
      { note: 'old', tags: ['old'] },
    ];
    const policy = { keepTags: [{ patterns: ['^none$'] }] };
    const plan = planOf(worldOf(made), policy, { delay: '3d', protects: (tag) => tag === 'v1' });
    assert.deepEqual(removedTags(plan), ['old']);
    assert.deepEqual(reasonsOf(plan, 'v1'), ['protected']);
    assert.equal(plan.decisions.find(({ tag }) => tag === 'v1')?.rule, 'rule v* of acme');
    assert.deepEqual(reasonsOf(plan, 'fresh'), ['lease', 'delay']);
    assert.deepEqual(reasonsOf(plan, 'young'), ['delay']);
  });
});

describe('what follows what', () => {
  const nothing: readonly KeepTags[] = [{ patterns: ['^keep'] }];

  it('a manifest goes with the last of its tags, and loses some where another one stays', () => {
    const made = [
      { note: 'one', tags: ['a', 'keep'] },
      { note: 'two', tags: ['b', 'c'] },
    ];
    const plan = planOf(worldOf(made), { keepTags: nothing });
    assert.deepEqual(removedTags(plan), ['a', 'b', 'c']);
    assert.deepEqual(removedNotes(plan, made), ['two']);
    assert.deepEqual(plan.removals.map(({ kind }) => kind).toSorted(), ['manifests', 'tags']);
  });

  it('children go with the last index that lists them, in one piece', () => {
    const made: Made[] = [
      { note: 'shared' },
      { note: 'own' },
      { note: 'held', tags: ['keep-child'] },
      { note: 'first', tags: ['a'], children: ['shared', 'own', 'held'] },
      { note: 'second', tags: ['b'], children: ['shared'] },
    ];
    const plan = planOf(worldOf(made), { keepTags: nothing });
    assert.deepEqual(removedNotes(plan, made), ['first', 'own', 'second', 'shared']);
    const units = plan.removals.map((one) =>
      one.kind === 'manifests' ? one.manifests.map(({ id }) => made[id - 1]?.note) : [],
    );
    assert.deepEqual(units, [
      ['first', 'own'],
      ['second', 'shared'],
    ]);
    const [first] = plan.removals;
    assert.deepEqual(first?.kind === 'manifests' && first.manifests[0]?.leaving, [3]);
  });

  it('a child of an index that stays is kept, though its own tag goes', () => {
    const made: Made[] = [
      { note: 'child', tags: ['a'] },
      { note: 'list', tags: ['keep'], children: ['child'] },
    ];
    const plan = planOf(worldOf(made), { keepTags: nothing, deleteUntagged: true });
    assert.deepEqual(removedTags(plan), ['a']);
    assert.deepEqual(removedNotes(plan, made), []);
  });

  it('an index waits for a child that was pushed just now, however deep', () => {
    const made: Made[] = [
      { note: 'leaf', pushed: 0.1 },
      { note: 'inner', children: ['leaf'] },
      { note: 'outer', tags: ['a'], children: ['inner'] },
    ];
    const plan = planOf(worldOf(made), { keepTags: nothing });
    assert.deepEqual(plan.removals, []);
    assert.deepEqual(reasonsOf(plan, 'a'), ['lease']);
  });

  it('referrers stay with their subject, and go with it where deleteReferrers is on', () => {
    const hex = digest('image').slice('sha256:'.length);
    const made: Made[] = [
      { note: 'image', tags: ['a'] },
      { note: 'sbom', subject: 'image' },
      { note: 'of sbom', subject: 'sbom' },
      { note: 'signature', tags: [`sha256-${hex}.sig`] },
      { note: 'kept', tags: ['keep'] },
      { note: 'sbom of kept', subject: 'kept' },
    ];
    const off = planOf(worldOf(made), { keepTags: nothing, deleteUntagged: true });
    assert.deepEqual(removedNotes(off, made), ['image']);
    assert.deepEqual(reasonsOf(off, `sha256-${hex}.sig`), ['deleteReferrersOff']);
    assert.deepEqual(reasonsOf(off, 'sbom of kept'), ['referrer']);
    const on = planOf(worldOf(made), { keepTags: nothing, deleteReferrers: true });
    assert.deepEqual(removedNotes(on, made), ['image', 'of sbom', 'sbom', 'signature']);
    const kept = planOf(worldOf(made), { deleteReferrers: true, deleteUntagged: true });
    assert.deepEqual(kept.removals, []);
    assert.deepEqual(reasonsOf(kept, `sha256-${hex}.sig`), ['referrer']);
  });

  it('a referrer of something that is gone goes with deleteReferrers, its tags by their rules', () => {
    const made: Made[] = [
      { note: 'loose', subject: 'gone' },
      { note: 'tagged', subject: 'gone', tags: ['keep-me'] },
      { note: 'let go', subject: 'gone', tags: ['x'] },
      { note: 'cosign', tags: [`sha256-${'0'.repeat(64)}.att`] },
    ];
    const plan = planOf(worldOf(made), { keepTags: nothing, deleteReferrers: true });
    assert.deepEqual(removedNotes(plan, made), ['cosign', 'let go', 'loose']);
    assert.deepEqual(removedNotes(planOf(worldOf(made), { keepTags: nothing }), made), ['let go']);
  });

  it('manifests without a tag go with deleteUntagged alone, indexes with their children', () => {
    const made: Made[] = [
      { note: 'child' },
      { note: 'list', children: ['child'] },
      { note: 'new', pushed: 0.2 },
    ];
    assert.deepEqual(planOf(worldOf(made), {}).removals, []);
    const plan = planOf(worldOf(made), { deleteUntagged: true });
    assert.deepEqual(removedNotes(plan, made), ['child', 'list']);
    assert.deepEqual(reasonsOf(plan, 'new'), ['lease']);
    assert.deepEqual(reasonsOf(plan, 'list'), ['deleteUntagged']);
    assert.deepEqual(reasonsOf(plan, 'child'), ['child']);
  });
});
