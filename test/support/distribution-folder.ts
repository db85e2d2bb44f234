// Writes the folder of a distribution registry by hand, as docker-registry lays it out, for stores that no client would make
// and for many images in a second. The end-to-end tests take a folder that docker-registry itself has written.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ociManifest, sha256, sha512 } from './client.ts';
import { makeContent } from './pusher.ts';

export class DistributionWriter {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The path of a blob's bytes. */
  blobFile(digest: string): string {
    const [algorithm = '', hex = ''] = digest.split(':');
    return this.#path('blobs', algorithm, hex.slice(0, 2), hex, 'data');
  }

  manifestLink(repository: string, digest: string): string {
    return this.#path('repositories', repository, '_manifests', 'revisions', ...digest.split(':'), 'link');
  }

  tagLink(repository: string, tag: string): string {
    return this.#path('repositories', repository, '_manifests', 'tags', tag, 'current', 'link');
  }

  async writeBlob(repository: string, bytes: Buffer | string): Promise<{ digest: string; size: number }> {
    const digest = sha256(bytes);
    await put(this.blobFile(digest), bytes);
    await put(this.#path('repositories', repository, '_layers', ...digest.split(':'), 'link'), digest);
    return { digest, size: Buffer.byteLength(bytes) };
  }

  /** Writes a manifest as it stands; without a tag it is untagged. */
  async writeManifest(
    repository: string,
    manifest: object | Buffer,
    tag?: string,
    algorithm: 'sha256' | 'sha512' = 'sha256',
  ): Promise<{ mediaType: string; digest: string; size: number }> {
    const bytes = Buffer.isBuffer(manifest) ? manifest : Buffer.from(JSON.stringify(manifest));
    const digest = algorithm === 'sha256' ? sha256(bytes) : sha512(bytes);
    await put(this.blobFile(digest), bytes);
    await put(this.manifestLink(repository, digest), digest);
    if (tag !== undefined) {
      await put(this.tagLink(repository, tag), digest);
      const [algorithmName = '', hex = ''] = digest.split(':');
      const index = ['_manifests', 'tags', tag, 'index', algorithmName, hex, 'link'];
      await put(this.#path('repositories', repository, ...index), digest);
    }
    const { mediaType = ociManifest } = JSON.parse(bytes.toString()) as { mediaType?: string };
    return { mediaType, digest, size: bytes.length };
  }

  /** An image of a config and a layer that follow from the seed. */
  async writeImage(repository: string, tag: string | undefined, seed: string, layerBytes = 200) {
    const config = await this.writeBlob(repository, JSON.stringify({ os: 'linux', seed }));
    const layer = await this.writeBlob(repository, makeContent(`layer ${seed}`, layerBytes));
    const manifest = {
      schemaVersion: 2,
      mediaType: ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }],
    };
    return { ...(await this.writeManifest(repository, manifest, tag)), manifest, layer: layer.digest };
  }

  #path(...parts: string[]): string {
    return join(this.folder, 'docker', 'registry', 'v2', ...parts);
  }
}

async function put(path: string, content: Buffer | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
