// Contract: repositories as people manage them: made, described, listed, deleted and restored.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QuotaExceededError } from '../../src/storage/care-store.ts';
import type { MetadataStore, RepositoryRecord } from '../../src/storage/metadata-store.ts';
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
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const web = repository('team/web');
const origin = alice;
const whole = { from: '', to: '~' } as const;
const namesOf = (records: readonly RepositoryRecord[]) => records.map(({ name }) => name);

async function eventsOf(store: MetadataStore, action: string) {
  const page = await store.events.audit({ filter: { action }, limit: 10 });
  return page.items.map(({ object, namespace, actor, detail }) => ({ object, namespace, actor, detail }));
}

export function describeManagedRepositories(name: string, open: OpenMetadataStore): void {
  describe(`${name}: making a repository`, () => {
    test('makes a live one without a manifest: it has tags, and is not in the catalog', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const made = { name: app, visibility: 'public', description: 'Ours', origin } as const;
      assert.deepEqual(await store.repositories.add(made), { outcome: 'added' });
      const found = await store.repositories.find(app);
      assert.deepEqual([found?.live, found?.visibility, found?.manifests], [true, 'public', 0]);
      assert.deepEqual(await store.tags.list(app, { limit: 5 }), { items: [], more: false });
      assert.deepEqual((await store.repositories.list({ limit: 5 })).items, []);
      assert.deepEqual(await store.repositories.add(made), { outcome: 'exists' });
      assert.deepEqual(await eventsOf(store, 'repository.add'), [
        {
          object: 'repository:team/app',
          namespace: 'team',
          actor: 'alice',
          detail: { after: { visibility: 'public', description: 'Ours' } },
        },
      ]);
    });

    test('takes over where only uploads are, and the default visibility', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.accounts.namespaces.setDefaultVisibility('internal');
      await linkBlob(store, app, 'layer');
      assert.deepEqual(await store.repositories.add({ name: app, origin }), { outcome: 'added' });
      const details = await store.repositories.describe(app);
      assert.deepEqual([details?.visibility, details?.ownBytes], ['internal', 5]);
    });

    test('is held to the quota of repositories and to namespaces that were removed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.repositories.add({ name: app, origin });
      const quota = { bytes: undefined, repositories: 1 };
      await store.care.quotas.set({ namespace: 'team', quota, origin });
      await assert.rejects(store.repositories.add({ name: web, origin }), QuotaExceededError);
      await store.accounts.organizations.add({ name: 'acme', origin });
      await store.accounts.organizations.remove({ name: 'acme', origin });
      const removed = await store.repositories.add({ name: repository('acme/x'), origin });
      assert.deepEqual(removed, { outcome: 'namespace-removed' });
    });

    test('is not done by a push that may not create one', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const create = false;
      const upload = { id: 'u1', state: '' };
      const begun = { repository: app, principal: 'alice', upload, limits: roomy, create };
      assert.deepEqual(await store.uploads.begin(begun), { outcome: 'not-created' });
      const location = newLocation();
      const linked = { repository: app, digest: blobDigest('x'), location, size: 1, origin, create };
      assert.deepEqual(await store.uploads.link(linked), { outcome: 'not-created' });
      await linkBlob(store, web, 'layer');
      const mount = { from: web, to: app, digest: blobDigest('layer'), origin, create };
      assert.equal(await store.blobs.mount(mount), false);
      const blobs = [blobDigest('layer')];
      const put = {
        repository: app,
        manifest: manifestOf({ blobs }),
        tags: [],
        sparse: 'none',
        origin,
      } as const;
      assert.deepEqual(await store.manifests.put({ ...put, create }), { outcome: 'not-created' });
      assert.equal(await store.repositories.find(app), undefined);
      assert.equal(await store.accounts.namespaces.find('nobody'), undefined);
      await store.repositories.add({ name: app, origin });
      assert.equal((await store.uploads.begin(begun)).outcome, 'begun');
      assert.equal(await store.blobs.mount(mount), true);
      assert.equal((await store.manifests.put({ ...put, create })).outcome, 'stored');
    });
  });

  describe(`${name}: what a repository says of itself`, () => {
    test('description, README, links and labels change together, and each is left alone where it is not named', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.repositories.add({ name: app, origin });
      const links = [{ title: 'Source', url: 'https://example.com/app' }];
      const all = { description: 'Ours', readme: '# App', links, labels: { team: 'web', tier: '1' } };
      const change = (changes: object) => store.repositories.update({ name: app, changes, origin });
      assert.equal(await change(all), true);
      assert.equal(await change({ labels: { team: 'db' } }), true);
      const details = await store.repositories.describe(app);
      const { description, readme, labels } = details ?? {};
      assert.deepEqual(
        { description, readme, links: details?.links, labels },
        { ...all, labels: { team: 'db' } },
      );
      assert.equal(await change({ labels: { team: 'db' }, readme: '# App' }), true);
      assert.deepEqual(
        (await eventsOf(store, 'repository.update')).map(({ detail }) => detail),
        [
          { before: { labels: { team: 'web', tier: '1' } }, after: { labels: { team: 'db' } } },
          {
            before: { description: '', readme: 0, links: [], labels: {} },
            // Of a README its length: it may be long.
            after: { ...all, readme: 5 },
          },
        ],
      );
      assert.equal(await store.repositories.update({ name: web, changes: all, origin }), false);
    });

    test('pushes, pulls, tags and sizes are counted as they come and go', async (t) => {
      const clock = manualClock(1000);
      const store = await open(t, { clock });
      const counts = async (of = app) => {
        const details = await store.repositories.describe(of);
        const { pushes, pulls, tags, manifests, ownBytes, sharedBytes } = details ?? {};
        const { lastPushedAt, lastPulledAt } = details ?? {};
        return { pushes, pulls, tags, manifests, ownBytes, sharedBytes, lastPushedAt, lastPulledAt };
      };
      const blobs = [await linkBlob(store, app, 'own'), await linkBlob(store, app, 'shared')];
      await linkBlob(store, web, 'shared');
      const digest = await putManifest(store, app, manifestOf({ blobs }), { tags: ['v1', 'v2'] });
      const pushed = { pushes: 1, pulls: 0, tags: 2, manifests: 1, ownBytes: 3, sharedBytes: 6 };
      assert.deepEqual(await counts(), { ...pushed, lastPushedAt: 1000, lastPulledAt: undefined });
      clock.advance(10);
      await putManifest(store, app, manifestOf({ blobs }), { tags: ['v1'] });
      const pull = (pulls: number, lastAt: number) => ({ repository: app, digest, pulls, lastAt });
      await store.manifests.recordPulls([pull(2, 1012), pull(1, 1011)]);
      assert.deepEqual(await counts(), {
        ...pushed,
        pushes: 2,
        pulls: 3,
        lastPushedAt: 1010,
        lastPulledAt: 1012,
      });
      await putManifest(store, web, manifestOf({}));
      assert.deepEqual((await counts(web)).sharedBytes, 6);
      // The last one that has it has it alone.
      await store.blobs.unlink(web, blobDigest('shared'), origin);
      assert.deepEqual([(await counts()).ownBytes, (await counts()).sharedBytes], [9, 0]);
      assert.deepEqual([(await counts(web)).ownBytes, (await counts(web)).sharedBytes], [0, 0]);
      await store.tags.remove(app, tag('v2'), origin);
      await store.manifests.remove(app, digest, origin);
      const emptied = await counts();
      assert.deepEqual([emptied.tags, emptied.manifests, emptied.pulls], [0, 0, 3]);
    });
  });

  describe(`${name}: lists of repositories`, () => {
    test('go through the whole registry, a part of a namespace, or what a visibility shows, in pages', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const each of ['acme/a', 'acme/web/a', 'acme/web/b', 'acme/wz', 'alpine', 'beta/a']) {
        const visibility = each.endsWith('a') ? 'public' : 'private';
        await store.repositories.add({ name: repository(each), visibility, origin });
      }
      await linkBlob(store, repository('acme/uploads'), 'layer');
      const walk = async (...[options]: Parameters<typeof store.repositories.walk>) =>
        namesOf(await store.repositories.walk(options));
      const all = { kind: 'all' } as const;
      assert.deepEqual(await walk({ range: all, limit: 10 }), [
        'acme/a',
        'acme/web/a',
        'acme/web/b',
        'acme/wz',
        'alpine',
        'beta/a',
      ]);
      assert.deepEqual(await walk({ range: all, after: 'acme/web/a', limit: 2 }), ['acme/web/b', 'acme/wz']);
      const acme = { kind: 'namespace', namespace: 'acme' } as const;
      const below = { ...acme, from: 'acme/web/', to: 'acme/web/~' };
      assert.deepEqual(await walk({ range: below, limit: 10 }), ['acme/web/a', 'acme/web/b']);
      assert.deepEqual(await walk({ range: below, after: 'acme/a', limit: 1 }), ['acme/web/a']);
      assert.deepEqual(await walk({ range: below, after: 'acme/web/b', limit: 1 }), []);
      const one = { ...acme, from: 'acme/wz', to: 'acme/wz' };
      assert.deepEqual(await walk({ range: one, limit: 10 }), ['acme/wz']);
      const library = { kind: 'namespace', namespace: 'library', ...whole } as const;
      assert.deepEqual(await walk({ range: library, limit: 10 }), ['alpine']);
      const shown = { kind: 'visibility', visibility: 'public', ...whole } as const;
      assert.deepEqual(await walk({ range: shown, after: 'acme/a', limit: 10 }), ['acme/web/a', 'beta/a']);
      assert.deepEqual(await walk({ range: { ...shown, visibility: 'internal' }, limit: 10 }), []);
      for (const range of [all, { ...acme, ...whole }, below, one, library, shown]) {
        const up = await walk({ range, limit: 100 });
        assert.deepEqual(await walk({ range, descending: true, limit: 100 }), up.toReversed());
        const paged: string[] = [];
        for (let more = true; more; ) {
          const page = await walk({ range, after: paged.at(-1), descending: true, limit: 2 });
          paged.push(...page);
          more = page.length === 2;
        }
        assert.deepEqual(paged, up.toReversed());
      }
    });

    test('by last use tell the newest first, and those never used at the end', async (t) => {
      const clock = manualClock(1000);
      const store = await open(t, { clock });
      const names = ['t/a', 't/b', 't/c', 't/d'].map(repository);
      for (const each of names) await store.repositories.add({ name: each, origin });
      const push = async (index: number, at: number) => {
        clock.advance(at - clock.unixSeconds());
        return await putManifest(store, names[index] ?? app, manifestOf({}));
      };
      await push(1, 1010);
      await push(0, 1020);
      const digest = await push(2, 1020);
      const recent = (by: 'pushed' | 'pulled', before?: { at: number; id: number }, limit = 10) =>
        store.repositories.walkRecent({ by, before, limit });
      const all = await recent('pushed');
      assert.deepEqual(namesOf(all), ['t/c', 't/a', 't/b', 't/d']);
      const turned = await store.repositories.walkRecent({ by: 'pushed', ascending: true, limit: 10 });
      assert.deepEqual(namesOf(turned), namesOf(all).toReversed());
      const [d, b] = turned;
      const next = await store.repositories.walkRecent({
        by: 'pushed',
        ascending: true,
        before: { at: b?.lastPushedAt ?? 0, id: b?.id ?? 0 },
        limit: 10,
      });
      assert.deepEqual([d?.name, ...namesOf(next)], ['t/d', 't/a', 't/c']);
      const second = all[1];
      assert.deepEqual(namesOf(await recent('pushed', { at: 1020, id: second?.id ?? 0 }, 1)), ['t/b']);
      await store.manifests.recordPulls([{ repository: repository('t/a'), digest, pulls: 1, lastAt: 1030 }]);
      assert.equal((await recent('pulled'))[0]?.name, 't/a');
    });

    test('find labels, and where a digest lives with the tags that lead to it', async (t) => {
      const clock = manualClock(1000);
      const store = await open(t, { clock });
      const layer = await linkBlob(store, app, 'layer');
      const image = await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      clock.advance(5);
      const index = await putManifest(store, app, manifestOf({ children: [image] }), { tags: ['latest'] });
      await linkBlob(store, web, 'layer');
      await putManifest(store, web, manifestOf({ note: 'other' }));
      await linkBlob(store, repository('team/uploads'), 'layer');
      for (const [each, labels] of [
        [app, { tier: '1' }],
        [web, { tier: '1', team: 'web' }],
      ] as const)
        await store.repositories.update({ name: each, changes: { labels }, origin });
      const labelled = (key: string, value: string, limit = 10) =>
        store.repositories.listWithLabel({ key, value, limit });
      assert.deepEqual(namesOf(await labelled('tier', '1')), ['team/app', 'team/web']);
      assert.deepEqual(namesOf(await labelled('tier', '1', 1)), ['team/app']);
      assert.deepEqual(namesOf(await labelled('team', 'web')), ['team/web']);
      assert.deepEqual(namesOf(await labelled('team', 'x')), []);
      const holding = async (digest: typeof layer, limit = 10) =>
        namesOf(await store.repositories.listHolding({ digest, limit })).toSorted();
      assert.deepEqual(await holding(layer), ['team/app', 'team/web']);
      assert.deepEqual(await holding(image), ['team/app']);
      assert.deepEqual(await holding(blobDigest('nowhere')), []);
      const idOf = async (each: typeof app) => (await store.repositories.describe(each))?.id ?? 0;
      const ids = [await idOf(app), await idOf(web)];
      assert.deepEqual([...(await store.repositories.filterHolding(image, ids))], [ids[0]]);
      assert.deepEqual([...(await store.repositories.filterHolding(layer, ids))], ids);
      const tags = [
        { name: 'latest', since: 1005 },
        { name: 'v1', since: 1000 },
      ];
      const place = (id: number | undefined, digest: typeof layer) =>
        store.repositories.findPlace(id ?? 0, digest);
      assert.deepEqual(await place(ids[0], layer), { since: 1000, tags, moreTags: false });
      assert.deepEqual(await place(ids[0], image), { since: 1000, tags, moreTags: false });
      assert.deepEqual(await place(ids[0], index), { since: 1005, tags: [tags[0]], moreTags: false });
      assert.deepEqual(await place(ids[1], layer), { since: undefined, tags: [], moreTags: false });
      assert.equal(await place(ids[1], image), undefined);
    });
  });

  describe(`${name}: deleting a repository`, () => {
    test('hides all of it at once and frees its name, and it comes back as it was', async (t) => {
      const clock = manualClock(1000);
      const store = await open(t, { clock });
      const layer = await linkBlob(store, app, 'layer');
      const digest = await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      const labels = { tier: '1' };
      await store.repositories.update({ name: app, changes: { visibility: 'public', labels }, origin });
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: app, principal: 'alice', upload, limits: roomy });
      clock.advance(5);
      assert.equal(await store.repositories.remove({ name: app, origin }), true);
      assert.equal(await store.repositories.remove({ name: app, origin }), false);
      assert.equal(await store.repositories.describe(app), undefined);
      assert.equal(await store.manifests.find(app, { tag: tag('v1') }), undefined);
      assert.equal(await store.blobs.find(app, layer), undefined);
      assert.deepEqual(await store.uploads.filterClosed(['u1']), ['u1']);
      assert.deepEqual(await store.repositories.listWithLabel({ key: 'tier', value: '1', limit: 5 }), []);
      assert.deepEqual(await store.repositories.listHolding({ digest, limit: 5 }), []);
      const [deleted] = (await store.repositories.listDeleted({ limit: 5 })).items;
      const { id = 0, ...told } = deleted ?? {};
      assert.deepEqual(told, {
        kind: 'repository',
        name: 'team/app',
        visibility: 'public',
        manifests: 1,
        tags: 1,
        ownBytes: 5,
        deletedAt: 1005,
        deletedBy: 'alice',
        restorableSeconds: keepTimes.undeleteSeconds,
        namespaceRemoved: false,
      });
      assert.deepEqual(await store.repositories.findDeleted(id), deleted);
      await store.repositories.add({ name: app, origin });
      assert.deepEqual(await store.repositories.restore({ id, origin }), { outcome: 'exists' });
      await store.repositories.remove({ name: app, origin });
      assert.deepEqual(await store.repositories.restore({ id, origin }), { outcome: 'restored', name: app });
      const details = await store.repositories.describe(app);
      assert.deepEqual([details?.visibility, details?.labels, details?.tags], ['public', labels, 1]);
      assert.equal((await store.manifests.stat(app, { tag: tag('v1') }))?.digest, digest);
      assert.deepEqual(await store.repositories.restore({ id, origin }), { outcome: 'unknown' });
      assert.deepEqual(
        (await eventsOf(store, 'repository.restore')).map(({ detail }) => detail),
        [{ before: { name: 'team/app' }, after: { name: 'team/app', visibility: 'public' } }],
      );
    });

    test('it comes back under another name, in another namespace, within its quotas', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const layer = await linkBlob(store, app, 'layer');
      await putManifest(store, app, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      await store.repositories.update({ name: app, changes: { labels: { tier: '1' } }, origin });
      await store.repositories.remove({ name: app, origin });
      const id = (await store.repositories.listDeleted({ limit: 1 })).items[0]?.id ?? 0;
      const there = repository('else/app');
      await store.accounts.organizations.add({ name: 'else', origin });
      const quota = { bytes: 4, repositories: undefined };
      await store.care.quotas.set({ namespace: 'else', quota, origin });
      await assert.rejects(store.repositories.restore({ id, name: there, origin }), QuotaExceededError);
      await store.care.quotas.set({ namespace: 'else', quota: { ...quota, bytes: 5 }, origin });
      const restored = await store.repositories.restore({ id, name: there, origin });
      assert.deepEqual(restored, { outcome: 'restored', name: there });
      const used = async (name: string) => (await store.accounts.namespaces.find(name))?.usedBytes;
      assert.deepEqual([await used('team'), await used('else')], [0, 5]);
      assert.equal((await store.manifests.stat(there, { tag: tag('v1') }))?.mediaType !== undefined, true);
      const labelled = await store.repositories.listWithLabel({ key: 'tier', value: '1', limit: 5 });
      assert.deepEqual(namesOf(labelled), ['else/app']);
    });

    test('its time ends by uptime, or when it is purged', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      for (const each of [app, web]) {
        await putManifest(store, each, manifestOf({}));
        await store.repositories.remove({ name: each, origin });
      }
      const [second, first] = (await store.repositories.listDeleted({ limit: 5 })).items;
      assert.deepEqual([first?.name, second?.name], [app, web]);
      const page = await store.repositories.listDeleted({ before: second?.id, limit: 1 });
      assert.deepEqual([page.items[0]?.id, page.more], [first?.id, false]);
      assert.equal(await store.repositories.purge({ id: first?.id ?? 0, origin }), true);
      assert.equal(await store.repositories.purge({ id: first?.id ?? 0, origin }), false);
      assert.equal(await store.repositories.findDeleted(first?.id ?? 0), undefined);
      clock.jump(100 * 86_400);
      assert.ok(await store.repositories.findDeleted(second?.id ?? 0));
      clock.advance(keepTimes.undeleteSeconds);
      assert.equal(await store.repositories.findDeleted(second?.id ?? 0), undefined);
      const restored = await store.repositories.restore({ id: second?.id ?? 0, origin });
      assert.deepEqual(restored, { outcome: 'unknown' });
      const all = { everything: false, limit: 100 };
      while ((await store.care.collector.purgeRepositories(all)).more);
      assert.deepEqual((await store.repositories.listDeleted({ limit: 5 })).items, []);
    });
  });

  describe(`${name}: an organization that comes back`, () => {
    test('has its members and the repositories that went with it, and no others', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, organizations, grants, policy } = store.accounts;
      await users.add({ name: 'carol', role: 'user', guest: false, origin });
      await organizations.add({ name: 'team', owner: 'carol', origin });
      await grants.put({ namespace: 'team', subject: 'carol', pattern: 'team/app', role: 'read', origin });
      await putManifest(store, app, manifestOf({}), { tags: ['v1'] });
      await putManifest(store, web, manifestOf({}));
      await linkBlob(store, repository('team/uploads'), 'layer');
      await store.repositories.remove({ name: web, origin });
      await organizations.remove({ name: 'team', origin });
      const id = (await store.repositories.listDeleted({ limit: 5 })).items.map((one) => [
        one.name,
        one.namespaceRemoved,
      ]);
      assert.deepEqual(id, [
        [web, true],
        [app, true],
      ]);
      assert.deepEqual(await organizations.restore({ name: 'team', origin }), {
        outcome: 'restored',
        repositories: 1,
      });
      assert.deepEqual(await organizations.restore({ name: 'team', origin }), { outcome: 'unknown' });
      assert.ok(await store.manifests.find(app, { tag: tag('v1') }));
      assert.equal(await store.repositories.describe(web), undefined);
      assert.equal(await store.repositories.find(repository('team/uploads')), undefined);
      assert.deepEqual((await organizations.findMember('team', 'carol'))?.role, 'owner');
      assert.deepEqual((await policy.findSubjectByName('carol'))?.grants, []);
      assert.deepEqual((await eventsOf(store, 'organization.restore'))[0]?.detail, {
        after: { repositories: 1 },
      });
    });

    test('does so within the grace time alone, and a user does not', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { users, organizations } = store.accounts;
      await organizations.add({ name: 'team', origin });
      await users.add({ name: 'carol', role: 'user', guest: false, origin });
      await organizations.remove({ name: 'team', origin });
      await users.remove({ name: 'carol', deleteRepositories: true, origin });
      assert.deepEqual(await organizations.restore({ name: 'carol', origin }), { outcome: 'unknown' });
      clock.advance(keepTimes.undeleteSeconds);
      assert.deepEqual(await organizations.restore({ name: 'team', origin }), { outcome: 'unknown' });
    });
  });
}
