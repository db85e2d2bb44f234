// Makes the real disk driver take its turns: every call into the file system happens at once and in order, those that change
// what survives wait at a gate before and after, and what a power cut would take back is remembered. Install it before the
// driver is loaded.
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { currentScheduler, gate, type Random } from './scheduler.ts';

type Callback = (error: Error | null, result?: unknown) => void;

const original = { ...fs };
const originalPromises = { ...fsPromises };

interface Undo {
  readonly folder: string;
  readonly undo: () => void;
}

/** The disk under one run: what is not durable yet. */
export class Disk {
  readonly blobs: string;
  readonly graveyard: string;
  /** Faults that a test sows. */
  skipFolderSync = false;
  skipFileSync = false;
  /** Grows with every change of what is where. */
  version = 0;
  readonly #paths = new Map<number, string>();
  readonly #dirty = new Map<number, string>();
  #undos: Undo[] = [];
  #graves = 0;

  constructor(folder: string) {
    this.blobs = join(folder, 'blobs');
    this.graveyard = join(folder, 'graveyard');
    original.mkdirSync(this.graveyard, { recursive: true });
  }

  opened(fd: number, path: string): void {
    this.#paths.set(fd, path);
  }

  closed(fd: number): void {
    this.#paths.delete(fd);
    original.closeSync(fd);
  }

