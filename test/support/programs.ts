// Finding and running the real programs of the end-to-end tests: podman, skopeo, crane and the others that
// test/e2e/programs.txt lists.
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const PROGRAM_LIST = join(import.meta.dirname, '..', 'e2e', 'programs.txt');
const LONGEST_RUN_SECONDS = 300;

/** What a finished program left behind; `output` is stdout followed by stderr, for searching in both. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly output: string;
  /** The exit code, or undefined where a signal ended the program. */
  readonly code: number | undefined;
}

export interface RunOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly folder?: string;
  readonly input?: string;
  readonly timeoutSeconds?: number;
  /** `succeeds` (default) and `fails` throw otherwise; `either` leaves the judgement to the caller. */
  readonly expect?: 'succeeds' | 'fails' | 'either';
}

/**
 * For the `skip` option of a test: false when all programs (and root, where asked) are there, else the reason with
 * the way to install what is missing. With CI=true nothing may be missing: throws, which fails the file.
 */
export function skipWithout(...needed: readonly string[]): string | false {
  const missing = needed.filter((name) => (name === 'root' ? !isRoot() : findProgram(name) === undefined));
  if (missing.length === 0) return false;
  const reason = missing.map(explainMissing).join('; ');
  if (process.env.CI === 'true') throw new Error(`CI must run every end-to-end test: ${reason}`);
  return reason;
}

/** The path of a program on PATH, in the folders of system programs or where `go install` puts them. */
export function findProgram(name: string): string | undefined {
  const folders = [
    ...(process.env.PATH ?? '').split(':'),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    process.env.GOBIN ?? '',
    join(process.env.GOPATH ?? join(homedir(), 'go'), 'bin'),
  ];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/** Starts a program without waiting; the caller ends it. Throws when it is not installed. */
export function start(name: string, args: readonly string[], options: RunOptions = {}): ChildProcess {
  const path = name.includes('/') ? name : findProgram(name);
  if (path === undefined) throw new Error(explainMissing(name));
  return spawn(path, args, {
    cwd: options.folder,
    env: options.environment ?? process.env,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
}

/**
 * Runs a program to its end and gives what it printed. Throws an error that shows the command and its output when it
 * does not end as expected, and when it takes longer than the time allowed (it is killed then).
 */
export async function run(
  name: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = start(name, args, options);
  const seconds = options.timeoutSeconds ?? LONGEST_RUN_SECONDS;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, seconds * 1000);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  child.stdin?.end(options.input);
  const code = await new Promise<number | undefined>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exit) => resolve(exit ?? undefined));
  }).finally(() => clearTimeout(timer));

  const finished = { stdout: stdout(), stderr: stderr(), output: stdout() + stderr(), code };
  const expected = options.expect ?? 'succeeds';
  if (timedOut) throw new Error(describe(name, args, finished, `was killed after ${seconds} s`));
  if (expected === 'succeeds' && code !== 0) {
    throw new Error(describe(name, args, finished, `ended with ${code}`));
  }
  if (expected === 'fails' && code === 0)
    throw new Error(describe(name, args, finished, 'should have failed'));
  return finished;
}

function describe(name: string, args: readonly string[], finished: Finished, what: string): string {
  return `${[name, ...args].join(' ')} ${what}\n${finished.stdout}\n${finished.stderr}`;
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

function explainMissing(name: string): string {
  if (name === 'root') return 'this test mounts file systems or starts daemons and needs root';
  const line = readFileSync(PROGRAM_LIST, 'utf8')
    .split('\n')
    .map((text) => text.trim().split(/\s+/))
    .find(([program]) => program === name);
  const command = line?.[1] === 'go' ? `go install ${line[2]}` : `apt-get install ${line?.[2] ?? name}`;
  return `${name} is not installed: ${command}`;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
