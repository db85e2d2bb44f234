// Tokens: personal ones, which only their owner can make, and those of robots, which who administers the namespace makes.
import { type Static, Type } from 'typebox';
import { boundsOf, expiryOf, mostPatterns } from '../../../auth/token-issuing.ts';
import { type Credential, roles } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { afterNumber, type PageQuery, pageMembers, pageOf } from './pages.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { findRobot } from './robots.ts';
import { type Answer, type Call, created, list, nothing, type Routes } from './route.ts';
import { listOf, nullable, parseTime, role, strict, time, timeText, timeTextOrNull } from './schemas.ts';
import { findUser } from './users.ts';

const tokenSchema = strict({
  id: Type.Integer(),
  name: Type.String(),
  role: nullable(role, 'The most that its bearer may; null: what the robot may.'),
  repositories: nullable(Type.Array(Type.String()), 'Patterns that it is limited to; null: no bound.'),
  createdAt: time,
  expiresAt: nullable(time, 'null: never.'),
  lastUsedAt: nullable(time),
  lastUsedFrom: nullable(Type.String(), 'An address.'),
});
const withSecret = strict({
  ...tokenSchema.properties,
  secret: Type.String({ description: 'Told this once.' }),
});
const newToken = strict({
  name: Type.String({
    pattern: '^[A-Za-z0-9][A-Za-z0-9 ._@+:/-]{0,63}$',
    description: '1 to 64 letters, digits, spaces and . _ @ + : / -, beginning with a letter or digit',
  }),
  role: Type.Optional(
    Type.Enum([...roles], {
      description: 'Absent: write for a personal token, no bound for that of a robot.',
    }),
  ),
  repositories: Type.Optional(
    Type.Array(Type.String({ maxLength: 255 }), {
      maxItems: mostPatterns,
      description: 'Patterns of full names that it is limited to.',
    }),
  ),
  expiresAt: Type.Optional(
    nullable(time, 'null: never; absent: as auth.personalToken or auth.robotToken say.'),
  ),
});
type NewToken = Static<typeof newToken>;
/** Enough to push and pull, and not to manage the account. */
const personalRole = 'write';
type Kind = 'personal' | 'robot';

/** Whose tokens a path is about, and where they are. Throws the not-found Problem where there is no such owner. */
interface Owner {
  readonly kind: Kind;
  readonly subject: string;
  readonly path: string;
}

