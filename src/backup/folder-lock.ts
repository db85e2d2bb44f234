// Locks of a folder that several machines and containers may share, also where the file system knows no locks (NFS without
// lockd, FUSE). A lock is a file that can be made only once; it says who holds it and is written anew every few seconds. A holder
// that was killed is recognized at once by whoever runs beside it, and by anybody else because the file does not change any
// more: no two clocks are compared.
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { WorkRun } from '../registry/operation-run.ts';
import { ifThere } from './if-there.ts';

export interface LockTimes {
  readonly beatMilliseconds: number;
  /** A lock that did not change for so long is given up on. */
  readonly patienceMilliseconds: number;
  readonly pollMilliseconds: number;
}

const usualTimes: LockTimes = {
  beatMilliseconds: 10_000,
  patienceMilliseconds: 90_000,
  pollMilliseconds: 1000,
};

/** What a lock file says. */
interface Holder {
  readonly id: string;
  /** What is done under it: "a backup". */
  readonly what: string;
  readonly host: string;
  readonly pid: number;
  /** When that process began, in the words of its system. */
  readonly began: string;
  /** Where its pid means something: machine, boot and container. */
  readonly place: string;
  readonly since: string;
}

export class FolderLock {
  readonly #path: string;
  readonly #holder: Holder;
  readonly #file: FileHandle;
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #beats = 0;
  #beating: Promise<void> = Promise.resolve();

