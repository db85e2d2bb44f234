// One process per data folder.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FolderInUseError, lockFolder } from '../../src/storage/sqlite/lock.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { startMetadataProcess } from '../support/metadata-process.ts';

test('a folder that another process works in is refused with its process id, until that one is killed', async (t) => {
  const folder = await makeFolder(t, 'lock');
  const holder = startMetadataProcess(folder, 'open');
  onEnd(t, () => holder.child.kill('SIGKILL'));
  await holder.waitFor((line) => line === 'open');
  assert.throws(
    () => lockFolder(folder),
    (error) => {
      assert.ok(error instanceof FolderInUseError);
      assert.equal(error.pid, holder.child.pid);
      assert.match(error.message, new RegExp(`in use by process ${holder.child.pid}`));
      return true;
    },
  );
  const second = startMetadataProcess(folder, 'open');
  onEnd(t, () => second.child.kill('SIGKILL'));
  await second.waitFor((line) => line === 'refused FolderInUseError');

  holder.child.kill('SIGKILL');
  await holder.ended;
  lockFolder(folder).release();
});

test('a folder is locked against the same process too, and a release frees it', async (t) => {
  const folder = await makeFolder(t, 'lock');
  const lock = lockFolder(folder);
  assert.throws(() => lockFolder(folder), FolderInUseError);
  lock.release();
  lock.release();
  const next = lockFolder(folder);
  lock.release();
  assert.throws(() => lockFolder(folder), FolderInUseError);
  next.release();
});

test('a lock that its holder keeps no hold of is not collected as garbage', async (t) => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const folder = await makeFolder(t, 'lock');
  lockFolder(folder);
  for (let round = 0; round < 3; round += 1) {
    collectGarbage();
    await nextTurn();
  }
  assert.throws(() => lockFolder(folder), FolderInUseError);
});
