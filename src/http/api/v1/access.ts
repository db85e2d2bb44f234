// Why somebody may or may not do something with a repository.
import { type Static, Type } from 'typebox';
import { formatSubject, parseSubject } from '../../../auth/account-name.ts';
import { matchesPattern } from '../../../auth/pattern.ts';
import type { Reason, Rights } from '../../../auth/rights.ts';
import { includesRole } from '../../../auth/roles.ts';
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import { type Grant, type HeldGrant, type Role, roles } from '../../../storage/account-store.ts';
import type { Visibility } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { invalidMember, notFound, parseMember, Problem } from './problem.ts';
import { found, type Routes } from './route.ts';
import { nullable, role, strict, time, timeTextOrNull } from './schemas.ts';

const because = strict({
  kind: Type.Enum(['administrator', 'auditor', 'owner', 'visibility', 'grant']),
  role,
  grant: Type.Optional(
    strict({ id: Type.Integer(), subject: Type.String(), object: Type.String(), role, expiresAt: nullable(time) }),
  ),
  visibility: Type.Optional(Type.Enum(['internal', 'public'])),
  namespace: Type.Optional(Type.String()),
});
const explanation = strict({
  subject: Type.String(),
  repository: Type.String(),
  role: nullable(role, 'null: none; to this subject the repository does not exist.'),
  actions: Type.Array(Type.String()),
  because: Type.Array(because),
  limitedBy: Type.Array(
    strict({ role: nullable(role), repositories: nullable(Type.Array(Type.String())) }),
    { description: 'Bounds of the credential in use that take something away; for oneself only.' },
  ),
  nearest: Type.Array(
    strict({ id: Type.Integer(), subject: Type.String(), object: Type.String(), role }),
    { description: 'Grants to others that would give more, for who administers the namespace.' },
  ),
});

const actionsByRole: readonly (readonly [Role, readonly string[]])[] = [
  ['read', ['pull', 'list']],
  ['write', ['push']],
  ['maintain', ['delete']],
  ['admin', ['manage']],
];
const mostNearest = 5;
const scannedGrants = 1000;

export function accessRoutes(routes: Routes, context: ApiContext): void {
  routes.declare('access', 'GET', '/access', {
    need: ['signed-in'],
    summary: 'What a user, a robot or anonymous may do with a repository, and why.',
    description: 'Of oneself; of others for who has the role admin on the repository.',
    query: strict({
      subject: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Default: who asks.' })),
      repository: Type.String({ minLength: 1, maxLength: 300 }),
    }),
    answers: { 200: explanation },
    handle: async (call) => {
      const { query, principal, rights: own, now } = call;
      const repository = parseMember('/query/repository', () => parseRepositoryName(query.repository));
      const subject = parseMember('/query/subject', () => parseSubject(query.subject ?? principal.name));
      const isSelf = subject.name === principal.name;
      const visibility = await context.authority.policy.findVisibility(repository);
      const administers = includesRole(own.roleOn(repository, visibility, now), 'admin') || own.registryRole !== 'user';
      if (!isSelf && !administers) throw refuse(own, repository, visibility, now);
      const rights = isSelf ? own : await rightsOfSubject(subject);
      const held = rights.roleOn(repository, visibility, now);
      const limit = rights.limitOn(repository, visibility, now);
      return found({
        subject: formatSubject(subject),
        repository,
        role: held ?? null,
        actions: actionsOf(held),
        because: rights.reasonsFor(repository, visibility, now).map(showReason),
        limitedBy: limit === undefined ? [] : [{ role: limit.role ?? null, repositories: limit.patterns ?? null }],
        nearest: administers ? await nearestGrants(repository, held, rights, now) : [],
      } satisfies Static<typeof explanation> | object);
    },
  });

  async function rightsOfSubject({ kind, name }: ReturnType<typeof parseSubject>): Promise<Rights> {
    if (kind === 'anonymous') return await context.authority.policy.rightsOfAnonymous();
    if (kind === 'team' || kind === 'authenticated') {
      throw invalidMember('/query/subject', 'ask for a user, a robot or anonymous');
    }
    const rights = await context.authority.policy.rightsOfName(name);
    if (rights === undefined) throw notFound(`${kind} ${name}`);
    return rights;
  }

  /** Grants on the repository that give more than `held` and that the subject does not have, the lowest roles first. */
  async function nearestGrants(repository: RepositoryName, held: Role | undefined, rights: Rights, now: number) {
    const { grants } = context.registry.metadata.accounts;
    const page = await grants.list(namespaceOf(repository), { limit: scannedGrants });
    const ownGrants = new Set(
      rights.reasonsFor(repository, undefined, now).map((reason) => ('grant' in reason ? reason.grant.id : 0)),
    );
    const gives = (grant: Grant) =>
      !ownGrants.has(grant.id) &&
      (grant.expiresAt === undefined || grant.expiresAt > now) &&
      !includesRole(held, grant.role) &&
      matchesPattern(grant.pattern, repository);
    return page.items
      .filter(gives)
      .sort((one, other) => roles.indexOf(one.role) - roles.indexOf(other.role))
      .slice(0, mostNearest)
      .map((grant) => {
        const { id, object, subject, role: given } = showHeld(grant);
        return { id, subject, object, role: given };
      });
  }

  function refuse(own: Rights, repository: RepositoryName, visibility: Visibility | undefined, now: number): Problem {
    if (own.roleOn(repository, visibility, now) === undefined) return notFound(`repository ${repository}`);
    return new Problem('denied', `${own.name} may only ask for itself: of others it takes the role admin on ${repository}`);
  }
}

function actionsOf(held: Role | undefined): string[] {
  return actionsByRole.filter(([needed]) => includesRole(held, needed)).flatMap(([, actions]) => actions);
}

function showReason(reason: Reason): object {
  const { kind, role: given } = reason;
  if (kind === 'grant') return { kind, role: given, grant: showHeld(reason.grant) };
  if (kind === 'visibility') return { kind, role: given, visibility: reason.visibility };
  if (kind === 'owner') return { kind, role: given, namespace: reason.namespace };
  return { kind, role: given };
}

function showHeld(grant: HeldGrant) {
  return {
    id: grant.id,
    subject: formatSubject({ kind: grant.subjectKind, name: grant.subject }),
    object: grant.pattern,
    role: grant.role,
    expiresAt: timeTextOrNull(grant.expiresAt),
  };
}
