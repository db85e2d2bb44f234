// What a manifest is for people, told by its artifact type, the types of its config and content, and annotations: a signature and
// by which program, a list of software, an attestation and about what, a chart.
import { type Descriptor, descriptorIn, type JsonObject, listIn, textIn, textMapIn } from './documents.ts';

export const artifactKinds = [
  'image',
  'index',
  'signature',
  'sbom',
  'attestation',
  'helm-chart',
  'build-cache',
  'other',
] as const;
export type ArtifactKind = (typeof artifactKinds)[number];

export interface Described {
  readonly kind: ArtifactKind;
  /** cosign, notation, spdx, cyclonedx, syft, in-toto, slsa-provenance …; undefined: nothing more is known. */
  readonly format: string | undefined;
  /** What attestations in it are about, as their authors name it. */
  readonly predicateTypes: readonly string[];
}

const imageConfigs = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** Whether a config is that of a container image. */
export function isImageConfig(mediaType: string): boolean {
  return imageConfigs.has(mediaType);
}

/** A part of a media type, and what it says. The first one that is found counts. */
const known: readonly (readonly [pattern: RegExp, kind: ArtifactKind, format: string | undefined])[] = [
  [/vnd\.cncf\.notary\.signature/, 'signature', 'notation'],
  [/vnd\.dev\.cosign\.simplesigning|vnd\.dev\.cosign\.artifact\.sig/, 'signature', 'cosign'],
  [/vnd\.dev\.sigstore\.bundle/, 'signature', 'cosign'],
  [/vnd\.containers\.signature|vnd\.docker\.signature/, 'signature', 'simple-signing'],
  [/spdx/, 'sbom', 'spdx'],
  [/cyclonedx/, 'sbom', 'cyclonedx'],
  [/vnd\.syft/, 'sbom', 'syft'],
  [/vnd\.dev\.cosign\.artifact\.sbom/, 'sbom', undefined],
  [/vnd\.in-toto|vnd\.dsse\.envelope|vnd\.dev\.cosign\.artifact\.att/, 'attestation', 'in-toto'],
  [/vnd\.cncf\.helm/, 'helm-chart', 'helm'],
  [/vnd\.buildkit\.cacheconfig/, 'build-cache', 'buildkit'],
];

const predicateFormats: readonly (readonly [pattern: RegExp, format: string])[] = [
  [/slsa\.dev\/provenance/, 'slsa-provenance'],
  [/spdx/, 'spdx'],
  [/cyclonedx/, 'cyclonedx'],
];

const attestationType = 'attestation-manifest';

/** Whether a child of an index is what BuildKit attests of another one, and of which. */
export function attestedDigest({ annotations }: Pick<Descriptor, 'annotations'>): string | undefined {
  const isAttestation = annotations['vnd.docker.reference.type'] === attestationType;
  return isAttestation ? (annotations['vnd.docker.reference.digest'] ?? '') : undefined;
}

/** What a manifest is. `artifactType`: what its descriptor says, where the manifest says nothing. */
export function describeManifest(body: JsonObject, artifactType?: string): Described {
  if (Array.isArray(body.manifests)) return { kind: 'index', format: undefined, predicateTypes: [] };
  const config = descriptorIn(body.config);
  const files = [...listIn(body.layers), ...listIn(body.blobs)].slice(0, 100).map(descriptorIn);
  const annotations = textMapIn(body.annotations);
  const predicateTypes = predicatesOf(annotations, files);
  const typed = textIn(body.artifactType) ?? artifactType;
  for (const type of [typed, config.mediaType, ...files.map(({ mediaType }) => mediaType)]) {
    const found = type === undefined ? undefined : known.find(([pattern]) => pattern.test(type));
    if (found === undefined) continue;
    const [, kind, format] = found;
    // A sigstore bundle may hold either, and says so in an annotation.
    const isStatement =
      annotations['dev.sigstore.bundle.content'] === 'dsse-envelope' || predicateTypes.length > 0;
    if (kind === 'attestation' || (format === 'cosign' && isStatement)) {
      return { kind: 'attestation', format: predicateFormat(predicateTypes), predicateTypes };
    }
    return { kind, format, predicateTypes };
  }
  const isImage = isImageConfig(config.mediaType) && typed === undefined;
  return { kind: isImage ? 'image' : 'other', format: undefined, predicateTypes };
}

function predicatesOf(
  annotations: Readonly<Record<string, string>>,
  files: readonly Descriptor[],
): readonly string[] {
  const named = [annotations, ...files.map((file) => file.annotations)].flatMap((one) => [
    one.predicateType,
    one['in-toto.io/predicate-type'],
    one['dev.sigstore.bundle.predicateType'],
  ]);
  return [...new Set(named.filter((type): type is string => type !== undefined && type !== ''))].slice(0, 20);
}

function predicateFormat(types: readonly string[]): string {
  return predicateFormats.find(([pattern]) => types.some((type) => pattern.test(type)))?.[1] ?? 'in-toto';
}
