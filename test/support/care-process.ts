// A process of its own that backs up or imports into a data folder, for tests that kill it:
//   node care-process.ts import DATA SOURCE     imports a distribution folder, then ends
//   node care-process.ts live DATA URL          imports from a registry that runs, then ends
//   node care-process.ts backup DATA DEST       pushes images and makes one backup after the other, without end
// It prints one word a line: `open`, the name of each backup that is whole, each tag whose push was acknowledged, `done`.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { type RunningServer, startServer } from '../../src/cli/server.ts';
import { loadConfig } from '../../src/config/load.ts';
import { backUp } from './backups.ts';
import { pushImage } from './client.ts';
import { importFolder, importLive } from './imports.ts';

export interface CareProcess {
  readonly child: ChildProcess;
  /** What it printed so far. */
  readonly lines: readonly string[];
  /** Resolves when the data folder is open and the work begins, or with the end. */
  readonly opened: Promise<void>;
  readonly ended: Promise<void>;
}

/** Starts the process; kill it by its `child`. */
export function startCareProcess(
  task: 'import' | 'live' | 'backup',
  data: string,
  other: string,
): CareProcess {
  const command = [fileURLToPath(import.meta.url), task, data, other];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let rest = '';
  const opened = Promise.withResolvers<void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    if (lines.length > 0) opened.resolve();
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  void ended.then(() => opened.resolve());
  return { child, lines, opened: opened.promise, ended };
}

const say = (line: string): void => console.log(line);

async function open(data: string): Promise<RunningServer> {
  const flags = Object.entries({ data, 'http.port': '0' }).map(([path, text]) => ({
    path,
    flag: `--${path}`,
    text,
  }));
  const { config } = loadConfig({ folder: data, environment: {}, flags });
  return await startServer({ config, log: pino({ level: 'silent' }), version: 'test' });
}

async function backUpForEver(server: RunningServer, destination: string): Promise<void> {
  const push = async (pusher: number) => {
    for (let number = 0; ; number += 1) {
      const tag = `${process.pid}-${pusher}-${number}`;
      await pushImage(server.url, 'churn/app', tag);
      say(tag);
    }
  };
  const backups = async () => {
    for (;;) say((await backUp(server.registry, destination, { keep: 3 })).name);
  };
  await Promise.all([push(1), push(2), backups()]);
}

if (import.meta.main) {
  const [task, data = '', other = ''] = process.argv.slice(2);
  const server = await open(data);
  say('open');
  if (task === 'backup') await backUpForEver(server, other);
  const importIt = task === 'live' ? importLive : importFolder;
  const report = await importIt(server.registry, other);
  say(`done ${JSON.stringify(report)}`);
  await server.close();
}
