// Contract: what a manifest refers to (blobs, children, subject), also while it is absent.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import type { MetadataStore, SparseMode } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  type ManifestParts,
  manifestOf,
  manualClock,
  newLocation,
  putManifest,
  repository,
  roomy,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const other = repository('team/other');

function put(store: MetadataStore, parts: ManifestParts, sparse: SparseMode = 'none') {
  return store.manifests.put({
    repository: app,
    manifest: manifestOf(parts),
    tags: [],
    sparse,
    origin: alice,
  });
}

const stored = { outcome: 'stored', created: true } as const;
const missing = (...digests: Digest[]) => ({ outcome: 'missing', missing: digests });

export function describeReferences(name: string, open: OpenMetadataStore): void {
  describe(`${name}: references of manifests`, () => {
    test('a manifest whose blobs are not linked here is refused whole, and all of them are named', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const here = await linkBlob(store, app, 'here');
      const there = await linkBlob(store, other, 'there');
      const nowhere = blobDigest('nowhere');
      assert.deepEqual(await put(store, { blobs: [there, here, nowhere] }), missing(there, nowhere));
      assert.equal((await store.repositories.find(app))?.manifests, 0);
      assert.equal((await store.events.read({ after: 0, limit: 10 })).items.length, 0);
      assert.equal(typeof (await store.blobs.find(app, here))?.lease, 'number');
    });

    test('a refused manifest makes no repository', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.deepEqual(await put(store, { blobs: [blobDigest('x')] }), missing(blobDigest('x')));
      assert.equal(await store.repositories.find(app), undefined);
    });

    test('a child is a manifest of the repository or a linked blob', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const manifest = await putManifest(store, app, manifestOf({ note: 'child' }));
      const elsewhere = await putManifest(store, other, manifestOf({ note: 'elsewhere' }));
      const blob = await linkBlob(store, app, 'cache');
      assert.deepEqual(await put(store, { children: [manifest, elsewhere] }), missing(elsewhere));
      const index = manifestOf({ children: [manifest, blob] });
      await putManifest(store, app, index);
      const refused = await store.blobs.unlink(app, blob, alice);
      assert.deepEqual(refused, { outcome: 'referenced', manifest: index.digest });
    });

    test('a subject need not exist', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.deepEqual(await put(store, { subject: blobDigest('no such manifest') }), stored);
    });

    test('a damaged blob counts as missing until it is pushed again', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      const found = await store.blobs.find(app, digest);
      await store.blobs.markDamaged(found?.location ?? newLocation());
      assert.deepEqual(await put(store, { blobs: [digest] }), missing(digest));
      await linkBlob(store, app, 'layer');
      assert.deepEqual(await put(store, { blobs: [digest] }), stored);
    });
  });

  describeSparse(name, open);
  describeReferrers(name, open);
}

function describeSparse(name: string, open: OpenMetadataStore): void {
  describe(`${name}: sparse manifests`, () => {
    test('mode index spares children only, mode all any reference', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const absent = blobDigest('absent');
      assert.deepEqual(await put(store, { blobs: [absent] }, 'index'), missing(absent));
      assert.deepEqual(await put(store, { children: [absent] }, 'index'), stored);
      assert.deepEqual(await put(store, { blobs: [absent] }, 'all'), stored);
    });

    test('a child that arrives as a manifest is listed from then on', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const child = manifestOf({ note: 'late' });
      const parent = await putManifest(store, app, manifestOf({ children: [child.digest] }), {
        sparse: 'index',
      });
      await putManifest(store, other, child);
      await putManifest(store, app, child);
      const refused = await store.manifests.remove(app, child.digest, alice);
      assert.deepEqual(refused, { outcome: 'listed', parent });
    });

    const arrivals = {
      'in one request': (store: MetadataStore) => linkBlob(store, app, 'late'),
      'by mount': async (store: MetadataStore) => {
        const digest = await linkBlob(store, other, 'late');
        assert.equal(await store.blobs.mount({ from: other, to: app, digest, origin: alice }), true);
      },
      'by a session': async (store: MetadataStore) => {
        const upload = { id: 'u1', state: 's' };
        await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
        const finish = { digest: blobDigest('late'), location: newLocation(), size: 4, origin: alice };
        assert.equal(await store.uploads.finish({ repository: app, upload, ...finish }), true);
      },
    };
    for (const [how, arrive] of Object.entries(arrivals)) {
      test(`a blob that arrives ${how} is referenced from then on`, async (t) => {
        const store = await open(t, { clock: manualClock() });
        const digest = blobDigest('late');
        const image = await putManifest(store, app, manifestOf({ blobs: [digest] }), { sparse: 'all' });
        const index = await putManifest(store, app, manifestOf({ children: [digest] }), { sparse: 'all' });
        await arrive(store);
        assert.equal((await store.blobs.find(app, digest))?.lease, 'referenced');
        await store.manifests.remove(app, image, alice);
        assert.deepEqual(await store.blobs.unlink(app, digest, alice), {
          outcome: 'referenced',
          manifest: index,
        });
      });
    }

    test('a manifest that was removed waits for nothing any more', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = blobDigest('late');
      await store.manifests.remove(
        app,
        await putManifest(store, app, manifestOf({ blobs: [digest] }), { sparse: 'all' }),
        alice,
      );
      await linkBlob(store, app, 'late');
      assert.equal(typeof (await store.blobs.find(app, digest))?.lease, 'number');
    });

    test('a layer is not made present by a manifest of the same digest', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const manifest = manifestOf({ note: 'a manifest that is also a layer' });
      await putManifest(store, app, manifestOf({ blobs: [manifest.digest] }), { sparse: 'all' });
      await putManifest(store, app, manifest);
      assert.deepEqual(await store.manifests.remove(app, manifest.digest, alice), { outcome: 'removed' });
    });
  });
}

