// Repositories: what they are and who may see them, making, moving and deleting them, and the old names of moved ones.
import { Type } from 'typebox';
import { hiddenSentence } from '../../../auth/refusals.ts';
import { includesRole } from '../../../auth/roles.ts';
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import type { NameTaken, RepositoryDetails } from '../../../storage/metadata-store.ts';
import { TagProtectedError } from '../../../storage/protection-store.ts';
import type { ApiContext } from './context.ts';
import { sortedByCreation } from './pages.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { needRole, roleOnRepository } from './repository-roles.ts';
import {
  changeMembers,
  checkLinks,
  checkReadme,
  detailsSchema,
  patchedLabels,
  showDetails,
  taggedPart,
} from './repository-shapes.ts';
import { type Call, created, found, list, nothing, type Routes } from './route.ts';
import { description, listOf, name, nullable, strict, time, timeText, visibility } from './schemas.ts';
import { checkDeprecation } from './tag-shapes.ts';
import { numberOf } from './tokens.ts';

const aliasSchema = strict({
  id: Type.Integer(),
  name: Type.String(),
  createdAt: time,
  servedSeconds: nullable(
    Type.Integer({ description: 'Of the uptime of the registry: a long stop shortens nothing.' }),
    'null: without end.',
  ),
});
/** As `never` is kept. */
const forever = 1e11;

export function repositoryRoutes(routes: Routes, context: ApiContext): void {
  showOne(routes, context);
  addOne(routes, context);
  changeOne(routes, context);
  removeOne(routes, context);
  aliases(routes, context);
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('repositories', 'GET', '/repositories/:repository', {
    need: ['read'],
    summary: 'One repository. Its entity tag is about what people set, not about counts.',
    answers: { 200: detailsSchema },
    content: true,
    handle: async ({ params }) => foundDetails(await findLive(context, nameIn(params.repository))),
  });
}

function addOne(routes: Routes, context: ApiContext): void {
  const { repositories } = context.registry.metadata;
  routes.declare('repositories', 'POST', '/repositories', {
    need: ['signed-in'],
    summary: 'Makes a repository without content. Needs the role write on its name, as a push does.',
    description: 'A visibility of its own takes the role admin; without, it is as the namespace says.',
    body: strict({
      name,
      visibility: Type.Optional(visibility),
      description: Type.Optional(description),
    }),
    answers: { 201: detailsSchema },
    content: true,
    handle: async (call) => {
      const { body, origin } = call;
      const made = parseMember('/name', () => parseRepositoryName(body.name));
      await needWrite(context, call, made);
      if (
        body.visibility !== undefined &&
        !includesRole(await roleOnRepository(context, call, made), 'admin')
      ) {
        throw new Problem('denied', `to say who may see ${made} takes the role admin on it`);
      }
      const added = await repositories.add({ ...body, name: made, origin });
      if (added.outcome !== 'added') throw await takenProblem(context, call, made, added);
      const details = await findLive(context, made);
      const answer = created(`/repositories/${made}`, showDetails(details));
      return answer.kind === 'object' ? { ...answer, tagged: taggedPart(details) } : answer;
    },
  });
}

function changeOne(routes: Routes, context: ApiContext): void {
  const { repositories } = context.registry.metadata;
  routes.declare('repositories', 'PATCH', '/repositories/:repository', {
    need: ['maintain'],
    summary: 'Changes a repository (JSON merge patch). A new visibility holds from the next request.',
    description:
      'All but `deprecation` takes the role admin. A new `name`, given alone, moves it: tags, history, labels and grants on exactly its name go along, and the old name is ' +
      'served for reading, for repositories.keepOldNameFor. That needs the role write on the new name.',
    body: strict({ name: Type.Optional(name), ...changeMembers }),
    answers: { 200: detailsSchema },
    content: true,
    current: async ({ params }) => {
      const details = await repositories.describe(nameIn(params.repository));
      return details && taggedPart(details);
    },
    handle: async (call) => {
      const { params, origin } = call;
      const repository = nameIn(params.repository);
      const { name: newName, labels, ...body } = call.body;
      const others = Object.keys(call.body).filter((member) => member !== 'deprecation');
      if (others.length > 0) await needRole(context, call, repository, 'admin');
      if (newName !== undefined) {
        if (labels !== undefined || Object.keys(body).length > 0)
          throw invalidMember('/name', 'a move is a change of its own: give the new name alone');
        const to = parseMember('/name', () => parseRepositoryName(newName));
        return foundDetails(await move(context, call, repository, to));
      }
      checkReadme(body.readme);
      if (body.deprecation !== undefined) checkDeprecation(repository, body.deprecation);
      checkLinks(body.links);
      const before = await findLive(context, repository);
      const changes = {
        ...body,
        ...(labels === undefined ? {} : { labels: patchedLabels(before.labels, labels) }),
      };
      if (!(await repositories.update({ name: repository, changes, origin }))) throw unknown(repository);
      return foundDetails(await findLive(context, repository));
    },
  });
}

