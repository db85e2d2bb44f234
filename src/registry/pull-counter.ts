// Counts pulls in memory and hands them to the store as aggregates, so that a pull never causes a commit of its own.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Clock } from '../storage/clock.ts';
import type { ManifestStore, Pulls } from '../storage/metadata-store.ts';

interface Count {
  pulls: number;
  lastAt: number;
}

export class PullCounter {
  readonly #manifests: ManifestStore;
  readonly #clock: Clock;
  #counts = new Map<RepositoryName, Map<Digest, Count>>();

  constructor(manifests: ManifestStore, clock: Clock) {
    this.#manifests = manifests;
    this.#clock = clock;
  }

  /** Counts one pull, now. */
  count(repository: RepositoryName, digest: Digest): void {
    this.#add(repository, digest, 1, Math.floor(this.#clock.unixSeconds()));
  }

  /** Writes what was counted since the last flush. Counts that cannot be written are kept for the next one. */
  async flush(): Promise<void> {
    const counts = this.#counts;
    this.#counts = new Map();
    const pulls: Pulls[] = [];
    for (const [repository, ofRepository] of counts) {
      for (const [digest, count] of ofRepository) pulls.push({ repository, digest, ...count });
    }
    if (pulls.length === 0) return;
    try {
      await this.#manifests.recordPulls(pulls);
    } catch (error) {
      for (const missed of pulls) this.#add(missed.repository, missed.digest, missed.pulls, missed.lastAt);
      throw error;
    }
  }

  #add(repository: RepositoryName, digest: Digest, pulls: number, lastAt: number): void {
    let ofRepository = this.#counts.get(repository);
    if (ofRepository === undefined) {
      ofRepository = new Map();
      this.#counts.set(repository, ofRepository);
    }
    const count = ofRepository.get(digest);
    if (count === undefined) ofRepository.set(digest, { pulls, lastAt });
    else {
      count.pulls += pulls;
      count.lastAt = Math.max(count.lastAt, lastAt);
    }
  }
}
