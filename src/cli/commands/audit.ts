// `berth audit`: what was changed, by whom and from where, and what was refused.
import type { Command } from 'commander';
import type { Api, Query } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { parseSince } from '../output/moments.ts';
import { printList, tableText } from '../output/print.ts';
import { shortenDigests } from '../output/text.ts';
import { type Call, define } from './define.ts';

interface AuditOptions {
  readonly actor?: string;
  readonly action?: string;
  readonly object?: string;
  readonly since?: string;
  readonly until?: string;
  readonly namespace?: string;
  readonly refused?: boolean;
  readonly follow?: boolean;
  readonly limit?: string;
}

interface AuditEvent {
  readonly id: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly object: string | null;
  readonly outcome: 'allowed' | 'refused';
  readonly address: string | null;
  /** `count`: of the sign-ins of one minute, which are one row. */
  readonly detail: { readonly count?: number } | null;
}

/** A table of more is read by nobody; --json gives all. */
const shownByDefault = 100;
const followMilliseconds = 1000;

export function addAudit(program: Command, context: CommandContext): void {
  define<AuditOptions>(program, context, {
    usage: 'audit',
    about: 'what was done, by whom, and what was refused; newest first',
    notes:
      'A table shows the newest 100 (--limit); --json gives all of them. --follow prints what happens from now on, one line\n' +
      'an event, until Ctrl-C. Sign-ins are counted by account, address and minute.',
    examples: [
      'audit --since 24h --refused',
      'audit --actor alice --action grant.set',
      'audit --object acme/web --json',
      'audit --follow --json',
    ],
    options: (command) =>
      command
        .option('--actor <name>', 'who did it: alice, acme+ci, local:0(root)')
        .option('--action <action>', 'what was done, such as push, grant.set or sign-in')
        .option('--object <object>', 'to what: acme/web, user:alice')
        .option('--namespace <namespace>', 'only of this namespace; its admins may see that')
        .option('--since <when>', '24h, 7d or a date')
        .option('--until <when>', 'a date')
        .option('--refused', 'only what was refused')
        .option('--limit <count>', 'at most so many')
        .option('-f, --follow', 'go on with what happens from now on'),
    prints: 'list',
    quiet: 'the ids alone',
    check: (_args, options) => {
      queryOf(options);
      limitOf(options);
    },
    run: audit,
  });
}

async function audit({ api, options, context }: Call<AuditOptions>): Promise<void> {
  const query = queryOf(options);
  if (options.follow) await follow(api, query, options, context);
  const limit = limitOf(options) ?? (options.json ? Number.POSITIVE_INFINITY : shownByDefault);
  const events = await api.list<AuditEvent>('audit', query, limit);
  printList(events, { columns, key: ({ id }) => String(id), none: 'nothing was found' }, options, context);
  if (events.length === shownByDefault && options.limit === undefined && !options.json) {
    context.stderr.write(`these are the newest ${shownByDefault}; --limit or --since says otherwise\n`);
  }
}

const columns = [
  { head: 'TIME', text: timeText },
  { head: 'ACTOR', text: ({ actor }: AuditEvent) => actor },
  { head: 'FROM', text: ({ address }: AuditEvent) => address ?? '' },
  { head: 'ACTION', text: actionText },
  { head: 'OBJECT', text: ({ object }: AuditEvent) => object ?? '' },
  { head: 'OUTCOME', text: ({ outcome }: AuditEvent) => outcome },
];

/** Sign-ins have the minute that they are counted in. */
function timeText({ at, detail }: AuditEvent): string {
  return at.slice(0, detail?.count === undefined ? 19 : 16).replace('T', ' ');
}

function actionText({ action, detail }: AuditEvent): string {
  const count = detail?.count ?? 1;
  return count === 1 ? action : `${action}, ${count} times`;
}

function queryOf(options: AuditOptions): Query {
  const { actor, action, object, namespace, since, until, refused } = options;
  return {
    actor,
    action,
    object,
    namespace,
    outcome: refused ? 'refused' : undefined,
    since: since === undefined ? undefined : parseSince(since, '--since'),
    until: until === undefined ? undefined : parseSince(until, '--until'),
  };
}

function limitOf({ limit }: AuditOptions): number | undefined {
  if (limit === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(limit)) return Number(limit);
  throw new CommandError(
    exitCodes.wrongUsage,
    `--limit: found ${JSON.stringify(limit)}, allowed: a number from 1 on`,
  );
}

/** Runs until the process is interrupted. */
async function follow(
  api: Api,
  query: Query,
  options: AuditOptions & { readonly json?: boolean; readonly trunc?: boolean },
  { stdout, stderr }: CommandContext,
): Promise<never> {
  const short = stdout.isTTY === true && options.trunc !== false;
  const [newest] = await api.list<AuditEvent>('audit', query, 1);
  let last = newest?.id ?? 0;
  stderr.write('following; Ctrl-C ends it\n');
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, followMilliseconds));
    for (const event of (await listSince(api, query, last)).reverse()) {
      last = event.id;
      const cells = columns.map((column) => column.text(event));
      const line = tableText(short ? cells.map(shortenDigests) : cells, []);
      stdout.write(options.json ? `${JSON.stringify(event)}\n` : line);
    }
  }
}

/** Newest first, without those up to `last`. */
async function listSince(api: Api, query: Query, last: number): Promise<AuditEvent[]> {
  for (let size = 100; ; size *= 10) {
    const events = await api.list<AuditEvent>('audit', query, size);
    const fresh = events.filter(({ id }) => id > last);
    // The page reaches back to what was printed, or to the beginning.
    if (fresh.length < events.length || events.length < size) return fresh;
  }
}
