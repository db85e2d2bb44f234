// A build cache as BuildKit pushes it (`--cache-to type=registry`): an index whose children are no manifests but the cached
// layers and a configuration, which is JSON and, to trap those who guess, has a field `layers`.
import { gzipSync } from 'node:zlib';
import { ociIndex, sha256 } from './client.ts';

export interface BuildCache {
  readonly index: object;
  /** Everything that the index lists, by digest. */
  readonly blobs: ReadonlyMap<string, Buffer>;
}

export function makeBuildCache(seed = 'cache'): BuildCache {
  const layers = [gzipSync(`first layer of ${seed}`), gzipSync(`second layer of ${seed}`)];
  const config = Buffer.from(
    JSON.stringify({
      layers: layers.map((layer, index) => ({ blob: sha256(layer), parent: index - 1 })),
      records: [{ digest: sha256(seed), layers: [{ layer: 1, createdAt: '2026-01-01T00:00:00Z' }] }],
    }),
  );
  const describe = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
  });
  const manifests = [
    ...layers.map((layer) => describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
    describe('application/vnd.buildkit.cacheconfig.v0', config),
  ];
  const blobs = new Map([...layers, config].map((bytes) => [sha256(bytes), bytes] as const));
  return { index: { schemaVersion: 2, mediaType: ociIndex, manifests }, blobs };
}
