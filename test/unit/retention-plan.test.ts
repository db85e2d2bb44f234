// The plan of retention: what each word keeps, what follows what, and, of repositories made at random, that nothing goes that a
// rule names and that a second run finds nothing.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { type Decision, type Plan, planRetention, subjectOfTag } from '../../src/registry/retention-plan.ts';
import {
  compileRetention,
  InvalidRetentionError,
  type KeepTags,
  parseGoDuration,
  type RetentionPolicy,
} from '../../src/registry/retention-rules.ts';
import { versionOf } from '../../src/registry/tag-version.ts';
import type { ManifestFacts, TagFacts } from '../../src/storage/retention-store.ts';

const day = 86_400;
const now = { at: 1_800_000_000, ticks: 1000 * day };
const leaseSeconds = day;
const digest = (note: string): Digest => digestOf(Buffer.from(note));
const app = parseRepositoryName('acme/app');

interface Made {
  readonly note: string;
  readonly tags?: readonly string[];
  readonly children?: readonly string[];
  readonly subject?: string;
  /** Days ago, by both clocks. */
  readonly pushed?: number;
  readonly pulled?: number;
  readonly uptimeAge?: number;
}

interface World {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
}

/** Manifests with their tags; the later one is made the later its tags were set. */
function worldOf(made: readonly Made[]): World {
  const ids = new Map(made.map(({ note }, index) => [note, index + 1]));
  const tags: TagFacts[] = [];
  const manifests = made.map((one, index): ManifestFacts => {
    const { note, pushed = 100 - index, pulled, uptimeAge = pushed } = one;
    const setAt = now.at - pushed * day;
    for (const name of one.tags ?? [])
      tags.push({ name: name as Tag, manifest: index + 1, version: tags.length + 1, setAt });
    return {
      id: index + 1,
      digest: digest(note),
      subject: one.subject === undefined ? undefined : digest(one.subject),
      children: (one.children ?? []).map((child) => ids.get(child) ?? 0),
      pushedAt: setAt,
      leaseTicks: now.ticks - uptimeAge * day + leaseSeconds,
      pulls: pulled === undefined ? 0 : 1,
      pulledAt: pulled === undefined ? undefined : now.at - pulled * day,
      pulledTicks: pulled === undefined ? 0 : now.ticks - pulled * day,
    };
  });
  return { manifests, tags: tags.toSorted((one, other) => (one.name < other.name ? -1 : 1)) };
}

function planOf(
  world: World,
  policy: RetentionPolicy,
  options: { delay?: string; protects?: (tag: string) => boolean } = {},
): Plan {
  const rules = compileRetention('acme', {
    policies: [policy],
    ...(options.delay === undefined ? {} : { delay: options.delay }),
  });
  const compiled = rules.policyFor(app);
  assert.ok(compiled);
  return planRetention({
    ...world,
    policy: compiled,
    now,
    leaseSeconds,
    delaySeconds: rules.delaySeconds,
    protectedBy: (tag) => (options.protects?.(tag) ? 'rule v* of acme' : undefined),
  });
}

const removedTags = ({ decisions }: Plan) =>
  decisions.filter(({ removes, tag }) => removes && tag !== undefined).map(({ tag }) => tag);
const reasonsOf = ({ decisions }: Plan, name: string) =>
  decisions.find(({ tag, digest: found }) => tag === name || found === digest(name))?.because;
const removedNotes = ({ manifests }: Plan, made: readonly Made[]) =>
  manifests.map((id) => made[id - 1]?.note).toSorted();

const five = ['a', 'b', 'c', 'd', 'e'].map((note): Made => ({ note, tags: [note] }));

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

