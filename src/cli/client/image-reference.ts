// An image as one writes it on a command line, without the registry in front: acme/web, acme/web:v1, acme/web@sha256:…
import { CommandError, exitCodes } from '../exit-codes.ts';

export interface ImageReference {
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string;
}

const referencePattern = /^([^:@\s]+)(?::([^:@/\s]+))?(?:@([a-z0-9]+:[A-Za-z0-9]+))?$/;

/** What `text` names; without a tag and a digest it is `latest`. A digest wins over a tag. Throws CommandError. */
export function parseImageReference(text: string): ImageReference {
  const [, repository, tag, digest] = referencePattern.exec(text) ?? [];
  if (repository === undefined) {
    const message = `found ${JSON.stringify(text)}, allowed: REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  return { repository, reference: digest ?? tag ?? 'latest' };
}

/** The place of its manifest in the management API. */
export function placeOfImage({ repository, reference }: ImageReference): string {
  return `${placeOfRepository(repository)}/manifests/${encodeURIComponent(reference).replaceAll('%3A', ':')}`;
}

/** The place of what belongs to a repository. */
export function placeOfRepository(repository: string): string {
  return `repositories/${repository.split('/').map(encodeURIComponent).join('/')}/-`;
}
