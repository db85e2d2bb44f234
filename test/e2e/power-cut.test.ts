// A power cut: the server runs on a disk in a file, and the file is copied in mid-push without a sync, as it is at that
// moment. A server on the copy has everything that was acknowledged.
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../support/cleanup.ts';
import { makeDiskImage, mountImage, skipWithoutLoopDevices } from '../support/file-systems.ts';
import { Ledger } from '../support/ledger.ts';
import { run, skipWithout } from '../support/programs.ts';
import { makeRandom, Pusher } from '../support/pusher.ts';
import { startBerth } from '../support/running-berth.ts';

const ROUNDS = 8;
const PUSHERS = 4;
const DISK_MEBIBYTES = 512;
const skip = skipWithout('root', 'mkfs.ext4', 'mount', 'losetup') || (await skipWithoutLoopDevices());

test(`a power cut in mid-push, ${ROUNDS} times: everything acknowledged is on the disk`, {
  skip,
}, async (t) => {
  const folder = await makeFolder(t, 'power');
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  const random = makeRandom(seed);
  const ledger = new Ledger();
  let acknowledged = 0;
  await makeDiskImage(join(folder, 'disk-0'), DISK_MEBIBYTES);

  for (let round = 0; round <= ROUNDS; round += 1) {
    const disk = join(folder, `mounted-${round}`);
    await mountImage(t, join(folder, `disk-${round}`), disk);
    if (round > 0) assertUnsyncedIsLost(join(disk, `never-synced-${round - 1}`));
    const berth = await startBerth(t, {
      dataFolder: join(disk, 'store'),
      environment: { BERTH_STORAGE_BALLAST: '1MiB', BERTH_STORAGE_KEEP_FREE: '1MiB' },
    });
    // A power cut may shorten uploads that are not complete; it is the only thing that it may.
    ledger.forgetUploads();
    await ledger.check(berth.url, Infinity);
    if (round === ROUNDS) {
      assert.deepEqual(await berth.end('SIGTERM'), { code: 0, signal: undefined });
      break;
    }
    const pushers = Array.from(
      { length: PUSHERS },
      (_, index) => new Pusher(berth.url, ledger, `power/p${index}`, makeRandom(random() * 2 ** 31)),
    );
    const working = pushers.map((pusher) => pusher.run());
    await new Promise((resolve) => setTimeout(resolve, 300 + random() * 1200));
    // The server stands still while the disk is copied: else the copy would mix two moments.
    berth.child.kill('SIGSTOP');
    await writeFile(
      join(disk, `never-synced-${round}`),
      'this proves that the copy lacks what nobody synced',
    );
    await run('cp', ['--sparse=always', join(folder, `disk-${round}`), join(folder, `disk-${round + 1}`)]);
    await berth.end('SIGKILL');
    await Promise.all(working);
    acknowledged += pushers.reduce((sum, pusher) => sum + pusher.acknowledged, 0);
    await run('umount', [disk]);
    await run('rm', [join(folder, `disk-${round}`)]);
  }
  t.diagnostic(`seed ${seed}: ${acknowledged} acknowledged requests survived ${ROUNDS} power cuts`);
  assert.ok(acknowledged > ROUNDS * PUSHERS, 'the power was cut before the server did anything');
});

function assertUnsyncedIsLost(path: string): void {
  assert.ok(
    !existsSync(path) || statSync(path).size === 0,
    'the copy of the disk was not that of a power cut',
  );
}
