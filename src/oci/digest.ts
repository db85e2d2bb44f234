// Content digests (OCI image-spec, descriptor.md "Digests"): parsing, and hashing content to one.
// A `Digest` exists only through parseDigest or hashing, so a driver can never be handed a path that traverses.
import { createHash, type Hash } from 'node:crypto';
import { OciError } from './errors.ts';

export type Digest = string & { readonly __brand: 'Digest' };

/** The algorithms Berth stores content under; the specification registers exactly these two. */
export const digestAlgorithms = ['sha256', 'sha512'] as const;
export type DigestAlgorithm = (typeof digestAlgorithms)[number];

const digestPattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

/** True when `text` is a digest Berth stores content under. */
export function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}

/** The digest that `text` spells. Throws OciError DIGEST_INVALID for anything else. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new OciError(
    'DIGEST_INVALID',
    'the digest is malformed: expected sha256: and 64, or sha512: and 128, lower-case hexadecimal digits',
    { digest: text.slice(0, 200) },
  );
}

/** The algorithm that `text` names (as in `?digest-algorithm=`). Throws OciError DIGEST_INVALID for an unsupported one. */
export function parseDigestAlgorithm(text: string): DigestAlgorithm {
  const algorithm = digestAlgorithms.find((known) => known === text);
  if (algorithm !== undefined) return algorithm;
  throw new OciError('DIGEST_INVALID', 'the digest algorithm is not supported: use sha256 or sha512', {
    algorithm: text.slice(0, 200),
  });
}

/** The algorithm part of a digest. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hexadecimal part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return finishDigest(createHash(algorithm).update(bytes), algorithm);
}

/** The digest of what went into `hash`, which cannot be used afterwards. */
export function finishDigest(hash: Hash, algorithm: DigestAlgorithm): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
