// A folder of backups that a registry and its restored copy share, that somebody reads while backups are made, and in which a
// backup does not tell any more what it needs.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BackupFolder, makerOf } from '../../src/backup/backup-folder.ts';
import { takeLock } from '../../src/backup/folder-lock.ts';
import { removeBackups } from '../../src/backup/prune.ts';
import { standaloneRun } from '../../src/registry/operation-run.ts';
import { sqliteSnapshots } from '../../src/storage/sqlite/snapshot.ts';
import { backUp, restore, verify } from '../support/backups.ts';
import { pushImage } from '../support/client.ts';
import { pullEverything } from '../support/pull.ts';
import { startRegistry, type TestRegistry, temporaryFolder } from '../support/registry.ts';

async function newFolder(t: TestContext): Promise<string> {
  return join(await temporaryFolder(t), 'new');
}

async function startRestored(t: TestContext, backups: string, name?: string): Promise<TestRegistry> {
  const data = await newFolder(t);
  await restore(backups, data, name === undefined ? {} : { name });
  return await startRegistry(t, {}, { data });
}

async function namesIn(backups: string): Promise<readonly string[]> {
  return (await new BackupFolder(backups).list()).map(({ name }) => name);
}

async function listBlobs(folder: BackupFolder): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const digest of folder.listBlobs()) found.push(digest);
  return found;
}

/** A registry with so many backups, each with an image more. */
async function makeBackups(t: TestContext, count: number) {
  const source = await startRegistry(t);
  const backups = await newFolder(t);
  const names: string[] = [];
  for (let number = 1; number <= count; number += 1) {
    await pushImage(source.url, 'team/app', `v${number}`);
    names.push((await backUp(source.registry, backups)).name);
  }
  return { source, backups, names };
}

test('a registry and its restored copy rotate their own backups alone, and neither breaks those of the other', async (t) => {
  const { source, backups, names } = await makeBackups(t, 2);
  const copy = await startRestored(t, backups);
  const { metadata } = copy.registry;
  assert.equal(await metadata.instance(), await source.registry.metadata.instance());
  assert.notEqual(await metadata.copy(), await source.registry.metadata.copy());
  await pushImage(copy.url, 'team/app', 'of-the-copy');
  const ofCopy = await backUp(copy.registry, backups, { keep: 1 });
  assert.deepEqual([ofCopy.pruned?.removed, ofCopy.pruned?.others], [[], 2]);
  await pushImage(source.url, 'team/app', 'v3');
  const third = await backUp(source.registry, backups, { keep: 1 });
  assert.deepEqual([third.pruned?.removed, third.pruned?.others], [names, 1]);
  assert.deepEqual(await namesIn(backups), [ofCopy.name, third.name]);
  assert.deepEqual((await verify(backups)).faults, []);
  for (const [name, tags] of [
    [ofCopy.name, 3],
    [third.name, 3],
  ] as const) {
    const restored = await startRestored(t, backups, name);
    assert.equal((await pullEverything(restored.url)).size, tags);
    // A copy of a copy is another one again.
    assert.notEqual(await restored.registry.metadata.copy(), await metadata.copy());
    await restored.close();
  }
  const makers = (await new BackupFolder(backups).list()).map(makerOf);
  assert.deepEqual(makers, [await metadata.copy(), await source.registry.metadata.copy()]);
});

test('both may begin a backup at once: one waits, and both are whole', async (t) => {
  const { source, backups } = await makeBackups(t, 1);
  const copy = await startRestored(t, backups);
  for (let round = 0; round < 3; round += 1) {
    for (const { url } of [source, copy])
      await pushImage(url, 'team/app', `round${round}`, `${url} ${round}`);
    const made = await Promise.all(
      [source, copy].map(({ registry }) => backUp(registry, backups, { keep: 1, verify: true })),
    );
    assert.deepEqual(
      made.map(({ verified, damaged }) => [verified?.faults, damaged]),
      [
        [[], []],
        [[], []],
      ],
    );
  }
  assert.equal((await namesIn(backups)).length, 2);
  assert.deepEqual((await verify(backups)).faults, []);
});

