// Lets a number of pieces of work run at the same time, and a smaller number of each owner's; the others wait. Whose owner has the
// least under way goes first, so that nobody waits for the many of another.

interface Waiting {
  readonly owner: string;
  readonly go: () => void;
}

export class Gate {
  readonly #most: number;
  readonly #mostOfOwner: number;
  /** In the order in which they came. */
  readonly #waiting: Waiting[] = [];
  readonly #insideOf = new Map<string, number>();
  #inside = 0;

  constructor(most: number, mostOfOwner: number) {
    this.#most = most;
    this.#mostOfOwner = mostOfOwner;
  }

  async pass<Result>(owner: string, work: () => Promise<Result>): Promise<Result> {
    // Whoever leaves hands the place on in the same turn, so that while there is a place nobody waits who could have it.
    if (this.#inside < this.#most && this.#has(owner) < this.#mostOfOwner) this.#enter(owner);
    else await new Promise<void>((go) => this.#waiting.push({ owner, go }));
    try {
      return await work();
    } finally {
      this.#leave(owner);
    }
  }

  #has(owner: string): number {
    return this.#insideOf.get(owner) ?? 0;
  }

  #enter(owner: string): void {
    this.#inside += 1;
    this.#insideOf.set(owner, this.#has(owner) + 1);
  }

  #leave(owner: string): void {
    this.#inside -= 1;
    const left = this.#has(owner) - 1;
    if (left > 0) this.#insideOf.set(owner, left);
    else this.#insideOf.delete(owner);
    const next = this.#next();
    if (next === undefined) return;
    this.#enter(next.owner);
    next.go();
  }

  #next(): Waiting | undefined {
    let found: number | undefined;
    let least = this.#mostOfOwner;
    for (const [index, { owner }] of this.#waiting.entries()) {
      const inside = this.#has(owner);
      if (inside >= least) continue;
      least = inside;
      found = index;
      if (inside === 0) break;
    }
    return found === undefined ? undefined : this.#waiting.splice(found, 1)[0];
  }
}
