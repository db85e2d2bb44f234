// Grants: who has which role on which repositories of a namespace, or on the whole registry.
import { type Static, Type } from 'typebox';
import { formatSubject, parseSubject, type Subject } from '../../../auth/account-name.ts';
import {
  mayGrantOn,
  mostNotedRepositories,
  notesOnObject,
  parseGrantObject,
  refusalOfRole,
} from '../../../auth/granting.ts';
import { matchesPattern } from '../../../auth/pattern.ts';
import type { Rights } from '../../../auth/rights.ts';
import type { Grant, GrantStore } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { findNamespace } from './namespaces.ts';
import { seesNamespace } from './needs-guard.ts';
import { type SortedQuery, sortedByCreation } from './pages.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { type Answer, type Call, created, found, list, nothing, type Routes } from './route.ts';
import { listOf, nullable, parseTime, role, strict, time, timeText, timeTextOrNull } from './schemas.ts';
import { numberOf } from './tokens.ts';

export const grantSchema = strict({
  id: Type.Integer(),
  subject: Type.String({ description: 'alice, team:acme/dev, acme+ci, authenticated or anonymous.' }),
  object: Type.String({
    description: 'A pattern of full repository names: acme/web, acme/web-*, acme/**, **.',
  }),
  role,
  expiresAt: nullable(time, 'null: never.'),
  grantedBy: Type.String(),
  createdAt: time,
});
const withNotes = strict({
  ...grantSchema.properties,
  repositories: Type.Optional(
    Type.Integer({ description: 'That the object matches now, where they are few.' }),
  ),
  notes: Type.Optional(Type.Array(Type.String(), { description: 'What the person should know about it.' })),
});
const newGrant = strict({
  subject: Type.String({ minLength: 1, maxLength: 200 }),
  object: Type.String({ minLength: 1, maxLength: 300 }),
  role,
  expiresAt: Type.Optional(nullable(time)),
});
type NewGrant = Static<typeof newGrant>;

export function grantRoutes(routes: Routes, context: ApiContext): void {
  const grants = new GrantsOf(context);
  grantsInNamespace(routes, grants);
  grantsOnRegistry(routes, grants);
}

function grantsInNamespace(routes: Routes, grants: GrantsOf): void {
  routes.declare('grants', 'GET', '/namespaces/:namespace/grants', {
    need: ['admin-of-part'],
    summary: 'Grants in a namespace, oldest first. Whoever is admin of a part of it sees those on that part.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(grantSchema) },
    handle: (call) => grants.list(call, call.params.namespace),
  });
  routes.declare('grants', 'POST', '/namespaces/:namespace/grants', {
    need: ['admin-of-part'],
    summary:
      'Gives a role on repositories of a namespace to a user, team, robot, authenticated or anonymous.',
    description:
      'The same subject and object again: 200, and role and end are replaced. Only on what the caller has the role admin on.',
    body: newGrant,
    answers: { 200: withNotes, 201: withNotes },
    handle: (call) => grants.put(call, call.params.namespace, `/namespaces/${call.params.namespace}/grants`),
  });
  routes.declare('grants', 'DELETE', '/namespaces/:namespace/grants/:id', {
    need: ['admin-of-part'],
    summary: 'Takes a grant away, from the next request on.',
    answers: { 204: Type.Null() },
    current: (call) => grants.current(call, call.params.namespace),
    plan: (call) => grants.plan(call, call.params.namespace),
    handle: (call) => grants.remove(call, call.params.namespace),
  });
}

function grantsOnRegistry(routes: Routes, grants: GrantsOf): void {
  routes.declare('grants', 'GET', '/grants', {
    need: ['administrator', 'auditor'],
    summary: 'Grants on the whole registry, oldest first.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(grantSchema) },
    handle: (call) => grants.list(call, undefined),
  });
  routes.declare('grants', 'POST', '/grants', {
    need: ['administrator'],
    summary: 'Gives a role on the whole registry: object **.',
    body: newGrant,
    answers: { 200: withNotes, 201: withNotes },
    handle: (call) => grants.put(call, undefined, '/grants'),
  });
  routes.declare('grants', 'DELETE', '/grants/:id', {
    need: ['administrator'],
    summary: 'Takes a registry-wide grant away, from the next request on.',
    answers: { 204: Type.Null() },
    current: (call) => grants.current(call, undefined),
    plan: (call) => grants.plan(call, undefined),
    handle: (call) => grants.remove(call, undefined),
  });
}

type ById = Call<{ readonly id: string }, unknown, unknown>;

/** What is the same in a namespace and on the whole registry (`namespace` undefined). A grant is found only where it is. */
class GrantsOf {
  readonly #context: ApiContext;
  readonly #store: GrantStore;

  constructor(context: ApiContext) {
    this.#context = context;
    this.#store = context.registry.metadata.accounts.grants;
  }

