// Starting what is compared: Berth from this clone, Debian's docker-registry, or a peer that runs somewhere already.
// Each started server gets a folder of its own, listens on loopback and writes its request log to a file in that folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { treeOf } from './processes.ts';
import { endChild, findTool } from './tools.ts';

export interface Server {
  /** http://HOST:PORT */
  readonly base: string;
  /** The root of the server's processes; undefined for a peer that the bench did not start. */
  readonly pid: number | undefined;
  /** Milliseconds from the start of the process to the first answer of /v2/; undefined for a peer that ran before. */
  readonly startMilliseconds: number | undefined;
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  /** False for a peer that runs somewhere already: its memory and start cannot be measured. */
  readonly owned: boolean;
  /** Starts it on the empty folder `folder`. `prefix` is a command to run it under, such as strace. */
  launch(folder: string, prefix?: readonly string[]): Promise<Server>;
}

const startSeconds = 30;

/** Where `npm start` has compiled sources kept (package.json). */
const compileCache = fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url));

/** Berth as `npm start` runs it, on this clone and on the runtime that runs the bench; `environment` is added to its own. */
export function berth(environment: NodeJS.ProcessEnv = {}): Contender {
  const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  return {
    name: 'berth',
    owned: true,
    launch(folder, prefix = []) {
      const args = ['serve', '--port', '0', '--data', join(folder, 'data')];
      const command = [...prefix, process.execPath, program, ...args];
      const kept = { NODE_COMPILE_CACHE: compileCache, ...environment };
      return start(command, folder, / listening on (http:\/\/\S+)/, kept);
    },
  };
}

/** docker-registry with the settings of its Debian package, but without sign-in: cache, deletes and both of its logs on. */
export function dockerRegistry(): Contender {
  return {
    name: 'docker-registry',
    owned: true,
    launch(folder, prefix = []) {
      const file = join(folder, 'config.json');
      // JSON is YAML too.
      const settings = {
        version: 0.1,
        log: { fields: { service: 'registry' } },
        storage: {
          cache: { blobdescriptor: 'inmemory' },
          filesystem: { rootdirectory: join(folder, 'data') },
          delete: { enabled: true },
        },
        http: { addr: '127.0.0.1:0', headers: { 'X-Content-Type-Options': ['nosniff'] } },
        health: { storagedriver: { enabled: true, interval: '10s', threshold: 3 } },
      };
      writeFileSync(file, JSON.stringify(settings));
      const command = [...prefix, findTool('docker-registry'), 'serve', file];
      return start(command, folder, /msg="listening on ([^"]+)"/);
    },
  };
}

/** A registry at `url` that somebody else runs; `folder` is not used. */
export function remote(url: string): Contender {
  const base = new URL(url).origin;
  return {
    name: new URL(url).host,
    owned: false,
    async launch() {
      const answer = await fetch(`${base}/v2/`);
      if (answer.status !== 200)
        throw new Error(`${base}/v2/ answered ${answer.status} where 200 was expected`);
      return { base, pid: undefined, startMilliseconds: undefined, stop: async () => undefined };
    },
  };
}

async function start(
  command: readonly string[],
  folder: string,
  listening: RegExp,
  environment: NodeJS.ProcessEnv = {},
): Promise<Server> {
  mkdirSync(folder, { recursive: true });
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'a');
  const [program = '', ...args] = command;
  const began = performance.now();
  const env = { ...process.env, ...environment };
  const child = spawn(program, args, { stdio: ['ignore', log, log], cwd: folder, env });
  closeSync(log);
  const base = await findBase(child, logFile, listening);
  await untilAnswering(child, base, logFile);
  const startMilliseconds = performance.now() - began;
  return { base, pid: child.pid, startMilliseconds, stop: () => stopTree(child) };
}

async function findBase(child: ChildProcess, logFile: string, listening: RegExp): Promise<string> {
  for (;;) {
    const found = listening.exec(readFileSync(logFile, 'utf8'))?.[1];
    if (found !== undefined) return found.startsWith('http') ? found : `http://${found}`;
    await waitForStart(child, logFile);
  }
}

async function untilAnswering(child: ChildProcess, base: string, logFile: string): Promise<void> {
  for (;;) {
    const status = await fetch(`${base}/v2/`).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.status;
      },
      () => 0,
    );
    // 401 where it asks for a sign-in.
    if (status === 200 || status === 401) return;
    await waitForStart(child, logFile);
  }
}

const startedAt = new WeakMap<ChildProcess, number>();

async function waitForStart(child: ChildProcess, logFile: string): Promise<void> {
  const since = startedAt.get(child) ?? performance.now();
  startedAt.set(child, since);
  if (child.exitCode !== null || performance.now() - since > startSeconds * 1000) {
    child.kill('SIGKILL');
    throw new Error(`${child.spawnfile} did not start:\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
  }
  await pause(1);
}

/** Ends the server below a tracer first: a tracer that is ended itself only lets go of it. */
async function stopTree(child: ChildProcess): Promise<void> {
  const [, traced] = child.pid === undefined ? [] : treeOf(child.pid);
  if (child.spawnfile.endsWith('strace') && traced !== undefined) {
    process.kill(traced, 'SIGTERM');
    for (let waited = 0; waited < 20_000 && child.exitCode === null; waited += 50) await pause(50);
  }
  await endChild(child);
}
