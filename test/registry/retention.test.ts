// Retention over a real store: a preview is what a run does, what was touched meanwhile stays, what went can be restored, and a
// second run finds nothing.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { standaloneRun } from '../../src/registry/operation-run.ts';
import { PullCounter } from '../../src/registry/pull-counter.ts';
import { Retention, type RetentionReport } from '../../src/registry/retention.ts';
import {
  compileRetention,
  type RetentionPolicy,
  type RetentionRules,
} from '../../src/registry/retention-rules.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import {
  alice,
  keepTimes,
  linkBlob,
  type ManualClock,
  manifestOf,
  manualClock,
  openTestStore,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';

const app = repository('acme/app');
const day = 86_400;

interface Bench {
  readonly store: MetadataStore;
  readonly clock: ManualClock;
  readonly pulls: PullCounter;
  readonly retention: Retention;
  set(rules: RetentionRules | RetentionPolicy): Promise<void>;
  run(options?: { dryRun?: boolean; onStep?: () => Promise<void> }): Promise<RetentionReport>;
  tags(name?: RepositoryName): Promise<readonly Tag[]>;
}

async function bench(t: TestContext): Promise<Bench> {
  const clock = manualClock();
  const { store } = await openTestStore(t, { clock });
  const pulls = new PullCounter(store.manifests, clock);
  const writes = { withBallast: <V>(work: () => Promise<V>) => work(), admitDelete: () => {} };
  const retention = new Retention({ metadata: store, writes, pulls, leaseSeconds: keepTimes.leaseSeconds });
  return {
    store,
    clock,
    pulls,
    retention,
    async set(rules) {
      const whole = 'policies' in rules ? rules : { policies: [rules] };
      assert.equal(await store.retention.setRules({ namespace: 'acme', rules: whole, origin: alice }), true);
    },
    async run({ dryRun = false, onStep } = {}) {
      const plain = standaloneRun();
      const step = async (): Promise<void> => {
        await plain.step();
        await onStep?.();
      };
      return await retention.run({ ...plain, step, id: 1 }, { namespace: 'acme', dryRun });
    },
    async tags(name = app) {
      return (await store.tags.list(name, { limit: 1000 }))?.items ?? [];
    },
  };
}

async function pushTags({ store, clock }: Bench, names: readonly string[], name = app): Promise<void> {
  for (const text of names) {
    const layer = await linkBlob(store, name, `layer of ${text}`);
    await putManifest(store, name, manifestOf({ blobs: [layer], note: text }), { tags: [text] });
    clock.advance(60);
  }
}

