// `berth user`: the people who have an account.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { registryRoles } from '../../storage/account-store.ts';
import { type Api, path } from '../client/api.ts';
import type { User } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm, readAllInput, readSecretFromInput } from '../output/ask.ts';
import { type Ended, endedText, type Stays, staysText } from '../output/ended-access.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { countText, distanceText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';
import { addPasswd } from './passwd.ts';

interface UserOptions {
  readonly fullName?: string;
  readonly email?: string;
  readonly role?: string;
  readonly guest?: boolean;
  readonly passwordStdin?: boolean;
}

interface RemoveOptions {
  readonly deleteRepositories?: boolean;
  readonly transferTo?: string;
}

interface RemovalPlan extends Ended, Stays {
  readonly moves?: readonly { readonly from: string; readonly to: string }[];
}

const roleOption = (): Option =>
  new Option('--role <role>', 'user, auditor (sees everything, changes nothing) or administrator').choices([
    ...registryRoles,
  ]);

export function addUser(program: Command, context: CommandContext): void {
  const user = addGroup(program, 'user', 'people with an account', [
    'user add sam',
    'user list',
    'user disable carol',
  ]);
  addRecords(user, context);
  addPasswd(user, context);
  addEnds(user, context);
  define(user, context, {
    usage: 'import <file>',
    about: 'add the users of an htpasswd file (bcrypt entries)',
    examples: ['user import users.htpasswd --dry-run', 'user import - < users.htpasswd'],
    changesMany: true,
    prints: 'one',
    quiet: 'nothing',
    run: importFile,
  });
}

function addRecords(user: Command, context: CommandContext): void {
  define<UserOptions>(user, context, {
    usage: 'add <name>',
    about: 'add a user',
    notes:
      'Without a password it prints a one-time code, with which the user sets one: berth user passwd NAME --code',
    examples: ['user add sam', 'user add kim --guest', 'user add sam --password-stdin < password'],
    options: (command) =>
      command
        .option('--full-name <name>', 'the name for people')
        .option('--email <address>', 'where to reach them')
        .addOption(roleOption())
        .option('--guest', 'no namespace, and sees only what was granted or is public')
        .option('--password-stdin', 'the password comes by stdin'),
    prints: 'one',
    quiet: 'the one-time code alone (with a password: the name)',
    run: add,
  });
  define<{ search?: string; state?: string }>(user, context, {
    usage: 'list',
    about: 'list the users',
    examples: ['user list', 'user list --state disabled', 'user list -q'],
    options: (command) =>
      command
        .option('--search <text>', 'whose name, full name or email holds it')
        .addOption(new Option('--state <state>', 'only these').choices(['enabled', 'disabled'])),
    prints: 'list',
    run: list,
  });
  define(user, context, {
    usage: 'show <name>',
    about: 'what is known of a user',
    examples: ['user show sam'],
    prints: 'one',
    run: show,
  });
  define<UserOptions>(user, context, {
    usage: 'set <name>',
    about: 'change a user',
    examples: ['user set dave --role administrator', "user set sam --email ''"],
    options: (command) =>
      command
        .option('--full-name <name>', "the name for people; '' removes it")
        .option('--email <address>', "where to reach them; '' removes it")
        .addOption(roleOption())
        .option('--guest', 'make a guest of them')
        .option('--no-guest', 'no guest any more'),
    prints: 'one',
    quiet: 'nothing',
    check: (_args, options) => {
      if (Object.keys(changesOf(options)).length > 0) return;
      const message = 'nothing to change: give --full-name, --email, --role, --guest or --no-guest';
      throw new CommandError(exitCodes.wrongUsage, message);
    },
    run: set,
  });
}

