// What a manifest says of itself and what its config adds: an image with its layers, an index with its platforms, an artifact with
// its files. What is missing or damaged is a finding in the answer.
import { setImmediate as turn } from 'node:timers/promises';
import { type Digest, isDigest } from '../oci/digest.ts';
import { manifestKindOf } from '../oci/media-types.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Reference } from '../oci/reference.ts';
import type { Blobs } from '../registry/blobs.ts';
import type { BlobIndex, ManifestStore, StoredManifest } from '../storage/metadata-store.ts';
import { type ArtifactKind, attestedDigest, describeManifest, isImageConfig } from './artifact-kinds.ts';
import {
  type Descriptor,
  descriptorIn,
  type JsonObject,
  listIn,
  parseStored,
  readJsonBlob,
  textIn,
  textMapIn,
} from './documents.ts';
import { InspectionFault } from './faults.ts';
import { describeImage, type ImageDescription, joinHistory, type LayerDescription } from './image-config.ts';
import { fitOf, type Platform, platformIn, platformText } from './platforms.ts';

/** Configs are some kilobytes; Kubernetes and containerd read no more of one either. */
export const longestConfig = 4 * 1024 * 1024;
const longestShownConfig = 64 * 1024;
const mostPlatforms = 1000;
const mostLayersChecked = 500;
/** Children whose own manifest or config is looked into. */
const mostChildrenRead = 100;
/** An index may list indexes, whose platforms count too. */
const deepestIndex = 1;

export interface Finding {
  readonly code: 'config' | 'history' | 'layer' | 'child' | 'more';
  readonly digest: string | null;
  readonly detail: string;
}

export interface PlatformDescription {
  readonly digest: string;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly size: number;
  /** Of config and layers. null: not looked into, or not an image. */
  readonly imageSize: number | null;
  readonly platform: string | null;
  readonly os: string | null;
  readonly architecture: string | null;
  readonly variant: string | null;
  readonly osVersion: string | null;
  readonly kind: ArtifactKind;
  readonly present: boolean;
  /** Of an attestation: what it is about. */
  readonly attests: string | null;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ManifestDescription {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  readonly kind: ArtifactKind;
  readonly artifactType: string | null;
  readonly imageSize: number | null;
  /** The index that a platform was picked out of. */
  readonly index: Digest | null;
  readonly annotations: Readonly<Record<string, string>>;
  readonly subject: { readonly digest: string; readonly mediaType: string; readonly size: number } | null;
  readonly config: {
    readonly digest: string;
    readonly mediaType: string;
    readonly size: number;
    /** Of an artifact, where it is JSON and small. */
    readonly content: JsonObject | null;
  } | null;
  readonly image: ImageDescription | null;
  readonly layers: readonly LayerDescription[];
  readonly platforms: readonly PlatformDescription[];
  readonly findings: readonly Finding[];
}

/** A manifest, and the index it was picked out of. */
export interface Chosen {
  readonly manifest: StoredManifest;
  readonly body: JsonObject;
  readonly index: Digest | undefined;
}

export interface ManifestReaderOptions {
  readonly manifests: ManifestStore;
  readonly blobs: Blobs;
  readonly blobIndex: BlobIndex;
}

export class ManifestReader {
  readonly #manifests: ManifestStore;
  readonly #blobs: Blobs;
  readonly #blobIndex: BlobIndex;

  constructor({ manifests, blobs, blobIndex }: ManifestReaderOptions) {
    this.#manifests = manifests;
    this.#blobs = blobs;
    this.#blobIndex = blobIndex;
  }

  /**
   * A manifest; of an index the one for `platform`, where one is asked for. undefined where the repository has no such manifest.
   * Throws InspectionFault (absent) where it is for other platforms.
   */
  async choose(
    repository: RepositoryName,
    reference: Reference,
    platform: Platform | undefined,
  ): Promise<Chosen | undefined> {
    const manifest = await this.#manifests.find(repository, reference);
    if (manifest === undefined) return undefined;
    const chosen = { manifest, body: parseStored(manifest.bytes), index: undefined };
    if (platform === undefined) return chosen;
    if (isIndex(manifest)) return await this.#pick(repository, chosen, platform, deepestIndex);
    const own = await this.#platformOf(repository, chosen.body);
    if (own === undefined || fitOf(own, platform) > 0) return chosen;
    throw new InspectionFault(
      'absent',
      `it is for ${platformText(own)}, and not for ${platformText(platform)}`,
    );
  }

