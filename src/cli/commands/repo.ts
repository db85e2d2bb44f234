// `berth repo`: repositories, what they say of themselves, who may see them, and their names.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { visibilities } from '../../storage/metadata-store.ts';
import { path } from '../client/api.ts';
import type { Repository, RepositoryDetails } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm, readAllInput } from '../output/ask.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { numberText } from '../output/progress.ts';
import { countText, distanceText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';
import { addAliases } from './repo-alias.ts';

interface RepositorySettings {
  readonly visibility?: string;
  readonly description?: string;
  readonly readme?: string;
  readonly label?: readonly string[];
  readonly link?: readonly string[];
}

interface ListOptions {
  readonly visibility?: string;
  readonly sort?: string;
}

const visibilityOption = () =>
  new Option('--visibility <visibility>', 'who may pull it without a grant').choices([...visibilities]);

export function addRepo(program: Command, context: CommandContext): void {
  const repo = addGroup(program, 'repo', 'repositories and who may see them', [
    'repo list acme',
    'repo show acme/web',
    'repo set acme/web --visibility public',
    'repo move sam/web acme/web',
  ]);
  addReads(repo, context);
  addChanges(repo, context);
  addEnds(repo, context);
  addAliases(repo, context);
}

function addReads(repo: Command, context: CommandContext): void {
  define<ListOptions>(repo, context, {
    usage: 'list [namespace]',
    about: 'list the repositories that you may see',
    examples: ['repo list', 'repo list acme --sort -pushedAt', 'repo list --visibility public'],
    options: (command) =>
      command
        .addOption(
          new Option('--visibility <visibility>', 'only such repositories').choices([...visibilities]),
        )
        .addOption(
          new Option('--sort <order>', 'by name, or what was used last first').choices(
            ['name', 'pushedAt', 'pulledAt'].flatMap((by) => [by, `-${by}`]),
          ),
        ),
    prints: 'list',
    run: listAll,
  });
  define(repo, context, {
    usage: 'show <repository>',
    about: 'what a repository is',
    examples: ['repo show acme/web'],
    prints: 'one',
    quiet: 'the name alone',
    referenceAt: 0,
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const repository = await api.get<RepositoryDetails>(path`repositories/${name}`);
      if (options.json) printJson(repository, surroundings);
      else if (options.quiet) surroundings.stdout.write(`${repository.name}\n`);
      else show(repository, surroundings);
    },
  });
}

function addChanges(repo: Command, context: CommandContext): void {
  define<RepositorySettings>(repo, context, {
    usage: 'add <repository>',
    about: 'make a repository without content',
    notes: 'A push makes one by itself, unless access.createOnPush is off.',
    examples: ['repo add acme/web', "repo add acme/web --visibility public --description 'The shop'"],
    options: (command) =>
      command.addOption(visibilityOption()).option('--description <text>', 'what it is for'),
    prints: 'one',
    quiet: 'the name alone',
    referenceAt: 0,
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const { visibility, description } = options;
      const made = await api.post<RepositoryDetails>('repositories', { name, visibility, description });
      if (options.json) printJson(made, surroundings);
      else if (options.quiet) surroundings.stdout.write(`${made.name}\n`);
      else surroundings.stdout.write(`repository ${made.name} added: ${meaningOf(made.visibility)}\n`);
    },
  });
  define<RepositorySettings>(repo, context, {
    usage: 'set <repository>',
    about: 'change who may see a repository, and what it says of itself',
    notes: "'' removes a description or README, key= a label. --link names all links anew.",
    examples: [
      'repo set acme/web --visibility public',
      "repo set acme/web --description 'The shop' --readme README.md",
      'repo set acme/web --label team=shop tier=1',
    ],
    options: (command) =>
      command
        .addOption(visibilityOption())
        .option('--description <text>', 'what it is for')
        .option('--readme <file>', 'a file of Markdown; - for stdin')
        .option('--label <key=value...>', 'words by which it is found')
        .option('--link <title=url...>', 'where to read more'),
    prints: 'one',
    quiet: 'nothing',
    referenceAt: 0,
    check: (_args, options) => {
      const { visibility, description, readme, label, link } = options;
      if ([visibility, description, readme, label, link].every((one) => one === undefined))
        throw new CommandError(
          exitCodes.wrongUsage,
          'nothing to change: give --visibility, --description, --readme, --label or --link',
        );
      labelsOf(label);
      linksOf(link);
    },
    run: set,
  });
  define(repo, context, {
    usage: 'move <repository> <name>',
    about: 'give a repository another name, also in another namespace',
    notes:
      'Tags, history, labels and grants on exactly its name go along. Under its old name it can be pulled still, and not pushed to\n' +
      '(repositories.keepOldNameFor).',
    examples: ['repo move sam/web acme/web', 'repo move acme/web acme/shop/web'],
    prints: 'one',
    quiet: 'nothing',
    referenceAt: 0,
    run: async ({ api, args: [from = '', to = ''], options, context: surroundings }) => {
      const moved = await api.patch<RepositoryDetails>(path`repositories/${from}`, { name: to });
      if (options.json) printJson(moved, surroundings);
      else if (!options.quiet) surroundings.stdout.write(`${from} is ${moved.name} now\n`);
    },
  });
}

function addEnds(repo: Command, context: CommandContext): void {
  define(repo, context, {
    usage: 'remove <repository>',
    about: 'delete a repository; it is restorable for a while, and its name is free at once',
    examples: ['repo remove acme/web --dry-run', 'repo remove acme/web --yes'],
    deletes: true,
    referenceAt: 0,
    run: remove,
  });
}

