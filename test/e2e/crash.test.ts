// A server that is killed while clients push: everything acknowledged is there afterwards, and nothing half of the rest.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openReader } from '../../src/storage/sqlite/connection.ts';
import { epochKeys } from '../../src/storage/sqlite/epoch-writes.ts';
import { makeFolder } from '../support/cleanup.ts';
import { sha256 } from '../support/images.ts';
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
  const db = openReader(join(dataFolder, 'berth.db'));
  const held = db.prepare('SELECT value FROM instance WHERE key = ?').pluck().get(epochKeys.heldSince);
  db.close();
  assert.equal(held, undefined, 'a kill was taken for another database');
  t.diagnostic(
    `seed ${seed}: ${acknowledged} acknowledged requests, ${unsure} without an answer, ` +
      `${resumed} uploads resumed, ${checked} things checked at the end`,
  );
  assert.ok(acknowledged > ROUNDS * PUSHERS, 'the server was killed before it did anything');
  assert.ok(unsure > 0 && resumed > 0, 'no kill came in the middle of a push');
});

test('the ledger of these tests notices what is lost, what came back and what is another', async (t) => {
  const berth = await startBerth(t);
  const ask = async (method: string, path: string) => {
    const response = await fetch(`${berth.url}/v2/crash/ledger/${path}`, { method });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return sha256(Buffer.from(await response.arrayBuffer()));
  };
  const pushed = async () => {
    const ledger = new Ledger();
    const pusher = new Pusher(berth.url, ledger, 'crash/ledger', makeRandom(7));
    for (let step = 0; step < 20; step += 1) await pusher.step();
    await ledger.check(berth.url, Infinity);
    const tag = ['t0', 't1', 't2', 't3'].find((name) => ledger.findTag('crash/ledger', name) !== undefined);
    assert(tag !== undefined);
    return { ledger, tag, digest: await ask('GET', `manifests/${tag}`) };
  };

  const lostTag = await pushed();
  await ask('DELETE', `manifests/${lostTag.tag}`);
  await assert.rejects(lostTag.ledger.check(berth.url, Infinity), /has gone instead of sha256/);

  const lostManifest = await pushed();
  await ask('DELETE', `manifests/${lostManifest.digest}`);
  await assert.rejects(lostManifest.ledger.check(berth.url, Infinity), /stored manifests .* is lost/);

  const cameBack = await pushed();
  cameBack.ledger.acknowledgeTag('crash/ledger', cameBack.tag, undefined);
  await assert.rejects(cameBack.ledger.check(berth.url, Infinity), /instead of absent/);
});