function addEnds(user: Command, context: CommandContext): void {
  define(user, context, {
    usage: 'disable <name>',
    about: 'end all access of a user from the next request on',
    notes: 'Robots that the user made stay, and so do the repositories.',
    examples: ['user disable carol'],
    prints: 'one',
    quiet: 'nothing',
    run: disable,
  });
  define(user, context, {
    usage: 'enable <name>',
    about: 'let a disabled user in again',
    examples: ['user enable carol'],
    run: async ({ api, args: [name = ''], context: { stdout } }) => {
      await api.post(path`users/${name}/enable`);
      stdout.write(`user ${name} enabled\n`);
    },
  });
  define<RemoveOptions>(user, context, {
    usage: 'remove <name>',
    about: 'remove a user; the name stays taken',
    examples: [
      'user remove carol',
      'user remove carol --transfer-to acme --dry-run',
      'user remove carol --delete-repositories --yes',
    ],
    options: (command) =>
      command
        .option('--transfer-to <namespace>', 'move the repositories of the own namespace there')
        .option(
          '--delete-repositories',
          'with the repositories of the own namespace, restorable for a while',
        ),
    deletes: true,
    check: (_args, { deleteRepositories, transferTo }) => {
      if (deleteRepositories && transferTo !== undefined)
        throw new CommandError(exitCodes.wrongUsage, 'give --transfer-to or --delete-repositories, not both');
    },
    run: remove,
  });
}

async function add({ api, args: [name = ''], options, context }: Call<UserOptions>): Promise<void> {
  const password = options.passwordStdin ? await readSecretFromInput(context) : undefined;
  const { fullName, email, role, guest } = options;
  const added = await api.post<User & { code?: string; adopted?: number }>('users', {
    name,
    fullName,
    email,
    role,
    guest,
    password,
  });
  const { stdout } = context;
  await noteOpen(api, context);
  if (options.json) printJson(added, context);
  else if (options.quiet) stdout.write(`${added.code ?? added.name}\n`);
  else {
    stdout.write(`user ${name} added${await namespaceText(api, added)}\n`);
    if (added.code !== undefined) {
      stdout.write(
        `one-time code, good for 72 hours (berth user passwd ${name} --code asks for it):\n${added.code}\n`,
      );
    }
  }
}

/** Whoever adds the first user on their own machine expects to be asked for a password from then on. */
async function noteOpen(api: Api, { stderr }: CommandContext): Promise<void> {
  if (api.door.folder === undefined) return;
  const { mode } = await api.get<{ mode: 'open' | 'token' }>('status');
  if (mode === 'token') return;
  stderr.write(
    'note: this registry is open. It asks for a sign-in from its next start on, unless access.mode is open\n',
  );
}

async function namespaceText(api: Api, { name, guest }: User): Promise<string> {
  if (guest) return ', a guest';
  // access.personalNamespaces may be off: the decision itself tells.
  const { role } = await api.get<{ role: string | null }>('access', {
    subject: name,
    repository: `${name}/any`,
  });
  return role === 'admin' ? `; namespace ${name}/ is theirs` : '';
}

async function list({ api, options, context }: Call<{ search?: string; state?: string }>): Promise<void> {
  const { search: q, state } = options;
  const users = await api.list<User>('users', { q, state });
  const columns = [
    { head: 'NAME', text: ({ name }: User) => name },
    { head: 'FULL NAME', text: ({ fullName }: User) => fullName ?? '' },
    { head: 'EMAIL', text: ({ email }: User) => email ?? '' },
    { head: 'ROLE', text: ({ role, guest }: User) => (guest ? 'guest' : role) },
    { head: 'STATE', text: stateText },
    { head: 'ADDED', text: ({ createdAt }: User) => distanceText(createdAt) },
  ];
  printList(users, { columns, key: ({ name }) => name, none: 'no users' }, options, context);
}

async function show({ api, args: [name = ''], options, context }: Call<unknown>): Promise<void> {
  printUser(await api.get<User>(path`users/${name}`), options, context);
}

async function set({ api, args: [name = ''], options, context }: Call<UserOptions>): Promise<void> {
  const changed = await api.patch<User>(path`users/${name}`, changesOf(options));
  if (!options.quiet) printUser(changed, options, context);
}

