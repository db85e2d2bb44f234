// Contract: the audit: events by filter and newest first, sign-ins, and dropping what is old.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AuditFilter, MetadataStore, SignIns } from '../../src/storage/metadata-store.ts';
import { addOrganization, addUser, root } from '../support/accounts.ts';
import { manifestOf, manualClock, putManifest, repository } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;
const start = 1_900_000_000;

/** What an audit answers: kind and object, or what else tells an event apart. */
async function audit(
  { events }: MetadataStore,
  filter: AuditFilter,
  page: { readonly before?: number; readonly limit: number } = { limit: 100 },
) {
  const { items, more } = await events.audit({ filter, ...page });
  const shown = items.map((event) => `${event.kind} ${event.object ?? event.repository ?? event.actor}`);
  return { shown, more, last: items.at(-1)?.seq };
}

/** One minute of events each: a push, a user, an organization, a push there, a refused sign-in, a robot. */
async function withEvents(store: MetadataStore, advance: (seconds: number) => void): Promise<void> {
  await putManifest(store, repository('team/app'), manifestOf({}), { origin: { actor: 'bob' } });
  advance(60);
  await addUser(store, 'alice');
  advance(60);
  await addOrganization(store, 'acme', 'alice');
  advance(60);
  await putManifest(store, repository('acme/app'), manifestOf({}), { origin: { actor: 'alice' } });
  advance(60);
  await store.events.recordSignIns([signIns({ at: start + 240, outcome: 'refused' })]);
  advance(60);
  await store.accounts.robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
}

const signIns = (options: Partial<SignIns>): SignIns => ({
  at: start,
  account: 'alice',
  address: '192.0.2.66',
  userAgent: 'curl/8',
  outcome: 'allowed',
  count: 3,
  ...options,
});

