// What ends or renews a user's access: another password, disabling and enabling, and removal.
import { Type } from 'typebox';
import { describeLeaving, robotsMadeBy } from '../../../auth/leaving.ts';
import { issueCode } from '../../../auth/token-issuing.ts';
import type { ApiContext } from './context.ts';
import { awaitMember, invalidMember, notFound, Problem } from './problem.ts';
import { created, found, nothing, type Routes } from './route.ts';
import { nullable, password, strict, timeText } from './schemas.ts';
import { planTransfer, transferRepositories } from './user-transfer.ts';
import { codeMembers, findShown, findUser, lastAdministrator } from './users.ts';

const leaving = strict({
  ended: strict({
    password: Type.Boolean(),
    tokens: Type.Integer(),
    sessions: Type.Integer(),
    refreshTokens: Type.Integer(),
    uploads: Type.Integer({ description: 'Pushes in progress.' }),
  }),
  stays: strict({
    robots: Type.Array(Type.String(), { description: 'That the user made, as the audit log tells.' }),
    namespace: nullable(Type.String(), 'Of the same name.'),
    repositories: Type.Integer({ description: 'In that namespace.' }),
    onlyOwnerOf: Type.Array(Type.String(), { description: 'Organizations without another owner.' }),
  }),
});

export function userChangeRoutes(routes: Routes, context: ApiContext): void {
  replacePassword(routes, context);
  disableUser(routes, context);
  enableUser(routes, context);
  removeUser(routes, context);
}

function replacePassword(routes: Routes, context: ApiContext): void {
  const { metadata } = context.registry;
  const { users } = metadata.accounts;
  const { passwords, credentials } = context.authority;
  routes.declare('users', 'PUT', '/users/:user/password', {
    need: ['administrator'],
    summary: 'Sets a password, or gives out a one-time code in its place. Sessions and refresh tokens end.',
    body: strict({ password: Type.Optional(password), oneTime: Type.Optional(Type.Boolean()) }),
    answers: { 201: strict(codeMembers), 204: Type.Null() },
    current: ({ params }) => findShown(context, params.user),
    handle: async ({ params, body, origin, now }) => {
      const { user } = params;
      if ((body.password !== undefined) === (body.oneTime === true)) {
        throw invalidMember('', 'give either password or oneTime: true');
      }
      await findUser(context, user);
      if (body.password === undefined) {
        if (!(await users.clearPassword({ name: user, origin }))) throw notFound(`user ${user}`);
        await context.passwordChanged(user);
        const code = await issueCode(credentials, { user, now, origin });
        if (code === undefined) throw notFound(`user ${user}`);
        return created(`/users/${user}`, {}, { code: code.code, codeExpiresAt: timeText(code.expiresAt) });
      }
      await awaitMember('/password', passwords.judge(body.password, user));
      const hash = await passwords.hash(body.password);
      if (!(await users.setPassword({ name: user, hash, origin }))) throw notFound(`user ${user}`);
      await context.passwordChanged(user);
      return nothing;
    },
  });
}

function disableUser(routes: Routes, context: ApiContext): void {
  const { metadata } = context.registry;
  const { users } = metadata.accounts;
  routes.declare('users', 'POST', '/users/:user/disable', {
    need: ['administrator'],
    summary:
      'Ends everything that the user may, from the next request on, and tells what ended and what stays.',
    answers: { 200: leaving },
    whileReadOnly: true,
    current: ({ params }) => findShown(context, params.user),
    handle: async ({ params, origin }) => {
      const { hasPassword } = await findUser(context, params.user);
      const disabled = await users.disable({ name: params.user, origin });
      if (disabled.outcome === 'unknown') throw notFound(`user ${params.user}`);
      if (disabled.outcome === 'last-administrator') throw lastAdministrator(params.user);
      const { onlyOwnerOf, repositories, ...ended } = disabled.ended;
      const namespace = await metadata.accounts.namespaces.find(params.user);
      const robots = await robotsMadeBy(metadata.accounts, metadata.events, params.user);
      return found({
        ended: { password: hasPassword, ...ended },
        stays: { robots, namespace: namespace?.name ?? null, repositories, onlyOwnerOf },
      });
    },
  });
}

