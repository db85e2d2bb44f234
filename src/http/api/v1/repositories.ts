// Repositories: what they are, and who may see them.
import { type Static, Type } from 'typebox';
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import type { Repository } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { notFound, parseMember } from './problem.ts';
import { needRole } from './repository-roles.ts';
import { found, type Routes } from './route.ts';
import { description, nullable, strict, visibility } from './schemas.ts';
import { checkDeprecation, deprecationSchema } from './tag-shapes.ts';

const repositorySchema = strict({
  name: Type.String(),
  namespace: Type.String(),
  visibility,
  description: Type.String(),
  deprecation: nullable(deprecationSchema),
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
    need: ['maintain'],
    summary: 'Changes a repository (JSON merge patch). A new visibility holds from the next request.',
    description: 'All but `deprecation` takes the role admin.',
    body: strict({
      visibility: Type.Optional(visibility),
      description: Type.Optional(description),
      deprecation: Type.Optional(nullable(deprecationSchema)),
    }),
    answers: { 200: repositorySchema },
    content: true,
    current: async ({ params }) => {
      const repository = await repositories.find(nameIn(params.repository));
      return repository?.live ? show(repository) : undefined;
    },
    handle: async (call) => {
      const { params, body, origin } = call;
      const name = nameIn(params.repository);
      const { deprecation, ...others } = body;
      if (Object.keys(others).length > 0) await needRole(context, call, name, 'admin');
      if (deprecation !== undefined) checkDeprecation(name, deprecation);
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
    deprecation: repository.deprecation === undefined ? null : { ...repository.deprecation },
  };
}
