// `berth read-only`: pulls go on, every change is refused.
import type { Command } from 'commander';
import type { Api } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { addGroup, define } from './define.ts';

export function addReadOnly(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'read-only', 'serve pulls and refuse every change', [
    "read-only on --message 'Moving to a new disk until 18:00'",
    'read-only off',
  ]);
  define<{ message?: string }>(group, context, {
    usage: 'on',
    about: 'refuse pushes and deletes from the next request on',
    examples: ['read-only on', "read-only on --message 'Moving to a new disk until 18:00'"],
    options: (command) => command.option('--message <sentence>', 'what clients are told'),
    run: async ({ api, options: { message }, context: { stdout } }) => {
      checkServed(api);
      await api.put('read-only', { readOnly: true, message });
      stdout.write('read-only: pulls are served, every change is refused\n');
    },
  });
  define(group, context, {
    usage: 'off',
    about: 'take pushes and deletes again',
    examples: ['read-only off'],
    run: async ({ api, context: { stdout } }) => {
      checkServed(api);
      await api.put('read-only', { readOnly: false });
      stdout.write('not read-only any more: pushes and deletes are taken\n');
    },
  });
}

/** It ends with the process, which is this command where nobody serves the folder. Throws CommandError. */
function checkServed({ door }: Api): void {
  if (door.kind !== 'folder') return;
  const message =
    `no server runs on ${door.folder}, and this lasts only as long as one: for the next start set storage.readOnly ` +
    'in berth.yaml (BERTH_STORAGE_READ_ONLY)';
  throw new CommandError(exitCodes.unreachable, message);
}