function enableUser(routes: Routes, context: ApiContext): void {
  const { metadata } = context.registry;
  const { users } = metadata.accounts;
  routes.declare('users', 'POST', '/users/:user/enable', {
    need: ['administrator'],
    summary: 'Lets a disabled user in again.',
    answers: { 204: Type.Null() },
    current: ({ params }) => findShown(context, params.user),
    handle: async ({ params, origin }) => {
      if (!(await users.enable({ name: params.user, origin }))) throw notFound(`user ${params.user}`);
      return nothing;
    },
  });
}

function removeUser(routes: Routes, context: ApiContext): void {
  const { metadata } = context.registry;
  const { users } = metadata.accounts;
  routes.declare('users', 'DELETE', '/users/:user', {
    need: ['administrator'],
    summary: 'Removes a user for good. The name stays reserved, robots that the user made elsewhere stay.',
    query: strict({
      deleteRepositories: Type.Optional(
        Type.Boolean({
          description: 'With the repositories of the own namespace, restorable for repositories.undeleteFor.',
        }),
      ),
      transferTo: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 255,
          description:
            'The namespace that gets the repositories of the own one, as moves do; they are read under their old names, too.',
        }),
      ),
    }),
    answers: { 204: Type.Null() },
    // Its repositories may go with it, and whoever must not come in any more can be disabled.
    whileReadOnly: false,
    current: ({ params }) => findShown(context, params.user),
    plan: async ({ params, query, origin }) => {
      refuseBoth(query);
      const leaves = await describeLeaving(metadata.accounts, metadata.events, params.user);
      if (leaves === undefined) throw notFound(`user ${params.user}`);
      if (await metadata.accounts.users.isLastAdministrator(params.user))
        throw lastAdministrator(params.user);
      if (leaves.onlyOwnerOf.length > 0) throw lastOwner(params.user, leaves.onlyOwnerOf);
      const { transferTo } = query;
      if (leaves.repositories > 0 && query.deleteRepositories !== true && transferTo === undefined) {
        throw hasRepositories(params.user, leaves.repositories);
      }
      const moves =
        transferTo === undefined
          ? {}
          : { moves: await planTransfer(context, params.user, transferTo, origin) };
      return { removes: [`user:${params.user}`], ...leaves, namespace: leaves.namespace ?? null, ...moves };
    },
    handle: async ({ params, query, origin }) => {
      const { user: account } = params;
      refuseBoth(query);
      const deleteRepositories = query.deleteRepositories === true;
      const remove = () =>
        context.registry.writes.withBallast(() =>
          users.remove({ name: account, deleteRepositories, origin }),
        );
      let removed = await remove();
      const { transferTo } = query;
      // All else is in order. What is pushed meanwhile is moved as well.
      for (let tries = 0; removed.outcome === 'has-repositories' && transferTo !== undefined; tries += 1) {
        if (tries === mostTransfers) break;
        await transferRepositories(context, await planTransfer(context, account, transferTo, origin), origin);
        removed = await remove();
      }
      switch (removed.outcome) {
        case 'removed':
          return nothing;
        case 'unknown':
          throw notFound(`user ${account}`);
        case 'last-administrator':
          throw lastAdministrator(account);
        case 'last-owner':
          throw lastOwner(account, removed.organizations);
        case 'has-repositories':
          throw hasRepositories(account, removed.repositories);
      }
    },
  });
}

/** Somebody who pushes without an end keeps his account. */
const mostTransfers = 10;

function refuseBoth(query: { readonly deleteRepositories?: boolean; readonly transferTo?: string }): void {
  if (query.deleteRepositories !== true || query.transferTo === undefined) return;
  throw invalidMember('/query/transferTo', 'give transferTo or deleteRepositories, not both');
}

function lastOwner(account: string, organizations: readonly string[]): Problem {
  const what = organizations.length === 1 ? 'it' : 'each of them';
  return new Problem(
    'conflict',
    `${account} is the only owner of ${organizations.join(', ')}: give ${what} another owner first`,
  );
}

function hasRepositories(account: string, repositories: number): Problem {
  const many = repositories === 1 ? '1 repository' : `${repositories} repositories`;
  return new Problem(
    'conflict',
    `the namespace ${account} has ${many}: transferTo=NAMESPACE moves them there, deleteRepositories=true deletes them`,
  );
}