  constructor(path: string, holder: Holder, file: FileHandle, times: LockTimes) {
    this.#path = path;
    this.#holder = holder;
    this.#file = file;
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#beat());
    }, times.beatMilliseconds).unref();
  }

  /** The same run, which ends when the lock is lost: this process slept for so long that another one took it for dead. */
  guard(run: WorkRun): WorkRun {
    const { signal } = this.#lost;
    return {
      signal: AbortSignal.any([run.signal, signal]),
      progress: (...figures) => run.progress(...figures),
      async step() {
        await run.step();
        signal.throwIfAborted();
      },
    };
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (await this.#isOurs()) await ifThere(unlink(this.#path));
    await this.#file.close();
  }

  async #beat(): Promise<void> {
    if (!(await this.#isOurs())) {
      this.#lost.abort(new Error(`${this.#path} was taken over: this process was silent for too long`));
      clearInterval(this.#timer);
      return;
    }
    this.#beats += 1;
    // Into the file that was made, whatever has its name by now: another holder's is never written to.
    const text = textOf(this.#holder, this.#beats);
    await this.#file
      .write(text, 0)
      .then(() => this.#file.datasync())
      .catch(() => undefined);
  }

  async #isOurs(): Promise<boolean> {
    const text = await ifThere(readFile(this.#path, 'utf8'));
    return text !== undefined && parseHolder(text)?.id === this.#holder.id;
  }
}

/** The lock's folder cannot be written to. */
export class UnwritableFolderError extends Error {
  override readonly name = 'UnwritableFolderError';
}

/**
 * Takes the first of `paths` that is free, and waits while none is; `run` is told for whom. Throws UnwritableFolderError, whose
 * cause is what the medium failed with.
 */
export async function takeLock(
  paths: readonly string[],
  what: string,
  run: WorkRun,
  times: LockTimes = usualTimes,
): Promise<FolderLock> {
  const contenders = paths.map((path) => new Contender(path, what, times));
  for (;;) {
    let held: Holder | undefined;
    for (const contender of contenders) {
      const found = await contender.tryTake();
      if (found instanceof FolderLock) return found;
      held ??= found.holder;
    }
    run.progress(0, undefined, { waitsFor: sentenceOf(held) });
    await pause(times.pollMilliseconds, run);
  }
}

/** Takes all of `paths`, or none of them: then it says who is there. Waits only to see whether somebody is alive. */
export async function takeAllLocks(
  paths: readonly string[],
  what: string,
  run: WorkRun,
  times: LockTimes = usualTimes,
): Promise<{ readonly release: () => Promise<void> } | { readonly heldBy: string }> {
  const taken: FolderLock[] = [];
  const release = async (): Promise<void> => {
    for (const lock of taken.splice(0)) await lock.release();
  };
  try {
    for (const path of paths) {
      const contender = new Contender(path, what, times);
      for (;;) {
        const found = await contender.tryTake();
        if (found instanceof FolderLock) {
          taken.push(found);
          break;
        }
        if (found.isAlive) {
          await release();
          return { heldBy: sentenceOf(found.holder) };
        }
        await pause(times.pollMilliseconds, run);
      }
    }
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

interface Held {
  readonly holder: Holder | undefined;
  /** Known to be: it runs here, or its file changed under our eyes. */
  readonly isAlive: boolean;
}

/** One process that wants one lock. */
class Contender {
  readonly #path: string;
  readonly #what: string;
  readonly #times: LockTimes;
  #seen: { readonly text: string; readonly at: number } | undefined;

  constructor(path: string, what: string, times: LockTimes) {
    this.#path = path;
    this.#what = what;
    this.#times = times;
  }

  async tryTake(): Promise<FolderLock | Held> {
    for (;;) {
      const made = await this.#make();
      if (made !== 'exists') return made;
      const text = await ifThere(readFile(this.#path, 'utf8'));
      if (text === undefined) continue;
      const held = this.#judge(text);
      if (held !== 'dead') return held;
      await takeAway(this.#path, text);
    }
  }

  async #make(): Promise<FolderLock | 'exists'> {
    const holder = describeSelf(this.#what);
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = await open(this.#path, 'wx', 0o600);
      await file.write(textOf(holder, 0), 0);
      await file.datasync();
      return new FolderLock(this.#path, holder, file, this.#times);
    } catch (error) {
      const code = String((error as { code?: unknown }).code);
      if (code === 'EEXIST') return 'exists';
      if (!unwritableCodes.includes(code)) throw error;
      throw new UnwritableFolderError((error as Error).message, { cause: error });
    }
  }

  #judge(text: string): Held | 'dead' {
    const holder = parseHolder(text);
    if (holder !== undefined && holder.place === here)
      return isRunning(holder) ? { holder, isAlive: true } : 'dead';
    const now = performance.now();
    if (this.#seen?.text !== text) {
      const isAlive = this.#seen !== undefined;
      this.#seen = { text, at: now };
      return { holder, isAlive };
    }
    return now - this.#seen.at < this.#times.patienceMilliseconds ? { holder, isAlive: false } : 'dead';
  }
}

const unwritableCodes = ['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT'];

/** Removes a dead holder's file. Of two who do so at once, one may have got hold of the other's new file: that goes back. */
async function takeAway(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  if ((await ifThere(rename(path, aside).then(() => true))) === undefined) return;
  if ((await ifThere(readFile(aside, 'utf8'))) !== text)
    await link(aside, path).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    });
  await ifThere(unlink(aside));
}

function describeSelf(what: string): Holder {
  const since = new Date().toISOString();
  const began = beginningOf(process.pid);
  return { id: randomUUID(), what, host: hostname(), pid: process.pid, began, place: here, since };
}

/** As long whatever the number is, so that it can be written over. */
function textOf(holder: Holder, beats: number): string {
  return `${JSON.stringify(holder)}\n${String(beats).padStart(12)}\n`;
}

function parseHolder(text: string): Holder | undefined {
  try {
    return JSON.parse(text.slice(0, text.indexOf('\n'))) as Holder;
  } catch {
    // Killed before it said who it is, or just about to.
    return undefined;
  }
}

function sentenceOf(holder: Holder | undefined): string {
  if (holder === undefined) return 'somebody who has not said who it is';
  const { what, host, pid, since } = holder;
  return `${what} by process ${pid} on ${host} since ${since}`;
}

const here = [hostname(), quietly(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())]
  .concat(quietly(() => readlinkSync('/proc/self/ns/pid')))
  .join(' ');

/** Of this place. Another process that got its number began at another time. */
function isRunning({ pid, began }: Holder): boolean {
  const beginning = beginningOf(pid);
  if (beginning !== '' && began !== '') return beginning === began;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === 'EPERM';
  }
}

/** '' where there is no such process, where it may not be looked at, and on systems without /proc. */
function beginningOf(pid: number): string {
  // The name in parentheses may hold anything.
  const fields = quietly(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
    .replace(/^.*\)/s, '')
    .trim()
    .split(' ');
  return fields[19] ?? '';
}

function quietly(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

async function pause(milliseconds: number, run: WorkRun): Promise<void> {
  for (let waited = 0; waited < milliseconds; waited += 100) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(100, milliseconds)));
    await run.step();
  }
}
