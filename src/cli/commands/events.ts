// `berth events`: what happens to content, as it happens, one line of JSON an event.
import type { Command } from 'commander';
import { parsePattern } from '../../auth/pattern.ts';
import { hookEvents } from '../../storage/webhook-store.ts';
import type { Api, Query } from '../client/api.ts';
import { readEvents, type StreamListener } from '../client/event-source.ts';
import { AnswerError, ProblemError } from '../client/problem.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { put } from '../output/stream.ts';
import { escapeControls } from '../output/text.ts';
import { type Call, define } from './define.ts';

interface EventsOptions {
  readonly repository?: string;
  readonly type?: string;
  readonly after?: string;
  readonly count?: string;
}

const firstPauseMilliseconds = 500;
const longestPauseMilliseconds = 30_000;
/** Twice nothing is nothing: whoever asks for no pause would be asked without end. */
const shortestRetryMilliseconds = 100;
/** More than that no registry is believed. */
const longestRetryMilliseconds = 600_000;

export function addEvents(program: Command, context: CommandContext): void {
  define<EventsOptions>(program, context, {
    usage: 'events',
    about: 'follow pushes, deletes and pulls as they happen: one line of JSON an event, until Ctrl-C',
    notes:
      'Only events of repositories that you may read come. A connection that breaks is made again and goes on where it was,\n' +
      'also where a proxy answers 502, 503 or 504 meanwhile. It ends where the registry refuses.\n' +
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

/** How far the stream was read, and how long to wait before it is asked for again. */
interface Place {
  last: string | undefined;
  printed: number;
  /** What the registry asks for, in milliseconds. */
  retry: number;
  pause: number;
}

/** Runs until the process is interrupted, the registry refuses, or there were as many as wanted. */
async function follow({ api, options, context }: Call<EventsOptions>): Promise<void> {
  const query = queryOf(options);
  const most = numberOf(options.count, '--count') ?? Number.POSITIVE_INFINITY;
  const first = firstPauseMilliseconds;
  const place: Place = { last: options.after, printed: 0, retry: first, pause: first };
  while (place.printed < most) {
    let why = 'the connection ended';
    try {
      await readOnce(api, query, place, most, context);
    } catch (error) {
      if (!isPassing(error) || place.last === undefined) throw error;
      why = reasonOf(error) ?? why;
    }
    if (place.printed >= most) return;
    context.stderr.write(`${escapeControls(why)}; it is made again in ${Math.ceil(place.pause / 1000)} s\n`);
    await new Promise((resolve) => setTimeout(resolve, place.pause));
    place.pause = Math.min(Math.max(longestPauseMilliseconds, place.retry), place.pause * 2);
  }
}

async function readOnce(
  api: Api,
  query: Query,
  place: Place,
  most: number,
  { stdout, stderr }: CommandContext,
): Promise<void> {
  const headers = place.last === undefined ? {} : { 'last-event-id': place.last };
  const response = await api.stream('events', query, headers);
  const listener: StreamListener = {
    retry: (milliseconds) => {
      place.retry = Math.min(longestRetryMilliseconds, Math.max(shortestRetryMilliseconds, milliseconds));
    },
    id: (id) => {
      if (place.last === undefined) stderr.write('following; Ctrl-C ends it\n');
      place.last = id;
      // It was there: what fails next is a failure of its own.
      place.pause = place.retry;
    },
  };
  try {
    for await (const { name, data } of readEvents(response, listener)) {
      if (name === 'gap') stderr.write('some of what happened meanwhile is not kept any more\n');
      else if (name === 'end') refuse(data);
      else {
        await put(stdout, `${data}\n`);
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

/** Why there is no stream, as a clause; undefined where it began and broke off. */
function reasonOf(error: unknown): string | undefined {
  if (error instanceof AnswerError && !(error instanceof ProblemError)) {
    return `the connection failed, with ${error.status} of a proxy and not of the registry`;
  }
  return error instanceof CommandError ? `the connection failed (${error.message})` : undefined;
}

/** A registry that refuses goes on refusing; one that is being restarted does not, nor does the proxy before it. */
function isPassing(error: unknown): boolean {
  if (error instanceof AnswerError) return error.status >= 500;
  return !(error instanceof CommandError) || error.code === exitCodes.unreachable;
}