  /** The process is gone, and with it what it had open. */
  closeAll(): void {
    for (const fd of [...this.#paths.keys()]) this.closed(fd);
  }

  wrote(fd: number): void {
    this.#dirty.set(original.fstatSync(fd).ino, this.#paths.get(fd) ?? '');
  }

  synced(fd: number): void {
    const stats = original.fstatSync(fd);
    if (stats.isDirectory()) {
      const folder = this.#paths.get(fd);
      if (!this.skipFolderSync) this.#undos = this.#undos.filter((entry) => entry.folder !== folder);
    } else if (!this.skipFileSync) this.#dirty.delete(stats.ino);
  }

  rename(from: string, to: string): void {
    this.version += 1;
    original.renameSync(from, to);
    const undo = () => {
      if (original.existsSync(to)) original.renameSync(to, from);
    };
    this.#undos.push({ folder: dirname(to), undo });
  }

  unlink(path: string): void {
    this.version += 1;
    if (!path.startsWith(this.blobs)) {
      original.unlinkSync(path);
      return;
    }
    this.#graves += 1;
    const grave = join(this.graveyard, String(this.#graves));
    original.renameSync(path, grave);
    const undo = () => {
      if (!original.existsSync(path)) original.renameSync(grave, path);
    };
    this.#undos.push({ folder: dirname(path), undo });
  }

  /** Forgets, of what is not durable, what chance wants. */
  cutPower(random: Random): void {
    this.version += 1;
    const inodes = new Set([...this.#dirty.keys()].filter(() => random.chance(0.5)));
    for (const path of this.#files()) {
      if (inodes.has(original.statSync(path).ino)) original.truncateSync(path, 0);
    }
    for (const { undo } of this.#undos.reverse()) if (random.chance(0.5)) undo();
    this.#dirty.clear();
    this.#undos = [];
  }

  /** Every file of the store. */
  *#files(): Iterable<string> {
    const root = dirname(this.blobs);
    for (const entry of original.readdirSync(root, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) yield join(entry.parentPath, entry.name);
    }
  }
}

const disks = new WeakMap<object, Disk>();

/** Gives the runs of a scheduler their disk. */
export function useDisk(scheduler: object, disk: Disk): void {
  disks.set(scheduler, disk);
}

function diskNow(): Disk | undefined {
  const scheduler = currentScheduler();
  return scheduler === undefined ? undefined : disks.get(scheduler);
}

/** Calls back in this turn with what `act` gives. */
function answer(callback: Callback, act: () => unknown): void {
  let error: Error | null = null;
  let result: unknown;
  try {
    result = act();
  } catch (thrown) {
    error = thrown as Error;
  }
  queueMicrotask(() => callback(error, result));
}

/** Calls back after the gates on both sides of `act`. */
function answerGated(label: string, callback: Callback, act: () => unknown): void {
  const run = async (): Promise<void> => {
    await gate(label);
    let error: Error | null = null;
    let result: unknown;
    try {
      result = act();
    } catch (thrown) {
      error = thrown as Error;
    }
    await gate(`${label} done`);
    callback(error, result);
  };
  void run();
}

type Change = (disk: Disk, ...args: never[]) => unknown;

/** Replaces a function of node:fs for scheduled runs. `act` gets the disk and the arguments without the callback. */
function replace(name: string, options: { readonly gated?: string }, act: Change): void {
  const before = original[name as keyof typeof original] as (...args: unknown[]) => unknown;
  const replaced = (...args: unknown[]): unknown => {
    const disk = diskNow();
    const callback = args.at(-1);
    if (disk === undefined || typeof callback !== 'function') return before(...args);
    const run = () => (act as (disk: Disk, ...rest: unknown[]) => unknown)(disk, ...args.slice(0, -1));
    if (options.gated === undefined) answer(callback as Callback, run);
    else answerGated(options.gated, callback as Callback, run);
    return undefined;
  };
  (fs as unknown as Record<string, unknown>)[name] = replaced;
}

/** Makes node:fs take turns in scheduled runs; elsewhere it stays what it was. */
export function installFiles(): void {
  replace('open', {}, (disk, path: string, flags: string, mode?: number) => {
    const fd = original.openSync(path, flags, mode);
    disk.opened(fd, path);
    return fd;
  });
  replace('close', {}, (disk, fd: number) => disk.closed(fd));
  // Without a callback it is no turn, but the disk has to know: the number may soon be another file's.
  fs.closeSync = (fd: number): void => {
    const disk = diskNow();
    if (disk === undefined) original.closeSync(fd);
    else disk.closed(fd);
  };
  replace('stat', {}, (_disk, path: string) => original.statSync(path));
  replace('statfs', {}, (_disk, path: string) => original.statfsSync(path));
  replace('read', {}, (_disk, fd: number, buffer: Buffer, offset: number, length: number, at: number) =>
    original.readSync(fd, buffer, offset, length, at),
  );
  replace('write', {}, (disk, fd: number, buffer: Buffer, offset: number, length: number, at: number) => {
    disk.wrote(fd);
    return original.writeSync(fd, buffer, offset, length, at);
  });
  replace('writev', {}, (disk, fd: number, buffers: Buffer[], at: number) => {
    disk.wrote(fd);
    return original.writevSync(fd, buffers, at);
  });
  replace('ftruncate', {}, (disk, fd: number, length: number) => {
    disk.wrote(fd);
    original.ftruncateSync(fd, length);
  });
  replace('fsync', { gated: 'fsync' }, (disk, fd: number) => disk.synced(fd));
  replace('fdatasync', { gated: 'fsync' }, (disk, fd: number) => disk.synced(fd));
  replace('rename', { gated: 'rename' }, (disk, from: string, to: string) => disk.rename(from, to));
  replace('unlink', { gated: 'unlink' }, (disk, path: string) => disk.unlink(path));
  const promises = fsPromises as unknown as Record<string, unknown>;
  promises.mkdir = async (path: string, options: fs.MakeDirectoryOptions) =>
    diskNow() === undefined ? originalPromises.mkdir(path, options) : original.mkdirSync(path, options);
  promises.readdir = async (path: string, options: { withFileTypes: true }) =>
    diskNow() === undefined ? originalPromises.readdir(path, options) : original.readdirSync(path, options);
  promises.opendir = async (path: string, options: fs.OpenDirOptions) => {
    if (diskNow() === undefined) return await originalPromises.opendir(path, options);
    return original.readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  };
  syncBuiltinESMExports();
}
