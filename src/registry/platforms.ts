// Which platforms a manifest is for. Lists tell it and filter by it, so it is found out once: at the push, from what an index lists
// or from the config of an image. What a push could not tell (an older Berth, a config that came later) is looked into afterwards.
import { platformsOfConfig } from '../oci/description.ts';
import { OciError } from '../oci/errors.ts';
import { type ParsedManifest, parseManifest } from '../oci/manifest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import type { ManifestDescription, MetadataStore, UnreadManifest } from '../storage/metadata-store.ts';

/** Configs take some KiB; docker takes up to 8 MiB, of which the platform is not worth the reading. */
const largestConfig = 1024 * 1024;
const batch = 50;

type Parsed = Pick<ParsedManifest, 'kind' | 'platforms' | 'platformConfig'>;

export class Platforms {
  readonly #metadata: MetadataStore;
  readonly #store: BlobStore;
  #stopped = false;

  constructor(options: { readonly metadata: MetadataStore; readonly store: BlobStore }) {
    this.#metadata = options.metadata;
    this.#store = options.store;
  }

  /** The platforms of a manifest whose blobs are there; undefined: its config cannot be read now. Never fails a push. */
  async find(repository: RepositoryName, manifest: Parsed): Promise<readonly string[] | undefined> {
    const { platformConfig } = manifest;
    if (platformConfig === undefined) return manifest.platforms;
    const blob = await this.#metadata.blobs.find(repository, platformConfig);
    if (blob === undefined) return undefined;
    if (blob.size > largestConfig) return [];
    // A file that is missing or short is a matter for whoever pulls it, and for the scrub.
    const bytes = await this.#store.readSmall(blob.location, blob.size).catch(() => undefined);
    return bytes?.length === blob.size ? platformsOfConfig(bytes) : undefined;
  }

  /** Looks into all manifests that nobody has looked into yet, a few at a time. */
  async readUnread(): Promise<void> {
    let after = 0;
    while (!this.#stopped) {
      const unread = await this.#metadata.manifests.listUnread({ after, limit: batch });
      const found: ManifestDescription[] = [];
      for (const manifest of unread) found.push(await this.#look(manifest));
      if (found.length > 0) await this.#metadata.manifests.describe(found);
      if (unread.length < batch) return;
      after = unread.at(-1)?.id ?? after;
    }
  }

  /** Lets what runs come to its end soon. */
  stop(): void {
    this.#stopped = true;
  }

  // What is not here (a sparse manifest) is for no platform until it arrives.
  async #look({ id, repository, digest, mediaType, bytes }: UnreadManifest): Promise<ManifestDescription> {
    try {
      const parsed = parseManifest(bytes, mediaType, { digest });
      const platforms = (await this.find(repository, parsed)) ?? [];
      return { id, platforms, signs: parsed.isSignature ? parsed.subject : undefined };
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      return { id, platforms: [], signs: undefined };
    }
  }
}
