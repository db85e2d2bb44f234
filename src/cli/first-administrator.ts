// The first administrator: a registry that asks for sign-in and has no user yet gets `admin`, whose first password is a setting or
// is put into a file that goes away when it is changed. It is never logged.
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { firstAdministrator } from '../auth/account-name.ts';
import type { Config } from '../config/config.ts';
import type { UserStore } from '../storage/account-store.ts';
import { removeDurably, writeDurably } from './durable-file.ts';

const name = firstAdministrator;
const fileName = 'initial-admin-password';

// No letter or digit that is easily taken for another: somebody may have to type it.
const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789';
const groups = 5;
const groupLength = 5;

/** Where the first password of `admin` is kept until it is changed. */
export function firstPasswordFile(data: string): string {
  return join(data, fileName);
}

/** How `admin` signs in for the first time, for the greeting: by the password in a file, or by the one of the settings. */
export type FirstPassword = { readonly file: string } | 'setting';

export interface FirstAdministratorOptions {
  readonly config: Config;
  readonly users: UserStore;
  /** Throws unless a user could set this password. */
  readonly judge: (password: string, account: string) => Promise<void>;
  readonly hash: (password: string) => Promise<string>;
}

/**
 * Makes the first administrator where there is no user at all. Resolves with how it signs in, as long as it has not changed its
 * password since (undefined then). Throws what `judge` throws when access.adminPassword is no password.
 */
export async function ensureFirstAdministrator(
  options: FirstAdministratorOptions,
): Promise<FirstPassword | undefined> {
  const { config, users } = options;
  const file = firstPasswordFile(config.data);
  if ((await users.count()) > 0) return await rememberedPassword(file, users);
  const { adminPassword } = config.access;
  if (adminPassword !== undefined) await options.judge(adminPassword, name);
  const password = adminPassword ?? makePassword();
  const passwordHash = await options.hash(password);
  // The file first: without it nobody would know the password of a user that is there.
  if (adminPassword === undefined) await writeDurably(file, `${password}\n`);
  await users.add({ name, role: 'administrator', guest: false, passwordHash, origin: { actor: 'system' } });
  return adminPassword === undefined ? { file } : 'setting';
}

async function rememberedPassword(file: string, users: UserStore): Promise<FirstPassword | undefined> {
  if (!existsSync(file)) return undefined;
  const facts = await users.findPassword(name);
  if (facts?.hash !== undefined && facts.generation === 0) return { file };
  // The server ended between the change and the removal, or another administrator disabled this one.
  await removeDurably(file);
  return undefined;
}

/** To be called when the password of a user was changed or taken away: the first one of `admin` is no longer kept. */
export async function forgetFirstPassword(config: Config, user: string): Promise<void> {
  if (user === name) await removeDurably(firstPasswordFile(config.data));
}

function makePassword(): string {
  const group = () =>
    Array.from({ length: groupLength }, () => alphabet[randomInt(alphabet.length)]).join('');
  return Array.from({ length: groups }, group).join('-');
}
