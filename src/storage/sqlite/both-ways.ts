// Lists that are walked along an index or against it: the same literal for both, and where a page of each begins.
import type { IdPage, NamePage } from '../terms.ts';

type Ways<Name extends string> = Name | `${Name}Down`;

/** The literals of a list: `name` in the order of its index, `nameDown` against it. */
export function bothWays<const Name extends string>(
  name: Name,
  literal: (beyond: '>' | '<', way: '' | ' DESC') => string,
): Readonly<Record<Ways<Name>, string>> {
  return { [name]: literal('>', ''), [`${name}Down`]: literal('<', ' DESC') } as Record<Ways<Name>, string>;
}

/** Which of the two a page is of. */
export function wayOf<const Name extends string>(
  name: Name,
  { descending }: { readonly descending?: boolean | undefined },
): Ways<Name> {
  return descending === true ? `${name}Down` : name;
}

/** The name that a page begins after. Names are ASCII. */
export function nameBefore({ after, descending }: NamePage): string {
  return after ?? (descending === true ? '\u007f' : '');
}

/** The id that a page begins after. */
export function idBefore({ after, descending }: IdPage): number {
  return after ?? (descending === true ? Number.MAX_SAFE_INTEGER : 0);
}
