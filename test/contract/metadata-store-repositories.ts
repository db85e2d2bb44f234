// Contract: repositories, the catalog, search and totals.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StoreUnavailableError } from '../../src/storage/faults.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  manifestOf,
  manualClock,
  putManifest,
  repository,
  roomy,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');

export function describeRepositoryStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: repositories`, () => {
    test('a repository lives from its first manifest on, also after its last one', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.equal(await store.repositories.find(app), undefined);
      await linkBlob(store, app, 'layer');
      assert.equal((await store.repositories.find(app))?.live, false);
      const digest = await putManifest(store, app, manifestOf({}));
      assert.deepEqual(await store.repositories.find(app), {
        name: 'team/app',
        description: '',
        visibility: 'private',
        live: true,
        manifests: 1,
      });
      await store.manifests.remove(app, digest, alice);
      const emptied = await store.repositories.find(app);
      assert.deepEqual([emptied?.live, emptied?.manifests], [true, 0]);
      assert.deepEqual(await store.tags.list(app, { limit: 10 }), { items: [], more: false });
    });

    test('the catalog holds repositories with a manifest, in order, in pages', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const names = ['b', 'a/z', 'a-b/x', 'a/b/c', 'zebra'];
      for (const each of names) await putManifest(store, repository(each), manifestOf({}));
      await linkBlob(store, repository('blobs/alone'), 'layer');
      await store.manifests.remove(repository('zebra'), manifestOf({}).digest, alice);
      const list = async (options: { after?: string; limit: number }) => {
        const page = await store.repositories.list(options);
        return [page.items.map((item) => item.name), page.more];
      };
      assert.deepEqual(await list({ limit: 10 }), [['a-b/x', 'a/b/c', 'a/z', 'b'], false]);
      assert.deepEqual(await list({ limit: 2 }), [['a-b/x', 'a/b/c'], true]);
      assert.deepEqual(await list({ after: 'a/b/c', limit: 2 }), [['a/z', 'b'], false]);
      assert.deepEqual(await list({ after: 'a/b/d', limit: 1 }), [['a/z'], true]);
    });

    test('search finds a part of a name, whatever its case, in pages', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const each of ['team/web', 'team/webshop', 'other/db', '100/p']) {
        await putManifest(store, repository(each), manifestOf({}));
      }
      await linkBlob(store, repository('web/blobs-alone'), 'layer');
      const search = async (term: string, options: { after?: string; limit: number } = { limit: 10 }) => {
        const page = await store.repositories.search({ term, ...options });
        return [page.items.map((item) => item.name), page.more] as const;
      };
      assert.deepEqual(await search('WEB'), [['team/web', 'team/webshop'], false]);
      assert.deepEqual(await search('web', { limit: 1 }), [['team/web'], true]);
      assert.deepEqual(await search('web', { limit: 1, after: 'team/web' }), [['team/webshop'], false]);
      assert.deepEqual(await search('%'), [[], false]);
      assert.deepEqual((await search(''))[0].length, 4);
    });

    test('totals count what there is', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const totals = { repositories: 0, manifests: 0, tags: 0, blobs: 0, blobBytes: 0, openUploads: 0 };
      assert.deepEqual(await store.repositories.totals(), totals);
      const blob = await linkBlob(store, app, 'twelve bytes');
      await linkBlob(store, repository('team/other'), 'twelve bytes');
      const first = await putManifest(store, app, manifestOf({ blobs: [blob] }), { tags: ['a', 'b'] });
      await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['b'] });
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
      const counted = { repositories: 1, manifests: 2, tags: 2, blobs: 1, blobBytes: 12, openUploads: 1 };
      assert.deepEqual(await store.repositories.totals(), counted);
      await store.manifests.remove(app, first, alice);
      await store.uploads.close('u1');
      const fewer = { ...counted, manifests: 1, tags: 1, openUploads: 0 };
      assert.deepEqual(await store.repositories.totals(), fewer);
    });
  });

  describe(`${name}: closing`, () => {
    test('what was asked for before close is done, and later calls are refused', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const before = Array.from({ length: 300 }, (_, index) => linkBlob(store, app, `blob ${index}`));
      const closed = store.close();
      await Promise.all(before);
      await closed;
      await assert.rejects(store.repositories.find(app), StoreUnavailableError);
      await assert.rejects(store.blobs.find(app, blobDigest('blob 1')), StoreUnavailableError);
      await assert.rejects(linkBlob(store, app, 'late'), StoreUnavailableError);
      await assert.rejects(store.uploads.touch('u1'), StoreUnavailableError);
      await store.close();
    });

    test('the statistics count intentions and commits, and nothing waits at rest', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await Promise.all(Array.from({ length: 50 }, (_, index) => linkBlob(store, app, `blob ${index}`)));
      const { commits, intentions, commitSeconds, queued } = store.writerStatistics();
      assert.equal(intentions, 50);
      assert.ok(commits >= 1 && commits <= 50);
      assert.ok(commitSeconds > 0);
      assert.equal(queued, 0);
    });
  });
}
