// Faults of the medium: a full disk is survived, a failed fsync is not.
import assert from 'node:assert/strict';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { DiskFullError } from '../../src/storage/faults.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { mountMemory } from '../support/file-systems.ts';
import { manifestOf, openTestStore, putManifest, repository, tag } from '../support/metadata.ts';
import { pushedTo, startMetadataProcess } from '../support/metadata-process.ts';
import { skipWithout } from '../support/programs.ts';

const app = repository('team/app');

test('a full disk refuses writes, not reads, and the store goes on when there is room again', {
  skip: skipWithout('root', 'mount', 'umount'),
}, async (t) => {
  const folder = await makeFolder(t, 'full');
  await mountMemory(t, 'size=6m', folder);
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024));
  const { store, fatal, close } = await openTestStore(t, { folder });

  const push = (name: string, bytes: number) =>
    putManifest(store, app, manifestOf({ note: name.padEnd(bytes, '.') }), { tags: [name] });
  const acknowledged: string[] = [];
  let refused: unknown;
  for (let number = 0; refused === undefined && number < 1000; number += 1) {
    // Several at once: a group on a full disk is refused as a whole.
    const names = ['a', 'b', 'c'].map((letter) => `${letter}${number}`);
    for (const [index, result] of (
      await Promise.allSettled(names.map((name) => push(name, 20_000)))
    ).entries()) {
      if (result.status === 'fulfilled') acknowledged.push(names[index] ?? '');
      else refused = result.reason;
    }
  }
  assert.ok(refused instanceof DiskFullError, String(refused));
  await assert.rejects(push('more', 500_000), DiskFullError);
  assert.ok(acknowledged.length > 10);
  const isThere = async (name: string) => (await store.manifests.find(app, { tag: tag(name) })) !== undefined;
  for (const name of acknowledged) assert.ok(await isThere(name), name);
  assert.equal(await isThere('more'), false);

  rmSync(ballast);
  await push('after', 20_000);
  await store.tags.remove(app, tag('a0'), { actor: 'alice' });
  assert.ok(await isThere('after'));
  assert.deepEqual(fatal, []);
  await close();

  const again = await openTestStore(t, { folder });
  for (const name of [...acknowledged.slice(1), 'after']) {
    assert.notEqual(await again.store.manifests.find(app, { tag: tag(name) }), undefined, name);
  }
});

test('with little room on a full disk small changes go on and on, since the log starts over', {
  skip: skipWithout('root', 'mount', 'umount'),
}, async (t) => {
  const folder = await makeFolder(t, 'full');
  await mountMemory(t, 'size=6m', folder);
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(1024 * 1024));
  const { store, fatal, close } = await openTestStore(t, { folder });
  for (const name of ['a', 'b']) await putManifest(store, app, manifestOf({ note: name }), { tags: [name] });
  const retag = (number: number) =>
    putManifest(store, app, manifestOf({ note: number % 2 === 0 ? 'a' : 'b' }), { tags: ['moving'] });
  for (let number = 0; number < 20; number += 1) await retag(number);
  assert.throws(() => writeFileSync(join(folder, 'rest'), Buffer.alloc(6 * 1024 * 1024)), /ENOSPC/);
  await assert.rejects(async () => {
    for (let number = 0; number < 200; number += 1) await retag(number);
  }, DiskFullError);

  rmSync(ballast);
  // In all they write a few times what the disk holds.
  for (let number = 0; number < 1000; number += 1) await retag(number);
  assert.deepEqual(fatal, []);
  await close();
});

test('closing on a full disk loses nothing', { skip: skipWithout('root', 'mount', 'umount') }, async (t) => {
  const folder = await makeFolder(t, 'full');
  await mountMemory(t, 'size=6m', folder);
  const { store, close } = await openTestStore(t, { folder });
  for (let number = 0; number < 20; number += 1) {
    await putManifest(store, app, manifestOf({ note: `${number}`.padEnd(50_000, '.') }), {
      tags: [`t${number}`],
    });
  }
  const rest = join(folder, 'rest');
  assert.throws(() => writeFileSync(rest, Buffer.alloc(6 * 1024 * 1024)), /ENOSPC/);
  await close();
  rmSync(rest);
  const again = await openTestStore(t, { folder });
  for (let number = 0; number < 20; number += 1) {
    assert.notEqual(await again.store.manifests.find(app, { tag: tag(`t${number}`) }), undefined);
  }
});

const pushed = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith('t'));

/** A process that pushes while the fsync number `when` of a file in its folder fails, once. */
async function pushWithFailingSync(t: TestContext, file: string, when: number) {
  const folder = await makeFolder(t, 'eio');
  await (await openTestStore(t, { folder })).close();
  const path = join(folder, file);
  const inject = `inject=fsync,fdatasync:error=EIO:when=${when}`;
  const before = ['strace', '-f', '-o', '/dev/null', '-P', path, '-e', 'trace=fsync,fdatasync', '-e', inject];
  const { child, ended, lines } = startMetadataProcess(folder, 'push', { before });
  onEnd(t, () => child.kill('SIGKILL'));
  await ended;
  return { folder, lines };
}

// A log is synced at its start and at each commit; the database at each checkpoint.
const syncs = [
  ['berth.db-wal', 1],
  ['berth.db-wal', 2],
  ['berth.db-wal', 7],
  ['berth.db', 1],
  ['berth.db', 2],
] as const;
for (const [file, when] of syncs) {
  test(`the first fsync that fails ends all writing (number ${when} of ${file})`, {
    skip: skipWithout('strace'),
  }, async (t) => {
    const { folder, lines } = await pushWithFailingSync(t, file, when);
    assert.deepEqual(
      lines.filter((line) => line.startsWith('fatal')),
      ['fatal MediumFailedError'],
    );
    const rejected = lines.filter((line) => line.startsWith('rejected'));
    assert.ok(rejected.length > 0);
    assert.ok(rejected.every((line) => line === 'rejected MediumFailedError'));
    const afterwards = lines.slice(lines.findIndex((line) => line.startsWith('rejected')));
    assert.deepEqual(pushed(afterwards), []);

    const { store } = await openTestStore(t, { folder });
    for (const name of pushed(lines)) {
      assert.notEqual(await store.manifests.find(pushedTo, { tag: tag(name) }), undefined, name);
    }
  });
}

test('a folder that cannot be made durable is refused at start', {
  skip: skipWithout('strace'),
}, async (t) => {
  const { lines } = await pushWithFailingSync(t, '', 1);
  assert.deepEqual(lines, ['refused MediumFailedError']);
});

test('the log does not grow without bound under a steady load of writes and reads', async (t) => {
  const { store, folder } = await openTestStore(t);
  let largest = 0;
  for (let round = 0; round < 25; round += 1) {
    const pushes = Array.from({ length: 100 }, (_, index) =>
      putManifest(store, app, manifestOf({ note: `${round} ${index}`.padEnd(10_000, '.') }), {
        tags: [`t${index}`],
      }),
    );
    const reads = Array.from({ length: 300 }, (_, index) =>
      store.manifests.find(app, { tag: tag(`t${index % 100}`) }),
    );
    await Promise.all([...pushes, ...reads]);
    largest = Math.max(largest, statSync(join(folder, 'berth.db-wal')).size);
  }
  assert.ok(statSync(join(folder, 'berth.db')).size > 20_000_000);
  assert.ok(largest < 40_000_000, `the log reached ${largest} bytes`);
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  assert.equal(db.prepare('SELECT count(*) FROM manifest').pluck().get(), 2500);
  db.close();
});
