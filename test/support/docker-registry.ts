// Debian's docker-registry (distribution) as a child process on a free port with a folder of its own: the peer that Berth
// takes over from.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import bcrypt from 'bcrypt';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';
import { findFreePort } from './ports.ts';
import { findProgram } from './programs.ts';

export interface DockerRegistry {
  readonly host: string;
  readonly url: string;
  /** Its rootdirectory: `docker/registry/v2` is in it. */
  readonly folder: string;
  end(): Promise<void>;
}

export interface DockerRegistryOptions {
  /** Without it anybody may do anything. */
  readonly account?: { readonly username: string; readonly password: string };
  /** An existing folder. */
  readonly folder?: string;
}

const longestStartSeconds = 30;

/** Starts it and resolves when it answers; it ends with the test. */
export async function startDockerRegistry(
  t: Cleanup,
  options: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  const home = await makeFolder(t, 'docker-registry');
  const folder = options.folder ?? join(home, 'data');
  await mkdir(folder, { recursive: true });
  const port = await findFreePort();
  const settings = join(home, 'config.yml');
  await writeFile(settings, await settingsText(home, folder, port, options.account));
  const program = findProgram('docker-registry');
  if (program === undefined)
    throw new Error('docker-registry is not installed: apt-get install docker-registry');
  const child = spawn(program, ['serve', settings], { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed = (printed + text).slice(-10_000);
    });
  const end = async () => endChild(child);
  onEnd(t, end);
  const url = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < longestStartSeconds * 10; waited += 1) {
    const reply = await fetch(`${url}/v2/`).catch(() => undefined);
    if (reply !== undefined) return { host: `127.0.0.1:${port}`, url, folder, end };
    if (child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`docker-registry did not start:\n${printed}`);
}

async function settingsText(
  home: string,
  folder: string,
  port: number,
  account: DockerRegistryOptions['account'],
): Promise<string> {
  const lines = [
    'version: 0.1',
    'log: {level: warn}',
    `storage: {filesystem: {rootdirectory: ${folder}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"}`,
  ];
  if (account !== undefined) {
    const file = join(home, 'htpasswd');
    // Go's bcrypt takes the prefix that htpasswd -B writes.
    const hash = (await bcrypt.hash(account.password, 5)).replace('$2b$', '$2y$');
    await writeFile(file, `${account.username}:${hash}\n`);
    lines.push(`auth: {htpasswd: {realm: test, path: ${file}}}`);
  }
  return `${lines.join('\n')}\n`;
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}
