// Contract: namespaces, the visibility of new repositories, and namespaces that were removed.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addOrganization, addUser, effectOf, lastEvent, root } from '../support/accounts.ts';
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
  roomy,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

export function describeNamespaceStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: namespaces`, () => {
    test('a namespace tells its kind, its repositories and its bytes', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      await linkBlob(store, repository('team/app'), 'five!');
      await putManifest(store, repository('team/app'), manifestOf({}));
      await linkBlob(store, repository('team/blobs-alone'), 'five!');
      assert.deepEqual(await store.accounts.namespaces.find('team'), {
        name: 'team',
        kind: 'unowned',
        defaultVisibility: undefined,
        description: '',
        repositories: 1,
        usedBytes: 5,
        createdAt: 1_900_000_000,
      });
      assert.equal(await store.accounts.namespaces.find('other'), undefined);
    });

    test('library and system are there from the beginning and belong to the registry', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const each of ['library', 'system'])
        assert.equal((await store.accounts.namespaces.find(each))?.kind, 'organization');
      await putManifest(store, repository('alpine'), manifestOf({}));
      assert.deepEqual(await store.accounts.namespaces.listRepositories('library', 10), ['alpine']);
    });

    test('namespaces are listed by name in pages and by kind, without removed ones', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await addUser(store, 'bob');
      await addOrganization(store, 'acme');
      await addOrganization(store, 'gone');
      await store.accounts.organizations.remove({ name: 'gone', origin });
      await putManifest(store, repository('team/app'), manifestOf({}));
      const list = async (options: { after?: string; limit?: number; kind?: 'user' | 'organization' }) => {
        const page = await store.accounts.namespaces.list({ limit: 10, ...options });
        return [page.items.map((item) => item.name).join(' '), page.more];
      };
      assert.deepEqual(await list({}), ['acme bob library system team', false]);
      assert.deepEqual(await list({ limit: 2 }), ['acme bob', true]);
      assert.deepEqual(await list({ limit: 2, after: 'library' }), ['system team', false]);
      assert.deepEqual(await list({ kind: 'organization' }), ['acme library system', false]);
      assert.deepEqual(await list({ kind: 'user' }), ['bob', false]);
    });

    test('the repositories of a namespace are named in order, up to a limit', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const each of ['team/web', 'team/app', 'team/db', 'team-b/x'])
        await putManifest(store, repository(each), manifestOf({}));
      await linkBlob(store, repository('team/blobs-alone'), 'layer');
      const { listRepositories } = store.accounts.namespaces;
      assert.deepEqual(await listRepositories('team', 10), ['team/app', 'team/db', 'team/web']);
      assert.deepEqual(await listRepositories('team', 2), ['team/app', 'team/db']);
      assert.deepEqual(await listRepositories('none', 2), []);
    });

    test('an update is told with before and after, and decides nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { namespaces } = store.accounts;
      await addOrganization(store, 'acme');
      const changes = { defaultVisibility: 'public', description: 'Ours' } as const;
      const update = () => namespaces.update({ name: 'acme', changes, origin });
      assert.deepEqual(await effectOf(store, update), {
        told: ['namespace.update namespace:acme'],
        moved: false,
      });
      assert.deepEqual((await lastEvent(store))?.detail, {
        before: { defaultVisibility: null, description: '' },
        after: changes,
      });
      assert.deepEqual(await effectOf(store, update), { told: [], moved: false });
      const found = await namespaces.find('acme');
      assert.deepEqual([found?.defaultVisibility, found?.description], ['public', 'Ours']);
      await namespaces.update({ name: 'acme', changes: { defaultVisibility: null }, origin });
      const cleared = await namespaces.find('acme');
      assert.deepEqual([cleared?.defaultVisibility, cleared?.description], [undefined, 'Ours']);
      assert.equal(await namespaces.update({ name: 'none', changes, origin }), false);
    });
  });

  describeNewRepositories(name, open);
  describeRemoved(name, open);
}

function describeNewRepositories(name: string, open: OpenMetadataStore): void {
  describe(`${name}: the visibility of new repositories`, () => {
    test('it is the namespace’s default, else the registry’s, else private; and of new ones only', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { namespaces, policy } = store.accounts;
      await addOrganization(store, 'acme');
      const visibilityOf = (each: string) => policy.findVisibility(repository(each));
      await putManifest(store, repository('acme/one'), manifestOf({}));
      await namespaces.setDefaultVisibility('internal');
      await putManifest(store, repository('acme/two'), manifestOf({}));
      await namespaces.update({ name: 'acme', changes: { defaultVisibility: 'public' }, origin });
      await linkBlob(store, repository('acme/three'), 'layer');
      await putManifest(store, repository('unowned/app'), manifestOf({}));
      await namespaces.setDefaultVisibility('private');
      await putManifest(store, repository('unowned/two'), manifestOf({}));
      assert.equal(await visibilityOf('acme/one'), 'private');
      assert.equal(await visibilityOf('acme/two'), 'internal');
      assert.equal(await visibilityOf('acme/three'), 'public');
      assert.equal(await visibilityOf('unowned/app'), 'internal');
      assert.equal(await visibilityOf('unowned/two'), 'private');
      assert.equal(await visibilityOf('acme/none'), undefined);
    });
  });
}

function describeRemoved(name: string, open: OpenMetadataStore): void {
  describe(`${name}: removed namespaces`, () => {
    test('a removed namespace is invisible with all that is in it', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { namespaces, policy } = store.accounts;
      await addOrganization(store, 'acme');
      const app = repository('acme/app');
      const web = repository('acme/web');
      const layer = await linkBlob(store, app, 'layer');
      const digest = await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: web, principal: 'alice', upload, limits: roomy });
      const removed = await store.accounts.organizations.remove({ name: 'acme', origin });
      assert.deepEqual(removed, { outcome: 'removed', repositories: 1 });

      assert.equal(await namespaces.find('acme'), undefined);
      assert.deepEqual(await namespaces.listRepositories('acme', 10), []);
      assert.equal(await store.repositories.find(app), undefined);
      assert.deepEqual((await store.repositories.list({ limit: 10 })).items, []);
      assert.equal(await policy.findVisibility(app), undefined);
      assert.equal(await store.manifests.find(app, { digest }), undefined);
      assert.equal(await store.blobs.find(app, layer), undefined);
      assert.deepEqual(await store.blobs.listLinking(layer, 10), []);
      assert.equal(await store.uploads.find(web, 'alice', 'u1'), undefined);
      assert.deepEqual(await store.uploads.filterClosed(['u1']), ['u1']);
    });

    test('nobody’s push revives it', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await addOrganization(store, 'acme');
      await addUser(store, 'carol');
      await store.accounts.organizations.remove({ name: 'acme', origin });
      await store.accounts.users.remove({ name: 'carol', deleteRepositories: true, origin });
      const digest = await linkBlob(store, repository('other/app'), 'layer');
      for (const each of ['acme/app', 'carol/app'].map(repository)) {
        const upload = { id: 'u1', state: '' };
        const begun = { repository: each, principal: 'alice', upload, limits: roomy };
        assert.deepEqual(await store.uploads.begin(begun), { outcome: 'namespace-removed' });
        const location = newLocation();
        const linked = { repository: each, digest: blobDigest('new'), location, size: 3, origin };
        assert.deepEqual(await store.uploads.link(linked), { outcome: 'namespace-removed' });
        const mount = { from: repository('other/app'), to: each, digest, origin };
        assert.equal(await store.blobs.mount(mount), false);
        const manifest = manifestOf({});
        const put = await store.manifests.put({
          repository: each,
          manifest,
          tags: [],
          sparse: 'none',
          origin,
        });
        assert.deepEqual(put, { outcome: 'namespace-removed' });
        assert.equal(await store.repositories.find(each), undefined);
        // The bytes that came in vain go.
        clock.advance(keepTimes.unlinkDelaySeconds);
        assert.deepEqual(await store.blobs.listDueUnlinks(10), [location]);
        await store.blobs.dropUnlinks([location]);
      }
      assert.equal(await store.accounts.namespaces.find('acme'), undefined);
    });

    test('an upload in progress ends with its namespace, and its bytes go', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await addOrganization(store, 'acme');
      const app = repository('acme/app');
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
      await store.accounts.organizations.remove({ name: 'acme', origin });
      const location = newLocation();
      const digest = blobDigest('layer');
      const input = { repository: app, upload, digest, location, size: 5, origin: alice };
      assert.equal(await store.uploads.finish(input), false);
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), [location]);
    });

    test('a namespace without owner that somebody was given rights in outlives its last repository', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await addUser(store, 'bob');
      const upload = { id: 'u1', state: '' };
      const app = repository('team/app');
      await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
      const grant = { namespace: 'team', subject: 'bob', pattern: 'team/**', role: 'write', origin } as const;
      await store.accounts.grants.put(grant);
      await store.uploads.close('u1');
      await store.uploads.expire({ idleSeconds: 1, longestSeconds: 1, limit: 10 });
      assert.equal(await store.repositories.find(app), undefined);
      assert.equal((await store.accounts.policy.findSubjectByName('bob'))?.grants.length, 1);
    });
  });
}
