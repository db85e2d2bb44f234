// A small registry client for HTTP tests: what a push needs, over real sockets, with nothing hidden that a test is about.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const ociIndex = 'application/vnd.oci.image.index.v1+json';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function sha512(bytes: Uint8Array | string): string {
  return `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
}

/** The code of the first error in a reply. */
export async function errorCode(reply: Response): Promise<string> {
  const body = (await reply.json()) as { errors: { code: string; message: string; detail: unknown }[] };
  const [error] = body.errors;
  assert.ok(error, 'the reply lists an error');
  assert.notEqual(error.detail, null);
  return error.code;
}

/** Headers that a request carries besides its own, for example Authorization. */
export type Headers = Readonly<Record<string, string>>;

/** Pushes a blob in one POST and returns its digest. */
export async function pushBlob(
  url: string,
  name: string,
  bytes: Uint8Array | string,
  headers: Headers = {},
): Promise<string> {
  const digest = sha256(bytes);
  const reply = await fetch(`${url}/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers,
    body: bytes,
  });
  assert.equal(reply.status, 201, await reply.text());
  return digest;
}

/** Opens an upload session and returns its absolute location. */
export async function beginUpload(url: string, name: string, headers: Headers = {}): Promise<string> {
  const reply = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST', headers });
  assert.equal(reply.status, 202, await reply.text());
  return new URL(reply.headers.get('location') ?? '', url).href;
}

/** Puts a manifest under a tag or digest. */
export async function putManifest(
  url: string,
  name: string,
  reference: string,
  manifest: object | Buffer,
  mediaType = ociManifest,
  headers: Headers = {},
): Promise<Response> {
  return await fetch(`${url}/v2/${name}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType, ...headers },
    body: Buffer.isBuffer(manifest) ? manifest : JSON.stringify(manifest),
  });
}

export interface PushedImage {
  readonly digest: string;
  readonly config: string;
  readonly layer: string;
  readonly body: string;
  readonly descriptor: Descriptor;
}

/** Pushes an image of a config and one layer, different for each `seed`, under `reference` (a tag). */
export async function pushImage(
  url: string,
  name: string,
  reference: string,
  seed = reference,
  headers: Headers = {},
): Promise<PushedImage> {
  const config = JSON.stringify({ architecture: 'amd64', os: 'linux', seed });
  const layer = `layer of ${seed}`;
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: await pushBlob(url, name, config, headers),
      size: config.length,
    },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: await pushBlob(url, name, layer, headers),
        size: layer.length,
      },
    ],
  };
  const body = JSON.stringify(manifest);
  const reply = await putManifest(url, name, reference, manifest, ociManifest, headers);
  assert.equal(reply.status, 201, await reply.text());
  const digest = sha256(body);
  const [first] = manifest.layers;
  assert.ok(first);
  return {
    digest,
    config: manifest.config.digest,
    layer: first.digest,
    body,
    descriptor: { mediaType: ociManifest, digest, size: body.length },
  };
}

/** Sends bytes as they are and resolves with all that comes back until the server closes or `milliseconds` are over. */
export async function sendRaw(port: number, bytes: Buffer | string, milliseconds = 2000): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    const timer = setTimeout(() => socket.destroy(), milliseconds);
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}
