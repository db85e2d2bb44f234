// A process of its own that works on a data folder, for tests that kill it or let its disk fail:
//   node metadata-process.ts FOLDER open|push [MIGRATIONS]
// It prints one word a line: `open`, a tag after its push was acknowledged, `rejected NAME`, `fatal NAME`, `refused NAME`.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/storage/clock.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { lockFolder } from '../../src/storage/sqlite/lock.ts';
import { openSqliteStore } from '../../src/storage/sqlite/sqlite-store.ts';
import { keepTimes, manifestOf, putManifest, repository } from './metadata.ts';

export const pushedTo = repository('team/app');

export interface MetadataProcess {
  readonly child: ChildProcess;
  /** What it printed so far. */
  readonly lines: readonly string[];
  /** Resolves when a line is there that satisfies `wanted`; rejects when the process ends before. */
  waitFor(wanted: (line: string, lines: readonly string[]) => boolean): Promise<string>;
  readonly ended: Promise<void>;
}

/** Starts the process; `before` is a program that runs it, with its arguments. Kill it by its `child`. */
export function startMetadataProcess(
  folder: string,
  task: 'open' | 'push',
  options: { readonly migrationsFolder?: string; readonly before?: readonly string[] } = {},
): MetadataProcess {
  const command = [...(options.before ?? []), process.execPath, fileURLToPath(import.meta.url), folder, task];
  if (options.migrationsFolder !== undefined) command.push(options.migrationsFolder);
  const [program = process.execPath, ...rest] = command;
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  const wake = (): void => {
    for (const watcher of watchers) watcher();
  };
  let over = false;
  const output = createInterface({ input: child.stdout });
  output.on('line', (line) => {
    lines.push(line);
    wake();
  });
  const ended = new Promise<void>((resolve) => {
    output.once('close', () => {
      over = true;
      wake();
      resolve();
    });
  });
  const waitFor: MetadataProcess['waitFor'] = (wanted) =>
    new Promise((resolve, reject) => {
      const watcher = (): void => {
        const found = lines.find((line) => wanted(line, lines));
        if (found === undefined && !over) return;
        watchers.delete(watcher);
        if (found !== undefined) resolve(found);
        else reject(new Error(`the process ended after: ${lines.slice(-5).join(', ')}`));
      };
      watchers.add(watcher);
      watcher();
    });
  return { child, lines, waitFor, ended };
}

/** An end for a process that nobody kills. */
const pushesEach = 5000;

const say = (line: string): void => console.log(line);

async function push(store: MetadataStore, pusher: number): Promise<void> {
  for (let number = 0; number < pushesEach; number += 1) {
    const name = `t${pusher}-${number}`;
    try {
      await putManifest(store, pushedTo, manifestOf({ note: name }), { tags: [name] });
      say(name);
    } catch (error) {
      say(`rejected ${(error as Error).name}`);
      // Lets other things happen: a refusal comes at once.
      await sleep(2);
    }
  }
}

async function work(folder: string, task: string, migrationsFolder: string | undefined): Promise<void> {
  try {
    lockFolder(folder);
    const store = await openSqliteStore({
      folder,
      clock: systemClock,
      ...keepTimes,
      ...(migrationsFolder === undefined ? {} : { migrationsFolder }),
      onFatal: (error) => {
        say(`fatal ${error.name}`);
        // What waits is rejected in this turn; then it leaves as a server would, without another write.
        setTimeout(() => process.exit(1), 50);
      },
    });
    say('open');
    if (task === 'open') await sleep(60_000);
    else await Promise.all(Array.from({ length: 8 }, (_, pusher) => push(store, pusher)));
    await store.close();
  } catch (error) {
    say(`refused ${(error as Error).name}`);
    process.exitCode = 1;
  }
}

if (import.meta.main) {
  const [folder = '', task = '', migrationsFolder] = process.argv.slice(2);
  await work(folder, task, migrationsFolder);
}
