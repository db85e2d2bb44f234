// The contract of the account store: users, organizations, teams, robots, what they may (grants) and how they prove who they are
// (credentials, signing keys). Each method is one complete intention and, where it writes, exactly one durable transaction that
// also writes its audit event. Every write that can change a decision moves the policy generation in the same transaction.
// Rules that need the current rows (the last administrator, a taken name) are judged inside the transaction and answered as an
// outcome; rules that do not (who may do it, passwords) are the caller's. `*At` are Unix seconds.
import type { RepositoryName } from '../oci/name.ts';
import type { Origin, Page, Visibility } from './metadata-store.ts';

/** What one may on a repository; each role includes those before it. */
export const roles = ['read', 'write', 'maintain', 'admin'] as const;
export type Role = (typeof roles)[number];

export const registryRoles = ['user', 'auditor', 'administrator'] as const;
export type RegistryRole = (typeof registryRoles)[number];

export type MemberRole = 'owner' | 'member';

/** A page of a list in bytewise order of name. `after` is exclusive. */
export interface NamePage {
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface AccountStore {
  readonly users: UserStore;
  readonly organizations: OrganizationStore;
  readonly robots: RobotStore;
  readonly namespaces: NamespaceStore;
  readonly grants: GrantStore;
  readonly credentials: CredentialStore;
  readonly keys: KeyStore;
  readonly policy: PolicyStore;
}

// ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type SubjectKind = 'anonymous' | 'authenticated' | 'user' | 'robot' | 'team';

/** A grant as a decision needs it. `subject` is the name of whoever it was given to ('alice', 'acme/dev', 'authenticated'). */
export interface HeldGrant {
  readonly id: number;
  readonly subject: string;
  readonly subjectKind: SubjectKind;
  readonly pattern: string;
  readonly role: Role;
  readonly expiresAt: number | undefined;
}

/** Everything about one user or robot that decides what it may. */
export interface SubjectFacts {
  readonly id: number;
  readonly kind: 'user' | 'robot';
  readonly name: string;
  readonly registryRole: RegistryRole;
  readonly guest: boolean;
  readonly disabled: boolean;
  /** Counts password changes; a token names the one it was obtained under. */
  readonly passwordGeneration: number;
  /** The namespace of a user's own name, where it has one; the namespace of a robot. */
  readonly namespace: string | undefined;
  /** Organizations (not removed) that it owns or is a member of. */
  readonly organizations: readonly { readonly name: string; readonly role: MemberRole }[];
  /** Names of its teams, 'acme/dev'. */
  readonly teams: readonly string[];
  /** Grants to itself and to its teams. */
  readonly grants: readonly HeldGrant[];
}

export interface PolicyStore {
  /** Moves with every change that can change a decision. Read on every request: one indexed read. */
  generation(): Promise<number>;
  /** By id; undefined when it was removed or never was. Disabled ones are there. */
  findSubject(id: number): Promise<SubjectFacts | undefined>;
  findSubjectByName(name: string): Promise<SubjectFacts | undefined>;
  /** Grants to `anonymous` and to `authenticated`. */
  listCommonGrants(): Promise<readonly HeldGrant[]>;
  /** Visibility of a repository; undefined when there is none or it was deleted. One indexed read. */
  findVisibility(repository: RepositoryName): Promise<Visibility | undefined>;
}

// ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface User {
  readonly id: number;
  readonly name: string;
  readonly role: RegistryRole;
  readonly guest: boolean;
  readonly fullName: string | undefined;
  readonly email: string | undefined;
  readonly hasPassword: boolean;
  readonly createdAt: number;
  readonly disabledAt: number | undefined;
}

/** What a password check needs. */
export interface PasswordFacts {
  readonly subjectId: number;
  readonly hash: string | undefined;
  readonly generation: number;
  readonly disabled: boolean;
}

export type NameOutcome = { readonly outcome: 'unknown' } | { readonly outcome: 'exists' };

export type LastAdministrator = { readonly outcome: 'last-administrator' };

/** What stops working when a user is disabled or removed, for the message. */
export interface EndedAccess {
  readonly tokens: number;
  readonly sessions: number;
  readonly refreshTokens: number;
  /** Upload sessions that are open under this name. */
  readonly uploads: number;
  /** Organizations that this user is the only owner of. */
  readonly onlyOwnerOf: readonly string[];
  /** Repositories in the own namespace. */
  readonly repositories: number;
}

