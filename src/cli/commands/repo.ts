// `berth repo`: what a repository is, and who may see it.
import { type Command, Option } from 'commander';
import { visibilities } from '../../storage/metadata-store.ts';
import { path } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { printFacts, printJson } from '../output/print.ts';
import { addGroup, type Call, define } from './define.ts';

interface RepositorySettings {
  readonly visibility?: string;
  readonly description?: string;
}

interface Repository extends Required<RepositorySettings> {
  readonly name: string;
  readonly namespace: string;
}

export function addRepo(program: Command, context: CommandContext): void {
  const repo = addGroup(program, 'repo', 'repositories and who may see them', [
    'repo show acme/web',
    'repo set acme/web --visibility public',
  ]);
  define(repo, context, {
    usage: 'show <repository>',
    about: 'what a repository is',
    examples: ['repo show acme/web'],
    prints: 'one',
    quiet: 'the name alone',
    referenceAt: 0,
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const repository = await api.get<Repository>(path`repositories/${name}`);
      if (options.json) printJson(repository, surroundings);
      else if (options.quiet) surroundings.stdout.write(`${repository.name}\n`);
      else printFacts(Object.entries(repository), surroundings);
    },
  });
  define<RepositorySettings>(repo, context, {
    usage: 'set <repository>',
    about: 'change who may see a repository, and what it is for',
    examples: ['repo set acme/web --visibility public', "repo set acme/web --description 'The shop'"],
    options: (command) =>
      command
        .addOption(
          new Option('--visibility <visibility>', 'who may pull it without a grant').choices([
            ...visibilities,
          ]),
        )
        .option('--description <text>', 'what it is for'),
    prints: 'one',
    quiet: 'nothing',
    referenceAt: 0,
    check: (_args, options) => {
      if (options.visibility !== undefined || options.description !== undefined) return;
      throw new CommandError(exitCodes.wrongUsage, 'nothing to change: give --visibility or --description');
    },
    run: set,
  });
}

const who: Readonly<Record<string, string>> = {
  private: 'whoever has a grant can pull it',
  internal: 'every signed-in user can pull it; guests excepted',
  public: 'everybody can pull it, also without signing in',
};

async function set({ api, args: [name = ''], options, context }: Call<RepositorySettings>): Promise<void> {
  const { visibility, description } = options;
  const repository = await api.patch<Repository>(path`repositories/${name}`, { visibility, description });
  if (options.json) printJson(repository, context);
  else if (!options.quiet) {
    const { visibility: now } = repository;
    context.stdout.write(`${repository.name} is ${now}: ${who[now] ?? ''}\n`);
  }
}
