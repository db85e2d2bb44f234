// `berth webhook`: who is told of pushes and deletes, and how that goes.
import { type Command, Option } from 'commander';
import { hookEvents, hookFormats } from '../../storage/webhook-store.ts';
import { path } from '../client/api.ts';
import type { WithSecret } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm, readSecretFromInput } from '../output/ask.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { distanceText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';

interface Webhook {
  readonly id: number;
  readonly namespace: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly repositories: string;
  readonly format: string;
  readonly enabled: boolean;
  readonly failingSince: string | null;
  readonly failures: number;
  readonly pausedUntil: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
}

interface AttemptResult {
  readonly status: number | null;
  readonly milliseconds: number;
  readonly error: string | null;
  readonly answer: string | null;
}

interface Delivery extends AttemptResult {
  readonly id: number;
  readonly event: number;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly attempts: number;
  readonly nextAt: string | null;
  readonly lastAt: string;
}

interface Settings {
  readonly url?: string;
  readonly events?: string;
  readonly repositories?: string;
  readonly format?: string;
  readonly secretStdin?: boolean;
}
interface Changes extends Settings {
  readonly enable?: boolean;
  readonly disable?: boolean;
}

/** A table of more is read by nobody; --json gives all. */
const shownByDefault = 50;
const registryNote = 'The namespace system is the whole registry, and for administrators.';

export function addWebhook(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'webhook', 'tell other programs of pushes and deletes', [
    'webhook add acme https://ci.example.com/hook',
    'webhook test acme 7',
    'webhook deliveries acme 7',
  ]);
  addSettingCommands(group, context);
  addLists(group, context);
  addTries(group, context);
}

function addSettingCommands(group: Command, context: CommandContext): void {
  define<Settings>(group, context, {
    usage: 'add <namespace> <url>',
    about: 'tell a URL what happens in a namespace from now on, and print the secret that signs it',
    notes: `${registryNote} The secret is shown once; with --secret-stdin it is one of your own.`,
    examples: [
      'webhook add acme https://ci.example.com/hook',
      "webhook add acme https://ci.example.com/hook --events push --repositories 'acme/web-*'",
      'webhook add system https://mirror.example.com/hook --format cloudevents',
      'webhook add acme https://ci.example.com/hook -q          the secret alone',
    ],
    options: (command) => settingOptions(command),
    prints: 'one',
    quiet: 'the secret alone; the id where the secret is your own',
    check: (_args, options) => void eventsOf(options),
    run: add,
  });
  define<Changes>(group, context, {
    usage: 'set <namespace> <id>',
    about: 'change a webhook; what is not named stays as it is',
    notes: 'A disabled one is told nothing of what happens meanwhile, also later.',
    examples: ['webhook set acme 7 --disable', 'webhook set acme 7 --url https://ci2.example.com/hook'],
    options: (command) =>
      settingOptions(command.option('--url <url>', 'where to send'))
        .option('--enable', 'begin with what happens from now on')
        .option('--disable', 'send nothing'),
    check: ([, id], options) => {
      idOf(id);
      eventsOf(options);
      const { enable, disable } = options;
      if (enable && disable)
        throw new CommandError(exitCodes.wrongUsage, 'say --enable or --disable, not both');
      const given = [options.url, options.events, options.repositories, options.format, options.secretStdin];
      if ([...given, enable, disable].every((value) => value === undefined))
        throw new CommandError(
          exitCodes.wrongUsage,
          'nothing to change: webhook set --help tells what there is',
        );
    },
    run: async ({ api, args: [namespace = '', id], options, context: surroundings }) => {
      const { enable, disable } = options;
      const changes = await settingsOf(options, surroundings);
      const enabled = enable ? { enabled: true } : disable ? { enabled: false } : {};
      const hook = await api.patch<Webhook>(placeOf(namespace, id), { ...changes, ...enabled });
      surroundings.stdout.write(
        `webhook ${hook.id} of ${namespace}: ${stateText(hook)}, ${wantsText(hook)}\n`,
      );
    },
  });
  define(group, context, {
    usage: 'remove <namespace> <id>',
    about: 'remove a webhook with the log of its deliveries',
    examples: ['webhook remove acme 7 --yes'],
    deletes: true,
    check: ([, id]) => void idOf(id),
    run: remove,
  });
}