function describeReferrers(name: string, open: OpenMetadataStore): void {
  describe(`${name}: referrers`, () => {
    const all = { limit: 100, artifactTypes: [] };

    test('referrers are listed oldest first with type, size and annotations, before their subject exists', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const subject = blobDigest('subject');
      const plain = manifestOf({ subject, note: 'plain' });
      const signature = manifestOf({
        subject,
        artifactType: 'type/signature',
        annotations: { by: 'me', at: 'noon' },
      });
      await putManifest(store, app, plain);
      await putManifest(store, app, signature);
      await putManifest(store, other, manifestOf({ subject, note: 'elsewhere' }));
      const { items, more } = await store.manifests.listReferrers(app, subject, all);
      assert.equal(more, false);
      assert.deepEqual(
        items.map(({ cursor: _cursor, ...rest }) => rest),
        [
          {
            digest: plain.digest,
            mediaType: plain.mediaType,
            artifactType: undefined,
            size: plain.bytes.length,
            annotations: undefined,
          },
          {
            digest: signature.digest,
            mediaType: signature.mediaType,
            artifactType: 'type/signature',
            size: signature.bytes.length,
            annotations: { by: 'me', at: 'noon' },
          },
        ],
      );
    });

    test('a filter takes any of its types, and pages go on after a cursor', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const subject = blobDigest('subject');
      const types = ['a', 'b', 'c', 'a', 'b', 'c', 'a'];
      const digests: Digest[] = [];
      for (const [index, artifactType] of types.entries()) {
        digests.push(await putManifest(store, app, manifestOf({ subject, artifactType, note: `${index}` })));
      }
      const wanted = digests.filter((_, index) => types[index] !== 'c');
      const seen: Digest[] = [];
      let after = 0;
      for (;;) {
        const options = { after, limit: 2, artifactTypes: ['a', 'b', 'none'] };
        const { items, more } = await store.manifests.listReferrers(app, subject, options);
        seen.push(...items.map(({ digest }) => digest));
        after = items.at(-1)?.cursor ?? after;
        if (!more) break;
      }
      assert.deepEqual(seen, wanted);
    });

    test('a page ends early where manifests are large, and the rest follows', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const subject = blobDigest('subject');
      for (const note of ['1', '2', '3'])
        await putManifest(store, app, manifestOf({ subject, note: note.repeat(3 * 1024 * 1024) }));
      const first = await store.manifests.listReferrers(app, subject, all);
      assert.deepEqual([first.items.length, first.more], [1, true]);
      const second = await store.manifests.listReferrers(app, subject, {
        ...all,
        after: first.items[0]?.cursor ?? 0,
      });
      assert.deepEqual([second.items.length, second.more], [1, true]);
    });

    test('an unknown repository or subject has none, and a removed referrer is gone', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const nothing = { items: [], more: false };
      const subject = blobDigest('subject');
      assert.deepEqual(await store.manifests.listReferrers(app, subject, all), nothing);
      const digest = await putManifest(store, app, manifestOf({ subject }));
      assert.deepEqual(await store.manifests.listReferrers(app, blobDigest('other'), all), nothing);
      await store.manifests.remove(app, digest, alice);
      assert.deepEqual(await store.manifests.listReferrers(app, subject, all), nothing);
    });

    test('a referrer outlives its subject', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const subject = await putManifest(store, app, manifestOf({ note: 'subject' }));
      const digest = await putManifest(store, app, manifestOf({ subject }));
      assert.deepEqual(await store.manifests.remove(app, subject, alice), { outcome: 'removed' });
      const { items } = await store.manifests.listReferrers(app, subject, all);
      assert.deepEqual(
        items.map((item) => item.digest),
        [digest],
      );
    });
  });
}
