// Manifests: what a push must bring, and what a pull and a delete answer.
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import { parseManifest } from '../oci/manifest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { type Reference, referenceText, type Tag } from '../oci/reference.ts';
import type {
  ManifestStore,
  MetadataStore,
  Origin,
  SparseMode,
  StoredManifest,
} from '../storage/metadata-store.ts';
import { noRepository } from './no-repository.ts';
import type { Platforms } from './platforms.ts';
import type { PullCounter } from './pull-counter.ts';
import { withinQuota } from './quota.ts';
import type { WriteGate } from './writes.ts';

export interface PushedManifest {
  readonly digest: Digest;
  readonly subject: Digest | undefined;
}

export class Manifests {
  readonly #store: ManifestStore;
  readonly #metadata: MetadataStore;
  readonly #writes: WriteGate;
  readonly #pulls: PullCounter;
  readonly #platforms: Platforms;
  readonly #sparse: SparseMode;

  constructor(options: {
    metadata: MetadataStore;
    writes: WriteGate;
    pulls: PullCounter;
    platforms: Platforms;
    sparse: SparseMode;
  }) {
    this.#store = options.metadata.manifests;
    this.#metadata = options.metadata;
    this.#writes = options.writes;
    this.#pulls = options.pulls;
    this.#platforms = options.platforms;
    this.#sparse = options.sparse;
  }

  /**
   * A manifest for a client, counted as a pull; with `origin` that is an event. Throws OciError MANIFEST_UNKNOWN or
   * NAME_UNKNOWN.
   */
  async pull(repository: RepositoryName, reference: Reference, origin?: Origin): Promise<StoredManifest> {
    const manifest = await this.#store.find(repository, reference);
    if (manifest === undefined) throw await this.#unknown(repository, reference);
    this.#pulls.count(repository, manifest.digest, origin, 'tag' in reference ? reference.tag : undefined);
    return manifest;
  }

  /** Media type, digest and size of a manifest. Throws like pull. */
  async stat(repository: RepositoryName, reference: Reference) {
    const manifest = await this.#store.stat(repository, reference);
    if (manifest === undefined) throw await this.#unknown(repository, reference);
    return manifest;
  }

  /**
   * Stores a manifest with its tags, all or nothing, when all that it references is there. `reference` is what the client
   * put it under; `tags` come beside it. Throws OciError DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN,
   * NAME_UNKNOWN or DENIED (for a full quota, or where no repository is made), and TagProtectedError where a rule keeps one of
   * the tags where it is.
   */
  async push(options: {
    repository: RepositoryName;
    reference: Reference;
    tags: readonly Tag[];
    contentType: string | undefined;
    bytes: Buffer;
    origin: Origin;
    /** false: the repository has to be there. */
    create?: boolean;
  }): Promise<PushedManifest> {
    const { repository, reference, bytes, origin, create } = options;
    const expected = 'digest' in reference ? reference.digest : undefined;
    const digest = digestOf(bytes, expected === undefined ? 'sha256' : algorithmOf(expected));
    if (expected !== undefined && digest !== expected) {
      throw new OciError(
        'DIGEST_INVALID',
        'the manifest is not what its digest says: it was changed on the way or the digest is wrong',
        {
          expected,
          actual: digest,
        },
      );
    }
    const parsed = parseManifest(bytes, options.contentType, { digest });
    const tags = [...new Set('tag' in reference ? [reference.tag, ...options.tags] : options.tags)];
    await this.#writes.admitContent();
    const { platformConfig: _config, ...told } = parsed;
    const manifest = { ...told, platforms: await this.#platforms.find(repository, parsed) };
    const put = await withinQuota(() =>
      this.#store.put({ repository, manifest, tags, sparse: this.#sparse, origin, create }),
    );
    if (put.outcome === 'missing') throw referencesMissing(put.missing);
    if (put.outcome !== 'stored') throw noRepository(repository, put);
    return { digest, subject: manifest.subject };
  }

  /**
   * Removes a tag alone, or a manifest with its tags. Throws OciError MANIFEST_UNKNOWN, NAME_UNKNOWN or UNSUPPORTED, and
   * TagProtectedError.
   */
  async remove(repository: RepositoryName, reference: Reference, origin: Origin): Promise<void> {
    if ('tag' in reference) {
      const removed = await this.#writes.withBallast(() =>
        this.#metadata.tags.remove(repository, reference.tag, origin),
      );
      if (!removed) throw await this.#unknown(repository, reference);
      return;
    }
    const removed = await this.#writes.withBallast(() =>
      this.#store.remove(repository, reference.digest, origin),
    );
    if (removed.outcome === 'unknown') throw await this.#unknown(repository, reference);
    if (removed.outcome === 'listed') {
      throw new OciError(
        'UNSUPPORTED',
        `the manifest is part of index ${removed.parent}: delete that first`,
        {
          digest: reference.digest,
          index: removed.parent,
        },
      );
    }
  }

  async #unknown(repository: RepositoryName, reference: Reference): Promise<OciError> {
    const known = (await this.#metadata.repositories.find(repository))?.live === true;
    if (!known)
      return new OciError('NAME_UNKNOWN', `repository ${repository} does not exist`, { name: repository });
    return new OciError('MANIFEST_UNKNOWN', `${repository} has no manifest ${referenceText(reference)}`, {
      name: repository,
      reference: referenceText(reference),
    });
  }
}

function referencesMissing(missing: readonly Digest[]): OciError {
  const shown = missing.slice(0, 20);
  return new OciError(
    'MANIFEST_BLOB_UNKNOWN',
    `the manifest references what is not in this repository: push ${shown[0]}${missing.length > 1 ? ` and ${missing.length - 1} more` : ''} first`,
    { digest: shown[0], missing: shown },
  );
}
