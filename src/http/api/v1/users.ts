// Users: list, add, show and change them, and take them over from an htpasswd file.
import { type Static, Type } from 'typebox';
import { parseAccountName } from '../../../auth/account-name.ts';
import { type HtpasswdEntry, parseHtpasswd, type SkippedLine } from '../../../auth/htpasswd.ts';
import type { Passwords } from '../../../auth/passwords.ts';
import { issueCode } from '../../../auth/token-issuing.ts';
import type { User } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { Sorting } from './pages.ts';
import { awaitMember, notFound, Problem, parseMember } from './problem.ts';
import { created, found, list, type Routes } from './route.ts';
import {
  email,
  fullName,
  listOf,
  name,
  nullable,
  password,
  registryRole,
  strict,
  time,
  timeText,
  timeTextOrNull,
} from './schemas.ts';

export const userSchema = strict({
  name: Type.String(),
  role: registryRole,
  guest: Type.Boolean({ description: 'Has no namespace and is not among "authenticated".' }),
  fullName: nullable(fullName),
  email: nullable(email),
  enabled: Type.Boolean(),
  hasPassword: Type.Boolean(),
  createdAt: time,
  disabledAt: nullable(time),
});
/** Told once, where a user is given a one-time code instead of a password. */
export const codeMembers = {
  code: Type.String({ description: 'For PUT /api/v1/set-password; told this once.' }),
  codeExpiresAt: time,
};
const newUser = strict({
  name,
  fullName: Type.Optional(fullName),
  email: Type.Optional(email),
  password: Type.Optional(password),
  role: Type.Optional(registryRole),
  guest: Type.Optional(Type.Boolean()),
});
const changes = strict({
  fullName: Type.Optional(nullable(fullName)),
  email: Type.Optional(nullable(email)),
  role: Type.Optional(registryRole),
  guest: Type.Optional(Type.Boolean()),
});
const imported = strict({
  added: Type.Array(Type.String()),
  skipped: Type.Array(strict({ line: Type.Integer(), name: nullable(Type.String()), reason: Type.String() })),
});

const sorting = new Sorting({ name: 'string', createdAt: 'number' });

export function userRoutes(routes: Routes, context: ApiContext): void {
  listUsers(routes, context);
  addUser(routes, context);
  showOne(routes, context);
  changeUser(routes, context);
  importUsers(routes, context);
}

function listUsers(routes: Routes, context: ApiContext): void {
  const { users } = context.registry.metadata.accounts;
  routes.declare('users', 'GET', '/users', {
    need: ['administrator', 'auditor'],
    summary: 'Users.',
    query: strict({
      ...sorting.members,
      q: Type.Optional(Type.String({ maxLength: 255, description: 'In name, full name or email.' })),
      state: Type.Optional(Type.Enum(['enabled', 'disabled'])),
    }),
    answers: { 200: listOf(userSchema) },
    handle: async ({ query }) => {
      const limit = query.limit ?? context.config.limits.pageSize;
      const wanted = sorting.read(query);
      const page = await users.list({ ...wanted, limit, q: query.q || undefined, state: query.state });
      return list(
        sorting.page(query, page, showUser, ({ id, name: key }) => (wanted.by === 'name' ? key : id)),
      );
    },
  });
}

function addUser(routes: Routes, context: ApiContext): void {
  const { users } = context.registry.metadata.accounts;
  const { passwords, credentials } = context.authority;
  const { reservedNames } = context.config.access;
  routes.declare('users', 'POST', '/users', {
    need: ['administrator'],
    summary: 'Adds a user, with the namespace of the same name unless a guest.',
    description:
      'Without a password the answer holds a one-time code with which the user sets one within 72 hours.',
    body: newUser,
    answers: {
      201: strict({
        ...userSchema.properties,
        ...Type.Partial(strict(codeMembers)).properties,
        adopted: Type.Optional(Type.Integer()),
      }),
    },
    handle: async ({ body, origin, now }) => {
      const account = parseMember('/name', () => parseAccountName(body.name, reservedNames));
      const passwordHash = await hashOf(passwords, account, body.password);
      const { role = 'user', guest = false } = body;
      const { fullName: shownAs, email: address } = body;
      const added = await users.add({
        name: account,
        role,
        guest,
        fullName: shownAs,
        email: address,
        passwordHash,
        origin,
      });
      if (added.outcome === 'exists') {
        throw new Problem(
          'exists',
          `the name ${account} is taken: by a user, an organization, or one that was removed`,
        );
      }
      const code =
        passwordHash === undefined ? await issueCode(credentials, { user: account, now, origin }) : undefined;
      return created(`/users/${account}`, showUser(added.user), {
        ...(code === undefined ? {} : { code: code.code, codeExpiresAt: timeText(code.expiresAt) }),
        ...(added.adopted === 0 ? {} : { adopted: added.adopted }),
      });
    },
  });
}

