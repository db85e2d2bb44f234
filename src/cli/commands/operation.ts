// `berth operation`: long work of a registry (collection, scrub, backup, import), whoever began it.
import { type Command, Option } from 'commander';
import { path } from '../client/api.ts';
import type { Operation } from '../client/care-shapes.ts';
import { assertDone, waitFor } from '../client/operations.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { exitCodeFor, reportText } from '../output/care-reports.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { amountText, durationText } from '../output/progress.ts';
import { distanceText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';

interface ListOptions {
  readonly kind?: string;
  readonly state?: string;
}

const kinds = ['gc', 'scrub', 'backup', 'import', 'retention'];
const states = ['running', 'paused', 'done', 'failed', 'cancelled', 'interrupted'];
/** A table of more is read by nobody; --json gives all. */
const shownByDefault = 50;

export function addOperation(program: Command, context: CommandContext): void {
  const group = addGroup(
    program,
    'operation',
    'long work of a registry: collections, scrubs, backups, imports',
    ['operation list --state running', 'operation show 42 --follow', 'operation pause 42'],
  );
  define<ListOptions>(group, context, {
    usage: 'list',
    about: 'what runs and what has run; newest first',
    examples: ['operation list', 'operation list --kind backup --state failed'],
    options: (command) =>
      command
        .addOption(new Option('--kind <kind>', 'only of this kind').choices(kinds))
        .addOption(new Option('--state <state>', 'only in this state').choices(states)),
    prints: 'list',
    quiet: 'the ids alone',
    run: list,
  });
  define<{ follow?: boolean }>(group, context, {
    usage: 'show <id>',
    about: 'one operation: how far it is, or what it did',
    notes: 'With --follow it ends with the exit code of the command that began the operation.',
    examples: ['operation show 42', 'operation show 42 --follow'],
    options: (command) => command.option('-f, --follow', 'wait for its end and show how far it is'),
    prints: 'one',
    quiet: 'the state alone',
    check: ([id]) => void idOf(id),
    run: show,
  });
  const verbs = [
    ['pause', 'stop it at its next step, until it is resumed', 'paused'],
    ['resume', 'let a paused operation go on', 'goes on'],
    ['cancel', 'end it at its next step; what it did so far stays done', 'is cancelled'],
  ] as const;
  for (const [verb, about, done] of verbs) {
    define(group, context, {
      usage: `${verb} <id>`,
      about,
      examples: [`operation ${verb} 42`],
      check: ([id]) => void idOf(id),
      run: async ({ api, args: [id], context: { stdout } }) => {
        await api.post(path`operations/${idOf(id)}/${verb}`);
        stdout.write(`operation ${id} ${done}\n`);
      },
    });
  }
}

async function list({ api, options, context }: Call<ListOptions>): Promise<void> {
  const { kind, state } = options;
  const most = options.json ? Number.POSITIVE_INFINITY : shownByDefault;
  const operations = await api.list<Operation>('operations', { kind, state }, most);
  const columns = [
    { head: 'ID', text: ({ id }: Operation) => String(id) },
    { head: 'KIND', text: (one: Operation) => one.kind },
    { head: 'STATE', text: (one: Operation) => one.state },
    { head: 'PROGRESS', text: farText },
    { head: 'STARTED', text: ({ startedAt }: Operation) => distanceText(startedAt) },
    { head: 'TOOK', text: tookText },
    { head: 'BY', text: ({ actor }: Operation) => actor },
  ];
  printList(operations, { columns, key: ({ id }) => String(id), none: 'no operations' }, options, context);
}

async function show({ api, args, options, context }: Call<{ follow?: boolean }>): Promise<void> {
  const id = idOf(args[0]);
  const operation = options.follow
    ? await waitFor(api, id, context)
    : await api.get<Operation>(path`operations/${id}`);
  if (options.json) printJson(operation, context);
  else if (options.quiet) context.stdout.write(`${operation.state}\n`);
  else if (!options.follow) printOperation(operation, context);
  if (!options.follow) return;
  assertDone(operation);
  context.finish(exitCodeFor(operation));
  if (!options.json && !options.quiet) context.stdout.write(reportText(operation, context));
}

function printOperation(operation: Operation, context: CommandContext): void {
  const { id, kind, state, actor, request, startedAt, endedAt, remainingSeconds, report } = operation;
  const asked = Object.entries(request)
    .filter(([, value]) => value !== false && value !== null)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  printFacts(
    [
      ['operation', String(id)],
      ['kind', kind],
      ['state', state],
      ['asked for', asked.length === 0 ? undefined : asked.join(', ')],
      ['by', actor],
      ['started', `${distanceText(startedAt)} (${startedAt})`],
      ['took', endedAt === null ? undefined : tookText(operation)],
      ['progress', farText(operation) || undefined],
      ['left', remainingSeconds === null ? undefined : durationText(remainingSeconds)],
      ['error', typeof report?.error === 'string' ? report.error : undefined],
    ],
    context,
  );
  if (state === 'done') context.stdout.write(`\n${reportText(operation, context)}`);
}

function farText({ kind, done, total }: Operation): string {
  return done === null ? '' : amountText(kind, done, total);
}

function tookText({ startedAt, endedAt }: Operation): string {
  return endedAt === null ? '' : durationText((Date.parse(endedAt) - Date.parse(startedAt)) / 1000);
}

function idOf(text: string | undefined): number {
  if (text !== undefined && /^[1-9]\d{0,14}$/.test(text)) return Number(text);
  const message = `found ${JSON.stringify(text)}, allowed: the number of an operation (berth operation list)`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
