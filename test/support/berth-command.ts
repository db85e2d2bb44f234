// Runs `berth` the way a shell does: a process of its own, with an environment and a folder that the test decides.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export const project = join(import.meta.dirname, '..', '..');
const main = join(project, 'src/main.ts');
const longestWaitSeconds = 30;

export interface CommandOptions {
  /** The folder it is called in; a new one without. */
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Runs it as this user, which only root can. */
  readonly uid?: number;
  /** What it reads from stdin; nothing without. */
  readonly input?: string;
  /** Another program with its arguments in the place of `node src/main.ts`. */
  readonly program?: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedCommand {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly ended: Promise<Ended>;
  /** Waits until what was printed matches; throws when the process ends or half a minute passes before. */
  untilPrinted(pattern: RegExp): Promise<RegExpExecArray>;
  end(signal?: NodeJS.Signals): Promise<Ended>;
}

/** A folder of the test's own, removed with it. */
export async function makeTestFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-cli-'));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Starts a command; it is killed after the test if it still runs then. */
export async function startCommand(
  t: TestContext,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<StartedCommand> {
  const folder = options.folder ?? (await makeTestFolder(t));
  const [program, ...before] = options.program ?? [process.execPath, main];
  assert(program !== undefined);
  const child = spawn(program, [...before, ...args], {
    cwd: folder,
    // Nothing of the caller's environment but what programs need, so that a BERTH_* variable there changes no test.
    env: { PATH: process.env.PATH, HOME: folder, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  // A command that ends without reading it breaks the pipe.
  child.stdin.on('error', () => undefined).end(options.input);
  const printed = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed.stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...printed }));
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  t.after(async () => {
    if (isRunning()) child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    folder,
    ended,
    async untilPrinted(pattern) {
      const deadline = performance.now() + longestWaitSeconds * 1000;
      for (;;) {
        const running = isRunning();
        const match = pattern.exec(printed.stdout + printed.stderr);
        if (match !== null) return match;
        if (!running || performance.now() > deadline) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(
        `${pattern} was not printed (exit ${child.exitCode}):\n${printed.stdout}${printed.stderr}`,
      );
    },
    end(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

/** Runs a command to its end. */
export async function runCommand(
  t: TestContext,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Ended> {
  return (await startCommand(t, args, options)).ended;
}
