// The answer to a push into a namespace that was removed. Only who has rights on its name gets so far.
import { OciError } from '../oci/errors.ts';
import { namespaceOf, type RepositoryName } from '../oci/name.ts';

export function namespaceRemoved(repository: RepositoryName): OciError {
  return new OciError(
    'NAME_UNKNOWN',
    `the namespace ${namespaceOf(repository)} was removed: its name stays taken and nothing can be pushed there`,
    { name: repository },
  );
}