function settingOptions(command: Command): Command {
  return command
    .option('--events <types>', `what to tell of, with commas between: ${hookEvents.join(', ')}`)
    .option(
      '--repositories <pattern>',
      'of which repositories, as in acme/web-* (default: all of the namespace)',
    )
    .addOption(new Option('--format <format>', 'how it is told').choices([...hookFormats]))
    .option('--secret-stdin', 'read the secret that signs from stdin');
}

function addLists(group: Command, context: CommandContext): void {
  define(group, context, {
    usage: 'list <namespace>',
    about: 'the webhooks of a namespace',
    notes: registryNote,
    examples: ['webhook list acme', 'webhook list system'],
    prints: 'list',
    quiet: 'the ids alone',
    run: list,
  });
  define(group, context, {
    usage: 'show <namespace> <id>',
    about: 'one webhook, and how it is doing',
    examples: ['webhook show acme 7'],
    prints: 'one',
    quiet: 'the id alone',
    check: ([, id]) => void idOf(id),
    run: show,
  });
  define(group, context, {
    usage: 'deliveries <namespace> <id>',
    about: 'what was sent and what was answered; newest first',
    examples: ['webhook deliveries acme 7', 'webhook deliveries acme 7 --json'],
    prints: 'list',
    quiet: 'the ids alone',
    check: ([, id]) => void idOf(id),
    run: deliveries,
  });
}

function addTries(group: Command, context: CommandContext): void {
  define(group, context, {
    usage: 'test <namespace> <id>',
    about: 'send a test now and print the answer; ends with 1 when it did not arrive',
    examples: ['webhook test acme 7'],
    prints: 'one',
    quiet: 'the status alone',
    check: ([, id]) => void idOf(id),
    run: async ({ api, args: [namespace = '', id], options, context: surroundings }) => {
      const result = await api.post<AttemptResult>(`${placeOf(namespace, id)}/test`);
      printAttempt(result, options, surroundings);
    },
  });
  define(group, context, {
    usage: 'redeliver <namespace> <id> <delivery>',
    about: 'send the event of a delivery again, now; ends with 1 when it did not arrive',
    examples: ['webhook redeliver acme 7 1042'],
    prints: 'one',
    quiet: 'the status alone',
    check: ([, id, delivery]) => {
      idOf(id);
      idOf(delivery);
    },
    run: async ({ api, args: [namespace = '', id, delivery], options, context: surroundings }) => {
      const where = `${placeOf(namespace, id)}/deliveries/${idOf(delivery)}/redeliver`;
      printAttempt(await api.post<AttemptResult>(where), options, surroundings);
    },
  });
}

async function add({
  api,
  args: [namespace = '', url = ''],
  options,
  context,
}: Call<Settings>): Promise<void> {
  const { events = ['push', 'delete'], ...rest } = await settingsOf(options, context);
  const where = path`namespaces/${namespace}/webhooks`;
  const added = await api.post<Webhook & Partial<WithSecret>>(where, { url, events, ...rest });
  const { stdout } = context;
  const { id, secret } = added;
  if (options.json) printJson(added, context);
  else if (options.quiet) stdout.write(`${secret ?? id}\n`);
  else {
    stdout.write(`webhook ${id} of ${namespace} added: ${wantsText(added)}\n`);
    if (secret !== undefined) stdout.write(`secret (shown once; it signs every delivery):\n${secret}\n`);
    stdout.write(`  berth webhook test ${namespace} ${id}\n`);
  }
}

async function settingsOf(options: Settings, context: CommandContext) {
  const { url, repositories, format, secretStdin } = options;
  const events = eventsOf(options);
  return {
    ...(url === undefined ? {} : { url }),
    ...(events === undefined ? {} : { events }),
    ...(repositories === undefined ? {} : { repositories }),
    ...(format === undefined ? {} : { format }),
    ...(secretStdin ? { secret: await readSecretFromInput(context) } : {}),
  };
}

async function list({ api, args: [namespace = ''], options, context }: Call<unknown>): Promise<void> {
  const hooks = await api.list<Webhook>(path`namespaces/${namespace}/webhooks`);
  const columns = [
    { head: 'ID', text: ({ id }: Webhook) => String(id) },
    { head: 'STATE', text: stateText },
    { head: 'EVENTS', text: ({ events }: Webhook) => events.join(', ') },
    { head: 'REPOSITORIES', text: ({ repositories }: Webhook) => repositories },
    { head: 'URL', text: ({ url }: Webhook) => url },
  ];
  printList(hooks, { columns, key: ({ id }) => String(id), none: 'no webhooks' }, options, context);
}

