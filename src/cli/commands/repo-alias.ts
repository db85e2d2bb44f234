// `berth repo alias`: the old names under which a moved repository is still read.
import type { Command } from 'commander';
import { type Api, path } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { printList } from '../output/print.ts';
import { countText } from '../output/text.ts';
import { addGroup, define } from './define.ts';

interface Alias {
  readonly id: number;
  readonly name: string;
  readonly createdAt: string;
  readonly servedSeconds: number | null;
}

const secondsPerDay = 86_400;

export function addAliases(repo: Command, context: CommandContext): void {
  const alias = addGroup(repo, 'alias', 'old names of a moved repository', [
    'repo alias list acme/web',
    'repo alias remove acme/web sam/web',
  ]);
  define(alias, context, {
    usage: 'list <repository>',
    about: 'list the old names under which it can be pulled, and for how long',
    examples: ['repo alias list acme/web'],
    prints: 'list',
    referenceAt: 0,
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const columns = [
        { head: 'OLD NAME', text: (one: Alias) => one.name },
        { head: 'SERVED FOR', text: servedText },
      ];
      const none = `${name} has no old names`;
      printList(await aliasesOf(api, name), { columns, key: (one) => one.name, none }, options, surroundings);
    },
  });
  define(alias, context, {
    usage: 'remove <repository> <old-name>',
    about: 'end an old name: nothing is pulled by it any more, and it can be used anew',
    examples: ['repo alias remove acme/web sam/web'],
    deletes: true,
    referenceAt: 0,
    run: async ({ api, args: [name = '', old = ''], options, context: surroundings }) => {
      const found = (await aliasesOf(api, name)).find((one) => one.name === old);
      if (found === undefined)
        throw new CommandError(
          exitCodes.absent,
          `${old} is no old name of ${name} (berth repo alias list ${name})`,
        );
      const where = path`repositories/${name}/-/aliases/${found.id}`;
      if (options.dryRun) await api.remove(where, { dryRun: true });
      else {
        await confirm(`End the old name ${old} of ${name}?`, options, surroundings);
        await api.remove(where);
      }
      surroundings.stdout.write(`${old} ${options.dryRun ? 'would be' : 'is'} free\n`);
    },
  });
}

function aliasesOf(api: Api, name: string): Promise<readonly Alias[]> {
  return api.list<Alias>(path`repositories/${name}/-/aliases`);
}

function servedText({ servedSeconds: seconds }: Alias): string {
  if (seconds === null) return 'ever';
  const days = Math.round(seconds / secondsPerDay);
  return days > 0 ? `${countText(days, 'day')} more` : 'less than a day';
}
