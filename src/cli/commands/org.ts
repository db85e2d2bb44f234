// `berth org`: organizations, the namespaces that several people own, and who is in them.
import { type Command, Option } from 'commander';
import { visibilities } from '../../storage/metadata-store.ts';
import { path } from '../client/api.ts';
import type { Member, Namespace, NamespaceWithUsage, Team } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { countText, distanceText, listText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface OrgOptions {
  readonly visibility?: string;
  readonly description?: string;
}

const byDefault = 'default';

const visibility = (words: string): Option => new Option('--visibility <visibility>', words);

export function addOrg(program: Command, context: CommandContext): void {
  const org = addGroup(program, 'org', 'organizations and their members', [
    'org add acme',
    'org set acme --visibility internal',
    'org member add acme alice --owner',
  ]);
  define<OrgOptions>(org, context, {
    usage: 'add <name>',
    about: 'found an organization; whoever signed in becomes its owner',
    examples: ['org add acme', 'org add mirror --visibility public'],
    options: (command) =>
      command.addOption(visibility('of new repositories in it').choices([...visibilities])),
    prints: 'one',
    quiet: 'the name alone',
    run: add,
  });
  define(org, context, {
    usage: 'list',
    about: 'list the organizations that you may see',
    examples: ['org list', 'org list --json'],
    prints: 'list',
    run: list,
  });
  define(org, context, {
    usage: 'show <name>',
    about: 'an organization with its members and teams',
    examples: ['org show acme'],
    prints: 'one',
    quiet: 'the name alone',
    run: show,
  });
  addChanges(org, context);
  addMembers(org, context);
}

function addChanges(org: Command, context: CommandContext): void {
  define<OrgOptions>(org, context, {
    usage: 'set <name>',
    about: 'change an organization (or the namespace of a user)',
    examples: ['org set acme --visibility internal', "org set acme --description 'The web team'"],
    options: (command) =>
      command
        .addOption(
          visibility(`of new repositories in it; ${byDefault}: as the registry has it`).choices([
            ...visibilities,
            byDefault,
          ]),
        )
        .option('--description <text>', 'what it is for'),
    prints: 'one',
    quiet: 'nothing',
    check: (_args, options) => {
      if (options.visibility !== undefined || options.description !== undefined) return;
      throw new CommandError(exitCodes.wrongUsage, 'nothing to change: give --visibility or --description');
    },
    run: set,
  });
  define(org, context, {
    usage: 'remove <name>',
    about: 'remove an organization; its repositories are restorable for a while, the name stays taken',
    examples: ['org remove acme --dry-run', 'org remove acme --yes'],
    deletes: true,
    run: remove,
  });
  define(org, context, {
    usage: 'restore <name>',
    about: 'bring a removed organization back, with its members and the repositories that went with it',
    notes: 'Grants, teams, robots and tokens went for good: who may do what is decided anew.',
    examples: ['org restore acme'],
    prints: 'one',
    quiet: 'nothing',
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const restored = await api.post<{ repositories: number }>(path`organizations/${name}/restore`);
      if (options.json) printJson(restored, surroundings);
      else if (!options.quiet)
        surroundings.stdout.write(
          `organization ${name} is back with ${countText(restored.repositories, 'repository')}. Its grants, teams and robots are not\n`,
        );
    },
  });
}

function addMembers(org: Command, context: CommandContext): void {
  const member = addGroup(org, 'member', 'who belongs to an organization', [
    'org member add acme alice bob',
    'org member list acme',
  ]);
  define<{ owner?: boolean }>(member, context, {
    usage: 'add <org> <user...>',
    about: 'make users members, or owners with --owner',
    examples: ['org member add acme alice bob', 'org member add lab dave --owner'],
    options: (command) => command.option('--owner', 'as owner, who manages the organization'),
    run: async ({ api, args: [name = '', ...users], options, context: { stdout } }) => {
      const role = options.owner ? 'owner' : 'member';
      for (const user of users) await api.put(path`organizations/${name}/members/${user}`, { role });
      const what = options.owner
        ? users.length === 1
          ? 'an owner'
          : 'owners'
        : users.length === 1
          ? 'a member'
          : 'members';
      stdout.write(`${listText(users)} ${users.length === 1 ? 'is' : 'are'} ${what} of ${name}\n`);
    },
  });
  define(member, context, {
    usage: 'list <org>',
    about: 'list the members',
    examples: ['org member list acme'],
    prints: 'list',
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const members = await api.list<Member>(path`organizations/${name}/members`);
      const columns = [
        { head: 'NAME', text: (one: Member) => one.name },
        { head: 'ROLE', text: ({ role }: Member) => role },
      ];
      const none = `${name} has no members: it belongs to the administrators`;
      printList(members, { columns, key: (one) => one.name, none }, options, surroundings);
    },
  });
  define(member, context, {
    usage: 'remove <org> <user>',
    about: 'take a user out of an organization and its teams',
    examples: ['org member remove acme bob --yes'],
    deletes: true,
    run: async ({ api, args: [name = '', user = ''], options, context: surroundings }) => {
      const where = path`organizations/${name}/members/${user}`;
      if (options.dryRun) await api.remove(where, { dryRun: true });
      else {
        await confirm(`Take ${user} out of ${name} and its teams?`, options, surroundings);
        await api.remove(where);
      }
      surroundings.stdout.write(
        `${user} ${options.dryRun ? 'would be' : 'is'} out of ${name} and its teams\n`,
      );
    },
  });
}

