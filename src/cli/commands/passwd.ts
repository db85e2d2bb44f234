// `berth user passwd`: a new password, for oneself, for somebody else, or with a one-time code.
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { path } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { firstPasswordFile } from '../first-administrator.ts';
import { askNewPassword, askSecret, readSecretFromInput } from '../output/ask.ts';
import { type Call, define } from './define.ts';

interface PasswdOptions {
  readonly passwordStdin?: boolean;
  readonly oneTime?: boolean;
  readonly code?: boolean;
}

export function addPasswd(user: Command, context: CommandContext): void {
  define<PasswdOptions>(user, context, {
    usage: 'passwd [name]',
    about: 'set a password: of another user, or without a name your own',
    notes:
      'It is asked for on a terminal. By stdin come, a line each: with --code the code, without a name the current\npassword, then the new one.',
    examples: [
      'user passwd admin',
      'user passwd sam --one-time          a code instead, with which sam sets it',
      'user passwd sam --code -r registry.example.com',
      'user passwd admin --password-stdin < password',
    ],
    options: (command) =>
      command
        .option('--password-stdin', 'it comes by stdin')
        .option('--one-time', 'no password: print a code with which the user sets one within 72 hours')
        .option('--code', 'use such a code; no sign-in is needed'),
    prints: 'one',
    quiet: 'the one-time code alone',
    check: ([name], { oneTime, code, passwordStdin }) => {
      if (oneTime && (code || passwordStdin)) {
        throw new CommandError(exitCodes.wrongUsage, '--one-time takes neither --code nor --password-stdin');
      }
      if (name === undefined && (oneTime || code)) {
        throw new CommandError(exitCodes.wrongUsage, 'whose password? berth user passwd NAME');
      }
    },
    run: passwd,
  });
}

async function passwd(call: Call<PasswdOptions>): Promise<void> {
  const {
    args: [name],
    options,
    api,
    context: { stdout },
  } = call;
  if (name === undefined) {
    const [current, fresh] = await askFor('Current password', call);
    await api.put('me/password', { current, new: fresh });
    if (!options.quiet) stdout.write('password changed. Sessions and stored logins have ended\n');
  } else if (options.code) {
    const [code, fresh] = await askFor('One-time code', call);
    // What is stored may be the very password that was forgotten or taken away.
    await api.anonymous.put('set-password', { name, code, new: fresh });
    if (!options.quiet) stdout.write(`${name}: password set\n`);
  } else if (options.oneTime) {
    const { code } = await api.put<{ code: string }>(path`users/${name}/password`, { oneTime: true });
    const words = `${name} may set a password with this code within 72 hours (berth user passwd ${name} --code):\n`;
    stdout.write(`${options.quiet ? '' : words}${code}\n`);
  } else {
    const password = options.passwordStdin
      ? await readSecretFromInput(call.context)
      : await askNewPassword(call.context);
    // The server removes the file with the first password of admin when that is changed.
    const first = api.door.folder === undefined ? undefined : firstPasswordFile(api.door.folder);
    const wasThere = first !== undefined && existsSync(first);
    await api.put(path`users/${name}/password`, { password });
    const gone = wasThere && !existsSync(first) ? '. The first-password file is gone' : '';
    if (!options.quiet) stdout.write(`${name}: password changed${gone}\n`);
  }
}

/** What proves the right to a new password, and the new password. */
async function askFor(first: string, { options, context }: Call<PasswdOptions>): Promise<[string, string]> {
  if (!options.passwordStdin) {
    return [await askSecret(first, '--password-stdin', context), await askNewPassword(context)];
  }
  const [known = '', fresh = '', ...more] = (await readSecretFromInput(context)).split(/\r?\n/);
  if (known !== '' && fresh !== '' && more.length === 0) return [known, fresh];
  const message = `two lines are needed by stdin: ${first.toLowerCase()}, new password`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
