// Members and owners of organizations. Members have what their grants say; owners have the role admin on everything in it.
import { Type } from 'typebox';
import type { ApiContext } from './context.ts';
import { findOrganization } from './organizations.ts';
import { sortedByName } from './pages.ts';
import { notFound, Problem } from './problem.ts';
import { created, found, list, nothing, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';

const memberRole = Type.Enum(['owner', 'member']);
/** Members are few: all of them in one page. */
const everybody = 1_000_000;
const member = strict({ name: Type.String(), role: memberRole });

export function memberRoutes(routes: Routes, context: ApiContext): void {
  listMembers(routes, context);
  setMember(routes, context);
  removeMember(routes, context);
}

function listMembers(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('members', 'GET', '/organizations/:organization/members', {
    need: ['member'],
    summary: 'Members of an organization, in order of name.',
    query: strict(sortedByName.members),
    answers: { 200: listOf(member) },
    handle: async ({ params, query }) => {
      await findOrganization(context, params.organization);
      const limit = query.limit ?? context.config.limits.pageSize;
      const wanted = { ...sortedByName.read(query), limit };
      const page = await organizations.listMembers(params.organization, wanted);
      return list(
        sortedByName.page(
          query,
          page,
          ({ name, role }) => ({ name, role }),
          ({ name }) => name,
        ),
      );
    },
  });
}

function setMember(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('members', 'PUT', '/organizations/:organization/members/:user', {
    need: ['owner'],
    summary: 'Makes a user a member or an owner.',
    body: strict({ role: memberRole }),
    answers: { 200: member, 201: member },
    current: ({ params }) => organizations.findMember(params.organization, params.user),
    handle: async ({ params, body, origin }) => {
      const { organization, user } = params;
      const { outcome } = await organizations.setMember({ organization, user, role: body.role, origin });
      const shown = { name: user, role: body.role };
      switch (outcome) {
        case 'added':
          return created(`/organizations/${organization}/members/${user}`, shown);
        case 'changed':
        case 'unchanged':
          return found(shown);
        case 'unknown-organization':
          throw notFound(`organization ${organization}`);
        case 'unknown-user':
          throw notFound(`user ${user}`);
        case 'last-owner':
          throw lastOwner(user, organization);
      }
    },
  });
}

function removeMember(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('members', 'DELETE', '/organizations/:organization/members/:user', {
    need: ['owner', 'self'],
    summary: 'Takes a user out of an organization and its teams. Everybody may leave.',
    answers: { 204: Type.Null() },
    current: ({ params }) => organizations.findMember(params.organization, params.user),
    plan: async ({ params }) => {
      const { organization, user } = params;
      const there = await organizations.findMember(organization, user);
      if (there === undefined) throw notFound(`member ${user} of ${organization}`);
      if (there.role === 'owner' && !(await hasOtherOwner(context, organization, user)))
        throw lastOwner(user, organization);
      return { removes: [`member:${organization}/${user}`] };
    },
    handle: async ({ params, origin }) => {
      const { organization, user } = params;
      const { outcome } = await organizations.removeMember({ organization, user, origin });
      if (outcome === 'unknown') throw notFound(`member ${user} of ${organization}`);
      if (outcome === 'last-owner') throw lastOwner(user, organization);
      return nothing;
    },
  });
}

async function hasOtherOwner({ registry }: ApiContext, organization: string, user: string): Promise<boolean> {
  const { organizations } = registry.metadata.accounts;
  const { items } = await organizations.listMembers(organization, { limit: everybody });
  return items.some(({ name, role }) => role === 'owner' && name !== user);
}

function lastOwner(user: string, organization: string): Problem {
  return new Problem(
    'conflict',
    `${user} is the last owner of ${organization}: make somebody else one first`,
  );
}