function changesOf({ fullName, email, role, guest }: UserOptions): Record<string, unknown> {
  const orNull = (text: string | undefined) => (text === '' ? null : text);
  const all = { fullName: orNull(fullName), email: orNull(email), role, guest };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function printUser(user: User, options: { json?: boolean; quiet?: boolean }, context: CommandContext): void {
  if (options.json) printJson(user, context);
  else if (options.quiet) context.stdout.write(`${user.name}\n`);
  else {
    printFacts(
      [
        ['name', user.name],
        ['full name', user.fullName ?? undefined],
        ['email', user.email ?? undefined],
        ['role', user.guest ? `${user.role}, guest` : user.role],
        ['state', stateText(user)],
        ['password', user.hasPassword ? 'set' : 'none yet'],
        ['added', distanceText(user.createdAt)],
      ],
      context,
    );
  }
}

async function disable({ api, args: [name = ''], options, context }: Call<unknown>): Promise<void> {
  const left = await api.post<{ ended: Ended; stays: Stays }>(path`users/${name}/disable`);
  if (options.json) printJson(left, context);
  else if (!options.quiet) {
    context.stdout.write(`user ${name} disabled. From the next request: ${endedText(left.ended)}\n`);
    for (const line of staysText(name, left.stays)) context.stdout.write(`${line}\n`);
  }
}

async function remove({ api, args: [name = ''], options, context }: Call<RemoveOptions>): Promise<void> {
  const { deleteRepositories, transferTo } = options;
  const where = path`users/${name}`;
  const plan = await api.remove<RemovalPlan>(where, { deleteRepositories, transferTo, dryRun: true });
  const count = plan.repositories ?? 0;
  const moves = plan.moves ?? [];
  if (options.dryRun) for (const { from, to } of moves) context.stdout.write(`${from} would become ${to}\n`);
  const goes = transferTo === undefined ? '' : ` (moved to ${transferTo})`;
  const repositories = count === 0 ? '' : ` and ${countText(count, 'repository')}${goes}`;
  if (!options.dryRun) {
    await confirm(`Remove user ${name} (${endedText(plan)})${repositories}?`, options, context);
    await api.remove(where, { deleteRepositories, transferTo });
  }
  const word = options.dryRun ? 'would be removed' : 'removed';
  context.stdout.write(`user ${name}${repositories} ${word}: ${endedText(plan)}. The name stays taken\n`);
  for (const line of staysText(name, { robots: plan.robots })) context.stdout.write(`${line}\n`);
}

function stateText({ enabled, disabledAt }: User): string {
  return enabled ? 'enabled' : `disabled ${distanceText(disabledAt, '')}`.trim();
}

interface Import {
  readonly added: readonly string[];
  readonly skipped: readonly {
    readonly line: number;
    readonly name: string | null;
    readonly reason: string;
  }[];
}

async function importFile({ api, args: [file = ''], options, context }: Call<unknown>): Promise<void> {
  const text = await readText(file, context);
  const query = options.dryRun ? { dryRun: true } : {};
  const { added, skipped, ...plan } = await api.postText<Import>('users/import', text, query);
  const { stdout } = context;
  if (options.json) printJson({ ...plan, added, skipped }, context);
  else if (!options.quiet) {
    const count = added.length + skipped.length;
    const left = skipped.length === 0 ? '' : `, ${skipped.length} left out`;
    const word = options.dryRun ? 'would be added' : 'added';
    stdout.write(`${countText(count, 'user')}: ${added.length} ${word}${left}\n`);
    for (const { line, name, reason } of skipped) {
      stdout.write(`  line ${line}  ${name === null ? '' : `${name}: `}${reason}\n`);
    }
  }
  if (skipped.length > 0) context.finish(exitCodes.found);
}

async function readText(file: string, context: CommandContext): Promise<string> {
  if (file === '-') return readAllInput(context);
  try {
    return readFileSync(resolve(context.folder, file), 'utf8');
  } catch (error) {
    throw new CommandError(exitCodes.wrongUsage, `${file} cannot be read: ${(error as Error).message}`);
  }
}
