// Contract: setting tags (retag, copy, restore), removing many, a tag's past, and what comes back from the trash.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import type { Location } from '../../src/storage/blob-store.ts';
import { QuotaExceededError } from '../../src/storage/care-store.ts';
import type { MetadataStore, SetTag, SetTagOutcome } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  manifestOf,
  manualClock,
  newLocation,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const prod = repository('prod/app');
const bob = { actor: 'bob' };

function setTag(store: MetadataStore, name: string, from: SetTag['from'], options: Partial<SetTag> = {}) {
  const given = {
    repository: app,
    tag: tag(name),
    referrers: false,
    mayRestore: false,
    dryRun: false,
    origin: bob,
  };
  return store.tags.set({ ...given, from, ...options });
}

const targetOf = async (store: MetadataStore, name: string, of = app) =>
  (await store.manifests.stat(of, { tag: tag(name) }))?.digest;

function assertSet(outcome: SetTagOutcome): Extract<SetTagOutcome, { outcome: 'set' }> {
  assert.equal(outcome.outcome, 'set', JSON.stringify(outcome));
  return outcome as Extract<SetTagOutcome, { outcome: 'set' }>;
}

async function deletedOf(store: MetadataStore, of = app) {
  return (await store.deleted.listManifests({ repository: of, limit: 100 })).items;
}

export function describeRetagging(name: string, open: OpenMetadataStore): void {
  describe(`${name}: setting a tag`, () => {
    test('a retag moves the tag, and its past tells of each step', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const one = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['v1', 'latest'] });
      const two = await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v2'] });
      clock.advance(60);
      const moved = assertSet(await setTag(store, 'latest', { digest: two }));
      assert.deepEqual([moved.digest, moved.previousDigest, moved.action], [two, one, 'retag']);
      assert.equal(assertSet(await setTag(store, 'latest', { digest: two })).action, undefined);
      assert.equal(
        assertSet(await setTag(store, 'latest', { repository: app, reference: tag('v1') })).action,
        'restore',
      );
      assert.equal(assertSet(await setTag(store, 'new', { digest: two })).previousDigest, undefined);
      await store.tags.remove(app, tag('latest'), alice);
      const { items } = await store.tags.history({ repository: app, tag: tag('latest'), limit: 10 });
      assert.deepEqual(
        items.map(({ action, digest, previousDigest, actor, at, state }) => [
          action,
          digest,
          previousDigest,
          actor,
          at,
          state,
        ]),
        [
          ['delete', undefined, one, 'alice', 1_900_000_060, 'live'],
          ['restore', one, two, 'bob', 1_900_000_060, 'live'],
          ['retag', two, one, 'bob', 1_900_000_060, 'live'],
          ['push', one, undefined, 'alice', 1_900_000_000, 'live'],
        ],
      );
      const page = await store.tags.history({ repository: app, tag: tag('latest'), limit: 1 });
      assert.deepEqual([page.more, page.items[0]?.previousDigest], [true, one]);
      const rest = await store.tags.history({
        repository: app,
        tag: tag('latest'),
        before: page.items[0]?.cursor ?? 0,
        limit: 10,
      });
      assert.equal(rest.items.length, 3);
      const details = await store.tags.find(app, tag('new'));
      assert.deepEqual([details?.pushedBy, details?.pushedAt], ['bob', 1_900_000_060]);
    });

    test('what is not there, or not as expected, changes nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const one = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['v1'] });
      const two = await putManifest(store, app, manifestOf({ note: '2' }));
      const before = (await store.events.read({ after: 0, limit: 100 })).items.length;
      const refused: readonly [SetTagOutcome, object][] = [
        [await setTag(store, 'v1', { digest: blobDigest('x') }), { outcome: 'unknown', what: 'manifest' }],
        [
          await setTag(store, 'v1', { digest: one }, { repository: prod }),
          { outcome: 'unknown', what: 'repository' },
        ],
        [
          await setTag(store, 'v1', { repository: prod, reference: tag('v1') }),
          { outcome: 'unknown', what: 'source' },
        ],
        [
          await setTag(store, 'v1', { repository: app, reference: tag('v9') }),
          { outcome: 'unknown', what: 'manifest' },
        ],
        [await setTag(store, 'v1', { digest: two }, { expected: 'absent' }), { outcome: 'changed' }],
        [await setTag(store, 'v1', { digest: two }, { expected: two }), { outcome: 'changed' }],
        [await setTag(store, 'v2', { digest: two }, { expected: one }), { outcome: 'changed' }],
      ];
      for (const [found, wanted] of refused) assert.deepEqual(found, wanted);
      assert.equal((await store.events.read({ after: 0, limit: 100 })).items.length, before);
      assertSet(await setTag(store, 'v2', { digest: two }, { expected: 'absent' }));
      assertSet(await setTag(store, 'v1', { digest: two }, { expected: one }));
    });

    test('a dry run tells what a run does, and does nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const blobs = [await linkBlob(store, app, 'layer')];
      await putManifest(store, app, manifestOf({ blobs }), { tags: ['v1'] });
      const copy = (dryRun: boolean) =>
        setTag(store, 'v1', { repository: app, reference: tag('v1') }, { repository: prod, dryRun });
      const planned = await copy(true);
      assert.equal(await store.repositories.find(prod), undefined);
      assert.deepEqual(await copy(false), planned);
      assert.equal((await store.repositories.find(prod))?.manifests, 1);
    });
  });

  describeCopies(name, open);
  describeRestores(name, open);
  describeBulk(name, open);
}

