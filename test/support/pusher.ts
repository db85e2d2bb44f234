// A client that pushes and deletes images in every way of the protocol until the server is gone, and enters into a ledger
// what it asked for and what was acknowledged.
import { createHash } from 'node:crypto';
import { sha256 } from './images.ts';
import type { Ledger, OpenUpload } from './ledger.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const TAGS = 4;
const SHARED_LAYERS = 40;

/** Pseudo-random numbers from 0 to below 1 (mulberry32): the same seed gives the same pushes. */
export function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes that depend on the seed alone. */
export function makeContent(seed: string, size: number): Buffer {
  return createHash('shake256', { outputLength: size }).update(seed).digest();
}

export class Pusher {
  readonly #url: string;
  readonly #ledger: Ledger;
  readonly #repository: string;
  readonly #random: () => number;
  #serial = 0;
  #acknowledged = 0;

  constructor(url: string, ledger: Ledger, repository: string, random: () => number) {
    this.#url = url;
    this.#ledger = ledger;
    this.#repository = repository;
    this.#random = random;
  }

  /** Requests that the server has acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Works until a request gets no answer. An answer that is neither success nor expected goes into the ledger. */
  async run(): Promise<void> {
    try {
      for (;;) await this.step();
    } catch (error) {
      // fetch throws a TypeError when the connection ends before the answer's headers.
      if (!(error instanceof TypeError)) this.#ledger.faults.push(String(error));
    }
  }

  /** One push or delete. Throws when it is not acknowledged. */
  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.1) await this.#deleteTag();
    else if (choice < 0.15) await this.#deleteManifest();
    else if (choice < 0.2) await this.#deleteBlob();
    else await this.#pushImage();
  }

  async #pushImage(): Promise<void> {
    const unique = `${this.#repository} ${this.#random()} ${this.#serial++}`;
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', unique }));
    const isShared = this.#random() < 0.5;
    const seed = isShared ? `shared ${Math.floor(this.#random() * SHARED_LAYERS)}` : unique;
    const large = this.#random() < 0.1 ? 2_000_000 : 60_000;
    const layer = makeContent(seed, isShared ? 50_000 : 1 + Math.floor(this.#random() * large));
    const blobs = [config, layer];
    for (const content of blobs) await this.#pushBlob(content);
    const [first, second] = blobs.map((content) => ({ digest: sha256(content), size: content.length }));
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...first },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...second }],
    });
    const digest = sha256(body);
    const tag = this.#anyTag();
    this.#ledger.expectManifest(this.#repository, digest, blobs.map(sha256), tag);
    await this.#ask('PUT', `manifests/${tag}`, 201, body, { 'content-type': MANIFEST_TYPE });
    this.#ledger.acknowledge('manifests', this.#repository, digest, 'stored');
    this.#ledger.acknowledgeTag(this.#repository, tag, digest);
  }

  async #pushBlob(content: Buffer): Promise<void> {
    const digest = sha256(content);
    this.#ledger.expectBlob(this.#repository, digest);
    const way = this.#random();
    if (way < 0.3) await this.#ask('POST', `blobs/uploads/?digest=${digest}`, 201, content);
    else if (way < 0.5) await this.#pushWithPut(content, digest);
    else await this.#pushInChunks(content, digest);
    this.#ledger.acknowledge('blobs', this.#repository, digest, 'stored');
  }

  async #pushWithPut(content: Buffer, digest: string): Promise<void> {
    const begun = await this.#ask('POST', 'blobs/uploads/', 202);
    await this.#ask('PUT', withDigest(locationOf(begun), digest), 201, content);
  }

  async #pushInChunks(content: Buffer, digest: string): Promise<void> {
    const begun = await this.#ask('POST', 'blobs/uploads/', 202);
    const upload: OpenUpload = {
      location: locationOf(begun),
      repository: this.#repository,
      content,
      acknowledgedBytes: 0,
      isClosing: false,
    };
    this.#ledger.beginUpload(upload);
    const pieces = 1 + Math.floor(this.#random() * 3);
    for (let piece = 0; piece < pieces; piece += 1) {
      const start = upload.acknowledgedBytes;
      const end = piece === pieces - 1 ? content.length : Math.ceil((content.length * (piece + 1)) / pieces);
      if (end === start) continue;
      const answer = await this.#ask('PATCH', upload.location, 202, content.subarray(start, end), {
        'content-range': `${start}-${end - 1}`,
        'content-type': 'application/octet-stream',
      });
      upload.location = locationOf(answer);
      upload.acknowledgedBytes = end;
    }
    upload.isClosing = true;
    await this.#ask('PUT', withDigest(upload.location, digest), 201);
    this.#ledger.endUpload(upload);
  }

  async #deleteTag(): Promise<void> {
    const tag = this.#anyTag();
    if (this.#ledger.findTag(this.#repository, tag) === undefined) return this.#pushImage();
    this.#ledger.expectTagDelete(this.#repository, tag);
    await this.#ask('DELETE', `manifests/${tag}`, 202);
    this.#ledger.acknowledgeTag(this.#repository, tag, undefined);
  }

  async #deleteManifest(): Promise<void> {
    const digest = this.#ledger.findTag(this.#repository, this.#anyTag());
    if (digest === undefined) return this.#pushImage();
    this.#ledger.expectManifestDelete(this.#repository, digest);
    await this.#ask('DELETE', `manifests/${digest}`, 202);
    this.#ledger.acknowledgeManifestDelete(this.#repository, digest);
  }

  async #deleteBlob(): Promise<void> {
    const content = makeContent(`${this.#repository} ${this.#random()}`, 5000);
    await this.#pushBlob(content);
    this.#ledger.expectBlobDelete(this.#repository, sha256(content));
    await this.#ask('DELETE', `blobs/${sha256(content)}`, 202);
    this.#ledger.acknowledge('blobs', this.#repository, sha256(content), 'absent');
  }

  #anyTag(): string {
    return `t${Math.floor(this.#random() * TAGS)}`;
  }

  async #ask(
    method: string,
    path: string,
    expected: number,
    body?: Buffer | string,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const url = path.startsWith('/') ? this.#url + path : `${this.#url}/v2/${this.#repository}/${path}`;
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    if (response.status !== expected) {
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    }
    this.#acknowledged += 1;
    return response;
  }
}

function locationOf(response: Response): string {
  const { pathname, search } = new URL(response.headers.get('location') ?? '', response.url);
  return pathname + search;
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
}
