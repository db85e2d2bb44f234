// The disk driver on a medium that fails or fills up: errors injected into system calls by strace, and a small tmpfs.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { digestOf } from '../../src/oci/digest.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { DiskFullError } from '../../src/storage/faults.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';

const run = promisify(execFile);
const sizeLimit = 1 << 30;

test('the first error of a sync stops the store: nothing is acknowledged, then or later', async (t) => {
  if (!canTrace(t)) return;
  const { output, atOpen, afterOpen } = await trace(t, 'commit');
  assert.match(output, /^open\ncommitted .*\ncommitted .*\n$/);
  assert.deepEqual(
    afterOpen,
    { fdatasync: 2, fsync: 4 },
    'a sync of each content, of each new folder, of its parent',
  );
  for (const call of ['fdatasync', 'fsync'] as const) {
    for (let number = 1; number <= afterOpen[call]; number++) {
      const when = atOpen[call] + number;
      const failed = await trace(t, 'commit', `${call}:error=EIO:when=${when}`);
      const lines = failed.output.trim().split('\n').slice(1);
      const fatal = lines.indexOf('fatal MediumFailedError');
      assert.ok(fatal >= 0, `${call} ${when}: ${failed.output}`);
      const refusals = ['refused MediumFailedError', 'refused StoreUnavailableError'];
      assert.deepEqual(lines.slice(fatal + 1), refusals.slice(0, lines.length - fatal - 1), failed.output);
      assert.ok(lines.length > fatal + 1, failed.output);
    }
  }
});

test('an upload whose sync failed is not acknowledged by a second commit', async (t) => {
  if (!canTrace(t)) return;
  const { output } = await trace(t, 'again', 'fdatasync:error=EIO:when=1');
  assert.equal(
    output,
    'open\nfatal MediumFailedError\nrefused MediumFailedError\nrefused StoreUnavailableError\n',
  );
});

test('an upload whose content did not fit when it was synced is gone, and the store goes on', async (t) => {
  if (!canTrace(t)) return;
  const { output, folder } = await trace(t, 'again', 'fdatasync:error=ENOSPC:when=1');
  assert.equal(output, 'open\nrefused DiskFullError\nrefused UploadUnknownError\n');
  assert.deepEqual(await readdir(join(folder, 'uploads')), []);
});

test('a sync in the background of a long upload is not overlooked when it fails', async (t) => {
  if (!canTrace(t)) return;
  const bytes = 40 * 1024 * 1024;
  const { output, afterOpen } = await trace(t, 'again', 'fdatasync:error=ENOSPC:when=1', bytes);
  assert.match(output, /^open\n(?:refused (?:DiskFullError|UploadUnknownError)\n){2,3}$/);
  assert.equal(afterOpen.fdatasync, 1, 'the only sync was the one in the background');
});

test('an error of a write stops the store, and the append is not acknowledged', async (t) => {
  if (!canTrace(t)) return;
  const { output } = await trace(t, 'again', 'pwrite64,pwritev:error=EIO:when=1');
  assert.match(output, /^open\nfatal MediumFailedError\n/);
  assert.doesNotMatch(output, /committed/);
});

test('a full disk refuses uploads, keeps what is consistent, and recovers without a restart', async (t) => {
  const folder = await mountSmall(t, 'size=3m');
  if (folder === undefined) return;
  const store = await openDiskStore({ folder, onFatal: assert.fail });
  onEnd(t, () => store.close());
  const small = Buffer.alloc(500_000, 1);
  const kept = await store.beginUpload('kept', 'sha256');
  await store.append(kept, Readable.from([small]), { sizeLimit });
  const { location } = await store.commit(kept, digestOf(small));

  const upload = await store.beginUpload('large', 'sha256');
  const piece = Buffer.alloc(100_000, 2);
  await assert.rejects(
    store.append(upload, Readable.from(Array.from({ length: 40 }, () => piece)), { sizeLimit }),
    DiskFullError,
  );
  const size = await store.uploadSize(upload);
  assert.ok(size !== undefined && size < 2_700_000);
  assert.equal((await stat(join(folder, 'uploads', 'large'))).size, size);
  assert.deepEqual(await store.readSmall(location, 1 << 20), small, 'reads go on');
  assert.ok((await store.space()).freeBytes < 200_000);

  await store.remove(location);
  const rest = Buffer.alloc(200_000, 2);
  await store.append(upload, Readable.from([rest]), { offset: size, sizeLimit });
  await store.commit(upload, digestOf(Buffer.alloc(size + rest.length, 2)));
});

