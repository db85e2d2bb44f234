// Conditional requests on content-addressed bytes (RFC 9110, section 13): the entity tag is the digest in quotes.
import type { Digest } from '../oci/digest.ts';

/** The entity tag of content. */
export function entityTagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** Whether an If-None-Match header says that the client has this content already. */
export function matchesEntityTag(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some(
    (candidate) =>
      candidate
        .trim()
        .replace(/^W\//, '')
        .replace(/^"(.*)"$/, '$1') === digest,
  );
}
