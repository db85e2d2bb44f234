// The locks of a folder of backups: who waits for whom, and what becomes of a holder that was killed, here or on another machine.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { takeAllLocks, takeLock, UnwritableFolderError } from '../../src/backup/folder-lock.ts';
import { standaloneRun } from '../../src/registry/operation-run.ts';
import { temporaryFolder } from '../support/registry.ts';

/** As quick as a test wants it, and yet with room for a machine that is busy. */
const quick = { beatMilliseconds: 50, patienceMilliseconds: 2000, pollMilliseconds: 10 };
/** Nobody is given up on within a test. */
const patient = { ...quick, patienceMilliseconds: 600_000 };

async function newPath(t: TestContext, name = 'writing'): Promise<string> {
  return join(await temporaryFolder(t), 'locks', name);
}

/** Takes a lock in a process of its own. */
async function takeElsewhere(t: TestContext, path: string): Promise<{ kill(): Promise<void> }> {
  const script = `
    import { takeLock } from ${JSON.stringify(join(import.meta.dirname, '../../src/backup/folder-lock.ts'))};
    import { standaloneRun } from ${JSON.stringify(join(import.meta.dirname, '../../src/registry/operation-run.ts'))};
    await takeLock([${JSON.stringify(path)}], 'a backup', standaloneRun(), ${JSON.stringify(quick)});
    console.log('taken');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.after(kill);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { kill };
}

/** A run that notes for whom it waits. */
function waitingRun() {
  const told: string[] = [];
  const abort = new AbortController();
  const first = Promise.withResolvers<void>();
  const run = standaloneRun({
    signal: abort.signal,
    onProgress: (_done, _total, report) => {
      told.push(String(report?.waitsFor));
      first.resolve();
    },
  });
  return { run, told, abort, waits: first.promise };
}

test('a second one waits, is told for whom, and goes on when the first has let go', async (t) => {
  const path = await newPath(t);
  const first = await takeLock([path], 'a backup', standaloneRun(), patient);
  const { run, told, waits } = waitingRun();
  const second = takeLock([path], 'a restore', run, patient);
  await waits;
  assert.match(told[0] ?? '', new RegExp(`^a backup by process ${process.pid} on \\S+ since \\d{4}-`));
  await first.release();
  await (await second).release();
  assert.deepEqual(await readdir(join(path, '..')), []);
});

test('one that waits can be cancelled', async (t) => {
  const path = await newPath(t);
  const first = await takeLock([path], 'a backup', standaloneRun(), patient);
  const { run, abort, waits } = waitingRun();
  const second = takeLock([path], 'a backup', run, patient);
  await waits;
  abort.abort(new Error('cancelled'));
  await assert.rejects(second, /cancelled/);
  await first.release();
});

test('the lock of a process that was killed here is free at once, that of one that runs is not', async (t) => {
  const path = await newPath(t);
  const other = await takeElsewhere(t, path);
  const held = await takeAllLocks([path], 'a removal', standaloneRun(), patient);
  assert.match('heldBy' in held ? held.heldBy : '', /^a backup by process \d+ on /);
  await other.kill();
  const lock = await takeLock([path], 'a backup', standaloneRun(), patient);
  await lock.release();
});

test('another process that got the number of a killed one is not taken for it', async (t) => {
  const path = await newPath(t);
  const mine = await takeLock([path], 'a backup', standaloneRun(), patient);
  const text = await readFile(path, 'utf8');
  await mine.release();
  await writeFile(path, text.replace(/"began":"\d+"/, '"began":"1"'));
  await (await takeLock([path], 'a backup', standaloneRun(), patient)).release();
});

test('a holder on another machine is alive while its file changes, and given up when it does not', async (t) => {
  const path = await newPath(t);
  const mine = await takeLock([path], 'a backup', standaloneRun(), patient);
  const text = (await readFile(path, 'utf8')).replace(/"place":"[^"]*"/, '"place":"another machine"');
  await mine.release();
  await writeFile(path, text);
  let beats = 0;
  const timer = setInterval(() => void writeFile(path, `${text}${beats++}`), 20);
  const held = await takeAllLocks([path], 'a removal', standaloneRun(), quick);
  assert.ok('heldBy' in held, 'it beats');
  clearInterval(timer);
  await (await takeLock([path], 'a backup', standaloneRun(), quick)).release();
  // Killed before it had said who it is.
  await writeFile(path, '');
  const all = await takeAllLocks([path], 'a removal', standaloneRun(), quick);
  assert.ok('release' in all);
  await all.release();
});

test('a holder that slept too long notices that it lost its lock, and leaves the other one its file', async (t) => {
  const path = await newPath(t);
  const mine = await takeLock([path], 'a backup', standaloneRun(), quick);
  const { step, signal } = mine.guard(standaloneRun());
  await step();
  await unlink(path);
  await writeFile(path, '{"id":"another"}\n');
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  await assert.rejects(step(), /was taken over/);
  await mine.release();
  assert.equal(await readFile(path, 'utf8'), '{"id":"another"}\n');
});

test('readers share a few locks, and all of them together keep a removal away', async (t) => {
  const folder = await temporaryFolder(t);
  const slots = [1, 2].map((number) => join(folder, `reading-${number}`));
  const readers = [
    await takeLock(slots, 'a restore', standaloneRun(), patient),
    await takeLock(slots, 'a verification', standaloneRun(), patient),
  ];
  await readers[0]?.release();
  assert.ok('heldBy' in (await takeAllLocks(slots, 'a removal', standaloneRun(), patient)));
  assert.deepEqual(await readdir(folder), ['reading-2'], 'nothing stays of a removal that gave up');
  await readers[1]?.release();
  const all = await takeAllLocks(slots, 'a removal', standaloneRun(), patient);
  assert.ok('release' in all);
  const { run, waits } = waitingRun();
  const late = takeLock(slots, 'a restore', run, patient);
  await waits;
  await all.release();
  await (await late).release();
});

test('a folder that cannot be written to says so', {
  skip: process.getuid?.() === 0 && 'root may write anywhere',
}, async (t) => {
  const path = await newPath(t);
  await mkdir(join(path, '..'));
  await chmod(join(path, '..'), 0o500);
  await assert.rejects(takeLock([path], 'a restore', standaloneRun(), quick), UnwritableFolderError);
});