test('a disk without inodes refuses new uploads, and takes them again when there are some', async (t) => {
  const folder = await mountSmall(t, 'size=3m,nr_inodes=20');
  if (folder === undefined) return;
  const store = await openDiskStore({ folder, onFatal: assert.fail });
  onEnd(t, () => store.close());
  const first = await store.beginUpload('first', 'sha256');
  const ballast = join(folder, 'ballast');
  await assert.rejects(async () => {
    for (let count = 0; count < 30; count++) await writeFile(`${ballast}-${count}`, '');
  });
  await assert.rejects(store.beginUpload('second', 'sha256'), DiskFullError);
  // The folder for the blob needs an inode too: the upload has to outlive that refusal.
  await assert.rejects(store.commit(first, digestOf(Buffer.alloc(0))), DiskFullError);
  assert.equal((await store.space()).freeInodes, 0);
  await store.abort({ id: 'nothing', state: '' });
  await promisify(execFile)('rm', ['-f', `${ballast}-0`, `${ballast}-1`, `${ballast}-2`]);
  await store.commit(first, digestOf(Buffer.alloc(0)));
  await store.beginUpload('third', 'sha256');
});

/** False, with the reason, where strace is missing; a failure on CI, which has to have it. */
function canTrace(t: TestContext): boolean {
  if (spawnSync('strace', ['-V']).status === 0) return true;
  assert.notEqual(process.env.CI, 'true', 'CI needs strace');
  t.skip('strace is not installed');
  return false;
}

interface Syncs {
  readonly fdatasync: number;
  readonly fsync: number;
}

interface Trace {
  readonly output: string;
  readonly folder: string;
  /** Calls until the store was open, and after that. */
  readonly atOpen: Syncs;
  readonly afterOpen: Syncs;
}

/** Runs disk-child.ts with one pool thread: `when=N` of a fault counts each system call on its own, and per thread. */
async function trace(t: TestContext, task: string, fault?: string, bytes = 1000): Promise<Trace> {
  const folder = await makeFolder(t, 'trace');
  const log = join(await makeFolder(t, 'trace-log'), 'calls');
  const inject = fault === undefined ? [] : ['-e', `inject=${fault}`];
  const child = [process.execPath, join(import.meta.dirname, 'disk-child.ts'), task, folder, `${bytes}`];
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const traced = ['-f', '-o', log, '-e', 'trace=fsync,fdatasync,write,pwrite64,pwritev', ...inject, ...child];
  const { stdout } = await run('strace', traced, { env, timeout: 60_000 }).catch((error) => error);
  const calls = await readFile(log, 'utf8');
  const opened = calls.indexOf('"open');
  assert.ok(opened > 0, stdout);
  return {
    output: stdout,
    folder,
    atOpen: countSyncs(calls.slice(0, opened)),
    afterOpen: countSyncs(calls.slice(opened)),
  };
}

function countSyncs(calls: string): Syncs {
  return {
    fdatasync: calls.match(/ fdatasync\(/g)?.length ?? 0,
    fsync: calls.match(/ fsync\(/g)?.length ?? 0,
  };
}

/** A tmpfs of its own; undefined, with the reason, where this user may not mount one. */
async function mountSmall(t: TestContext, options: string): Promise<string | undefined> {
  const folder = await makeFolder(t, 'small');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
  if (mounted.status !== 0) {
    t.skip('mounting a tmpfs needs root');
    return undefined;
  }
  onEnd(t, () => run('umount', ['-l', folder]));
  return folder;
}
