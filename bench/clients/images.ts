// Images with unique content, and how podman pushes one: HEAD, POST, PATCH and PUT per blob, then the manifest.
import { createHash } from 'node:crypto';
import { type Connection, expectStatus, targetOf } from './wire.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

export interface Image {
  readonly config: Uint8Array;
  readonly layers: readonly Uint8Array[];
  readonly manifest: Uint8Array;
}

/** The sha256 digest of `bytes`. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/**
 * The image number `index` of a series: 3 to 10 layers of 1 to 32 KiB, the same shape for the same index in every series,
 * and content that no other `salt` has.
 */
export function buildImage(salt: string, index: number, noise: Uint8Array): Image {
  const draw = randomFrom(index + 1);
  const layers: Uint8Array[] = [];
  const count = 3 + Math.floor(draw() * 8);
  for (let number = 0; number < count; number += 1) {
    const size = 1024 + Math.floor(draw() * 31 * 1024);
    const from = Math.floor(draw() * (noise.length - size));
    const layer = Buffer.from(noise.subarray(from, from + size));
    layer.write(`${salt} ${index} ${number}\n`, 0, 'latin1');
    layers.push(layer);
  }
  const digests = layers.map(digestOf);
  const config = Buffer.from(
    JSON.stringify({
      created: '2026-01-01T00:00:00Z',
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['/bin/sh'], Labels: { series: salt, number: String(index) } },
      rootfs: { type: 'layers', diff_ids: digests },
      history: digests.map((digest) => ({ created_by: `COPY ${digest} /` })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: configType, digest: digestOf(config), size: config.length },
      layers: layers.map((layer, at) => ({ mediaType: layerType, digest: digests[at], size: layer.length })),
    }),
  );
  return { config, layers, manifest };
}

/** Pushes one blob as podman does; resolves after the 201. */
export async function pushBlob(
  connection: Connection,
  repository: string,
  blob: Uint8Array,
): Promise<string> {
  const digest = digestOf(blob);
  const head = await connection.request('HEAD', `/v2/${repository}/blobs/${digest}`);
  if (head.status === 200) return digest;
  const opened = await connection.request('POST', `/v2/${repository}/blobs/uploads/`);
  expectStatus(opened, 202, 'POST of an upload');
  const streamed = await connection.request(
    'PATCH',
    targetOf(opened),
    'Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n',
    blob,
  );
  expectStatus(streamed, 202, 'PATCH of an upload');
  const closed = await connection.request('PUT', targetOf(streamed, `digest=${encodeURIComponent(digest)}`));
  expectStatus(closed, 201, 'PUT of an upload');
  return digest;
}

/** Pushes a manifest under `reference`; resolves after the 201 with its digest. */
export async function pushManifest(
  connection: Connection,
  repository: string,
  reference: string,
  manifest: Uint8Array,
): Promise<string> {
  const target = `/v2/${repository}/manifests/${reference}`;
  expectStatus(
    await connection.request('PUT', target, `Content-Type: ${manifestType}\r\n`, manifest),
    201,
    'PUT of a manifest',
  );
  return digestOf(manifest);
}

/** Pushes a whole image, its blobs spread over `connections`, and resolves with the manifest's digest. */
export async function pushImage(
  connections: readonly Connection[],
  repository: string,
  tag: string,
  image: Image,
): Promise<string> {
  const queue = [...image.layers];
  await Promise.all(
    connections.map(async (connection) => {
      for (let layer = queue.shift(); layer !== undefined; layer = queue.shift()) {
        await pushBlob(connection, repository, layer);
      }
    }),
  );
  const [first] = connections;
  if (first === undefined) throw new Error('an image needs a connection to be pushed over');
  await pushBlob(first, repository, image.config);
  return await pushManifest(first, repository, tag, image.manifest);
}

/** Numbers from 0 to 1 that depend on `seed` alone (a multiply-and-xor generator, good enough for sizes). */
export function randomFrom(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
