// The notice that something should not be used any more, as clients get it with each pull (OCI distribution-spec, "Warnings"):
// Warning: 299 - "…", of which regctl and newer podmans tell the person.
import type { FastifyReply } from 'fastify';
import type { RepositoryName } from '../oci/name.ts';
import { type Reference, referenceText } from '../oci/reference.ts';
import type { Deprecation } from '../storage/metadata-store.ts';

/** What all warnings of one answer may take. */
export const longestWarning = 4096;

// Tab is the only control character that a quoted string may hold, and nobody needs it.
const control = /\p{Cc}|[\u2028\u2029]/u;

/** The header's value. The agent is always `-`, and there is no date. UTF-8 goes over the wire as it is. */
export function warningText(
  repository: RepositoryName,
  reference: Reference,
  deprecation: Deprecation,
): string {
  const { message, replacement } = deprecation;
  const name = `${repository}${'tag' in reference ? ':' : '@'}${referenceText(reference)}`;
  const instead = replacement === undefined ? '' : `; use ${replacement} instead`;
  // regctl, which shows it, ends at the first quote even where that is escaped as it must be: the other one says the same.
  const quoted = `${name} is deprecated: ${message}${instead}`.replaceAll('"', "'").replaceAll('\\', '\\\\');
  // Headers are handed over as text whose characters are bytes.
  return Buffer.from(`299 - "${quoted}"`, 'utf8').toString('latin1');
}

/** Tells of it with the answer, beside what else there is to warn of. */
export function warnOfDeprecation(
  reply: FastifyReply,
  repository: RepositoryName,
  reference: Reference,
  deprecation: Deprecation,
): void {
  const before = [reply.getHeader('warning') ?? []].flat().map(String);
  const room = longestWarning - before.reduce((bytes, each) => bytes + each.length, 0);
  const line = shortened(warningText(repository, reference, deprecation), room);
  reply.header('warning', before.length === 0 ? line : [...before, line]);
}

/** The end of what does not fit beside other warnings, or since its repository has a longer name, is left out. */
export function shortened(line: string, room: number): string {
  if (line.length <= room) return line;
  const ending = Buffer.from('…"', 'utf8').toString('latin1');
  // Neither half a character of UTF-8 nor half an escape stays.
  const kept = line.slice(0, room - ending.length).replace(/[\u00c0-\u00ff][\u0080-\u00bf]*$/, '');
  return kept.replace(/(?<!\\)((?:\\\\)*)\\$/, '$1') + ending;
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
  const { length } = warningText(repository, longest, deprecation);
  return length > longestWarning
    ? `the warning would take ${length} bytes, and clients get ${longestWarning}: shorten it`
    : undefined;
}
