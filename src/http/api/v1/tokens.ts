// Tokens: personal ones, which only their owner can make, and those of robots, which who administers the namespace makes.
import { type Static, Type } from 'typebox';
import { boundsOf, expiryOf, mostPatterns } from '../../../auth/token-issuing.ts';
import { type Credential, type CredentialStore, roles } from '../../../storage/account-store.ts';
import type { Origin } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { type SortedQuery, sortedByCreation } from './pages.ts';
import { notFound, Problem, parseMember } from './problem.ts';
import { findRobot, type RobotParams } from './robots.ts';
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
  const tokens = new TokensOfOwners(context);
  personalTokens(routes, context, tokens);
  robotTokens(routes, context, tokens);
}

function personalTokens(routes: Routes, context: ApiContext, tokens: TokensOfOwners): void {
  const ownerOf = async ({ user }: { readonly user: string }): Promise<Owner> => {
    const { name: subject } = await findUser(context, user);
    return { kind: 'personal', subject, path: `/users/${subject}/tokens` };
  };

  routes.declare('tokens', 'GET', '/users/:user/tokens', {
    need: ['self', 'administrator'],
    summary: 'Personal tokens of a user, oldest first. Never their secrets.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(tokenSchema) },
    handle: async ({ params, query }) => tokens.list(await ownerOf(params), query),
  });
  routes.declare('tokens', 'POST', '/users/:user/tokens', {
    need: ['self'],
    summary: 'Makes a personal token. Only for oneself; it never does more than its owner may.',
    body: newToken,
    answers: { 201: withSecret },
    handle: async (call) => tokens.add(await ownerOf(call.params), call),
  });
  routes.declare('tokens', 'DELETE', '/users/:user/tokens/:id', {
    need: ['self', 'administrator'],
    summary: 'Ends a personal token, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => tokens.current(await ownerOf(params), params.id),
    plan: async ({ params }) => tokens.plan(await ownerOf(params), params.id),
    handle: async ({ params, origin }) => tokens.remove(await ownerOf(params), params.id, origin),
  });
}

function robotTokens(routes: Routes, context: ApiContext, tokens: TokensOfOwners): void {
  const ownerOf = async (params: RobotParams): Promise<Owner> => {
    const { name: subject, namespace } = await findRobot(context, params);
    return { kind: 'robot', subject, path: `/namespaces/${namespace}/robots/${subject}/tokens` };
  };

  routes.declare('tokens', 'GET', '/namespaces/:namespace/robots/:robot/tokens', {
    need: ['admin'],
    summary: 'Tokens of a robot, oldest first. Never their secrets.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(tokenSchema) },
    handle: async ({ params, query }) => tokens.list(await ownerOf(params), query),
  });
  routes.declare('tokens', 'POST', '/namespaces/:namespace/robots/:robot/tokens', {
    need: ['admin'],
    summary: 'Makes a token of a robot. Several may live at a time, for a change without a gap.',
    body: newToken,
    answers: { 201: withSecret },
    handle: async (call) => tokens.add(await ownerOf(call.params), call),
  });
  routes.declare('tokens', 'DELETE', '/namespaces/:namespace/robots/:robot/tokens/:id', {
    need: ['admin'],
    summary: 'Ends a token of a robot, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => tokens.current(await ownerOf(params), params.id),
    plan: async ({ params }) => tokens.plan(await ownerOf(params), params.id),
    handle: async ({ params, origin }) => tokens.remove(await ownerOf(params), params.id, origin),
  });
}

/** What is the same for both kinds. A token is found only among those of its owner. */
class TokensOfOwners {
  readonly #context: ApiContext;
  readonly #store: CredentialStore;

  constructor(context: ApiContext) {
    this.#context = context;
    this.#store = context.registry.metadata.accounts.credentials;
  }

  async list({ kind, subject }: Owner, page: SortedQuery): Promise<Answer> {
    const limit = page.limit ?? this.#context.config.limits.pageSize;
    const found = await this.#store.list(subject, { ...sortedByCreation.read(page), kinds: [kind], limit });
    return list(sortedByCreation.page(page, found, showToken, ({ id }) => id));
  }

  async add({ kind, subject, path }: Owner, call: Call<unknown, unknown, NewToken>): Promise<Answer> {
    const { body, rights, now, origin } = call;
    const { personalToken, robotToken } = this.#context.config.auth;
    const settings = kind === 'personal' ? personalToken : robotToken;
    const asked =
      typeof body.expiresAt === 'string' ? parseTime(body.expiresAt, '/expiresAt') : body.expiresAt;
    const expiresAt = parseMember('/expiresAt', () => expiryOf(asked, now, settings));
    const wanted = {
      role: body.role ?? (kind === 'personal' ? personalRole : undefined),
      patterns: body.repositories,
    };
    const bounds = parseMember('/repositories', () => boundsOf(wanted, rights.ceiling));
    const options = { kind, subject, label: body.name, ...bounds, expiresAt, origin };
    const made = await this.#context.authority.credentials.create(options);
    if (made.outcome === 'exists') {
      throw new Problem('exists', `${subject} has a token named ${body.name} already`);
    }
    if (made.outcome === 'unknown') throw notFound(`${kind === 'robot' ? 'robot' : 'user'} ${subject}`);
    const { credential, secret } = made;
    return created(`${path}/${credential.id}`, showToken(credential), { secret });
  }

  async current(owner: Owner, id: string): Promise<object | undefined> {
    const token = await this.#find(owner, id);
    return token && taggedToken(token);
  }

  async plan(owner: Owner, id: string): Promise<object> {
    const token = await this.#find(owner, id);
    if (token === undefined) throw noToken(owner, id);
    return { removes: [`token:${owner.subject}/${token.label}`] };
  }

  async remove(owner: Owner, id: string, origin: Origin): Promise<Answer> {
    const { kind, subject } = owner;
    const removed = await this.#store.remove({ subject, id: numberOf(id), kinds: [kind], origin });
    if (!removed) throw noToken(owner, id);
    return nothing;
  }

  async #find({ kind, subject }: Owner, id: string): Promise<Credential | undefined> {
    const token = await this.#store.find(numberOf(id));
    return token?.kind === kind && token.subject === subject ? token : undefined;
  }
}

function noToken({ subject }: Owner, id: string): Problem {
  return notFound(`token ${id.slice(0, 20)} of ${subject}`);
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
