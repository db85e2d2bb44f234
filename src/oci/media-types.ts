// The media types that Berth accepts as manifests, and the kinds of manifest they name.

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/** What Berth refuses with a reason of its own. */
export const schema1Types: readonly string[] = [mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed];

export type ManifestKind = 'image' | 'index' | 'artifact';

const kinds = new Map<string, ManifestKind>([
  [mediaTypes.ociManifest, 'image'],
  [mediaTypes.dockerManifest, 'image'],
  [mediaTypes.ociIndex, 'index'],
  [mediaTypes.dockerList, 'index'],
  [mediaTypes.ociArtifact, 'artifact'],
]);

/** The kind of manifest a media type names; undefined for one that is not accepted. */
export function manifestKindOf(mediaType: string): ManifestKind | undefined {
  return kinds.get(mediaType);
}
