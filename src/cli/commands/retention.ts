// `berth retention`: how long tags are kept, what that would remove, and removing it.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { parse, stringify } from 'yaml';
import { namespaceOf, parseRepositoryName } from '../../oci/name.ts';
import type { RetentionPolicy, RetentionRules } from '../../registry/retention-rules.ts';
import { type Api, path } from '../client/api.ts';
import type { Operation, RetentionCounts, RetentionItem } from '../client/care-shapes.ts';
import { assertDone, waitFor } from '../client/operations.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { reportText } from '../output/care-reports.ts';
import { printJson, printList } from '../output/print.ts';
import { numberText } from '../output/progress.ts';
import { countsText, itemsText } from '../output/retention-text.ts';
import { countText, distanceText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface FileOption {
  readonly file?: string;
}

interface Preview {
  readonly totals: (RetentionCounts & { readonly repositories: number }) | null;
  readonly items: readonly RetentionItem[];
  readonly next: string | null;
}

/** What a change of the rules would do. */
interface Plan {
  readonly rules: RetentionRules;
  readonly added: readonly RetentionPolicy[];
  readonly removed: readonly RetentionPolicy[];
}

const itemsShown = 100;
const largestPage = 1000;
const words = `PLACE  a namespace (acme), or one repository (acme/web), whose policy then comes before the others
The file is YAML or JSON in zot's words; a whole configuration of zot is taken, too:
  delay: 24h
  policies:
    - repositories: ["acme/ci-*"]
      deleteUntagged: true
      keepTags:
        - patterns: ["^v[0-9]"]
          highestSemverCount: 5
        - pulledWithin: 720h`;

export function addRetention(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'retention', 'how long tags are kept; nothing goes until rules are set', [
    'retention set acme --file rules.yaml',
    'retention preview acme',
    'retention run acme',
  ]);
  addRules(group, context);
  addRuns(group, context);
}

function addRules(group: Command, context: CommandContext): void {
  define<FileOption>(group, context, {
    usage: 'set <place>',
    about: 'put the rules of a namespace, or the policy of one repository, from a file',
    notes: words,
    examples: ['retention set acme --file rules.yaml', 'retention set acme/web --file web.yaml'],
    options: (command) => command.requiredOption('--file <file>', 'the rules'),
    changesMany: true,
    referenceAt: 0,
    run: set,
  });
  define(group, context, {
    usage: 'show <place>',
    about: 'the rules as they are, in YAML',
    examples: ['retention show acme', 'retention show acme --json'],
    prints: 'one',
    quiet: 'nothing',
    referenceAt: 0,
    run: show,
  });
  define(group, context, {
    usage: 'remove <place>',
    about: 'remove the rules of a namespace, or the policy of one repository: what was kept stays kept',
    examples: ['retention remove acme', 'retention remove acme/web'],
    deletes: true,
    referenceAt: 0,
    run: remove,
  });
}

function addRuns(group: Command, context: CommandContext): void {
  define<FileOption & { kept?: boolean }>(group, context, {
    usage: 'preview <place>',
    about: 'what a run would remove, with --kept also why all else stays',
    examples: ['retention preview acme', 'retention preview acme/web --file rules.yaml --kept'],
    options: (command) =>
      command
        .option('--file <file>', 'try these rules instead of those that are set')
        .option('--kept', 'what stays, and why'),
    prints: 'one',
    quiet: 'images alone',
    referenceAt: 0,
    run: preview,
  });
  define(group, context, {
    usage: 'run <namespace>',
    about: 'remove now what the rules do not keep; the server does it by itself, too (retention.schedule)',
    examples: ['retention run acme --dry-run', 'retention run acme --yes'],
    deletes: true,
    prints: 'one',
    quiet: 'the number of tags that went',
    referenceAt: 0,
    run,
  });
  define(group, context, {
    usage: 'reports <namespace> [id]',
    about: 'the runs of a namespace, or what one of them did',
    examples: ['retention reports acme', 'retention reports acme 42'],
    prints: 'list',
    referenceAt: 0,
    run: reports,
  });
}

/** A namespace, or a repository and its namespace. */
function placeOf(text: string): { readonly namespace: string; readonly repository: string | undefined } {
  if (!text.includes('/')) return { namespace: text, repository: undefined };
  return { namespace: namespaceOf(parseRepositoryName(text)), repository: text };
}

const rulesOf = (namespace: string) => path`namespaces/${namespace}/retention-rules`;

