// The rules of giving: what object and role a grant may have, who may give it, and what a person should be told about it.
import type { RepositoryName } from '../oci/name.ts';
import type { Role } from '../storage/account-store.ts';
import { InvalidNameError, isAccountName, type Subject } from './account-name.ts';
import {
  everythingIn,
  isWithin,
  matchesPattern,
  namespaceOfPattern,
  type Pattern,
  parsePattern,
  wholeRegistry,
} from './pattern.ts';
import type { Rights } from './rights.ts';

/**
 * The object of a grant in `namespace` (undefined: registry-wide, where it is `**`). Throws InvalidNameError with a sentence,
 * which for a bare namespace asks what was probably meant.
 */
export function parseGrantObject(text: string, namespace: string | undefined): Pattern {
  const pattern = parsePattern(text);
  if (namespace === undefined) {
    if (pattern === wholeRegistry) return pattern;
    throw new InvalidNameError(
      `registry-wide grants have the object **; give ${text} in its namespace instead`,
    );
  }
  const found = namespaceOfPattern(pattern);
  if (found === namespace) return pattern;
  if (found === undefined) {
    throw new InvalidNameError('** is the whole registry, and administrators give it: see /api/v1/grants');
  }
  if (text === namespace && isAccountName(text)) {
    throw new InvalidNameError(
      `${text} alone is the repository of that name in library; did you mean ${everythingIn(text)}?`,
    );
  }
  throw new InvalidNameError(
    `${text} is not in the namespace ${namespace}: its objects begin with ${namespace}/`,
  );
}

/** Why a role cannot be given to a subject, whoever gives it; undefined: it can. */
export function refusalOfRole(subject: Subject, role: Role): string | undefined {
  if (subject.kind !== 'anonymous' || role === 'read') return undefined;
  return `anonymous may only be given read, not ${role}: nobody could tell who pushed`;
}

/** Whether the holder of `rights` may give roles on `pattern`: admin on all that it matches. Then no role is more than its own. */
export function mayGrantOn(rights: Rights, pattern: string, now: number): boolean {
  return isWithin(rights.adminPatterns(now), pattern);
}

/** Repositories that are looked at for notes on a pattern. */
export const mostNotedRepositories = 1000;
const shownRepositories = 3;

/**
 * Notes on a grant's object, for the person who gives it. `repositories` are those of its namespace that there are now;
 * `isNamespace`: the object is also the name of a namespace.
 */
export function notesOnObject(
  pattern: string,
  repositories: readonly RepositoryName[],
  isNamespace: boolean,
): readonly string[] {
  if (isNamespace && !pattern.includes('/') && pattern !== wholeRegistry) {
    return [
      `${pattern} is the one repository of that name; did you mean ${everythingIn(pattern)}, all of the namespace?`,
    ];
  }
  if (!pattern.endsWith('/*')) return [];
  const deeper = `${pattern}*`;
  const leftOut = repositories.filter(
    (name) => matchesPattern(deeper, name) && !matchesPattern(pattern, name),
  );
  if (leftOut.length === 0) return [];
  const shown = leftOut.slice(0, shownRepositories).join(', ');
  const more = leftOut.length > shownRepositories ? ', …' : '';
  const many = leftOut.length === 1 ? '1 repository' : `${leftOut.length} repositories`;
  const depth = pattern.split('/').length + 1;
  const where = leftOut.every((name) => name.split('/').length === depth) ? 'one level down' : 'further down';
  return [`${pattern} leaves out ${many} ${where} (${shown}${more}): ${deeper} takes them`];
}
