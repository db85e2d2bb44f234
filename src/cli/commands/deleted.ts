// `berth deleted`: what was deleted and can come back.
import type { Command } from 'commander';
import { type Api, path } from '../client/api.ts';
import { ProblemError } from '../client/problem.ts';
import { type Deleted, inSameRegistry, type Restored } from '../client/tag-shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { printJson, printList } from '../output/print.ts';
import { countText, distanceText, shortenDigests } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface PurgeOptions {
  readonly all?: boolean;
}

interface RestoreOptions {
  readonly as?: string;
  readonly dryRun?: boolean;
}

export function addDeleted(program: Command, context: CommandContext): void {
  const deleted = addGroup(program, 'deleted', 'what was deleted and can come back', [
    'deleted list acme/web',
    'deleted restore manifest-12',
  ]);
  define(deleted, context, {
    usage: 'list [repository]',
    about: 'what can come back, newest first, and until when',
    notes:
      'Repositories for the role admin, manifests and tags for maintain. The time counts while the registry runs.',
    examples: ['deleted list', 'deleted list acme/web'],
    prints: 'list',
    quiet: 'the ids alone',
    referenceAt: 0,
    run: async ({ api, args: [repository], options, context: surroundings }) => {
      const items = await api.list<Deleted>('deleted', { repository });
      const form = { columns, key: ({ id }: Deleted) => id, none: 'nothing was deleted' };
      printList(items, form, options, surroundings);
    },
  });
  define<RestoreOptions>(deleted, context, {
    usage: 'restore <id>',
    about: 'bring back what was deleted',
    notes:
      'A manifest comes back with what it lists, and with those of its tags that are free; a repository with all that it had.',
    examples: [
      'deleted restore manifest-12',
      'deleted restore repository-5 --as acme/old-web',
      'deleted restore tag-34 --dry-run',
    ],
    options: (command) =>
      command
        .option('--as <name>', 'of a repository: under another name')
        .option('--dry-run', 'tell what would happen and change nothing'),
    prints: 'one',
    quiet: 'the digests alone; of a repository its name',
    check: ([id = ''], { as }) => {
      if (as !== undefined && !id.startsWith('repository-'))
        throw new CommandError(
          exitCodes.wrongUsage,
          `--as is for repositories (repository-5), and ${id} is none`,
        );
    },
    run: restore,
  });
  define<PurgeOptions>(deleted, context, {
    usage: 'purge [id]',
    about: 'give up what was deleted, so that the next collection frees its bytes',
    notes: 'For administrators. Removed tags hold no bytes and stay in the list.',
    examples: ['deleted purge manifest-12', 'deleted purge --all --yes'],
    options: (command) => command.option('--all', 'everything that was deleted'),
    deletes: true,
    check: ([id], { all }) => {
      if ((id === undefined) === (all !== true))
        throw new CommandError(exitCodes.wrongUsage, 'give an id of berth deleted list, or --all');
    },
    run: purge,
  });
}

const columns = [
  { head: 'ID', text: ({ id }: Deleted) => id },
  { head: 'WHAT', text: whatText },
  { head: 'TAGS', text: ({ tags }: Deleted) => tags.slice(0, 3).join(', ') + (tags.length > 3 ? ' …' : '') },
  { head: 'SIZE', text: ({ size }: Deleted) => (size === null ? '' : sizeText(size)) },
  { head: 'DELETED', text: ({ deletedAt }: Deleted) => distanceText(deletedAt) },
  { head: 'BY', text: ({ deletedBy }: Deleted) => deletedBy },
  { head: 'UNTIL', text: ({ restorableUntil }: Deleted) => restorableUntil?.slice(0, 10) ?? '' },
];

function whatText({ repository, tag, digest }: Deleted): string {
  if (tag !== null) return `${repository}:${tag}`;
  return digest === null ? repository : `${repository}@${digest}`;
}

async function restore({ api, args: [id = ''], options, context }: Call<RestoreOptions>): Promise<void> {
  const query = options.dryRun ? { dryRun: true } : {};
  const body = options.as === undefined ? undefined : { name: inSameRegistry(options.as, api) };
  const answer = await api.post<Restored>(path`deleted/${id}/restore`, body, query);
  const { repository, restored, tags, taken } = answer;
  const { stdout } = context;
  if (options.json) return printJson(answer, context);
  const isWhole = id.startsWith('repository-');
  if (options.quiet && isWhole) return void stdout.write(`${repository}\n`);
  if (options.quiet) return void stdout.write(restored.map((digest) => `${digest}\n`).join(''));
  const short = (text: string) => (stdout.isTTY ? shortenDigests(text) : text);
  const verb = options.dryRun ? 'would come back' : 'is back';
  if (isWhole) stdout.write(`${repository} ${verb}\n`);
  for (const digest of restored) stdout.write(`${short(`${repository}@${digest}`)} ${verb}\n`);
  for (const tag of tags) stdout.write(`${repository}:${tag} ${verb}\n`);
  for (const tag of taken)
    context.stderr.write(`${repository}:${tag} points elsewhere by now and stays so\n`);
}

async function purge({ api, args: [id], options, context }: Call<PurgeOptions>): Promise<void> {
  const items = id === undefined ? await purgeable(api) : [{ id, size: null }];
  if (options.dryRun) {
    for (const item of items) await api.remove(path`deleted/${item.id}`, { dryRun: true });
    context.stdout.write(items.map((item) => `${item.id} would be given up\n`).join(''));
    return;
  }
  const what = id ?? countText(items.length, 'deleted thing');
  if (items.length > 0) await confirm(`Give up ${what}? Nothing brings it back.`, options, context);
  let given = 0;
  for (const item of items) given += (await purgeOne(api, item.id, id !== undefined)) ? 1 : 0;
  context.stdout.write(`gave up ${id ?? countText(given, 'deleted thing')}; berth gc frees the bytes\n`);
}

async function purgeable(api: Api): Promise<readonly Pick<Deleted, 'id' | 'size'>[]> {
  return (await api.list<Deleted>('deleted')).filter(({ kind }) => kind !== 'tag');
}

/** Of many some may be gone meanwhile. */
async function purgeOne(api: Api, id: string, isNamed: boolean): Promise<boolean> {
  try {
    await api.remove(path`deleted/${id}`);
    return true;
  } catch (error) {
    if (isNamed || !(error instanceof ProblemError) || error.problem.code !== 'not-found') throw error;
    return false;
  }
}
