// Patterns of repository names, the objects of grants and ceilings: anchored full names whose components may hold `*` (any
// characters but the slash), with `**` alone as the last component for everything below. `**` by itself is the registry.
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../oci/name.ts';
import { wholeRegistry as everything, matchesComponents } from '../oci/name-pattern.ts';
import { InvalidNameError } from './account-name.ts';

export { matchesPattern } from '../oci/name-pattern.ts';

export type Pattern = string & { readonly __brand: 'Pattern' };

/** Every repository. */
export const wholeRegistry = everything as Pattern;

/** As long as the longest repository name. */
const longestPattern = 255;

/**
 * The pattern that `text` spells. The first component, the namespace, holds no star: what belongs to one namespace can be
 * told from the pattern alone. Throws InvalidNameError with a sentence that says what is wrong.
 */
export function parsePattern(text: string): Pattern {
  const refuse = (why: string) => new InvalidNameError(`${quoted(text)} is no pattern: ${why}`);
  if (text === wholeRegistry) return wholeRegistry;
  if (text.length > longestPattern) throw refuse(`it has at most ${longestPattern} characters`);
  const components = text.split('/');
  if (components.at(-1) === '**') components.pop();
  if (components.some((component) => component.includes('**')))
    throw refuse('** stands alone as the last component, as in acme/**');
  if (components[0]?.includes('*')) {
    throw refuse('its first component, the namespace, holds no *. Write acme/** for a namespace, ** for all');
  }
  try {
    // What the stars stand for is free; what is written must be able to occur in a name.
    parseRepositoryName(components.join('/').replaceAll('*', 'a'));
  } catch {
    throw refuse('use a repository name, with * inside components, as in acme/web, acme/web-* or acme/**');
  }
  return text as Pattern;
}

/** The namespace that everything a pattern matches lies in; undefined for the whole registry. */
export function namespaceOfPattern(pattern: string): string | undefined {
  return pattern === wholeRegistry ? undefined : namespaceOf(pattern as RepositoryName);
}

/** Whether every name that `pattern` may match is matched by one of `patterns` by itself. Errs on the side of false. */
export function isWithin(patterns: readonly string[], pattern: string): boolean {
  return patterns.some((outer) => contains(outer, pattern));
}

function contains(outer: string, inner: string): boolean {
  if (outer === wholeRegistry || outer === inner) return true;
  if (inner === wholeRegistry) return false;
  if (!outer.endsWith('/**')) {
    if (inner.endsWith('/**')) return false;
    return matchesComponents(outer.split('/'), inner.split('/'));
  }
  const folder = outer.slice(0, -3).split('/');
  const found = inner.split('/');
  // A name without a slash; `library/**` itself was equal.
  if (found.length === 1) return outer === `${namespaceOf(inner as RepositoryName)}/**`;
  // Names without a slash are in library/** alone, and in nothing deeper.
  return found.length > folder.length && matchesComponents(folder, found.slice(0, folder.length));
}

/** What is in both: patterns of one side that lie within the other. Where stars cross each other it may be less. */
export function intersectPatterns(one: readonly string[], other: readonly string[]): readonly string[] {
  const inBoth = [
    ...one.filter((pattern) => isWithin(other, pattern)),
    ...other.filter((pattern) => isWithin(one, pattern)),
  ];
  return [...new Set(inBoth)];
}

/** The pattern of everything in a namespace. */
export function everythingIn(namespace: string): Pattern {
  return `${namespace}/**` as Pattern;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
