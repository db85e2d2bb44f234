// The contract of the credential store: how users and robots prove who they are, and the keys that sign access tokens.
import type { Role } from './grant-store.ts';
import type { IdPage, NameOutcome, Origin, Page } from './terms.ts';

export const credentialKinds = ['personal', 'robot', 'refresh', 'session', 'setPassword'] as const;
export type CredentialKind = (typeof credentialKinds)[number];

export interface Credential {
  readonly id: number;
  readonly subjectId: number;
  readonly subject: string;
  readonly kind: CredentialKind;
  readonly label: string;
  /** The most it lets its bearer do; undefined: no ceiling. */
  readonly role: Role | undefined;
  readonly patterns: readonly string[] | undefined;
  /** The credential it was obtained with; both end together. */
  readonly parentId: number | undefined;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly lastUsedAt: number | undefined;
  readonly lastUsedFrom: string | undefined;
}

export interface CredentialUse {
  readonly id: number;
  readonly at: number;
  readonly from: string;
}

export interface CredentialStore {
  /**
   * `hash` is the SHA-256 of the secret. 'exists': a token of that label is there (personal and robot). 'unknown': no such
   * user or robot, or the parent is gone. Tokens and one-time codes are audited, sessions and refresh tokens are not (a sign-in
   * is).
   */
  add(options: {
    readonly subject: string;
    readonly kind: CredentialKind;
    readonly hash: Buffer;
    readonly label: string;
    readonly role?: Role | undefined;
    readonly patterns?: readonly string[] | undefined;
    readonly parentId?: number | undefined;
    readonly expiresAt?: number | undefined;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added'; readonly credential: Credential } | NameOutcome>;
  /** By the hash of its secret, expired ones too. One indexed read. */
  findByHash(hash: Buffer): Promise<Credential | undefined>;
  find(id: number): Promise<Credential | undefined>;
  /** Of one subject, by id. */
  list(
    subject: string,
    options: IdPage & { readonly kinds: readonly CredentialKind[] },
  ): Promise<Page<Credential>>;
  /**
   * Tokens of users and robots that are enabled which end from `now` to `expiresBefore`, soonest first, and those that nobody
   * used since `unusedSince`, the longest unused first; at most `limit` of each. Unix seconds; undefined: not asked for.
   */
  listNotable(options: {
    readonly now: number;
    readonly expiresBefore: number;
    readonly unusedSince: number | undefined;
    readonly limit: number;
  }): Promise<{ readonly expiring: readonly Credential[]; readonly unused: readonly Credential[] }>;
  /** Only one of `subject` and of these kinds. False: there is none. What was obtained with it ends too. */
  remove(options: {
    readonly subject: string;
    readonly id: number;
    readonly kinds: readonly CredentialKind[];
    readonly origin: Origin;
  }): Promise<boolean>;
  /** All of `kinds` of a subject; the number removed. */
  removeAll(options: {
    readonly subject: string;
    readonly kinds: readonly CredentialKind[];
    readonly origin: Origin;
  }): Promise<number>;
  /** Ends the code and sets the password in one transaction. False: the code is gone or expired. */
  redeemCode(options: {
    readonly hash: Buffer;
    readonly name: string;
    readonly passwordHash: string;
    readonly origin: Origin;
  }): Promise<boolean>;
  /** Notes when and from where credentials were used last; what is gone is left out. Moves no generation. */
  recordUses(uses: readonly CredentialUse[]): Promise<void>;
  /** Drops up to `limit` expired ones that are of no more use (refresh, session, setPassword); the number dropped. */
  dropExpired(limit: number): Promise<number>;
}

export interface SigningKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  /** The private key as JWK, JSON. */
  readonly jwk: string;
  readonly createdAt: number;
  /** From then on it verifies only. */
  readonly retiredAt: number | undefined;
}

export interface KeyStore {
  /** Newest first. */
  list(): Promise<readonly SigningKey[]>;
  /** Makes `key` the one that signs and retires the others; retired ones from before `dropRetiredBefore` go. */
  rotate(options: {
    readonly kid: string;
    readonly jwk: string;
    readonly dropRetiredBefore: number;
    readonly origin: Origin;
  }): Promise<void>;
}