function describeCopies(name: string, open: OpenMetadataStore): void {
  describe(`${name}: copying`, () => {
    test('a copy of an index brings its children and their blobs, and nothing twice', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const [shared, one, two] = await Promise.all(
        ['shared', 'one', 'two'].map((text) => linkBlob(store, app, text)),
      );
      assert.ok(shared && one && two);
      const first = { ...manifestOf({ blobs: [shared, one] }), platforms: ['linux/amd64'] };
      const second = { ...manifestOf({ blobs: [shared, two] }), platforms: ['linux/arm64'] };
      for (const child of [first, second]) await putManifest(store, app, child);
      const index = {
        ...manifestOf({ children: [first.digest, second.digest] }),
        platforms: ['linux/amd64', 'linux/arm64'],
      };
      await putManifest(store, app, index, { tags: ['multi'] });
      const from = { repository: app, reference: tag('multi') };
      const set = assertSet(await setTag(store, 'v1', from, { repository: prod }));
      assert.deepEqual(set.copied, { manifests: 3, bytes: 'sharedonetwo'.length });
      assert.equal(set.action, 'copy');
      for (const digest of [first.digest, second.digest, index.digest])
        assert.deepEqual((await store.manifests.find(prod, { digest }))?.digest, digest);
      for (const blob of [shared, one, two])
        assert.equal((await store.blobs.find(prod, blob))?.lease, 'referenced');
      const [copied, original] = [
        await store.tags.find(prod, tag('v1')),
        await store.tags.find(app, tag('multi')),
      ];
      assert.deepEqual([copied?.platforms, copied?.size], [original?.platforms, original?.size]);
      const again = assertSet(await setTag(store, 'v2', from, { repository: prod }));
      assert.deepEqual(again.copied, { manifests: 0, bytes: 0 });
      // The source may go.
      await store.manifests.remove(app, index.digest, alice);
      assert.equal((await store.manifests.find(prod, { digest: index.digest }))?.mediaType, index.mediaType);
      const pushes = (await store.events.read({ after: 0, limit: 100 })).items.filter(
        ({ kind, repository: of }) => kind === 'push' && of === prod,
      );
      assert.deepEqual(
        pushes.map(({ digest, detail }) => [digest, detail]),
        [first, second, index].map(({ digest, mediaType, bytes }) => [
          digest,
          { from: `team/app@${digest}`, mediaType, size: bytes.length },
        ]),
      );
    });

    test('what refers to it goes along when that is asked for, in both forms', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const image = await putManifest(store, app, manifestOf({ note: 'image' }), { tags: ['v1'] });
      const signature = await putManifest(store, app, {
        ...manifestOf({ subject: image, note: 's' }),
        isSignature: true,
      });
      const timestamp = await putManifest(store, app, manifestOf({ subject: signature, note: 't' }));
      const attached = `${image.replace(':', '-')}.att`;
      const attestation = await putManifest(store, app, manifestOf({ note: 'a' }), { tags: [attached] });
      const from = { repository: app, reference: tag('v1') };
      const without = assertSet(await setTag(store, 'v1', from, { repository: prod }));
      assert.deepEqual(without.referrers, { copied: 0, left: 2 });
      assert.equal((await store.tags.find(prod, tag('v1')))?.signed, false);
      const along = assertSet(await setTag(store, 'v1', from, { repository: prod, referrers: true }));
      assert.deepEqual(along.referrers, { copied: 3, left: 0 });
      for (const digest of [signature, timestamp, attestation])
        assert.notEqual(await store.manifests.stat(prod, { digest }), undefined);
      assert.equal(await targetOf(store, attached, prod), attestation);
      assert.equal((await store.tags.find(prod, tag('v1')))?.signed, true);
    });

    test('a blob in quarantine is not copied, and a quota is judged', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const location = newLocation();
      const layer = blobDigest('layer');
      const link = (at: Location) =>
        store.uploads.link({ repository: app, digest: layer, location: at, size: 5, origin: alice });
      await link(location);
      await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      await store.blobs.markDamaged(location);
      const copy = () => setTag(store, 'v1', { repository: app, reference: tag('v1') }, { repository: prod });
      assert.deepEqual(await copy(), { outcome: 'damaged', digests: [layer] });
      assert.equal(await store.repositories.find(prod), undefined);
      await link(newLocation());
      await linkBlob(store, prod, 'seed');
      await store.care.quotas.set({
        namespace: 'prod',
        quota: { bytes: 6, repositories: undefined },
        origin: alice,
      });
      await assert.rejects(copy(), (error) => error instanceof QuotaExceededError);
      assert.equal(await targetOf(store, 'v1', prod), undefined);
      await store.care.quotas.set({
        namespace: 'prod',
        quota: { bytes: 9, repositories: undefined },
        origin: alice,
      });
      assertSet(await copy());
    });

    test('a sparse manifest stays as sparse as it was', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const child = manifestOf({ note: 'later' });
      const index = await putManifest(store, app, manifestOf({ children: [child.digest] }), {
        tags: ['v1'],
        sparse: 'index',
      });
      assertSet(await setTag(store, 'v1', { repository: app, reference: index }, { repository: prod }));
      await putManifest(store, prod, child);
      assert.deepEqual(await store.manifests.remove(prod, child.digest, alice), {
        outcome: 'listed',
        parent: index,
      });
    });
  });
}

