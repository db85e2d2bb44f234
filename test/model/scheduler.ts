// Decides, from a seed, who goes on at each point where the order of things matters. Everything between two such points runs in
// one turn of the event loop, so a seed always gives the same run.
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';

/** Mulberry32: small, fast, and the same everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 0x9e3779b1) >>> 0;
  }

  /** At least 0, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** One of the keys, by weight. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const entries = Object.entries(weights) as [Key, number][];
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return (entries.at(-1) as [Key, number])[0];
  }
}

interface Actor {
  readonly name: string;
  readonly scheduler: Scheduler;
  /** Killed with its process: it never goes on. */
  dead: boolean;
}

interface Waiting {
  readonly actor: Actor;
  readonly label: string;
  /** Held up for long: nearly everybody else comes first. */
  readonly slow: boolean;
  readonly go: () => void;
}

const current = new AsyncLocalStorage<Actor>();
const never = new Promise<never>(() => {});

/** A point where others may come first. Does not wait outside of a scheduled run. */
export function gate(label: string): Promise<void> {
  const actor = current.getStore();
  if (actor === undefined) return Promise.resolve();
  return actor.dead ? never : actor.scheduler.wait(actor, label);
}

/** The scheduler that the code which runs now belongs to. */
export function currentScheduler(): Scheduler | undefined {
  return current.getStore()?.scheduler;
}

export class Scheduler {
  readonly random: Random;
  /** What happened, for the report of a failure. */
  readonly log: string[] = [];
  readonly #waiting: Waiting[] = [];
  readonly #actors = new Set<Actor>();
  #started = 0;
  #failure: unknown;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get active(): number {
    return this.#actors.size;
  }

  get canGoOn(): boolean {
    return this.#waiting.length > 0;
  }

  wait(actor: Actor, label: string): Promise<void> {
    const slow = this.random.chance(0.12);
    return new Promise((resolve) => this.#waiting.push({ actor, label, slow, go: resolve }));
  }

  /** Starts work that takes turns with all other work. Its failure ends the run. */
  start(name: string, work: () => Promise<void>): void {
    this.#started += 1;
    const actor: Actor = { name: `${name}#${this.#started}`, scheduler: this, dead: false };
    this.log.push(`start ${actor.name}`);
    this.#actors.add(actor);
    current.run(actor, async () => {
      try {
        await work();
      } catch (error) {
        this.#failure ??= error;
      }
      if (!actor.dead) this.#actors.delete(actor);
    });
  }

  /** Lets one of those who wait go on. */
  goOn(): void {
    const brisk = this.#waiting.filter(({ slow }) => !slow);
    const next = this.random.pick(brisk.length > 0 && this.random.chance(0.97) ? brisk : this.#waiting);
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    this.log.push(`  ${next.actor.name} ${next.label}`);
    next.go();
  }

  /** Resolves when everybody waits at a gate or has ended. Throws what work failed with. */
  async settle(): Promise<void> {
    await turn();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends everything where it is. */
  killAll(): void {
    for (const actor of this.#actors) actor.dead = true;
    this.#actors.clear();
    this.#waiting.length = 0;
  }

  /** Runs all that is active to its end, in an order of the seed. */
  async drain(check: () => void): Promise<void> {
    for (;;) {
      await this.settle();
      check();
      if (this.#waiting.length === 0) return;
      this.goOn();
    }
  }
}
