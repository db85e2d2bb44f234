// Places for work that may run at the same time, and a smaller number of them for each owner; the rest waits. Whose owner has the
// fewest goes first, so that nobody waits for the many of another.

interface Waiting {
  readonly owner: string;
  readonly go: () => void;
}

export class Places {
  readonly #most: number;
  readonly #mostOfOwner: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>();
  readonly #takenOf = new Map<string, number>();
  #taken = 0;

  /** So many places, and so many at most for one owner: all of them unless told. */
  constructor(most: number, mostOfOwner = most) {
    this.#most = most;
    this.#mostOfOwner = mostOfOwner;
  }

  /** Does the work in a place of the owner's, when there is one. */
  async pass<Result>(owner: string, work: () => Promise<Result>): Promise<Result> {
    if (!this.enter(owner)) await new Promise<void>((go) => this.wait(owner, go));
    try {
      return await work();
    } finally {
      this.leave(owner);
    }
  }

  /** Takes a place, if the owner may have one at once; whoever does gives it back by `leave`. */
  enter(owner: string): boolean {
    if (this.#taken >= this.#most || this.hasAll(owner)) return false;
    this.#take(owner);
    return true;
  }

  /** Calls `go` when a place is the owner's, once. What is returned takes the wish back. */
  wait(owner: string, go: () => void): () => void {
    const waiting = { owner, go };
    this.#waiting.add(waiting);
    return () => this.#waiting.delete(waiting);
  }

  /** Hands the place on in the same turn, so that while there is one nobody waits who could have it. */
  leave(owner: string): void {
    this.#taken -= 1;
    const left = this.#has(owner) - 1;
    if (left > 0) this.#takenOf.set(owner, left);
    else this.#takenOf.delete(owner);
    const next = this.#next();
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#take(next.owner);
    next.go();
  }

  /** Whether the owner has as many as one may have. */
  hasAll(owner: string): boolean {
    return this.#has(owner) >= this.#mostOfOwner;
  }

  /** How many wait: all, or those of one owner. */
  waiting(owner?: string): number {
    if (owner === undefined) return this.#waiting.size;
    return [...this.#waiting].filter((one) => one.owner === owner).length;
  }

  #has(owner: string): number {
    return this.#takenOf.get(owner) ?? 0;
  }

  #take(owner: string): void {
    this.#taken += 1;
    this.#takenOf.set(owner, this.#has(owner) + 1);
  }

  #next(): Waiting | undefined {
    let next: Waiting | undefined;
    let least = this.#mostOfOwner;
    for (const one of this.#waiting) {
      const has = this.#has(one.owner);
      if (has >= least) continue;
      least = has;
      next = one;
      if (has === 0) break;
    }
    return next;
  }
}
