// Which transfers are too slow, and what some of them need beyond what all do.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { TransferWatch } from '../../src/http/transfer-watch.ts';

const kibibyte = 1024;

/** What is left of transfers of 2 KiB/s and 100 KiB/s, alone and with a least rate of 64 KiB/s, after `seconds`. */
function leftAfter(seconds: number, { slowest = kibibyte, waits = true } = {}): readonly string[] {
  const watch = new TransferWatch(slowest);
  const start = performance.now() / 1000;
  let now = 0;
  const left = new Set<string>();
  for (const [name, rate, leastRate] of [
    ['slow', 2, undefined],
    ['slow in a place', 2, 64 * kibibyte],
    ['fast in a place', 100, 64 * kibibyte],
  ] as const) {
    left.add(name);
    watch.watch({
      moved: () => now * rate * kibibyte,
      waitsForClient: () => waits,
      abort: () => left.delete(name),
      ...(leastRate === undefined ? {} : { leastRate }),
    });
  }
  for (; now <= seconds; now += 5) watch.check(start + 1 + now);
  watch.close();
  return [...left];
}

const all = ['slow', 'slow in a place', 'fast in a place'];

it('what others wait for is held to a rate of its own, and what nobody waits for is not', () => {
  assert.deepEqual(leftAfter(110), all);
  assert.deepEqual(leftAfter(130), ['slow', 'fast in a place']);
  assert.deepEqual(leftAfter(1000), ['slow', 'fast in a place']);
});

it('the rate for everybody holds beside it', () => {
  assert.deepEqual(leftAfter(130, { slowest: 200 * kibibyte }), []);
  assert.deepEqual(leftAfter(130, { slowest: 3 * kibibyte }), ['fast in a place']);
});

it('time that the server needs does not count', () => {
  assert.deepEqual(leftAfter(1000, { waits: false }), all);
});
