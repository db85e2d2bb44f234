// Webhooks from the event rows to real receivers: order, retries, dead endpoints, restarts, and what is told to whom.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeFolder } from '../support/cleanup.ts';
import { alice, manifestOf, manualClock, putManifest, repository, tag } from '../support/metadata.ts';
import { type Received, startReceiver } from '../support/receiver.ts';
import { eventually, type HookBench, openHooks } from '../support/webhooks.ts';

const app = repository('acme/app');
let notes = 0;

/** Pushes a manifest of its own under a tag; undefined: by digest. */
async function push({ store }: HookBench, name = app, tagName: string | undefined = 'v1') {
  notes += 1;
  return await putManifest(store, name, manifestOf({ note: String(notes) }), {
    tags: tagName === undefined ? [] : [tagName],
  });
}

const subjects = (received: readonly Received[]) =>
  received.map(({ json }) => `${json.type} ${json.subject}`);
const lastDelivery = async ({ store }: HookBench, id: number) =>
  (await store.webhooks.listDeliveries(id, { limit: 1 })).items[0];

describe('webhooks', () => {
  test('are told of what happens from then on, in order, each once', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    await push(bench);
    const hook = await bench.add(receiver.url);
    for (const name of ['v2', 'v3', 'v4']) await push(bench, app, name);
    await bench.store.tags.remove(app, tag('v3'), alice);
    const received = await receiver.until(4);
    assert.deepEqual(subjects(received), [
      'berth.push acme/app:v2',
      'berth.push acme/app:v3',
      'berth.push acme/app:v4',
      'berth.delete acme/app:v3',
    ]);
    const [first] = received;
    assert.ok(first?.json.data.size > 0);
    assert.equal(first?.headers['x-berth-event'], 'push');
    const done = await eventually(async () => {
      const { items } = await bench.store.webhooks.listDeliveries(hook.id, { limit: 10 });
      return items.length === 4 && items;
    });
    assert.deepEqual(
      done.map(({ state, attempts, status }) => [state, attempts, status]),
      Array(4).fill(['delivered', 1, 200]),
    );
    assert.deepEqual(bench.webhooks.statistics().delivered, 4);
  });

  test('are told only of the events and repositories that they want', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    await bench.add(receiver.url, { events: ['delete'], repositories: 'acme/**' });
    await push(bench);
    await push(bench, repository('other/app'));
    await bench.store.tags.remove(repository('other/app'), tag('v1'), alice);
    await bench.store.tags.remove(app, tag('v1'), alice);
    await receiver.until(1);
    await push(bench);
    await bench.store.tags.remove(app, tag('v1'), alice);
    await receiver.until(2);
    assert.deepEqual(subjects(receiver.received), ['berth.delete acme/app:v1', 'berth.delete acme/app:v1']);
  });

  test('of a dead endpoint wait longer and longer, lose nothing, and keep the order', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    const { port } = receiver;
    await receiver.close();
    const hook = await bench.add(receiver.url);
    for (const name of ['v1', 'v2', 'v3']) await push(bench, app, name);
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const wait = await eventually(async () => {
        const found = await lastDelivery(bench, hook.id);
        return found?.attempts === attempt && bench.timers.next();
      });
      waits.push(Math.round(wait));
      if (attempt < 4) bench.timers.advance(wait);
    }
    assert.deepEqual(waits, [10, 30, 90, 270]);
    const { failures, failingSince, pausedUntil } = (await bench.store.webhooks.listFailing(10))[0] ?? {};
    assert.deepEqual([failures, failingSince], [4, 1_800_000_000]);
    assert.ok((pausedUntil ?? 0) > bench.clock.unixSeconds());
    const { items } = await bench.store.webhooks.listDeliveries(hook.id, { limit: 10 });
    assert.equal(items.length, 1, 'while the endpoint is dead nothing else is tried');
    assert.equal(items[0]?.error, 'nothing listens there');
    const again = await startReceiver(t, { port });
    bench.timers.advance(270);
    await again.until(3);
    assert.deepEqual(
      subjects(again.received),
      ['v1', 'v2', 'v3'].map((name) => `berth.push acme/app:${name}`),
    );
    const id = again.received.map(({ headers }) => headers['x-berth-attempt']);
    assert.deepEqual(id, ['5', '1', '1']);
    await eventually(async () => (await bench.store.webhooks.listFailing(10)).length === 0);
  });

  test('of a dead endpoint hold no other up', async (t) => {
    const bench = await openHooks(t);
    const [dead, silent, alive] = [await startReceiver(t), await startReceiver(t), await startReceiver(t)];
    await dead.close();
    silent.answer(() => undefined);
    await bench.add(dead.url);
    await bench.add(silent.url);
    await bench.add(alive.url);
    for (let count = 0; count < 5; count += 1) await push(bench);
    await alive.until(5);
    assert.equal(silent.received.length, 1);
  });

  test('of slow endpoints hold up those of their own namespace alone', async (t) => {
    const bench = await openHooks(t);
    const [slow, other] = [await startReceiver(t), await startReceiver(t)];
    slow.answer(() => undefined);
    await push(bench);
    for (let index = 0; index < 70; index += 1) await bench.add(slow.url, { namespace: 'acme' });
    await bench.add(other.url);
    await push(bench);
    await other.until(1);
    assert.ok(slow.received.length <= 8, `${slow.received.length} deliveries of one namespace`);
  });

  test('that refuse one event are told of the others, and of that one later', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    receiver.answer((one, reply) => {
      const isBad = one.json.subject === 'acme/app:bad' && one.headers['x-berth-attempt'] === '1';
      reply.writeHead(isBad ? 422 : 204).end();
    });
    const hook = await bench.add(receiver.url);
    for (const name of ['bad', 'v1', 'v2']) await push(bench, app, name);
    await receiver.until(3);
    const wait = await eventually(() => bench.timers.next());
    assert.equal(Math.round(wait), 10);
    bench.timers.advance(wait);
    await receiver.until(4);
    assert.deepEqual(
      receiver.received.map(({ json, headers }) => `${json.subject} ${headers['x-berth-attempt']}`),
      ['acme/app:bad 1', 'acme/app:v1 1', 'acme/app:v2 1', 'acme/app:bad 2'],
    );
    const [once, , , twice] = receiver.received;
    assert.equal(once?.headers['x-berth-delivery'], twice?.headers['x-berth-delivery']);
    assert.notEqual(once?.headers['x-berth-signature-256'], twice?.headers['x-berth-signature-256']);
    await eventually(async () => (await bench.store.webhooks.nextDueAt(hook.id)) === undefined || false);
  });

  test('give an event up after the last attempt and go on with the next', async (t) => {
    const bench = await openHooks(t, { attempts: 3 });
    const receiver = await startReceiver(t);
    receiver.answer(404);
    const hook = await bench.add(receiver.url);
    await push(bench, app, 'lost');
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await receiver.until(attempt);
      await eventually(async () => (await lastDelivery(bench, hook.id))?.attempts === attempt);
      const wait = await eventually(() => bench.timers.next() ?? (attempt === 3 ? 0 : undefined)).catch(
        () => 0,
      );
      if (attempt === 3) break;
      bench.timers.advance(wait);
    }
    assert.equal((await lastDelivery(bench, hook.id))?.state, 'failed');
    assert.equal(bench.webhooks.statistics()['given-up'], 1);
    receiver.answer(200);
    await push(bench, app, 'next');
    await eventually(() => bench.timers.next());
    bench.timers.advance(200);
    await receiver.until(4);
    assert.equal(receiver.received[3]?.json.subject, 'acme/app:next');
  });

  test('go on after a restart where they were, and send again what may not have arrived', async (t) => {
    const folder = await makeFolder(t, 'hooks');
    const clock = manualClock();
    const receiver = await startReceiver(t);
    const first = await openHooks(t, { folder, clock });
    await first.add(receiver.url);
    await push(first, app, 'v1');
    await receiver.until(1);
    await eventually(async () => first.webhooks.statistics().delivered === 1);
    receiver.answer(() => undefined);
    await push(first, app, 'v2');
    await receiver.until(2);
    // Its answer never comes: the process ends meanwhile.
    await first.end();
    receiver.answer(200);
    const second = await openHooks(t, { folder, clock });
    await receiver.until(3);
    await push(second, app, 'v3');
    await receiver.until(4);
    assert.deepEqual(
      subjects(receiver.received).map((text) => text.split(':')[1]),
      ['v1', 'v2', 'v2', 'v3'],
    );
    const [, once, again] = receiver.received;
    assert.equal(once?.headers['x-berth-delivery'], again?.headers['x-berth-delivery']);
  });

  test('that were disabled get nothing of what happened meanwhile, and what was pending is given up', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    receiver.answer(500);
    const hook = await bench.add(receiver.url);
    await push(bench, app, 'before');
    await receiver.until(1);
    await eventually(async () => (await lastDelivery(bench, hook.id)) !== undefined);
    const { webhooks } = bench.store;
    await webhooks.update({ id: hook.id, changes: { enabled: false }, origin: alice });
    await bench.webhooks.changed();
    await push(bench, app, 'meanwhile');
    receiver.answer(200);
    await webhooks.update({ id: hook.id, changes: { enabled: true }, origin: alice });
    await bench.webhooks.changed();
    bench.timers.advance(3600);
    await push(bench, app, 'after');
    await receiver.until(2);
    assert.equal(receiver.received[1]?.json.subject, 'acme/app:after');
    const { items } = await webhooks.listDeliveries(hook.id, { limit: 10 });
    assert.deepEqual(items.at(-1)?.state, 'failed');
    assert.equal(items.at(-1)?.error, 'the webhook was disabled');
  });

  test('that are removed are sent nothing more, and their deliveries go', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    const hook = await bench.add(receiver.url);
    await push(bench);
    await receiver.until(1);
    await eventually(async () => (await lastDelivery(bench, hook.id)) !== undefined);
    await bench.store.webhooks.remove({ id: hook.id, origin: alice });
    await push(bench);
    await push(bench);
    const other = await startReceiver(t);
    await bench.add(other.url);
    await push(bench);
    await other.until(1);
    assert.equal(receiver.received.length, 1);
    assert.equal(await bench.store.webhooks.find(hook.id), undefined);
    while ((await bench.store.webhooks.prune({ before: 0, limit: 1 })) > 0);
    assert.equal((await bench.store.webhooks.listDeliveries(hook.id, { limit: 1 })).items.length, 0);
  });

  test('are tested, and a delivery is sent again, by hand', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    const hook = await bench.add(receiver.url);
    const tested = await bench.webhooks.test(hook);
    assert.deepEqual([tested?.status, tested?.error, tested?.answer], [200, undefined, 'answer 200']);
    assert.deepEqual(
      [receiver.received[0]?.json.type, receiver.received[0]?.headers['x-berth-event']],
      ['berth.test', 'test'],
    );
    receiver.answer(418);
    assert.match((await bench.webhooks.test(hook))?.error ?? '', /answered 418/);
    receiver.answer(500);
    await push(bench, app, 'again');
    await receiver.until(3);
    const failed = await eventually(() => lastDelivery(bench, hook.id));
    assert.equal(failed.state, 'pending');
    receiver.answer(200);
    const sent = await bench.webhooks.redeliver(hook, failed);
    assert.deepEqual([sent?.state, sent?.attempts, sent?.nextAt], ['delivered', 2, undefined]);
    assert.equal(receiver.received[3]?.body, receiver.received[2]?.body);
    bench.timers.advance(3600);
    await push(bench, app, 'last');
    await receiver.until(5);
    assert.equal(receiver.received[4]?.json.subject, 'acme/app:last');
    assert.deepEqual(bench.failures, []);
  });

  test('that a test shows to be well again go on at once', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    receiver.answer(503);
    const hook = await bench.add(receiver.url);
    await push(bench, app, 'v1');
    await eventually(async () => (await bench.store.webhooks.find(hook.id))?.pausedUntil !== undefined);
    await push(bench, app, 'v2');
    receiver.answer(200);
    await bench.webhooks.test(hook);
    await receiver.until(3);
    // The first waits for its own time; what is new need not.
    assert.equal(receiver.received[2]?.json.subject, 'acme/app:v2');
  });

  test('say so where an event is not kept any more', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    receiver.answer(500);
    const hook = await bench.add(receiver.url);
    await push(bench, app, 'old');
    const failed = await eventually(() => lastDelivery(bench, hook.id));
    // It has come to rest: the time of the next attempt is looked at no more before it is there.
    await eventually(() => bench.timers.next());
    bench.clock.advance(1.5 * 86_400);
    assert.equal(
      await bench.store.events.dropBefore(bench.clock.unixSeconds() - 86_400, 100),
      0,
      'two days are kept for hooks',
    );
    bench.clock.advance(86_400 * 2);
    assert.ok((await bench.store.events.dropBefore(bench.clock.unixSeconds() - 86_400, 100)) > 0);
    assert.equal(await bench.webhooks.redeliver(hook, failed), undefined);
    bench.timers.advance(1);
    const lost = await eventually(async () => {
      const found = await lastDelivery(bench, hook.id);
      return found?.state === 'failed' && found;
    });
    assert.match(lost.error ?? '', /not kept any more/);
  });

  test('of forty hooks and four hundred events each get what is theirs', async (t) => {
    const bench = await openHooks(t);
    const receiver = await startReceiver(t);
    for (let index = 0; index < 40; index += 1)
      await bench.add(`${receiver.url}/${index}`, { repositories: `acme/app-${index % 20}` });
    await Promise.all(
      Array.from({ length: 400 }, (_, index) =>
        push(bench, repository(`acme/app-${index % 40}`), `v${index}`),
      ),
    );
    await receiver.until(400);
    for (const { path, json } of receiver.received) {
      const index = Number(path.split('/').at(-1));
      assert.equal(json.data.repository, `acme/app-${index % 20}`);
    }
    const seen = new Set(receiver.received.map(({ path, json }) => `${path} ${json.id}`));
    assert.equal(seen.size, 400);
    assert.deepEqual(bench.failures, []);
  });
});