  /** What a manifest is. Throws OciError UNAVAILABLE alone. */
  async describe(
    repository: RepositoryName,
    { manifest, body, index }: Chosen,
  ): Promise<ManifestDescription> {
    const { kind } = describeManifest(body);
    const isImage = manifestKindOf(manifest.mediaType) === 'image';
    const config = isImage ? descriptorIn(body.config) : undefined;
    const layers = listIn(isImage ? body.layers : body.blobs).map(descriptorIn);
    const findings: Finding[] = [];
    const document = config === undefined ? undefined : await this.#readConfig(repository, config, findings);
    const joined = joinHistory(layers, isImageConfig(config?.mediaType ?? '') ? document : undefined);
    if (joined.mismatch !== undefined) {
      findings.push({ code: 'history', digest: config?.digest ?? null, detail: joined.mismatch });
    }
    await this.#checkLayers(repository, joined.layers, findings);
    const isContainer = isImageConfig(config?.mediaType ?? '');
    return {
      digest: manifest.digest,
      mediaType: manifest.mediaType,
      size: manifest.bytes.length,
      kind,
      artifactType: textIn(body.artifactType) ?? (isContainer ? null : (config?.mediaType ?? null)),
      imageSize: isIndex(manifest) ? null : sizeOf(config, layers),
      index: index ?? null,
      annotations: textMapIn(body.annotations),
      subject:
        body.subject === undefined || body.subject === null ? null : shortOf(descriptorIn(body.subject)),
      config:
        config === undefined
          ? null
          : {
              ...shortOf(config),
              content: isContainer || config.size > longestShownConfig ? null : (document ?? null),
            },
      image: isContainer && document !== undefined ? describeImage(document) : null,
      layers: joined.layers,
      platforms: isIndex(manifest) ? await this.#platformsOf(repository, body, findings) : [],
      findings,
    };
  }

  /** The config of a manifest as it was pushed; undefined where it has none. */
  configOf({ body }: Chosen): Descriptor | undefined {
    return body.config === undefined || body.config === null ? undefined : descriptorIn(body.config);
  }

  async #readConfig(
    repository: RepositoryName,
    config: Descriptor,
    findings: Finding[],
  ): Promise<JsonObject | undefined> {
    const isContainer = isImageConfig(config.mediaType);
    // The config of an artifact may be anything; only JSON is looked into.
    if (!isContainer && (config.size > longestShownConfig || !/json$/.test(config.mediaType)))
      return undefined;
    const read = await readJsonBlob(this.#blobs, repository, config.digest, longestConfig);
    if ('value' in read) return read.value;
    findings.push({
      code: 'config',
      digest: config.digest,
      detail: `the config cannot be read: ${read.why}`,
    });
    return undefined;
  }

  async #checkLayers(
    repository: RepositoryName,
    layers: readonly LayerDescription[],
    findings: Finding[],
  ): Promise<void> {
    const digests = new Set(layers.filter(({ foreign }) => !foreign).flatMap(({ digest }) => digest ?? []));
    let count = 0;
    for (const digest of digests) {
      count += 1;
      if (count > mostLayersChecked) return;
      if (count % 50 === 0) await turn();
      const isHere = isDigest(digest) && (await this.#blobIndex.find(repository, digest)) !== undefined;
      if (isHere) continue;
      findings.push({
        code: 'layer',
        digest,
        detail: 'the layer is not here, or damaged: push the image again',
      });
    }
  }

  async #platformsOf(
    repository: RepositoryName,
    body: JsonObject,
    findings: Finding[],
  ): Promise<readonly PlatformDescription[]> {
    const children = listIn(body.manifests);
    if (children.length > mostPlatforms) {
      const detail = `it lists ${children.length} manifests, of which the first ${mostPlatforms} are shown`;
      findings.push({ code: 'more', digest: null, detail });
    }
    const shown: PlatformDescription[] = [];
    for (const [index, item] of children.slice(0, mostPlatforms).entries()) {
      if (index % 20 === 0) await turn();
      const child = descriptorIn(item);
      const described = await this.#describeChild(repository, child, index < mostChildrenRead);
      if (!described.present) {
        findings.push({
          code: 'child',
          digest: child.digest,
          detail: 'it is listed, and not in this repository',
        });
      }
      shown.push(described);
    }
    return shown;
  }

