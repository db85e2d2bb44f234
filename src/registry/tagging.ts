// What people do with tags beyond pushes and pulls: the rules around the store's intentions. Whether the registry takes changes
// just now is asked here; who may do it is the caller's business.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type {
  MetadataStore,
  Origin,
  RemovedTags,
  RemoveManifestOutcome,
  RestoreDeleted,
  Restored,
  SetTag,
  SetTagOutcome,
  TagManagement,
} from '../storage/metadata-store.ts';
import type { PullCounter } from './pull-counter.ts';
import type { WriteGate } from './writes.ts';

export class Tagging {
  readonly #metadata: MetadataStore;
  readonly #writes: WriteGate;
  readonly #pulls: PullCounter;

  constructor(options: {
    readonly metadata: MetadataStore;
    readonly writes: WriteGate;
    readonly pulls: PullCounter;
  }) {
    this.#metadata = options.metadata;
    this.#writes = options.writes;
    this.#pulls = options.pulls;
  }

  /** Retags, copies or restores. Throws QuotaExceededError, and OciError UNAVAILABLE where there is no room. */
  async set(input: SetTag): Promise<SetTagOutcome> {
    if (!input.dryRun) await this.#writes.admitContent();
    return await this.#metadata.tags.set(input);
  }

  /** Removes a tag alone. False: there is none. Throws OciError UNSUPPORTED where deleting is switched off. */
  async remove(repository: RepositoryName, tag: Tag, origin: Origin): Promise<boolean> {
    this.#writes.admitDelete();
    return await this.#writes.withBallast(() => this.#metadata.tags.remove(repository, tag, origin));
  }

  /** Removes a manifest with its tags. Throws like remove. */
  async removeManifest(
    repository: RepositoryName,
    digest: Digest,
    origin: Origin,
  ): Promise<RemoveManifestOutcome> {
    this.#writes.admitDelete();
    return await this.#writes.withBallast(() => this.#metadata.manifests.remove(repository, digest, origin));
  }

  /** Removes a bounded number of tags that fit. */
  async removeMatching(
    options: Parameters<TagManagement['removeMatching']>[0],
  ): Promise<RemovedTags | undefined> {
    if (options.dryRun) this.#writes.admitDeletePlan();
    else this.#writes.admitDelete();
    // Pulls of the last seconds count, too.
    if (options.filter.pulledBefore !== undefined) await this.#pulls.flush();
    return await this.#writes.withBallast(() => this.#metadata.tags.removeMatching(options));
  }

  /** Brings a deleted manifest or a removed tag back. Throws like set. */
  async restore(kind: 'manifest' | 'tag', options: RestoreDeleted): Promise<Restored> {
    if (!options.dryRun) await this.#writes.admitContent();
    const { deleted } = this.#metadata;
    return kind === 'manifest' ? await deleted.restoreManifest(options) : await deleted.restoreTag(options);
  }

  /** Gives a deleted manifest up. False: there is none. */
  async purge(id: number, origin: Origin): Promise<boolean> {
    this.#writes.admitDelete();
    return await this.#writes.withBallast(() => this.#metadata.deleted.purgeManifest(id, origin));
  }
}
