// What reads found, kept for as long as nothing is committed. Only this process writes, by one thread which has one
// group of changes at a time under way, and nobody is told of a change before its group is known to be committed here: until
// then what was read before it is as true as it was.

/** Kept values weigh so much together, each its own weight and about this much beside it; then all of them are let go. */
const heaviest = 4 * 1024 * 1024;
const besideEachValue = 512;
/** What weighs more is read each time. */
const heaviestValue = 64 * 1024;

export class RememberedReads<Value> {
  readonly #commits: () => number;
  readonly #weigh: (value: Value) => number;
  readonly #values = new Map<string, Map<string, Value>>();
  #readAt = 0;
  #weight = 0;

  /** `commits` counts what the writer is known to have committed; `weigh` tells the bytes that a value holds. */
  constructor(commits: () => number, weigh: (value: Value) => number = () => 0) {
    this.#commits = commits;
    this.#weigh = weigh;
  }

  /** What `read` finds under `key` of `owner`, a repository mostly. What it does not find it is asked for again. */
  find(owner: string, key: string, read: () => Value | undefined): Value | undefined {
    const commits = this.#commits();
    if (commits !== this.#readAt) this.#forget(commits);
    const known = this.#values.get(owner)?.get(key);
    if (known !== undefined) return known;
    const value = read();
    if (value !== undefined) this.#keep(owner, key, value);
    return value;
  }

  #keep(owner: string, key: string, value: Value): void {
    const weight = this.#weigh(value);
    if (weight > heaviestValue) return;
    this.#weight += weight + besideEachValue;
    if (this.#weight > heaviest) {
      this.#forget(this.#readAt);
      this.#weight = weight + besideEachValue;
    }
    const ofOwner = this.#values.get(owner);
    if (ofOwner === undefined) this.#values.set(owner, new Map([[key, value]]));
    else ofOwner.set(key, value);
  }

  #forget(commits: number): void {
    this.#readAt = commits;
    this.#weight = 0;
    this.#values.clear();
  }
}