function describeRestores(name: string, open: OpenMetadataStore): void {
  describe(`${name}: what comes back`, () => {
    test('a deleted manifest comes back with its blobs, its tags that are free and what is known of it', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const blobs = [await linkBlob(store, app, 'layer')];
      const manifest = { ...manifestOf({ blobs, artifactType: 'x/y' }), platforms: ['linux/amd64'] };
      const digest = await putManifest(store, app, manifest, { tags: ['v1', 'latest'] });
      await store.manifests.recordPulls([{ repository: app, digest, pulls: 7, lastAt: 1_900_000_001 }]);
      const before = await store.tags.find(app, tag('v1'));
      await store.manifests.remove(app, digest, alice);
      const other = await putManifest(store, app, manifestOf({ note: 'other' }), { tags: ['latest'] });
      clock.advance(3 * 86_400);
      // The link is gone by now; the bytes are not.
      while ((await store.care.collector.reapLinks(100)) > 0);
      await store.care.collector.condemnBlobs(100);
      assert.equal(await store.blobs.find(app, blobs[0] as Digest), undefined);
      const [deleted, ...rest] = await deletedOf(store);
      assert.deepEqual(rest, []);
      assert.deepEqual(deleted, {
        kind: 'manifest',
        id: deleted?.id,
        repository: app,
        digest,
        mediaType: manifest.mediaType,
        tags: ['latest', 'v1'],
        size: 100,
        deletedAt: 1_900_000_000,
        deletedBy: 'alice',
        restorableSeconds: 11 * 86_400,
      });
      const id = deleted?.id ?? 0;
      const planned = await store.deleted.restoreManifest({ id, origin: bob, dryRun: true });
      assert.equal(await store.manifests.find(app, { digest }), undefined);
      const restored = await store.deleted.restoreManifest({ id, origin: bob, dryRun: false });
      assert.deepEqual(restored, {
        outcome: 'restored',
        restored: [digest],
        tags: ['v1'],
        taken: ['latest'],
      });
      assert.deepEqual(planned, restored);
      assert.deepEqual((await store.manifests.find(app, { tag: tag('v1') }))?.bytes, manifest.bytes);
      assert.equal(await targetOf(store, 'latest'), other);
      assert.equal((await store.blobs.find(app, blobs[0] as Digest))?.lease, 'referenced');
      const { pushedAt: _at, pushedBy: _by, ...known } = before ?? {};
      const { pushedAt, pushedBy, ...after } = (await store.tags.find(app, tag('v1'))) ?? {};
      assert.deepEqual(after, known);
      assert.deepEqual([pushedAt, pushedBy], [1_900_000_000 + 3 * 86_400, 'bob']);
      assert.deepEqual(await deletedOf(store), []);
      assert.deepEqual(await store.deleted.restoreManifest({ id, origin: bob, dryRun: false }), {
        outcome: 'unknown',
      });
      assert.equal((await store.repositories.find(app))?.manifests, 2);
      const { items } = await store.events.read({ after: 0, limit: 100 });
      assert.deepEqual(
        items.slice(-2).map(({ kind, digest: of, actor }) => [kind, of, actor]),
        [
          ['restore', digest, 'bob'],
          ['tag', digest, 'bob'],
        ],
      );
    });

    test('what was deleted later never has the number of something that came back or was given up', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const seen = new Set<number>();
      for (const end of ['restore', 'purge', 'restore'] as const) {
        const digest = await putManifest(store, app, manifestOf({ note: end }), { tags: [end] });
        await store.manifests.remove(app, digest, alice);
        const [deleted] = await deletedOf(store);
        const id = deleted?.id ?? 0;
        assert.ok(!seen.has(id), `${id} again`);
        seen.add(id);
        if (end === 'restore') await store.deleted.restoreManifest({ id, origin: bob, dryRun: false });
        else await store.deleted.purgeManifest(id, bob);
      }
    });

    test('a tag brings its deleted manifest back for those who may', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['v1'] });
      await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v1'] });
      await store.manifests.remove(app, digest, alice);
      assert.deepEqual(await setTag(store, 'v1', { digest }), { outcome: 'restore-denied' });
      const set = assertSet(await setTag(store, 'v1', { digest }, { mayRestore: true }));
      assert.deepEqual([set.action, set.restored], ['restore', [digest]]);
      assert.equal(await targetOf(store, 'v1'), digest);
    });

    test('an index comes back with the children that went with it, and not without', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const blob = await linkBlob(store, app, 'layer');
      const child = await putManifest(store, app, manifestOf({ blobs: [blob] }));
      const index = await putManifest(store, app, manifestOf({ children: [child] }), { tags: ['multi'] });
      const deleteBoth = async () => {
        await store.manifests.remove(app, index, alice);
        await store.manifests.remove(app, child, alice);
      };
      await deleteBoth();
      const idOf = async (digest: Digest) =>
        (await deletedOf(store)).find((each) => each.digest === digest)?.id ?? 0;
      const restored = await store.deleted.restoreManifest({
        id: await idOf(index),
        origin: bob,
        dryRun: false,
      });
      assert.deepEqual(restored, {
        outcome: 'restored',
        restored: [child, index],
        tags: ['multi'],
        taken: [],
      });
      assert.deepEqual(await store.manifests.remove(app, child, alice), { outcome: 'listed', parent: index });
      await deleteBoth();
      assert.equal(await store.deleted.purgeManifest(await idOf(child), bob), true);
      assert.equal(await store.deleted.purgeManifest(999, bob), false);
      const refused = await store.deleted.restoreManifest({
        id: await idOf(index),
        origin: bob,
        dryRun: false,
      });
      assert.deepEqual(refused, { outcome: 'incomplete', digests: [child] });
      assert.equal(await targetOf(store, 'multi'), undefined);
    });

    test('what is in quarantine does not come back until it is healed; what was pushed again is whole already', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const location = newLocation();
      const layer = blobDigest('layer');
      const link = (at: Location) =>
        store.uploads.link({ repository: app, digest: layer, location: at, size: 5, origin: alice });
      await link(location);
      const manifest = manifestOf({ blobs: [layer] });
      await putManifest(store, app, manifest, { tags: ['v1'] });
      await store.manifests.remove(app, manifest.digest, alice);
      await store.blobs.markDamaged(location);
      const [deleted] = await deletedOf(store);
      const restore = () =>
        store.deleted.restoreManifest({ id: deleted?.id ?? 0, origin: bob, dryRun: false });
      assert.deepEqual(await restore(), { outcome: 'damaged', digests: [layer] });
      await link(newLocation());
      await putManifest(store, app, manifest);
      assert.deepEqual(await restore(), { outcome: 'restored', restored: [], tags: ['v1'], taken: [] });
      assert.deepEqual(await deletedOf(store), []);
    });

    test('the past tells what became of a manifest', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const one = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['v1'] });
      const two = await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v1'] });
      await putManifest(store, app, manifestOf({ note: '3' }), { tags: ['v1'] });
      for (const digest of [one, two]) await store.manifests.remove(app, digest, alice);
      const [, first] = await deletedOf(store);
      await store.deleted.purgeManifest(first?.id ?? 0, alice);
      clock.advance(86_400);
      const { items } = await store.tags.history({ repository: app, tag: tag('v1'), limit: 10 });
      assert.deepEqual(
        items.map(({ state, restorableSeconds }) => [state, restorableSeconds]),
        [
          ['live', undefined],
          ['deleted', 13 * 86_400],
          ['gone', undefined],
        ],
      );
    });

    test('a removed tag whose manifest is there is listed and comes back once', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}), { tags: ['v1', 'v2', 'v3'] });
      for (const each of ['v1', 'v2']) await store.tags.remove(app, tag(each), alice);
      assertSet(await setTag(store, 'v2', { digest }));
      const { items } = await store.deleted.listTags({ repository: app, limit: 10 });
      assert.deepEqual(
        items.map(({ name: of, digest: target, deletedBy }) => [of, target, deletedBy]),
        [['v1', digest, 'alice']],
      );
      const [{ id } = { id: 0 }] = items;
      assert.equal((await store.deleted.findTag(id))?.name, 'v1');
      const restore = () => store.deleted.restoreTag({ id, origin: bob, dryRun: false });
      assert.deepEqual(await restore(), { outcome: 'restored', restored: [], tags: ['v1'], taken: [] });
      assert.deepEqual(await restore(), { outcome: 'taken' });
      assert.deepEqual((await store.deleted.listTags({ limit: 10 })).items, []);
      // With its manifest it is part of that.
      await store.manifests.remove(app, digest, alice);
      assert.deepEqual((await store.deleted.listTags({ limit: 10 })).items, []);
      assert.deepEqual(await store.deleted.restoreTag({ id: 999, origin: bob, dryRun: false }), {
        outcome: 'unknown',
      });
    });
  });
}

