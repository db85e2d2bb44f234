// `berth tag set`, `copy`, `restore` and `remove`: what a tag points at.
import type { Command } from 'commander';
import { type Api, path, type Query } from '../client/api.ts';
import {
  inSameRegistry,
  parseReference,
  parseTagged,
  type RemovedTags,
  type TagChange,
  type TagPast,
  tagPath,
} from '../client/tag-shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { parseSince } from '../output/moments.ts';
import { printJson } from '../output/print.ts';
import { countText, shortenDigests } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { type Call, define } from './define.ts';

interface SetOptions {
  readonly create?: boolean;
  readonly referrers?: boolean;
}

interface RestoreOptions extends SetOptions {
  readonly to?: string;
}

interface RemoveOptions {
  readonly match?: string;
  readonly pushedBefore?: string;
  readonly pulledBefore?: string;
}

type SetAnswer = { readonly digest: string; readonly change?: TagChange } & Partial<TagChange>;

const dryRunText = 'tell what would happen and change nothing';
const isDigest = (text: string): boolean => /^sha(256|512):[0-9a-f]+$/.test(text);

export function addTagChanges(tag: Command, context: CommandContext): void {
  define<SetOptions>(tag, context, {
    usage: 'set <repository:tag> <digest>',
    about: 'point a tag at another manifest of its repository, named by digest or by another tag',
    examples: [
      'tag set acme/web:stable sha256:…',
      'tag set acme/web:stable v1.2',
      'tag set acme/web:v2 v2-rc.3 --create',
    ],
    options: (command) =>
      command.option('--create', 'only if there is no such tag').option('--dry-run', dryRunText),
    prints: 'one',
    quiet: 'the digest alone',
    referenceAt: 0,
    check: ([reference = '']) => void parseTagged(reference),
    run: (call) => {
      const [reference = '', to = ''] = call.args;
      const { repository } = parseTagged(reference);
      return set(call, reference, isDigest(to) ? { digest: to } : { from: { repository, reference: to } });
    },
  });
  define<SetOptions>(tag, context, {
    usage: 'copy <source> <target>',
    about: 'copy an image to another repository of the registry, without moving a byte',
    notes:
      'An index comes with all that it lists. What refers to it (signatures, SBOMs, attestations) stays behind unless --referrers is\n' +
      'given, as with skopeo and crane. Needs the role read on the source and write on the target.',
    examples: ['tag copy acme/web:v1 prod/web:v1', 'tag copy acme/web@sha256:… prod/web:v1 --referrers'],
    options: (command) =>
      command
        .option('--referrers', 'copy signatures, SBOMs and the like, too')
        .option('--create', 'only if there is no such tag')
        .option('--dry-run', dryRunText),
    prints: 'one',
    quiet: 'the digest alone',
    referenceAt: 0,
    run: (call) => {
      const [source = '', target = ''] = call.args;
      const { repository, tag: name, digest } = parseReference(source);
      const reference = digest ?? name;
      if (reference === undefined)
        throw new CommandError(exitCodes.wrongUsage, `${source}: which tag or digest of it?`);
      const { referrers } = call.options;
      const body = { from: { repository, reference }, ...(referrers ? { referrers } : {}) };
      return set(call, inSameRegistry(target, call.api), body);
    },
  });
  addRestore(tag, context);
  addRemove(tag, context);
}

function addRestore(tag: Command, context: CommandContext): void {
  define<RestoreOptions>(tag, context, {
    usage: 'restore <repository:tag>',
    about: 'point a tag at what it pointed at before, also when it is gone or its manifest was deleted',
    notes:
      'Without --to at the manifest before the present one. --to takes a digest of its history, or a time: then it points at what it\n' +
      'pointed at then. A deleted manifest comes back for the role maintain.',
    examples: [
      'tag restore acme/web:latest',
      'tag restore acme/web:latest --to 2d',
      'tag restore acme/web:v1 --to sha256:…',
    ],
    options: (command) =>
      command
        .option('--to <digest|time>', 'a digest, 2d, 2027-03-31 or 2027-03-31T12:00:00Z')
        .option('--dry-run', dryRunText),
    prints: 'one',
    quiet: 'the digest alone',
    referenceAt: 0,
    check: ([reference = ''], { to }) => {
      parseTagged(reference);
      if (to !== undefined && !isDigest(to)) parseSince(to, '--to');
    },
    run: async (call) => {
      const [reference = ''] = call.args;
      const past = await call.api.list<TagPast>(`${tagPath(parseTagged(reference))}/history`);
      await set(call, reference, { digest: findPast(past, reference, call.options.to) });
    },
  });
}

