// Why somebody may or may not do something with a repository.
import { Type } from 'typebox';
import { formatSubject, parseSubject, type Subject } from '../../../auth/account-name.ts';
import { type Explanation, explain } from '../../../auth/explain.ts';
import type { Reason, Rights } from '../../../auth/rights.ts';
import { includesRole } from '../../../auth/roles.ts';
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import type { Grant, HeldGrant } from '../../../storage/account-store.ts';
import type { Visibility } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { seesSubject } from './grants.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { found, type Routes } from './route.ts';
import { nullable, role, strict, time, timeTextOrNull } from './schemas.ts';

const action = Type.Enum(['pull', 'push', 'delete']);
const heldGrant = strict({
  id: Type.Integer(),
  subject: Type.String(),
  object: Type.String(),
  role,
  expiresAt: nullable(time),
});
const because = strict({
  kind: Type.Enum(['administrator', 'auditor', 'owner', 'visibility', 'grant']),
  role,
  grant: Type.Optional(heldGrant),
  visibility: Type.Optional(Type.Enum(['internal', 'public'])),
  namespace: Type.Optional(Type.String()),
});
const explanation = strict({
  subject: Type.String(),
  repository: Type.String(),
  enabled: Type.Boolean({ description: 'false: disabled, and so without any right for now.' }),
  role: nullable(role, 'null: none; to this subject the repository does not exist.'),
  actions: Type.Array(action),
  because: Type.Array(because),
  limitedBy: Type.Array(strict({ role: nullable(role), repositories: nullable(Type.Array(Type.String())) }), {
    description: 'Bounds of the credential in use that take something away; of oneself only.',
  }),
  missing: Type.Array(
    strict({
      action,
      needed: role,
      nearest: nullable(
        heldGrant,
        'A grant to a team that would do, for users; told to who administers the repository.',
      ),
    }),
  ),
});
const scannedGrants = 1000;

export function accessRoutes(routes: Routes, context: ApiContext): void {
  const { policy } = context.authority;

  routes.declare('access', 'GET', '/access', {
    need: ['signed-in'],
    summary: 'What a user, a robot or anonymous may do with a repository, and why.',
    description: 'Of oneself; of others for who has the role admin on the repository.',
    query: strict({
      subject: Type.Optional(
        Type.String({ minLength: 1, maxLength: 200, description: 'Default: who asks.' }),
      ),
      repository: Type.String({ minLength: 1, maxLength: 300 }),
    }),
    answers: { 200: explanation },
    handle: async (call) => {
      const { query, principal, rights: own, now } = call;
      const repository = parseMember('/query/repository', () => parseRepositoryName(query.repository));
      const subject = parseMember('/query/subject', () => subjectOf(query.subject, own));
      const isSelf = subject.name === principal.name;
      const visibility = await policy.findVisibility(repository);
      const administers =
        includesRole(own.roleOn(repository, visibility, now), 'admin') || own.registryRole !== 'user';
      if (!isSelf && !administers) throw refuse(own, repository, visibility, now);
      const grants = administers ? await grantsAround(repository) : [];
      const isKnown = isSelf || grants.some((grant) => grant.subject === subject.name);
      if (!isKnown && !(await seesSubject(context, call, subject)))
        throw notFound(`${subject.kind} ${subject.name}`);
      const rights = isSelf ? own : await rightsOf(subject);
      const explained = explain({ rights, repository, visibility, grants, now });
      const enabled = isSelf || (await isEnabled(subject));
      return found({ subject: formatSubject(subject), repository, enabled, ...show(explained) });
    },
  });

  async function rightsOf({ kind, name }: Subject): Promise<Rights> {
    if (kind === 'anonymous') return await policy.rightsOfAnonymous();
    if (kind === 'team' || kind === 'authenticated') {
      throw invalidMember('/query/subject', 'ask for a user, a robot or anonymous');
    }
    const rights = await policy.rightsOfName(name);
    if (rights === undefined) throw notFound(`${kind} ${name}`);
    return rights;
  }

  async function isEnabled({ name }: Subject): Promise<boolean> {
    const facts = await context.registry.metadata.accounts.policy.findSubjectByName(name);
    return facts?.disabled !== true;
  }

  async function grantsAround(repository: RepositoryName): Promise<readonly Grant[]> {
    const { grants } = context.registry.metadata.accounts;
    const page = { limit: scannedGrants };
    const [within, everywhere] = await Promise.all([
      grants.list(namespaceOf(repository), page),
      grants.list(undefined, page),
    ]);
    return [...within.items, ...everywhere.items];
  }
}

// Who came by the socket has no name that a subject could have.
function subjectOf(text: string | undefined, own: Rights): Subject {
  if (text !== undefined) return parseSubject(text);
  if (own.kind === 'user' || own.kind === 'robot') return { kind: own.kind, name: own.name };
  throw invalidMember('/query/subject', 'say whose access is to be explained');
}

function refuse(
  own: Rights,
  repository: RepositoryName,
  visibility: Visibility | undefined,
  now: number,
): Problem {
  if (own.roleOn(repository, visibility, now) === undefined) return notFound(`repository ${repository}`);
  return new Problem(
    'denied',
    `${own.name} may only ask about ${own.name}: about others it takes the role admin on ${repository}`,
  );
}

function show({ role: held, actions, because: reasons, limitedBy, missing }: Explanation) {
  return {
    role: held ?? null,
    actions,
    because: reasons.map(showReason),
    limitedBy:
      limitedBy === undefined
        ? []
        : [{ role: limitedBy.role ?? null, repositories: limitedBy.patterns ?? null }],
    missing: missing.map(({ nearest, ...rest }) => ({
      ...rest,
      nearest: nearest === undefined ? null : showHeld(nearest),
    })),
  };
}

function showReason(reason: Reason): object {
  const { kind, role: given } = reason;
  switch (kind) {
    case 'grant':
      return { kind, role: given, grant: showHeld(reason.grant) };
    case 'visibility':
      return { kind, role: given, visibility: reason.visibility };
    case 'owner':
      return { kind, role: given, namespace: reason.namespace };
    default:
      return { kind, role: given };
  }
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
