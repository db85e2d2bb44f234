// Contract: quotas over unique blobs, judged in the change itself; usage and what a delete would free.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QuotaExceededError, type QuotaSettings } from '../../src/storage/care-store.ts';
import {
  alice,
  blobDigest,
  linkBlob,
  manifestOf,
  manualClock,
  newLocation,
  putManifest,
  repository,
  roomy,
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const other = repository('team/other');
const elsewhere = repository('guests/app');

const settings: QuotaSettings = {
  registry: 'unlimited',
  organization: 'unlimited',
  user: 'unlimited',
  warnAt: 0.8,
};

const exceeded = (namespace: string | undefined, what: 'bytes' | 'repositories') => (error: unknown) =>
  error instanceof QuotaExceededError && error.excess.namespace === namespace && error.excess.what === what;

export function describeQuotaStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: quotas`, () => {
    test('content counts once in its namespace, and what does not fit is refused whole', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.care.quotas.configure({ ...settings, organization: 10 });
      await linkBlob(store, app, '12345678');
      await linkBlob(store, other, '12345678');
      await assert.rejects(linkBlob(store, app, 'abc'), exceeded('team', 'bytes'));
      assert.equal(await store.blobs.find(app, blobDigest('abc')), undefined);
      assert.deepEqual((await store.care.quotas.find('team'))?.used, { bytes: 8, repositories: 2 });
      await linkBlob(store, app, '12');
      await linkBlob(store, elsewhere, 'abc');
    });

    test('a finished upload that does not fit leaves its session open and nothing else', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.care.quotas.configure({ ...settings, organization: 2 });
      const upload = { id: 'u1', state: 'sha256' };
      await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
      const finish = store.uploads.finish({
        repository: app,
        upload,
        digest: blobDigest('abc'),
        location: newLocation(),
        size: 3,
        origin: alice,
      });
      await assert.rejects(finish, exceeded('team', 'bytes'));
      assert.deepEqual(await store.uploads.filterClosed(['u1']), []);
      assert.equal((await store.repositories.totals()).blobs, 0);
    });

    test('a mount into a full namespace is refused, one within the namespace is not', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await linkBlob(store, app, 'layer');
      await linkBlob(store, elsewhere, 'x');
      const quota = { bytes: 3, repositories: undefined };
      for (const namespace of ['guests', 'team'])
        assert.equal(await store.care.quotas.set({ namespace, quota, origin: alice }), true);
      const mount = { from: app, digest, origin: alice };
      await assert.rejects(store.blobs.mount({ ...mount, to: elsewhere }), exceeded('guests', 'bytes'));
      assert.equal(await store.blobs.mount({ ...mount, to: other }), true);
    });

    test('what is set for a namespace wins over the settings, also to be unlimited', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await linkBlob(store, app, 'x');
      const { quotas } = store.care;
      await quotas.configure({ ...settings, organization: 4 });
      assert.deepEqual((await quotas.find('team'))?.limit, { bytes: 4, repositories: 'unlimited' });
      const quota = { bytes: 'unlimited', repositories: 1 } as const;
      await quotas.set({ namespace: 'team', quota, origin: alice });
      assert.deepEqual((await quotas.find('team'))?.limit, quota);
      await linkBlob(store, app, 'much more than that');
      await assert.rejects(linkBlob(store, other, 'y'), exceeded('team', 'repositories'));
      assert.equal(await store.repositories.find(other), undefined);
      await quotas.set({
        namespace: 'team',
        quota: { bytes: undefined, repositories: undefined },
        origin: alice,
      });
      assert.deepEqual((await quotas.find('team'))?.limit, { bytes: 4, repositories: 'unlimited' });
      assert.equal(await quotas.set({ namespace: 'nobody', quota, origin: alice }), false);
      assert.equal(await quotas.find('nobody'), undefined);
    });

    test('the registry has a quota of its own over everything that is stored', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { quotas } = store.care;
      await quotas.configure({ ...settings, registry: 100 });
      await quotas.set({ namespace: undefined, quota: { bytes: 6, repositories: 2 }, origin: alice });
      await linkBlob(store, app, '12345');
      await linkBlob(store, elsewhere, '12345');
      await assert.rejects(linkBlob(store, app, 'ab'), exceeded(undefined, 'bytes'));
      await assert.rejects(linkBlob(store, other, '12345'), exceeded(undefined, 'repositories'));
      const registry = await quotas.find(undefined);
      assert.deepEqual(registry?.used, { bytes: 5, repositories: 2 });
      assert.deepEqual(registry?.limit, { bytes: 6, repositories: 2 });
      const page = await quotas.list({ limit: 10 });
      const used = page.items.filter(({ used: { bytes } }) => bytes > 0).map(({ namespace }) => namespace);
      assert.deepEqual(used, ['guests', 'team']);
    });

    test('what would not fit is known before the bytes arrive, and what is there already fits', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { quotas } = store.care;
      const digest = await linkBlob(store, app, '12345');
      assert.equal(await quotas.findExcess({ repository: other, bytes: 1000 }), undefined);
      await quotas.configure({ ...settings, organization: 8 });
      const excess = { namespace: 'team', what: 'bytes', limit: 8, used: 5, wanted: 4 };
      assert.deepEqual(await quotas.findExcess({ repository: other, bytes: 4 }), excess);
      assert.equal(await quotas.findExcess({ repository: other, bytes: 3 }), undefined);
      assert.equal(await quotas.findExcess({ repository: other, bytes: 5, digest }), undefined);
      const fresh = repository('fresh/app');
      assert.equal((await quotas.findExcess({ repository: fresh, bytes: 9 }))?.namespace, 'fresh');
    });

    test('crossing the threshold is told once, and a quota that is set too', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await linkBlob(store, app, '1234567');
      const quota = { bytes: 10, repositories: undefined };
      await store.care.quotas.configure(settings);
      await store.care.quotas.set({ namespace: 'team', quota, origin: alice });
      for (const text of ['1', '2', '3']) await linkBlob(store, app, text);
      const { items } = await store.events.read({ after: 0, limit: 100 });
      const told = items.map(({ kind }) => kind as string).filter((kind) => kind.startsWith('quota'));
      assert.deepEqual(told, ['quota.set', 'quota.warn']);
    });

    test('bytes come back when the last repository of the namespace gives the blob up', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.care.quotas.configure({ ...settings, organization: 5 });
      const digest = await linkBlob(store, app, '12345');
      await linkBlob(store, other, '12345');
      await store.blobs.unlink(app, digest, alice);
      await assert.rejects(linkBlob(store, app, 'x'), exceeded('team', 'bytes'));
      await store.blobs.unlink(other, digest, alice);
      await linkBlob(store, app, 'x');
    });
  });

  describeUsage(name, open);
}

function describeUsage(name: string, open: OpenMetadataStore): void {
  describe(`${name}: usage`, () => {
    test('a repository has bytes of its own and bytes that it shares', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const text of ['own', 'shared', 'more']) await linkBlob(store, app, text);
      await linkBlob(store, elsewhere, 'shared');
      const first = await store.care.usage.ofRepository({ repository: app, after: 0, limit: 2 });
      assert.deepEqual(first?.own, { blobs: 1, bytes: 3 });
      assert.deepEqual(first?.shared, { blobs: 1, bytes: 6 });
      const rest = await store.care.usage.ofRepository({
        repository: app,
        after: first?.next ?? 0,
        limit: 2,
      });
      assert.deepEqual(rest, {
        own: { blobs: 1, bytes: 4 },
        shared: { blobs: 0, bytes: 0 },
        next: undefined,
      });
      assert.equal(
        await store.care.usage.ofRepository({ repository: repository('no/body'), after: 0, limit: 2 }),
        undefined,
      );
      assert.deepEqual(await store.care.usage.stored(), { blobs: 3, bytes: 13 });
    });

    test('what a delete would free leaves out what others hold', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const [base, one, two] = await Promise.all(
        ['base', 'one', 'two'].map((text) => linkBlob(store, app, text)),
      );
      assert.ok(base !== undefined && one !== undefined && two !== undefined);
      const first = await putManifest(store, app, manifestOf({ blobs: [base, one] }), { tags: ['v1'] });
      const second = await putManifest(store, app, manifestOf({ blobs: [base, two] }), { tags: ['v2'] });
      const index = await putManifest(store, app, manifestOf({ children: [first] }), { tags: ['all'] });
      const freed = (tags: readonly string[], digests: readonly (typeof first)[] = []) =>
        store.care.usage.freedBy({ repository: app, tags: tags.map(tag), digests });
      const nothing = { blobs: 0, bytes: 0 };
      assert.deepEqual(await freed(['v1']), { manifests: 0, exclusive: nothing, shared: nothing });
      assert.deepEqual(await freed(['v1', 'all']), {
        manifests: 2,
        exclusive: { blobs: 1, bytes: 3 },
        shared: { blobs: 1, bytes: 4 },
      });
      assert.deepEqual(await freed([], [index]), { manifests: 1, exclusive: nothing, shared: nothing });
      assert.deepEqual(await freed(['v1', 'all'], [second]), {
        manifests: 3,
        exclusive: { blobs: 3, bytes: 10 },
        shared: nothing,
      });
      await linkBlob(store, elsewhere, 'two');
      assert.deepEqual((await freed(['v2']))?.exclusive, nothing);
    });
  });
}
