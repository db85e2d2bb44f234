// Robots: accounts of machines in a namespace, which outlive the people who made them.
import { type Static, Type } from 'typebox';
import { parseRobotName } from '../../../auth/account-name.ts';
import type { Robot } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { findNamespace } from './namespaces.ts';
import { sortedByName } from './pages.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { created, found, list, nothing, type Routes } from './route.ts';
import { description, listOf, name, nullable, strict, time, timeText, timeTextOrNull } from './schemas.ts';

const robotSchema = strict({
  name: Type.String({ description: 'acme+ci' }),
  namespace: Type.String(),
  description: Type.String(),
  enabled: Type.Boolean(),
  createdAt: time,
  disabledAt: nullable(time),
});
/** A robot as a path names it: acme+ci, or ci alone. */
export interface RobotParams {
  readonly namespace: string;
  readonly robot: string;
}

export function robotRoutes(routes: Routes, context: ApiContext): void {
  listRobots(routes, context);
  addRobot(routes, context);
  showOne(routes, context);
  changeRobot(routes, context);
  removeRobot(routes, context);
}

function listRobots(routes: Routes, context: ApiContext): void {
  const { robots } = context.registry.metadata.accounts;
  routes.declare('robots', 'GET', '/namespaces/:namespace/robots', {
    need: ['admin'],
    summary: 'Robots of a namespace, in order of name.',
    query: strict(sortedByName.members),
    answers: { 200: listOf(robotSchema) },
    handle: async ({ params, query }) => {
      await findNamespace(context, params.namespace);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await robots.list(params.namespace, { ...sortedByName.read(query), limit });
      return list(sortedByName.page(query, page, showRobot, (robot) => robot.name));
    },
  });
}

function addRobot(routes: Routes, context: ApiContext): void {
  const { robots } = context.registry.metadata.accounts;
  routes.declare('robots', 'POST', '/namespaces/:namespace/robots', {
    need: ['admin'],
    summary: 'Adds a robot: acme+ci. In the namespaces system and library administrators only.',
    body: strict({
      name: Type.Intersect([name], { description: 'ci, or acme+ci.' }),
      description: Type.Optional(description),
    }),
    answers: { 201: robotSchema },
    handle: async ({ params, body, origin }) => {
      const { namespace } = params;
      const full = fullName(namespace, body.name);
      const parsed = parseMember('/name', () => parseRobotName(full));
      if (parsed.namespace !== namespace) {
        throw new Problem('invalid', `${parsed.name} is not a robot of ${namespace}`, {
          errors: [{ pointer: '/name', detail: `write ${namespace}+NAME, or NAME alone` }],
        });
      }
      const shown = body.description ?? '';
      const added = await robots.add({ namespace, name: parsed.robot, description: shown, origin });
      if (added.outcome === 'unknown') throw notFound(`namespace ${namespace}`);
      if (added.outcome === 'exists') throw new Problem('exists', `there is a robot ${parsed.name} already`);
      return created(pathOf(added.robot), showRobot(added.robot));
    },
  });
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('robots', 'GET', '/namespaces/:namespace/robots/:robot', {
    need: ['admin'],
    summary: 'One robot.',
    answers: { 200: robotSchema },
    handle: async ({ params }) => found(showRobot(await findRobot(context, params))),
  });
}

function changeRobot(routes: Routes, context: ApiContext): void {
  const { robots } = context.registry.metadata.accounts;
  routes.declare('robots', 'PATCH', '/namespaces/:namespace/robots/:robot', {
    need: ['admin'],
    summary: 'Changes a robot (JSON merge patch). A disabled one may nothing, from the next request on.',
    body: strict({ enabled: Type.Optional(Type.Boolean()), description: Type.Optional(description) }),
    answers: { 200: robotSchema },
    whileReadOnly: ({ enabled, description: text }) => enabled === false && text === undefined,
    current: async ({ params }) => showRobot(await findRobot(context, params)),
    handle: async ({ params, body, origin }) => {
      const { name: full } = await findRobot(context, params);
      const updated = await robots.update({ name: full, changes: body, origin });
      if (updated === undefined) throw noRobot(params);
      return found(showRobot(updated));
    },
  });
}

function removeRobot(routes: Routes, context: ApiContext): void {
  const { robots } = context.registry.metadata.accounts;
  routes.declare('robots', 'DELETE', '/namespaces/:namespace/robots/:robot', {
    need: ['admin'],
    summary: 'Removes a robot with its tokens and grants.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => showRobot(await findRobot(context, params)),
    plan: async ({ params }) => ({ removes: [`robot:${(await findRobot(context, params)).name}`] }),
    handle: async ({ params, origin }) => {
      const { name: full } = await findRobot(context, params);
      if (!(await robots.remove({ name: full, origin }))) throw noRobot(params);
      return nothing;
    },
  });
}

/** The robot of a path, or the not-found Problem; a robot of another namespace is not there. */
export async function findRobot({ registry }: ApiContext, params: RobotParams): Promise<Robot> {
  const robot = await registry.metadata.accounts.robots.find(fullName(params.namespace, params.robot));
  if (robot?.namespace !== params.namespace) throw noRobot(params);
  return robot;
}

function fullName(namespace: string, robot: string): string {
  return /[+ ]/.test(robot) ? robot.replaceAll(' ', '+') : `${namespace}+${robot}`;
}

function noRobot({ namespace, robot }: RobotParams): Problem {
  return notFound(`robot ${robot} in ${namespace}`);
}

function pathOf({ namespace, name: full }: Robot): string {
  return `/namespaces/${namespace}/robots/${full}`;
}

function showRobot(robot: Robot): Static<typeof robotSchema> {
  return {
    name: robot.name,
    namespace: robot.namespace,
    description: robot.description,
    enabled: robot.disabledAt === undefined,
    createdAt: timeText(robot.createdAt),
    disabledAt: timeTextOrNull(robot.disabledAt),
  };
}
