// How many look into layers at the same time, and what is shared between them.
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { InspectionFault } from '../../src/inspection/faults.ts';
import { SharedWork, Slots } from '../../src/inspection/slots.ts';

const { signal } = new AbortController();
const soon = () => new Promise((resolve) => setImmediate(resolve));

describe('slots', () => {
  it('are given in turn, and refused when too many wait', async () => {
    const slots = new Slots(1, 2);
    const first = await slots.take(signal);
    const order: string[] = [];
    const second = slots.take(signal).then((give) => {
      order.push('second');
      return give;
    });
    const third = slots.take(signal).then((give) => {
      order.push('third');
      return give;
    });
    await assert.rejects(
      slots.take(signal),
      (error) => error instanceof InspectionFault && error.kind === 'busy',
    );
    await soon();
    assert.deepEqual(order, []);
    first();
    // Giving it back twice gives it to nobody else.
    first();
    await soon();
    assert.deepEqual(order, ['second']);
    (await second)();
    (await third)();
    (await slots.take(signal))();
  });

  it('are not kept for those who went away', async () => {
    const slots = new Slots(1, 5);
    const first = await slots.take(signal);
    const leaving = new AbortController();
    const left = slots.take(leaving.signal);
    const stays = slots.take(signal);
    leaving.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    first();
    (await stays)();
    await assert.rejects(slots.take(leaving.signal), /gone/);
  });

  it('are a few for each owner, and go to whoever has the least', async () => {
    const slots = new Slots(3, 5, { most: 2, mostWaiting: 2 });
    const order: string[] = [];
    const take = async (owner: string) => {
      const giveBack = await slots.take(signal, owner);
      order.push(owner);
      return giveBack;
    };
    const [first] = await Promise.all([take('greedy'), take('greedy')]);
    const greedy = [take('greedy'), take('greedy')];
    // A slot is free, and none for this one.
    await assert.rejects(
      slots.take(signal, 'greedy'),
      (error) => error instanceof InspectionFault && error.kind === 'busy',
    );
    const other = await take('other');
    const third = take('third');
    const more = take('other');
    first?.();
    await soon();
    assert.deepEqual(order, ['greedy', 'greedy', 'other', 'third'], 'not to the one who came first');
    (await third)();
    await soon();
    assert.deepEqual(order.slice(4), ['greedy'], 'of those who have as many, the one who came first');
    other();
    (await more)();
    for (const one of greedy) (await one)();
  });

  it('are not waited for without end', async (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setTimeout'] });
    const slots = new Slots(1, 2, { longestWait: 10_000 });
    const first = await slots.take(signal);
    const refused: unknown[] = [];
    slots.take(signal).catch((error: unknown) => refused.push(error));
    await soon();
    mock.timers.tick(9_999);
    await soon();
    assert.equal(refused.length, 0);
    const patient = slots.take(signal);
    await soon();
    mock.timers.tick(1);
    await soon();
    const [fault] = refused;
    assert.ok(fault instanceof InspectionFault && fault.kind === 'busy');
    // Whoever came later waits on, and what was given up is nobody's.
    first();
    const second = await patient;
    mock.timers.tick(20_000);
    second();
    (await slots.take(signal))();
  });
});

describe('shared work', () => {
  it('is done once for all who ask meanwhile, and again for those who ask later', async () => {
    const shared = new SharedWork<number>();
    const gate = Promise.withResolvers<void>();
    let runs = 0;
    const work = async () => {
      runs += 1;
      const own = runs;
      await gate.promise;
      return own;
    };
    const both = [
      shared.run('a', signal, work),
      shared.run('a', signal, work),
      shared.run('b', signal, work),
    ];
    gate.resolve();
    assert.deepEqual(await Promise.all(both), [1, 1, 2]);
    assert.equal(await shared.run('a', signal, work), 3);
  });

  it('goes on while somebody waits, and ends with the last one', async () => {
    const shared = new SharedWork<string>();
    const ended: string[] = [];
    const work = (own: AbortSignal) =>
      new Promise<string>((_resolve, reject) => {
        own.addEventListener('abort', () => {
          ended.push('ended');
          reject(own.reason);
        });
      });
    const [one, other] = [new AbortController(), new AbortController()];
    const first = shared.run('a', one.signal, work);
    const second = shared.run('a', other.signal, work);
    one.abort(new Error('one left'));
    await assert.rejects(first, /one left/);
    assert.deepEqual(ended, []);
    other.abort(new Error('other left'));
    await assert.rejects(second, /other left/);
    assert.deepEqual(ended, ['ended']);
    assert.equal(await shared.run('a', signal, async () => 'anew'), 'anew');
  });

  it('that fails tells all who asked, and is tried anew', async () => {
    const shared = new SharedWork<string>();
    const fails = async () => {
      await soon();
      throw new Error('broken');
    };
    const both = [shared.run('a', signal, fails), shared.run('a', signal, fails)];
    for (const one of both) await assert.rejects(one, /broken/);
    assert.equal(await shared.run('a', signal, async () => 'fine'), 'fine');
  });
});
