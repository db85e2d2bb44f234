// The answers to a push where there is no repository and none is made. Only who has rights on its name gets so far.
import { OciError } from '../oci/errors.ts';
import { namespaceOf, type RepositoryName } from '../oci/name.ts';
import type { NoRepository } from '../storage/metadata-store.ts';

/** The refusal that `outcome` becomes. */
export function noRepository(repository: RepositoryName, { outcome }: NoRepository): OciError {
  const detail = { name: repository };
  switch (outcome) {
    case 'namespace-removed':
      return new OciError(
        'NAME_UNKNOWN',
        `the namespace ${namespaceOf(repository)} was removed: its name stays taken and nothing can be pushed there`,
        detail,
      );
    case 'name-kept':
      return new OciError(
        'DENIED',
        `the name ${repository} is kept for a repository that was moved: push to another name`,
        detail,
      );
    case 'not-created':
      return new OciError(
        'DENIED',
        `repository ${repository} does not exist, and a push makes none here (access.createOnPush): make it first, ` +
          `with berth repo add ${repository}`,
        detail,
      );
  }
}
