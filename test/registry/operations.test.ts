// Long work over a real store: rows, progress, pause, cancel, what a stop and a kill leave behind.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { OperationEndedError, Operations, SameKindRunningError } from '../../src/registry/operations.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { alice, openTestStore } from '../support/metadata.ts';

function operationsOver(store: MetadataStore, failures: unknown[] = []): Operations {
  const writes = { withBallast: <Result>(change: () => Promise<Result>) => change() };
  return new Operations({
    store: store.care.operations,
    writes,
    onFailure: (_operation, error) => failures.push(error),
  });
}

async function open(t: TestContext) {
  const { store } = await openTestStore(t);
  return { store, operations: operationsOver(store) };
}

test('work runs to its end, and its row keeps what it told', async (t) => {
  const { operations } = await open(t);
  const id = await operations.start('gc', { dryRun: true }, alice, async (run) => {
    run.progress(1, 2, { phase: 'reap' });
    await run.step();
    run.progress(2, 2);
    return { freed: 5 };
  });
  const ended = await operations.wait(id);
  assert.equal(ended?.state, 'done');
  assert.deepEqual(ended?.report, { freed: 5 });
  assert.deepEqual(ended?.request, { dryRun: true });
  assert.deepEqual([ended?.done, ended?.total, ended?.actor], [2, 2, 'alice']);
  assert.notEqual(ended?.endedAt, undefined);
});

test('of one kind there is one at a time, of different kinds several', async (t) => {
  const { operations } = await open(t);
  const gate = Promise.withResolvers<void>();
  const wait = async () => {
    await gate.promise;
    return {};
  };
  const first = await operations.start('gc', {}, alice, wait);
  await assert.rejects(
    operations.start('gc', {}, alice, wait),
    (error) => error instanceof SameKindRunningError && error.id === first,
  );
  const other = await operations.start('scrub', {}, alice, wait);
  gate.resolve();
  await operations.wait(first);
  await operations.wait(other);
  await operations.wait(await operations.start('gc', {}, alice, async () => ({})));
  assert.equal((await operations.list({ kind: 'gc', limit: 10 })).items.length, 2);
  assert.equal((await operations.list({ state: 'done', limit: 10 })).items.length, 3);
  const page = await operations.list({ limit: 2 });
  assert.deepEqual([page.items.map(({ id }) => id), page.more], [[3, 2], true]);
  assert.deepEqual(
    (await operations.list({ kind: 'gc', state: 'done', before: 3, limit: 9 })).items.map(({ id }) => id),
    [1],
  );
});

test('paused work waits at its next step and goes on when resumed', async (t) => {
  const { operations } = await open(t);
  let steps = 0;
  const id = await operations.start('gc', {}, alice, async (run) => {
    for (; steps < 50; steps += 1) {
      run.progress(steps, 50);
      await run.step();
    }
    return {};
  });
  assert.equal(await operations.pause(id), true);
  const seen = steps;
  assert.equal((await operations.find(id))?.state, 'paused');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(steps <= seen + 1 && steps < 50);
  assert.equal(await operations.resume(id), true);
  assert.equal((await operations.wait(id))?.state, 'done');
  assert.equal(steps, 50);
  assert.equal(await operations.pause(id), false);
});

test('cancelled work ends at its next step, also while it is paused', async (t) => {
  const { operations } = await open(t);
  const reasons: unknown[] = [];
  const id = await operations.start('gc', {}, alice, async (run) => {
    try {
      for (;;) await run.step();
    } catch (error) {
      reasons.push(error);
      throw error;
    }
  });
  await operations.pause(id);
  assert.equal(operations.cancel(id), true);
  assert.equal((await operations.wait(id))?.state, 'cancelled');
  assert.ok(reasons[0] instanceof OperationEndedError);
  assert.equal(operations.cancel(id), false);
});

test('work that throws is failed, says why, and is told of', async (t) => {
  const { store } = await openTestStore(t);
  const failures: unknown[] = [];
  const operations = operationsOver(store, failures);
  const id = await operations.start('backup', {}, alice, async (run) => {
    run.progress(1, undefined, { copied: 1 });
    throw new Error('the destination is full');
  });
  const ended = await operations.wait(id);
  assert.equal(ended?.state, 'failed');
  assert.deepEqual(ended?.report, { copied: 1, error: 'the destination is full' });
  assert.equal(failures.length, 1);
});

test('a stop interrupts what runs; what a kill left running is interrupted at the next start', async (t) => {
  const { store, operations } = await open(t);
  const endless = async (run: { step(): Promise<void> }) => {
    for (;;) await run.step();
  };
  const stopped = await operations.start('gc', {}, alice, endless);
  await operations.close();
  assert.equal((await store.care.operations.find(stopped))?.state, 'interrupted');
  const killed = await store.care.operations.begin({ kind: 'gc', request: {}, origin: alice });
  const next = operationsOver(store);
  const id = await next.start('gc', {}, alice, async () => ({}));
  await next.wait(id);
  assert.equal((await next.find(killed.id))?.state, 'interrupted');
  assert.equal((await next.find(id))?.state, 'done');
});

test('a watcher hears of progress with rate and time that remains', async (t) => {
  const { operations } = await open(t);
  const gate = Promise.withResolvers<void>();
  const heard: (number | undefined)[] = [];
  const id = await operations.start('gc', {}, alice, async (run) => {
    await gate.promise;
    run.progress(5, 10);
    return {};
  });
  operations.watch(id, (operation) => heard.push(operation.done, operation.total));
  const before = await operations.find(id);
  assert.equal(before?.remainingSeconds, undefined);
  gate.resolve();
  await operations.wait(id);
  assert.deepEqual(heard, [5, 10]);
});
