// `berth search`: repositories by words, by labels, or by what lives in them.
import type { Command } from 'commander';
import type { Repository } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { printJson, printList } from '../output/print.ts';
import { numberText } from '../output/progress.ts';
import { distanceText } from '../output/text.ts';
import { type Call, define } from './define.ts';

interface SearchOptions {
  readonly label?: readonly string[];
  readonly digest?: string;
}

interface FoundRepository extends Repository {
  readonly found?: {
    readonly since: string | null;
    readonly tags: readonly { readonly name: string; readonly since: string }[];
    readonly moreTags: boolean;
  };
}

/** A tag that leads to a digest. */
interface Place {
  readonly repository: string;
  readonly tag: string;
  readonly since: string | null;
}

export function addSearch(program: Command, context: CommandContext): void {
  define<SearchOptions>(program, context, {
    usage: 'search [term]',
    about: 'find repositories by words, by labels, or by a digest that lives in them',
    notes: 'A term is looked for in names and descriptions. It finds what you may pull.',
    examples: ['search web', 'search --label team=shop', 'search --digest sha256:…'],
    options: (command) =>
      command
        .option('--label <key=value...>', 'that have all of these labels')
        .option('--digest <digest>', 'where a manifest or blob lives, under which tags, since when'),
    prints: 'list',
    check: ([term], { label = [], digest }) => {
      const wrong = label.find((text) => text.indexOf('=') < 1);
      if (wrong !== undefined)
        throw new CommandError(
          exitCodes.wrongUsage,
          `--label: found ${JSON.stringify(wrong)}, allowed: key=value`,
        );
      if (term === undefined && digest === undefined && label.length === 0)
        throw new CommandError(
          exitCodes.wrongUsage,
          'what to look for? Give a term, --label or --digest; berth repo list shows all',
        );
    },
    run: search,
  });
}

async function search({ api, args: [term], options, context }: Call<SearchOptions>): Promise<void> {
  const { digest, label } = options;
  const found = await api.list<FoundRepository>('repositories', { q: term, label, digest });
  if (digest !== undefined && !options.json && !options.quiet) {
    printPlaces(digest, found, options, context);
    return;
  }
  const columns = [
    { head: 'NAME', text: ({ name }: Repository) => name },
    { head: 'DESCRIPTION', text: ({ description }: Repository) => shortText(description) },
    { head: 'VISIBILITY', text: ({ visibility }: Repository) => visibility },
    { head: 'TAGS', text: ({ tags }: Repository) => numberText(tags) },
    { head: 'PUSHED', text: ({ lastPushedAt }: Repository) => distanceText(lastPushedAt) },
  ];
  if (options.json) printJson({ items: found }, context);
  else
    printList(
      found,
      { columns, key: ({ name }) => name, none: 'nothing that you may see' },
      options,
      context,
    );
}

function printPlaces(
  digest: string,
  found: readonly FoundRepository[],
  options: Call<SearchOptions>['options'],
  context: CommandContext,
): void {
  const places = found.flatMap(({ name: repository, found: place }): Place[] => {
    const tags = (place?.tags ?? []).map(({ name, since }) => ({ repository, tag: name, since }));
    return tags.length > 0 ? tags : [{ repository, tag: '', since: place?.since ?? null }];
  });
  const columns = [
    { head: 'REPOSITORY', text: ({ repository }: Place) => repository },
    { head: 'TAG', text: ({ tag }: Place) => tag },
    { head: 'SINCE', text: ({ since }: Place) => distanceText(since, '') },
  ];
  const none = `${digest} is nowhere that you may see`;
  printList(places, { columns, key: ({ repository }) => repository, none }, options, context);
  const more = found.filter((one) => one.found?.moreTags).map(({ name }) => name);
  if (more.length > 0) context.stderr.write(`there are more tags than shown in ${more.join(', ')}\n`);
}

function shortText(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
