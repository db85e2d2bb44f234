// Thousands of short lives of a registry, each in an order of its seed: uploads, pushes that skip what is there, mounts, indexes,
// referrers, deletes, collections, scrubs, backups, kills, power cuts, clock jumps, damage. What it promises holds after every step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installFiles } from './files.ts';

installFiles();
const { runSeed } = await import('./run.ts');

const seeds = 2400;
/** A slow machine does fewer; a hundred are never too many. */
const longestMilliseconds = 170_000;
const fewest = 100;

test('the same seed gives the same run', async () => {
  for (const seed of [4, 5, 6, 7]) {
    const first = await runSeed(seed);
    const second = await runSeed(seed);
    assert.ok(first.log.length > 50);
    assert.deepEqual(second.log, first.log);
  }
});

test('everything that was promised holds, whatever happens in between', async (t) => {
  const started = performance.now();
  let steps = 0;
  let seed = 1;
  for (; seed <= seeds; seed += 1) {
    if (seed > fewest && performance.now() - started > longestMilliseconds) break;
    const outcome = await runSeed(seed);
    steps += outcome.steps;
    if (outcome.failure === undefined) continue;
    t.diagnostic(outcome.log.join('\n'));
    t.diagnostic(`again, with its steps: node test/model/seeds.ts ${seed}`);
    throw new Error(`seed ${seed}`, { cause: outcome.failure.error });
  }
  t.diagnostic(`${seed - 1} seeds, ${steps} steps`);
});
