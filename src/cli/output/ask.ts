// What commands ask: yes or no before something is deleted, and secrets, which come from stdin or are typed unseen.
import type { Command } from 'commander';
import type { CommandContext, Input } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

const longestSecret = 4096;

export interface ConfirmOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** Adds --dry-run. */
export function addDryRun(command: Command): Command {
  return command.option('--dry-run', 'tell what would happen and change nothing');
}

/** Adds --yes and --dry-run. */
export function addConfirmOptions(command: Command): Command {
  return addDryRun(command.option('-y, --yes', 'do not ask'));
}

/** Goes on with --yes or a typed yes. Throws CommandError: 2 where nobody can be asked, 1 after a no. */
export async function confirm(
  question: string,
  { yes }: ConfirmOptions,
  context: CommandContext,
): Promise<void> {
  if (yes) return;
  if (!isTerminal(context)) {
    const message = `${question} There is no terminal to answer on: say --yes`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  const answer = await askLine(`${question} [y/N] `, context);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(exitCodes.failed, 'nothing was changed');
}

/** Whether there is somebody who sees a question and can answer it. */
export function isTerminal({ stdin, stderr }: CommandContext): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** A line that is typed and seen. */
export async function askLine(prompt: string, { stdin, stderr }: CommandContext): Promise<string> {
  stderr.write(prompt);
  const typed = await readUntil(stdin, (text) => text.includes('\n'));
  return typed.split('\n', 1)[0]?.replace(/\r$/, '') ?? '';
}

/** All of stdin without its line end. Throws CommandError when it is empty. */
export async function readSecretFromInput({ stdin }: CommandContext): Promise<string> {
  const text = (await readUntil(stdin, (read) => read.length > longestSecret)).replace(/\r?\n$/, '');
  if (text.length > longestSecret)
    throw new CommandError(exitCodes.wrongUsage, 'what came by stdin is too long');
  if (text === '') throw new CommandError(exitCodes.wrongUsage, 'nothing came by stdin');
  return text;
}

/** All of stdin. */
export function readAllInput({ stdin }: CommandContext): Promise<string> {
  return readUntil(stdin, () => false);
}

/** A secret typed unseen, a star for each character. `flag` is what to use where there is no terminal. */
export async function askSecret(prompt: string, flag: string, context: CommandContext): Promise<string> {
  if (!isTerminal(context)) {
    throw new CommandError(exitCodes.wrongUsage, `there is no terminal to ask on: use ${flag}`);
  }
  const { stdin, stderr } = context;
  // Before the prompt: whoever sees it may type at once.
  stdin.setRawMode?.(true);
  try {
    stderr.write(`${prompt}: `);
    return await typeUnseen(stdin, (text) => stderr.write(text));
  } finally {
    stdin.setRawMode?.(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** A new password, typed twice on a terminal. */
export async function askNewPassword(context: CommandContext): Promise<string> {
  const password = await askSecret('New password', '--password-stdin', context);
  const again = await askSecret('Once more', '--password-stdin', context);
  if (password !== again) throw new CommandError(exitCodes.wrongUsage, 'the two differ; nothing was changed');
  return password;
}

function typeUnseen(stdin: Input, show: (text: string) => void): Promise<string> {
  const typed = Promise.withResolvers<string>();
  let secret: string[] = [];
  const rub = (count: number): void => {
    secret = secret.slice(0, secret.length - count);
    show('\b \b'.repeat(count));
  };
  const onKeys = (keys: Buffer | string): void => {
    const all = [...keys.toString()];
    for (const [index, key] of all.entries()) {
      if (key === '\r' || key === '\n') {
        typed.resolve(secret.join(''));
        // What was typed ahead answers the next question.
        const ahead = all
          .slice(index + 1)
          .join('')
          .replace(/^\n/, '');
        stdin.off('data', onKeys).pause();
        if (ahead !== '') stdin.unshift(ahead);
        return;
      }
      if (key === '\u0003') typed.reject(new CommandError(exitCodes.interrupted, 'interrupted'));
      else if (key === '\u0004') typed.reject(new CommandError(exitCodes.interrupted, 'nothing was typed'));
      else if (key === '\u007f' || key === '\b') rub(Math.min(1, secret.length));
      else if (key === '\u0015') rub(secret.length);
      else if (key >= ' ') {
        secret.push(key);
        show('*');
      }
    }
  };
  stdin.on('data', onKeys).resume();
  return typed.promise.finally(() => stdin.off('data', onKeys));
}

/** Reads until `enough` of what came, or the end. */
function readUntil(stdin: Input, enough: (text: string) => boolean): Promise<string> {
  const read = Promise.withResolvers<string>();
  const parts: Buffer[] = [];
  const text = (): string => Buffer.concat(parts).toString('utf8');
  const onData = (part: Buffer | string): void => {
    parts.push(Buffer.from(part));
    if (enough(text())) read.resolve(text());
  };
  const onEnd = (): void => read.resolve(text());
  stdin.on('data', onData).on('end', onEnd).on('error', read.reject).resume();
  return read.promise.finally(() =>
    stdin.off('data', onData).off('end', onEnd).off('error', read.reject).pause(),
  );
}