  async list(call: Call<unknown, SortedQuery, unknown>, namespace: string | undefined): Promise<Answer> {
    if (namespace !== undefined) await findNamespace(this.#context, namespace);
    const { query } = call;
    const limit = query.limit ?? this.#context.config.limits.pageSize;
    // Read until there is one more than wanted: where a page ends tells nothing of the grants that are left out.
    const seen: Grant[] = [];
    const wanted = sortedByCreation.read(query);
    let { after } = wanted;
    for (;;) {
      const page = await this.#store.list(namespace, { ...wanted, after, limit: limit + 1 });
      seen.push(...page.items.filter((grant) => isFor(call, grant)));
      if (seen.length > limit || !page.more) break;
      after = page.items.at(-1)?.id;
    }
    const page = { items: seen.slice(0, limit), more: seen.length > limit };
    return list(sortedByCreation.page(query, page, showGrant, ({ id }) => id));
  }

  async put(
    call: Call<unknown, unknown, NewGrant>,
    namespace: string | undefined,
    path: string,
  ): Promise<Answer> {
    const { body, rights, now, origin } = call;
    const subject = parseMember('/subject', () => parseSubject(body.subject));
    const pattern = parseMember('/object', () => parseGrantObject(body.object, namespace));
    const refusal = refusalOfRole(subject, body.role);
    if (refusal !== undefined) throw invalidMember('/role', refusal);
    const expiresAt =
      typeof body.expiresAt === 'string' ? parseTime(body.expiresAt, '/expiresAt') : undefined;
    if (expiresAt !== undefined && expiresAt <= now)
      throw invalidMember('/expiresAt', 'choose a time to come');
    if (!mayGrantOn(rights, pattern, now)) throw notHis(rights, pattern, now);
    if (!(await seesSubject(this.#context, call, subject))) throw noSubject(subject);
    const { role: given } = body;
    const put = await this.#store.put({
      namespace,
      subject: subject.name,
      pattern,
      role: given,
      expiresAt,
      origin,
    });
    if (!('grant' in put)) {
      if (put.outcome === 'unknown-namespace') throw notFound(`namespace ${namespace ?? ''}`);
      throw noSubject(subject);
    }
    const shown = showGrant(put.grant);
    const once = namespace === undefined ? {} : await this.#describeReach(call, pattern, namespace);
    return put.outcome === 'created'
      ? created(`${path}/${put.grant.id}`, shown, once)
      : found({ ...shown, ...once }, shown);
  }

  async current(call: ById, namespace: string | undefined): Promise<object | undefined> {
    const grant = await this.#find(call, namespace);
    return grant && showGrant(grant);
  }

  async plan(call: ById, namespace: string | undefined): Promise<object> {
    const { pattern } = await this.#findOwn(call, namespace);
    return { removes: [`grant:${pattern}`] };
  }

  async remove(call: ById, namespace: string | undefined): Promise<Answer> {
    const { id } = await this.#findOwn(call, namespace);
    if (!(await this.#store.remove({ id, origin: call.origin }))) throw noGrant(call);
    return nothing;
  }

  /** A grant that the caller may take away, or the not-found Problem: of what is elsewhere he need not know. */
  async #findOwn(call: ById, namespace: string | undefined): Promise<Grant> {
    const grant = await this.#find(call, namespace);
    if (grant === undefined) throw noGrant(call);
    return grant;
  }

  async #find(call: ById, namespace: string | undefined): Promise<Grant | undefined> {
    const grant = await this.#store.find(numberOf(call.params.id));
    return grant !== undefined && grant.namespace === namespace && isFor(call, grant) ? grant : undefined;
  }

  /** What a person wants to know of the object; nothing of repositories that he has no right on. */
  async #describeReach({ rights, now }: Call<unknown, unknown, unknown>, pattern: string, namespace: string) {
    const { namespaces } = this.#context.registry.metadata.accounts;
    const isNamespace = !pattern.includes('/') && (await namespaces.find(pattern)) !== undefined;
    const repositories = await namespaces.listRepositories(namespace, mostNotedRepositories);
    const matched = repositories.filter((name) => matchesPattern(pattern, name)).length;
    const own = repositories.filter((name) => rights.roleOn(name, undefined, now) !== undefined);
    const notes = notesOnObject(pattern, own, isNamespace);
    return {
      ...(repositories.length < mostNotedRepositories ? { repositories: matched } : {}),
      ...(notes.length === 0 ? {} : { notes }),
    };
  }
}

/** Whether a grant is the caller's business: on what he is admin of, and for administrators and auditors always. */
function isFor({ rights, now }: Call<unknown, unknown, unknown>, { pattern }: Grant): boolean {
  return rights.registryRole !== 'user' || mayGrantOn(rights, pattern, now);
}

/** Whether somebody may know of a team or robot: of who sees where it belongs. Users and groups are everybody's to name. */
export async function seesSubject(
  context: ApiContext,
  call: Call<unknown, unknown, unknown>,
  { kind, name }: Subject,
): Promise<boolean> {
  if (kind !== 'team' && kind !== 'robot') return true;
  const [namespace = ''] = name.split(/[/+]/);
  return await seesNamespace(context, call, namespace);
}

function noSubject({ kind, name }: Subject): Problem {
  return invalidMember('/subject', `there is no ${kind} ${name}`);
}

function notHis(rights: Rights, pattern: string, now: number): Problem {
  const held = rights.adminPatterns(now).join(', ') || 'nothing';
  return new Problem(
    'denied',
    `${rights.name} may not give roles on ${pattern}: it has the role admin on ${held}`,
  );
}

function noGrant({ params }: ById): Problem {
  return notFound(`grant ${params.id.slice(0, 20)}`);
}

export function showGrant(grant: Grant): Static<typeof grantSchema> {
  return {
    id: grant.id,
    subject: formatSubject({ kind: grant.subjectKind, name: grant.subject }),
    object: grant.pattern,
    role: grant.role,
    expiresAt: timeTextOrNull(grant.expiresAt),
    grantedBy: grant.grantedBy,
    createdAt: timeText(grant.createdAt),
  };
}
