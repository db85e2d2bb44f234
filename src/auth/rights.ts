// What one subject may, by today's policy: from its facts, the grants to everybody, and the ceiling of the credential it came
// with. Nothing here reads a store; the answer is as fresh as what it was made of.
import { namespaceOf, type RepositoryName } from '../oci/name.ts';
import {
  type HeldGrant,
  type MovedRepository,
  type RegistryRole,
  type Role,
  roles,
  type SubjectFacts,
} from '../storage/account-store.ts';
import type { Visibility } from '../storage/metadata-store.ts';
import type { Ceiling } from './access.ts';
import {
  everythingIn,
  intersectPatterns,
  isWithin,
  matchesPattern,
  namespaceOfPattern,
  wholeRegistry,
} from './pattern.ts';
import { greater, includesRole, lesser } from './roles.ts';

/** Why somebody has a role on a repository. */
export type Reason =
  | { readonly kind: 'administrator'; readonly role: 'admin' }
  /** The registry is open: everybody may. */
  | { readonly kind: 'open'; readonly role: 'admin' }
  | { readonly kind: 'auditor'; readonly role: 'read' }
  /** Owner of the organization, or the user whose own namespace it is. */
  | { readonly kind: 'owner'; readonly namespace: string; readonly role: 'admin' }
  | { readonly kind: 'visibility'; readonly visibility: 'internal' | 'public'; readonly role: 'read' }
  | { readonly kind: 'grant'; readonly grant: HeldGrant; readonly role: Role };

/** Whose rights. */
export type Holder =
  | { readonly kind: 'anonymous' }
  /** Whoever may open the data folder: administrator. */
  | { readonly kind: 'local'; readonly name: string }
  /** Everybody where the registry is open: all that is about content, and no more. */
  | { readonly kind: 'everything'; readonly name: string }
  | { readonly kind: 'user' | 'robot'; readonly facts: SubjectFacts };

export interface RightsOptions {
  readonly holder: Holder;
  /** Grants to `anonymous` and `authenticated`; only those that hold for the holder count. */
  readonly commonGrants: readonly HeldGrant[];
  readonly ceiling?: Ceiling | undefined;
  /** access.personalNamespaces. */
  readonly personalNamespaces: boolean;
}

export class Rights {
  readonly name: string;
  readonly kind: Holder['kind'];
  readonly guest: boolean;
  /** The credential narrows what its bearer may: what only the person may do (tokens, passwords) is not for it. */
  readonly limited: boolean;
  readonly ceiling: Ceiling | undefined;
  /** As the ceiling leaves it: an administrator with a token that may only read is an auditor with it. */
  readonly registryRole: RegistryRole;
  readonly #options: RightsOptions;
  /** Registry role without the ceiling. */
  readonly #heldRole: RegistryRole;
  readonly #grants: readonly HeldGrant[];
  readonly #owned: ReadonlySet<string>;

  constructor(options: RightsOptions) {
    const { holder, ceiling } = options;
    this.#options = options;
    this.kind = holder.kind;
    this.name = nameOf(holder);
    this.guest = 'facts' in holder && holder.facts.guest;
    this.ceiling = ceiling;
    this.limited = ceiling?.role !== undefined || ceiling?.patterns !== undefined;
    this.#heldRole = registryRoleOf(holder);
    this.registryRole = this.#limitRegistryRole();
    this.#grants = grantsOf(holder, options.commonGrants);
    this.#owned = new Set(ownedBy(holder, options.personalNamespaces));
  }

