// The contract of the account store: users, organizations, teams, robots, what they may (grants) and how they prove who they are
// (credentials, signing keys). Each method is one complete intention and, where it writes, exactly one durable transaction that
// also writes its audit event. Every write that can change a decision moves the policy generation in the same transaction.
// Rules that need the current rows (the last administrator, a taken name) are judged inside the transaction and answered as an
// outcome; rules that do not (who may do it, passwords) are the caller's. `*At` are Unix seconds.
import type { RepositoryName } from '../oci/name.ts';
import type { CredentialStore, KeyStore } from './credential-store.ts';
import type { GrantStore, HeldGrant } from './grant-store.ts';
import type { IdPage, NameOutcome, NamePage, Origin, Page, Visibility } from './terms.ts';

export * from './credential-store.ts';
export * from './grant-store.ts';
export type { IdPage, NameOutcome, NamePage } from './terms.ts';

export const registryRoles = ['user', 'auditor', 'administrator'] as const;
export type RegistryRole = (typeof registryRoles)[number];

export type MemberRole = 'owner' | 'member';

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

/** Everything about one user or robot that decides what it may. */
export interface SubjectFacts {
  readonly id: number;
  readonly kind: 'user' | 'robot';
  readonly name: string;
  readonly registryRole: RegistryRole;
  /** A robot of a user's own namespace is a guest where that user is one. */
  readonly guest: boolean;
  /** A robot of a user's own namespace is disabled with that user too. */
  readonly disabled: boolean;
  /** Counts what voids the access tokens of a password: its changes, and being disabled. A token names the one of its time. */
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

/** A repository that is served under an old name, too: what it is called now, and who may see it. */
export interface MovedRepository {
  readonly name: RepositoryName;
  readonly visibility: Visibility;
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
  /** The repository that had this name once and is served under it still; undefined where there is none. One indexed read. */
  findMoved(name: RepositoryName): Promise<MovedRepository | undefined>;
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
  /** Whether nobody but this user is an enabled administrator. */
  isLastAdministrator(name: string): Promise<boolean>;
  /** Whether `add` would answer 'exists'. */
  isTaken(name: string): Promise<boolean>;
  /** By name or by creation. `q` is contained in name, full name or email. */
  list(
    options: (({ readonly by?: 'name' | undefined } & NamePage) | ({ readonly by: 'createdAt' } & IdPage)) & {
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
   * Ends sessions, refresh tokens, one-time codes and the access tokens that its password obtained, for good; password and
   * tokens, and the robots of its own namespace, work again when it is enabled. Disabling a disabled one is fine.
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
  /**
   * `owner` undefined: for administrators until there is one. 'unknown': no such owner. A namespace without owner of that name
   * becomes the organization's, with `adopted` repositories; with `unusedName` it is 'exists'.
   */
  add(options: {
    readonly name: string;
    readonly defaultVisibility?: Visibility | undefined;
    readonly owner?: string | undefined;
    readonly unusedName?: boolean | undefined;
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
  /**
   * Brings a removed organization back within the grace time: its members, and the repositories that went with it, as they were.
   * What gave access (grants, teams, robots and their tokens) went for good. 'unknown': there is none to bring back.
   */
  restore(options: {
    readonly name: string;
    readonly origin: Origin;
  }): Promise<
    { readonly outcome: 'restored'; readonly repositories: number } | { readonly outcome: 'unknown' }
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
