// A medium that fails and a database that is damaged: nothing is acknowledged that is not kept, and nothing is replaced
// in silence.
import assert from 'node:assert/strict';
import { cp, open, readdir, readFile, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../support/cleanup.ts';
import { sha256 } from '../support/images.ts';
import { Ledger } from '../support/ledger.ts';
import { skipWithout } from '../support/programs.ts';
import { makeRandom, Pusher } from '../support/pusher.ts';
import { type Ended, type RunningBerth, startBerth } from '../support/running-berth.ts';

const PAGE_BYTES = 4096;

/** The how manieth fsync of a thread fails. The first ones belong to the start of the server. */
const FAILING = [1, 2, 4, 8, 13, 21, 34, 55];

for (const when of FAILING) {
  test(`when fsync number ${when} of a thread fails, nothing is acknowledged any more and the server exits`, {
    skip: skipWithout('strace'),
  }, async (t) => {
    const folder = await makeFolder(t, 'eio');
    const dataFolder = join(folder, 'store');
    const ledger = new Ledger();
    const wrapper = [
      ...['strace', '--follow-forks', '--quiet=all', '--output', join(folder, 'trace')],
      ...['--trace=fsync,fdatasync', `--inject=fsync,fdatasync:error=EIO:when=${when}`],
    ];
    // One thread in the pool, because strace counts the calls of each thread by itself.
    const environment = { UV_THREADPOOL_SIZE: '1' };
    const berth = await startOrFail(() => startBerth(t, { dataFolder, environment, wrapper }));
    if (berth instanceof Error) {
      assert.match(berth.message, /did not start \(exit [1-9]/);
    } else {
      const pusher = new Pusher(berth.url, ledger, 'medium/app', makeRandom(when));
      const { acknowledgedLater, ended } = await pushPastFailure(pusher, berth);
      assert.equal(acknowledgedLater, 0, berth.log());
      assert.notEqual(ended.code, 0, berth.log());
      assert.equal(ended.signal, undefined);
    }
    assert.match(await readFile(join(folder, 'trace'), 'utf8'), /EIO .*INJECTED/);
    await ledger.check((await startBerth(t, { dataFolder })).url, Infinity);
  });
}

async function startOrFail(begin: () => Promise<RunningBerth>): Promise<RunningBerth | Error> {
  try {
    return await begin();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Pushes until the server is gone; gives how much it acknowledged after the first failure. */
async function pushPastFailure(
  pusher: Pusher,
  berth: RunningBerth,
): Promise<{ acknowledgedLater: number; ended: Ended }> {
  let before: number | undefined;
  let hasEnded = false;
  const ended = berth.ended.finally(() => {
    hasEnded = true;
  });
  while (!hasEnded) {
    try {
      await pusher.step();
    } catch {
      before ??= pusher.acknowledged;
    }
  }
  return { acknowledgedLater: pusher.acknowledged - (before ?? pusher.acknowledged), ended: await ended };
}

interface Damage {
  readonly name: string;
  damage(database: string): Promise<void>;
}

const DAMAGES: readonly Damage[] = [
  {
    name: 'is half as long as it was',
    damage: async (database) => truncate(database, Math.floor((await stat(database)).size / 2)),
  },
  { name: 'is empty', damage: (database) => truncate(database, 0) },
  { name: 'is missing', damage: (database) => unlink(database) },
  {
    name: 'is another file',
    damage: (database) => writeFile(database, 'not a database at all\n'.repeat(999)),
  },
  { name: 'has one page of garbage', damage: overwritePage },
];

for (const { name, damage } of DAMAGES) {
  test(`a database that ${name} is noticed at the start and left as it is`, async (t) => {
    const folder = await makeFolder(t, 'damage');
    const dataFolder = join(folder, 'store');
    const ledger = new Ledger();
    const berth = await startBerth(t, { dataFolder });
    const pusher = new Pusher(berth.url, ledger, 'damaged/app', makeRandom(1));
    for (let step = 0; step < 30; step += 1) await pusher.step();
    assert.deepEqual(await berth.end('SIGTERM'), { code: 0, signal: undefined });
    const database = await findDatabase(dataFolder);
    await cp(database, join(folder, 'good'));

    await damage(database);
    const before = await readIfThere(database);
    await assert.rejects(startBerth(t, { dataFolder }), (error: Error) => {
      assert.match(error.message, /exit [1-9]/);
      assert.match(error.message, /database/);
      assert.match(error.message, new RegExp(dataFolder));
      assert.doesNotMatch(error.message, /this should not have happened/);
      return true;
    });
    assert.deepEqual(await readIfThere(database), before);

    for (const suffix of ['-wal', '-shm']) await rm(database + suffix, { force: true });
    await cp(join(folder, 'good'), database);
    const healed = await startBerth(t, { dataFolder });
    await ledger.check(healed.url, Infinity);
  });
}

async function findDatabase(dataFolder: string): Promise<string> {
  for (const entry of await readdir(dataFolder, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(dataFolder, entry.name);
    const start = (await readFile(path)).subarray(0, 15).toString('latin1');
    if (start === 'SQLite format 3') return path;
  }
  throw new Error(`no database in ${dataFolder}`);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return sha256(await readFile(path));
  } catch {
    return undefined;
  }
}

/** Overwrites the page in the middle. */
async function overwritePage(database: string): Promise<void> {
  const file = await open(database, 'r+');
  try {
    const pages = (await file.stat()).size / PAGE_BYTES;
    await file.write(Buffer.alloc(PAGE_BYTES, 0xa5), 0, PAGE_BYTES, Math.floor(pages / 2) * PAGE_BYTES);
  } finally {
    await file.close();
  }
}

interface BlobDamage {
  readonly name: string;
  damage(path: string): Promise<void>;
}

const BLOB_DAMAGES: readonly BlobDamage[] = [
  { name: 'missing', damage: (path) => unlink(path) },
  { name: 'too short', damage: async (path) => truncate(path, (await stat(path)).size - 1) },
];

for (const { name, damage } of BLOB_DAMAGES) {
  test(`a blob file that is ${name} is answered 404 from then on, and a new push heals it`, async (t) => {
    const dataFolder = join(await makeFolder(t, 'damage'), 'store');
    const berth = await startBerth(t, { dataFolder });
    const content = Buffer.alloc(100_000, 'blob');
    const digest = sha256(content);
    const push = () =>
      fetch(`${berth.url}/v2/damaged/app/blobs/uploads/?digest=${digest}`, { method: 'POST', body: content });
    const status = async (method: string) => {
      const response = await fetch(`${berth.url}/v2/damaged/app/blobs/${digest}`, { method });
      await response.arrayBuffer().catch(() => undefined);
      return response.status;
    };
    assert.equal((await push()).status, 201);
    await damage(await findFile(dataFolder, digest));

    await status('GET').catch(() => undefined);
    assert.equal(await status('GET'), 404);
    assert.equal(await status('HEAD'), 404);
    assert.equal((await push()).status, 201);
    const healed = await fetch(`${berth.url}/v2/damaged/app/blobs/${digest}`);
    assert.equal(sha256(Buffer.from(await healed.arrayBuffer())), digest);
  });
}

async function findFile(folder: string, digest: string): Promise<string> {
  const hex = digest.slice('sha256:'.length);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.startsWith(hex)) return join(entry.parentPath, entry.name);
  }
  throw new Error(`no file of ${digest} below ${folder}`);
}