export function tokenRoutes(routes: Routes, context: ApiContext): void {
  const { credentials } = context.registry.metadata.accounts;
  const issued = context.authority.credentials;
  const query = strict(pageMembers);

  const ownerByUser = async (account: string): Promise<Owner> => {
    const { name: subject } = await findUser(context, account);
    return { kind: 'personal', subject, path: `/users/${subject}/tokens` };
  };
  const ownerByRobot = async (params: { namespace: string; robot: string }): Promise<Owner> => {
    const { name: subject, namespace } = await findRobot(context, params);
    return { kind: 'robot', subject, path: `/namespaces/${namespace}/robots/${subject}/tokens` };
  };

  async function listTokens({ kind, subject }: Owner, page: PageQuery): Promise<Answer> {
    const limit = page.limit ?? context.config.limits.pageSize;
    const found = await credentials.list(subject, { kinds: [kind], after: afterNumber(page), limit });
    return list(pageOf(found, showToken, ({ id }) => id));
  }

  async function addToken(owner: Owner, call: Call<unknown, unknown, NewToken>): Promise<Answer> {
    const { kind, subject, path } = owner;
    const { body, rights, now, origin } = call;
    const settings = kind === 'personal' ? context.config.auth.personalToken : context.config.auth.robotToken;
    const asked =
      typeof body.expiresAt === 'string' ? parseTime(body.expiresAt, '/expiresAt') : body.expiresAt;
    const expiresAt = parseMember('/expiresAt', () => expiryOf(asked, now, settings));
    const role = body.role ?? (kind === 'personal' ? personalRole : undefined);
    const wanted = { role, patterns: body.repositories };
    const bounds = parseMember('/repositories', () => boundsOf(wanted, rights.ceiling));
    const label = body.name;
    const made = await issued.create({ kind, subject, label, ...bounds, expiresAt, origin });
    if (made.outcome === 'exists')
      throw new Problem('exists', `${subject} has a token named ${label} already`);
    if (made.outcome === 'unknown') throw notFound(`${kind === 'robot' ? 'robot' : 'user'} ${subject}`);
    const { credential, secret } = made;
    return created(`${path}/${credential.id}`, showToken(credential), { secret });
  }

  async function findToken({ kind, subject }: Owner, id: string): Promise<Credential> {
    const found = await credentials.find(numberOf(id));
    if (found?.kind === kind && found.subject === subject) return found;
    throw notFound(`token ${id.slice(0, 20)} of ${subject}`);
  }

  async function removeToken(
    owner: Owner,
    id: string,
    { origin }: Call<unknown, unknown, unknown>,
  ): Promise<Answer> {
    const { kind, subject } = owner;
    const removed = await credentials.remove({ subject, id: numberOf(id), kinds: [kind], origin });
    if (!removed) throw notFound(`token ${id.slice(0, 20)} of ${subject}`);
    return nothing;
  }

  async function currentToken(owner: Owner, id: string): Promise<object | undefined> {
    const found = await credentials.find(numberOf(id));
    return found?.kind === owner.kind && found.subject === owner.subject ? taggedToken(found) : undefined;
  }

  const planOf = async (owner: Owner, id: string) => {
    const { label } = await findToken(owner, id);
    return { removes: [`token:${owner.subject}/${label}`] };
  };

  routes.declare('tokens', 'GET', '/users/:user/tokens', {
    need: ['self', 'administrator'],
    summary: 'Personal tokens of a user, oldest first. Never their secrets.',
    query,
    answers: { 200: listOf(tokenSchema) },
    handle: async ({ params, query: page }) => listTokens(await ownerByUser(params.user), page),
  });
  routes.declare('tokens', 'POST', '/users/:user/tokens', {
    need: ['self'],
    summary: 'Makes a personal token. Only for oneself; it never does more than its owner may.',
    body: newToken,
    answers: { 201: withSecret },
    handle: async (call) => addToken(await ownerByUser(call.params.user), call),
  });
  routes.declare('tokens', 'DELETE', '/users/:user/tokens/:id', {
    need: ['self', 'administrator'],
    summary: 'Ends a personal token, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => currentToken(await ownerByUser(params.user), params.id),
    plan: async ({ params }) => planOf(await ownerByUser(params.user), params.id),
    handle: async (call) => removeToken(await ownerByUser(call.params.user), call.params.id, call),
  });

  routes.declare('tokens', 'GET', '/namespaces/:namespace/robots/:robot/tokens', {
    need: ['admin'],
    summary: 'Tokens of a robot, oldest first. Never their secrets.',
    query,
    answers: { 200: listOf(tokenSchema) },
    handle: async ({ params, query: page }) => listTokens(await ownerByRobot(params), page),
  });
  routes.declare('tokens', 'POST', '/namespaces/:namespace/robots/:robot/tokens', {
    need: ['admin'],
    summary: 'Makes a token of a robot. Several may live at a time, for a change without a gap.',
    body: newToken,
    answers: { 201: withSecret },
    handle: async (call) => addToken(await ownerByRobot(call.params), call),
  });
  routes.declare('tokens', 'DELETE', '/namespaces/:namespace/robots/:robot/tokens/:id', {
    need: ['admin'],
    summary: 'Ends a token of a robot, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => currentToken(await ownerByRobot(params), params.id),
    plan: async ({ params }) => planOf(await ownerByRobot(params), params.id),
    handle: async (call) => removeToken(await ownerByRobot(call.params), call.params.id, call),
  });
}

function showToken(token: Credential): Static<typeof tokenSchema> {
  return {
    ...taggedToken(token),
    lastUsedAt: timeTextOrNull(token.lastUsedAt),
    lastUsedFrom: token.lastUsedFrom ?? null,
  };
}

// Without its last use, which moves by itself.
function taggedToken(token: Credential) {
  return {
    id: token.id,
    name: token.label,
    role: token.role ?? null,
    repositories: token.patterns === undefined ? null : [...token.patterns],
    createdAt: timeText(token.createdAt),
    expiresAt: timeTextOrNull(token.expiresAt),
  };
}

/** The number in a path; -1, which nothing has, for anything else. */
export function numberOf(text: string): number {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : -1;
}
