// A server that is killed while clients push: everything acknowledged is there afterwards, and nothing half of the rest.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../support/cleanup.ts';
import { Ledger } from '../support/ledger.ts';
import { makeRandom, Pusher } from '../support/pusher.ts';
import { startBerth } from '../support/running-berth.ts';

const ROUNDS = Number(process.env.E2E_CRASH_ROUNDS ?? 200);
const PUSHERS = 6;
const OLDER_THINGS_A_ROUND = 40;

test(`kill -9 in mid-push, ${ROUNDS} times: no acknowledged change is lost, nothing is half visible`, async (t) => {
  const dataFolder = join(await makeFolder(t, 'crash'), 'store');
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  const random = makeRandom(seed);
  const ledger = new Ledger();
  let [acknowledged, unsure, resumed] = [0, 0, 0];
  for (let round = 0; round < ROUNDS; round += 1) {
    const berth = await startBerth(t, { dataFolder });
    const counts = await ledger.check(berth.url, OLDER_THINGS_A_ROUND);
    unsure += counts.unsure;
    resumed += counts.resumed;
    const pushers = Array.from(
      { length: PUSHERS },
      (_, index) => new Pusher(berth.url, ledger, `crash/p${index}`, makeRandom(random() * 2 ** 31)),
    );
    const working = pushers.map((pusher) => pusher.run());
    await new Promise((resolve) => setTimeout(resolve, 20 + random() * 500));
    await berth.end('SIGKILL');
    await Promise.all(working);
    acknowledged += pushers.reduce((sum, pusher) => sum + pusher.acknowledged, 0);
  }

  const last = await startBerth(t, { dataFolder });
  const { checked } = await ledger.check(last.url, Infinity);
  assert.deepEqual(await last.end('SIGTERM'), { code: 0, signal: undefined });
  t.diagnostic(
    `seed ${seed}: ${acknowledged} acknowledged requests, ${unsure} without an answer, ` +
      `${resumed} uploads resumed, ${checked} things checked at the end`,
  );
  assert.ok(acknowledged > ROUNDS * PUSHERS, 'the server was killed before it did anything');
  assert.ok(unsure > 0 && resumed > 0, 'no kill came in the middle of a push');
});