/** The digest that is meant. Throws CommandError where the history has none. */
export function findPast(past: readonly TagPast[], reference: string, to: string | undefined): string {
  const absent = (why: string) =>
    new CommandError(exitCodes.absent, `${reference} ${why}: berth tag history ${reference}`);
  if (to === undefined) {
    const [newest] = past;
    const before = past.find(({ digest }) => digest !== null && digest !== newest?.digest)?.digest;
    if (before == null) throw absent('never pointed at anything else');
    return before;
  }
  if (isDigest(to)) {
    const found = new Set(past.flatMap(({ digest }) => (digest?.startsWith(to) ? [digest] : [])));
    const [one, ...others] = found;
    if (others.length > 0)
      throw new CommandError(exitCodes.wrongUsage, `--to: ${to} fits ${found.size} digests`);
    if (one === undefined) throw absent(`never pointed at ${to}`);
    return one;
  }
  const moment = Date.parse(parseSince(to, '--to'));
  const then = past.find(({ at }) => Date.parse(at) <= moment);
  if (then?.digest == null) throw absent(`was not there then (${to})`);
  return then.digest;
}

async function set(
  { api, options, context }: Call<SetOptions>,
  reference: string,
  body: object,
): Promise<void> {
  const query: Query = options.dryRun ? { dryRun: true } : {};
  const headers: Record<string, string> = options.create ? { 'if-none-match': '*' } : {};
  const answer = await api.put<SetAnswer>(tagPath(parseTagged(reference)), body, query, headers);
  if (options.json) printJson(answer, context);
  else if (options.quiet) context.stdout.write(`${answer.digest}\n`);
  else
    context.stdout.write(setText(reference, answer, options.dryRun === true, context.stdout.isTTY === true));
}

function setText(reference: string, answer: SetAnswer, dryRun: boolean, short: boolean): string {
  const { digest } = answer;
  const { action, previousDigest, copied, restored = [], referrers } = answer.change ?? answer;
  const was = previousDigest === null ? 'new' : `was ${previousDigest}`;
  const verb = dryRun ? 'would point' : 'points';
  const lines = [
    action === null
      ? `${reference} points at ${digest} already`
      : `${reference} ${verb} at ${digest} (${was})`,
  ];
  if (action === 'copy' && copied !== undefined) {
    const bytes = copied.bytes === 0 ? 'no new bytes' : `${sizeText(copied.bytes)} that it did not have`;
    lines.push(`copied  ${countText(copied.manifests, 'manifest')}, ${bytes}`);
  }
  if (restored.length > 0) lines.push(`brought back ${countText(restored.length, 'deleted manifest')}`);
  if ((referrers?.copied ?? 0) > 0)
    lines.push(`with    ${countText(referrers?.copied ?? 0, 'manifest')} that refer to it`);
  if ((referrers?.left ?? 0) > 0)
    lines.push(
      `left    ${referrers?.left} that refer to it (signatures, SBOMs): --referrers takes them along`,
    );
  return lines.map((line) => `${short ? shortenDigests(line) : line}\n`).join('');
}

