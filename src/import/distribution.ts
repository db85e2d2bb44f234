// The folder of a distribution registry (registry:2, registry:3, Debian's docker-registry):
//   docker/registry/v2/blobs/<algorithm>/<2 hex>/<hex>/data
//   docker/registry/v2/repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
//   docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link
//   docker/registry/v2/repositories/<name>/_layers/<algorithm>/<hex>/link
// A revision's link is what makes a manifest exist; a deleted one has lost it. `_layers` and `_uploads` without a manifest are
// left behind: nothing can be pulled through them. Only read.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { algorithmOf, type Digest, digestAlgorithms, hexOf, isDigest } from '../oci/digest.ts';
import { findFile, listFolders, longestManifest, readSmallFile, verified } from './folder-files.ts';
import { matcherOf } from './patterns.ts';
import {
  folderParallel,
  type ImportSource,
  type SourceBlob,
  SourceFault,
  type SourceManifest,
  type SourceReferrer,
  type SourceRepository,
} from './source.ts';

export interface FolderChoice {
  readonly repositories?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** Deeper folders than a name of 255 characters can spell. */
const deepest = 128;
const longestLink = 1024;

/** Opens a registry's folder: its root, or the `docker/registry/v2` in it. Throws SourceFault where it is none. */
export async function openDistribution(path: string, choice: FolderChoice = {}): Promise<ImportSource> {
  for (const root of [join(path, 'docker', 'registry', 'v2'), path]) {
    const found = await stat(join(root, 'repositories')).catch(() => undefined);
    if (found?.isDirectory()) return new DistributionFolder(root, choice);
  }
  throw new SourceFault(
    'missing',
    `${path} is not the folder of a registry: it has no docker/registry/v2/repositories. Give the folder that the registry ` +
      'has as rootdirectory (in its container /var/lib/registry)',
  );
}

class DistributionFolder implements ImportSource {
  readonly parallel = folderParallel;
  readonly #root: string;
  readonly #choice: FolderChoice;

  constructor(root: string, choice: FolderChoice) {
    this.#root = root;
    this.#choice = choice;
  }

  async listRepositories(): Promise<readonly SourceRepository[]> {
    const wanted = matcherOf(this.#choice.repositories);
    const names: string[] = [];
    for await (const name of findRepositories(join(this.#root, 'repositories'), '', 0))
      if (wanted(name)) names.push(name);
    const isTagWanted = matcherOf(this.#choice.tags);
    const untagged = this.#choice.tags === undefined;
    return names.sort().map((name) => new DistributionRepository(this.#root, name, isTagWanted, untagged));
  }

  async close(): Promise<void> {}
}

async function* findRepositories(folder: string, prefix: string, depth: number): AsyncIterable<string> {
  if (depth > deepest) return;
  for await (const name of listFolders(folder)) {
    // `_` cannot begin a component of a name.
    if (name === '_manifests') yield prefix;
    if (name.startsWith('_')) continue;
    yield* findRepositories(join(folder, name), prefix === '' ? name : `${prefix}/${name}`, depth + 1);
  }
}

class DistributionRepository implements SourceRepository {
  readonly name: string;
  readonly #root: string;
  readonly #manifests: string;
  readonly #isTagWanted: (tag: string) => boolean;
  readonly #untagged: boolean;
  #referrers: Promise<ReadonlyMap<Digest, readonly Digest[]>> | undefined;

  constructor(root: string, name: string, isTagWanted: (tag: string) => boolean, untagged: boolean) {
    this.name = name;
    this.#root = root;
    this.#manifests = join(root, 'repositories', name, '_manifests');
    this.#isTagWanted = isTagWanted;
    this.#untagged = untagged;
  }

  async *listTags(): AsyncIterable<string> {
    for await (const tag of listFolders(join(this.#manifests, 'tags'))) if (this.#isTagWanted(tag)) yield tag;
  }

  async resolveTag(tag: string): Promise<Digest | undefined> {
    const link = await this.#readLink(join(this.#manifests, 'tags', tag, 'current', 'link'));
    // Its manifest was deleted: that registry, too, answers 404.
    return link !== undefined && (await this.#hasManifest(link)) ? link : undefined;
  }

  async *listUntagged(): AsyncIterable<Digest> {
    if (!this.#untagged) return;
    yield* this.#listRevisions();
  }

  async readManifest(digest: Digest): Promise<SourceManifest | undefined> {
    if (!(await this.#hasManifest(digest))) return undefined;
    const bytes = await readSmallFile(this.#blobPath(digest), longestManifest);
    if (bytes === undefined) throw new SourceFault('missing', 'the bytes of the manifest are missing');
    return { bytes: verified(bytes, digest), mediaType: undefined };
  }

  /** Without a choice of tags, all manifests come anyway. Otherwise those that name this one as their subject. */
  async listReferrers(digest: Digest): Promise<readonly SourceReferrer[]> {
    if (this.#untagged) return [];
    this.#referrers ??= this.#indexSubjects();
    return ((await this.#referrers).get(digest) ?? []).map((referrer) => ({ digest: referrer }));
  }

  async findBlob(digest: Digest): Promise<SourceBlob | undefined> {
    const path = await findFile(this.#blobPath(digest));
    return path === undefined ? undefined : { path };
  }

  async *#listRevisions(): AsyncIterable<Digest> {
    for (const algorithm of digestAlgorithms) {
      for await (const hex of listFolders(join(this.#manifests, 'revisions', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (isDigest(digest) && (await this.#hasManifest(digest))) yield digest;
      }
    }
  }

  async #indexSubjects(): Promise<ReadonlyMap<Digest, readonly Digest[]>> {
    const referrers = new Map<Digest, Digest[]>();
    for await (const digest of this.#listRevisions()) {
      const bytes = await readSmallFile(this.#blobPath(digest), longestManifest).catch(() => undefined);
      const subject = bytes === undefined ? undefined : subjectOf(bytes);
      if (subject !== undefined) referrers.set(subject, [...(referrers.get(subject) ?? []), digest]);
    }
    return referrers;
  }

  async #hasManifest(digest: Digest): Promise<boolean> {
    const folder = join(this.#manifests, 'revisions', algorithmOf(digest), hexOf(digest));
    return (await findFile(folder, 'link')) !== undefined;
  }

  #blobPath(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#root, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex, 'data');
  }

  async #readLink(path: string): Promise<Digest | undefined> {
    const text = (await readSmallFile(path, longestLink))?.toString('utf8').trim();
    if (text === undefined) return undefined;
    if (isDigest(text)) return text;
    throw new SourceFault('damaged', `${path} holds no digest`);
  }
}

function subjectOf(bytes: Buffer): Digest | undefined {
  try {
    const { subject } = JSON.parse(bytes.toString('utf8')) as { subject?: { digest?: unknown } };
    const digest = subject?.digest;
    return typeof digest === 'string' && isDigest(digest) ? digest : undefined;
  } catch {
    return undefined;
  }
}
