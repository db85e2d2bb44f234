// Why somebody may or may not do something in a repository, for `berth access explain`: the reasons behind a role, the bounds of
// the credential, and for what is missing the nearest team that has it.
import type { RepositoryName } from '../oci/name.ts';
import type { Grant, HeldGrant, Role } from '../storage/account-store.ts';
import type { Visibility } from '../storage/metadata-store.ts';
import { type Ceiling, roleForAction } from './access.ts';
import { actionsOf, type RepositoryAction } from './grant-scopes.ts';
import { matchesPattern } from './pattern.ts';
import type { Reason, Rights } from './rights.ts';
import { includesRole, rankOf } from './roles.ts';

export interface Missing {
  readonly action: RepositoryAction;
  readonly needed: Role;
  /** A grant to a team that a user could join; undefined: there is none, one has to be made. */
  readonly nearest: HeldGrant | undefined;
}

export interface Explanation {
  /** undefined: none, the repository looks as if it did not exist. */
  readonly role: Role | undefined;
  readonly actions: readonly RepositoryAction[];
  readonly because: readonly Reason[];
  /** The ceiling of the credential, where it takes something away. */
  readonly limitedBy: Ceiling | undefined;
  readonly missing: readonly Missing[];
}

export interface Question {
  readonly rights: Rights;
  readonly repository: RepositoryName;
  readonly visibility: Visibility | undefined;
  /** Those of the repository's namespace and of the whole registry. */
  readonly grants: readonly (Grant | HeldGrant)[];
  /** Unix seconds. */
  readonly now: number;
}

export function explain(question: Question): Explanation {
  const { rights, repository, visibility, now } = question;
  const role = rights.roleOn(repository, visibility, now);
  const actions = actionsOf(role);
  const missing = (Object.keys(roleForAction) as RepositoryAction[])
    .filter((action) => !actions.includes(action))
    .map((action) => ({
      action,
      needed: roleForAction[action],
      nearest: nearest(question, roleForAction[action]),
    }));
  return {
    role,
    actions,
    because: rights.reasonsFor(repository, visibility, now),
    limitedBy: rights.limitOn(repository, visibility, now),
    missing,
  };
}

// The least role that does, then the narrowest pattern. Only users are in teams.
function nearest({ rights, repository, grants, now }: Question, needed: Role): HeldGrant | undefined {
  if (rights.kind !== 'user') return undefined;
  const fitting = grants.filter(
    ({ subjectKind, role, pattern, expiresAt }) =>
      subjectKind === 'team' &&
      includesRole(role, needed) &&
      (expiresAt === undefined || expiresAt > now) &&
      matchesPattern(pattern, repository),
  );
  const [best] = [...fitting].sort(
    (one, other) =>
      rankOf(one.role) - rankOf(other.role) || other.pattern.length - one.pattern.length || one.id - other.id,
  );
  return best;
}
