// Counts pulls in memory and hands them to the store as aggregates, so that a pull never causes a commit of its own. Where pulls are
// events too, they are counted by who pulled, under which tag and from where.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Clock } from '../storage/clock.ts';
import type { ManifestStore, Origin, Pulls, PullsBy } from '../storage/metadata-store.ts';

interface Count {
  pulls: number;
  lastAt: number;
  /** By who, tag and address; undefined where pulls are no events. */
  by: Map<string, { origin: Origin; tag: Tag | undefined; count: number }> | undefined;
}

/** So many different events between two flushes; further ones come under one name. */
const mostOrigins = 10_000;
const others: Origin = { actor: '(others)' };

export class PullCounter {
  readonly #manifests: ManifestStore;
  readonly #clock: Clock;
  #counts = new Map<RepositoryName, Map<Digest, Count>>();
  #origins = 0;

  constructor(manifests: ManifestStore, clock: Clock) {
    this.#manifests = manifests;
    this.#clock = clock;
  }

  /** Counts one pull, now. With `origin` it is an event, too. */
  count(repository: RepositoryName, digest: Digest, origin?: Origin, tag?: Tag): void {
    const count = this.#add(repository, digest, 1, Math.floor(this.#clock.unixSeconds()));
    if (origin !== undefined) this.#tell(count, { origin, tag, count: 1 });
  }

  /** Writes what was counted since the last flush. Counts that cannot be written are kept for the next one. */
  async flush(): Promise<void> {
    const counts = this.#counts;
    this.#counts = new Map();
    this.#origins = 0;
    const pulls: Pulls[] = [];
    for (const [repository, ofRepository] of counts) {
      for (const [digest, { by, ...count }] of ofRepository)
        pulls.push({ repository, digest, ...count, ...(by && { by: [...by.values()] }) });
    }
    if (pulls.length === 0) return;
    try {
      await this.#manifests.recordPulls(pulls);
    } catch (error) {
      for (const missed of pulls) {
        const count = this.#add(missed.repository, missed.digest, missed.pulls, missed.lastAt);
        for (const one of missed.by ?? []) this.#tell(count, one);
      }
      throw error;
    }
  }

  #add(repository: RepositoryName, digest: Digest, pulls: number, lastAt: number): Count {
    let ofRepository = this.#counts.get(repository);
    if (ofRepository === undefined) {
      ofRepository = new Map();
      this.#counts.set(repository, ofRepository);
    }
    let count = ofRepository.get(digest);
    if (count === undefined) {
      count = { pulls, lastAt, by: undefined };
      ofRepository.set(digest, count);
    } else {
      count.pulls += pulls;
      count.lastAt = Math.max(count.lastAt, lastAt);
    }
    return count;
  }

  #tell(count: Count, { origin, tag, count: times }: PullsBy): void {
    count.by ??= new Map();
    const key = JSON.stringify([origin.actor, origin.address, tag]);
    const known = count.by.get(key);
    if (known !== undefined) known.count += times;
    else if (this.#origins < mostOrigins) {
      this.#origins += 1;
      count.by.set(key, { origin, tag, count: times });
    } else {
      const rest = count.by.get('') ?? { origin: others, tag: undefined, count: 0 };
      rest.count += times;
      count.by.set('', rest);
    }
  }
}