export interface UserStore {
  /**
   * Adds a user, with the namespace of the same name unless a guest. Names are shared with organizations and stay taken after a
   * removal: 'exists'. A namespace without owner of that name becomes the user's, with `adopted` repositories.
   * `passwordHash` undefined: no sign-in by password yet.
   */
  add(options: {
    readonly name: string;
    readonly role: RegistryRole;
    readonly guest: boolean;
    readonly fullName?: string | undefined;
    readonly email?: string | undefined;
    readonly passwordHash?: string | undefined;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'added'; readonly user: User; readonly adopted: number }
    | { readonly outcome: 'exists' }
  >;
  find(name: string): Promise<User | undefined>;
  /** `q` is contained in name, full name or email. */
  list(
    options: NamePage & {
      readonly q?: string | undefined;
      readonly state?: 'enabled' | 'disabled' | undefined;
    },
  ): Promise<Page<User>>;
  /** Users that were ever added and not removed. */
  count(): Promise<number>;
  update(options: {
    readonly name: string;
    readonly changes: {
      readonly role?: RegistryRole;
      readonly guest?: boolean;
      /** null clears it. */
      readonly fullName?: string | null;
      readonly email?: string | null;
    };
    readonly origin: Origin;
  }): Promise<
    { readonly outcome: 'updated'; readonly user: User } | { readonly outcome: 'unknown' } | LastAdministrator
  >;
  findPassword(name: string): Promise<PasswordFacts | undefined>;
  /** Sets the hash, ends sessions, refresh tokens and one-time codes, moves the password generation. False: unknown user. */
  setPassword(options: {
    readonly name: string;
    readonly hash: string;
    readonly origin: Origin;
  }): Promise<boolean>;
  /** The same password under a new hash (higher cost): nothing ends, nothing is audited. Only while the hash is `from`. */
  upgradeHash(options: {
    readonly subjectId: number;
    readonly from: string;
    readonly to: string;
  }): Promise<void>;
  /** Takes sign-in by password away and ends what setPassword ends; for a one-time code that is given out instead. */
  clearPassword(options: { readonly name: string; readonly origin: Origin }): Promise<boolean>;
  /**
   * Ends sessions, refresh tokens and one-time codes for good; password and tokens work again when it is enabled. Disabling a
   * disabled one is fine.
   */
  disable(options: {
    readonly name: string;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'disabled'; readonly ended: EndedAccess }
    | { readonly outcome: 'unknown' }
    | LastAdministrator
  >;
  /** False: unknown user. Enabling an enabled one is fine. */
  enable(options: { readonly name: string; readonly origin: Origin }): Promise<boolean>;
  /**
   * Removes a user: grants, memberships, tokens, sessions and open uploads go, the name stays reserved, robots it made stay.
   * Its own namespace is removed with it: the robots and grants there go, and it takes no new repository. Refused while that
   * has repositories, unless they are to be deleted with it (restorable for the grace time).
   */
  remove(options: {
    readonly name: string;
    readonly deleteRepositories: boolean;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'removed'; readonly ended: EndedAccess }
    | { readonly outcome: 'unknown' }
    | LastAdministrator
    | { readonly outcome: 'last-owner'; readonly organizations: readonly string[] }
    | { readonly outcome: 'has-repositories'; readonly repositories: number }
  >;
}

// ── namespaces and organizations ─────────────────────────────────────────────────────────────────────────────────────

export interface Namespace {
  readonly name: string;
  readonly kind: 'user' | 'organization' | 'proxy' | 'unowned';
  /** undefined: the registry's default. */
  readonly defaultVisibility: Visibility | undefined;
  readonly description: string;
  /** Live ones. */
  readonly repositories: number;
  readonly usedBytes: number;
  readonly createdAt: number;
}

export interface NamespaceStore {
  /** undefined when there is none or it was removed. */
  find(name: string): Promise<Namespace | undefined>;
  list(options: NamePage & { readonly kind?: 'user' | 'organization' | undefined }): Promise<Page<Namespace>>;
  /** False: unknown. A new default visibility is for repositories made from then on. */
  update(options: {
    readonly name: string;
    readonly changes: { readonly defaultVisibility?: Visibility | null; readonly description?: string };
    readonly origin: Origin;
  }): Promise<boolean>;
  /** The default visibility where neither the repository nor its namespace says otherwise; told at every start. */
  setDefaultVisibility(visibility: Visibility): Promise<void>;
  /** Live repositories of a namespace, at most `limit` names, in order. For notes on patterns. */
  listRepositories(name: string, limit: number): Promise<readonly RepositoryName[]>;
}

export interface Member {
  readonly name: string;
  readonly role: MemberRole;
}

export interface OrganizationStore {
  /** `owner` undefined: for administrators until there is one. 'unknown': no such owner. */
  add(options: {
    readonly name: string;
    readonly defaultVisibility?: Visibility | undefined;
    readonly owner?: string | undefined;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added'; readonly adopted: number } | NameOutcome>;
  /**
   * At once invisible with its repositories, which are restorable for the grace time; robots, teams, grants go. The name stays
   * taken, and nothing can be pushed there. `library` and `system` are 'unknown' here: they cannot be removed.
   */
  remove(options: {
    readonly name: string;
    readonly origin: Origin;
  }): Promise<
    { readonly outcome: 'removed'; readonly repositories: number } | { readonly outcome: 'unknown' }
  >;
  listMembers(organization: string, page: NamePage): Promise<Page<Member>>;
  findMember(organization: string, user: string): Promise<Member | undefined>;
  setMember(options: {
    readonly organization: string;
    readonly user: string;
    readonly role: MemberRole;
    readonly origin: Origin;
  }): Promise<{
    readonly outcome:
      | 'added'
      | 'changed'
      | 'unchanged'
      | 'unknown-organization'
      | 'unknown-user'
      | 'last-owner';
  }>;
  /** Also out of the organization's teams. */
  removeMember(options: {
    readonly organization: string;
    readonly user: string;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'removed' | 'unknown' | 'last-owner' }>;
  /** `team` is its name within the organization, 'dev'. */
  addTeam(options: {
    readonly organization: string;
    readonly team: string;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added' | 'exists' | 'unknown' }>;
  listTeams(
    organization: string,
    page: NamePage,
  ): Promise<Page<{ readonly name: string; readonly members: number }>>;
  findTeam(
    organization: string,
    team: string,
  ): Promise<{ readonly name: string; readonly members: number } | undefined>;
  removeTeam(options: {
    readonly organization: string;
    readonly team: string;
    readonly origin: Origin;
  }): Promise<boolean>;
  listTeamMembers(
    organization: string,
    team: string,
    page: NamePage,
  ): Promise<Page<{ readonly name: string }>>;
  /** Makes the user a member of the organization too, where it is none. */
  addTeamMember(options: {
    readonly organization: string;
    readonly team: string;
    readonly user: string;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added' | 'unchanged' | 'unknown-team' | 'unknown-user' }>;
  removeTeamMember(options: {
    readonly organization: string;
    readonly team: string;
    readonly user: string;
    readonly origin: Origin;
  }): Promise<boolean>;
}

// ── robots ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Robot {
  readonly id: number;
  /** 'acme+ci' */
  readonly name: string;
  readonly namespace: string;
  readonly description: string;
  readonly createdAt: number;
  readonly disabledAt: number | undefined;
}

export interface RobotStore {
  add(options: {
    readonly namespace: string;
    /** Its name within the namespace, 'ci'. */
    readonly name: string;
    readonly description: string;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'added'; readonly robot: Robot } | NameOutcome>;
  /** By full name. */
  find(name: string): Promise<Robot | undefined>;
  /** `after` is a full name. */
  list(namespace: string, page: NamePage): Promise<Page<Robot>>;
  /** undefined: unknown. */
  update(options: {
    readonly name: string;
    readonly changes: { readonly enabled?: boolean; readonly description?: string };
    readonly origin: Origin;
  }): Promise<Robot | undefined>;
  /** With its tokens, grants and open uploads. The name may be given again. */
  remove(options: { readonly name: string; readonly origin: Origin }): Promise<boolean>;
}

// ── grants ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Grant extends HeldGrant {
  /** undefined: registry-wide, pattern '**'. */
  readonly namespace: string | undefined;
  readonly grantedBy: string;
  readonly createdAt: number;
}

export interface GrantStore {
  /**
   * One grant a subject and pattern: a second one replaces role and expiry, and tells who gave it last. `namespace` undefined:
   * registry-wide.
   * `subject` as it is stored: 'alice', 'acme/dev', 'acme+ci', 'authenticated', 'anonymous'.
   */
  put(options: {
    readonly namespace: string | undefined;
    readonly subject: string;
    readonly pattern: string;
    readonly role: Role;
    readonly expiresAt?: number | undefined;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'created' | 'replaced'; readonly grant: Grant }
    | { readonly outcome: 'unknown-subject' | 'unknown-namespace' }
  >;
  find(id: number): Promise<Grant | undefined>;
  /** In order of id, beginning after `after`. `namespace` undefined: the registry-wide ones. */
  list(
    namespace: string | undefined,
    page: { readonly after?: number | undefined; readonly limit: number },
  ): Promise<Page<Grant>>;
  /** Every grant given to one subject, by id. */
  listOfSubject(
    subject: string,
    page: { readonly after?: number | undefined; readonly limit: number },
  ): Promise<Page<Grant>>;
  remove(options: { readonly id: number; readonly origin: Origin }): Promise<boolean>;
}

// ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────

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
    options: {
      readonly kinds: readonly CredentialKind[];
      readonly after?: number | undefined;
      readonly limit: number;
    },
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

// ── signing keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
