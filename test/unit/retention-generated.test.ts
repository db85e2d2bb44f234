// The plan of retention over repositories and rules made at random: nothing goes that a rule names, and a second run finds nothing.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Digest } from '../../src/oci/digest.ts';
import { type Decision, type Plan, subjectOfTag } from '../../src/registry/retention-plan.ts';
import type { KeepTags } from '../../src/registry/retention-rules.ts';
import type { ManifestFacts } from '../../src/storage/retention-store.ts';
import { digest, type Made, now, planOf, type World, worldOf } from '../support/retention.ts';

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
