// A live registry as a source: its catalog or named repositories, their tags, what the tags lead to, and what refers to that,
// by the referrers API or, where the registry has none, by the tags that clients use in its place.
import { Readable } from 'node:stream';
import { type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { isJsonObject, parseBoundedJson } from '../oci/json.ts';
import { mediaTypes, schema1Types } from '../oci/media-types.ts';
import { longestManifest, verified } from './folder-files.ts';
import { isPlain, matcherOf } from './patterns.ts';
import { type Ask, RegistryClient, type RemoteOptions } from './registry-client.ts';
import {
  type ImportSource,
  type SourceBlob,
  SourceFault,
  type SourceManifest,
  type SourceReferrer,
  type SourceRepository,
} from './source.ts';

export interface RemoteChoice {
  /** Names or patterns; names alone need no catalog. */
  readonly repositories?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
}

const pageLength = 1000;
/** A list that never ends is none. */
const mostPages = 100_000;
const longestPage = 16 * 1024 * 1024;

/** Opens a live registry; asks nothing of it yet. */
export function openLiveRegistry(options: RemoteOptions, choice: RemoteChoice = {}): ImportSource {
  const client = new RegistryClient(options);
  const isTagWanted = matcherOf(choice.tags);
  const named = choice.repositories?.every(isPlain) === true ? choice.repositories : undefined;
  return {
    parallel: options.parallel,
    async listRepositories() {
      const names = named?.length ? named : await listCatalog(client, matcherOf(choice.repositories));
      return [...new Set(names)].sort().map((name) => new LiveRepository(client, name, isTagWanted));
    },
    close: async () => client.close(),
  };
}

async function listCatalog(
  client: RegistryClient,
  wanted: (name: string) => boolean,
): Promise<readonly string[]> {
  const names: string[] = [];
  const ask: Ask = { scope: 'registry:catalog:*' };
  for await (const page of listPages(client, `/v2/_catalog?n=${pageLength}`, ask)) {
    if (page === undefined)
      throw new SourceFault(
        'refused',
        'the registry does not list its repositories: name the ones to import',
      );
    names.push(...textsIn(page.repositories).filter(wanted));
  }
  return names;
}

/** Follows `Link: …; rel="next"`; undefined for a list that is not there. */
async function* listPages(
  client: RegistryClient,
  start: string,
  ask: Ask,
): AsyncIterable<Readonly<Record<string, unknown>> | undefined> {
  let path: string | undefined = start;
  for (let page = 0; path !== undefined && page < mostPages; page += 1) {
    const { status, headers, body } = await client.read(path, ask, longestPage);
    if ([403, 404, 405].includes(status)) return yield undefined;
    if (status !== 200) throw new SourceFault('unreadable', `the registry answers ${status} to ${path}`);
    const list = parseList(body, path);
    yield list;
    const link = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(String(headers.link ?? ''))?.[1];
    // A link may name any host: only its path counts.
    const next = link === undefined ? null : URL.parse(link, 'http://registry.invalid/');
    path = next === null ? undefined : next.pathname + next.search;
  }
}

function parseList(body: Buffer, path: string): Readonly<Record<string, unknown>> {
  try {
    const list = parseBoundedJson(body);
    if (isJsonObject(list)) return list;
  } catch (cause) {
    throw new SourceFault('unreadable', `${path} is no list`, { cause });
  }
  throw new SourceFault('unreadable', `${path} is no list`);
}

function textsIn(list: unknown): readonly string[] {
  return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [];
}

const accept = Object.values(mediaTypes).join(', ');
/** What cosign hangs onto an image by tags alone. */
const cosignSuffixes = ['.sig', '.att', '.sbom'];

class LiveRepository implements SourceRepository {
  readonly name: string;
  readonly #client: RegistryClient;
  readonly #isTagWanted: (tag: string) => boolean;
  readonly #ask: Ask;
  /** All tags, wanted or not: some of them stand for referrers. */
  readonly #tags = new Set<string>();
  #hasReferrers = true;

  constructor(client: RegistryClient, name: string, isTagWanted: (tag: string) => boolean) {
    this.#client = client;
    this.name = name;
    this.#isTagWanted = isTagWanted;
    this.#ask = { scope: `repository:${name}:pull` };
  }

  async *listTags(): AsyncIterable<string> {
    for await (const page of listPages(
      this.#client,
      `/v2/${this.name}/tags/list?n=${pageLength}`,
      this.#ask,
    )) {
      if (page === undefined)
        throw new SourceFault('deleted', 'the registry shows no tags of this repository');
      for (const tag of textsIn(page.tags)) {
        this.#tags.add(tag);
        if (this.#isTagWanted(tag)) yield tag;
      }
    }
  }

  /** By HEAD where the answer names the digest: some registries count each GET. */
  async resolveTag(tag: string): Promise<Digest | undefined> {
    const path = `/v2/${this.name}/manifests/${tag}`;
    const head = await this.#client.read(path, { ...this.#ask, method: 'HEAD', headers: { accept } }, 0);
    if (head.status === 404) return undefined;
    const named = head.headers['docker-content-digest'];
    if (head.status === 200 && typeof named === 'string' && isDigest(named)) return named;
    const got = await this.#readDocument(tag);
    return got && digestOf(got.bytes);
  }

  async *listUntagged(): AsyncIterable<Digest> {}

  async readManifest(digest: Digest): Promise<SourceManifest | undefined> {
    const manifest = await this.#readDocument(digest);
    if (manifest === undefined) return undefined;
    // The digest of a signed schema 1 manifest is not that of its bytes; it is refused for what it is.
    if (schema1Types.includes(manifest.mediaType ?? '')) return manifest;
    return { ...manifest, bytes: verified(manifest.bytes, digest) };
  }

  async listReferrers(digest: Digest): Promise<readonly SourceReferrer[]> {
    const found = new Map<Digest, SourceReferrer>();
    if (this.#hasReferrers) {
      const path = `/v2/${this.name}/referrers/${digest}`;
      for await (const page of listPages(this.#client, path, this.#ask)) {
        if (page === undefined) this.#hasReferrers = false;
        else for (const referrer of digestsIn(page.manifests)) found.set(referrer, { digest: referrer });
      }
    }
    const standIn = digest.replace(':', '-');
    if (!this.#hasReferrers && this.#tags.has(standIn)) {
      const index = await this.#readDocument(standIn);
      const list = index === undefined ? undefined : parseList(index.bytes, standIn);
      for (const referrer of digestsIn(list?.manifests)) found.set(referrer, { digest: referrer });
    }
    for (const tag of cosignSuffixes
      .map((suffix) => standIn + suffix)
      .filter((name) => this.#tags.has(name))) {
      const resolved = await this.resolveTag(tag);
      if (resolved !== undefined) found.set(resolved, { digest: resolved, tag });
    }
    return [...found.values()];
  }

  async findBlob(digest: Digest): Promise<SourceBlob | undefined> {
    return { open: (offset) => this.#openBlob(digest, offset) };
  }

  async #readDocument(reference: string): Promise<SourceManifest | undefined> {
    const path = `/v2/${this.name}/manifests/${reference}`;
    const { status, headers, body } = await this.#client.read(
      path,
      { ...this.#ask, headers: { accept } },
      longestManifest,
    );
    if (status === 404) return undefined;
    if (status === 401 || status === 403) throw new SourceFault('refused', `the registry answers ${status}`);
    if (status !== 200) throw new SourceFault('unreadable', `the registry answers ${status} to ${path}`);
    const [type] = (headers['content-type'] ?? '').split(';', 1);
    return { bytes: body, mediaType: type?.trim() };
  }

  async #openBlob(digest: Digest, offset: number): Promise<Readable> {
    const path = `/v2/${this.name}/blobs/${digest}`;
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const reply = await this.#client.stream(path, { ...this.#ask, headers });
    const status = reply.statusCode ?? 0;
    if (status === 206 && rangeStart(reply.headers['content-range']) === offset) return reply;
    if (status === 200) return offset === 0 ? reply : withoutBeginning(reply, offset);
    reply.destroy();
    // Everything was here already; whether it is right shows its digest.
    if (status === 416 && offset > 0) return Readable.from([]);
    if (status === 404) throw new SourceFault('missing', 'the registry has no such blob');
    throw new SourceFault(
      status === 401 || status === 403 ? 'refused' : 'unreadable',
      `the registry answers ${status}`,
    );
  }
}

/** For registries that know no ranges: reads the first bytes and drops them. */
function withoutBeginning(body: Readable, bytes: number): Readable {
  const rest = async function* () {
    let left = bytes;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (chunk.length > left) yield chunk.subarray(left);
      left = Math.max(0, left - chunk.length);
    }
  };
  return Readable.from(rest(), { objectMode: false });
}

function rangeStart(header: string | undefined): number | undefined {
  const start = /^bytes (\d+)-/.exec(header ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

function digestsIn(list: unknown): readonly Digest[] {
  if (!Array.isArray(list)) return [];
  return list
    .filter(isJsonObject)
    .map(({ digest }) => digest)
    .filter((digest): digest is Digest => typeof digest === 'string' && isDigest(digest));
}
