// Repositories: what they are, and who may see them.
import { type Static, Type } from 'typebox';
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import type { Repository } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { notFound, parseMember } from './problem.ts';
import { found, type Routes } from './route.ts';
import { description, strict, visibility } from './schemas.ts';

const repositorySchema = strict({
  name: Type.String(),
  namespace: Type.String(),
  visibility,
  description: Type.String(),
});

export function repositoryRoutes(routes: Routes, context: ApiContext): void {
  const { repositories } = context.registry.metadata;

  routes.declare('repositories', 'GET', '/repositories/:repository', {
    need: ['read'],
    summary: 'One repository.',
    answers: { 200: repositorySchema },
    content: true,
    handle: async ({ params }) => found(show(await findLive(context, nameIn(params.repository)))),
  });

  routes.declare('repositories', 'PATCH', '/repositories/:repository', {
    need: ['admin'],
    summary: 'Changes a repository (JSON merge patch). A new visibility holds from the next request.',
    body: strict({
      visibility: Type.Optional(visibility),
      description: Type.Optional(description),
    }),
    answers: { 200: repositorySchema },
    content: true,
    current: async ({ params }) => {
      const repository = await repositories.find(nameIn(params.repository));
      return repository?.live ? show(repository) : undefined;
    },
    handle: async ({ params, body, origin }) => {
      const name = nameIn(params.repository);
      if (!(await repositories.update({ name, changes: body, origin }))) throw unknown(name);
      return found(show(await findLive(context, name)));
    },
  });
}

function nameIn(text: string): RepositoryName {
  return parseMember('/params/repository', () => parseRepositoryName(text));
}

async function findLive({ registry }: ApiContext, name: RepositoryName): Promise<Repository> {
  const repository = await registry.metadata.repositories.find(name);
  if (!repository?.live) throw unknown(name);
  return repository;
}

function unknown(name: RepositoryName) {
  return notFound(`repository ${name}`);
}

function show(repository: Repository): Static<typeof repositorySchema> {
  const { name } = repository;
  return {
    name,
    namespace: namespaceOf(name),
    visibility: repository.visibility,
    description: repository.description,
  };
}
