// Reading what manifests and configs say. They come from strangers: a member that is not of its type counts as not there.
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import { isJsonObject, parseBoundedJson } from '../oci/json.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Blobs } from '../registry/blobs.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Descriptor {
  readonly mediaType: string;
  /** Perhaps of an algorithm that Berth stores nothing under. */
  readonly digest: string;
  readonly size: number;
  readonly artifactType: string | undefined;
  readonly urls: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: JsonObject | undefined;
}

export function objectIn(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

export function textIn(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function textsIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

export function textMapIn(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(objectIn(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}

export function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A whole number from 0 on. */
export function countIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

export function descriptorIn(value: unknown): Descriptor {
  const { mediaType, digest, size, artifactType, urls, annotations, platform } = objectIn(value);
  return {
    mediaType: textIn(mediaType) ?? '',
    digest: textIn(digest) ?? '',
    size: countIn(size) ?? 0,
    artifactType: textIn(artifactType),
    urls: textsIn(urls),
    annotations: textMapIn(annotations),
    platform: isJsonObject(platform) ? platform : undefined,
  };
}

/** A manifest of the store, which was checked when it was pushed. */
export function parseStored(bytes: Buffer): JsonObject {
  return objectIn(JSON.parse(bytes.toString('utf8')));
}

/** A blob as bytes, or why there are none, a clause. */
export type SmallBlob =
  | { readonly bytes: Buffer }
  | { readonly fault: 'missing' | 'damaged' | 'too-large'; readonly why: string };

/**
 * A small blob of a repository, checked against its digest. What is wrong with it is part of the answer; throws OciError UNAVAILABLE
 * alone.
 */
export async function readSmallBlob(
  blobs: Blobs,
  repository: RepositoryName,
  digest: string,
  most: number,
): Promise<SmallBlob> {
  if (!isDigest(digest))
    return { fault: 'missing', why: 'its digest is of an algorithm that is not stored here' };
  let bytes: Buffer;
  try {
    const blob = await blobs.find(repository, digest);
    if (blob.size > most) return { fault: 'too-large', why: `it is larger than ${most} bytes` };
    bytes = await blobs.readSmall(repository, digest, blob);
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'BLOB_UNKNOWN') throw error;
    return { fault: 'missing', why: 'it is not here, or damaged: push the image again' };
  }
  if (digestOf(bytes, algorithmOf(digest as Digest)) !== digest) {
    return { fault: 'damaged', why: 'its bytes are not those of its digest: push the image again' };
  }
  return { bytes };
}

/** The JSON object in a small blob, or why there is none. */
export async function readJsonBlob(
  blobs: Blobs,
  repository: RepositoryName,
  digest: string,
  most: number,
): Promise<{ readonly value: JsonObject } | { readonly fault: string; readonly why: string }> {
  const read = await readSmallBlob(blobs, repository, digest, most);
  if ('fault' in read) return read;
  try {
    const value = parseBoundedJson(read.bytes);
    if (isJsonObject(value)) return { value };
    return { fault: 'invalid', why: 'it is no JSON object' };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { fault: 'invalid', why: error.message };
  }
}
