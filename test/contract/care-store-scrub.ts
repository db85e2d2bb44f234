// Contract: what the scrub compares and mends.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  alice,
  blobDigest,
  keepTimes,
  linkBlob,
  manifestOf,
  manualClock,
  newLocation,
  putManifest,
  repository,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const other = repository('team/other');

export function describeScrubStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: scrub`, () => {
    test('blobs are listed in order of arrival, and those first that were checked longest ago', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      for (const text of ['a', 'b', 'c']) {
        await linkBlob(store, app, text);
        clock.advance(10);
      }
      const [first, ...rest] = await store.care.scrub.listBlobs({ after: 0, limit: 10 });
      assert.ok(first !== undefined);
      assert.deepEqual(
        [first, ...rest].map(({ digest }) => digest),
        ['a', 'b', 'c'].map(blobDigest),
      );
      assert.equal(
        (await store.care.scrub.listBlobs({ after: first.cursor, limit: 1 }))[0]?.digest,
        blobDigest('b'),
      );
      await store.care.scrub.noteSound([first.location]);
      const oldest = await store.care.scrub.listOldestChecked(10);
      assert.deepEqual(
        oldest.map(({ digest }) => digest),
        ['b', 'c', 'a'].map(blobDigest),
      );
    });

    test('what is damaged is listed with the repositories and tags that it touches', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const image = await putManifest(store, app, manifestOf({ blobs: [digest] }), {
        tags: ['v1', 'latest'],
      });
      await putManifest(store, app, manifestOf({ children: [image] }), { tags: ['all'] });
      await linkBlob(store, other, 'layer');
      const [blob] = await store.care.scrub.listBlobs({ after: 0, limit: 1 });
      assert.ok(blob !== undefined);
      assert.deepEqual((await store.care.scrub.listDamaged({ limit: 10 })).items, []);
      assert.equal(await store.blobs.markDamaged(blob.location), true);
      assert.equal(await store.blobs.markDamaged(blob.location), false);
      const [damaged] = (await store.care.scrub.listDamaged({ limit: 10 })).items;
      assert.equal(damaged?.digest, digest);
      assert.deepEqual(damaged?.touches, [
        { repository: app, tags: ['all', 'latest', 'v1'] },
        { repository: other, tags: [] },
      ]);
      await store.care.scrub.noteSound([blob.location]);
      assert.deepEqual((await store.care.scrub.listDamaged({ limit: 10 })).items, []);
      assert.notEqual(await store.blobs.find(other, digest), undefined);
    });

    test('a damaged blob takes another copy, unless that is about to be removed', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      const [blob] = await store.care.scrub.listBlobs({ after: 0, limit: 1 });
      assert.ok(blob !== undefined);
      const queued = newLocation();
      await store.uploads.link({ repository: app, digest, location: queued, size: 5, origin: alice });
      const to = newLocation();
      assert.equal(await store.care.scrub.adoptCopy({ digest, to, size: 5 }), false);
      await store.blobs.markDamaged(blob.location);
      assert.equal(await store.care.scrub.adoptCopy({ digest, to: queued, size: 5 }), false);
      assert.equal(await store.care.scrub.adoptCopy({ digest, to, size: 5 }), true);
      assert.equal((await store.blobs.find(app, digest))?.location, to);
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual([...(await store.blobs.listDueUnlinks(10))].sort(), [queued, blob.location].sort());
    });

    test('manifests are listed with the references that their rows tell of', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const image = await putManifest(store, app, manifestOf({ blobs: [digest] }));
      const absent = blobDigest('absent');
      await putManifest(store, app, manifestOf({ children: [image, absent] }), { sparse: 'index' });
      const listed = await store.care.scrub.listManifests({ after: 0, limit: 10 });
      assert.deepEqual(
        listed.map(({ blobs, children, missing }) => ({ blobs, children, missing })),
        [
          { blobs: [digest], children: [], missing: [] },
          { blobs: [], children: [image], missing: [absent] },
        ],
      );
      assert.equal(listed[0]?.repository, app);
    });

    test('links whose lease fits their edges are no fault', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await linkBlob(store, app, 'free');
      await putManifest(store, app, manifestOf({ blobs: [digest] }));
      const page = await store.care.scrub.checkLinks({ after: [0, 0], limit: 2, repair: false });
      assert.equal(page.faults, 0);
      assert.notEqual(page.next, undefined);
      const rest = await store.care.scrub.checkLinks({ after: page.next ?? [0, 0], limit: 2, repair: false });
      assert.deepEqual(rest, { faults: 0, next: undefined });
    });

    test('a sound database is found sound, and the result is remembered', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.equal(await store.care.scrub.integrity(), undefined);
      for (const deep of [false, true]) {
        const result = await store.care.scrub.checkIntegrity({ deep });
        assert.deepEqual([result.sound, result.faults], [true, []]);
        assert.deepEqual(await store.care.scrub.integrity(), result);
      }
    });
  });
}
