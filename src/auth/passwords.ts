// Sign-in by password: the check itself, what is remembered of checks, and the throttle. Verified credentials are looked up
// first: nobody else's failures delay them. Everything unknown costs what a known one does.
import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PasswordFacts, UserStore } from '../storage/account-store.ts';
import type { Clock } from '../storage/clock.ts';
import { isAccountName } from './account-name.ts';
import { costOf, dummyHash, PasswordHashes, PasswordQueueFullError } from './password-hashes.ts';
import { canonicalPassword, isCheckable, judgePassword, type PasswordRules } from './password-rules.ts';
import { Throttle, type ThrottleLimits } from './throttle.ts';

export type PasswordCheck =
  | { readonly outcome: 'right'; readonly facts: PasswordFacts }
  /** Wrong, or no such user, or a disabled one, or one without a password: nobody can tell which. */
  | { readonly outcome: 'wrong' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export interface PasswordSettings extends PasswordRules {
  readonly bcryptCost: number;
}

export interface PasswordOptions {
  readonly users: Pick<UserStore, 'findPassword' | 'upgradeHash'>;
  readonly settings: PasswordSettings;
  readonly throttle: ThrottleLimits;
  readonly clock: Clock;
  /** Waits; replaced in tests. */
  readonly sleep?: (seconds: number) => Promise<void>;
  /** Told of faults that no request sees. */
  readonly onFailure: (error: unknown) => void;
}

const rememberedChecks = 10_000;
const rememberRightSeconds = 12 * 3600;

export class Passwords {
  readonly #users: PasswordOptions['users'];
  readonly #settings: PasswordSettings;
  readonly #hashes: PasswordHashes;
  readonly #throttle: Throttle;
  readonly #sleep: (seconds: number) => Promise<void>;
  readonly #onFailure: (error: unknown) => void;
  /** Keyed by HMAC(account, stored hash, secret) under a key that lives as long as the process. */
  readonly #right: LRUCache<string, true>;
  readonly #wrong: LRUCache<string, true>;
  readonly #underWay = new Map<string, Promise<'right' | 'wrong' | { readonly retryAfterSeconds: number }>>();
  readonly #secretKey = randomBytes(32);
  /** Stands for the hash of whoever has none. */
  readonly #dummy: string;

  constructor(options: PasswordOptions) {
    this.#users = options.users;
    this.#settings = options.settings;
    this.#hashes = new PasswordHashes(options.settings.bcryptCost);
    this.#throttle = new Throttle(options.throttle, options.clock);
    this.#sleep = options.sleep ?? sleepFor;
    this.#onFailure = options.onFailure;
    this.#dummy = dummyHash(options.settings.bcryptCost);
    const perf = { now: () => options.clock.monotonicSeconds() * 1000 };
    this.#right = new LRUCache({
      max: rememberedChecks,
      ttl: rememberRightSeconds * 1000,
      updateAgeOnGet: true,
      perf,
    });
    this.#wrong = new LRUCache({ max: rememberedChecks, ttl: options.throttle.window * 1000, perf });
  }

  /** Throws InvalidPasswordError, with a sentence, unless `password` may be the new one of `account`. */
  judge(password: string, account: string): Promise<void> {
    return judgePassword(password, account, this.#settings);
  }

  /** What is stored of a new password that was judged. Throws PasswordQueueFullError (429). */
  hash(password: string): Promise<string> {
    return this.#hashes.hash(canonicalPassword(password));
  }

  /** Whether `secret` is the password of `account`, asked from `address`. */
  async check(account: string, secret: string, address: string): Promise<PasswordCheck> {
    const password = canonicalPassword(secret);
    // For everybody alike, so that it tells nothing; no guess is tried, so that none is counted.
    if (!isCheckable(password)) return { outcome: 'wrong' };
    const facts = isAccountName(account) ? await this.#users.findPassword(account) : undefined;
    const hash = facts?.hash ?? this.#dummy;
    const key = this.#keyOf(account, hash, password);
    const result = await this.#result(key, { account, address, password, hash });
    if (typeof result === 'object') return { outcome: 'throttled', ...result };
    if (result === 'wrong' || facts?.hash === undefined || facts.disabled) return { outcome: 'wrong' };
    this.#upgrade(account, facts, password);
    return { outcome: 'right', facts };
  }

  async #result(
    key: string,
    check: Check,
  ): Promise<'right' | 'wrong' | { readonly retryAfterSeconds: number }> {
    if (this.#right.get(key)) return 'right';
    // The same wrong secret again is no new guess: clients with an old password repeat it for ever.
    if (this.#wrong.get(key)) return 'wrong';
    let underWay = this.#underWay.get(key);
    if (underWay === undefined) {
      underWay = this.#compare(key, check).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, underWay);
    }
    return underWay;
  }

  async #compare(
    key: string,
    { account, address, password, hash }: Check,
  ): Promise<'right' | 'wrong' | { readonly retryAfterSeconds: number }> {
    const admission = this.#throttle.admit(account, address);
    if ('retryAfterSeconds' in admission) return admission;
    const { attempt } = admission;
    try {
      if (attempt.delaySeconds > 0) await this.#sleep(attempt.delaySeconds);
      if (await this.#hashes.compare(password, hash)) {
        attempt.succeed();
        this.#right.set(key, true);
        return 'right';
      }
    } catch (error) {
      attempt.cancel();
      if (error instanceof PasswordQueueFullError) return { retryAfterSeconds: error.retryAfterSeconds };
      throw error;
    }
    attempt.fail();
    this.#wrong.set(key, true);
    return 'wrong';
  }

  // A hash of a lower cost than configured is replaced while the password is at hand; the request does not wait for it.
  #upgrade(account: string, { subjectId, hash }: PasswordFacts, password: string): void {
    if (hash === undefined || (costOf(hash) ?? Number.POSITIVE_INFINITY) >= this.#hashes.cost) return;
    const key = `upgrade ${subjectId}`;
    if (this.#underWay.has(key)) return;
    const upgrade = async () => {
      const to = await this.#hashes.hash(password);
      await this.#users.upgradeHash({ subjectId, from: hash, to });
      this.#right.set(this.#keyOf(account, to, password), true);
      return 'right' as const;
    };
    const done = upgrade()
      .catch((error: unknown) => {
        // Nobody waits for it, and the next sign-in tries again.
        if (!(error instanceof PasswordQueueFullError)) this.#onFailure(error);
        return 'wrong' as const;
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, done);
  }

  #keyOf(account: string, hash: string, password: string): string {
    const key = createHmac('sha256', this.#secretKey);
    // None of them holds a NUL: names that do are hashed with the length in front.
    key.update(`${account.length}\0${account}\0${hash}\0${password}`);
    return key.digest('base64');
  }
}

interface Check {
  readonly account: string;
  readonly address: string;
  readonly password: string;
  readonly hash: string;
}

function sleepFor(seconds: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, seconds * 1000);
  return promise;
}