async function show({ api, args: [namespace = '', id], options, context }: Call<unknown>): Promise<void> {
  const hook = await api.get<Webhook>(placeOf(namespace, id));
  if (options.json) printJson(hook, context);
  else if (options.quiet) context.stdout.write(`${hook.id}\n`);
  else {
    const { failingSince, failures, pausedUntil } = hook;
    printFacts(
      [
        ['webhook', `${hook.id} of ${namespace}`],
        ['url', hook.url],
        ['events', hook.events.join(', ')],
        ['repositories', hook.repositories],
        ['format', hook.format],
        ['state', stateText(hook)],
        ['failing', failingSince === null ? undefined : `since ${failingSince}, ${failures} attempts`],
        ['next try', pausedUntil === null ? undefined : pausedUntil],
        ['added', `${distanceText(hook.createdAt)} by ${hook.createdBy}`],
      ],
      context,
    );
  }
}

async function deliveries({
  api,
  args: [namespace = '', id],
  options,
  context,
}: Call<unknown>): Promise<void> {
  const most = options.json ? Number.POSITIVE_INFINITY : shownByDefault;
  const found = await api.list<Delivery>(`${placeOf(namespace, id)}/deliveries`, {}, most);
  const columns = [
    { head: 'ID', text: (one: Delivery) => String(one.id) },
    { head: 'EVENT', text: ({ event }: Delivery) => String(event) },
    { head: 'STATE', text: ({ state }: Delivery) => state },
    { head: 'ATTEMPTS', text: ({ attempts }: Delivery) => String(attempts) },
    { head: 'LAST', text: ({ lastAt }: Delivery) => distanceText(lastAt) },
    { head: 'STATUS', text: ({ status }: Delivery) => (status === null ? '-' : String(status)) },
    { head: 'ERROR', text: ({ error }: Delivery) => error ?? '' },
  ];
  printList(found, { columns, key: (one) => String(one.id), none: 'nothing was sent yet' }, options, context);
}

async function remove({ api, args: [namespace = '', id], options, context }: Call<unknown>): Promise<void> {
  const where = placeOf(namespace, id);
  const { url } = await api.get<Webhook>(where);
  const what = `webhook ${id} of ${namespace} (${url})`;
  if (options.dryRun) await api.remove(where, { dryRun: true });
  else {
    await confirm(`Remove ${what} and the log of its deliveries?`, options, context);
    await api.remove(where);
  }
  context.stdout.write(`${what} ${options.dryRun ? 'would be removed' : 'removed'}\n`);
}

function printAttempt(
  result: AttemptResult,
  options: { readonly json?: boolean; readonly quiet?: boolean },
  context: CommandContext,
): void {
  const { status, milliseconds, error, answer } = result;
  if (error !== null) context.finish(exitCodes.failed);
  if (options.json) printJson(result, context);
  else if (options.quiet) context.stdout.write(`${status ?? '-'}\n`);
  else {
    printFacts(
      [
        ['result', error ?? 'delivered'],
        ['status', status === null ? undefined : String(status)],
        ['took', `${milliseconds} ms`],
        ['answer', answer || undefined],
      ],
      context,
    );
  }
}

function stateText({ enabled, failingSince }: Webhook): string {
  if (!enabled) return 'disabled';
  return failingSince === null ? 'enabled' : `failing since ${distanceText(failingSince)}`;
}

function wantsText({ events, repositories, format }: Webhook): string {
  return `${events.join(', ')} on ${repositories}, as ${format}`;
}

function eventsOf({ events }: Settings): readonly string[] | undefined {
  if (events === undefined) return undefined;
  const words = events.split(',').map((word) => word.trim());
  for (const word of words) {
    if ((hookEvents as readonly string[]).includes(word)) continue;
    const message = `--events: found ${JSON.stringify(word)}, allowed: ${hookEvents.join(', ')}, with commas between`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  return words;
}

function placeOf(namespace: string, id: string | undefined): string {
  return path`namespaces/${namespace}/webhooks/${idOf(id)}`;
}

function idOf(text: string | undefined): number {
  if (text !== undefined && /^[1-9]\d{0,14}$/.test(text)) return Number(text);
  const message = `found ${JSON.stringify(text)}, allowed: a number, as berth webhook list and berth webhook deliveries print them`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
