// Contract: webhooks: their settings, their cursors and pauses, the log of deliveries, and what goes with a namespace.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import type { Attempt, Webhook, WebhookStore } from '../../src/storage/webhook-store.ts';
import { addOrganization, addUser, root } from '../support/accounts.ts';
import { manifestOf, manualClock, putManifest, repository } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;
const start = 1_900_000_000;
let notes = 0;

async function add(
  store: MetadataStore,
  settings: Partial<Parameters<WebhookStore['add']>[0]> = {},
): Promise<Webhook> {
  const added = await store.webhooks.add({
    namespace: 'system',
    url: 'https://user.example.com/path?token=hidden',
    events: ['push', 'delete'],
    repositories: '**',
    format: 'distribution',
    secret: 'a secret of sixteen',
    enabled: true,
    most: 3,
    origin,
    ...settings,
  });
  assert.equal(added.outcome, 'added');
  return (added as { webhook: Webhook }).webhook;
}

async function push(store: MetadataStore, name = 'acme/app'): Promise<number> {
  notes += 1;
  await putManifest(store, repository(name), manifestOf({ note: `hook ${notes}` }));
  return await store.events.newest();
}

const attempt = (webhookId: number, eventSeq: number, more: Partial<Attempt> = {}): Attempt => ({
  ...{
    webhookId,
    eventSeq,
    state: 'delivered',
    status: 200,
    milliseconds: 12.6,
    answer: 'ok',
    endpoint: 'reached',
  },
  ...more,
});

