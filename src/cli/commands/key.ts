// `berth key`: the keys that sign the tokens of /token.
import type { Command } from 'commander';
import type { Page } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { printJson, printList } from '../output/print.ts';
import { distanceText } from '../output/text.ts';
import { addGroup, define } from './define.ts';

interface Key {
  readonly kid: string;
  readonly createdAt: string;
  readonly state: 'next' | 'current' | 'previous';
}

export function addKey(program: Command, context: CommandContext): void {
  const key = addGroup(program, 'key', 'the keys that sign access tokens', ['key list', 'key rotate']);
  define(key, context, {
    usage: 'list',
    about: 'list the keys',
    examples: ['key list', 'key list --no-trunc'],
    prints: 'list',
    run: async ({ api, options, context: surroundings }) => {
      const { items: keys } = await api.get<Page<Key>>('keys');
      const short = surroundings.stdout.isTTY === true && options.trunc !== false;
      const columns = [
        { head: 'KEY', text: ({ kid }: Key) => (short ? kid.slice(0, 12) : kid) },
        { head: 'STATE', text: ({ state }: Key) => state },
        { head: 'MADE', text: ({ createdAt }: Key) => distanceText(createdAt) },
      ];
      printList(keys, { columns, key: ({ kid }) => kid, none: 'no keys' }, options, surroundings);
    },
  });
  define(key, context, {
    usage: 'rotate',
    about: 'sign with a new key from now on; tokens of the one before stay good until they expire',
    examples: ['key rotate'],
    prints: 'one',
    quiet: 'the key alone',
    run: async ({ api, options, context: surroundings }) => {
      const made = await api.post<Key>('keys');
      if (options.json) printJson(made, surroundings);
      else if (options.quiet) surroundings.stdout.write(`${made.kid}\n`);
      else surroundings.stdout.write(`key ${made.kid} signs from now on\n`);
    },
  });
}