test('while somebody reads, backups are made, and old ones stay until the next time', async (t) => {
  const { source, backups, names } = await makeBackups(t, 1);
  const lock = await takeLock(new BackupFolder(backups).locks.reading, 'a restore', standaloneRun());
  const second = await backUp(source.registry, backups, { keep: 1 });
  assert.deepEqual(second.pruned?.removed, []);
  assert.match(second.pruned?.heldBy ?? '', /^a restore by process \d+ on /);
  await lock.release();
  const third = await backUp(source.registry, backups, { keep: 1 });
  assert.deepEqual(third.pruned?.removed, [...names, second.name]);
});

const spoilings: Readonly<Record<string, [RegExp, (backup: string) => Promise<void>]>> = {
  'has lost its backup.json': [/it has no backup\.json/, (backup) => rm(join(backup, 'backup.json'))],
  'is of another format': [
    /of another format: use a newer Berth/,
    async (backup) => {
      const path = join(backup, 'backup.json');
      const record = JSON.parse(await readFile(path, 'utf8'));
      await writeFile(path, JSON.stringify({ ...record, format: 2 }));
    },
  ],
  'has a backup.json that is cut short': [
    /its backup\.json is damaged/,
    (backup) => writeFile(join(backup, 'backup.json'), '{"format":1,"na'),
  ],
  'has a backup.json that is no record': [
    /its backup\.json is damaged/,
    (backup) => writeFile(join(backup, 'backup.json'), '{"format":1}'),
  ],
  'has a backup.json that is no object': [
    /its backup\.json is damaged/,
    (backup) => writeFile(join(backup, 'backup.json'), 'null'),
  ],
  'has lost its database': [/berth\.db|unable to open/, (backup) => rm(join(backup, 'berth.db'))],
};

test('a backup that does not tell what it needs keeps all blobs where they are, until it is mended or given up', async (t) => {
  const { source, backups, names } = await makeBackups(t, 1);
  const [first = ''] = names;
  const folder = new BackupFolder(backups);
  const path = join(backups, 'backups', first);
  const files = ['backup.json', 'berth.db'];
  const kept = await Promise.all(files.map((file) => readFile(join(path, file))));
  // Its blobs are in no other backup, once a collection gave them up.
  await fetch(`${source.url}/v2/team/app/manifests/v1`, { method: 'DELETE' });
  const blobs = await listBlobs(folder);
  for (const [what, [why, spoil]] of Object.entries(spoilings)) {
    await spoil(path);
    const { pruned, notPruned = '' } = await backUp(source.registry, backups, { keep: 100 });
    assert.equal(pruned, undefined, what);
    assert.match(notPruned, new RegExp(`nothing was removed: .* the backup ${first} needs`));
    assert.match(notPruned, why, what);
    assert.match(notPruned, new RegExp(`berth backup remove ${backups} ${first}$`));
    const faults = (await verify(backups)).faults.filter(({ backup }) => backup === first);
    assert.equal(faults.length, 1, `${what}: the verification tells of it`);
    await assert.rejects(restore(backups, await newFolder(t), { name: first }), /./);
    for (const [index, file] of files.entries()) await writeFile(join(path, file), kept[index] ?? '');
  }
  const still = new Set(await listBlobs(folder));
  for (const blob of blobs) assert.ok(still.has(blob));
  const restored = await startRestored(t, backups, first);
  assert.equal((await pullEverything(restored.url)).size, 1, 'what was mended can be restored');

  await rm(join(path, 'backup.json'));
  const removed = await removeBackups(folder, [first], sqliteSnapshots, standaloneRun());
  assert.deepEqual(removed.removed, [first]);
  const { pruned } = await backUp(source.registry, backups, { keep: 1 });
  assert.equal(pruned?.removed.length, Object.keys(spoilings).length);
  assert.deepEqual((await verify(backups)).faults, []);
});

test('files and folders of the system among the backups are passed over', async (t) => {
  const { source, backups, names } = await makeBackups(t, 1);
  await writeFile(join(backups, 'backups', 'README'), 'mine');
  await mkdir(join(backups, 'backups', 'lost+found'));
  await mkdir(join(backups, 'backups', '.snapshot'));
  assert.deepEqual(
    (await new BackupFolder(backups).listAll()).map(({ name }) => name),
    names,
  );
  const { pruned } = await backUp(source.registry, backups, { keep: 1 });
  assert.deepEqual(pruned?.removed, names);
});
