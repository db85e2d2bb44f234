// How many look into layers at the same time, and what is shared between them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
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
