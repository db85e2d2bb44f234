// Manifests (OCI image-spec manifest.md, image-index.md and the former artifact.md; Docker schema 2 and manifest list):
// what a pushed document is, what it refers to, and a sentence for everything that is wrong with it.
// The bytes are never changed: a manifest is its digest.
import { namesPlatform, platformsListed, tellsSignature } from './description.ts';
import { type Digest, isDigest } from './digest.ts';
import { OciError } from './errors.ts';
import { isJsonObject, parseBoundedJson } from './json.ts';
import { type ManifestKind, manifestKindOf, mediaTypes, schema1Types } from './media-types.ts';

export interface ParsedManifest {
  readonly digest: Digest;
  /** One of the accepted manifest types, as it is served: lower case, without parameters. */
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly kind: ManifestKind;
  /** Blobs that the repository must hold: config and layers, without foreign ones. No duplicates, in order. */
  readonly blobs: readonly Digest[];
  /** Layers that may live elsewhere (`urls`, or a non-distributable type) and need not be here. No duplicates. */
  readonly foreignBlobs: readonly Digest[];
  /** What an index lists. No duplicates, in order. */
  readonly children: readonly Digest[];
  /** What an index says that each of its children is, in lower case; of one that is listed twice what it says first. */
  readonly childTypes: ReadonlyMap<Digest, string>;
  readonly subject: Digest | undefined;
  /** What the referrers API calls the type: `artifactType`, for an image else the media type of its config. */
  readonly artifactType: string | undefined;
  /** Bytes of config and layers as the descriptors tell them, each digest once. A safe integer. */
  readonly imageBytes: number;
  /** The config that names the platform of an image; undefined: none does. */
  readonly platformConfig: Digest | undefined;
  /** What an index lists as its platforms, as 'linux/amd64'; of an image its config tells. */
  readonly platforms: readonly string[];
  /** Whether it is a signature of its subject. */
  readonly isSignature: boolean;
}

type JsonObject = Readonly<Record<string, unknown>>;

interface Descriptor {
  readonly mediaType: string;
  /** Well formed, but perhaps of an algorithm that Berth does not store content under. */
  readonly digest: string;
  readonly size: number;
  readonly hasUrls: boolean;
}

/**
 * Reads a manifest that was pushed with the header `contentType` and whose digest the caller has computed.
 *
 * The type is the one of `contentType` (parameters and case ignored) and must agree with the `mediaType` field, where
 * there is one. Without a header, or with one that says nothing (application/json, application/octet-stream), the
 * `mediaType` field decides, and without that the shape: `manifests` makes an OCI index, `config` or `layers` an OCI image.
 *
 * Accepted: null for an absent list, map or subject (as Go programs write it), any config and layer type, empty lists, a
 * descriptor listed twice, unknown fields. A digest of another algorithm than sha256 and sha512 is refused, because the
 * content could never be pushed here, except on a foreign layer. Linear in the size of `bytes`.
 *
 * Throws OciError MANIFEST_INVALID, with a JSON pointer in its message and detail where a place can be named.
 */
export function parseManifest(
  bytes: Buffer,
  contentType: string | undefined,
  options: { readonly digest: Digest },
): ParsedManifest {
  const body = readBody(bytes);
  const mediaType = readMediaType(body, contentType);
  const kind = manifestKindOf(mediaType);
  if (kind === undefined) throw unknownType(mediaType);
  checkShape(body, kind, mediaType);
  checkAnnotations(body);
  const config = kind === 'image' ? readDescriptor(body.config, '/config') : undefined;
  const layers = kind === 'index' ? [] : readDescriptors(body, kind === 'image' ? 'layers' : 'blobs');
  const childTypes = kind === 'index' ? readChildren(body) : new Map<Digest, string>();
  const artifactType = readArtifactType(body) ?? (config?.mediaType || undefined);
  return {
    digest: options.digest,
    mediaType,
    bytes,
    kind,
    ...collectBlobs(config, layers, kind === 'image' ? '/layers' : '/blobs'),
    children: [...childTypes.keys()],
    childTypes,
    subject: isAbsent(body.subject)
      ? undefined
      : storableDigest(readDescriptor(body.subject, '/subject'), '/subject'),
    artifactType,
    imageBytes: addSizes(config === undefined ? layers : [config, ...layers]),
    platformConfig:
      config !== undefined && namesPlatform(config.mediaType) ? storableDigest(config, '/config') : undefined,
    platforms: kind === 'index' ? platformsListed(body.manifests) : [],
    isSignature: !isAbsent(body.subject) && tellsSignature(artifactType, body.annotations),
  };
}