function describeBulk(name: string, open: OpenMetadataStore): void {
  describe(`${name}: removing many tags`, () => {
    test('goes by glob and age, in bounded steps, and a dry run foresees it', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const old = manifestOf({ note: 'old' });
      const tags = Array.from({ length: 250 }, (_, at) => `pr-${String(at).padStart(3, '0')}`);
      await putManifest(store, app, old, { tags: [...tags, 'keep', 'pr'] });
      clock.advance(1000);
      await putManifest(store, app, manifestOf({ note: 'new' }), { tags: ['pr-999'] });
      const remove = async (dryRun: boolean) => {
        const removed: string[] = [];
        let after: string | undefined;
        let steps = 0;
        do {
          const filter = { matching: 'pr-*', pushedBefore: 1_900_000_500 };
          const part = await store.tags.removeMatching({
            repository: app,
            filter,
            after,
            dryRun,
            origin: bob,
          });
          assert.ok(part && part.deleted.length <= 100);
          removed.push(...part.deleted.map((each) => each.name));
          after = part.next;
          steps += 1;
        } while (after !== undefined);
        assert.equal(steps, 3);
        return removed;
      };
      const planned = await remove(true);
      assert.deepEqual(planned, tags);
      assert.deepEqual(await remove(false), planned);
      const left = await store.tags.list(app, { limit: 10 });
      assert.deepEqual(left?.items, ['keep', 'pr', 'pr-999']);
      const none = {
        repository: repository('team/none'),
        filter: { matching: '*' },
        dryRun: false,
        origin: bob,
      };
      assert.equal(await store.tags.removeMatching(none), undefined);
    });

    test('what was pulled lately stays, and what never was counts from its push', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const pulled = await putManifest(store, app, manifestOf({ note: 'pulled' }), { tags: ['pulled'] });
      await putManifest(store, app, manifestOf({ note: 'idle' }), { tags: ['idle'] });
      clock.advance(1000);
      await putManifest(store, app, manifestOf({ note: 'fresh' }), { tags: ['fresh'] });
      await store.manifests.recordPulls([
        { repository: app, digest: pulled, pulls: 1, lastAt: 1_900_000_900 },
      ]);
      const filter = { matching: '*', pulledBefore: 1_900_000_800 };
      const removed = await store.tags.removeMatching({
        repository: app,
        filter,
        dryRun: false,
        origin: bob,
      });
      assert.deepEqual(
        removed?.deleted.map((each) => each.name),
        ['idle'],
      );
    });
  });
}