  /** These rights within a ceiling. */
  within(ceiling: Ceiling | undefined): Rights {
    return ceiling === this.ceiling ? this : new Rights({ ...this.#options, ceiling });
  }

  /** These rights without their ceiling: what the person may. */
  get unlimited(): Rights {
    return this.within(undefined);
  }

  /**
   * The role on a repository; undefined: none, it must look as if it did not exist. `visibility` undefined: there is no such
   * repository. `now` in Unix seconds.
   */
  roleOn(repository: RepositoryName, visibility: Visibility | undefined, now: number): Role | undefined {
    if (!this.#mayTouch(repository)) return undefined;
    let role = this.#registryWideRole();
    if (this.#owned.has(namespaceOf(repository))) role = 'admin';
    for (const grant of this.#grants) {
      if (role === 'admin') break;
      if (isLive(grant, now) && !includesRole(role, grant.role) && matchesPattern(grant.pattern, repository))
        role = grant.role;
    }
    if (role === undefined && this.#sees(visibility)) role = 'read';
    return this.#limitRole(role);
  }

  /**
   * The role on a moved repository under an old name: to read it, and no more, for whoever may read it under its name of today. The
   * repositories that a credential is limited to are meant by either name.
   */
  roleOnOldName(old: RepositoryName, moved: MovedRepository, now: number): Role | undefined {
    const ceiling = this.#mayTouch(old)
      ? this.ceiling && { ...this.ceiling, patterns: undefined }
      : this.ceiling;
    return lesser(this.within(ceiling).roleOn(moved.name, moved.visibility, now), 'read');
  }

  /** Patterns of what it may read, besides what its visibility shows. */
  readPatterns(now: number): readonly string[] {
    return this.#patternsWith('read', now);
  }

  /** Visibilities that show a repository to it without a grant. */
  get seenVisibilities(): readonly Visibility[] {
    return (['public', 'internal'] as const).filter((visibility) => this.#sees(visibility));
  }

  /** The role on everything in a namespace, of which names inside may have more. */
  roleOnNamespace(namespace: string, now: number): Role | undefined {
    const everything = everythingIn(namespace);
    if (this.ceiling?.patterns !== undefined && !isWithin(this.ceiling.patterns, everything))
      return undefined;
    let role = this.#registryWideRole();
    if (this.#owned.has(namespace)) role = 'admin';
    for (const grant of this.#grants) {
      if (isLive(grant, now) && isWithin([grant.pattern], everything)) role = greater(role, grant.role);
    }
    return this.#limitRole(role);
  }

  /** Why there is a role on a repository, each reason by itself and before the ceiling, the strongest first. */
  reasonsFor(repository: RepositoryName, visibility: Visibility | undefined, now: number): readonly Reason[] {
    const reasons: Reason[] = [];
    const namespace = namespaceOf(repository);
    if (this.#heldRole === 'administrator') reasons.push({ kind: 'administrator', role: 'admin' });
    if (this.kind === 'everything') reasons.push({ kind: 'open', role: 'admin' });
    if (this.#owned.has(namespace)) reasons.push({ kind: 'owner', namespace, role: 'admin' });
    for (const grant of this.#grants) {
      if (isLive(grant, now) && matchesPattern(grant.pattern, repository))
        reasons.push({ kind: 'grant', grant, role: grant.role });
    }
    if (this.#heldRole === 'auditor') reasons.push({ kind: 'auditor', role: 'read' });
    if (visibility !== undefined && visibility !== 'private' && this.#sees(visibility))
      reasons.push({ kind: 'visibility', visibility, role: 'read' });
    const rank = ({ role }: Reason) => roles.indexOf(role);
    if (this.#heldRole === 'auditor') return reasons.filter(({ role }) => role === 'read');
    return reasons.sort((one, other) => rank(other) - rank(one));
  }

  /** The ceiling, where it takes something away on this repository. */
  limitOn(repository: RepositoryName, visibility: Visibility | undefined, now: number): Ceiling | undefined {
    if (!this.limited) return undefined;
    const held = this.unlimited.roleOn(repository, visibility, now);
    return held === this.roleOn(repository, visibility, now) ? undefined : this.ceiling;
  }

  /** Owner of the organization, with a credential that may use it. */
  ownsOrganization(namespace: string): boolean {
    if (this.#heldRole === 'auditor') return false;
    if (!this.#reachesAll(namespace) || !includesRole(this.ceiling?.role ?? 'admin', 'admin')) return false;
    return this.#organizations().some(({ name, role }) => name === namespace && role === 'owner');
  }

  /** Owner or member of the organization. */
  memberOf(namespace: string): boolean {
    return this.#reachesAll(namespace) && this.#organizations().some(({ name }) => name === namespace);
  }

  /** Has something to do with every namespace there is: administrators, auditors, holders of a grant on `**`. */
  seesEveryNamespace(now: number): boolean {
    if (this.ceiling?.patterns !== undefined && !isWithin(this.ceiling.patterns, wholeRegistry)) return false;
    if (this.#registryWideRole() !== undefined) return true;
    return this.#grants.some((grant) => isLive(grant, now) && grant.pattern === wholeRegistry);
  }

  /**
   * Namespaces it has rights in: its own, its organizations, those with a grant; by name, without repetition. Public and
   * internal repositories are not among the reasons, nor are rights on the whole registry.
   */
  namespaces(now: number): readonly string[] {
    const named = this.#grants.flatMap((grant) =>
      isLive(grant, now) ? (namespaceOfPattern(grant.pattern) ?? []) : [],
    );
    const all = new Set([...this.#owned, ...this.#organizations().map(({ name }) => name), ...named]);
    return [...all].filter((namespace) => this.#reaches(namespace)).sort();
  }

  /** Patterns it may push to, for sentences. */
  pushPatterns(now: number): readonly string[] {
    return this.#patternsWith('write', now);
  }

  /** Patterns on which it may give roles. */
  adminPatterns(now: number): readonly string[] {
    return this.#patternsWith('admin', now);
  }

  /** Patterns on which it has at least `needed`, by name; not those that another one of them contains. */
  #patternsWith(needed: Role, now: number): readonly string[] {
    if (!includesRole(this.#limitRole('admin'), needed)) return [];
    const held: string[] = includesRole(this.#registryWideRole(), needed) ? [wholeRegistry] : [];
    held.push(...[...this.#owned].map(everythingIn));
    for (const grant of this.#grants) {
      if (isLive(grant, now) && includesRole(grant.role, needed)) held.push(grant.pattern);
    }
    const within = this.ceiling?.patterns;
    const patterns = [...new Set(within === undefined ? held : intersectPatterns(held, within))];
    return patterns
      .filter((one) => !patterns.some((other) => other !== one && isWithin([other], one)))
      .sort();
  }

  #organizations(): SubjectFacts['organizations'] {
    const { holder } = this.#options;
    return 'facts' in holder ? holder.facts.organizations : [];
  }

  #registryWideRole(): Role | undefined {
    if (this.#heldRole === 'administrator' || this.kind === 'everything') return 'admin';
    return this.#heldRole === 'auditor' ? 'read' : undefined;
  }

  #sees(visibility: Visibility | undefined): boolean {
    if (visibility === 'public') return true;
    return visibility === 'internal' && this.kind !== 'anonymous' && !this.guest;
  }

  #mayTouch(repository: RepositoryName): boolean {
    return this.ceiling?.patterns?.some((pattern) => matchesPattern(pattern, repository)) ?? true;
  }

  /** Something in the namespace is within the ceiling. */
  #reaches(namespace: string): boolean {
    const patterns = this.ceiling?.patterns;
    if (patterns === undefined) return true;
    return patterns.some((pattern) => [undefined, namespace].includes(namespaceOfPattern(pattern)));
  }

  /** All of the namespace is within the ceiling. */
  #reachesAll(namespace: string): boolean {
    const patterns = this.ceiling?.patterns;
    return patterns === undefined || isWithin(patterns, everythingIn(namespace));
  }

  // An auditor sees everything and changes nothing, whatever was granted and whatever he owns.
  #limitRole(role: Role | undefined): Role | undefined {
    const held = this.#heldRole === 'auditor' ? lesser(role, 'read') : role;
    return this.ceiling?.role === undefined ? held : lesser(held, this.ceiling.role);
  }

  #limitRegistryRole(): RegistryRole {
    if (this.#heldRole === 'user' || !this.limited) return this.#heldRole;
    const patterns = this.ceiling?.patterns;
    if (patterns !== undefined && !isWithin(patterns, wholeRegistry)) return 'user';
    if (includesRole(this.ceiling?.role ?? 'admin', 'admin')) return this.#heldRole;
    return 'auditor';
  }
}

function nameOf(holder: Holder): string {
  if ('facts' in holder) return holder.facts.name;
  return holder.kind === 'anonymous' ? 'anonymous' : holder.name;
}

function registryRoleOf(holder: Holder): RegistryRole {
  if (holder.kind === 'local') return 'administrator';
  return 'facts' in holder ? holder.facts.registryRole : 'user';
}

function grantsOf(holder: Holder, common: readonly HeldGrant[]): readonly HeldGrant[] {
  const forEverybody = common
    .filter(({ subjectKind }) => subjectKind === 'anonymous')
    // Nobody but the holder of an account gets more than read, whatever a row says.
    .map((grant): HeldGrant => ({ ...grant, role: 'read' }));
  if (!('facts' in holder)) return forEverybody;
  const forSignedIn = common.filter(({ subjectKind }) => subjectKind === 'authenticated');
  return [...holder.facts.grants, ...(holder.facts.guest ? [] : forSignedIn), ...forEverybody];
}

// A robot's namespace is where it belongs, not what it owns.
function ownedBy(holder: Holder, personalNamespaces: boolean): readonly string[] {
  if (!('facts' in holder)) return [];
  const { kind, guest, namespace, organizations } = holder.facts;
  const owned = organizations.filter(({ role }) => role === 'owner').map(({ name }) => name);
  const own = personalNamespaces && kind === 'user' && !guest ? namespace : undefined;
  return own === undefined ? owned : [own, ...owned];
}

function isLive(grant: HeldGrant, now: number): boolean {
  return grant.expiresAt === undefined || grant.expiresAt > now;
}
