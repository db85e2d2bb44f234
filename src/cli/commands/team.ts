// `berth team`: groups of people within an organization, to which access is granted.
import type { Command } from 'commander';
import { parseTeamName } from '../../auth/account-name.ts';
import { path } from '../client/api.ts';
import type { Team } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { confirm } from '../output/ask.ts';
import { printList } from '../output/print.ts';
import { listText } from '../output/text.ts';
import { addGroup, define } from './define.ts';

/** Where the API has a team, and its name as subject of a grant. */
function placeOf(name: string): { where: string; organization: string; team: string } {
  const { organization, team } = parseTeamName(name.replace(/^team:/, ''));
  return { organization, team, where: path`organizations/${organization}/teams/${team}` };
}

export function addTeam(program: Command, context: CommandContext): void {
  const team = addGroup(program, 'team', 'groups of people within an organization', [
    'team add acme/dev',
    'team member add acme/dev alice bob',
    "access grant team:acme/dev write 'acme/**'",
  ]);
  define(team, context, {
    usage: 'add <org/team>',
    about: 'add a team',
    examples: ['team add acme/dev'],
    check: ([name = '']) => void placeOf(name),
    run: async ({ api, args: [name = ''], context: { stdout } }) => {
      const { organization, team: own } = placeOf(name);
      await api.post(path`organizations/${organization}/teams`, { name: own });
      stdout.write(`team ${organization}/${own} added; grants name it team:${organization}/${own}\n`);
    },
  });
  define(team, context, {
    usage: 'list <org>',
    about: 'list the teams of an organization',
    examples: ['team list acme'],
    prints: 'list',
    run: async ({ api, args: [organization = ''], options, context: surroundings }) => {
      const teams = await api.list<Team>(path`organizations/${organization}/teams`);
      const columns = [
        { head: 'NAME', text: ({ name }: Team) => `${organization}/${name}` },
        { head: 'MEMBERS', text: ({ members }: Team) => String(members) },
      ];
      const key = ({ name }: Team): string => `${organization}/${name}`;
      printList(teams, { columns, key, none: `${organization} has no teams` }, options, surroundings);
    },
  });
  define(team, context, {
    usage: 'remove <org/team>',
    about: 'remove a team with its grants; its members stay in the organization',
    examples: ['team remove acme/dev --yes'],
    deletes: true,
    check: ([name = '']) => void placeOf(name),
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const { where } = placeOf(name);
      if (options.dryRun) await api.remove(where, { dryRun: true });
      else {
        await confirm(`Remove team ${name} with its grants?`, options, surroundings);
        await api.remove(where);
      }
      surroundings.stdout.write(`team ${name} ${options.dryRun ? 'would be ' : ''}removed\n`);
    },
  });
  addMembers(team, context);
}

function addMembers(team: Command, context: CommandContext): void {
  const member = addGroup(team, 'member', 'who is in a team', [
    'team member add acme/dev alice bob carol',
    'team member list acme/dev',
  ]);
  define(member, context, {
    usage: 'add <org/team> <user...>',
    about: 'put users into a team; it makes them members of the organization too',
    examples: ['team member add acme/dev alice bob carol'],
    check: ([name = '']) => void placeOf(name),
    run: async ({ api, args: [name = '', ...users], context: { stdout } }) => {
      const { where } = placeOf(name);
      for (const user of users) await api.put(`${where}/members/${path`${user}`}`);
      stdout.write(`${listText(users)} ${users.length === 1 ? 'is' : 'are'} in team ${name}\n`);
    },
  });
  define(member, context, {
    usage: 'list <org/team>',
    about: 'list who is in a team',
    examples: ['team member list acme/dev'],
    prints: 'list',
    check: ([name = '']) => void placeOf(name),
    run: async ({ api, args: [name = ''], options, context: surroundings }) => {
      const members = await api.list<{ name: string }>(`${placeOf(name).where}/members`);
      const columns = [{ head: 'NAME', text: (one: { name: string }) => one.name }];
      printList(
        members,
        { columns, key: (one) => one.name, none: `nobody is in ${name}` },
        options,
        surroundings,
      );
    },
  });
  define(member, context, {
    usage: 'remove <org/team> <user>',
    about: 'take a user out of a team',
    examples: ['team member remove acme/dev bob --yes'],
    deletes: true,
    check: ([name = '']) => void placeOf(name),
    run: async ({ api, args: [name = '', user = ''], options, context: surroundings }) => {
      const where = `${placeOf(name).where}/members/${path`${user}`}`;
      if (options.dryRun) await api.remove(where, { dryRun: true });
      else {
        await confirm(`Take ${user} out of team ${name}?`, options, surroundings);
        await api.remove(where);
      }
      surroundings.stdout.write(`${user} ${options.dryRun ? 'would be' : 'is'} out of team ${name}\n`);
    },
  });
}