// ── what the document is ─────────────────────────────────────────────────────────────────────────────────────────────

function readBody(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = parseBoundedJson(bytes);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new OciError(
      'MANIFEST_INVALID',
      `the manifest cannot be read: ${error.message}`,
      {},
      { cause: error },
    );
  }
  if (!isJsonObject(value)) throw invalid('', 'expected a JSON object');
  return value;
}

/** Headers that programs send when they do not know better; the document itself decides then. */
const vagueTypes: readonly string[] = ['', 'application/json', 'application/octet-stream'];

function readMediaType(body: JsonObject, contentType: string | undefined): string {
  const [beforeParameters = ''] = (contentType ?? '').split(';', 1);
  const header = beforeParameters.trim().toLowerCase();
  const field = body.mediaType;
  if (!isAbsent(field) && typeof field !== 'string') throw invalid('/mediaType', 'expected a string');
  if (isSchema1(body, header)) throw schema1Refusal();
  if (!vagueTypes.includes(header)) {
    if (manifestKindOf(header) === undefined) throw unknownType(header);
    if (!isAbsent(field) && field !== '' && field !== header) {
      throw invalid('/mediaType', `it says ${clip(field)}, but the Content-Type says ${header}`);
    }
    return header;
  }
  if (typeof field === 'string' && field !== '') return field;
  if (Object.hasOwn(body, 'manifests')) return mediaTypes.ociIndex;
  if (Object.hasOwn(body, 'config') || Object.hasOwn(body, 'layers')) return mediaTypes.ociManifest;
  throw new OciError(
    'MANIFEST_INVALID',
    'the type of the manifest is not known: send it as Content-Type, or in the mediaType field',
    { accepted: acceptedTypes },
  );
}

function isSchema1(body: JsonObject, header: string): boolean {
  const field = body.mediaType;
  return (
    schema1Types.includes(header) ||
    (typeof field === 'string' && schema1Types.includes(field)) ||
    body.schemaVersion === 1
  );
}

/** Fields that make a document something else (CVE-2021-41190): a client might read it as either. */
const foreignFields: Readonly<Record<ManifestKind, readonly string[]>> = {
  image: ['manifests', 'fsLayers', 'blobs'],
  index: ['config', 'layers', 'fsLayers', 'blobs'],
  artifact: ['config', 'layers', 'manifests', 'fsLayers'],
};

function checkShape(body: JsonObject, kind: ManifestKind, mediaType: string): void {
  for (const field of foreignFields[kind]) {
    if (Object.hasOwn(body, field)) {
      throw invalid(`/${field}`, `a manifest of the type ${mediaType} must not have this field`);
    }
  }
  // The artifact manifest had no schemaVersion; image and index must say 2.
  const version = body.schemaVersion;
  if (version !== 2 && !(kind === 'artifact' && version === undefined)) {
    throw invalid('/schemaVersion', 'expected the number 2');
  }
}

// ── what it refers to ────────────────────────────────────────────────────────────────────────────────────────────────

function readDescriptors(body: JsonObject, field: 'layers' | 'blobs' | 'manifests'): readonly Descriptor[] {
  const list = body[field];
  // The former artifact manifest alone may leave its list out.
  if (list === null || (list === undefined && field === 'blobs')) return [];
  if (!Array.isArray(list))
    throw invalid(`/${field}`, 'expected an array of descriptors, which may be empty');
  return list.map((item: unknown, index) => readDescriptor(item, `/${field}/${index}`));
}

function readChildren(body: JsonObject): ReadonlyMap<Digest, string> {
  const types = new Map<Digest, string>();
  for (const [index, child] of readDescriptors(body, 'manifests').entries()) {
    const digest = storableDigest(child, `/manifests/${index}`);
    if (!types.has(digest)) types.set(digest, child.mediaType.toLowerCase());
  }
  return types;
}

/** `algorithm:encoded` of image-spec descriptor.md, for algorithms that are not Berth's too. */
const digestGrammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/;

