// Teams of organizations: grants to a team hold for whoever is in it.
import { Type } from 'typebox';
import { parseTeamName } from '../../../auth/account-name.ts';
import type { ApiContext } from './context.ts';
import { findOrganization } from './organizations.ts';
import { sortedByName } from './pages.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { created, found, list, nothing, type Routes } from './route.ts';
import { listOf, name, strict } from './schemas.ts';

const team = strict({
  name: Type.String({ description: 'Within the organization: dev.' }),
  members: Type.Integer(),
});
const teamMember = strict({ name: Type.String() });

export function teamRoutes(routes: Routes, context: ApiContext): void {
  listTeams(routes, context);
  addTeam(routes, context);
  removeTeam(routes, context);
  listTeamMembers(routes, context);
  addTeamMember(routes, context);
  removeTeamMember(routes, context);
}

function listTeams(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'GET', '/organizations/:organization/teams', {
    need: ['member'],
    summary: 'Teams of an organization, in order of name.',
    query: strict(sortedByName.members),
    answers: { 200: listOf(team) },
    handle: async ({ params, query }) => {
      await findOrganization(context, params.organization);
      const limit = query.limit ?? context.config.limits.pageSize;
      const wanted = { ...sortedByName.read(query), limit };
      const page = await organizations.listTeams(params.organization, wanted);
      return list(sortedByName.page(query, page, showTeam, (one) => one.name));
    },
  });
}

function addTeam(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'POST', '/organizations/:organization/teams', {
    need: ['owner'],
    summary: 'Adds a team.',
    body: strict({ name }),
    answers: { 201: team },
    handle: async ({ params, body, origin }) => {
      const { organization } = params;
      const parsed = parseMember('/name', () => parseTeamName(`${organization}/${body.name}`));
      const { outcome } = await organizations.addTeam({ organization, team: parsed.team, origin });
      if (outcome === 'unknown') throw notFound(`organization ${organization}`);
      if (outcome === 'exists')
        throw new Problem('exists', `${organization} has a team ${parsed.team} already`);
      return created(`/organizations/${organization}/teams/${parsed.team}`, {
        name: parsed.team,
        members: 0,
      });
    },
  });
}

function removeTeam(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'DELETE', '/organizations/:organization/teams/:team', {
    need: ['owner'],
    summary: 'Removes a team with the grants to it.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => {
      const there = await organizations.findTeam(params.organization, params.team);
      return there && showTeam(there);
    },
    plan: async ({ params }) => {
      const there = await organizations.findTeam(params.organization, params.team);
      if (there === undefined) throw noTeam(params);
      return { removes: [`team:${params.organization}/${params.team}`], members: there.members };
    },
    handle: async ({ params, origin }) => {
      if (!(await organizations.removeTeam({ ...params, origin }))) throw noTeam(params);
      return nothing;
    },
  });
}

function listTeamMembers(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'GET', '/organizations/:organization/teams/:team/members', {
    need: ['member'],
    summary: 'Who is in a team, in order of name.',
    query: strict(sortedByName.members),
    answers: { 200: listOf(teamMember) },
    handle: async ({ params, query }) => {
      const there = await organizations.findTeam(params.organization, params.team);
      if (there === undefined) throw noTeam(params);
      const limit = query.limit ?? context.config.limits.pageSize;
      const wanted = { ...sortedByName.read(query), limit };
      const page = await organizations.listTeamMembers(params.organization, params.team, wanted);
      return list(
        sortedByName.page(
          query,
          page,
          (one) => ({ name: one.name }),
          (one) => one.name,
        ),
      );
    },
  });
}

function addTeamMember(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'PUT', '/organizations/:organization/teams/:team/members/:user', {
    need: ['owner'],
    summary: 'Puts a user into a team, and into the organization where it is no member yet.',
    answers: { 200: teamMember, 201: teamMember },
    current: ({ params }) => findTeamMember(context, params),
    handle: async ({ params, origin }) => {
      const { outcome } = await organizations.addTeamMember({ ...params, origin });
      if (outcome === 'unknown-team') throw noTeam(params);
      if (outcome === 'unknown-user') throw notFound(`user ${params.user}`);
      const shown = { name: params.user };
      const { organization, team: inTeam, user } = params;
      if (outcome === 'unchanged') return found(shown);
      return created(`/organizations/${organization}/teams/${inTeam}/members/${user}`, shown);
    },
  });
}

function removeTeamMember(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('teams', 'DELETE', '/organizations/:organization/teams/:team/members/:user', {
    need: ['owner'],
    summary: 'Takes a user out of a team; it stays a member of the organization.',
    answers: { 204: Type.Null() },
    current: ({ params }) => findTeamMember(context, params),
    plan: async ({ params }) => {
      const { organization, team: inTeam, user } = params;
      if ((await findTeamMember(context, params)) === undefined)
        throw notFound(`member ${user} of team ${inTeam}`);
      return { removes: [`team-member:${organization}/${inTeam}/${user}`] };
    },
    handle: async ({ params, origin }) => {
      const removed = await organizations.removeTeamMember({ ...params, origin });
      if (!removed) throw notFound(`member ${params.user} of team ${params.team}`);
      return nothing;
    },
  });
}

function showTeam({ name: shown, members }: { readonly name: string; readonly members: number }) {
  return { name: shown, members };
}

interface TeamParams {
  readonly organization: string;
  readonly team: string;
}

function noTeam({ organization, team: inside }: TeamParams): Problem {
  return notFound(`team ${inside} of ${organization}`);
}

async function findTeamMember({ registry }: ApiContext, params: TeamParams & { readonly user: string }) {
  const facts = await registry.metadata.accounts.policy.findSubjectByName(params.user);
  const isIn = facts?.teams.includes(`${params.organization}/${params.team}`) === true;
  return isIn ? { name: params.user } : undefined;
}
