// Grants: who has which role on which repositories of a namespace, or on the whole registry.
import { type Static, Type } from 'typebox';
import { formatSubject, parseSubject } from '../../../auth/account-name.ts';
import {
  mayGrantOn,
  mostNotedRepositories,
  notesOnObject,
  parseGrantObject,
  refusalOfRole,
} from '../../../auth/granting.ts';
import { matchesPattern } from '../../../auth/pattern.ts';
import type { Grant } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { findNamespace } from './namespaces.ts';
import { afterNumber, pageMembers, pageOf } from './pages.ts';
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
  const { grants, namespaces } = context.registry.metadata.accounts;
  const query = strict(pageMembers);

  async function putGrant(
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
    if (!mayGrantOn(rights, pattern, now)) {
      const held = rights.adminPatterns(now).join(', ') || 'nothing';
      throw new Problem(
        'denied',
        `${rights.name} may not give roles on ${pattern}: it has the role admin on ${held}`,
      );
    }
    const put = await grants.put({
      namespace,
      subject: subject.name,
      pattern,
      role: body.role,
      expiresAt,
      origin,
    });
    if (!('grant' in put)) {
      if (put.outcome === 'unknown-namespace') throw notFound(`namespace ${namespace ?? ''}`);
      throw invalidMember('/subject', `there is no ${subject.kind} ${subject.name}`);
    }
    const shown = showGrant(put.grant);
    const once = namespace === undefined ? {} : await describeReach(pattern, namespace);
    return put.outcome === 'created'
      ? created(`${path}/${put.grant.id}`, shown, once)
      : found({ ...shown, ...once }, shown);
  }

  /** What a person wants to know of the object. */
  async function describeReach(pattern: string, namespace: string) {
    const isNamespace = !pattern.includes('/') && (await namespaces.find(pattern)) !== undefined;
    const repositories = await namespaces.listRepositories(namespace, mostNotedRepositories);
    const matched = repositories.filter((name) => matchesPattern(pattern, name)).length;
    const notes = notesOnObject(pattern, repositories, isNamespace);
    return {
      ...(repositories.length < mostNotedRepositories ? { repositories: matched } : {}),
      ...(notes.length === 0 ? {} : { notes }),
    };
  }

  async function findGrant(id: string, namespace: string | undefined): Promise<Grant | undefined> {
    const grant = await grants.find(numberOf(id));
    return grant?.namespace === namespace ? grant : undefined;
  }

  /** A grant that the caller may take away, or the not-found Problem: of what is elsewhere he need not know. */
  async function findOwn(
    call: Call<{ readonly id: string }, unknown, unknown>,
    namespace: string | undefined,
  ) {
    const grant = await findGrant(call.params.id, namespace);
    const isHis = grant !== undefined && (sees(call) || mayGrantOn(call.rights, grant.pattern, call.now));
    if (!isHis) throw notFound(`grant ${call.params.id.slice(0, 20)}`);
    return grant;
  }

  const sees = ({ rights }: Call<unknown, unknown, unknown>) => rights.registryRole !== 'user';

  async function removeGrant(
    call: Call<{ readonly id: string }, unknown, unknown>,
    namespace: string | undefined,
  ): Promise<Answer> {
    const { id } = await findOwn(call, namespace);
    if (!(await grants.remove({ id, origin: call.origin })))
      throw notFound(`grant ${call.params.id.slice(0, 20)}`);
    return nothing;
  }

  const planOf = ({ pattern }: Grant) => ({ removes: [`grant:${pattern}`] });
  const shownOrNothing = (grant: Grant | undefined) => grant && showGrant(grant);

  routes.declare('grants', 'GET', '/namespaces/:namespace/grants', {
    need: ['admin-of-part'],
    summary: 'Grants in a namespace, oldest first. Whoever is admin of a part of it sees those on that part.',
    query,
    answers: { 200: listOf(grantSchema) },
    handle: async (call) => {
      const { params, query: page, rights, now } = call;
      await findNamespace(context, params.namespace);
      const limit = page.limit ?? context.config.limits.pageSize;
      const all = await grants.list(params.namespace, { after: afterNumber(page), limit });
      const { next } = pageOf(all, showGrant, ({ id }) => id);
      const seen = all.items.filter(({ pattern }) => sees(call) || mayGrantOn(rights, pattern, now));
      return list({ items: seen.map(showGrant), next });
    },
  });
  routes.declare('grants', 'POST', '/namespaces/:namespace/grants', {
    need: ['admin-of-part'],
    summary:
      'Gives a role on repositories of a namespace to a user, team, robot, authenticated or anonymous.',
    description:
      'The same subject and object again: 200, and role and end are replaced. Only on what the caller has the role admin on.',
    body: newGrant,
    answers: { 200: withNotes, 201: withNotes },
    handle: (call) => putGrant(call, call.params.namespace, `/namespaces/${call.params.namespace}/grants`),
  });
  routes.declare('grants', 'DELETE', '/namespaces/:namespace/grants/:id', {
    need: ['admin-of-part'],
    summary: 'Takes a grant away, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => shownOrNothing(await findGrant(params.id, params.namespace)),
    plan: async (call) => planOf(await findOwn(call, call.params.namespace)),
    handle: (call) => removeGrant(call, call.params.namespace),
  });

  routes.declare('grants', 'GET', '/grants', {
    need: ['administrator', 'auditor'],
    summary: 'Grants on the whole registry, oldest first.',
    query,
    answers: { 200: listOf(grantSchema) },
    handle: async ({ query: page }) => {
      const limit = page.limit ?? context.config.limits.pageSize;
      const all = await grants.list(undefined, { after: afterNumber(page), limit });
      return list(pageOf(all, showGrant, ({ id }) => id));
    },
  });
  routes.declare('grants', 'POST', '/grants', {
    need: ['administrator'],
    summary: 'Gives a role on the whole registry: object **.',
    body: newGrant,
    answers: { 200: withNotes, 201: withNotes },
    handle: (call) => putGrant(call, undefined, '/grants'),
  });
  routes.declare('grants', 'DELETE', '/grants/:id', {
    need: ['administrator'],
    summary: 'Takes a registry-wide grant away, from the next request on.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => shownOrNothing(await findGrant(params.id, undefined)),
    plan: async (call) => planOf(await findOwn(call, undefined)),
    handle: (call) => removeGrant(call, undefined),
  });
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
