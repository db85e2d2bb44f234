// The programs the bench needs besides Node: finding them on PATH, and running them as child processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packages = {
  wrk: 'wrk',
  'docker-registry': 'docker-registry',
  strace: 'strace',
} as const;

export type Tool = keyof typeof packages;

/** The path of `tool`. Throws with the command that installs it when it is not on PATH. */
export function findTool(tool: Tool): string {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, tool);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${tool} is not installed. On Debian and Ubuntu: apt-get install ${packages[tool]}`);
}

/** Runs `command` to its end and resolves with what it printed. Throws with its stderr when it fails. */
export async function runCommand(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = collect(child.stdout);
  const complained = collect(child.stderr);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return printed();
  throw new Error(`${command} ${args[0] ?? ''} ended with ${code}: ${complained().slice(-2000)}`);
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (piece: string) => {
    text += piece;
  });
  return () => text;
}

/** Runs one of the programs in clients/ with `orders` and resolves with the JSON it printed. */
export async function runClient<Outcome>(name: string, orders: object): Promise<Outcome> {
  const file = fileURLToPath(new URL(`clients/${name}.ts`, import.meta.url));
  return JSON.parse(await runCommand(process.execPath, [file, JSON.stringify(orders)])) as Outcome;
}

/** Ends `child` with SIGTERM, and with SIGKILL when it is still there after `graceSeconds`. */
export async function endChild(child: ChildProcess, graceSeconds = 20): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceSeconds * 1000);
  await ended;
  clearTimeout(timer);
}
