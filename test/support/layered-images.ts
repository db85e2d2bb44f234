// Images whose layers a test makes itself, pushed over HTTP as clients push.
import assert from 'node:assert/strict';
import {
  type Descriptor,
  type Headers,
  ociIndex,
  ociManifest,
  pushBlob,
  putManifest,
  sha256,
} from './client.ts';

export interface PushedDocument extends Descriptor {
  readonly body: string;
}

export interface Target {
  readonly url: string;
  readonly name: string;
  readonly headers?: Headers;
}

const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';

export interface ImageParts {
  /** Bytes of layers, lowest first; or a descriptor of what is not pushed. */
  readonly layers: readonly (Buffer | (Descriptor & { readonly urls?: readonly string[] }))[];
  readonly config?: object | Buffer;
  readonly configType?: string;
  readonly layerType?: string;
  /** More members of the manifest. */
  readonly manifest?: object;
  readonly manifestType?: string;
}

/** Pushes an image under a tag or, without one, under its digest. */
export async function pushLayers(
  { url, name, headers = {} }: Target,
  reference: string | undefined,
  parts: ImageParts,
): Promise<PushedDocument & { readonly layers: readonly Descriptor[]; readonly config: Descriptor }> {
  const blob = async (bytes: Buffer, mediaType: string): Promise<Descriptor> => ({
    mediaType,
    digest: await pushBlob(url, name, bytes, headers),
    size: bytes.length,
  });
  const { config = { architecture: 'amd64', os: 'linux' }, manifestType = ociManifest } = parts;
  const configBytes = Buffer.isBuffer(config) ? config : Buffer.from(JSON.stringify(config));
  const pushed = await blob(configBytes, parts.configType ?? configType);
  const layers: Descriptor[] = [];
  for (const layer of parts.layers) {
    layers.push(Buffer.isBuffer(layer) ? await blob(layer, parts.layerType ?? layerType) : layer);
  }
  const document = { schemaVersion: 2, mediaType: manifestType, config: pushed, layers, ...parts.manifest };
  return {
    ...(await put({ url, name, headers }, reference, document, manifestType)),
    layers,
    config: pushed,
  };
}

/** Pushes an index of these descriptors. */
export async function pushIndex(
  target: Target,
  reference: string | undefined,
  manifests: readonly object[],
  members: object = {},
): Promise<PushedDocument> {
  return await put(
    target,
    reference,
    { schemaVersion: 2, mediaType: ociIndex, manifests, ...members },
    ociIndex,
  );
}

async function put(
  { url, name, headers = {} }: Target,
  reference: string | undefined,
  document: object,
  mediaType: string,
): Promise<PushedDocument> {
  const body = JSON.stringify(document);
  const digest = sha256(body);
  const reply = await putManifest(url, name, reference ?? digest, Buffer.from(body), mediaType, headers);
  assert.equal(reply.status, 201, await reply.text());
  return { mediaType, digest, size: body.length, body };
}