describe('the rules as they are written', () => {
  it('the first policy for a repository holds, and where there is none nothing is touched', () => {
    const rules = compileRetention('acme', {
      policies: [
        { repositories: ['acme/tmp/**', 'acme/ci-*'], keepTags: [{ mostRecentlyPushedCount: 1 }] },
        { repositories: ['**'], deleteUntagged: true },
      ],
    });
    const indexOf = (name: string) => rules.policyFor(parseRepositoryName(name))?.index;
    assert.deepEqual(['acme/tmp/a', 'acme/ci-1', 'acme/web', 'other/web'].map(indexOf), [0, 0, 1, undefined]);
    assert.equal(compileRetention('acme', { policies: [{}] }).policyFor(app)?.index, 0);
  });

  it('what cannot be is refused with where it is', () => {
    const faults: readonly (readonly [KeepTags, string, RegExp])[] = [
      [{ patterns: ['v('] }, '/policies/0/keepTags/0/patterns/0', /missing closing/],
      [{ patterns: ['*'] }, '/policies/0/keepTags/0/patterns/0', /write \.\*/],
      [{ patterns: ['(a{1000}){3}'] }, '/policies/0/keepTags/0/patterns/0', /too large|repeat/],
      [{ pushedWithin: '3 days' }, '/policies/0/keepTags/0/pushedWithin', /720h/],
      [{ pulledWithin: '' }, '/policies/0/keepTags/0/pulledWithin', /720h/],
      [{ semverPrereleases: true }, '/policies/0/keepTags/0/semverPrereleases', /highestSemverCount/],
    ];
    for (const [keep, pointer, message] of faults) {
      assert.throws(
        () => compileRetention('acme', { policies: [{ keepTags: [keep] }] }),
        (error: unknown) =>
          error instanceof InvalidRetentionError && error.pointer === pointer && message.test(error.message),
        JSON.stringify(keep),
      );
    }
  });

  it('durations are Go’s, with days and weeks', () => {
    const table = {
      '720h': 30 * day,
      '1h30m': 5400,
      '90s': 90,
      '30d': 30 * day,
      '1w2d': 9 * day,
      '1.5h': 5400,
    };
    for (const [text, seconds] of Object.entries(table))
      assert.equal(parseGoDuration(text, ''), seconds, text);
    for (const text of ['', '1', 'h', '1y', '-1h', '1h ', '999999999w'])
      assert.throws(() => parseGoDuration(text, ''), InvalidRetentionError, text);
  });

  it('versions are whole ones', () => {
    assert.equal(versionOf('v1.2.3')?.version, '1.2.3');
    assert.equal(versionOf('1.2.3-rc.1')?.version, '1.2.3-rc.1');
    for (const text of ['1.2', 'v1', 'latest', '1.2.3.4']) assert.equal(versionOf(text), undefined, text);
  });
});

// ── repositories made at random ──────────────────────────────────────────────────────────────────────────────────────

const tagNames = fc.oneof(
  fc.constantFrom(
    'latest',
    'dev',
    'v1.0.0',
    'v1.1.0',
    'v2.0.0',
    'v2.0.0-rc.1',
    '1.0.0',
    'build-1',
    'build-2',
  ),
  fc.integer({ min: 0, max: 7 }).map((index) => `sha256-${digest(`m${index}`).slice(7)}.sig`),
);
const made = fc.uniqueArray(tagNames, { maxLength: 8 }).chain((tags) =>
  fc
    .array(
      fc.record({
        share: fc.integer({ min: 0, max: 3 }),
        children: fc.subarray([0, 1, 2, 3]),
        subject: fc.option(fc.integer({ min: 0, max: 9 })),
        pushed: fc.constantFrom(0.2, 2, 20, 60, 200),
        uptimeAge: fc.constantFrom(0.2, 2, 20, 60, 200),
        pulled: fc.option(fc.constantFrom(1, 10, 40)),
      }),
      { minLength: 1, maxLength: 8 },
    )
    .map((parts) => {
      const left = [...tags];
      return parts.map(
        (part, index): Made => ({
          note: `m${index}`,
          tags: left.splice(0, part.share),
          // Only what was there before can be listed.
          children: part.children
            .filter((child) => child < index && index % 2 === 1)
            .map((child) => `m${child}`),
          ...(part.subject === null || part.subject === index ? {} : { subject: `m${part.subject}` }),
          pushed: part.pushed,
          uptimeAge: part.uptimeAge,
          ...(part.pulled === null ? {} : { pulled: part.pulled }),
        }),
      );
    }),
);
const count = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
const within = fc.option(fc.constantFrom('24h', '10d', '50d'), { nil: undefined });
const keepTags = fc.array(
  fc
    .record({
      patterns: fc.option(fc.subarray(['^v', 'build', 'latest', '.*'], { minLength: 1 }), { nil: undefined }),
      mostRecentlyPushedCount: count,
      mostRecentlyPulledCount: count,
      highestSemverCount: count,
      pushedWithin: within,
      pulledWithin: within,
    })
    .map((keep) => JSON.parse(JSON.stringify(keep)) as KeepTags),
  { maxLength: 3 },
);
const policies = fc.record({ deleteReferrers: fc.boolean(), deleteUntagged: fc.boolean(), keepTags });

