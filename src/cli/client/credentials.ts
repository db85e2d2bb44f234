// With what a command proves who it is to a named registry: BERTH_TOKEN, else what podman login or docker login left.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Surroundings } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type AuthFile, authFilesToRead, findEntry, readAuthFile } from './auth-file.ts';
import { askHelper } from './credential-helper.ts';

export type Credential =
  | { readonly kind: 'bearer'; readonly token: string; readonly from: string }
  | { readonly kind: 'basic'; readonly user: string; readonly secret: string; readonly from: string };

/** docker's name for "the secret is an identity token". */
const identityTokenUser = '<token>';

/** undefined: there is none for this host. Throws CommandError when a place cannot be read. */
export async function findCredential(
  host: string,
  surroundings: Surroundings,
): Promise<Credential | undefined> {
  return readToken(surroundings) ?? findStored(host, surroundings);
}

/** What podman login or docker login left for a host; BERTH_TOKEN is for this registry and no other. */
export async function findStored(host: string, surroundings: Surroundings): Promise<Credential | undefined> {
  for (const path of authFilesToRead(surroundings)) {
    const file = readAuthFile(path);
    const found = file && (await findInFile(file, path, host, surroundings));
    if (found) return found;
  }
  return undefined;
}

/** The value of the Authorization header. */
export function authorizationOf(credential: Credential): string {
  if (credential.kind === 'bearer') return `Bearer ${credential.token}`;
  return `Basic ${Buffer.from(`${credential.user}:${credential.secret}`).toString('base64')}`;
}

/** The helper that a file names for a host. */
export function helperFor({ credHelpers = {}, credsStore }: AuthFile, host: string): string | undefined {
  return credHelpers[host] ?? (credsStore || undefined);
}

function readToken({ environment, folder }: Surroundings): Credential | undefined {
  const { BERTH_TOKEN: token, BERTH_TOKEN_FILE: file } = environment;
  if (token && file) {
    const message = 'BERTH_TOKEN and BERTH_TOKEN_FILE are both set: use one of the two';
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  if (token) return { kind: 'bearer', token, from: 'BERTH_TOKEN' };
  if (!file) return undefined;
  try {
    const text = readFileSync(resolve(folder, file), 'utf8').trim();
    return { kind: 'bearer', token: text, from: `BERTH_TOKEN_FILE ${file}` };
  } catch (error) {
    const message = `BERTH_TOKEN_FILE: ${(error as Error).message}`;
    throw new CommandError(exitCodes.wrongUsage, message, { cause: error });
  }
}

async function findInFile(
  file: AuthFile,
  path: string,
  host: string,
  { environment }: Surroundings,
): Promise<Credential | undefined> {
  const helper = helperFor(file, host);
  const kept = helper === undefined ? undefined : await askHelper(helper, host, environment);
  if (kept !== undefined) {
    const from = `docker-credential-${helper}`;
    if (kept.user === identityTokenUser) return { kind: 'bearer', token: kept.secret, from };
    return { kind: 'basic', ...kept, from };
  }
  const entry = findEntry(file, host);
  if (entry?.identitytoken) return { kind: 'bearer', token: entry.identitytoken, from: path };
  if (!entry?.auth) return undefined;
  const [user = '', ...secret] = Buffer.from(entry.auth, 'base64').toString('utf8').split(':');
  // Some writers end the text with NUL.
  return { kind: 'basic', user, secret: secret.join(':').replace(/\0+$/, ''), from: path };
}
