// What an endpoint needs, and whether somebody has it. Anyone of an endpoint's needs is enough. Beyond them, everywhere: an
// administrator may all but what is `self` alone, an auditor every GET. The bounds of a credential hold here too:
//   - one that is limited to some repositories reaches what needs a role on their namespace and what its owner is told about
//     itself (`signed-in`); accounts, tokens, organizations and the registry as a whole are beyond it;
//   - one with a role below admin reads what its owner may read and changes nothing that needs more than that role; accounts,
//     tokens, organizations and the registry take the role admin.
import type { Principal } from '../../../auth/access.ts';
import { isWithin, namespaceOfPattern, wholeRegistry } from '../../../auth/pattern.ts';
import type { Rights } from '../../../auth/rights.ts';
import { includesRole } from '../../../auth/roles.ts';
import type { RepositoryName } from '../../../oci/name.ts';
import type { Role } from '../../../storage/account-store.ts';

export const needs = [
  'anyone',
  /** Everybody, with credentials or without: the answer holds what the caller may see. */
  'filtered',
  'signed-in',
  'self',
  'member',
  'owner',
  'by-setting',
  'read',
  'write',
  'maintain',
  'admin',
  /** The role admin on something in the namespace: what belongs to another part of it is left out or refused. */
  'admin-of-part',
  'auditor',
  'administrator',
] as const;
export type Need = (typeof needs)[number];

/** What a request is about, as its path names it. */
export interface Target {
  readonly user?: string | undefined;
  /** Of /namespaces/… or /organizations/…, or of a query member of that name. */
  readonly namespace?: string | undefined;
  /** Of /repositories/…/-/…, with the role that the caller has on it. */
  readonly repository?: { readonly name: RepositoryName; readonly role: Role | undefined } | undefined;
}

/** Namespaces whose robots, grants, rules and settings are for administrators, whatever was granted on what is in them. */
const ownedByAdministrators: ReadonlySet<string> = new Set(['library', 'system']);

export interface Question {
  readonly needs: readonly Need[];
  readonly target: Target;
  /** GET: nothing is changed. */
  readonly reads: boolean;
  readonly principal: Principal;
  readonly rights: Rights;
  /** Whether users may found organizations. */
  readonly usersFound: boolean;
  /** Unix seconds. */
  readonly now: number;
}

/** Whether one of the needs is met. */
export function isMet(question: Question): boolean {
  const { needs: wanted, reads } = question;
  const standing = question.rights.registryRole;
  const isSelfAlone = wanted.length === 1 && wanted[0] === 'self';
  if (standing === 'administrator' && !isSelfAlone) return true;
  if (standing !== 'user' && reads) return true;
  return wanted.some((need) => meets(need, question));
}

/** Whether a credential reaches what is about the account or the registry as a whole, to read or to change. */
export function reachesAccount({ ceiling }: Rights, reads: boolean): boolean {
  if (ceiling?.patterns !== undefined && !isWithin(ceiling.patterns, wholeRegistry)) return false;
  return reads || includesRole(ceiling?.role ?? 'admin', 'admin');
}

function meets(need: Need, { target, reads, principal, rights, usersFound, now }: Question): boolean {
  const isUser = principal.kind === 'user';
  const reachesIt = reachesAccount(rights, reads);
  const { namespace, repository } = target;
  switch (need) {
    case 'anyone':
    case 'filtered':
      return true;
    case 'signed-in':
      return principal.kind !== 'anonymous';
    case 'self':
      return isUser && reachesIt && (target.user === undefined || target.user === principal.name);
    case 'member':
      return namespace !== undefined && rights.memberOf(namespace);
    case 'owner':
      return namespace !== undefined && rights.ownsOrganization(namespace);
    case 'by-setting':
      return isUser && reachesIt && usersFound && !rights.guest && rights.registryRole !== 'auditor';
    case 'read':
    case 'write':
    case 'maintain':
    case 'admin':
      if (repository !== undefined) return includesRole(repository.role, need);
      if (includesRole(need, 'maintain') && ownedByAdministrators.has(namespace ?? '')) return false;
      return namespace !== undefined && includesRole(rights.roleOnNamespace(namespace, now), need);
    case 'admin-of-part':
      if (namespace === undefined || ownedByAdministrators.has(namespace)) return false;
      return rights.adminPatterns(now).some((held) => liesIn(held, namespace));
    case 'auditor':
    case 'administrator':
      // Judged for every endpoint before the single needs.
      return false;
  }
}

function liesIn(pattern: string, namespace: string): boolean {
  return [undefined, namespace].includes(namespaceOfPattern(pattern));
}

const namesOfNeeds: Record<Need, string> = {
  anyone: 'nothing',
  filtered: 'nothing',
  'signed-in': 'signing in',
  self: 'the user whom it is about',
  member: 'a member of the organization',
  owner: 'an owner of the organization',
  'by-setting': 'an administrator, or access.organizationsCreatedBy: users',
  read: 'the role read on the namespace',
  write: 'the role write on the namespace',
  maintain: 'the role maintain on the namespace',
  admin: 'the role admin on the namespace',
  'admin-of-part': 'the role admin on the namespace or a part of it',
  auditor: 'an auditor or administrator',
  administrator: 'an administrator',
};

/** The sentence for somebody who sees the object and may not do this. */
export function sentenceOfRefusal({ needs: wanted, rights, reads, target }: Question): string {
  const named = wanted
    .filter((need) => need !== 'administrator' || !wanted.includes('auditor'))
    .map((need) => namesOfNeeds[need])
    .join(', or ');
  const listed =
    target.repository === undefined ? named : named.replaceAll('on the namespace', 'on the repository');
  const { ceiling } = rights;
  const bounds = [ceiling?.role, ceiling?.patterns?.join(', ')].filter((bound) => bound !== undefined);
  const isBounded = bounds.length > 0 && !reachesAccount(rights, reads);
  const hint = isBounded ? `; the token in use is limited to ${bounds.join(' on ')}` : '';
  return `${rights.name} may not do this: it takes ${listed}${hint}`;
}
