// `berth tag`: the tags of a repository, their past, and notices that one should not be used any more. Those that change what a
// tag points at are in tag-changes.ts.
import { type Command, Option } from 'commander';
import { path, type Query } from '../client/api.ts';
import {
  type Deprecation,
  type Manifest,
  parseReference,
  parseTagged,
  type Tag,
  type TagPast,
  tagPath,
} from '../client/tag-shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { printJson, printList } from '../output/print.ts';
import { distanceText, listText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';
import { addTagChanges } from './tag-changes.ts';

interface ListOptions {
  readonly sort?: string;
  readonly untagged?: boolean;
  readonly match?: string;
  readonly platform?: string;
  readonly signed?: boolean;
  readonly unsigned?: boolean;
}

interface DeprecateOptions {
  readonly message?: string;
  readonly replacement?: string;
  readonly remove?: boolean;
}

const orders = ['name', 'pushed', 'pulled', 'size', 'version'] as const;
/** As the API calls them; the newest, largest and latest come first. */
const sorts: Readonly<Record<string, string>> = {
  name: 'name',
  pushed: '-pushedAt',
  pulled: '-pulledAt',
  size: '-size',
  version: '-semver',
};

export function addTag(program: Command, context: CommandContext): void {
  const tag = addGroup(program, 'tag', 'tags: what they point at, and what they pointed at before', [
    'tag list acme/web --sort version',
    'tag copy acme/web:v1 prod/web:v1',
    'tag restore acme/web:latest',
  ]);
  define<ListOptions>(tag, context, {
    usage: 'list <repository>',
    about: 'the tags of a repository',
    notes:
      'Sorted by name, or with --sort the newest, latest pulled, largest or highest version first. --match takes a part of a tag, or\n' +
      'a pattern with * ? [a-z] {a,b}. --untagged lists the manifests without a tag in their place.',
    examples: [
      'tag list acme/web',
      'tag list acme/web --sort pulled',
      "tag list acme/web --match 'v1.*' --platform linux/arm64",
    ],
    options: (command) =>
      command
        .addOption(new Option('--sort <by>', 'the order').choices([...orders]))
        .option('--match <pattern>', 'only those')
        .option('--platform <platform>', 'only what is for it: linux/arm64')
        .addOption(new Option('--signed', 'only what somebody signed').conflicts('unsigned'))
        .option('--unsigned', 'only what nobody signed')
        .option('--untagged', 'manifests without a tag'),
    prints: 'list',
    quiet: 'the tags alone',
    referenceAt: 0,
    check: ([repository = ''], options) => {
      const { tag: given, digest } = parseReference(repository);
      if (given !== undefined || digest !== undefined)
        throw new CommandError(
          exitCodes.wrongUsage,
          'give the repository alone: berth tag history shows one tag',
        );
      const { untagged, sort, match, platform, signed, unsigned } = options;
      const others = [sort, match, platform, signed, unsigned];
      if (untagged && others.some((value) => value !== undefined))
        throw new CommandError(
          exitCodes.wrongUsage,
          '--untagged: manifests without a tag have no order and no filter',
        );
    },
    run: (call) => (call.options.untagged ? listUntagged(call) : list(call)),
  });
  define(tag, context, {
    usage: 'history <repository:tag>',
    about: 'what a tag pointed at, and who changed it; newest first',
    examples: ['tag history acme/web:latest'],
    prints: 'list',
    quiet: 'the digests alone',
    referenceAt: 0,
    check: ([reference = '']) => void parseTagged(reference),
    run: history,
  });
  addTagChanges(tag, context);
  define<DeprecateOptions>(tag, context, {
    usage: 'deprecate <reference>',
    about: 'tell whoever pulls that a tag, or a repository, should not be used any more',
    notes:
      'Clients get it as a warning with each pull: regctl, podman from 4.7 and skopeo from 1.14 on show it.',
    examples: [
      "tag deprecate acme/web:v1 --message 'end of life in May' --replacement acme/web:v2",
      "tag deprecate acme/web --message 'moved' --replacement acme/shop",
      'tag deprecate acme/web:v1 --remove',
    ],
    options: (command) =>
      command
        .option('--message <text>', 'why')
        .option('--replacement <reference>', 'what to use instead')
        .option('--remove', 'take the notice back'),
    prints: 'one',
    quiet: 'nothing',
    referenceAt: 0,
    check: ([reference = ''], { message, replacement, remove }) => {
      if (parseReference(reference).digest !== undefined)
        throw new CommandError(
          exitCodes.wrongUsage,
          'a notice is for a tag or a repository, not for a digest',
        );
      if (remove === true ? message !== undefined || replacement !== undefined : message === undefined)
        throw new CommandError(exitCodes.wrongUsage, 'give --message, or --remove alone');
    },
    run: deprecate,
  });
}

async function list({ api, args: [repository = ''], options, context }: Call<ListOptions>): Promise<void> {
  const { sort, match, platform, signed, unsigned } = options;
  const query: Query = {
    sort: sort === undefined ? undefined : sorts[sort],
    q: match,
    platform,
    signed: signed ? true : unsigned ? false : undefined,
  };
  const tags = await api.list<Tag>(path`repositories/${repository}/-/tags`, query);
  const isNoted = tags.some((tag) => notesOf(tag) !== '');
  const columns = [
    { head: 'TAG', text: ({ name }: Tag) => name },
    { head: 'DIGEST', text: ({ digest }: Tag) => digest },
    { head: 'PLATFORMS', text: platformsText },
    { head: 'SIZE', text: ({ size }: Tag) => sizeText(size) },
    { head: 'PUSHED', text: ({ pushedAt }: Tag) => distanceText(pushedAt) },
    { head: 'PULLED', text: ({ pulledAt }: Tag) => distanceText(pulledAt) },
    ...(isNoted ? [{ head: 'NOTES', text: notesOf }] : []),
  ];
  printList(tags, { columns, key: ({ name }) => name, none: 'no tags' }, options, context);
}

function notesOf({ signed, immutable, deprecation }: Tag): string {
  const replacement = deprecation?.replacement === undefined ? '' : `; use ${deprecation.replacement}`;
  const notice = deprecation === null ? [] : [`deprecated: ${deprecation.message}${replacement}`];
  return [...(immutable === null ? [] : [immutable]), ...(signed ? ['signed'] : []), ...notice].join(', ');
}

async function listUntagged({
  api,
  args: [repository = ''],
  options,
  context,
}: Call<ListOptions>): Promise<void> {
  const manifests = await api.list<Manifest>(path`repositories/${repository}/-/manifests`, { tagged: false });
  const columns = [
    { head: 'DIGEST', text: ({ digest }: Manifest) => digest },
    { head: 'PLATFORMS', text: platformsText },
    { head: 'SIZE', text: ({ size }: Manifest) => sizeText(size) },
    { head: 'PUSHED', text: ({ pushedAt }: Manifest) => distanceText(pushedAt) },
    { head: 'PULLED', text: ({ pulledAt }: Manifest) => distanceText(pulledAt) },
    { head: 'BELONGS TO', text: ({ listedBy: [index], subject }: Manifest) => index ?? subject ?? '' },
  ];
  const form = { columns, key: ({ digest }: Manifest) => digest, none: 'no manifests without a tag' };
  printList(manifests, form, options, context);
}

/** What is for no platform says what it is. */
function platformsText({ platforms, kind, artifactType }: Tag | Manifest): string {
  if (platforms.length > 3) return `${platforms.slice(0, 2).join(', ')} and ${platforms.length - 2} more`;
  if (platforms.length > 0) return listText(platforms).replace(' and ', ', ');
  return kind === 'index' ? 'index' : (artifactType ?? '').replace(/^application\/vnd\./, '');
}

async function history({ api, args: [reference = ''], options, context }: Call<unknown>): Promise<void> {
  const past = await api.list<TagPast>(`${tagPath(parseTagged(reference))}/history`);
  const columns = [
    { head: 'WHEN', text: ({ at }: TagPast) => distanceText(at) },
    { head: 'WHAT', text: ({ action }: TagPast) => action },
    { head: 'DIGEST', text: ({ digest }: TagPast) => digest ?? '' },
    { head: 'BY', text: ({ actor }: TagPast) => actor },
    { head: 'MANIFEST', text: fateText },
  ];
  printList(past, { columns, key: ({ digest }) => digest ?? '', none: 'no history' }, options, context);
}

function fateText({ state, restorableUntil, digest }: TagPast): string {
  if (digest === null) return '';
  if (state !== 'deleted') return state === 'live' ? 'there' : 'gone';
  return `deleted; can come back until ${restorableUntil?.slice(0, 10) ?? ''}`;
}

async function deprecate({
  api,
  args: [reference = ''],
  options,
  context,
}: Call<DeprecateOptions>): Promise<void> {
  const { repository, tag } = parseReference(reference);
  const { message = '', replacement } = options;
  const deprecation: Deprecation | null = options.remove
    ? null
    : { message, ...(replacement === undefined ? {} : { replacement }) };
  const place = tag === undefined ? path`repositories/${repository}` : tagPath({ repository, tag });
  const changed = await api.patch(place, { deprecation });
  if (options.json) printJson(changed, context);
  else if (!options.quiet) {
    const what =
      deprecation === null ? 'is not deprecated any more' : 'is deprecated: whoever pulls it is told';
    context.stdout.write(`${reference} ${what}\n`);
  }
}
