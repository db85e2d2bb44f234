// Contract: blobs through repositories: links, leases, mounts, damage, what may be unlinked.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
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
const lease = keepTimes.leaseSeconds;

async function leaseOf(store: MetadataStore, name: RepositoryName, digest: Digest) {
  return (await store.blobs.find(name, digest))?.lease;
}

async function locationOf(store: MetadataStore, name: RepositoryName, digest: Digest) {
  const found = await store.blobs.find(name, digest);
  assert.ok(found !== undefined);
  return found.location;
}

export function describeBlobIndex(name: string, open: OpenMetadataStore): void {
  describe(`${name}: links of blobs`, () => {
    test('a blob is seen only through a repository that links it', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const location = newLocation();
      const digest = blobDigest('layer');
      await store.uploads.link({ repository: app, digest, location, size: 5, origin: alice });
      assert.deepEqual(await store.blobs.find(app, digest), { digest, location, size: 5, lease });
      assert.equal(await store.blobs.find(other, digest), undefined);
      assert.equal(await store.blobs.find(app, blobDigest('x')), undefined);
    });

    test('a mount gives the target a link with a lease of its own, and is told once', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      clock.advance(1000);
      const mount = { from: app, to: other, digest, origin: alice };
      assert.equal(await store.blobs.mount(mount), true);
      assert.equal(await leaseOf(store, app, digest), lease - 1000);
      assert.equal(await leaseOf(store, other, digest), lease);
      assert.equal(await store.blobs.mount(mount), true);
      const { items } = await store.events.read({ after: 0, limit: 10 });
      assert.deepEqual(
        items.map((event) => [event.kind, event.repository, event.digest]),
        [['mount', 'team/other', digest]],
      );
    });

    test('a mount from where the blob is not makes nothing, not even a repository', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const origin = alice;
      assert.equal(await store.blobs.mount({ from: other, to: repository('a/b'), digest, origin }), false);
      const absent = blobDigest('x');
      assert.equal(
        await store.blobs.mount({ from: app, to: repository('a/b'), digest: absent, origin }),
        false,
      );
      assert.equal(await store.repositories.find(repository('a/b')), undefined);
    });

    test('the repositories that link a blob are listed up to a limit', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const names = ['a/1', 'a/2', 'a/3'].map(repository);
      const digest = blobDigest('layer');
      for (const each of names) await linkBlob(store, each, 'layer');
      assert.deepEqual([...(await store.blobs.listLinking(digest, 10))].sort(), names);
      assert.equal((await store.blobs.listLinking(digest, 2)).length, 2);
      assert.deepEqual(await store.blobs.listLinking(blobDigest('x'), 2), []);
    });

    test('an unlinked blob is gone from this repository alone, and it is told', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await linkBlob(store, other, 'layer');
      assert.deepEqual(await store.blobs.unlink(app, digest, alice), { outcome: 'removed' });
      assert.equal(await store.blobs.find(app, digest), undefined);
      assert.notEqual(await store.blobs.find(other, digest), undefined);
      assert.deepEqual(await store.blobs.unlink(app, digest, alice), { outcome: 'unknown' });
      const { items } = await store.events.read({ after: 0, limit: 10 });
      assert.deepEqual(
        items.map((event) => event.kind),
        ['unlink'],
      );
    });

    test('a blob that a manifest references cannot be unlinked', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const manifest = await putManifest(store, app, manifestOf({ blobs: [digest] }));
      assert.deepEqual(await store.blobs.unlink(app, digest, alice), { outcome: 'referenced', manifest });
      await store.manifests.remove(app, manifest, alice);
      assert.deepEqual(await store.blobs.unlink(app, digest, alice), { outcome: 'removed' });
    });
  });

  describeLeases(name, open);
  describeDamage(name, open);
}