function readDescriptor(value: unknown, pointer: string): Descriptor {
  if (!isJsonObject(value))
    throw invalid(pointer, 'expected a descriptor: an object with mediaType, digest and size');
  const { mediaType, digest, size, urls } = value;
  if (typeof mediaType !== 'string') throw invalid(`${pointer}/mediaType`, 'expected a string');
  if (typeof digest !== 'string' || !digestGrammar.test(digest)) {
    throw invalid(`${pointer}/digest`, `expected a digest: ${digestForms}`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${pointer}/size`, `expected a whole number of bytes from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  if (!isAbsent(urls) && !Array.isArray(urls))
    throw invalid(`${pointer}/urls`, 'expected an array of strings');
  return { mediaType, digest, size, hasUrls: Array.isArray(urls) && urls.length > 0 };
}

const digestForms = 'sha256: and 64, or sha512: and 128, lower-case hexadecimal digits';

function storableDigest(descriptor: Descriptor, pointer: string): Digest {
  if (isDigest(descriptor.digest)) return descriptor.digest;
  throw invalid(`${pointer}/digest`, `${clip(descriptor.digest)} cannot be stored here: use ${digestForms}`);
}

const foreignTypes: readonly string[] = [
  'application/vnd.docker.image.rootfs.foreign.diff.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
];

function isForeign(layer: Descriptor): boolean {
  return layer.hasUrls || foreignTypes.some((type) => layer.mediaType.startsWith(type));
}

function collectBlobs(
  config: Descriptor | undefined,
  layers: readonly Descriptor[],
  pointer: string,
): { blobs: readonly Digest[]; foreignBlobs: readonly Digest[] } {
  const blobs = new Set<Digest>();
  const foreignBlobs = new Set<Digest>();
  if (config !== undefined) blobs.add(storableDigest(config, '/config'));
  for (const [index, layer] of layers.entries()) {
    if (!isForeign(layer)) blobs.add(storableDigest(layer, `${pointer}/${index}`));
    else if (isDigest(layer.digest)) foreignBlobs.add(layer.digest);
  }
  return { blobs: [...blobs], foreignBlobs: [...foreignBlobs].filter((digest) => !blobs.has(digest)) };
}

function addSizes(descriptors: readonly Descriptor[]): number {
  const counted = new Set<string>();
  let sum = 0;
  for (const { digest, size } of descriptors) {
    if (counted.has(digest)) continue;
    counted.add(digest);
    sum += size;
  }
  // Beyond this a store could not keep the number exactly.
  if (!Number.isSafeInteger(sum))
    throw invalid('', 'the sizes of config and layers add up to more than can exist');
  return sum;
}

// ── what it says of itself ───────────────────────────────────────────────────────────────────────────────────────────

function readArtifactType(body: JsonObject): string | undefined {
  const type = body.artifactType;
  if (isAbsent(type) || type === '') return undefined;
  if (typeof type !== 'string') throw invalid('/artifactType', 'expected a string');
  return type;
}

/** Referrers repeat the annotations, and clients refuse a list in which one is not a string. */
function checkAnnotations(body: JsonObject): void {
  const annotations = body.annotations;
  if (isAbsent(annotations)) return;
  if (!isJsonObject(annotations)) throw invalid('/annotations', 'expected an object of strings');
  for (const [key, value] of Object.entries(annotations)) {
    if (typeof value !== 'string') throw invalid(`/annotations/${pointerToken(key)}`, 'expected a string');
  }
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

// ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const acceptedTypes: readonly string[] = Object.values(mediaTypes).filter(
  (type) => !schema1Types.includes(type),
);

/** `pointer` is a JSON pointer (RFC 6901); the empty one means the whole document. */
function invalid(pointer: string, what: string): OciError {
  const place = pointer === '' ? '' : ` at ${pointer}`;
  return new OciError('MANIFEST_INVALID', `the manifest is invalid${place}: ${what}`, { pointer });
}

function unknownType(mediaType: string): OciError {
  return new OciError(
    'MANIFEST_INVALID',
    `the manifest has the type ${clip(mediaType)}, which is not accepted: use ${acceptedTypes.join(', ')}`,
    { mediaType: clip(mediaType), accepted: acceptedTypes },
  );
}

function schema1Refusal(): OciError {
  return new OciError(
    'MANIFEST_INVALID',
    'this is a Docker schema 1 manifest, which Berth does not take: the format names neither the sizes nor the config ' +
      'of an image, and current clients no longer pull it. Push it as OCI or Docker schema 2, for example with ' +
      '`podman push --format oci`, `skopeo copy --format v2s2`, or Docker 1.10 or later',
    { schemaVersion: 1 },
  );
}

/** Text of the document in a message: enough to recognize it by. */
function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function pointerToken(key: string): string {
  return clip(key).replaceAll('~', '~0').replaceAll('/', '~1');
}
