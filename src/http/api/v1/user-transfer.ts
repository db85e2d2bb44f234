// The repositories of somebody who leaves go to another namespace: each by a move of its own, so that what was moved stays moved
// when it is cut short, and doing it once more goes on with the rest.

import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import { quotaDenied } from '../../../registry/quota.ts';
import { QuotaExceededError } from '../../../storage/care-store.ts';
import type { Origin } from '../../../storage/metadata-store.ts';
import { TagProtectedError } from '../../../storage/protection-store.ts';
import type { ApiContext } from './context.ts';
import { invalidMember, Problem } from './problem.ts';

export interface PlannedMove {
  readonly from: RepositoryName;
  readonly to: RepositoryName;
}

const pageSize = 500;
const mostNamed = 5;

/** What would go where, in order of name. Throws the Problem of a namespace that is not there, or of names that are taken in it. */
export async function planTransfer(
  context: ApiContext,
  user: string,
  namespace: string,
  origin: Origin,
): Promise<readonly PlannedMove[]> {
  const { metadata } = context.registry;
  if (namespace === user || (await metadata.accounts.namespaces.find(namespace)) === undefined)
    throw invalidMember('/query/transferTo', `there is no other namespace ${namespace.slice(0, 100)}`);
  const moves: PlannedMove[] = [];
  const range = { kind: 'namespace', namespace: user, from: '', to: '~' } as const;
  for (let after: string | undefined; ; ) {
    const page = await metadata.repositories.walk({ range, after, limit: pageSize });
    for (const { name } of page) moves.push({ from: name, to: nameIn(namespace, name) });
    if (page.length < pageSize) break;
    after = page.at(-1)?.name;
  }
  const taken: RepositoryName[] = [];
  for (const { to } of moves) {
    const isThere = (await metadata.repositories.find(to)) !== undefined;
    if (isThere || (await metadata.accounts.policy.findMoved(to)) !== undefined) taken.push(to);
  }
  if (taken.length > 0) throw namesTaken(taken);
  for (const { from, to } of moves) {
    const kept = await metadata.protection.findProtectedMove(from, to, origin);
    if (kept !== undefined) throw new TagProtectedError(kept);
  }
  return moves;
}

/** Moves them all. Throws the Problem that stops it, with how far it came. */
export async function transferRepositories(
  { registry }: ApiContext,
  moves: readonly PlannedMove[],
  origin: Origin,
): Promise<void> {
  const { repositories } = registry.metadata;
  for (const [index, { from, to }] of moves.entries()) {
    const soFar = `${index} of ${moves.length} repositories were moved; do it again for the rest`;
    try {
      const moved = await repositories.move({ from, to, origin });
      // Deleted or moved by somebody else meanwhile: not there any more is what is wanted.
      if (moved.outcome === 'moved' || moved.outcome === 'unknown') continue;
    } catch (error) {
      if (!(error instanceof QuotaExceededError)) throw error;
      throw new Problem('quota-exceeded', `${from}: ${quotaDenied(error.excess).message}. ${soFar}`);
    }
    throw new Problem('exists', `the name ${to} was taken just now: move ${from} yourself. ${soFar}`);
  }
}

function nameIn(namespace: string, name: RepositoryName): RepositoryName {
  const text = `${namespace}/${name.slice(name.indexOf('/') + 1)}`;
  try {
    return parseRepositoryName(text);
  } catch {
    throw new Problem('conflict', `the name ${text} would be too long: move ${name} yourself first`);
  }
}

function namesTaken(taken: readonly RepositoryName[]): Problem {
  const more = taken.length - mostNamed;
  const named = taken.slice(0, mostNamed).join(', ') + (more > 0 ? ` and ${more} more` : '');
  return new Problem(
    'exists',
    `nothing was changed: there ${taken.length === 1 ? 'is' : 'are'} ${named} already`,
  );
}
