// Paths on a command line that the registry reads or writes, and not the command: whose machine they are on.
import { isAbsolute, resolve } from 'node:path';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import type { Door } from './door.ts';

/**
 * `path` as the registry behind `door` is told it, absolute. Says on stderr when it is the server's. Throws CommandError for a
 * relative one that would be looked for on another machine.
 */
export function serverPath(door: Door, path: string, what: string, context: CommandContext): string {
  if (door.kind === 'registry' && !isAbsolute(path)) {
    const message =
      `${what}: ${path} would be on the machine of ${door.host}, where this folder means nothing: give the whole path, ` +
      `as the server there sees it`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  const absolute = resolve(context.folder, path);
  if (door.kind === 'registry')
    context.stderr.write(`${absolute} is a path on the machine of ${door.host}\n`);
  // A server in a container has a file system of its own.
  if (door.kind === 'socket')
    context.stderr.write(`${absolute} is a path of the server's, with the server's rights\n`);
  return absolute;
}
