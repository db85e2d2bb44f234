// The lines a server prints when it is up: what runs where, for whom, and what to try first.
import { readdir, statfs } from 'node:fs/promises';
import { isLoopback } from '../config/access-mode.ts';
import type { Config } from '../config/config.ts';
import type { FirstPassword } from './first-administrator.ts';
import { sizeText } from './size-text.ts';

export interface Greeting {
  readonly config: Config;
  readonly version: string;
  readonly sqliteVersion: string;
  readonly url: string;
  readonly port: number;
  readonly mode: 'open' | 'token';
  /** How the user admin signs in, until it changes its first password. */
  readonly firstPassword: FirstPassword | undefined;
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
  const { config, version, url, port, mode, onTerminal, notes } = greeting;
  const lines = [
    `Berth ${version} listening on ${url} data ${config.data} access ${mode}`,
    line('data', await dataText(greeting)),
    line('access', mode === 'open' ? openText(config) : tokenText(greeting)),
    ...adminLines(greeting),
  ];
  if (config.storage.readOnly)
    lines.push(line('storage', 'read-only: pulls are served, every change is refused'));
  for (const note of notes) lines.push(line('note', note));
  const warning = mode === 'open' ? openWarning(config) : tokenWarning(config);
  if (warning !== undefined) lines.push(line('warning', warning));
  if (onTerminal) lines.push(...trialLines(greeting, port));
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

function openText({ access }: Config): string {
  return access.openOnNetwork
    ? 'open: anyone who reaches this address may push, pull and delete'
    : 'open: anyone on this machine may push and pull; everybody else is refused';
}

function tokenText({ config, isNew }: Greeting): string {
  const nothingIsPublic = isNew && config.access.defaultVisibility !== 'public';
  return `token: sign in to push${nothingIsPublic ? '; nothing is public' : ', and to pull what is not public'}`;
}

function adminLines({ firstPassword }: Greeting): string[] {
  if (firstPassword === undefined) return [];
  const text =
    firstPassword === 'setting'
      ? 'user "admin", with the password of access.adminPassword'
      : `user "admin", first password in ${firstPassword.file}`;
  return [line('admin', text)];
}

function openWarning({ access, http }: Config): string | undefined {
  if (!access.openOnNetwork || http.tls !== undefined || isLoopback(http.address)) return undefined;
  return 'no sign-in and no TLS: keep it in a network where everybody is trusted';
}

function tokenWarning({ http }: Config): string | undefined {
  if (http.tls !== undefined || http.trustedProxies.length > 0 || isLoopback(http.address)) return undefined;
  return (
    'no TLS: passwords cross the network in the clear. http.tls.certificate and http.tls.key, or a proxy with ' +
    'http.publicUrl'
  );
}

function trialLines({ config: { http }, mode, portByFlag }: Greeting, port: number): string[] {
  const registry = `localhost:${port}`;
  const insecure = http.tls === undefined ? ' --tls-verify=false' : '';
  const lines =
    mode === 'open'
      ? [line('try', `podman push${insecure} alpine ${registry}/alpine`)]
      : [line('try', `podman login${insecure} ${registry}`)];
  if (http.tls === undefined) {
    const setup = `npx berth setup podman${portByFlag ? ` --registry ${registry}` : ''} --write`;
    lines.push(line('or', `${setup}        once, then no flag is needed`));
  }
  return lines;
}
