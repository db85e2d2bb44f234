// The lines a server prints when it is up: what runs where, for whom, and what to try first.
import { readdir, statfs } from 'node:fs/promises';
import { accessMode, isLoopback } from '../config/access-mode.ts';
import type { Config } from '../config/config.ts';
import { sizeText } from './size-text.ts';

export interface Greeting {
  readonly config: Config;
  readonly version: string;
  readonly sqliteVersion: string;
  readonly url: string;
  readonly port: number;
  /** Whether the data folder was there, with something in it, before the start. */
  readonly isNew: boolean;
  /** Whether somebody reads along who could try something. */
  readonly onTerminal: boolean;
  /** The port came from a flag, which the next command does not have. */
  readonly portByFlag: boolean;
  readonly notes: readonly string[];
}

/** The lines; the first one is the same in every log format, and programs read it. */
export async function greetingLines(greeting: Greeting): Promise<readonly string[]> {
  const { config, version, url, port, onTerminal, notes } = greeting;
  const mode = accessMode(config);
  const lines = [
    `Berth ${version} listening on ${url} data ${config.data} access ${mode}`,
    line('data', await dataText(greeting)),
    line('access', accessText(config)),
  ];
  if (config.storage.readOnly)
    lines.push(line('storage', 'read-only: pulls are served, every change is refused'));
  for (const note of notes) lines.push(line('note', note));
  if (config.access.openOnNetwork && config.http.tls === undefined && !isLoopback(config.http.address)) {
    lines.push(line('warning', 'no sign-in and no TLS: keep it in a network where everybody is trusted'));
  }
  if (onTerminal) lines.push(...trialLines(config, port, greeting.portByFlag));
  return lines;
}

/** Whether a data folder is yet to be made or empty. */
export async function isNewFolder(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function line(name: string, text: string): string {
  return `  ${name.padEnd(10)} ${text}`;
}

async function dataText({ config, isNew, sqliteVersion }: Greeting): Promise<string> {
  const { bavail, bsize } = await statfs(config.data);
  const programs = `node ${process.versions.node}, sqlite ${sqliteVersion}`;
  return `${isNew ? 'new' : 'found'}; ${sizeText(bavail * bsize)} free (${programs})`;
}

function accessText({ access }: Config): string {
  return access.openOnNetwork
    ? 'open: anyone who reaches this address may push, pull and delete'
    : 'open: anyone on this machine may push and pull; everybody else is refused';
}

function trialLines({ http }: Config, port: number, portByFlag: boolean): string[] {
  const registry = `localhost:${port}`;
  const push = `podman push${http.tls === undefined ? ' --tls-verify=false' : ''} alpine ${registry}/alpine`;
  const lines = [line('try', push)];
  if (http.tls === undefined) {
    const setup = `npx berth setup podman${portByFlag ? ` --registry ${registry}` : ''} --write`;
    lines.push(line('or', `${setup}        once, then no flag is needed`));
  }
  return lines;
}