  async #describeChild(
    repository: RepositoryName,
    child: Descriptor,
    isRead: boolean,
  ): Promise<PlatformDescription> {
    const { digest, mediaType, size, annotations } = child;
    const stored =
      isDigest(digest) && isRead ? await this.#manifests.find(repository, { digest }) : undefined;
    const isHere = stored !== undefined || (await this.#isHere(repository, digest));
    const body = stored === undefined ? undefined : parseStored(stored.bytes);
    const attests = attestedDigest(child);
    const platform = platformIn(child.platform);
    const isKnown = platform !== undefined && platform.os !== 'unknown';
    const isImage = stored !== undefined && body !== undefined && !isIndex(stored);
    return {
      digest,
      mediaType,
      size,
      imageSize: isImage ? sizeOf(descriptorIn(body.config), listIn(body.layers).map(descriptorIn)) : null,
      platform: isKnown ? platformText(platform) : null,
      os: platform?.os ?? null,
      architecture: platform?.architecture ?? null,
      variant: platform?.variant ?? null,
      osVersion: textIn(child.platform?.['os.version']) ?? null,
      kind: attests === undefined ? kindOfChild(child, body) : 'attestation',
      present: isHere,
      attests: attests === undefined || attests === '' ? null : attests,
      annotations,
    };
  }

  // A child may be a blob: BuildKit's cache is an index of layers.
  async #isHere(repository: RepositoryName, digest: string): Promise<boolean> {
    if (!isDigest(digest)) return false;
    if ((await this.#manifests.stat(repository, { digest })) !== undefined) return true;
    return (await this.#blobIndex.find(repository, digest)) !== undefined;
  }

  async #pick(repository: RepositoryName, from: Chosen, wanted: Platform, depth: number): Promise<Chosen> {
    const children = listIn(from.body.manifests).slice(0, mostPlatforms).map(descriptorIn);
    const candidates = children.filter((child) => attestedDigest(child) === undefined);
    const offered: { readonly child: Descriptor; readonly platform: Platform | undefined }[] = [];
    for (const [index, child] of candidates.entries()) {
      offered.push({ child, platform: await this.#offeredBy(repository, child, index) });
    }
    const fits = offered
      .map((offer) => ({ ...offer, fit: offer.platform === undefined ? 0 : fitOf(offer.platform, wanted) }))
      .filter(({ fit }) => fit > 0)
      .sort((one, other) => other.fit - one.fit);
    for (const { child } of fits) {
      const found = isDigest(child.digest)
        ? await this.#manifests.find(repository, { digest: child.digest })
        : undefined;
      if (found === undefined) continue;
      return { manifest: found, body: parseStored(found.bytes), index: from.manifest.digest };
    }
    if (fits[0] !== undefined) {
      const { digest } = fits[0].child;
      throw new InspectionFault(
        'absent',
        `${platformText(wanted)} is listed as ${digest}, which is not in this repository`,
      );
    }
    const nested = await this.#pickNested(repository, candidates, wanted, depth);
    if (nested !== undefined) return { ...nested, index: from.manifest.digest };
    const names = [...new Set(offered.flatMap(({ platform }) => (platform ? [platformText(platform)] : [])))];
    const known = names.length === 0 ? 'it names no platform' : `it has ${names.slice(0, 30).join(', ')}`;
    throw new InspectionFault('absent', `there is no ${platformText(wanted)} in it: ${known}`);
  }

  async #pickNested(
    repository: RepositoryName,
    children: readonly Descriptor[],
    wanted: Platform,
    depth: number,
  ): Promise<Chosen | undefined> {
    if (depth === 0) return undefined;
    const indexes = children.filter(({ mediaType }) => manifestKindOf(mediaType) === 'index').slice(0, 16);
    for (const { digest } of indexes) {
      const found = isDigest(digest) ? await this.#manifests.find(repository, { digest }) : undefined;
      if (found === undefined) continue;
      const chosen = { manifest: found, body: parseStored(found.bytes), index: undefined };
      try {
        return await this.#pick(repository, chosen, wanted, depth - 1);
      } catch (error) {
        if (!(error instanceof InspectionFault) || error.kind !== 'absent') throw error;
      }
    }
    return undefined;
  }

  /** What a child is for; where its descriptor does not say, its config is asked. */
  async #offeredBy(
    repository: RepositoryName,
    child: Descriptor,
    index: number,
  ): Promise<Platform | undefined> {
    const told = platformIn(child.platform);
    if (told !== undefined || index >= mostChildrenRead || !isDigest(child.digest)) return told;
    if (manifestKindOf(child.mediaType) !== 'image') return undefined;
    const found = await this.#manifests.find(repository, { digest: child.digest });
    return found === undefined ? undefined : await this.#platformOf(repository, parseStored(found.bytes));
  }

  async #platformOf(repository: RepositoryName, body: JsonObject): Promise<Platform | undefined> {
    const config = descriptorIn(body.config);
    if (!isImageConfig(config.mediaType)) return undefined;
    const read = await readJsonBlob(this.#blobs, repository, config.digest, longestConfig);
    return 'value' in read ? platformIn(read.value) : undefined;
  }
}

/** Whether a manifest is an index or a list. */
export function isIndex({ mediaType }: Pick<StoredManifest, 'mediaType'>): boolean {
  return manifestKindOf(mediaType) === 'index';
}

function kindOfChild(child: Descriptor, body: JsonObject | undefined): ArtifactKind {
  if (body !== undefined) return describeManifest(body, child.artifactType).kind;
  const kind = manifestKindOf(child.mediaType);
  if (kind === 'index') return 'index';
  return kind === 'image' && child.artifactType === undefined ? 'image' : 'other';
}

function shortOf({ digest, mediaType, size }: Descriptor) {
  return { digest, mediaType, size };
}

function sizeOf(config: Descriptor | undefined, layers: readonly Descriptor[]): number {
  const sizes = new Map(
    [...(config === undefined ? [] : [config]), ...layers].map(({ digest, size }) => [digest, size]),
  );
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
