// What a manifest says of itself beyond its references: the platforms that it is for, and whether it is a signature. Read from
// what strangers wrote: whatever does not make sense is left out.
import { isJsonObject, parseBoundedJson } from './json.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** More are not shown. */
const mostPlatforms = 64;
const platformPart = /^[A-Za-z0-9._-]{1,32}$/;

/** The config types that name a platform. */
const imageConfigTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];

/** What manifests that are signatures call themselves: cosign as a referrer, notation. */
const signatureTypes: readonly string[] = [
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.cncf.notary.signature',
];
/** Newer cosigns sign and attest with bundles, which say by annotation which of both they are. */
const bundleAnnotation = 'dev.sigstore.bundle.predicateType';
const bundleSignature = 'https://sigstore.dev/cosign/sign/v1';

/** Whether the config of this type names a platform. */
export function namesPlatform(configType: string): boolean {
  return imageConfigTypes.includes(configType);
}

/** The platforms that an index lists, in order; attestations (unknown/unknown) are for none. */
export function platformsListed(descriptors: unknown): readonly string[] {
  if (!Array.isArray(descriptors)) return [];
  const found = new Set<string>();
  for (const descriptor of descriptors as unknown[]) {
    const platform = isJsonObject(descriptor) && isJsonObject(descriptor.platform) ? descriptor.platform : {};
    const text = platformText(platform);
    if (text !== undefined && found.size < mostPlatforms) found.add(text);
  }
  return [...found];
}

/** The platform of an image, by the content of its config; empty where it names none. */
export function platformsOfConfig(config: Buffer): readonly string[] {
  try {
    const body = parseBoundedJson(config);
    const text = isJsonObject(body) ? platformText(body) : undefined;
    return text === undefined ? [] : [text];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

/** A platform as people write it, in the one form that lists use; undefined: it is none. */
export function parsePlatform(text: string): string | undefined {
  const [os, architecture, variant, ...rest] = text.split('/');
  return rest.length > 0 ? undefined : platformText({ os, architecture, variant });
}

/** Whether a manifest with a subject is a signature of it. */
export function tellsSignature(artifactType: string | undefined, annotations: unknown): boolean {
  if (artifactType !== undefined && signatureTypes.includes(artifactType)) return true;
  return isJsonObject(annotations) && annotations[bundleAnnotation] === bundleSignature;
}

/** Variants that every machine of the architecture has go without saying. */
const usualVariants: Readonly<Record<string, string>> = { arm64: 'v8', amd64: 'v1' };

function platformText({ os, architecture, variant }: JsonObject): string | undefined {
  if (!isPart(os) || !isPart(architecture) || os === 'unknown') return undefined;
  const named = isPart(variant) && usualVariants[architecture] !== variant;
  return named ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

function isPart(value: unknown): value is string {
  return typeof value === 'string' && platformPart.test(value);
}
