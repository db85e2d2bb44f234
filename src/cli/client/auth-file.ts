// The files in which podman, skopeo and docker keep credentials: where they are, what is in them, and changing one entry.
// containers-auth.json(5); docker's config.json has the same members.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Surroundings } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

export interface AuthEntry {
  /** base64 of USER:SECRET */
  readonly auth?: string;
  /** docker: a refresh token in the place of a password. */
  readonly identitytoken?: string;
}

export interface AuthFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

type Places = Pick<Surroundings, 'environment' | 'homeFolder' | 'userId'>;

/** The file that `podman login` writes, as it finds it. */
export function authFileToWrite({ environment, homeFolder, userId }: Places): string {
  const { REGISTRY_AUTH_FILE: named, DOCKER_CONFIG: docker, XDG_RUNTIME_DIR: runtime } = environment;
  if (named) return named;
  if (docker) return join(docker, 'config.json');
  if (process.platform !== 'linux') return join(homeFolder, '.config/containers/auth.json');
  return runtime ? join(runtime, 'containers/auth.json') : `/run/containers/${userId}/auth.json`;
}

/** The files to look into, in order; they need not be there. A file named by REGISTRY_AUTH_FILE is the only one, as for podman. */
export function authFilesToRead(places: Places): readonly string[] {
  const { environment, homeFolder } = places;
  const first = authFileToWrite(places);
  if (environment.REGISTRY_AUTH_FILE) return [first];
  const configFolder = environment.XDG_CONFIG_HOME || join(homeFolder, '.config');
  const dockerFolder = environment.DOCKER_CONFIG || join(homeFolder, '.docker');
  return [...new Set([first, join(configFolder, 'containers/auth.json'), join(dockerFolder, 'config.json')])];
}

/** undefined: there is no such file. Throws CommandError when it is not JSON. */
export function readAuthFile(path: string): AuthFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new CommandError(exitCodes.failed, `${path} cannot be read: ${message}`, { cause: error });
  }
  try {
    const parsed: unknown = JSON.parse(text.trim() === '' ? '{}' : text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch (error) {
    throw new CommandError(exitCodes.failed, `${path} is not valid JSON: ${(error as Error).message}`);
  }
  throw new CommandError(exitCodes.failed, `${path} is not a JSON object`);
}

/** The entry for a host; docker also writes hosts as URLs. */
export function findEntry({ auths = {} }: AuthFile, host: string): AuthEntry | undefined {
  const same = ([key]: [string, AuthEntry]): boolean =>
    key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '') === host;
  return auths[host] ?? Object.entries(auths).find(same)?.[1];
}

/** Sets the entry of a host, or removes it with undefined. Everything else in the file stays. False: nothing was to be removed. */
export function changeEntry(path: string, host: string, entry: AuthEntry | undefined): boolean {
  const file = readAuthFile(path) ?? {};
  const { [host]: present, ...others } = file.auths ?? {};
  if (entry === undefined && present === undefined) return false;
  const auths = entry === undefined ? others : { ...others, [host]: entry };
  writeAuthFile(path, { ...file, auths });
  return true;
}

/** A reader sees the old file or the new one, and nobody else may read either. A link stays one. */
function writeAuthFile(path: string, file: AuthFile): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const target = existsSync(path) ? realpathSync(path) : path;
    const beside = `${target}.${process.pid}.berth-new`;
    writeFileSync(beside, `${JSON.stringify(file, undefined, '\t')}\n`, { mode: 0o600 });
    chmodSync(beside, 0o600);
    renameSync(beside, target);
  } catch (error) {
    const message = `${path} cannot be written: ${(error as Error).message}`;
    throw new CommandError(exitCodes.failed, message, { cause: error });
  }
}
