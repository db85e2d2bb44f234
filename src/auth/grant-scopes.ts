// What of the scopes that a client asks for goes into its token: what today's policy grants. Nothing that is asked for makes
// an error (distribution's token specification): what is not granted, unknown or malformed is left out.
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts';
import { formatScope, parseScope, type Scope } from '../oci/scope.ts';
import type { MovedRepository, Role } from '../storage/account-store.ts';
import type { Visibility } from '../storage/metadata-store.ts';
import { roleForAction, type TokenScopes } from './access.ts';
import type { Rights } from './rights.ts';
import { includesRole } from './roles.ts';

/** An entry of the token's `access` claim. */
export type GrantedScope = Scope;

/** Repositories in one token; the token must fit into a header. */
export const mostScopes = 32;
/** Bytes of names in one token, so that it stays under 8 KiB. */
const mostNameBytes = 3500;

const repositoryActions = ['pull', 'push', 'delete'] as const;
export type RepositoryAction = (typeof repositoryActions)[number];

/**
 * The part of `asked` that is granted now. Repetitions of one name are put together. Of each repository only actions that the
 * policy grants are named, and `*` stands for all of those; `registry:catalog:*` is for everybody, since the list is filtered.
 */
export async function grantScopes(options: {
  readonly asked: readonly string[];
  readonly rights: Rights;
  readonly findVisibility: (repository: RepositoryName) => Promise<Visibility | undefined>;
  /** The repository that is served under an old name. */
  readonly findMoved: (name: RepositoryName) => Promise<MovedRepository | undefined>;
  /** Unix seconds. */
  readonly now: number;
}): Promise<readonly GrantedScope[]> {
  const { repositories, catalog } = sortScopes(options.asked);
  const granted: GrantedScope[] = [];
  for (const [repository, asked] of repositories) {
    const actions = actionsOf(await roleFor(repository, options));
    const given = actions.filter((action) => asked.has(action) || asked.has('*'));
    if (given.length > 0) granted.push({ type: 'repository', name: repository, actions: given });
  }
  if (catalog) granted.push({ type: 'registry', name: 'catalog', actions: ['*'] });
  return granted;
}

async function roleFor(
  repository: RepositoryName,
  { rights, findVisibility, findMoved, now }: Parameters<typeof grantScopes>[0],
): Promise<Role | undefined> {
  const moved = await findMoved(repository);
  const role = moved && rights.roleOnOldName(repository, moved, now);
  return role ?? rights.roleOn(repository, await findVisibility(repository), now);
}

/** The actions that a role allows, as tokens name them. */
export function actionsOf(role: Role | undefined): readonly RepositoryAction[] {
  return repositoryActions.filter((action) => includesRole(role, roleForAction[action]));
}

/** The text of the `scope` member of an answer, and of a challenge. */
export function formatScopes(scopes: readonly GrantedScope[]): string {
  return scopes.map(formatScope).join(' ');
}

/** The `access` claim as the guard needs it. What is not well-formed gives nothing. */
export function readScopes(access: unknown): TokenScopes {
  const repositories = new Map<string, ReadonlySet<RepositoryAction>>();
  let catalog = false;
  for (const entry of Array.isArray(access) ? access : []) {
    const { type, name, actions } = (entry ?? {}) as Partial<Record<string, unknown>>;
    if (typeof name !== 'string' || !Array.isArray(actions)) continue;
    if (type === 'registry' && name === 'catalog') catalog ||= actions.includes('*');
    if (type !== 'repository') continue;
    const known = repositoryActions.filter((action) => actions.includes(action));
    repositories.set(name, new Set([...(repositories.get(name) ?? []), ...known]));
  }
  return { repositories, catalog };
}

// The scopes of repositories by name, in the order they were asked for, and whether the catalog is among them.
function sortScopes(asked: readonly string[]): {
  readonly repositories: ReadonlyMap<RepositoryName, ReadonlySet<string>>;
  readonly catalog: boolean;
} {
  const repositories = new Map<RepositoryName, Set<string>>();
  let catalog = false;
  let room = mostNameBytes;
  // Requests are bounded before they come here; this bounds the work all the same.
  for (const text of asked.slice(0, 4 * mostScopes)) {
    const scope = parseScope(text);
    if (scope?.type === 'registry' && scope.name === 'catalog') catalog ||= scope.actions.includes('*');
    const repository = scope?.type === 'repository' ? repositoryOf(scope.name) : undefined;
    if (scope === undefined || repository === undefined) continue;
    const known = repositories.get(repository);
    for (const action of scope.actions) known?.add(action);
    if (known !== undefined || repositories.size === mostScopes || room < repository.length) continue;
    room -= repository.length;
    repositories.set(repository, new Set(scope.actions));
  }
  return { repositories, catalog };
}

// Some clients put the host in front. With a port it can be told from a name; no component of a name has a colon.
function repositoryOf(text: string): RepositoryName | undefined {
  const slash = text.indexOf('/');
  const name = slash > 0 && text.slice(0, slash).includes(':') ? text.slice(slash + 1) : text;
  try {
    return parseRepositoryName(name);
  } catch {
    return undefined;
  }
}
