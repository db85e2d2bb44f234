// Contract: grants.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Role } from '../../src/storage/account-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { addOrganization, addUser, effectOf, lastEvent, root } from '../support/accounts.ts';
import { manualClock } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

/** A store with the user bob, the organization acme, its team dev and its robot ci. */
async function withSubjects(store: MetadataStore) {
  const { accounts } = store;
  await addUser(store, 'bob');
  await addOrganization(store, 'acme');
  await accounts.organizations.addTeam({ organization: 'acme', team: 'dev', origin });
  await accounts.robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
  return (
    subject: string,
    pattern: string,
    role: Role,
    options: { readonly namespace?: string | undefined; readonly expiresAt?: number } = { namespace: 'acme' },
  ) => accounts.grants.put({ namespace: undefined, ...options, subject, pattern, role, origin });
}

export function describeGrantStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: grants`, () => {
    test('everybody who can be given something can be given it', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      const put = await withSubjects(store);
      const kinds = {
        bob: 'user',
        'acme/dev': 'team',
        'acme+ci': 'robot',
        authenticated: 'authenticated',
        anonymous: 'anonymous',
      } as const;
      for (const [subject, subjectKind] of Object.entries(kinds)) {
        const created = await put(subject, 'acme/**', 'read', {
          namespace: 'acme',
          expiresAt: 2_000_000_000.5,
        });
        assert.ok(created.outcome === 'created');
        assert.deepEqual(created.grant, {
          id: created.grant.id,
          subject,
          subjectKind,
          pattern: 'acme/**',
          role: 'read',
          expiresAt: 2_000_000_000,
          namespace: 'acme',
          grantedBy: 'root',
          createdAt: 1_900_000_000,
        });
        assert.deepEqual(await store.accounts.grants.find(created.grant.id), created.grant);
      }
      assert.deepEqual(await put('none', 'acme/**', 'read'), { outcome: 'unknown-subject' });
      const nowhere = await put('bob', 'none/**', 'read', { namespace: 'none' });
      assert.deepEqual(nowhere, { outcome: 'unknown-namespace' });
    });

    test('nothing is given to who was removed, nor in what was removed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const put = await withSubjects(store);
      await addUser(store, 'carol');
      await store.accounts.users.remove({ name: 'carol', deleteRepositories: false, origin });
      assert.deepEqual(await put('carol', 'acme/**', 'read'), { outcome: 'unknown-subject' });
      await store.accounts.organizations.remove({ name: 'acme', origin });
      assert.deepEqual(await put('bob', 'acme/**', 'read'), { outcome: 'unknown-namespace' });
    });

    test('a second grant of a subject and pattern replaces role and expiry', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const put = await withSubjects(store);
      const first = await put('bob', 'acme/web', 'read');
      assert.ok(first.outcome === 'created');
      clock.advance(10);
      const told = ['grant.set grant:acme/web'];
      assert.deepEqual(await effectOf(store, () => put('bob', 'acme/web', 'admin')), { told, moved: true });
      assert.deepEqual((await lastEvent(store))?.detail, {
        before: { subject: 'bob', role: 'read' },
        after: { subject: 'bob', role: 'admin' },
      });
      assert.deepEqual(await effectOf(store, () => put('bob', 'acme/web', 'admin')), {
        told: [],
        moved: false,
      });
      const second = await put('bob', 'acme/web', 'admin', { namespace: 'acme', expiresAt: 5 });
      assert.ok(second.outcome === 'replaced');
      const { id } = first.grant;
      const replaced = { role: 'admin', expiresAt: 5, createdAt: first.grant.createdAt + 10 };
      assert.deepEqual(second.grant, { ...first.grant, ...replaced });
      await put('bob', 'acme/web-*', 'read');
      const { items } = await store.accounts.grants.list('acme', { limit: 10 });
      assert.deepEqual(
        items.map((grant) => [grant.id === id, grant.pattern, grant.role]),
        [
          [true, 'acme/web', 'admin'],
          [false, 'acme/web-*', 'read'],
        ],
      );
    });

    test('grants are listed by namespace, of the registry, and by subject, in pages', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const put = await withSubjects(store);
      const { grants } = store.accounts;
      await addOrganization(store, 'lab');
      await put('bob', 'acme/a', 'read');
      await put('bob', '**', 'read', {});
      await put('acme+ci', 'acme/**', 'write');
      await put('bob', 'lab/**', 'admin', { namespace: 'lab' });
      const shown = ({ items, more }: Awaited<ReturnType<typeof grants.list>>) => [
        items.map(({ subject, pattern }) => `${subject} ${pattern}`),
        more,
      ];
      const first = await grants.list('acme', { limit: 1 });
      assert.deepEqual(shown(first), [['bob acme/a'], true]);
      const after = first.items[0]?.id;
      assert.deepEqual(shown(await grants.list('acme', { limit: 1, after })), [['acme+ci acme/**'], false]);
      assert.deepEqual(shown(await grants.list(undefined, { limit: 10 })), [['bob **'], false]);
      assert.equal((await grants.list(undefined, { limit: 10 })).items[0]?.namespace, undefined);
      const ofBob = await grants.listOfSubject('bob', { limit: 2 });
      assert.deepEqual(shown(ofBob), [['bob acme/a', 'bob **'], true]);
      const rest = await grants.listOfSubject('bob', { limit: 2, after: ofBob.items[1]?.id });
      assert.deepEqual(shown(rest), [['bob lab/**'], false]);
      assert.deepEqual(shown(await grants.listOfSubject('none', { limit: 2 })), [[], false]);
      assert.deepEqual(shown(await grants.list('none', { limit: 2 })), [[], false]);
    });

    test('a withdrawn grant is gone at once and is told, and its id is never used again', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const put = await withSubjects(store);
      const { grants, policy } = store.accounts;
      const given = await put('bob', 'acme/**', 'write');
      assert.ok(given.outcome === 'created');
      const { id } = given.grant;
      const remove = () => grants.remove({ id, origin });
      assert.deepEqual(await effectOf(store, remove), { told: ['grant.remove grant:acme/**'], moved: true });
      const told = await lastEvent(store);
      assert.deepEqual(told?.detail, { before: { subject: 'bob', role: 'write' } });
      assert.equal(told?.namespace, 'acme');
      assert.deepEqual((await policy.findSubjectByName('bob'))?.grants, []);
      assert.equal(await remove(), false);
      const again = await put('bob', 'acme/**', 'write');
      assert.ok(again.outcome === 'created' && again.grant.id > id);
    });
  });
}