async function listAll({ api, args: [namespace], options, context }: Call<ListOptions>): Promise<void> {
  const { visibility, sort } = options;
  const repositories = await api.list<Repository>('repositories', { namespace, visibility, sort });
  const columns = [
    { head: 'NAME', text: ({ name }: Repository) => name },
    { head: 'VISIBILITY', text: (one: Repository) => one.visibility },
    { head: 'TAGS', text: ({ tags }: Repository) => numberText(tags) },
    { head: 'SIZE', text: ({ sizes }: Repository) => sizeText(sizes.own + sizes.shared) },
    { head: 'PUSHED', text: ({ lastPushedAt }: Repository) => distanceText(lastPushedAt) },
    { head: 'PULLS', text: ({ pulls }: Repository) => numberText(pulls) },
    { head: 'LAST PULLED', text: ({ lastPulledAt }: Repository) => distanceText(lastPulledAt) },
  ];
  printList(
    repositories,
    { columns, key: ({ name }) => name, none: 'no repositories that you may see' },
    options,
    context,
  );
}

function show(repository: RepositoryDetails, context: CommandContext): void {
  const { sizes, labels, links, readme, description } = repository;
  const used = (count: number, noun: string, last: string | null) =>
    last === null ? countText(count, noun) : `${countText(count, noun)}, last ${distanceText(last)}`;
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  printFacts(
    [
      ['name', repository.name],
      ['visibility', `${repository.visibility}: ${meaningOf(repository.visibility)}`],
      ['description', description || undefined],
      ['labels', pairs.length === 0 ? undefined : pairs.join(' ')],
      ['holds', `${countText(repository.tags, 'tag')}, ${countText(repository.manifests, 'manifest')}`],
      ['size', `${sizeText(sizes.own)} of its own, ${sizeText(sizes.shared)} shared with others`],
      ['pushed', used(repository.pushes, 'push', repository.lastPushedAt)],
      ['pulled', used(repository.pulls, 'pull', repository.lastPulledAt)],
      ['made', distanceText(repository.createdAt)],
      ...links.map(({ title, url }) => ['link', `${title}: ${url}`] as const),
      [
        'readme',
        readme === '' ? undefined : `${countText(readme.split('\n').length, 'line')} (--json shows it)`,
      ],
    ],
    context,
  );
}

const who: Readonly<Record<string, string>> = {
  private: 'whoever has a grant can pull it',
  internal: 'every signed-in user can pull it; guests excepted',
  public: 'everybody can pull it, also without signing in',
};

function meaningOf(visibility: string): string {
  return who[visibility] ?? '';
}

async function set({ api, args: [name = ''], options, context }: Call<RepositorySettings>): Promise<void> {
  const { visibility, description } = options;
  const readme = await readReadme(options.readme, context);
  const repository = await api.patch<RepositoryDetails>(path`repositories/${name}`, {
    visibility,
    description,
    readme,
    labels: labelsOf(options.label),
    links: linksOf(options.link),
  });
  if (options.json) printJson(repository, context);
  else if (!options.quiet) {
    const { visibility: now } = repository;
    context.stdout.write(`${repository.name} is ${now}: ${meaningOf(now)}\n`);
  }
}

async function readReadme(file: string | undefined, context: CommandContext): Promise<string | undefined> {
  if (file === undefined || file === '') return file;
  if (file === '-') return await readAllInput(context);
  try {
    return readFileSync(resolve(context.folder, file), 'utf8');
  } catch (error) {
    throw new CommandError(exitCodes.wrongUsage, `${file} cannot be read: ${(error as Error).message}`);
  }
}

function labelsOf(texts: readonly string[] | undefined): Record<string, string | null> | undefined {
  if (texts === undefined) return undefined;
  const pairs = texts.map((text) => pairOf(text, '--label', 'key=value'));
  return Object.fromEntries(pairs.map(([key, value]) => [key, value === '' ? null : value]));
}

function linksOf(texts: readonly string[] | undefined) {
  // --link '' removes them all.
  const given = texts?.filter((text) => text !== '');
  return given?.map((text) => {
    const [title, url] = pairOf(text, '--link', 'title=url');
    return { title, url };
  });
}

function pairOf(text: string, flag: string, form: string): readonly [string, string] {
  const mark = text.indexOf('=');
  if (mark > 0) return [text.slice(0, mark), text.slice(mark + 1)];
  throw new CommandError(exitCodes.wrongUsage, `${flag}: found ${JSON.stringify(text)}, allowed: ${form}`);
}

interface RemovalPlan {
  readonly tags: number;
  readonly manifests: number;
  readonly bytes: number;
}

async function remove({ api, args: [name = ''], options, context }: Call<unknown>): Promise<void> {
  const where = path`repositories/${name}`;
  const plan = await api.remove<RemovalPlan>(where, { dryRun: true });
  const what = `${name} with ${countText(plan.tags, 'tag')} and ${countText(plan.manifests, 'manifest')}`;
  if (!options.dryRun) {
    await confirm(`Delete ${what}?`, options, context);
    await api.remove(where);
  }
  const word = options.dryRun ? 'would be deleted' : 'deleted';
  context.stdout.write(
    `${what} ${word}. ${sizeText(plan.bytes)} come free when it cannot be restored any more (berth deleted list)\n`,
  );
}
