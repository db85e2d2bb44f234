// `berth events`: what happens to content, as it happens, one line of JSON an event.
import type { Command } from 'commander';
import { parsePattern } from '../../auth/pattern.ts';
import { hookEvents } from '../../storage/webhook-store.ts';
import type { Api, Query } from '../client/api.ts';
import { readEvents } from '../client/event-source.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type Call, define } from './define.ts';

interface EventsOptions {
  readonly repository?: string;
  readonly type?: string;
  readonly after?: string;
  readonly count?: string;
}

const firstPauseMilliseconds = 500;
const longestPauseMilliseconds = 30_000;

export function addEvents(program: Command, context: CommandContext): void {
  define<EventsOptions>(program, context, {
    usage: 'events',
    about: 'follow pushes, deletes and pulls as they happen: one line of JSON an event, until Ctrl-C',
    notes:
      'Only events of repositories that you may read come. A connection that breaks is made again and goes on where it was.\n' +
      '--after goes on after an event that was seen earlier, by its id.',
    examples: [
      'events',
      "events --repository 'acme/**' --type push,delete",
      "events --type push | jq -r '.repository'",
      'events --count 1          wait for one and end',
    ],
    options: (command) =>
      command
        .option('--repository <pattern>', 'only of these: acme/web, acme/web-*, acme/**')
        .option('--type <types>', `only these, with commas between: ${hookEvents.join(', ')}`)
        .option('--after <id>', 'go on after this event')
        .option('--count <number>', 'end after so many'),
    check: (_args, options) => {
      queryOf(options);
      numberOf(options.count, '--count');
      numberOf(options.after, '--after');
    },
    run: follow,
  });
}

function queryOf({ repository, type }: EventsOptions): Query {
  if (repository !== undefined) parsePattern(repository);
  for (const word of type?.split(',') ?? []) {
    if ((hookEvents as readonly string[]).includes(word.trim())) continue;
    const message = `--type: found ${JSON.stringify(word)}, allowed: ${hookEvents.join(', ')}, with commas between`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  return { repository, type };
}

function numberOf(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new CommandError(exitCodes.wrongUsage, `${option}: found ${JSON.stringify(text)}, allowed: a number`);
}

/** Runs until the process is interrupted, the registry refuses, or there were as many as wanted. */
async function follow({ api, options, context }: Call<EventsOptions>): Promise<void> {
  const query = queryOf(options);
  const most = numberOf(options.count, '--count') ?? Number.POSITIVE_INFINITY;
  const place = { last: options.after, printed: 0 };
  let pause = firstPauseMilliseconds;
  while (place.printed < most) {
    try {
      const before = place.last;
      await readOnce(api, query, place, most, context);
      if (place.last !== before) pause = firstPauseMilliseconds;
    } catch (error) {
      // A registry that refuses goes on refusing; one that is being restarted does not.
      if (!isPassing(error) || place.last === undefined) throw error;
    }
    if (place.printed >= most) return;
    context.stderr.write('the connection ended; it is made again\n');
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(longestPauseMilliseconds, pause * 2);
  }
}

async function readOnce(
  api: Api,
  query: Query,
  place: { last: string | undefined; printed: number },
  most: number,
  { stdout, stderr }: CommandContext,
): Promise<void> {
  const headers = place.last === undefined ? {} : { 'last-event-id': place.last };
  const response = await api.stream('events', query, headers);
  try {
    for await (const { name, data } of readEvents(response, (id) => {
      if (place.last === undefined) stderr.write('following; Ctrl-C ends it\n');
      place.last = id;
    })) {
      if (name === 'gap') stderr.write('some of what happened meanwhile is not kept any more\n');
      else if (name === 'end') refuse(data);
      else {
        stdout.write(`${data}\n`);
        place.printed += 1;
        if (place.printed >= most) return;
      }
    }
  } finally {
    response.destroy();
  }
}

/** The last event tells why it is the last. A server that stops may come back. */
function refuse(data: string): void {
  const { reason } = JSON.parse(data) as { readonly reason: string };
  if (!reason.includes('the server stops')) throw new CommandError(exitCodes.notAllowed, reason);
}

function isPassing(error: unknown): boolean {
  return !(error instanceof CommandError) || error.code === exitCodes.unreachable;
}