/** The repository after the removals of a plan, done one after the other as the store does them. */
function apply(world: World, { removals }: Plan): World {
  let { tags, manifests } = world;
  for (const removal of removals) {
    if (removal.kind === 'tags') {
      for (const { name } of removal.tags) {
        assert.ok(tags.some((one) => one.name === name));
        tags = tags.filter((one) => one.name !== name);
      }
      continue;
    }
    for (const going of removal.manifests) {
      assert.ok(
        manifests.some(({ id }) => id === going.id),
        'it is there',
      );
      assert.ok(!manifests.some(({ children }) => children.includes(going.id)), 'nothing lists it any more');
      for (const subject of going.after)
        assert.ok(!manifests.some(({ digest: found }) => found === subject), 'what it belongs to is gone');
      assert.deepEqual(
        tags.filter(({ manifest }) => manifest === going.id).map(({ name }) => name),
        going.tags.map(({ name }) => name),
        'it goes with all its tags',
      );
      tags = tags.filter(({ manifest }) => manifest !== going.id);
      manifests = manifests.filter(({ id }) => id !== going.id);
    }
  }
  return { tags, manifests };
}

const keepWords = new Set([
  'patterns',
  'noKeepTags',
  'protected',
  'lease',
  'delay',
  'pushedWithin',
  'pulledWithin',
]);

describe('whatever there is and whatever the rules', () => {
  it('nothing goes that a rule names, holds or protects, and every removal can be done in its order', () => {
    fc.assert(
      fc.property(made, policies, fc.constantFrom(undefined, '30d'), (parts, policy, delay) => {
        const world = worldOf(parts);
        const protects = (tag: string) => tag === 'v1.0.0' || tag === 'dev';
        const plan = planOf(world, policy, { ...(delay && { delay }), protects });
        const after = apply(world, plan);
        const left = new Set(after.tags.map(({ name }) => name as string));
        for (const { name, manifest } of world.tags) {
          const facts = world.manifests[manifest - 1] as ManifestFacts;
          if (protects(name)) assert.ok(left.has(name), `${name} is protected`);
          if (facts.leaseTicks > now.ticks) assert.ok(left.has(name), `${name} has a lease`);
          if (policy.keepTags.length === 0 && !name.startsWith('sha256-')) assert.ok(left.has(name), name);
        }
        for (const keep of policy.keepTags.slice(0, 1)) {
          const matched = world.tags.filter(
            ({ name, manifest }) =>
              [undefined, digest(`m${manifest - 1}`)].includes(subjectOfTag(name)) &&
              (keep.patterns === undefined || keep.patterns.some((text) => new RegExp(text).test(name))),
          );
          const newest = matched.toSorted((one, other) => other.version - one.version);
          for (const { name } of newest.slice(0, keep.mostRecentlyPushedCount ?? 0))
            assert.ok(left.has(name), name);
        }
        for (const manifest of after.manifests)
          for (const child of manifest.children)
            assert.ok(
              after.manifests.some(({ id }) => id === child),
              'an index keeps its children',
            );
        const gone = new Set(plan.manifests);
        for (const { id, leaseTicks } of world.manifests)
          if (gone.has(id)) assert.ok(leaseTicks <= now.ticks);
        for (const { subject, digest: own } of world.manifests) {
          const stays = (wanted: Digest | undefined) => after.manifests.some((one) => one.digest === wanted);
          if (subject !== undefined && stays(subject))
            assert.ok(stays(own), 'a referrer of what stays is kept');
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('what is told is what is done, and everything is told once with a reason', () => {
    fc.assert(
      fc.property(made, policies, (parts, policy) => {
        const world = worldOf(parts);
        const plan = planOf(world, policy);
        const after = apply(world, plan);
        const nameOf = ({ tag, digest: of }: Decision) => tag ?? of;
        const told = plan.decisions.filter(({ removes }) => removes).map(nameOf);
        const done = [
          ...world.tags.filter((tag) => !after.tags.includes(tag)).map(({ name }) => name),
          ...world.manifests
            .filter(
              (one) => !after.manifests.includes(one) && !world.tags.some((tag) => tag.manifest === one.id),
            )
            .map(({ digest: of }) => of),
        ];
        assert.deepEqual(told.toSorted(), done.toSorted());
        const all = plan.decisions.map(nameOf);
        assert.equal(new Set(all).size, all.length);
        for (const decision of plan.decisions) {
          assert.ok(decision.because.length > 0, `${nameOf(decision)} has no reason`);
          if (decision.removes) assert.ok(!decision.because.some((reason) => keepWords.has(reason)));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('a second run finds nothing', () => {
    fc.assert(
      fc.property(made, policies, (parts, policy) => {
        const world = worldOf(parts);
        const again = planOf(apply(world, planOf(world, policy)), policy);
        assert.deepEqual(again.removals, []);
      }),
      { numRuns: 3000 },
    );
  });
});
