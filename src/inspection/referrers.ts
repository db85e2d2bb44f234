// Everything that refers to a manifest, as a tree: by the subject field (OCI distribution-spec, "Listing referrers"), by the tags
// that cosign makes up from the digest, and by the index that clients keep under such a tag where a registry has no referrers.
import { setImmediate as turn } from 'node:timers/promises';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { parseTag, type Tag } from '../oci/reference.ts';
import type { ManifestStore, StoredManifest } from '../storage/metadata-store.ts';
import { type ArtifactKind, describeManifest } from './artifact-kinds.ts';
import { descriptorIn, listIn, parseStored, textIn, textMapIn } from './documents.ts';
import { isIndex } from './manifests.ts';

export const referrerForms = ['subject', 'cosign-tag', 'fallback-tag'] as const;
export type ReferrerForm = (typeof referrerForms)[number];

export interface ReferrerNode {
  readonly digest: string;
  readonly mediaType: string;
  readonly artifactType: string | null;
  readonly kind: ArtifactKind;
  readonly format: string | null;
  readonly predicateTypes: readonly string[];
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  /** How it is found; clients look for one of these each. */
  readonly foundBy: readonly ReferrerForm[];
  readonly tag: string | null;
  /** False: it is listed by the index under the tag, and not here. */
  readonly present: boolean;
  readonly referrers: readonly ReferrerNode[];
}

export interface ReferrerTree {
  readonly referrers: readonly ReferrerNode[];
  /** False where the tree goes on beyond what is shown. */
  readonly complete: boolean;
}

const deepest = 5;
const mostNodes = 500;
/** Annotations of all nodes together, in bytes. */
const mostAnnotations = 1024 * 1024;
const storePage = 100;
const cosignSuffixes = ['sig', 'att', 'sbom'] as const;

/** The tags under which clients look for referrers of a manifest, by the form of it. */
export function referrerTagsOf(digest: Digest): { readonly fallback: Tag; readonly cosign: readonly Tag[] } {
  // A tag has 128 characters at most: of a longer digest its beginning.
  const base = `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`;
  return { fallback: parseTag(base), cosign: cosignSuffixes.map((suffix) => parseTag(`${base}.${suffix}`)) };
}

interface Candidate {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly foundBy: ReferrerForm[];
  tag: string | undefined;
}

export class ReferrerReader {
  readonly #manifests: ManifestStore;

  constructor(manifests: ManifestStore) {
    this.#manifests = manifests;
  }

  /** What refers to `subject`, of the given types alone where there are any; what refers to those is shown whole. */
  async treeOf(
    repository: RepositoryName,
    subject: Digest,
    artifactTypes: readonly string[],
  ): Promise<ReferrerTree> {
    const walk = new Walk(this.#manifests, repository);
    const referrers = await walk.referrersOf(subject, [subject], (type) =>
      artifactTypes.length === 0 ? true : type !== null && artifactTypes.includes(type),
    );
    return { referrers, complete: walk.complete };
  }
}

class Walk {
  complete = true;
  readonly #manifests: ManifestStore;
  readonly #repository: RepositoryName;
  #nodes = 0;
  #annotations = 0;

  constructor(manifests: ManifestStore, repository: RepositoryName) {
    this.#manifests = manifests;
    this.#repository = repository;
  }

  /** `way`: what leads here, beginning with the root; an index under a tag may list anything, also that. */
  async referrersOf(
    subject: Digest,
    way: readonly string[],
    isWanted: (artifactType: string | null) => boolean = () => true,
  ): Promise<readonly ReferrerNode[]> {
    const candidates = await this.#candidatesFor(subject);
    const nodes: ReferrerNode[] = [];
    for (const candidate of candidates) {
      if (way.includes(candidate.digest)) continue;
      if (this.#nodes >= mostNodes) {
        this.complete = false;
        return nodes;
      }
      const node = await this.#describe(candidate, way, isWanted);
      if (node !== undefined) nodes.push(node);
    }
    return nodes;
  }