describe('a run of retention', () => {
  test('removes what no rule keeps, to the trash, and tells of it', async (t) => {
    const it = await bench(t);
    await pushTags(it, ['a', 'b', 'c', 'd']);
    await it.set({ keepTags: [{ mostRecentlyPushedCount: 2 }] });
    // A lease is a day of uptime: a clock that jumps ends none.
    it.clock.jump(400 * day);
    const early = await it.run();
    assert.deepEqual(early.tags, { removed: 0, kept: 4 });
    assert.deepEqual(early.reasons, { lease: 4, mostRecentlyPushedCount: 2 });
    it.clock.advance(2 * day);
    const told = await it.run({ dryRun: true });
    assert.deepEqual(await it.tags(), ['a', 'b', 'c', 'd']);
    const done = await it.run();
    assert.deepEqual({ ...done, dryRun: true, seconds: 0 }, { ...told, seconds: 0 });
    assert.deepEqual(await it.tags(), ['c', 'd']);
    assert.deepEqual(done.tags, { removed: 2, kept: 2 });
    assert.deepEqual(done.manifests, { removed: 2 });
    assert.equal(done.bytes, 'layer of a'.length * 2);
    assert.deepEqual(
      done.items.map(({ tag: name, removes, because }) => [name, removes, because]),
      [
        ['a', true, ['noRuleKeeps']],
        ['b', true, ['noRuleKeeps']],
      ],
    );
    const [last] = await it.store.events.tagHistory(app, tag('a'), 1);
    assert.deepEqual([last?.action, last?.actor], ['delete', 'retention']);
    assert.equal(await it.store.care.collector.countTrash({ everything: true }), 2);
    assert.equal(await it.store.care.collector.countTrash({ everything: false }), 0);
    assert.deepEqual((await it.run()).tags, { removed: 0, kept: 2 });
  });

  test('touches nothing without rules, without a policy for the repository, and in other namespaces', async (t) => {
    const it = await bench(t);
    const other = repository('other/app');
    await pushTags(it, ['a']);
    await pushTags(it, ['a'], other);
    it.clock.advance(3 * day);
    const all = { keepTags: [{ patterns: ['^none$'] }] };
    assert.deepEqual((await it.run()).repositories, []);
    await it.set({ repositories: ['acme/web'], ...all });
    assert.deepEqual((await it.run()).repositories, []);
    await it.set({ dryRun: true, policies: [all] });
    const dry = await it.run();
    assert.deepEqual([dry.dryRun, dry.tags.removed, await it.tags()], [true, 1, ['a']]);
    await it.set(all);
    assert.equal((await it.run()).tags.removed, 1);
    assert.deepEqual([await it.tags(), await it.tags(other)], [[], ['a']]);
  });

  test('a tag that is moved, pulled or protected while it runs stays', async (t) => {
    const it = await bench(t);
    await pushTags(it, ['moved', 'pulled', 'protected', 'gone', 'listed']);
    it.clock.advance(3 * day);
    await it.set({ keepTags: [{ patterns: ['^none$'] }] });
    const { store } = it;
    const listed = (await store.manifests.stat(app, { tag: tag('listed') }))?.digest;
    assert.ok(listed);
    let isDone = false;
    const onStep = async (): Promise<void> => {
      if (isDone || (await store.retention.listTags(app, { limit: 1 })).items.length === 0) return;
      isDone = true;
      await putManifest(store, app, manifestOf({ note: 'other' }), { tags: ['moved'] });
      await putManifest(store, app, manifestOf({ children: [listed], note: 'index' }), { tags: ['list'] });
      const pulled = await store.manifests.stat(app, { tag: tag('pulled') });
      if (pulled) it.pulls.count(app, pulled.digest);
      const rules = [{ repositories: '**', tags: 'prot*', rule: 'no-delete' as const, exempt: [] }];
      await store.protection.set({ namespace: 'acme', rules, origin: alice });
    };
    // After everything was read and before anything goes.
    let steps = 0;
    const report = await it.run({ onStep: async () => (++steps === 4 ? await onStep() : undefined) });
    assert.ok(isDone);
    assert.deepEqual(await it.tags(), ['list', 'listed', 'moved', 'protected', 'pulled']);
    assert.deepEqual(report.tags.removed, 1);
    assert.deepEqual(
      report.items.filter(({ removes }) => !removes).map(({ tag: name, because }) => [name, because]),
      [
        ['listed', ['meanwhile']],
        ['moved', ['meanwhile']],
        ['protected', ['meanwhile']],
        ['pulled', ['meanwhile']],
      ],
    );
  });

  test('a tag that somebody removes meanwhile makes it count again', async (t) => {
    const it = await bench(t);
    await pushTags(it, ['a', 'b', 'c']);
    it.clock.advance(3 * day);
    await it.set({ keepTags: [{ mostRecentlyPushedCount: 1 }] });
    let steps = 0;
    const report = await it.run({
      onStep: async () => {
        if (++steps === 4) await it.store.tags.remove(app, tag('c'), alice);
      },
    });
    // With c gone, b is the newest: the rule names it.
    assert.deepEqual(await it.tags(), ['b']);
    assert.deepEqual(report.tags, { removed: 1, kept: 1 });
  });

  test('an index goes with its children in one piece, shared ones with the last', async (t) => {
    const it = await bench(t);
    const { store, clock } = it;
    const children = [];
    for (const note of ['one', 'two', 'shared'])
      children.push(await putManifest(store, app, manifestOf({ note })));
    const [one, two, shared] = children as [never, never, never];
    await putManifest(store, app, manifestOf({ children: [one, shared], note: 'first' }), {
      tags: ['first'],
    });
    await putManifest(store, app, manifestOf({ children: [two, shared], note: 'second' }), {
      tags: ['second'],
    });
    clock.advance(3 * day);
    await it.set({ keepTags: [{ patterns: ['^none$'] }] });
    const told = await it.run({ dryRun: true });
    const done = await it.run();
    assert.deepEqual([told.manifests.removed, done.manifests.removed], [5, 5]);
    assert.equal((await store.repositories.totals()).manifests, 0);
    assert.equal(await store.care.collector.countTrash({ everything: true }), 5);
  });

  test('a protected tag stays, and the report says by which rule', async (t) => {
    const it = await bench(t);
    await pushTags(it, ['v1', 'x']);
    it.clock.advance(3 * day);
    await it.set({ keepTags: [{ patterns: ['^none$'] }] });
    await it.store.accounts.users.add({
      name: 'retention',
      role: 'administrator',
      guest: false,
      origin: alice,
    });
    const exempt = ['administrators', 'retention'];
    const rules = [{ repositories: '**', tags: 'v*', rule: 'immutable' as const, exempt }];
    await it.store.protection.set({ namespace: 'acme', rules, origin: alice });
    const { items } = await it.run();
    assert.deepEqual(await it.tags(), ['v1']);
    const kept = items.find(({ tag: name }) => name === 'v1');
    assert.deepEqual([kept?.because, kept?.rule], [['protected'], 'rule v* of acme']);
  });

  test('bytes that another manifest or another repository has are not told as freed', async (t) => {
    const it = await bench(t);
    const { store, clock } = it;
    const other = repository('acme/other');
    const put = async (name: RepositoryName, note: string, texts: readonly string[]) => {
      const blobs = [];
      for (const text of texts) blobs.push(await linkBlob(store, name, text));
      await putManifest(store, name, manifestOf({ blobs, note }), { tags: [note] });
    };
    await put(app, 'goes', ['own-10byte', 'with kept', 'elsewhere']);
    await put(app, 'goes-too', ['own-10byte']);
    await put(app, 'keep', ['with kept']);
    await put(other, 'keep', ['elsewhere']);
    clock.advance(3 * day);
    await it.set({ keepTags: [{ patterns: ['keep'] }] });
    assert.equal((await it.run()).bytes, 10);
  });

  test('a preview is what a run does, and a second run finds nothing, whatever there is', async (t) => {
    const word = fc.constantFrom('v1.0.0', 'v1.1.0', 'dev', 'build-1', 'latest');
    const parts = fc.record({
      tags: fc.uniqueArray(word, { maxLength: 2 }),
      children: fc.uniqueArray(fc.nat(3), { maxLength: 2 }),
      subject: fc.option(fc.nat(6), { nil: undefined }),
      wait: fc.constantFrom(0, 1, 5, 40),
      pull: fc.boolean(),
    });
    const policy = fc.record({
      deleteUntagged: fc.boolean(),
      deleteReferrers: fc.boolean(),
      keepTags: fc.constantFrom<NonNullable<RetentionPolicy['keepTags']>>(
        [],
        [{ mostRecentlyPushedCount: 1 }],
        [{ patterns: ['^v'], highestSemverCount: 1 }, { pulledWithin: '10d' }],
        [{ pushedWithin: '20d', mostRecentlyPulledCount: 1 }],
      ),
    });
    const it = await bench(t);
    let turn = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(parts, { minLength: 1, maxLength: 6 }), policy, async (made, rules) => {
        turn += 1;
        const name = repository(`acme/app-${turn}`);
        const digests: Awaited<ReturnType<typeof putManifest>>[] = [];
        for (const [index, part] of made.entries()) {
          const children = part.children.flatMap((child) => digests[child] ?? []);
          const subject = part.subject === undefined ? undefined : digests[part.subject];
          const layer = await linkBlob(it.store, name, `layer ${index % 3}`);
          const manifest = manifestOf({
            note: `${turn} ${index}`,
            blobs: [layer],
            children,
            ...(subject && { subject }),
          });
          digests.push(await putManifest(it.store, name, manifest, { tags: part.tags }));
          if (part.pull) it.pulls.count(name, manifest.digest);
          await it.pulls.flush();
          it.clock.advance(part.wait * day);
        }
        await it.set({ repositories: [name], ...rules });
        const before = (await it.store.repositories.find(name))?.manifests ?? 0;
        const told = await it.run({ dryRun: true });
        const done = await it.run();
        assert.deepEqual({ ...done, seconds: 0, dryRun: true }, { ...told, seconds: 0 });
        const after = (await it.store.repositories.find(name))?.manifests ?? 0;
        assert.equal(before - after, done.manifests.removed);
        const again = await it.run();
        assert.deepEqual([again.tags.removed, again.manifests.removed], [0, 0]);
      }),
      { numRuns: 60 },
    );
  });

  test('rules that cannot be compiled were never let in, and an empty set is none', async (t) => {
    const it = await bench(t);
    await pushTags(it, ['a']);
    assert.equal(await it.store.retention.setRules({ namespace: 'nope', rules: {}, origin: alice }), false);
    assert.equal(await it.store.retention.findRules('nope'), undefined);
    await it.set({ policies: [] });
    assert.deepEqual((await it.store.retention.listNamespaces({ limit: 9 })).items, ['acme']);
    await it.store.retention.setRules({ namespace: 'acme', rules: undefined, origin: alice });
    assert.deepEqual((await it.store.retention.listNamespaces({ limit: 9 })).items, []);
    assert.deepEqual(await it.store.retention.findRules('acme'), { rules: undefined });
    const { items } = await it.store.events.audit({ filter: { action: 'rule.set' }, limit: 9 });
    assert.deepEqual(
      items.map(({ object, detail }) => [object, detail]),
      [
        ['retention:acme', { before: { rules: { policies: [] } } }],
        ['retention:acme', { after: { rules: { policies: [] } } }],
      ],
    );
    assert.equal(compileRetention('acme', { policies: [] }).policyFor(app), undefined);
  });
});