function describeLeases(name: string, open: OpenMetadataStore): void {
  describe(`${name}: leases`, () => {
    test('a lease runs down with uptime, to nothing, and not with the wall clock', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      clock.jump(10 * lease);
      assert.equal(await leaseOf(store, app, digest), lease);
      clock.advance(lease - 1);
      assert.equal(await leaseOf(store, app, digest), 1);
      clock.advance(lease);
      assert.equal(await leaseOf(store, app, digest), 0);
    });

    test('extending a lease makes it full again; pushing the blob again too', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      clock.advance(lease / 2);
      assert.equal(await store.blobs.extendLease(app, digest), true);
      assert.equal(await leaseOf(store, app, digest), lease);
      clock.advance(2 * lease);
      await linkBlob(store, app, 'layer');
      assert.equal(await leaseOf(store, app, digest), lease);
    });

    test('a link that is gone or was never there cannot be extended', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      assert.equal(await store.blobs.extendLease(other, digest), false);
      await store.blobs.unlink(app, digest, alice);
      assert.equal(await store.blobs.extendLease(app, digest), false);
    });

    test('a referenced blob needs no lease and gets a full one when its last manifest goes', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      const first = await putManifest(store, app, manifestOf({ blobs: [digest], note: '1' }));
      const second = await putManifest(store, app, manifestOf({ blobs: [digest], note: '2' }));
      clock.advance(5 * lease);
      assert.equal(await leaseOf(store, app, digest), 'referenced');
      assert.equal(await store.blobs.extendLease(app, digest), true);
      await linkBlob(store, app, 'layer');
      assert.equal(await leaseOf(store, app, digest), 'referenced');
      await store.manifests.remove(app, first, alice);
      assert.equal(await leaseOf(store, app, digest), 'referenced');
      await store.manifests.remove(app, second, alice);
      assert.equal(await leaseOf(store, app, digest), lease);
    });

    test('a manifest of one repository does not hold the link of another', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await linkBlob(store, other, 'layer');
      await putManifest(store, app, manifestOf({ blobs: [digest] }));
      assert.equal(await leaseOf(store, other, digest), lease);
      assert.deepEqual(await store.blobs.unlink(other, digest, alice), { outcome: 'removed' });
    });
  });
}

function describeDamage(name: string, open: OpenMetadataStore): void {
  describe(`${name}: copies and damage`, () => {
    test('a healthy copy is kept and the location of the second one queued', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      const kept = await locationOf(store, app, digest);
      const loser = newLocation();
      await store.uploads.link({ repository: other, digest, location: loser, size: 5, origin: alice });
      assert.equal(await locationOf(store, other, digest), kept);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), []);
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), [loser]);
      await store.blobs.dropUnlinks([loser, newLocation()]);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), []);
    });

    test('due unlinks come oldest first, up to a limit', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      const losers = Array.from({ length: 3 }, () => newLocation());
      for (const location of losers) {
        await store.uploads.link({ repository: app, digest, location, size: 5, origin: alice });
        clock.advance(10);
      }
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual(await store.blobs.listDueUnlinks(2), losers.slice(0, 2));
    });

    test('a damaged blob is unknown everywhere', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await linkBlob(store, other, 'layer');
      await store.blobs.markDamaged(await locationOf(store, app, digest));
      assert.equal(await store.blobs.find(app, digest), undefined);
      assert.equal(await store.blobs.find(other, digest), undefined);
      assert.deepEqual(await store.blobs.listLinking(digest, 10), []);
      const mount = { from: app, to: repository('a/b'), digest, origin: alice };
      assert.equal(await store.blobs.mount(mount), false);
      assert.equal(await store.blobs.extendLease(app, digest), false);
      assert.deepEqual(await store.blobs.unlink(app, digest, alice), { outcome: 'unknown' });
    });

    test('pushing a damaged blob anywhere heals it for everybody, and its old location is queued', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const digest = await linkBlob(store, app, 'layer');
      await putManifest(store, app, manifestOf({ blobs: [digest] }));
      const broken = await locationOf(store, app, digest);
      await store.blobs.markDamaged(broken);
      const location = newLocation();
      await store.uploads.link({ repository: other, digest, location, size: 5, origin: alice });
      assert.deepEqual(await store.blobs.find(app, digest), {
        digest,
        location,
        size: 5,
        lease: 'referenced',
      });
      assert.equal(await locationOf(store, other, digest), location);
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), [broken]);
    });

    test('a location that is no longer the blob’s damages nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const broken = await locationOf(store, app, digest);
      await store.blobs.markDamaged(broken);
      await linkBlob(store, app, 'layer');
      await store.blobs.markDamaged(broken);
      await store.blobs.markDamaged(newLocation());
      assert.notEqual(await store.blobs.find(app, digest), undefined);
    });
  });
}