export function describeEventStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: audit`, () => {
    test('each filter finds its events, newest first, and filters add up', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await withEvents(store, clock.advance);
      const [push, user, organization, pushThere, refused, robot] = [
        'push team/app',
        'user.add user:alice',
        'organization.add organization:acme',
        'push acme/app',
        'sign-in alice',
        'robot.add robot:acme+ci',
      ];
      const found = async (filter: AuditFilter) => (await audit(store, filter)).shown;
      assert.deepEqual(await found({}), [robot, refused, pushThere, organization, user, push]);
      assert.deepEqual(await found({ actor: 'alice' }), [refused, pushThere]);
      assert.deepEqual(await found({ action: 'push' }), [pushThere, push]);
      assert.deepEqual(await found({ action: 'user.add' }), [user]);
      assert.deepEqual(await found({ action: 'sign-in' }), [refused]);
      assert.deepEqual(await found({ action: 'none' }), []);
      assert.deepEqual(await found({ object: 'organization:acme' }), [organization]);
      assert.deepEqual(await found({ repository: 'team/app' }), [push]);
      assert.deepEqual(await found({ namespace: 'acme' }), [robot, pushThere, organization]);
      assert.deepEqual(await found({ outcome: 'refused' }), [refused]);
      assert.deepEqual(await found({ outcome: 'allowed', actor: 'alice' }), [pushThere]);
      assert.deepEqual(await found({ since: start + 60, until: start + 180 }), [organization, user]);
      assert.deepEqual(await found({ since: start + 300 }), [robot]);
      assert.deepEqual(await found({ since: start + 301 }), []);
      assert.deepEqual(await found({ until: start + 60 }), [push]);
      assert.deepEqual(await found({ namespace: 'acme', action: 'push', actor: 'alice' }), [pushThere]);
      assert.deepEqual(await found({ namespace: 'acme', action: 'robot.add', actor: 'alice' }), []);
      assert.deepEqual(await found({ namespace: 'team', action: 'user.add' }), []);
      assert.deepEqual(await found({ actor: 'root', until: start + 200 }), [organization, user]);
    });

    test('a filter whose parts are undefined filters nothing', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await withEvents(store, clock.advance);
      const filter = { actor: undefined, since: undefined, outcome: undefined, action: 'push' };
      assert.deepEqual((await audit(store, filter)).shown, ['push acme/app', 'push team/app']);
    });

    test('pages go on before a seq and tell whether there is more', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await withEvents(store, clock.advance);
      for (const filter of [{ namespace: 'acme' }, { since: start + 120, namespace: 'acme' }]) {
        const first = await audit(store, filter, { limit: 2 });
        assert.deepEqual([first.shown, first.more], [['robot.add robot:acme+ci', 'push acme/app'], true]);
        const second = await audit(store, filter, { limit: 2, before: first.last ?? 0 });
        assert.deepEqual([second.shown, second.more], [['organization.add organization:acme'], false]);
        const third = await audit(store, filter, { limit: 2, before: second.last ?? 0 });
        assert.deepEqual([third.shown, third.more], [[], false]);
      }
    });

    test('a time is found also where somebody set the clock back', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await addUser(store, 'before');
      clock.jump(10_000);
      await addUser(store, 'ahead');
      clock.jump(-9000);
      await addUser(store, 'after');
      clock.jump(9001);
      await addUser(store, 'later');
      const found = async (filter: AuditFilter) => (await audit(store, filter)).shown;
      const [before, ahead, after, later] = ['before', 'ahead', 'after', 'later'].map(
        (each) => `user.add user:${each}`,
      );
      assert.deepEqual(await found({ since: start + 500 }), [later, after, ahead]);
      assert.deepEqual(await found({ since: start + 5000 }), [later, ahead]);
      assert.deepEqual(await found({ until: start + 5000 }), [after, before]);
      assert.deepEqual(await found({ since: start + 500, until: start + 5000 }), [after]);
    });

    test('what is rare is found behind many events of others, and pages do not stop short of it', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const origins = { rare: 'alice', common: 'ci' } as const;
      const record = (actor: string) =>
        store.events.record({ action: 'read-only.set', object: 'registry', detail: {}, origin: { actor } });
      await record(origins.rare);
      const many = Array.from({ length: 12_000 }, () => signIns({ account: 'ci', userAgent: undefined }));
      await store.events.recordSignIns(many);
      await record(origins.rare);
      await store.events.recordSignIns(many.slice(0, 6000));
      const rare = { outcome: 'allowed', until: start + 1, actor: 'alice' } as const;
      assert.equal((await audit(store, rare)).shown.length, 2);
      assert.equal((await audit(store, { until: start + 1, action: 'read-only.set' })).shown.length, 2);
      const { items } = await store.events.audit({
        filter: { since: start, until: start + 1 },
        limit: 17_000,
      });
      assert.equal(items.length, 17_000);
      assert.deepEqual(
        items.map(({ seq }) => seq),
        Array.from({ length: 17_000 }, (_, index) => 18_002 - index),
      );
      const byActor = await audit(store, { actor: 'ci', object: 'none' });
      assert.deepEqual([byActor.shown, byActor.more], [[], false]);
    });

    test('sign-ins are one event for each account, address and outcome that was gathered', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      await store.events.recordSignIns([
        signIns({ at: start - 5.5, userAgent: 'x'.repeat(10_000) }),
        signIns({ outcome: 'refused', account: 'nobody', userAgent: undefined, count: 40 }),
      ]);
      const { items } = await store.events.read({ after: 0, limit: 10 });
      assert.deepEqual(
        items.map(({ at, kind, actor, outcome, address, userAgent, detail }) => ({
          told: [at, kind, actor, outcome, address, detail],
          userAgent: userAgent?.length,
        })),
        [
          { told: [start - 6, 'sign-in', 'alice', 'allowed', '192.0.2.66', { count: 3 }], userAgent: 256 },
          {
            told: [start, 'sign-in', 'nobody', 'refused', '192.0.2.66', { count: 40 }],
            userAgent: undefined,
          },
        ],
      );
      await store.events.recordSignIns([]);
    });

    test('a change without rows of its own is told as it is given', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const detail = { before: { readOnly: false }, after: { readOnly: true, message: 'moving' } };
      await store.events.record({ action: 'read-only.set', object: 'registry', detail, origin });
      const { items } = await store.events.audit({ filter: { object: 'registry' }, limit: 1 });
      assert.deepEqual(
        [items[0]?.kind, items[0]?.actor, items[0]?.detail],
        ['read-only.set', 'root', detail],
      );
    });

    test('old events are dropped up to a limit, and a seq is never used again', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await withEvents(store, clock.advance);
      const { last } = await audit(store, {}, { limit: 1 });
      assert.equal(await store.events.dropBefore(start + 180.5, 2), 2);
      assert.equal(await store.events.dropBefore(start + 180.5, 10), 1);
      assert.equal(await store.events.dropBefore(start + 180.5, 10), 0);
      assert.equal((await audit(store, {})).shown.at(-1), 'push acme/app');
      assert.equal(await store.events.dropBefore(start + 1000, 10), 3);
      await addUser(store, 'bob');
      assert.equal((await audit(store, {}, { limit: 1 })).last, (last ?? 0) + 1);
    });
  });
}
