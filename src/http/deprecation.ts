// The notice that something should not be used any more, as clients get it with each pull (OCI distribution-spec, "Warnings"):
// Warning: 299 - "…", of which regctl and newer podmans tell the person.
import type { FastifyReply } from 'fastify';
import type { RepositoryName } from '../oci/name.ts';
import { type Reference, referenceText } from '../oci/reference.ts';
import type { Deprecation } from '../storage/metadata-store.ts';
import { lengthOfWarning, longestWarning, warn } from './warning.ts';

// Tab is the only control character that a quoted string may hold, and nobody needs it.
const control = /\p{Cc}|[\u2028\u2029]/u;

/** Tells of it with the answer, beside what else there is to warn of. */
export function warnOfDeprecation(
  reply: FastifyReply,
  repository: RepositoryName,
  reference: Reference,
  deprecation: Deprecation,
): void {
  warn(reply, textOf(repository, reference, deprecation));
}

/** What is wrong with a notice; undefined: nothing. */
export function faultOfDeprecation(repository: RepositoryName, deprecation: Deprecation): string | undefined {
  const { message, replacement = '' } = deprecation;
  if (message.trim() === '') return 'say why it should not be used any more';
  if (control.test(message) || control.test(replacement))
    return 'line ends and other control characters cannot be sent';
  if (!message.isWellFormed() || !replacement.isWellFormed()) return 'it holds half a character';
  // The longest reference that it may be told with.
  const longest = { digest: `sha512:${'0'.repeat(128)}` } as never;
  const length = lengthOfWarning(textOf(repository, longest, deprecation));
  return length > longestWarning
    ? `the warning would take ${length} bytes, and clients get ${longestWarning}: shorten it`
    : undefined;
}

function textOf(
  repository: RepositoryName,
  reference: Reference,
  { message, replacement }: Deprecation,
): string {
  const name = `${repository}${'tag' in reference ? ':' : '@'}${referenceText(reference)}`;
  const instead = replacement === undefined ? '' : `; use ${replacement} instead`;
  return `${name} is deprecated: ${message}${instead}`;
}