  async #describe(
    candidate: Candidate,
    way: readonly string[],
    isWanted: (artifactType: string | null) => boolean,
  ): Promise<ReferrerNode | undefined> {
    await turn();
    const { digest, foundBy, tag = null } = candidate;
    const stored = isDigest(digest) ? await this.#manifests.find(this.#repository, { digest }) : undefined;
    const body = stored === undefined ? {} : parseStored(stored.bytes);
    const described = describeManifest(body, candidate.artifactType);
    const artifactType = typeOf(body, candidate);
    if (!isWanted(artifactType)) return undefined;
    this.#nodes += 1;
    return {
      digest,
      mediaType: stored?.mediaType ?? candidate.mediaType,
      artifactType,
      kind: described.kind,
      format: described.format ?? null,
      predicateTypes: described.predicateTypes,
      size: stored?.bytes.length ?? candidate.size,
      annotations: this.#annotationsOf(
        stored === undefined ? candidate.annotations : textMapIn(body.annotations),
      ),
      foundBy,
      tag,
      present: stored !== undefined,
      referrers: stored === undefined ? [] : await this.#below(stored, way),
    };
  }

  async #below({ digest }: StoredManifest, way: readonly string[]): Promise<readonly ReferrerNode[]> {
    if (way.length < deepest) return await this.referrersOf(digest, [...way, digest]);
    if ((await this.#candidatesFor(digest)).length > 0) this.complete = false;
    return [];
  }

  #annotationsOf(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    this.#annotations += JSON.stringify(annotations).length;
    if (this.#annotations <= mostAnnotations) return annotations;
    this.complete = false;
    return {};
  }

  async #candidatesFor(subject: Digest): Promise<readonly Candidate[]> {
    const found = new Map<string, Candidate>();
    const add = (candidate: Omit<Candidate, 'foundBy' | 'tag'>, form: ReferrerForm, tag?: Tag): void => {
      const known = found.get(candidate.digest) ?? { ...candidate, foundBy: [], tag: undefined };
      if (!known.foundBy.includes(form)) known.foundBy.push(form);
      known.tag ??= tag;
      found.set(candidate.digest, known);
    };
    let after: number | undefined;
    do {
      const page = await this.#manifests.listReferrers(this.#repository, subject, {
        limit: storePage,
        artifactTypes: [],
        ...(after === undefined ? {} : { after }),
      });
      for (const { digest, mediaType, size, artifactType, annotations = {} } of page.items) {
        add({ digest, mediaType, size, artifactType, annotations }, 'subject');
      }
      after = page.more ? page.items.at(-1)?.cursor : undefined;
      if (after !== undefined) await turn();
    } while (after !== undefined && found.size < mostNodes);
    if (after !== undefined) this.complete = false;
    await this.#addTagged(subject, add);
    return [...found.values()];
  }

  async #addTagged(
    subject: Digest,
    add: (candidate: Omit<Candidate, 'foundBy' | 'tag'>, form: ReferrerForm, tag?: Tag) => void,
  ): Promise<void> {
    const tags = referrerTagsOf(subject);
    for (const tag of tags.cosign) {
      const stored = await this.#manifests.find(this.#repository, { tag });
      if (stored !== undefined)
        add({ ...candidateOf(stored), artifactType: typeOfSuffix(tag) }, 'cosign-tag', tag);
    }
    const index = await this.#manifests.find(this.#repository, { tag: tags.fallback });
    if (index === undefined || !isIndex(index)) return;
    const listed = listIn(parseStored(index.bytes).manifests);
    if (listed.length > mostNodes) this.complete = false;
    for (const item of listed.slice(0, mostNodes)) add(descriptorIn(item), 'fallback-tag', tags.fallback);
  }
}

function candidateOf({ digest, mediaType, bytes }: StoredManifest) {
  return { digest, mediaType, size: bytes.length, annotations: {} };
}

/** What a tag of cosign's says where the manifest itself says nothing. */
function typeOfSuffix(tag: Tag): string {
  return `application/vnd.dev.cosign.artifact.${tag.slice(tag.lastIndexOf('.') + 1)}.v1+json`;
}

function typeOf(body: Readonly<Record<string, unknown>>, candidate: Candidate): string | null {
  if (textIn(body.artifactType) !== undefined) return textIn(body.artifactType) ?? null;
  const { mediaType } = descriptorIn(body.config);
  // Signatures in tag form have the config of an image.
  return candidate.artifactType ?? (mediaType === '' ? null : mediaType);
}
