// What sets of rules have in common: they are put as a whole, and a dry run tells what would be different.
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { FastifyRequest } from 'fastify';
import { namespaceOf, type RepositoryName } from '../../../oci/name.ts';
import { matchesPattern } from '../../../oci/name-pattern.ts';
import type { Tag } from '../../../oci/reference.ts';
import { compileTagGlob } from '../../../oci/tag-glob.ts';
import type { Registry } from '../../../registry/registry.ts';
import { type ProtectionRule, registryRules } from '../../../storage/protection-store.ts';
import { Problem } from './problem.ts';

/** A set is put in place of one that was read, or somebody else's change in between would be lost. */
export function requireIfMatch({ request }: { readonly request: FastifyRequest }): void {
  if (request.headers['if-match'] !== undefined) return;
  throw new Problem(
    'precondition-required',
    'the whole set is put here: read it first, and send its ETag as If-Match',
  );
}

/** The rules that come and those that go; the order is told by the set itself. */
export function changesOf<Rule>(before: readonly Rule[], after: readonly Rule[]) {
  const without = (rules: readonly Rule[], others: readonly Rule[]): readonly Rule[] =>
    rules.filter((rule) => !others.some((other) => isDeepStrictEqual(rule, other)));
  return { added: without(after, before), removed: without(before, after) };
}

/** How many tags that are there would be protected and are not now, and the other way round. */
export interface Reach {
  readonly becomeProtected: number;
  readonly loseProtection: number;
}

/** Where more would have to be looked at, nothing is told. */
const mostTags = 5000;
const mostRepositories = 2000;
const pageOfTags = 500;

type Holds = (tag: Tag) => boolean;

/** What another set of a namespace's rules of protection would change; undefined where too much would have to be looked at. */
export async function reachOf(
  registry: Registry,
  change: {
    readonly namespace: string;
    readonly before: readonly ProtectionRule[];
    readonly after: readonly ProtectionRule[];
  },
): Promise<Reach | undefined> {
  const { namespace, before, after } = change;
  const { tags, protection } = registry.metadata;
  let [becomeProtected, loseProtection, looked, repositories] = [0, 0, 0, 0];
  const { added, removed } = changesOf(before, after);
  for await (const repository of repositoriesIn(registry, namespace)) {
    if (++repositories > mostRepositories) return undefined;
    if (![...added, ...removed].some((rule) => isFor(rule, repository))) continue;
    const beside = namespace === registryRules ? namespaceOf(repository) : registryRules;
    const others = holds(beside === namespace ? [] : ((await protection.list(beside)) ?? []), repository);
    const [old, next] = [holds(before, repository), holds(after, repository)];
    for (let from: Tag | undefined, more = true; more; await turn()) {
      const page = await tags.list(repository, { ...(from && { after: from }), limit: pageOfTags });
      looked += page?.items.length ?? 0;
      if (looked > mostTags) return undefined;
      for (const tag of page?.items ?? []) {
        if (others(tag) || old(tag) === next(tag)) continue;
        if (next(tag)) becomeProtected += 1;
        else loseProtection += 1;
      }
      more = page?.more === true;
      from = page?.items.at(-1);
    }
  }
  return { becomeProtected, loseProtection };
}

/** `**` is everything where the rule is: in its namespace, or in the registry. */
function isFor({ repositories }: ProtectionRule, repository: RepositoryName): boolean {
  return matchesPattern(repositories, repository);
}

function holds(rules: readonly ProtectionRule[], repository: RepositoryName): Holds {
  const globs = rules.filter((rule) => isFor(rule, repository)).map(({ tags }) => compileTagGlob(tags));
  return (tag) => globs.some(({ matches }) => matches(tag));
}

async function* repositoriesIn({ metadata, retention }: Registry, namespace: string) {
  if (namespace !== registryRules) {
    yield* retention.repositories(namespace);
    return;
  }
  for (let after: RepositoryName | undefined; ; ) {
    const page = await metadata.repositories.list({ ...(after && { after }), limit: pageOfTags });
    for (const { name } of page.items) yield name;
    after = page.items.at(-1)?.name;
    if (!page.more || after === undefined) return;
  }
}
