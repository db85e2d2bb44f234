// `berth quota`: how much a namespace, or the registry, may hold.
import type { Command } from 'commander';
import { size } from '../../config/kinds.ts';
import { type Api, path } from '../client/api.ts';
import type { QuotaUse, QuotaValue } from '../client/care-shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { printJson, printList } from '../output/print.ts';
import { numberText } from '../output/progress.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface SetOptions {
  readonly size?: string;
  readonly repositories?: string;
}

/** As in grants. */
const registry = '**';
const sizes = size({ unlimited: true });

export function addQuota(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'quota', 'how much namespaces, and the registry, may hold', [
    'quota show',
    'quota set acme --size 50GiB',
    'quota remove acme',
  ]);
  define(group, context, {
    usage: 'show [namespace]',
    about: 'quotas and how much of them is used',
    notes: `${registry} is the registry as a whole. Each blob counts once in a namespace, however many images have it.`,
    examples: ['quota show', 'quota show acme'],
    prints: 'list',
    run: show,
  });
  define<SetOptions>(group, context, {
    usage: 'set <namespace>',
    about: `set the quota of a namespace, or of the registry (${registry}); pushes that do not fit are refused`,
    notes: 'What is not named stays as it is. A quota below what is used deletes nothing.',
    examples: [
      'quota set acme --size 50GiB',
      'quota set acme --repositories 100',
      "quota set '**' --size 2TiB",
    ],
    options: (command) =>
      command
        .option('--size <size>', 'such as 50GiB, or unlimited')
        .option('--repositories <count>', 'a number, or unlimited'),
    check: (_args, options) => {
      if (options.size === undefined && options.repositories === undefined)
        throw new CommandError(exitCodes.wrongUsage, 'nothing to change: give --size or --repositories');
      bytesOf(options);
      repositoriesOf(options);
    },
    run: set,
  });
  define(group, context, {
    usage: 'remove <namespace>',
    about: 'let the settings (quotas.user, quotas.organization, quotas.registry) decide again',
    examples: ['quota remove acme'],
    run: async ({ api, args: [namespace = ''], context: { stdout } }) => {
      await api.put(placeOf(namespace), { bytes: null, repositories: null });
      stdout.write(`${namespace}: ${limitText(await find(api, namespace))}\n`);
    },
  });
}

async function show({ api, args: [namespace], options, context }: Call<object>): Promise<void> {
  const uses = namespace === undefined ? await api.list<QuotaUse>('quotas') : [await find(api, namespace)];
  const columns = [
    { head: 'NAMESPACE', text: nameOf },
    { head: 'USED', text: ({ used }: QuotaUse) => sizeText(used.bytes) },
    { head: 'QUOTA', text: ({ limit }: QuotaUse) => valueText(limit.bytes, sizeText) },
    { head: 'REPOSITORIES', text: ({ used }: QuotaUse) => numberText(used.repositories) },
    { head: 'ALLOWED', text: ({ limit }: QuotaUse) => valueText(limit.repositories, numberText) },
    { head: 'BY', text: sourceText },
  ];
  if (namespace !== undefined && options.json) printJson(uses[0], context);
  else printList(uses, { columns, key: nameOf, none: 'no namespaces' }, options, context);
}

async function set({ api, args: [namespace = ''], options, context }: Call<SetOptions>): Promise<void> {
  const { quota } = await find(api, namespace);
  const bytes = bytesOf(options) ?? quota.bytes;
  const repositories = repositoriesOf(options) ?? quota.repositories;
  await api.put(placeOf(namespace), { bytes, repositories });
  const use = await find(api, namespace);
  context.stdout.write(`${namespace}: ${limitText(use)}; ${sizeText(use.used.bytes)} used\n`);
  const { limit, used } = use;
  if (typeof limit.bytes === 'number' && used.bytes > limit.bytes)
    context.stderr.write(
      'that is less than is used: pushes are refused until something is deleted and collected\n',
    );
}

async function find(api: Api, namespace: string): Promise<QuotaUse> {
  if (namespace !== registry) return api.get<QuotaUse>(path`namespaces/${namespace}/usage`);
  // The list begins with the registry.
  const [whole] = await api.list<QuotaUse>('quotas', {}, 1);
  if (whole !== undefined) return whole;
  throw new CommandError(exitCodes.failed, 'the registry tells no quota of its own');
}

function placeOf(namespace: string): string {
  return namespace === registry ? 'quota' : path`namespaces/${namespace}/quota`;
}

function nameOf({ namespace }: QuotaUse): string {
  return namespace ?? registry;
}

function limitText({ limit }: QuotaUse): string {
  const repositories = valueText(limit.repositories, numberText);
  return `at most ${valueText(limit.bytes, sizeText)}, repositories: ${repositories}`.replace(
    'at most unlimited',
    'unlimited',
  );
}

function valueText(value: QuotaValue, text: (value: number) => string): string {
  return typeof value === 'number' ? text(value) : 'unlimited';
}

function sourceText({ quota }: QuotaUse): string {
  return quota.bytes === null && quota.repositories === null ? 'settings' : 'quota';
}

function bytesOf({ size: text }: SetOptions): number | 'unlimited' | undefined {
  if (text === undefined) return undefined;
  const bytes = sizes.parse(text);
  if (bytes !== undefined) return Number.isFinite(bytes) ? bytes : 'unlimited';
  throw new CommandError(
    exitCodes.wrongUsage,
    `--size: found ${JSON.stringify(text)}, allowed: ${sizes.allowed}`,
  );
}

function repositoriesOf({ repositories: text }: SetOptions): number | 'unlimited' | undefined {
  if (text === undefined || text === 'unlimited') return text;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const message = `--repositories: found ${JSON.stringify(text)}, allowed: a number, or unlimited`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
