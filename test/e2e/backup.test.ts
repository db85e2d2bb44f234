// A backup that is killed in the middle: earlier backups stay whole, the half one counts for nothing, the next one succeeds.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BackupFolder } from '../../src/backup/backup-folder.ts';
import { backUp, restore, verify } from '../support/backups.ts';
import { startCareProcess } from '../support/care-process.ts';
import { makeFolder } from '../support/cleanup.ts';
import { makeClientHome } from '../support/client-home.ts';
import { buildBaseImage, buildSmallImage } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { pullEverything } from '../support/pull.ts';
import { makeRandom } from '../support/pusher.ts';
import { startRegistry } from '../support/registry.ts';

const rounds = Number(process.env.E2E_CRASH_ROUNDS ?? 20);
const backupName = /^\d{8}T/;

test(`kill -9 in mid-backup while people push, ${rounds} times`, async (t) => {
  const folder = await makeFolder(t, 'backup');
  const [data, backups] = [join(folder, 'store'), join(folder, 'backups')];
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  const random = makeRandom(seed);
  let [whole, partial] = [0, 0];
  const pushed: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const running = startCareProcess('backup', data, backups);
    await running.opened;
    const timer = setTimeout(() => running.child.kill('SIGKILL'), 20 + random() * 1500);
    await running.ended;
    clearTimeout(timer);
    const names = running.lines.filter((line) => backupName.test(line));
    whole += names.length;
    pushed.push(...running.lines.slice(1).filter((line) => !backupName.test(line)));
    const found = (await new BackupFolder(backups).list()).map(({ name }) => name);
    // Retention keeps three: the newest that were said to be whole are among what is there.
    const newest = names.at(-1);
    if (newest !== undefined) assert.ok(found.includes(newest), `${newest} is lost`);
    const left = (await readdir(join(backups, 'backups')).catch(() => [])).filter(
      (name) => !found.includes(name),
    );
    partial += left.length;
    assert.ok(
      left.every((name) => name.endsWith('.partial')),
      `${left}`,
    );
    if (found.length > 0) assert.deepEqual((await verify(backups)).faults, []);
  }
  t.diagnostic(`seed ${seed}: ${whole} whole backups, ${partial} cut short, ${pushed.length} pushes`);
  assert.ok(whole > 0 && partial > 0, 'no kill came in the middle of a backup');

  const server = await startRegistry(t, {}, { data });
  await backUp(server.registry, backups, { keep: 3 });
  assert.deepEqual(
    (await readdir(join(backups, 'backups'))).filter((name) => name.endsWith('.partial')),
    [],
  );
  const before = await pullEverything(server.url);
  for (const tag of pushed) assert.ok(before.has(`churn/app:${tag}`), `${tag} was acknowledged`);
  await server.close();
  const elsewhere = join(folder, 'restored');
  await restore(backups, elsewhere);
  const restored = await startRegistry(t, {}, { data: elsewhere });
  assert.deepEqual(await pullEverything(restored.url), before);
});

test('podman pulls from a restored registry what it pushed to the one that was backed up', {
  skip: skipWithout('podman', 'buildah', 'busybox', 'root'),
}, async (t) => {
  const folder = await makeFolder(t, 'backup');
  const home = await makeClientHome(t);
  const source = await startRegistry(t, {}, { data: join(folder, 'store') });
  await buildBaseImage(home);
  await buildSmallImage(home, 'localhost/app:1', 'kept');
  await home.run('podman', [
    ...['push', '--tls-verify=false', '--digestfile', home.path('digest')],
    ...['localhost/app:1', `127.0.0.1:${source.port}/team/app:1`],
  ]);
  await backUp(source.registry, join(folder, 'backups'));
  await source.close();
  await restore(join(folder, 'backups'), join(folder, 'new'));
  const restored = await startRegistry(t, {}, { data: join(folder, 'new') });
  await home.run('podman', ['rmi', '--all', '--force']);
  const { stdout: digest } = await home.run('cat', [home.path('digest')]);
  const image = `127.0.0.1:${restored.port}/team/app@${digest.trim()}`;
  await home.run('podman', ['pull', '--tls-verify=false', image]);
});
