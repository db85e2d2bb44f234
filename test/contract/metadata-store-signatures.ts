// Contract: simple signatures beside their manifests.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  keepTimes,
  manifestOf,
  manualClock,
  putManifest,
  repository,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const first = { name: '0'.repeat(32), content: Buffer.from('signed by alice') };
const second = { name: 'f'.repeat(32), content: Buffer.from('signed by bob') };

export function describeSignatureStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: signatures`, () => {
    const add = (
      store: MetadataStore,
      digest: ReturnType<typeof blobDigest>,
      signature = first,
      most = 100,
    ) => store.signatures.add({ repository: app, digest, signature, most, origin: alice });

    test('a manifest has those that were added to it, in order of name, and an event tells of each', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}));
      assert.equal(await add(store, digest, second), 'added');
      assert.equal(await add(store, digest, first), 'added');
      assert.deepEqual(await store.signatures.list(app, digest), [first, second]);
      assert.deepEqual(await store.signatures.list(repository('team/other'), digest), []);
      const { items } = await store.events.read({ after: 0, limit: 100 });
      const told = items.filter(({ kind }) => kind === 'sign');
      assert.deepEqual(
        told.map((event) => [event.repository, event.reference, event.digest, event.actor]),
        [second, first].map((signature) => ['team/app', signature.name, digest, 'alice']),
      );
    });

    test('a name is taken once, and only so many fit', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}));
      await add(store, digest);
      assert.equal(await add(store, digest, { ...first, content: Buffer.from('another') }), 'exists');
      assert.equal(await add(store, digest, first, 1), 'exists');
      assert.equal(await add(store, digest, second, 1), 'too-many');
      assert.deepEqual(await store.signatures.list(app, digest), [first]);
    });

    test('what is not there cannot be signed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.equal(await add(store, blobDigest('nothing')), 'unknown');
      await putManifest(store, app, manifestOf({}));
      assert.equal(await add(store, blobDigest('nothing')), 'unknown');
    });

    test('they are there when the manifest comes back, and go along when the repository moves', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const child = await putManifest(store, app, manifestOf({ note: 'child' }));
      const index = await putManifest(store, app, manifestOf({ children: [child] }));
      for (const digest of [child, index]) await add(store, digest);
      for (const digest of [index, child]) await store.manifests.remove(app, digest, alice);
      const { items } = await store.deleted.listManifests({ limit: 5 });
      const id = items.find(({ digest }) => digest === index)?.id ?? 0;
      const restored = await store.deleted.restoreManifest({ id, origin: alice, dryRun: false });
      assert.deepEqual(restored, { outcome: 'restored', restored: [child, index], tags: [], taken: [] });
      for (const digest of [child, index])
        assert.deepEqual(await store.signatures.list(app, digest), [first]);
      const to = repository('other/app');
      await store.repositories.move({ from: app, to, origin: alice });
      for (const digest of [child, index]) assert.deepEqual(await store.signatures.list(to, digest), [first]);
      await store.manifests.remove(to, index, alice);
      const [last] = (await store.deleted.listManifests({ limit: 5 })).items;
      await store.deleted.purgeManifest(last?.id ?? 0, alice);
      assert.deepEqual(await store.signatures.list(to, index), [], 'it was given up');
    });

    test('they outlive a delete as long as the manifest could come back, and no longer', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await putManifest(store, app, manifestOf({}));
      await add(store, digest);
      await store.manifests.remove(app, digest, alice);
      assert.deepEqual(await store.signatures.list(app, digest), [first]);
      await putManifest(store, app, manifestOf({}));
      clock.advance(keepTimes.undeleteSeconds + 1);
      await store.care.collector.purgeTrash({ everything: false, limit: 100 });
      assert.deepEqual(await store.signatures.list(app, digest), [first], 'it was pushed again');
      await store.manifests.remove(app, digest, alice);
      clock.advance(keepTimes.undeleteSeconds + 1);
      await store.care.collector.purgeTrash({ everything: false, limit: 100 });
      assert.deepEqual(await store.signatures.list(app, digest), []);
    });
  });
}