async function add({ api, args: [name = ''], options, context }: Call<OrgOptions>): Promise<void> {
  const added = await api.post<Namespace & { adopted?: number }>('organizations', {
    name,
    defaultVisibility: options.visibility,
  });
  if (options.json) printJson(added, context);
  else if (options.quiet) context.stdout.write(`${name}\n`);
  else {
    const adopted = added.adopted
      ? ` with ${countText(added.adopted, 'repository')} that were pushed before`
      : '';
    context.stdout.write(`organization ${name} added${adopted}\n`);
  }
}

async function list({ api, options, context }: Call<unknown>): Promise<void> {
  const organizations = await api.list<Namespace>('namespaces', { kind: 'organization' });
  const columns = [
    { head: 'NAME', text: ({ name }: Namespace) => name },
    { head: 'NEW REPOSITORIES', text: visibilityText },
    { head: 'DESCRIPTION', text: ({ description }: Namespace) => description },
    { head: 'ADDED', text: ({ createdAt }: Namespace) => distanceText(createdAt) },
  ];
  printList(organizations, { columns, key: ({ name }) => name, none: 'no organizations' }, options, context);
}

async function show({ api, args: [name = ''], options, context }: Call<unknown>): Promise<void> {
  const organization = await api.get<NamespaceWithUsage>(path`namespaces/${name}`);
  if (options.json) printJson(organization, context);
  else if (options.quiet) context.stdout.write(`${name}\n`);
  else {
    const members = await api.list<Member>(path`organizations/${name}/members`);
    const teams = await api.list<Team>(path`organizations/${name}/teams`);
    const named = (role: string): string =>
      members.flatMap((member) => (member.role === role ? [member.name] : [])).join(', ') || 'none';
    printFacts(
      [
        ['name', organization.name],
        ['description', organization.description || undefined],
        ['new repositories', visibilityText(organization)],
        ['holds', usageText(organization)],
        ['owners', named('owner')],
        ['members', named('member')],
        ['teams', teams.map((team) => `${team.name} (${team.members})`).join(', ') || 'none'],
        ['added', distanceText(organization.createdAt)],
      ],
      context,
    );
  }
}

async function set({ api, args: [name = ''], options, context }: Call<OrgOptions>): Promise<void> {
  const { visibility, description } = options;
  const changed = await api.patch<Namespace>(path`namespaces/${name}`, {
    ...(visibility === undefined ? {} : { defaultVisibility: visibility === byDefault ? null : visibility }),
    ...(description === undefined ? {} : { description }),
  });
  if (options.json) printJson(changed, context);
  else if (!options.quiet) context.stdout.write(`${meaningOf(visibility, name) ?? `${name} changed`}\n`);
}

function meaningOf(visibility: string | undefined, name: string): string | undefined {
  const meanings: Readonly<Record<string, string>> = {
    public: 'can be pulled by everybody, without signing in',
    internal: 'can be pulled by every signed-in user; guests excepted',
    private: 'can be pulled by those alone who were granted it',
    default: 'are as visible as the registry has it (access.defaultVisibility)',
  };
  const meaning = meanings[visibility ?? ''];
  return meaning === undefined ? undefined : `new repositories in ${name} ${meaning}`;
}

async function remove({ api, args: [name = ''], options, context }: Call<unknown>): Promise<void> {
  const where = path`organizations/${name}`;
  const { repositories = 0 } = await api.remove<{ repositories?: number }>(where, { dryRun: true });
  const what = `organization ${name} with ${countText(repositories, 'repository')}`;
  if (!options.dryRun) {
    await confirm(`Remove ${what}, its teams, robots and grants?`, options, context);
    await api.remove(where);
  }
  context.stdout.write(`${what} ${options.dryRun ? 'would be removed' : 'removed'}. The name stays taken\n`);
}

function usageText({ usage }: NamespaceWithUsage): string | undefined {
  return usage === null
    ? undefined
    : `${countText(usage.repositories, 'repository')}, ${sizeText(usage.size)}`;
}

function visibilityText({ defaultVisibility }: Namespace): string {
  return defaultVisibility ?? 'as the registry';
}
