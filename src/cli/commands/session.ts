// `berth session`: where people are signed in: browsers, and the logins that docker stores.
import type { Command } from 'commander';
import { path } from '../client/api.ts';
import type { Session } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { confirm } from '../output/ask.ts';
import { printList } from '../output/print.ts';
import { countText, distanceText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';
import { findMe } from './token.ts';

export function addSession(program: Command, context: CommandContext): void {
  const session = addGroup(
    program,
    'session',
    'where people are signed in: browsers, and logins that docker stored',
    ['session list carol', 'session remove carol'],
  );
  define(session, context, {
    usage: 'list [user]',
    about: 'list sessions, your own or those of a user',
    examples: ['session list', 'session list carol'],
    prints: 'list',
    quiet: 'the ids alone',
    run: list,
  });
  define(session, context, {
    usage: 'remove [user] [id]',
    about: 'sign a user out everywhere, or end one session',
    notes: 'Without a user it is about your own sessions; a number alone is the id of one of those.',
    examples: ['session remove carol --yes', 'session remove carol 17', 'session remove 17'],
    deletes: true,
    run: remove,
  });
}

async function list({ api, args: [user], options, context }: Call<unknown>): Promise<void> {
  const name = user ?? (await findMe(api));
  const sessions = await api.list<Session>(path`users/${name}/sessions`);
  const columns = [
    { head: 'ID', text: ({ id }: Session) => String(id) },
    { head: 'CLIENT', text: clientText },
    { head: 'SIGNED IN', text: ({ createdAt }: Session) => distanceText(createdAt) },
    { head: 'USED', text: ({ lastUsedAt }: Session) => distanceText(lastUsedAt) },
    { head: 'FROM', text: ({ lastUsedFrom }: Session) => lastUsedFrom ?? '' },
    { head: 'ENDS', text: ({ expiresAt }: Session) => distanceText(expiresAt) },
  ];
  const none = `${name} is signed in nowhere`;
  printList(sessions, { columns, key: ({ id }) => String(id), none }, options, context);
}

async function remove({ api, args, options, context }: Call<unknown>): Promise<void> {
  const { user, id } = whichOf(args);
  const name = user ?? (await findMe(api));
  const where = path`users/${name}/sessions`;
  if (id !== undefined) {
    if (options.dryRun) await api.remove(`${where}/${path`${id}`}`, { dryRun: true });
    else {
      await confirm(`End session ${id} of ${name}?`, options, context);
      await api.remove(`${where}/${path`${id}`}`);
    }
    context.stdout.write(`session ${id} of ${name} ${options.dryRun ? 'would end' : 'ended'}\n`);
    return;
  }
  const sessions = await api.list<Session>(where);
  if (options.dryRun) await api.remove(where, { dryRun: true });
  else {
    await confirm(`End ${countText(sessions.length, 'session')} of ${name}?`, options, context);
    await api.remove(where);
  }
  const word = options.dryRun ? 'would be' : 'is';
  context.stdout.write(`${name} ${word} signed out of ${countText(sessions.length, 'session')}\n`);
}

/** [user] [id]: a number alone is an id. */
function whichOf([first, second]: readonly string[]): { user: string | undefined; id: string | undefined } {
  if (second === undefined && /^\d+$/.test(first ?? '')) return { user: undefined, id: first };
  return { user: first, id: second };
}

function clientText({ kind, client }: Session): string {
  const name = client.length > 40 ? `${client.slice(0, 40)}…` : client;
  return kind === 'refresh' ? `stored login ${name}`.trim() : name;
}