async function readRules(file: string, { folder }: CommandContext): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(resolve(folder, file), 'utf8');
  } catch (error) {
    throw new CommandError(exitCodes.wrongUsage, `--file: ${(error as Error).message}`, { cause: error });
  }
  let found: unknown;
  try {
    found = parse(text);
  } catch (error) {
    throw new CommandError(exitCodes.wrongUsage, `${file}: ${(error as Error).message}`, { cause: error });
  }
  // zot's own configuration has them under storage.retention.
  for (const name of ['storage', 'retention']) {
    const inner = (found as Record<string, unknown> | null)?.[name];
    if (inner !== undefined) found = inner;
  }
  if (typeof found === 'object' && found !== null && !Array.isArray(found))
    return found as Record<string, unknown>;
  throw new CommandError(
    exitCodes.wrongUsage,
    `${file}: a block with policies is needed, or for one repository a policy`,
  );
}

/** The rules with the policy of one repository in front. */
function withPolicy(
  rules: RetentionRules,
  repository: string,
  policy: RetentionPolicy | undefined,
): RetentionRules {
  const others = rules.policies.filter(({ repositories }) => !isFor(repositories, repository));
  const own = policy === undefined ? [] : [{ ...policy, repositories: [repository] }];
  return { ...rules, policies: [...own, ...others] };
}

function isFor(repositories: readonly string[] | undefined, repository: string): boolean {
  return repositories?.length === 1 && repositories[0] === repository;
}

async function wholeOf(
  place: string,
  file: string,
  current: RetentionRules,
  context: CommandContext,
): Promise<RetentionRules> {
  const { repository } = placeOf(place);
  const given = await readRules(file, context);
  if (repository === undefined) return given as unknown as RetentionRules;
  const { policies } = given;
  if (policies === undefined) return withPolicy(current, repository, given);
  if (Array.isArray(policies) && policies.length === 1) return withPolicy(current, repository, policies[0]);
  throw new CommandError(exitCodes.wrongUsage, `${file}: for one repository give one policy`);
}

async function set({ api, args: [place = ''], options, context }: Call<FileOption>): Promise<void> {
  const { namespace } = placeOf(place);
  const current = await api.get<RetentionRules>(rulesOf(namespace));
  const whole = await wholeOf(place, options.file ?? '', current, context);
  if (options.dryRun) {
    const { rules, added, removed } = await api.replace<RetentionRules, Plan>(
      rulesOf(namespace),
      () => whole,
      { dryRun: true },
    );
    context.stdout.write(
      `${place}: the rules would be set, ${countText(rules.policies.length, 'policy')} in ${namespace}, ${added.length} of them new, ` +
        `and ${countText(removed.length, 'policy')} would go; berth retention preview ${place} --file ${options.file} tells what they would do\n`,
    );
    return;
  }
  const { policies } = await api.replace<RetentionRules, RetentionRules>(rulesOf(namespace), () => whole);
  context.stdout.write(
    `${place}: the rules are set, ${countText(policies.length, 'policy')} in ${namespace}; berth retention preview ${place} tells what they do\n`,
  );
}

async function show({ api, args: [place = ''], options, context }: Call<object>): Promise<void> {
  const { namespace, repository } = placeOf(place);
  const rules = await api.get<RetentionRules>(rulesOf(namespace));
  const policies = rules.policies.filter(
    ({ repositories }) => repository === undefined || isFor(repositories, repository),
  );
  const shown = { ...rules, policies };
  if (options.json) printJson(shown, context);
  else if (options.quiet) return;
  else if (policies.length === 0) context.stderr.write(`${place} has no rules: everything is kept\n`);
  else context.stdout.write(stringify(shown));
}

async function remove({ api, args: [place = ''], options, context }: Call<object>): Promise<void> {
  const { namespace, repository } = placeOf(place);
  const { policies } = await api.get<RetentionRules>(rulesOf(namespace));
  const going = policies.filter(
    ({ repositories }) => repository === undefined || isFor(repositories, repository),
  );
  if (going.length === 0) throw new CommandError(exitCodes.absent, `${place} has no rules of retention`);
  const change = (current: RetentionRules) =>
    repository === undefined ? { policies: [] } : withPolicy(current, repository, undefined);
  if (!options.dryRun) await confirm(`Remove the rules of retention of ${place}?`, options, context);
  const query = options.dryRun ? { dryRun: true } : {};
  await api.replace<RetentionRules, unknown>(rulesOf(namespace), change, query);
  context.stdout.write(`${place}: the rules ${options.dryRun ? 'would be' : 'are'} removed\n`);
}