export function describeWebhookStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: webhooks`, () => {
    test('are added where the namespace is, up to a number, and begin after what has happened', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const seq = await push(store);
      const hook = await add(store);
      const { id: _id, secret: _secret, ...rest } = hook;
      assert.deepEqual(rest, {
        namespace: 'system',
        url: 'https://user.example.com/path?token=hidden',
        events: ['push', 'delete'],
        repositories: '**',
        format: 'distribution',
        enabled: true,
        eventSeq: seq,
        failures: 0,
        failingSince: undefined,
        pausedUntil: undefined,
        createdAt: start,
        createdBy: 'root',
      });
      assert.deepEqual(await store.webhooks.find(hook.id), hook);
      await add(store);
      await add(store);
      const wanted = { ...hook, most: 3, origin };
      assert.deepEqual(await store.webhooks.add(wanted), { outcome: 'too-many' });
      assert.deepEqual(await store.webhooks.add({ ...wanted, namespace: 'nope' }), { outcome: 'unknown' });
      const page = await store.webhooks.list('system', { limit: 2 });
      assert.deepEqual([page.items.length, page.more], [2, true]);
      const rest2 = await store.webhooks.list('system', { after: page.items[1]?.id, limit: 2 });
      assert.deepEqual([rest2.items.length, rest2.more], [1, false]);
      assert.equal((await store.webhooks.list('library', { limit: 2 })).items.length, 0);
    });

    test('are audited without secret and without the rest of the URL', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const hook = await add(store);
      await store.webhooks.update({ id: hook.id, changes: { secret: 'another secret here' }, origin });
      await store.webhooks.remove({ id: hook.id, origin });
      const { items } = await store.events.read({ after: 0, limit: 10 });
      const told = items.filter(({ kind }) => kind.startsWith('webhook.'));
      assert.deepEqual(
        told.map(({ kind, object, namespace }) => `${kind} ${object} ${namespace}`),
        ['add', 'update', 'remove'].map((verb) => `webhook.${verb} webhook:system/${hook.id} system`),
      );
      const text = JSON.stringify(told);
      assert.doesNotMatch(text, /hidden|secret of|another secret/);
      assert.match(text, /"secret":"replaced"/);
      assert.match(text, /https:\/\/user\.example\.com"/);
    });

    test('record attempts: one delivery an event, with the cursor after it', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      const { id } = await add(store);
      const seq = await push(store);
      const failed = {
        state: 'pending',
        nextAt: start + 10.2,
        status: undefined,
        error: 'nothing listens there',
        answer: undefined,
      } as const;
      const first = await store.webhooks.record(
        attempt(id, seq, { ...failed, endpoint: { pausedUntil: start + 10.2 } }),
      );
      assert.deepEqual(
        { ...first, id: 0 },
        {
          ...{
            id: 0,
            webhookId: id,
            eventSeq: seq,
            state: 'pending',
            attempts: 1,
            nextAt: start + 11,
            firstAt: start,
          },
          ...{
            lastAt: start,
            status: undefined,
            milliseconds: 13,
            error: 'nothing listens there',
            answer: undefined,
          },
        },
      );
      const paused = await store.webhooks.find(id);
      assert.deepEqual(
        [paused?.eventSeq, paused?.failures, paused?.failingSince, paused?.pausedUntil],
        [seq, 1, start, start + 11],
      );
      assert.deepEqual(
        (await store.webhooks.listFailing(5)).map((hook) => hook.id),
        [id],
      );
      assert.equal(await store.webhooks.nextDueAt(id), start + 11);
      assert.equal(await store.webhooks.findDue(id, start + 10), undefined);
      assert.equal((await store.webhooks.findDue(id, start + 11))?.eventSeq, seq);
      assert.equal(await store.webhooks.countPending(id), 1);
      clock.advance(20);
      await store.webhooks.record(attempt(id, seq, { ...failed, nextAt: start + 60, endpoint: 'untouched' }));
      assert.equal((await store.webhooks.find(id))?.failures, 1);
      const done = await store.webhooks.record(attempt(id, seq));
      assert.deepEqual(
        [done?.id, done?.attempts, done?.state, done?.nextAt, done?.lastAt],
        [first?.id, 3, 'delivered', undefined, start + 20],
      );
      const well = await store.webhooks.find(id);
      assert.deepEqual([well?.failures, well?.failingSince, well?.pausedUntil], [0, undefined, undefined]);
      assert.equal(await store.webhooks.nextDueAt(id), undefined);
      assert.deepEqual(await store.webhooks.listFailing(5), []);
    });

    test('give what is due in order of events, and list deliveries newest first', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const { id } = await add(store);
      const other = await add(store);
      const seqs = [await push(store), await push(store), await push(store)];
      const pending = { state: 'pending', status: 500, endpoint: 'untouched' } as const;
      for (const [index, seq] of seqs.entries())
        await store.webhooks.record(attempt(id, seq, { ...pending, nextAt: start + 30 - index }));
      assert.equal((await store.webhooks.findDue(id, start + 29))?.eventSeq, seqs[1]);
      assert.equal((await store.webhooks.findDue(id, start + 30))?.eventSeq, seqs[0]);
      assert.equal(await store.webhooks.findDue(other.id, start + 99), undefined);
      const { items, more } = await store.webhooks.listDeliveries(id, { limit: 2 });
      assert.deepEqual([items.map(({ eventSeq }) => eventSeq), more], [[seqs[2], seqs[1]], true]);
      const rest = await store.webhooks.listDeliveries(id, { before: items[1]?.id, limit: 2 });
      assert.deepEqual([rest.items.map(({ eventSeq }) => eventSeq), rest.more], [[seqs[0]], false]);
      const found = items[0];
      assert.ok(found);
      assert.deepEqual(await store.webhooks.findDelivery(id, found.id), found);
      assert.equal(await store.webhooks.findDelivery(other.id, found.id), undefined);
    });

    test('that are disabled end what is pending, and begin with what happens from then on', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const { id } = await add(store);
      const seq = await push(store);
      await store.webhooks.record(
        attempt(id, seq, {
          state: 'pending',
          nextAt: start + 10,
          status: 503,
          endpoint: { pausedUntil: start + 10 },
        }),
      );
      const off = await store.webhooks.update({ id, changes: { enabled: false }, origin });
      assert.deepEqual([off?.enabled, off?.pausedUntil, off?.eventSeq], [false, undefined, seq]);
      assert.equal(await store.webhooks.nextDueAt(id), undefined);
      assert.deepEqual((await store.webhooks.listEnabled({ limit: 5 })).items, []);
      const newest = await push(store);
      const on = await store.webhooks.update({ id, changes: { enabled: true }, origin });
      assert.ok((on?.eventSeq ?? 0) >= newest);
      assert.equal((await store.webhooks.listEnabled({ limit: 5 })).items[0]?.id, id);
      assert.equal(await store.webhooks.update({ id: 999, changes: {}, origin }), undefined);
    });

    test('with another URL, or told to resume, are tried at once', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const { id } = await add(store);
      const down = attempt(id, 1, {
        state: 'pending',
        nextAt: start + 99,
        status: 503,
        endpoint: { pausedUntil: start + 99 },
      });
      await store.webhooks.record(down);
      await store.webhooks.update({ id, changes: { events: ['push'] }, origin });
      assert.equal((await store.webhooks.find(id))?.pausedUntil, start + 99);
      await store.webhooks.update({ id, changes: { url: 'https://b.example.com/' }, origin });
      assert.equal((await store.webhooks.find(id))?.pausedUntil, undefined);
      await store.webhooks.record(down);
      await store.webhooks.resume(id);
      assert.equal((await store.webhooks.find(id))?.pausedUntil, undefined);
    });

    test('move their cursors forward alone', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const [one, other] = [await add(store), await add(store)];
      await store.webhooks.advance([
        { id: one.id, eventSeq: 50 },
        { id: other.id, eventSeq: 60 },
        { id: 999, eventSeq: 1 },
      ]);
      await store.webhooks.advance([{ id: one.id, eventSeq: 40 }]);
      assert.deepEqual(
        [(await store.webhooks.find(one.id))?.eventSeq, (await store.webhooks.find(other.id))?.eventSeq],
        [50, 60],
      );
    });

    test('go with their namespace, and leave their deliveries to be pruned some at a time', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      await addUser(store, 'alice');
      await addOrganization(store, 'acme', 'alice');
      const { id } = await add(store, { namespace: 'acme', repositories: 'acme/**' });
      const kept = await add(store);
      for (let seq = 1; seq <= 5; seq += 1) await store.webhooks.record(attempt(id, seq));
      await store.webhooks.record(attempt(kept.id, 1));
      await store.accounts.organizations.remove({ name: 'acme', origin });
      assert.equal(await store.webhooks.find(id), undefined);
      assert.equal(await store.webhooks.record(attempt(id, 6)), undefined);
      assert.equal(await store.webhooks.update({ id, changes: { enabled: false }, origin }), undefined);
      assert.equal(await store.webhooks.remove({ id, origin }), false);
      const dropped: number[] = [];
      do dropped.push(await store.webhooks.prune({ before: 0, limit: 2 }));
      while (dropped.at(-1) !== 0);
      assert.equal(
        dropped.reduce((sum, count) => sum + count),
        6,
      );
      assert.ok(dropped.every((count) => count <= 2));
      assert.equal((await store.webhooks.listDeliveries(kept.id, { limit: 5 })).items.length, 1);
    });

    test('forget deliveries that ended long ago, and none that is pending', async (t) => {
      const clock = manualClock(start);
      const store = await open(t, { clock });
      const { id } = await add(store);
      await store.webhooks.record(attempt(id, 1));
      await store.webhooks.record(
        attempt(id, 2, { state: 'pending', nextAt: start + 5, endpoint: 'untouched' }),
      );
      clock.advance(100);
      await store.webhooks.record(attempt(id, 3));
      assert.equal(await store.webhooks.prune({ before: start + 50, limit: 10 }), 1);
      const { items } = await store.webhooks.listDeliveries(id, { limit: 5 });
      assert.deepEqual(
        items.map(({ eventSeq }) => eventSeq),
        [3, 2],
      );
    });
  });

  describe(`${name}: following events`, () => {
    test('the oldest and newest are told, and every commit', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      assert.deepEqual([await store.events.newest(), await store.events.oldest()], [0, undefined]);
      let told = 0;
      const unwatch = store.events.watch(() => {
        told += 1;
      });
      const seq = await push(store);
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(told >= 1);
      assert.deepEqual([await store.events.newest(), await store.events.oldest()], [seq, 1]);
      unwatch();
      const before = told;
      await push(store);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(told, before);
    });

    test('changes of content tell of media type and size, also of what is gone', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const manifest = manifestOf({ note: 'sized' });
      const content = { mediaType: manifest.mediaType, size: manifest.bytes.length };
      await putManifest(store, repository('acme/app'), manifest, { tags: ['v1'] });
      await store.manifests.remove(repository('acme/app'), manifest.digest, origin);
      const { items } = await store.events.read({ after: 0, limit: 10 });
      assert.deepEqual(
        items.map(({ kind, detail }) => [kind, detail]),
        [
          ['push', content],
          ['tag', content],
          ['untag', undefined],
          ['delete', content],
        ],
      );
    });

    test('pulls are events where it is told who pulled', async (t) => {
      const store = await open(t, { clock: manualClock(start) });
      const manifest = manifestOf({ note: 'pulled' });
      const app = repository('acme/app');
      const digest = await putManifest(store, app, manifest);
      const before = await store.events.newest();
      await store.manifests.recordPulls([{ repository: app, digest, pulls: 4, lastAt: start }]);
      assert.equal(await store.events.newest(), before);
      const by = [
        { origin: { actor: 'alice', address: '192.0.2.1' }, tag: undefined, count: 3 },
        { origin: { actor: 'bob' }, tag: undefined, count: 1 },
      ];
      await store.manifests.recordPulls([{ repository: app, digest, pulls: 4, lastAt: start, by }]);
      const { items } = await store.events.read({ after: before, limit: 10 });
      assert.deepEqual(
        items.map(({ kind, actor, address, detail }) => [kind, actor, address, detail?.count, detail?.size]),
        [
          ['pull', 'alice', '192.0.2.1', 3, manifest.bytes.length],
          ['pull', 'bob', undefined, 1, manifest.bytes.length],
        ],
      );
    });
  });
}
