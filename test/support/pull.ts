// Pulling all that a registry has over its public API, and checking every hash on the way.
import assert from 'node:assert/strict';
import { sha256, sha512 } from './client.ts';

interface Document {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

/** What was pulled: `repository:tag` → digest. */
export type Pulled = ReadonlyMap<string, string>;

/** Pulls every tag of every repository with all that it leads to. Throws where anything is missing or has another hash. */
export async function pullEverything(url: string): Promise<Pulled> {
  const pulled = new Map<string, string>();
  const { repositories } = (await getJson(`${url}/v2/_catalog`)) as { repositories: string[] };
  for (const repository of repositories) {
    const { tags } = (await getJson(`${url}/v2/${repository}/tags/list`)) as { tags: string[] };
    for (const tag of tags) pulled.set(`${repository}:${tag}`, await pullImage(url, repository, tag));
  }
  return pulled;
}

/** Pulls a manifest and everything below it; gives its digest. */
export async function pullImage(url: string, repository: string, reference: string): Promise<string> {
  const reply = await fetch(`${url}/v2/${repository}/manifests/${reference}`);
  const bytes = Buffer.from(await reply.arrayBuffer());
  assert.equal(reply.status, 200, `${repository} ${reference}: ${bytes}`);
  const digest = reply.headers.get('docker-content-digest') ?? '';
  assert.equal(hashLike(digest, bytes), digest);
  const document = JSON.parse(bytes.toString()) as Document;
  for (const child of document.manifests ?? []) await pullImage(url, repository, child.digest);
  const blobs = [...(document.config ? [document.config] : []), ...(document.layers ?? [])];
  for (const blob of blobs) await pullBlob(url, repository, blob.digest);
  return digest;
}

/** Pulls a blob and checks its hash. */
export async function pullBlob(url: string, repository: string, digest: string): Promise<void> {
  const reply = await fetch(`${url}/v2/${repository}/blobs/${digest}`);
  const bytes = Buffer.from(await reply.arrayBuffer());
  assert.equal(reply.status, 200, `${repository} ${digest}: ${reply.status}`);
  assert.equal(hashLike(digest, bytes), digest);
}

function hashLike(digest: string, bytes: Buffer): string {
  return digest.startsWith('sha512:') ? sha512(bytes) : sha256(bytes);
}

async function getJson(url: string): Promise<unknown> {
  const reply = await fetch(url);
  assert.equal(reply.status, 200, url);
  return await reply.json();
}
