// Which repository names a pattern stands for (auth/pattern.ts says which patterns there are). It is here because the store
// holds tags to rules of protection by the same patterns.
import { namespaceOf, type RepositoryName } from './name.ts';

/** Every repository. */
export const wholeRegistry = '**';

/** Whether `name` is one of those that `pattern` stands for. Takes time in proportion to the lengths, whatever the pattern. */
export function matchesPattern(pattern: string, name: RepositoryName): boolean {
  if (pattern === wholeRegistry) return true;
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === name;
  if (pattern.endsWith('/**')) return liesBelow(pattern.slice(0, -3), name);
  // Most patterns are of another place, and this tells it at once.
  if (!name.startsWith(pattern.slice(0, star))) return false;
  return matchesComponents(pattern.split('/'), name.split('/'));
}

function liesBelow(folder: string, name: RepositoryName): boolean {
  // A name without a slash belongs to library: `library/**` takes it too.
  if (!name.includes('/')) return folder === namespaceOf(name);
  if (!folder.includes('*')) return name.startsWith(`${folder}/`);
  const components = folder.split('/');
  const found = name.split('/');
  return found.length > components.length && matchesComponents(components, found.slice(0, components.length));
}

/** Whether each component fits the pattern in its place. */
export function matchesComponents(patterns: readonly string[], components: readonly string[]): boolean {
  if (patterns.length !== components.length) return false;
  return patterns.every((pattern, index) => matchesGlob(pattern, components[index] ?? ''));
}

/**
 * Whether `text` fits `glob`, in which `*` stands for any characters, or none. Goes back to the last star only, which is
 * enough, so that no pattern takes more than the product of the lengths.
 */
function matchesGlob(glob: string, text: string): boolean {
  let inGlob = 0;
  let inText = 0;
  let star = -1;
  let resume = 0;
  while (inText < text.length) {
    // A star is looked for first: the text may hold one too, where it is a pattern itself.
    if (glob[inGlob] === '*') {
      star = inGlob++;
      resume = inText;
    } else if (glob[inGlob] === text[inText]) {
      inGlob++;
      inText++;
    } else if (star >= 0) {
      inGlob = star + 1;
      inText = ++resume;
    } else return false;
  }
  while (glob[inGlob] === '*') inGlob++;
  return inGlob === glob.length;
}