async function preview(call: Call<FileOption & { kept?: boolean }>): Promise<void> {
  const { api, args, options, context } = call;
  const [place = ''] = args;
  const { namespace, repository } = placeOf(place);
  const { file } = options;
  const current = file === undefined ? undefined : await api.get<RetentionRules>(rulesOf(namespace));
  const rules = current && file !== undefined ? await wholeOf(place, file, current, context) : undefined;
  const request = { ...(rules && { rules }), ...(repository && { repository }) };
  const only = options.json ? {} : { only: options.kept ? 'kept' : 'removed' };
  const most = options.json || options.quiet ? Number.POSITIVE_INFINITY : itemsShown;
  const { totals, items, more } = await pagesOf(api, namespace, { ...request, ...only }, most);
  if (options.json) printJson({ totals, items }, context);
  else if (options.quiet) {
    for (const item of items)
      context.stdout.write(`${item.repository}${item.tag === null ? `@${item.digest}` : `:${item.tag}`}\n`);
  } else {
    if (items.length > 0) context.stdout.write(itemsText(items));
    if (more) context.stderr.write(`the first ${itemsShown}; --json and --quiet print all\n`);
    if (totals !== null) context.stdout.write(countsText(totals, true));
  }
}

async function pagesOf(api: Api, namespace: string, request: object, most: number) {
  const items: RetentionItem[] = [];
  let totals: Preview['totals'] = null;
  let cursor: string | null = null;
  do {
    const limit = Math.min(largestPage, most - items.length);
    const body = { ...request, limit, ...(cursor === null ? {} : { cursor }) };
    const page: Preview = await api.post<Preview>(path`namespaces/${namespace}/retention-preview`, body);
    items.push(...page.items);
    totals ??= page.totals;
    cursor = page.next;
  } while (cursor !== null && items.length < most);
  return { totals, items, more: cursor !== null };
}

async function run({ api, args: [namespace = ''], options, context }: Call<object>): Promise<void> {
  const where = path`namespaces/${namespace}/retention-runs`;
  const { dryRun = false } = options;
  if (!dryRun && !options.yes) {
    const { totals } = await api.post<Preview>(path`namespaces/${namespace}/retention-preview`, { limit: 1 });
    if (totals !== null) context.stderr.write(countsText(totals, true));
    await confirm(`Remove that from ${namespace}?`, options, context);
  }
  const { id } = await api.post<Operation>(where, { dryRun });
  const operation = await waitFor(api, id ?? 0, context, where);
  if (options.json) printJson(operation, context);
  assertDone(operation);
  const { tags } = operation.report as unknown as RetentionCounts;
  if (options.quiet) context.stdout.write(`${tags.removed}\n`);
  else if (!options.json) context.stdout.write(reportText(operation, context));
}

async function reports({ api, args: [namespace = '', id], options, context }: Call<object>): Promise<void> {
  const where = path`namespaces/${namespace}/retention-runs`;
  if (id !== undefined) {
    if (!/^[1-9]\d{0,14}$/.test(id))
      throw new CommandError(
        exitCodes.wrongUsage,
        `found ${JSON.stringify(id)}, allowed: the number of a run`,
      );
    const operation = await api.get<Operation>(`${where}/${id}`);
    if (options.json) printJson(operation, context);
    else if (operation.state === 'done') context.stdout.write(reportText(operation, context));
    else context.stdout.write(`run ${id} is ${operation.state}\n`);
    return;
  }
  const runs = await api.list<Operation>(where, {}, options.json ? undefined : 30);
  const counts = ({ report }: Operation) => report as unknown as Partial<RetentionCounts> | null;
  const columns = [
    { head: 'ID', text: (one: Operation) => String(one.id) },
    { head: 'STATE', text: (one: Operation) => one.state },
    { head: 'TAGS', text: (one: Operation) => numberText(counts(one)?.tags?.removed ?? 0) },
    { head: 'MANIFESTS', text: (one: Operation) => numberText(counts(one)?.manifests?.removed ?? 0) },
    { head: 'BYTES', text: (one: Operation) => sizeText(counts(one)?.bytes ?? 0) },
    { head: 'DRY RUN', text: ({ report }: Operation) => (report?.dryRun === true ? 'yes' : '') },
    { head: 'STARTED', text: ({ startedAt }: Operation) => distanceText(startedAt) },
    { head: 'BY', text: ({ actor }: Operation) => actor },
  ];
  printList(runs, { columns, key: ({ id: one }) => String(one), none: 'no runs so far' }, options, context);
}
