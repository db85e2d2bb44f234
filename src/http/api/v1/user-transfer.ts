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
const movesAtOnce = 50;

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

/** Moves them all, some at a time, so that they share commits. Throws the Problem that stops it, with how far it came. */
export async function transferRepositories(
  { registry }: ApiContext,
  moves: readonly PlannedMove[],
  origin: Origin,
): Promise<void> {
  const { repositories } = registry.metadata;
  let done = 0;
  while (done < moves.length) {
    const some = moves.slice(done, done + movesAtOnce);
    const tried = await Promise.allSettled(
      some.map(({ from, to }) => repositories.move({ from, to, origin })),
    );
    // Deleted or moved by somebody else meanwhile: not there any more is what is wanted.
    const went = tried.map(
      (one) =>
        one.status === 'fulfilled' && (one.value.outcome === 'moved' || one.value.outcome === 'unknown'),
    );
    done += went.filter((moved) => moved).length;
    const stopped = went.indexOf(false);
    if (stopped >= 0) {
      throw whyStopped(some[stopped] as PlannedMove, tried[stopped], `${done} of ${moves.length}`);
    }
  }
}

function whyStopped(
  { from, to }: PlannedMove,
  tried: PromiseSettledResult<unknown> | undefined,
  howFar: string,
): unknown {
  const soFar = `${howFar} repositories were moved; do it again for the rest`;
  if (tried?.status !== 'rejected') {
    return new Problem('exists', `the name ${to} was taken just now: move ${from} yourself. ${soFar}`);
  }
  const error: unknown = tried.reason;
  if (!(error instanceof QuotaExceededError)) return error;
  return new Problem('quota-exceeded', `${from}: ${quotaDenied(error.excess).message}. ${soFar}`);
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
