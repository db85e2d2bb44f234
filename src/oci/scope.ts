// The scope of a token (distribution's token specification, "Token scope"): `type[(class)]:name:action(,action)*`, as the
// challenge names it and clients send it back, in any order of actions and with names that hold a port.

export interface Scope {
  /** `repository` or `registry`, or something of a newer client. The class, an old Docker notion, is dropped. */
  readonly type: string;
  /** Not a RepositoryName yet: it may carry a host and a port, or be anything a client made up. No white space, no quotes. */
  readonly name: string;
  /** At least one, without duplicates, in canonical order: pull, push, delete, `*`, then any other by the alphabet. */
  readonly actions: readonly string[];
}

/** Longer ones are not scopes: a name of 255 characters, a host and every action fit three times. */
const longestScope = 1024;

const typePattern = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;
// Printable ASCII without the quote and the backslash: the challenge writes a scope between quotes.
const scopeNamePattern = /^[!#-[\]-~]+$/;
const actionsPattern = /^(?:[a-z]+|\*)(?:,(?:[a-z]+|\*))*$/;

const canonicalOrder: readonly string[] = ['pull', 'push', 'delete', '*'];

/**
 * The scope that `text` spells; undefined when it is none: the token endpoint leaves out what it cannot grant, and never
 * answers an error. Splits at the first and the last colon, so that a name may hold some.
 */
export function parseScope(text: string): Scope | undefined {
  if (text.length > longestScope) return undefined;
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first === last) return undefined;
  const type = typePattern.exec(text.slice(0, first))?.[1];
  const name = text.slice(first + 1, last);
  const actions = text.slice(last + 1);
  if (type === undefined || !scopeNamePattern.test(name) || !actionsPattern.test(actions)) return undefined;
  return { type, name, actions: canonicalActions(actions.split(',')) };
}

/** The canonical text of a scope: equal scopes give equal texts, and parseScope reads it back. */
export function formatScope(scope: Scope): string {
  return `${scope.type}:${scope.name}:${canonicalActions(scope.actions).join(',')}`;
}

function canonicalActions(actions: readonly string[]): readonly string[] {
  const rank = (action: string) => {
    const known = canonicalOrder.indexOf(action);
    return known < 0 ? canonicalOrder.length : known;
  };
  return [...new Set(actions)].sort((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
}
