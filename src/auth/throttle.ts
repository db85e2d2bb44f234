// Slows guessing down: wrong passwords are counted per account and network, and per network. Nobody is ever locked out: what is
// counted leaves the window by itself, and another network has a count of its own.
import { LRUCache } from 'lru-cache';
import type { Clock } from '../storage/clock.ts';
import { addressFilter, networkOf } from './network.ts';

export interface ThrottleLimits {
  readonly failuresPerAccount: number;
  readonly failuresPerAddress: number;
  /** Seconds. */
  readonly window: number;
  /** Addresses whose wrong passwords are not counted by address alone. */
  readonly exemptAddresses: readonly string[];
}

/** One check of a password that was let in. Call exactly one of its ends. */
export interface Attempt {
  /** Seconds to wait before the check. */
  readonly delaySeconds: number;
  /** The password was wrong. */
  fail(): void;
  /** The password was right: the failures of this account from here are forgotten. */
  succeed(): void;
  /** There was no check. */
  cancel(): void;
}

export type Admission = { readonly attempt: Attempt } | { readonly retryAfterSeconds: number };

/** What is kept of one key. Checks under way count as failures until they end, so that many at once do not slip by. */
interface Count {
  pending: number;
  /** Monotonic seconds of each failure in the window, oldest first. */
  failures: number[];
}

const mostKeys = 10_000;
/** No account has a longer name: the rest of what was given is not kept. */
const longestAccount = 64;
const longestDelaySeconds = 4;
/** A network may have so many checks waiting at once; more would leave none for others. */
const mostPendingPerAddress = 32;

export class Throttle {
  readonly #limits: ThrottleLimits;
  readonly #clock: Clock;
  readonly #exempt: (address: string) => boolean;
  // Two, so that guessing with many names cannot push the counts of addresses out.
  readonly #accounts = new LRUCache<string, Count>({ max: mostKeys });
  readonly #addresses = new LRUCache<string, Count>({ max: mostKeys });

  constructor(limits: ThrottleLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#exempt = addressFilter(limits.exemptAddresses);
  }

  /** Lets a check of a password of `account` from `address` in, or tells when to come again. */
  admit(account: string, address: string): Admission {
    const now = this.#clock.monotonicSeconds();
    const network = networkOf(address);
    const accountKey = `${network} ${account.slice(0, longestAccount)}`;
    const exempt = this.#exempt(address);
    const ofAccount = this.#find(this.#accounts, accountKey, now);
    const ofAddress = exempt ? undefined : this.#find(this.#addresses, network, now);
    const { failuresPerAccount, failuresPerAddress } = this.#limits;
    const wait = Math.max(
      this.#waitSeconds(ofAccount, failuresPerAccount, now),
      ofAddress === undefined ? 0 : this.#waitSeconds(ofAddress, failuresPerAddress, now),
      ofAddress !== undefined && ofAddress.pending >= mostPendingPerAddress ? 1 : 0,
    );
    // Nothing is kept of what is refused: it is done fast and often, and would push out what is counted.
    if (wait > 0) return { retryAfterSeconds: wait };
    this.#accounts.set(accountKey, ofAccount);
    if (ofAddress !== undefined) this.#addresses.set(network, ofAddress);
    const counts = ofAddress === undefined ? [ofAccount] : [ofAccount, ofAddress];
    for (const count of counts) count.pending++;
    const attempt = this.#attempt(counts, () => this.#accounts.delete(accountKey));
    return { attempt: { ...attempt, delaySeconds: delayOf(ofAccount, failuresPerAccount) } };
  }

  #attempt(counts: readonly Count[], forget: () => void): Omit<Attempt, 'delaySeconds'> {
    const end = () => {
      for (const count of counts) count.pending--;
    };
    return {
      fail: () => {
        end();
        const now = this.#clock.monotonicSeconds();
        for (const count of counts) count.failures.push(now);
      },
      succeed: () => {
        end();
        const [ofAccount] = counts;
        if (ofAccount === undefined) return;
        ofAccount.failures = [];
        if (ofAccount.pending === 0) forget();
      },
      cancel: end,
    };
  }

  // Seconds until one more check fits; 0: it does.
  #waitSeconds(count: Count, limit: number, now: number): number {
    const over = count.failures.length + count.pending - limit;
    if (over < 0) return 0;
    // What is under way may end well: come again in a second.
    const leaves = count.failures[over];
    return leaves === undefined ? 1 : Math.max(1, Math.ceil(leaves + this.#limits.window - now));
  }

  /** The count of a key, a new one that is not kept yet where there is none. */
  #find(counts: LRUCache<string, Count>, key: string, now: number): Count {
    const count = counts.get(key) ?? { pending: 0, failures: [] };
    const expired = count.failures.findIndex((at) => at > now - this.#limits.window);
    count.failures = expired < 0 ? [] : count.failures.slice(expired);
    return count;
  }
}

// From half of the limit on each wrong password makes the next one wait longer.
function delayOf({ failures }: Count, limit: number): number {
  const beyond = failures.length - limit / 2;
  return beyond < 0 ? 0 : Math.min(longestDelaySeconds, 0.5 * 2 ** beyond);
}
