// Contract: manifests, tags, their history and events.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  manifestOf,
  manualClock,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');

async function kindsOfEvents(store: MetadataStore, after = 0): Promise<string[]> {
  const { items } = await store.events.read({ after, limit: 100 });
  return items.map(({ kind, reference }) => (reference === undefined ? kind : `${kind} ${reference}`));
}

export function describeManifestStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: manifests`, () => {
    test('a manifest is found by tag and by digest with its bytes and type as pushed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const manifest = manifestOf({ blobs: [await linkBlob(store, app, 'layer')] });
      await putManifest(store, app, manifest, { tags: ['v1'] });
      for (const reference of [{ tag: tag('v1') }, { digest: manifest.digest }]) {
        const found = await store.manifests.find(app, reference);
        assert.equal(found?.digest, manifest.digest);
        assert.equal(found?.mediaType, manifest.mediaType);
        assert.deepEqual(found?.bytes, manifest.bytes);
        assert.ok(Buffer.isBuffer(found?.bytes));
        assert.deepEqual(await store.manifests.stat(app, reference), {
          digest: manifest.digest,
          mediaType: manifest.mediaType,
          size: manifest.bytes.length,
        });
      }
    });

    test('an unknown repository, tag or digest is undefined', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await putManifest(store, app, manifestOf({}), { tags: ['v1'] });
      const other = repository('team/other');
      assert.equal(await store.manifests.find(other, { tag: tag('v1') }), undefined);
      assert.equal(await store.manifests.find(app, { tag: tag('V1') }), undefined);
      assert.equal(await store.manifests.find(app, { digest: blobDigest('x') }), undefined);
      assert.equal(await store.manifests.stat(app, { tag: tag('v2') }), undefined);
    });

    test('a manifest of one repository is not seen from another', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}));
      const other = repository('team/other');
      await putManifest(store, other, manifestOf({ note: 'other' }));
      assert.equal(await store.manifests.find(other, { digest }), undefined);
    });

    test('a sha512 manifest keeps its identity, also through a tag', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({ algorithm: 'sha512' }), { tags: ['long'] });
      assert.match(digest, /^sha512:/);
      assert.equal((await store.manifests.find(app, { tag: tag('long') }))?.digest, digest);
      assert.equal((await store.manifests.find(app, { digest }))?.digest, digest);
    });

    test('storing a manifest again creates nothing and moves the tags', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const first = manifestOf({ note: '1' });
      const second = manifestOf({ note: '2' });
      await putManifest(store, app, first, { tags: ['v1', 'latest'] });
      await putManifest(store, app, second, { tags: ['latest'] });
      const again = {
        repository: app,
        manifest: first,
        tags: [tag('latest')],
        sparse: 'none',
        origin: alice,
      } as const;
      assert.deepEqual(await store.manifests.put(again), { outcome: 'stored', created: false });
      assert.equal((await store.manifests.find(app, { tag: tag('latest') }))?.digest, first.digest);
      assert.equal((await store.repositories.find(app))?.manifests, 2);
    });

    test('the same bytes pushed under another type are served under the newer one', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const manifest = manifestOf({});
      await putManifest(store, app, manifest, { tags: ['v1'] });
      await putManifest(store, app, { ...manifest, mediaType: mediaTypes.dockerManifest });
      assert.equal(
        (await store.manifests.stat(app, { tag: tag('v1') }))?.mediaType,
        mediaTypes.dockerManifest,
      );
    });

    test('one put can set many tags', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const tags = Array.from({ length: 32 }, (_, index) => `t${index}`);
      const digest = await putManifest(store, app, manifestOf({}), { tags });
      for (const each of tags)
        assert.equal((await store.manifests.stat(app, { tag: tag(each) }))?.digest, digest);
    });

    test('bytes that are a view of a larger buffer are stored alone, and the caller keeps its own', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const plain = manifestOf({ note: 'view' });
      const large = Buffer.alloc(100_000, 'x');
      const bytes = large.subarray(50_000, 50_000 + plain.bytes.length);
      plain.bytes.copy(bytes);
      await putManifest(store, app, { ...plain, bytes });
      assert.deepEqual((await store.manifests.find(app, { digest: plain.digest }))?.bytes, plain.bytes);
      assert.equal(bytes.length, plain.bytes.length);
    });
  });

  describeTags(name, open);
  describeHistory(name, open);
  describeRemoval(name, open);
}

function describeTags(name: string, open: OpenMetadataStore): void {
  describe(`${name}: tags`, () => {
    test('tags come in bytewise order, in pages that begin after a name', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await putManifest(store, app, manifestOf({}), { tags: ['b', 'a10', 'B', 'a2', '_x', 'a.1', '0'] });
      const sorted = ['0', 'B', '_x', 'a.1', 'a10', 'a2', 'b'];
      assert.deepEqual(await store.tags.list(app, { limit: 100 }), { items: sorted, more: false });
      assert.deepEqual(await store.tags.list(app, { limit: 7 }), { items: sorted, more: false });
      assert.deepEqual(await store.tags.list(app, { limit: 3 }), { items: sorted.slice(0, 3), more: true });
      assert.deepEqual(await store.tags.list(app, { after: '_x', limit: 2 }), {
        items: ['a.1', 'a10'],
        more: true,
      });
      // `after` need not be a tag.
      assert.deepEqual(await store.tags.list(app, { after: 'a1', limit: 1 }), { items: ['a10'], more: true });
      assert.deepEqual(await store.tags.list(app, { after: 'b', limit: 5 }), { items: [], more: false });
      assert.deepEqual(await store.tags.list(app, { limit: 0 }), { items: [], more: true });
    });

    test('the tags of a repository that is unknown or holds blobs alone are undefined', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.equal(await store.tags.list(app, { limit: 10 }), undefined);
      await linkBlob(store, app, 'layer');
      assert.equal(await store.tags.list(app, { limit: 10 }), undefined);
    });

    test('removing a tag leaves its manifest, and after the last one the list is empty', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}), { tags: ['v1', 'v2'] });
      assert.equal(await store.tags.remove(app, tag('v1'), alice), true);
      assert.equal(await store.tags.remove(app, tag('v1'), alice), false);
      assert.equal(await store.tags.remove(app, tag('v2'), alice), true);
      assert.deepEqual(await store.tags.list(app, { limit: 10 }), { items: [], more: false });
      assert.equal((await store.manifests.stat(app, { digest }))?.digest, digest);
      assert.equal(await store.tags.remove(repository('team/none'), tag('v1'), alice), false);
    });
  });
}

function describeHistory(name: string, open: OpenMetadataStore): void {
  describe(`${name}: history and events`, () => {
    test('a push is told with its origin, and a tag only when it really moves', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const first = manifestOf({ note: '1' });
      await putManifest(store, app, first, { tags: ['v1'] });
      assert.deepEqual(await kindsOfEvents(store), ['push v1', 'tag v1']);
      await putManifest(store, app, first, { tags: ['v1'] });
      await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v1', 'v2'] });
      await putManifest(store, app, manifestOf({ note: '3' }));
      const later = (await kindsOfEvents(store)).slice(2);
      assert.deepEqual(later, ['push v1', 'push', 'tag v1', 'tag v2', 'push']);

      const { items } = await store.events.read({ after: 0, limit: 1 });
      assert.deepEqual(items, [
        {
          seq: items[0]?.seq,
          at: 1_900_000_000,
          kind: 'push',
          actor: 'alice',
          outcome: 'allowed',
          repository: 'team/app',
          reference: 'v1',
          digest: first.digest,
          object: undefined,
          namespace: 'team',
          address: '192.0.2.7',
          userAgent: 'podman/5.4',
          requestId: 'request-1',
          detail: { mediaType: first.mediaType, size: first.bytes.length },
        },
      ]);
    });

    test('events are read in order, page by page, and an origin may lack address and request', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const note of ['1', '2', '3']) {
        await putManifest(store, app, manifestOf({ note }), { origin: { actor: 'robot' } });
      }
      const first = await store.events.read({ after: 0, limit: 2 });
      assert.equal(first.more, true);
      assert.equal(first.items[0]?.address, undefined);
      const last = first.items.at(-1)?.seq ?? 0;
      const rest = await store.events.read({ after: last, limit: 2 });
      assert.equal(rest.more, false);
      assert.equal(rest.items.length, 1);
      assert.ok((rest.items[0]?.seq ?? 0) > last);
    });

    test('the history of a tag tells every digest it had, newest first', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const first = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['v1'] });
      clock.advance(10);
      const second = await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v1'] });
      clock.advance(10);
      await store.tags.remove(app, tag('v1'), { actor: 'bob' });
      const entry = (digest: Digest | undefined, action: string, at: number, actor = 'alice') => ({
        name: 'v1',
        digest,
        action,
        at: 1_900_000_000 + at,
        actor,
      });
      assert.deepEqual(await store.events.tagHistory(app, tag('v1'), 10), [
        entry(undefined, 'delete', 20, 'bob'),
        entry(second, 'push', 10),
        entry(first, 'push', 0),
      ]);
      assert.equal((await store.events.tagHistory(app, tag('v1'), 1)).length, 1);
      assert.deepEqual(await store.events.tagHistory(app, tag('v2'), 10), []);
    });

    test('pulls of what is there are counted and of what is gone left out', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}));
      const pull = { repository: app, digest, pulls: 3, lastAt: 1_800_000_000.5 };
      await store.manifests.recordPulls([pull, { ...pull, digest: blobDigest('gone') }]);
      await store.manifests.recordPulls([]);
      assert.deepEqual(await store.manifests.remove(app, digest, alice), { outcome: 'removed' });
      await store.manifests.recordPulls([pull]);
    });
  });
}

function describeRemoval(name: string, open: OpenMetadataStore): void {
  describe(`${name}: removing manifests`, () => {
    test('a removed manifest is gone with its tags, and each is told', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({ note: '1' }), { tags: ['b', 'a'] });
      await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['c'] });
      const before = (await store.events.read({ after: 0, limit: 100 })).items.at(-1)?.seq ?? 0;
      assert.deepEqual(await store.manifests.remove(app, digest, alice), { outcome: 'removed' });
      assert.equal(await store.manifests.find(app, { digest }), undefined);
      assert.equal(await store.manifests.find(app, { tag: tag('a') }), undefined);
      assert.deepEqual((await store.tags.list(app, { limit: 10 }))?.items, ['c']);
      assert.equal((await store.repositories.find(app))?.manifests, 1);
      assert.deepEqual(await kindsOfEvents(store, before), ['untag a', 'untag b', 'delete']);
      assert.equal((await store.events.tagHistory(app, tag('a'), 1))[0]?.action, 'delete');
    });

    test('an unknown manifest is unknown, also the second time', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}));
      const elsewhere = repository('team/none');
      assert.deepEqual(await store.manifests.remove(elsewhere, digest, alice), { outcome: 'unknown' });
      await store.manifests.remove(app, digest, alice);
      assert.deepEqual(await store.manifests.remove(app, digest, alice), { outcome: 'unknown' });
    });

    test('what an index lists stays until the index goes', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const child = await putManifest(store, app, manifestOf({ note: 'child' }));
      const parent = await putManifest(store, app, manifestOf({ children: [child] }));
      assert.deepEqual(await store.manifests.remove(app, child, alice), { outcome: 'listed', parent });
      assert.equal((await store.manifests.stat(app, { digest: child }))?.digest, child);
      assert.deepEqual(await store.manifests.remove(app, parent, alice), { outcome: 'removed' });
      assert.deepEqual(await store.manifests.remove(app, child, alice), { outcome: 'removed' });
    });

    test('a removed manifest can be pushed again as a new one', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const manifest = manifestOf({ blobs: [await linkBlob(store, app, 'layer')] });
      for (let round = 0; round < 3; round += 1) {
        const input = {
          repository: app,
          manifest,
          tags: [tag('v1')],
          sparse: 'none',
          origin: alice,
        } as const;
        assert.deepEqual(await store.manifests.put(input), { outcome: 'stored', created: true });
        assert.deepEqual(await store.manifests.remove(app, manifest.digest, alice), { outcome: 'removed' });
      }
      await putManifest(store, app, manifest, { tags: ['v1'] });
      assert.equal((await store.manifests.stat(app, { tag: tag('v1') }))?.digest, manifest.digest);
      assert.equal((await store.repositories.find(app))?.manifests, 1);
    });
  });
}
