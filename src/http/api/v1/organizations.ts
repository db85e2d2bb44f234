// Organizations: namespaces that several people share.
import { Type } from 'typebox';
import { parseAccountName } from '../../../auth/account-name.ts';
import type { ApiContext } from './context.ts';
import { findNamespace, namespaceSchema, showNamespace } from './namespaces.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { created, found, nothing, type Routes } from './route.ts';
import { description, name, strict, visibility } from './schemas.ts';

export function organizationRoutes(routes: Routes, context: ApiContext): void {
  const { metadata, writes } = context.registry;
  const { organizations, namespaces } = metadata.accounts;
  const { reservedNames } = context.config.access;

  routes.declare('organizations', 'POST', '/organizations', {
    need: ['by-setting'],
    summary: 'Founds an organization. A user who does becomes its owner.',
    description:
      'Where an administrator founds it, what was pushed under its name before, while nobody owned it, becomes its own.',
    body: strict({
      name,
      defaultVisibility: Type.Optional(visibility),
      description: Type.Optional(description),
    }),
    answers: { 201: strict({ ...namespaceSchema.properties, adopted: Type.Optional(Type.Integer()) }) },
    handle: async ({ body, principal, rights, origin }) => {
      const organization = parseMember('/name', () => parseAccountName(body.name, reservedNames));
      const owner = principal.kind === 'user' ? principal.name : undefined;
      const { defaultVisibility } = body;
      // What was pushed while nobody owned it is the administrators', and theirs alone to hand on.
      const unusedName = rights.registryRole !== 'administrator';
      const added = await organizations.add({
        name: organization,
        defaultVisibility,
        owner,
        unusedName,
        origin,
      });
      if (added.outcome !== 'added') {
        throw new Problem(
          'exists',
          `the name ${organization} is taken: by a user, an organization, or one that was removed`,
        );
      }
      if (body.description !== undefined) {
        await namespaces.update({ name: organization, changes: { description: body.description }, origin });
      }
      const { adopted } = added;
      const shown = showNamespace(await findNamespace(context, organization));
      return created(`/namespaces/${organization}`, shown, adopted === 0 ? {} : { adopted });
    },
  });

  routes.declare('organizations', 'DELETE', '/organizations/:organization', {
    need: ['owner'],
    summary:
      'Removes an organization with its repositories, robots, teams and grants. The name stays reserved.',
    answers: { 204: Type.Null() },
    // Its repositories go with it.
    whileReadOnly: false,
    current: async ({ params }) => {
      const namespace = await namespaces.find(params.organization);
      return namespace && showNamespace(namespace);
    },
    plan: async ({ params }) => {
      const { kind, name: known, repositories } = await findNamespace(context, params.organization);
      if (kind !== 'organization') throw notFound(`organization ${params.organization}`);
      return { removes: [`organization:${known}`], repositories };
    },
    handle: async ({ params, origin }) => {
      const { organization: name } = params;
      const removed = await writes.withBallast(() => organizations.remove({ name, origin }));
      if (removed.outcome === 'unknown') throw notFound(`organization ${params.organization}`);
      return nothing;
    },
  });
  restoreOrganization(routes, context);
}

function restoreOrganization(routes: Routes, context: ApiContext): void {
  const { organizations } = context.registry.metadata.accounts;
  routes.declare('organizations', 'POST', '/organizations/:organization/restore', {
    need: ['administrator'],
    summary: 'Brings a removed organization back, within repositories.undeleteFor.',
    description:
      'Its members, and the repositories that went with it, are as they were. Grants, teams, robots and tokens went for good: who ' +
      'may do what is decided anew.',
    answers: { 200: strict({ ...namespaceSchema.properties, repositories: Type.Integer() }) },
    handle: async ({ params, origin }) => {
      const { organization } = params;
      const restored = await organizations.restore({ name: organization, origin });
      if (restored.outcome === 'unknown') throw notFound(`removed organization ${organization}`);
      const shown = showNamespace(await findNamespace(context, organization));
      return found({ ...shown, repositories: restored.repositories }, shown);
    },
  });
}

/** The organization, or the not-found Problem. */
export async function findOrganization(context: ApiContext, organization: string): Promise<void> {
  const namespace = await context.registry.metadata.accounts.namespaces.find(organization);
  if (namespace?.kind !== 'organization') throw notFound(`organization ${organization}`);
}