function removeOne(routes: Routes, context: ApiContext): void {
  const { metadata, writes } = context.registry;
  routes.declare('repositories', 'DELETE', '/repositories/:repository', {
    need: ['admin'],
    summary: 'Deletes a repository: gone at once, restorable for repositories.undeleteFor; its name is free.',
    answers: { 204: Type.Null() },
    content: true,
    // Content goes with it.
    whileReadOnly: false,
    current: async ({ params }) => {
      const details = await metadata.repositories.describe(nameIn(params.repository));
      return details && taggedPart(details);
    },
    plan: async ({ params, origin }) => {
      writes.admitDeletePlan();
      const repository = await findLive(context, nameIn(params.repository));
      const kept = await metadata.protection.findProtected(repository.name, origin);
      if (kept !== undefined) throw new TagProtectedError(kept);
      const { tags, manifests, ownBytes } = repository;
      return { removes: [`repository:${repository.name}`], tags, manifests, bytes: ownBytes };
    },
    handle: async ({ params, origin }) => {
      writes.admitDelete();
      const repository = nameIn(params.repository);
      const removed = await writes.withBallast(() =>
        metadata.repositories.remove({ name: repository, origin }),
      );
      if (!removed) throw unknown(repository);
      return nothing;
    },
  });
}

function aliases(routes: Routes, context: ApiContext): void {
  const { repositories } = context.registry.metadata;
  routes.declare('repositories', 'GET', '/repositories/:repository/-/aliases', {
    need: ['read'],
    summary: 'Old names under which a moved repository is still read, oldest first.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(aliasSchema) },
    content: true,
    handle: async ({ params, query }) => {
      const repository = nameIn(params.repository);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await repositories.listAliases(repository, { ...sortedByCreation.read(query), limit });
      if (page === undefined) throw unknown(repository);
      const show = ({ servedSeconds: seconds, createdAt, ...alias }: (typeof page.items)[number]) => ({
        ...alias,
        createdAt: timeText(createdAt),
        servedSeconds: seconds > forever ? null : seconds,
      });
      return list(sortedByCreation.page(query, page, show, ({ id }) => id));
    },
  });
  routes.declare('repositories', 'DELETE', '/repositories/:repository/-/aliases/:id', {
    need: ['admin'],
    summary: 'Ends an old name: nothing is read under it any more, and it can be used anew.',
    answers: { 204: Type.Null() },
    content: true,
    plan: async ({ params }) => {
      const repository = nameIn(params.repository);
      const old = await findAlias(context, repository, numberOf(params.id));
      return { removes: [`alias:${old}`] };
    },
    handle: async ({ params, origin }) => {
      const options = { name: nameIn(params.repository), id: numberOf(params.id), origin };
      if (!(await repositories.removeAlias(options))) throw notFound(`alias ${params.id}`);
      return nothing;
    },
  });
}

async function move(
  context: ApiContext,
  call: Call<unknown, unknown, unknown>,
  from: RepositoryName,
  to: RepositoryName,
): Promise<RepositoryDetails> {
  if (from === to) return await findLive(context, from);
  await needWrite(context, call, to);
  const moved = await context.registry.metadata.repositories.move({ from, to, origin: call.origin });
  if (moved.outcome === 'unknown') throw unknown(from);
  if (moved.outcome !== 'moved') throw await takenProblem(context, call, to, moved);
  return await findLive(context, to);
}

type AnyCall = Pick<Call<unknown, unknown, unknown>, 'request' | 'now'>;

/** Throws the denied Problem for whoever may not make a repository of that name. */
export async function needWrite(
  context: ApiContext,
  call: AnyCall,
  repository: RepositoryName,
): Promise<void> {
  const role = await roleOnRepository(context, call, repository);
  const { rights } = call.request;
  if (includesRole(role, 'write') || rights === undefined) return;
  const detail =
    role === undefined
      ? hiddenSentence(rights, 'push', repository, call.now)
      : `${rights.name} may pull ${repository}, but making it takes the role write`;
  throw new Problem('denied', detail);
}

/** Why a name cannot be had, for somebody with the role write on it. */
export async function takenProblem(
  context: ApiContext,
  call: AnyCall,
  repository: RepositoryName,
  taken: NameTaken,
): Promise<Problem> {
  switch (taken.outcome) {
    case 'exists':
      return new Problem(
        'exists',
        `the name ${repository} is taken: by a repository, or by uploads to a new one`,
      );
    case 'name-kept': {
      const { by } = taken;
      const sees = (await roleOnRepository(context, call, by)) !== undefined;
      const whose = sees
        ? `is an old name of ${by}, which is read under it still: end that first (berth repo alias remove ${by} ${repository})`
        : 'is kept for a repository that was moved: use another one';
      return new Problem('exists', `the name ${repository} ${whose}`);
    }
    case 'namespace-removed':
      return new Problem('conflict', `the namespace of ${repository} was removed: its name stays taken`);
  }
}

async function findAlias(
  { registry }: ApiContext,
  repository: RepositoryName,
  id: number,
): Promise<RepositoryName> {
  const page = await registry.metadata.repositories.listAliases(repository, { after: id - 1, limit: 1 });
  const [alias] = page?.items ?? [];
  if (alias?.id !== id) throw notFound(`alias ${id}`);
  return alias.name;
}

function foundDetails(details: RepositoryDetails) {
  return found(showDetails(details), taggedPart(details));
}

function nameIn(text: string): RepositoryName {
  return parseMember('/params/repository', () => parseRepositoryName(text));
}

async function findLive({ registry }: ApiContext, repository: RepositoryName): Promise<RepositoryDetails> {
  const details = await registry.metadata.repositories.describe(repository);
  if (details === undefined) throw unknown(repository);
  return details;
}

function unknown(repository: RepositoryName) {
  return notFound(`repository ${repository}`);
}
