// Repository names (OCI distribution-spec, "Pulling manifests"; host + "/" + name at most 255 characters).
import { OciError } from './errors.ts';

export type RepositoryName = string & { readonly __brand: 'RepositoryName' };

/** The longest name accepted. With the host in front, clients keep to 255 characters. */
export const longestName = 255;

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const namePattern = new RegExp(`^${component}(?:/${component})*$`);

/** The repository name that `text` spells. Throws OciError NAME_INVALID for anything else. */
export function parseRepositoryName(text: string): RepositoryName {
  if (text.length <= longestName && namePattern.test(text)) return text as RepositoryName;
  throw new OciError(
    'NAME_INVALID',
    'the repository name is invalid: use components of lower-case letters and digits, joined inside by one of ' +
      `". _ __ -" and separated by "/", at most ${longestName} characters in all`,
    { name: text.slice(0, 300) },
  );
}

/** The namespace that a repository belongs to: its first component, or `library` for a name without a slash. */
export function namespaceOf(name: RepositoryName): string {
  const slash = name.indexOf('/');
  return slash < 0 ? 'library' : name.slice(0, slash);
}