function showOne(routes: Routes, context: ApiContext): void {
  routes.declare('users', 'GET', '/users/:user', {
    need: ['self', 'administrator', 'auditor'],
    summary: 'One user.',
    answers: { 200: userSchema },
    handle: async ({ params }) => found(showUser(await findUser(context, params.user))),
  });
}

function changeUser(routes: Routes, context: ApiContext): void {
  const { users } = context.registry.metadata.accounts;
  routes.declare('users', 'PATCH', '/users/:user', {
    need: ['self', 'administrator'],
    summary: 'Changes a user (JSON merge patch). Of oneself: fullName and email.',
    body: changes,
    answers: { 200: userSchema },
    current: ({ params }) => findShown(context, params.user),
    handle: async ({ params, body, rights, origin }) => {
      if ((body.role !== undefined || body.guest !== undefined) && rights.registryRole !== 'administrator') {
        throw new Problem(
          'denied',
          'role and guest are for administrators to change; of oneself: fullName and email',
        );
      }
      const updated = await users.update({ name: params.user, changes: body, origin });
      if (updated.outcome === 'unknown') throw notFound(`user ${params.user}`);
      if (updated.outcome === 'last-administrator') throw lastAdministrator(params.user);
      return found(showUser(updated.user));
    },
  });
}

function importUsers(routes: Routes, context: ApiContext): void {
  const { users } = context.registry.metadata.accounts;
  const { reservedNames } = context.config.access;
  routes.declare('users', 'POST', '/users/import', {
    need: ['administrator'],
    summary: 'Adds the users of an htpasswd file. Lines that cannot be kept are told, and the others added.',
    body: Type.String({ description: 'NAME:HASH, a line each; bcrypt hashes only.' }),
    textBody: true,
    answers: { 200: imported },
    plan: ({ body }) => addLines(body, async ({ name: account }) => !(await users.isTaken(account))),
    planned: strict({ dryRun: Type.Literal(true), ...imported.properties }),
    handle: async ({ body, origin }) => {
      const add = async ({ name: account, hash: passwordHash }: HtpasswdEntry) => {
        const made = await users.add({ name: account, role: 'user', guest: false, passwordHash, origin });
        return made.outcome === 'added';
      };
      return found(await addLines(body, add));
    },
  });

  /** `add` gives false for a name that is taken. */
  async function addLines(text: string, add: (entry: HtpasswdEntry) => Promise<boolean>) {
    const file = parseHtpasswd(text, reservedNames);
    const skipped: SkippedLine[] = [...file.skipped];
    const added: string[] = [];
    for (const entry of file.entries) {
      const { line, name: account } = entry;
      if (await add(entry)) added.push(account);
      else skipped.push({ line, name: account, reason: `the name ${account} is taken` });
    }
    skipped.sort((one, other) => one.line - other.line);
    return { added, skipped: skipped.map((one) => ({ ...one, name: one.name ?? null })) };
  }
}

export function showUser(user: User): Static<typeof userSchema> {
  return {
    name: user.name,
    role: user.role,
    guest: user.guest,
    fullName: user.fullName ?? null,
    email: user.email ?? null,
    enabled: user.disabledAt === undefined,
    hasPassword: user.hasPassword,
    createdAt: timeText(user.createdAt),
    disabledAt: timeTextOrNull(user.disabledAt),
  };
}

/** The user, or the not-found Problem. */
export async function findUser({ registry }: ApiContext, account: string): Promise<User> {
  const user = await registry.metadata.accounts.users.find(account);
  if (user === undefined) throw notFound(`user ${account}`);
  return user;
}

/** The user as its entity tag sees it. */
export async function findShown({ registry }: ApiContext, account: string): Promise<object | undefined> {
  const user = await registry.metadata.accounts.users.find(account);
  return user && showUser(user);
}

export function lastAdministrator(account: string): Problem {
  return new Problem(
    'conflict',
    `${account} is the last administrator who is enabled: make somebody else one first`,
  );
}

async function hashOf(
  passwords: Passwords,
  account: string,
  plain: string | undefined,
): Promise<string | undefined> {
  if (plain === undefined) return undefined;
  await awaitMember('/password', passwords.judge(plain, account));
  return await passwords.hash(plain);
}
