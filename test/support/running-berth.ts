// A Berth server as users run it: a child process on a free port of this machine with a data folder of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';

const PROJECT = join(import.meta.dirname, '..', '..');
const FIRST_LINE = /^Berth \S+ listening on (http:\/\/\S+) data (.+) access \S+$/m;
const LONGEST_START_SECONDS = 60;

export interface BerthOptions {
  /** Kept by the caller; without it a temporary folder that goes with the test. */
  readonly dataFolder?: string;
  readonly port?: number;
  readonly environment?: NodeJS.ProcessEnv;
  /** More arguments of `serve`. */
  readonly args?: readonly string[];
  /** A program and its arguments that runs the server, for example strace. */
  readonly wrapper?: readonly string[];
}

export interface Ended {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface RunningBerth {
  /** `127.0.0.1:PORT`, as it stands in image names. */
  readonly host: string;
  readonly url: string;
  readonly port: number;
  readonly dataFolder: string;
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** All that the server printed so far. */
  log(): string;
  /** Sends the signal (to what the wrapper runs, if there is one) and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<Ended>;
}

/**
 * Starts the server and resolves when it says that it listens; it is killed after the test if it still runs. Throws
 * with everything the server printed when it ends before, or says nothing within a minute.
 */
export async function startBerth(t: Cleanup, options: BerthOptions = {}): Promise<RunningBerth> {
  const dataFolder = options.dataFolder ?? join(await makeFolder(t, 'e2e'), 'store');
  const [program, ...args] = commandLine(dataFolder, options);
  assert(program !== undefined);
  const child = spawn(program, args, {
    cwd: PROJECT,
    env: { ...withoutSettings(process.env), ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.wrapper !== undefined,
  });
  const printed: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => printed.push(text));
  }
  const log = () => printed.join('');
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
  const kill = (signal: NodeJS.Signals) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    // A wrapped server is a child of its wrapper: both are in the process group that `detached` made.
    process.kill(options.wrapper === undefined ? child.pid : -child.pid, signal);
  };
  onEnd(t, async () => {
    kill('SIGKILL');
    await ended;
  });

  const url = await findUrl(child, log);
  const { host, port } = new URL(url);
  return {
    host,
    url,
    port: Number(port),
    dataFolder,
    child,
    ended,
    log,
    end: async (signal = 'SIGTERM') => {
      kill(signal);
      return ended;
    },
  };
}

/** A setting in the shell of whoever runs the tests must not change what they test. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('BERTH_')));
}

function commandLine(dataFolder: string, options: BerthOptions): string[] {
  const wrapper = options.wrapper ?? [];
  return [
    ...wrapper,
    process.execPath,
    'src/main.ts',
    'serve',
    '--port',
    String(options.port ?? 0),
    '--data',
    dataFolder,
    ...(options.args ?? []),
  ];
}

async function findUrl(child: ChildProcess, log: () => string): Promise<string> {
  for (let waited = 0; waited < LONGEST_START_SECONDS * 20; waited += 1) {
    const line = FIRST_LINE.exec(log());
    if (line?.[1] !== undefined) return line[1];
    if (child.exitCode !== null || child.signalCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the server did not start (exit ${child.exitCode ?? child.signalCode}):\n${log()}`);
}
