// Contract: repositories that get another name, and the old names under which they are still found.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QuotaExceededError } from '../../src/storage/care-store.ts';
import {
  alice,
  keepTimes,
  linkBlob,
  manifestOf,
  manualClock,
  putManifest,
  repository,
  roomy,
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const old = repository('sam/app');
const present = repository('acme/app');
const third = repository('acme/third');
const origin = alice;
const ninetyDays = 90 * 86_400;

export function describeMoves(name: string, open: OpenMetadataStore): void {
  describe(`${name}: moving a repository`, () => {
    test('takes tags, history, deleted manifests, counts, labels and exact grants along', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, grants, policy } = store.accounts;
      for (const each of ['sam', 'kim', 'lea'])
        await users.add({ name: each, role: 'user', guest: false, origin });
      await store.accounts.organizations.add({ name: 'acme', origin });
      const layer = await linkBlob(store, old, 'layer');
      await linkBlob(store, repository('sam/other'), 'layer');
      const digest = await putManifest(store, old, manifestOf({ blobs: [layer] }), { tags: ['v1'] });
      const gone = await putManifest(store, old, manifestOf({ note: 'gone' }), { tags: ['v0'] });
      await store.manifests.remove(old, gone, origin);
      await store.repositories.update({ name: old, changes: { labels: { tier: '1' } }, origin });
      const grant = (subject: string, pattern: string, role: 'read' | 'write') =>
        grants.put({ namespace: pattern.split('/')[0], subject, pattern, role, origin });
      await grant('kim', 'sam/app', 'write');
      await grant('kim', 'sam/**', 'read');
      await grant('lea', 'sam/app', 'read');
      await grant('lea', 'acme/app', 'write');
      const generation = await policy.generation();
      assert.deepEqual(await store.repositories.move({ from: old, to: present, origin }), {
        outcome: 'moved',
      });
      assert.ok((await policy.generation()) > generation);
      assert.equal(await store.repositories.find(old), undefined);
      assert.equal((await store.manifests.stat(present, { tag: tag('v1') }))?.digest, digest);
      const history = await store.events.tagHistory(present, tag('v0'), 5);
      assert.deepEqual(
        history.map(({ action }) => action),
        ['delete', 'push'],
      );
      const details = await store.repositories.describe(present);
      assert.deepEqual([details?.pushes, details?.tags, details?.labels], [2, 1, { tier: '1' }]);
      const labelled = await store.repositories.listWithLabel({ key: 'tier', value: '1', limit: 5 });
      assert.deepEqual(
        labelled.map((one) => one.name),
        [present],
      );
      const held = async (subject: string) =>
        ((await policy.findSubjectByName(subject))?.grants ?? []).map(({ pattern, role }) => [pattern, role]);
      assert.deepEqual(await held('kim'), [
        ['acme/app', 'write'],
        ['sam/**', 'read'],
      ]);
      // Of two on the same name the stronger stays.
      assert.deepEqual(await held('lea'), [['acme/app', 'write']]);
      const used = async (space: string) => (await store.accounts.namespaces.find(space))?.usedBytes;
      assert.deepEqual([await used('sam'), await used('acme')], [5, 5]);
      const moved = await store.events.audit({ filter: { action: 'repository.move' }, limit: 5 });
      const change = { before: { name: 'sam/app' }, after: { name: 'acme/app' } };
      assert.deepEqual(
        moved.items.map(({ object, namespace, detail }) => ({ object, namespace, detail })),
        [
          { object: 'repository:acme/app', namespace: 'acme', detail: change },
          { object: 'repository:sam/app', namespace: 'sam', detail: change },
        ],
      );
    });

    test('ends open uploads, and counts pulls that were made under the old name', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, old, manifestOf({}));
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: old, principal: 'alice', upload, limits: roomy });
      await store.repositories.move({ from: old, to: present, origin });
      assert.deepEqual(await store.uploads.filterClosed(['u1']), ['u1']);
      await store.manifests.recordPulls([{ repository: old, digest, pulls: 3, lastAt: 7 }]);
      assert.equal((await store.repositories.describe(present))?.pulls, 3);
    });

    test('keeps the old name for it, by uptime, and no push makes a repository there', async (t) => {
      const clock = manualClock(1000);
      const store = await open(t, { clock });
      const { policy } = store.accounts;
      await putManifest(store, old, manifestOf({}));
      await store.repositories.update({ name: old, changes: { visibility: 'public' }, origin });
      assert.equal(await policy.findMoved(old), undefined);
      await store.repositories.move({ from: old, to: present, origin });
      assert.deepEqual({ ...(await policy.findMoved(old)) }, { name: present, visibility: 'public' });
      const upload = { id: 'u1', state: '' };
      const begun = { repository: old, principal: 'alice', upload, limits: roomy };
      assert.deepEqual(await store.uploads.begin(begun), { outcome: 'name-kept' });
      const put = { repository: old, manifest: manifestOf({}), tags: [], sparse: 'none', origin } as const;
      assert.deepEqual(await store.manifests.put(put), { outcome: 'name-kept' });
      const kept = { outcome: 'name-kept', by: present };
      assert.deepEqual(await store.repositories.add({ name: old, origin }), kept);
      await putManifest(store, third, manifestOf({}));
      assert.deepEqual(await store.repositories.move({ from: third, to: old, origin }), kept);
      const page = await store.repositories.listAliases(present, { limit: 5 });
      const { id: _, ...alias } = page?.items[0] ?? {};
      assert.deepEqual(alias, { name: old, createdAt: 1000, servedSeconds: ninetyDays });
      clock.jump(2 * ninetyDays);
      await store.care.collector.expireAliases(100);
      assert.ok(await policy.findMoved(old));
      clock.advance(ninetyDays);
      assert.equal(await store.care.collector.expireAliases(100), 1);
      assert.equal(await policy.findMoved(old), undefined);
      assert.deepEqual(await store.repositories.add({ name: old, origin }), { outcome: 'added' });
    });

    test('can be done in chains, and back', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { policy } = store.accounts;
      await putManifest(store, old, manifestOf({}));
      const move = (from: typeof old, to: typeof old) => store.repositories.move({ from, to, origin });
      await move(old, present);
      assert.deepEqual(await move(present, third), { outcome: 'moved' });
      for (const each of [old, present]) assert.equal((await policy.findMoved(each))?.name, third);
      const aliases = async (of: typeof old) =>
        (await store.repositories.listAliases(of, { limit: 5 }))?.items.map((one) => one.name);
      assert.deepEqual(await aliases(third), [old, present]);
      assert.deepEqual(await move(third, old), { outcome: 'moved' });
      assert.equal(await policy.findMoved(old), undefined);
      assert.deepEqual(await aliases(old), [present, third]);
      assert.equal(await aliases(third), undefined);
      const [first] = (await store.repositories.listAliases(old, { limit: 1 }))?.items ?? [];
      const removal = { name: old, id: first?.id ?? 0, origin };
      assert.equal(await store.repositories.removeAlias({ ...removal, name: third }), false);
      assert.equal(await store.repositories.removeAlias(removal), true);
      assert.equal(await store.repositories.removeAlias(removal), false);
      assert.deepEqual(await aliases(old), [third]);
      assert.deepEqual(await move(old, present), { outcome: 'moved' });
    });

    test('is refused where the name is taken, the namespace was removed or a quota is full', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations } = store.accounts;
      const layer = await linkBlob(store, old, 'layer');
      await putManifest(store, old, manifestOf({ blobs: [layer] }));
      await putManifest(store, third, manifestOf({}));
      const move = (to: typeof old, from = old) => store.repositories.move({ from, to, origin });
      assert.deepEqual(await move(third), { outcome: 'exists' });
      assert.deepEqual(await move(old), { outcome: 'exists' });
      assert.deepEqual(await move(present, repository('sam/none')), { outcome: 'unknown' });
      await linkBlob(store, repository('acme/uploads'), 'x');
      assert.deepEqual(await move(repository('acme/uploads')), { outcome: 'exists' });
      await organizations.add({ name: 'gone', origin });
      await organizations.remove({ name: 'gone', origin });
      assert.deepEqual(await move(repository('gone/app')), { outcome: 'namespace-removed' });
      const limit = (bytes: number | undefined, repositories: number | undefined) =>
        store.care.quotas.set({ namespace: 'acme', quota: { bytes, repositories }, origin });
      await limit(5, undefined);
      await assert.rejects(move(present), QuotaExceededError);
      await limit(undefined, 2);
      await assert.rejects(move(present), QuotaExceededError);
      // Nothing of it happened.
      assert.ok(await store.repositories.describe(old));
      assert.equal((await store.accounts.namespaces.find('sam'))?.usedBytes, 5);
      // Within a namespace nothing is added.
      await limit(1, 1);
      assert.deepEqual(await move(repository('acme/fourth'), third), { outcome: 'moved' });
      // The quota of the registry is not one that a move can exceed.
      await limit(undefined, undefined);
      const all = { namespace: undefined, quota: { bytes: 1, repositories: 1 }, origin };
      await store.care.quotas.set(all);
      assert.deepEqual(await move(present), { outcome: 'moved' });
    });

    test('an old name of a deleted repository is free, and stays with whoever took it', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { policy } = store.accounts;
      await putManifest(store, old, manifestOf({}));
      await store.repositories.move({ from: old, to: present, origin });
      await store.repositories.remove({ name: present, origin });
      const id = (await store.repositories.listDeleted({ limit: 1 })).items[0]?.id ?? 0;
      assert.equal(await policy.findMoved(old), undefined);
      assert.deepEqual(await store.repositories.restore({ id, origin }), {
        outcome: 'restored',
        name: present,
      });
      assert.equal((await policy.findMoved(old))?.name, present);
      await store.repositories.remove({ name: present, origin });
      await putManifest(store, old, manifestOf({ note: 'new' }));
      assert.deepEqual(await store.repositories.restore({ id, origin }), {
        outcome: 'restored',
        name: present,
      });
      assert.equal(await policy.findMoved(old), undefined);
      assert.deepEqual((await store.repositories.listAliases(present, { limit: 5 }))?.items, []);
      // Under its old name it comes back only where that is free.
      await store.repositories.remove({ name: present, origin });
      assert.deepEqual(await store.repositories.restore({ id, name: old, origin }), { outcome: 'exists' });
      await store.repositories.move({ from: old, to: third, origin });
      const kept = { outcome: 'name-kept', by: third };
      assert.deepEqual(await store.repositories.restore({ id, name: old, origin }), kept);
    });

    test('what is moved can be deleted for good, with its old names', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await putManifest(store, old, manifestOf({}), { tags: ['v1'] });
      const changes = { labels: { tier: '1' }, readme: '# App' };
      await store.repositories.update({ name: old, changes, origin });
      await store.repositories.move({ from: old, to: present, origin });
      await store.repositories.remove({ name: present, origin });
      clock.advance(keepTimes.undeleteSeconds);
      while ((await store.care.collector.purgeRepositories({ everything: false, limit: 100 })).more);
      assert.deepEqual(await store.repositories.add({ name: present, origin }), { outcome: 'added' });
      const details = await store.repositories.describe(present);
      assert.deepEqual([details?.readme, details?.labels, details?.tags], ['', {}, 0]);
    });
  });
}
