// Contract: what the collector may take back, and what it must leave.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SurveyCursor } from '../../src/storage/care-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
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
const { leaseSeconds, undeleteSeconds, unlinkDelaySeconds } = keepTimes;

async function survey(store: MetadataStore, everything = false) {
  const sum = { going: 0, undelete: 0, lease: 0 };
  let from: SurveyCursor | undefined;
  do {
    const page = await store.care.collector.survey({ everything, from });
    sum.going += page.going.bytes;
    sum.undelete += page.undelete.bytes;
    sum.lease += page.lease.bytes;
    from = page.next;
  } while (from !== undefined);
  return sum;
}

export function describeCollectorStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: collection`, () => {
    test('a link goes when nothing references it and its lease is over, and not a second before', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      clock.advance(leaseSeconds - 1);
      assert.equal(await store.care.collector.reapLinks(100), 0);
      clock.jump(10 * leaseSeconds);
      assert.equal(await store.care.collector.reapLinks(100), 0);
      clock.advance(1);
      assert.equal(await store.care.collector.reapLinks(100), 1);
      assert.equal(await store.blobs.find(app, digest), undefined);
    });

    test('a link that a manifest references stays, however old', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      await putManifest(store, app, manifestOf({ blobs: [digest] }));
      clock.advance(100 * leaseSeconds);
      assert.equal(await store.care.collector.reapLinks(100), 0);
      assert.deepEqual(await store.care.collector.condemnBlobs(100), { blobs: 0, bytes: 0, reviewed: 0 });
      assert.equal((await store.blobs.find(app, digest))?.lease, 'referenced');
    });

    test('a blob is condemned after its last link, and its file waits for the delay', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = blobDigest('layer');
      const location = newLocation();
      await store.uploads.link({ repository: app, digest, location, size: 5, origin: alice });
      await linkBlob(store, other, 'layer');
      await store.blobs.unlink(app, digest, alice);
      assert.deepEqual(await store.care.collector.condemnBlobs(100), { blobs: 0, bytes: 0, reviewed: 1 });
      await store.blobs.unlink(other, digest, alice);
      assert.deepEqual(await store.care.collector.condemnBlobs(100), { blobs: 1, bytes: 5, reviewed: 1 });
      assert.equal((await store.repositories.totals()).blobs, 0);
      const queued = await store.care.collector.countUnlinks();
      assert.equal((await store.care.collector.filterUnknown([location])).length, 0);
      clock.advance(unlinkDelaySeconds);
      const due = await store.blobs.listDueUnlinks(10);
      assert.equal(due.length, queued);
      assert.ok(due.includes(location));
      await store.blobs.dropUnlinks(due);
      assert.deepEqual(await store.care.collector.filterUnknown([location]), [location]);
    });

    test('content that comes again between the last link and the condemnation stays', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await store.blobs.unlink(app, digest, alice);
      await linkBlob(store, other, 'layer');
      assert.equal((await store.care.collector.condemnBlobs(100)).blobs, 0);
      assert.notEqual(await store.blobs.find(other, digest), undefined);
    });

    test('a deleted manifest keeps its blobs until its time is over, or it is given up', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { collector } = store.care;
      for (const note of ['timely', 'given up']) {
        const digest = await linkBlob(store, app, note);
        const manifest = await putManifest(store, app, manifestOf({ blobs: [digest], note }));
        await store.manifests.remove(app, manifest, alice);
        clock.advance(leaseSeconds);
        await collector.reapLinks(100);
        assert.deepEqual(await collector.purgeTrash({ everything: false, limit: 100 }), {
          manifests: 0,
          more: false,
        });
        assert.equal((await collector.condemnBlobs(100)).blobs, 0);
        if (note === 'timely') clock.advance(undeleteSeconds - leaseSeconds);
        const everything = note !== 'timely';
        assert.equal(await collector.countTrash({ everything }), 1);
        assert.equal((await collector.purgeTrash({ everything, limit: 100 })).manifests, 1);
        assert.equal((await collector.condemnBlobs(100)).blobs, 1);
      }
    });

    test('a deleted repository keeps everything until its time is over, and then goes with all of it', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { collector } = store.care;
      const lost = repository('acme/lost');
      await store.accounts.organizations.add({ name: 'acme', owner: undefined, origin: alice });
      const layers = await Promise.all(['1', '2', '3'].map((text) => linkBlob(store, lost, text)));
      const shared = await linkBlob(store, app, '1');
      await putManifest(store, app, manifestOf({ blobs: [shared] }), { tags: ['kept'] });
      const child = await putManifest(store, lost, manifestOf({ blobs: layers }), { tags: ['v1'] });
      await putManifest(store, lost, manifestOf({ children: [child] }), { tags: ['v1-index', 'latest'] });
      const trashed = await putManifest(store, lost, manifestOf({ blobs: layers, note: 'trashed' }));
      await store.manifests.remove(lost, trashed, alice);
      await store.accounts.organizations.remove({ name: 'acme', origin: alice });
      clock.advance(undeleteSeconds - 1);
      const purge = { everything: false, limit: 100 };
      assert.deepEqual(await collector.purgeRepositories(purge), { manifests: 0, more: false });
      clock.advance(1);
      let manifests = 0;
      for (let more = true; more; ) {
        const purged = await collector.purgeRepositories({ everything: false, limit: 2 });
        manifests += purged.manifests;
        more = purged.more;
      }
      assert.equal(manifests, 2);
      assert.equal((await collector.condemnBlobs(100)).blobs, 2, 'the blobs that nobody else has');
      assert.equal((await store.blobs.find(app, shared))?.lease, 'referenced');
      const { manifests: left, tags, blobs } = await store.repositories.totals();
      assert.deepEqual({ left, tags, blobs }, { left: 1, tags: 1, blobs: 1 });
    });

    test('a purge stops at its limit of rows, and says that there is more', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const blobs = await Promise.all(['1', '2', '3'].map((text) => linkBlob(store, app, text)));
      for (const note of ['a', 'b', 'c']) {
        const manifest = await putManifest(store, app, manifestOf({ blobs, note }));
        await store.manifests.remove(app, manifest, alice);
      }
      const purge = { everything: true, limit: 8 };
      assert.deepEqual(await store.care.collector.purgeTrash(purge), { manifests: 2, more: true });
      assert.deepEqual(await store.care.collector.purgeTrash(purge), { manifests: 1, more: false });
    });

    test('the survey counts each blob once and under the reason that holds it longest', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const referenced = await linkBlob(store, app, 'referenced');
      await putManifest(store, app, manifestOf({ blobs: [referenced] }));
      await linkBlob(store, other, 'referenced');
      const deleted = await linkBlob(store, app, 'deleted');
      const manifest = await putManifest(store, app, manifestOf({ blobs: [deleted] }));
      await store.manifests.remove(app, manifest, alice);
      for (const name of [app, other]) await linkBlob(store, name, 'gone');
      clock.advance(leaseSeconds);
      for (const name of [app, other]) await linkBlob(store, name, 'new one');
      const unlinked = await linkBlob(store, app, 'unlinked');
      await store.blobs.unlink(app, unlinked, alice);
      const bytes = { going: 'gone'.length + 'unlinked'.length, undelete: 'deleted'.length, lease: 7 };
      assert.deepEqual(await survey(store), bytes);
      assert.deepEqual(await survey(store, true), { ...bytes, going: bytes.going + 7, undelete: 0 });
    });

    test('the survey counts what deleted repositories hold, and foresees what goes with them', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { collector } = store.care;
      const [first, second] = [repository('team/first'), repository('team/second')];
      const layers = await Promise.all(
        Array.from({ length: 260 }, (_, count) => linkBlob(store, first, `layer ${100 + count}`)),
      );
      await putManifest(store, first, manifestOf({ blobs: layers }));
      // In both of them, in one and a deleted manifest, in one and a live repository.
      const shared = ['both', 'trash', 'live'].flatMap((text) => [first, second].map(() => text));
      const links = await Promise.all(
        shared.map((text, count) => linkBlob(store, count % 2 ? first : second, text)),
      );
      for (const name of [first, second]) await putManifest(store, name, manifestOf({ blobs: links }));
      const trashed = await putManifest(
        store,
        other,
        manifestOf({ blobs: [await linkBlob(store, other, 'trash')] }),
      );
      await putManifest(store, app, manifestOf({ blobs: [await linkBlob(store, app, 'live')] }));
      clock.advance(leaseSeconds);
      await linkBlob(store, other, 'both');
      await store.manifests.remove(other, trashed, alice);
      for (const name of [first, second]) await store.repositories.remove({ name, origin: alice });
      const held = 260 * 'layer 100'.length + 'both'.length + 'trash'.length;
      assert.deepEqual(await survey(store), { going: 0, undelete: held, lease: 0 });
      const promised = 'both'.length + 'trash'.length;
      assert.deepEqual(await survey(store, true), { going: held - promised, undelete: 0, lease: promised });
      assert.equal(await collector.countTrash({ everything: false }), 0);
      assert.equal(await collector.countTrash({ everything: true }), 4);
      clock.advance(Math.max(leaseSeconds, undeleteSeconds));
      assert.deepEqual(await survey(store), { going: held, undelete: 0, lease: 0 });
      const options = { everything: false, limit: 1000 };
      while ((await collector.purgeTrash(options)).more);
      while ((await collector.purgeRepositories(options)).more);
      while ((await collector.reapLinks(1000)) > 0);
      assert.equal((await collector.condemnBlobs(1000)).bytes, held);
      assert.deepEqual(await survey(store), { going: 0, undelete: 0, lease: 0 });
    });

    test('the survey goes through any number of rows, and what it foresees is what goes', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const names = [app, other];
      for (let count = 0; count < 600; count += 1)
        await linkBlob(store, names[count % 2] ?? app, `b${count}`);
      clock.advance(leaseSeconds);
      const foreseen = await survey(store);
      let bytes = 0;
      while ((await store.care.collector.reapLinks(100)) > 0);
      for (let reviewed = 100; reviewed === 100; ) {
        const condemned = await store.care.collector.condemnBlobs(100);
        bytes += condemned.bytes;
        reviewed = condemned.reviewed;
      }
      assert.deepEqual(foreseen, { going: bytes, undelete: 0, lease: 0 });
    });
  });

  describeHistory(name, open);
}

function describeHistory(name: string, open: OpenMetadataStore): void {
  describe(`${name}: expiry of history`, () => {
    test('rows go by uptime and only when they tell of nothing that could be restored', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { collector } = store.care;
      const kept = await putManifest(store, app, manifestOf({ note: 'kept' }), { tags: ['v1'] });
      const gone = await putManifest(store, app, manifestOf({ note: 'gone' }), { tags: ['v1'] });
      await store.manifests.remove(app, gone, alice);
      const expire = () => collector.expireHistory({ keepSeconds: 1000, after: 0, limit: 100 });
      assert.equal(await collector.markHistory(), true);
      assert.equal(await collector.markHistory(), false);
      await collector.purgeTrash({ everything: true, limit: 100 });
      clock.jump(100_000);
      assert.equal((await expire()).dropped, 0);
      clock.advance(1000);
      const later = await putManifest(store, app, manifestOf({ note: 'later' }), { tags: ['v1'] });
      assert.deepEqual(await expire(), { dropped: 2, next: undefined });
      const history = await store.events.tagHistory(app, 'v1' as never, 10);
      assert.deepEqual(
        history.map(({ digest }) => digest),
        [later, kept],
      );
    });
  });
}
