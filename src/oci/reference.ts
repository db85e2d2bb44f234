// Tags and references (OCI distribution-spec, "Pulling manifests"): what may stand after /manifests/.
import { type Digest, parseDigest } from './digest.ts';
import { OciError } from './errors.ts';

export type Tag = string & { readonly __brand: 'Tag' };

/** What a manifest is asked for by. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest };

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** The tag that `text` spells. Throws OciError TAG_INVALID for anything else. */
export function parseTag(text: string): Tag {
  if (tagPattern.test(text)) return text as Tag;
  throw new OciError(
    'TAG_INVALID',
    'the tag is invalid: use up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"',
    { tag: text.slice(0, 200) },
  );
}

/** A reference with a colon is a digest, any other a tag. Throws OciError DIGEST_INVALID or TAG_INVALID. */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) };
}

/** A reference as text, as it stands in a URL. */
export function referenceText(reference: Reference): Tag | Digest {
  return 'tag' in reference ? reference.tag : reference.digest;
}
