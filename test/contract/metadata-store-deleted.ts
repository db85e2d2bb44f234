// Contract: what comes back from the trash, and removing many tags.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { Location } from '../../src/storage/blob-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
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
import { app, assertSet, bob, deletedOf, prod, setTag, targetOf } from '../support/tagging.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

export function describeDeleted(name: string, open: OpenMetadataStore): void {
  describeRestores(name, open);
  describeNumbers(name, open);
  describeBulk(name, open);
}

/** Removes a tag whose manifest stays; answers the number by which that is named. */
async function numberOfRemoved(store: MetadataStore, of: RepositoryName, name: string): Promise<number> {
  await putManifest(store, of, manifestOf({ note: name }), { tags: [name] });
  await store.tags.remove(of, tag(name), bob);
  const { items } = await store.deleted.listTags({ repository: of, limit: 100 });
  return items.find((removed) => removed.name === name)?.id ?? 0;
}

async function collectDeleted({ care }: MetadataStore): Promise<void> {
  while ((await care.collector.purgeRepositories({ everything: true, limit: 100 })).more);
}

function describeNumbers(name: string, open: OpenMetadataStore): void {
  describe(`${name}: the number of what was deleted`, () => {
    test('never names another tag, whatever becomes of the repository or the history it was in', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const seen: number[] = [];
      const add = async (of: RepositoryName, tagged: string): Promise<void> => {
        const number = await numberOfRemoved(store, of, tagged);
        assert.ok(number > 0 && !seen.includes(number), `${tagged}: ${number} after ${seen}`);
        seen.push(number);
      };
      await add(app, 'early');
      await add(prod, 'v1');
      await store.repositories.remove({ name: prod, origin: bob });
      await collectDeleted(store);
      await add(app, 'after-purge');
      // History that is old, of a manifest that is gone: its newest row goes, too.
      await store.care.collector.markHistory();
      clock.advance(10 * 86_400);
      const expire = { keepSeconds: 86_400, after: 0, limit: 1000 };
      const { items } = await store.deleted.listTags({ repository: app, limit: 100 });
      assert.equal(items.length, 2);
      assert.ok((await store.care.collector.expireHistory(expire)).dropped > 0);
      await add(app, 'after-time');
    });

    test('never names another repository after the first one was purged', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const seen: number[] = [];
      for (const round of ['first', 'second', 'third']) {
        const of = repository(`team/${round}`);
        await putManifest(store, of, manifestOf({}));
        await store.repositories.remove({ name: of, origin: bob });
        const id = (await store.repositories.listDeleted({ limit: 5 })).items[0]?.id ?? 0;
        assert.ok(id > 0 && !seen.includes(id), `${id} after ${seen}`);
        seen.push(id);
        await collectDeleted(store);
      }
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
