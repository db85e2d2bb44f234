// Contract: setting tags (retag and copy), and a tag's past.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Location } from '../../src/storage/blob-store.ts';
import { QuotaExceededError } from '../../src/storage/care-store.ts';
import type { SetTagOutcome } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  manifestOf,
  manualClock,
  newLocation,
  putManifest,
  tag,
} from '../support/metadata.ts';
import { app, assertSet, prod, setTag, targetOf } from '../support/tagging.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

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