function addRemove(tag: Command, context: CommandContext): void {
  define<RemoveOptions>(tag, context, {
    usage: 'remove <reference...>',
    about: 'remove tags, by name or by pattern and age; their manifests stay',
    notes:
      'Several REPOSITORY:TAG, or one REPOSITORY with --match. A tag that was never pulled counts for --pulled-before from when it was\n' +
      'set. berth tag restore brings a tag back.',
    examples: [
      'tag remove acme/web:v1 acme/web:v2',
      "tag remove acme/web --match 'pr-*' --pushed-before 30d --dry-run",
      "tag remove acme/web --match '*' --pulled-before 180d --yes",
    ],
    options: (command) =>
      command
        .option('--match <pattern>', 'all that fit: pr-*, {rc,beta}-*')
        .option('--pushed-before <when>', 'and were set before: 30d, or a date')
        .option('--pulled-before <when>', 'and were not pulled since: 90d, or a date'),
    deletes: true,
    prints: 'one',
    quiet: 'the removed tags alone',
    referenceAt: 0,
    check: (references, { match, pushedBefore, pulledBefore }) => {
      if (match === undefined && (pushedBefore !== undefined || pulledBefore !== undefined))
        throw new CommandError(exitCodes.wrongUsage, "which tags? Give --match, such as --match 'pr-*'");
      if (pushedBefore !== undefined) parseSince(pushedBefore, '--pushed-before');
      if (pulledBefore !== undefined) parseSince(pulledBefore, '--pulled-before');
      if (match === undefined) for (const reference of references) parseTagged(reference);
      else if (references.length > 1 || parseReference(references[0] ?? '').tag !== undefined)
        throw new CommandError(exitCodes.wrongUsage, '--match goes with one repository, without a tag');
    },
    run: (call) => (call.options.match === undefined ? removeNamed(call) : removeMatching(call)),
  });
}

async function removeNamed({ api, args, options, context }: Call<RemoveOptions>): Promise<void> {
  const references = args.map((reference, index) =>
    index === 0 ? reference : inSameRegistry(reference, api),
  );
  const tags = references.map(parseTagged);
  const deleted: { name: string; digest: string }[] = [];
  if (!options.dryRun) await confirm(`Remove ${references.join(', ')}?`, options, context);
  for (const [index, tag] of tags.entries()) {
    const plan = await api.remove<Partial<RemovedTags> | undefined>(
      tagPath(tag),
      options.dryRun ? { dryRun: true } : {},
    );
    deleted.push(...(plan?.deleted ?? [{ name: tag.tag, digest: '' }]));
    if (!options.json && !options.quiet)
      context.stdout.write(`${references[index]} ${options.dryRun ? 'would be removed' : 'removed'}\n`);
    else if (options.quiet) context.stdout.write(`${tag.tag}\n`);
  }
  if (options.json) printJson({ deleted }, context);
}

async function removeMatching({
  api,
  args: [repository = ''],
  options,
  context,
}: Call<RemoveOptions>): Promise<void> {
  const { match, pushedBefore, pulledBefore, dryRun } = options;
  const query: Query = {
    match,
    pushedBefore: pushedBefore === undefined ? undefined : parseSince(pushedBefore, '--pushed-before'),
    pulledBefore: pulledBefore === undefined ? undefined : parseSince(pulledBefore, '--pulled-before'),
  };
  const plan =
    dryRun || !options.yes ? await removeAll(api, repository, { ...query, dryRun: true }) : undefined;
  if (plan !== undefined && !dryRun && plan.deleted.length > 0) {
    await confirm(`Remove ${countText(plan.deleted.length, 'tag')} of ${repository}?`, options, context);
  }
  const removed = dryRun && plan !== undefined ? plan : await removeAll(api, repository, query);
  if (options.json) return printJson(removed, context);
  for (const { name } of removed.deleted) {
    context.stdout.write(
      options.quiet ? `${name}\n` : `${repository}:${name} ${dryRun ? 'would be removed' : 'removed'}\n`,
    );
  }
  for (const { name, reason } of removed.kept)
    context.stderr.write(`${repository}:${name} stays: ${reason}\n`);
  if (removed.deleted.length === 0) context.stderr.write('no tag fits\n');
}

/** All of it, in as many requests as that takes. */
async function removeAll(api: Api, repository: string, query: Query): Promise<Omit<RemovedTags, 'next'>> {
  const deleted: RemovedTags['deleted'][number][] = [];
  const kept: RemovedTags['kept'][number][] = [];
  let cursor: string | undefined;
  do {
    const part = await api.remove<RemovedTags>(path`repositories/${repository}/-/tags`, { ...query, cursor });
    deleted.push(...part.deleted);
    kept.push(...part.kept);
    cursor = part.next ?? undefined;
  } while (cursor !== undefined);
  return { deleted, kept };
}
