// The sentences of refusals, which podman, skopeo and docker show to people. For what one may not even see they depend on the
// name asked for and on the own rights alone, never on whether there is such a repository.
import type { RepositoryName } from '../oci/name.ts';
import { roleForAction } from './access.ts';
import type { Rights } from './rights.ts';
import { includesRole } from './roles.ts';

type RepositoryAction = keyof typeof roleForAction;

const verbs = { pull: 'pull', push: 'push to', delete: 'delete in' } as const;
const gerunds = { pull: 'pulling', push: 'pushing', delete: 'deleting' } as const;
/** More patterns than that make no sentence. */
const mostPatterns = 3;

/** For somebody who may not see the repository, if there is one. */
export function hiddenSentence(
  rights: Rights,
  action: RepositoryAction,
  repository: RepositoryName,
  now: number,
): string {
  if (action === 'pull') return `repository ${repository} does not exist, or ${rights.name} may not see it`;
  const refusal = `${rights.name} may not ${verbs[action]} ${repository}`;
  const ceiling = ceilingSentence(rights, action, repository, now);
  if (ceiling !== undefined) return `${refusal} with this token; ${ceiling}`;
  return `${refusal}; ${instead(rights, now)}`;
}

/** For somebody who may pull and not do this. */
export function deniedSentence(
  rights: Rights,
  action: RepositoryAction,
  repository: RepositoryName,
  now: number,
): string {
  const ceiling = ceilingSentence(rights, action, repository, now);
  const needed = ceiling ?? `${gerunds[action]} needs the role ${roleForAction[action]}`;
  return `${rights.name} may pull ${repository}, but ${needed}`;
}

/**
 * For a change under a name that a moved repository had. `today`: its present name, for who may see that; to others it is not told
 * where it went.
 */
export function movedSentence(old: RepositoryName, today: RepositoryName | undefined): string {
  return today === undefined
    ? `the name ${old} is kept for a repository that was moved: use another name`
    : `repository ${old} was moved to ${today}, and is only read under its old name: use ${today}`;
}

// Where the person may, but not with this credential. Visibility plays no part: it gives neither pushing nor deleting.
function ceilingSentence(
  rights: Rights,
  action: RepositoryAction,
  repository: RepositoryName,
  now: number,
): string | undefined {
  if (!rights.limited) return undefined;
  if (!includesRole(rights.unlimited.roleOn(repository, undefined, now), roleForAction[action]))
    return undefined;
  const { role, patterns } = rights.ceiling ?? {};
  const bounds = [
    ...(role === undefined ? [] : [`the role ${role}`]),
    ...(patterns === undefined ? [] : [listed(patterns)]),
  ];
  return `the token is limited to ${bounds.join(' on ')}`;
}

function instead(rights: Rights, now: number): string {
  const patterns = rights.pushPatterns(now);
  if (patterns.length === 0) return `${rights.name} may not push anywhere`;
  if (rights.kind === 'user' && patterns.length === 1 && patterns[0] === `${rights.name}/**`)
    return `your own namespace is ${rights.name}/`;
  return rights.kind === 'robot'
    ? `it may push to ${listed(patterns)}`
    : `${rights.name} may push to ${listed(patterns)}`;
}

function listed(patterns: readonly string[]): string {
  if (patterns.length === 0) return 'nothing';
  const shown = patterns.slice(0, mostPatterns);
  const more = patterns.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  const last = shown.at(-1) ?? '';
  return shown.length === 1 ? last : `${shown.slice(0, -1).join(', ')} and ${last}`;
}
