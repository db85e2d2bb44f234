// Patterns that choose repositories and tags: `*` stands for any characters but a slash, `**` for any at all, `?` for one.

/** A test for names that match one of `patterns`; without patterns every name does. */
export function matcherOf(patterns: readonly string[] | undefined): (name: string) => boolean {
  if (patterns === undefined || patterns.length === 0) return () => true;
  const expressions = patterns.map(toExpression);
  return (name) => expressions.some((expression) => expression.test(name));
}

/** True where a pattern is a name as it stands. */
export function isPlain(pattern: string): boolean {
  return !/[*?]/.test(pattern);
}

function toExpression(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    // A run of stars is one wildcard: several in a row would backtrack for ever.
    .replaceAll(/\*+/g, (stars) => (stars.length > 1 ? '.*' : '[^/]*'))
    .replaceAll('?', '[^/]');
  return new RegExp(`^${source}$`);
}
