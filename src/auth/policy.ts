// Today's policy: the facts behind decisions, kept in memory until the policy generation moves. A change holds from the next
// request on. A store that cannot answer makes these methods reject: nobody is allowed anything then.
import type { RepositoryName } from '../oci/name.ts';
import type {
  AccountStore,
  Credential,
  CredentialStore,
  HeldGrant,
  MovedRepository,
  PolicyStore,
  SubjectFacts,
} from '../storage/account-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { Visibility } from '../storage/metadata-store.ts';
import { anonymous, type Ceiling, type Principal } from './access.ts';
import { intersectPatterns } from './pattern.ts';
import { type Holder, Rights } from './rights.ts';
import { lesser } from './roles.ts';

/** A credential that is good now, with the bounds that it and those it was obtained with put on its bearer. */
export interface LiveCredential {
  readonly credential: Credential;
  readonly ceiling: Ceiling | undefined;
}

/** What was read of one generation of the policy. Only what is there is kept: what is not may be added any time. */
interface Cache {
  readonly generation: number;
  readonly subjects: Map<number, SubjectFacts>;
  readonly rights: Map<number, Rights>;
  /** By the credential that bounds them. A ceiling does not change while its credential lives and the generation stays. */
  readonly bounded: Map<number, Rights>;
  anonymous: Rights | undefined;
  readonly credentials: Map<number, Credential>;
  /** By the hexadecimal hash of the secret. */
  readonly credentialIds: Map<string, number>;
  common: readonly HeldGrant[] | undefined;
}

/** Beyond so many entries a map is emptied: simple, and rare. */
const mostEntries = 20_000;
/** A refresh token of a personal token is two deep. */
const deepestChain = 3;

export class Policy {
  readonly #store: PolicyStore;
  readonly #credentials: CredentialStore;
  readonly #clock: Clock;
  readonly #personalNamespaces: boolean;
  #cache: Cache = emptyCache(Number.NaN);

  constructor(
    accounts: Pick<AccountStore, 'policy' | 'credentials'>,
    clock: Clock,
    options: { readonly personalNamespaces: boolean },
  ) {
    this.#store = accounts.policy;
    this.#credentials = accounts.credentials;
    this.#clock = clock;
    this.#personalNamespaces = options.personalNamespaces;
  }

  /**
   * What `principal` may today. undefined when it is void: removed or disabled, its credential ended, or the password changed
   * that it came with.
   */
  async rightsOf(principal: Principal): Promise<Rights | undefined> {
    if (principal.kind === 'local') return this.#rights({ kind: 'local', name: principal.name }, []);
    const cache = await this.#current();
    if (principal.kind === 'anonymous') {
      if (principal.everything) return this.#rights({ kind: 'everything', name: principal.name }, []);
      cache.anonymous ??= this.#rights({ kind: 'anonymous' }, await this.#common(cache));
      return cache.anonymous;
    }
    const facts = await this.#subject(cache, principal.subjectId);
    if (facts === undefined || facts.disabled) return undefined;
    const { proof } = principal;
    if ('passwordGeneration' in proof && proof.passwordGeneration !== undefined) {
      if (proof.passwordGeneration !== facts.passwordGeneration) return undefined;
    }
    const rights = await this.#rightsOfSubject(cache, facts);
    if (!('credentialId' in proof) || proof.credentialId === undefined) return rights;
    const live = await this.#live(cache, proof.credentialId);
    if (live?.credential.subjectId !== facts.id) return undefined;
    if (live.ceiling === undefined) return rights;
    const known = cache.bounded.get(proof.credentialId);
    if (known !== undefined) return known;
    const bounded = rights.within(live.ceiling);
    remember(cache.bounded, proof.credentialId, bounded);
    return bounded;
  }

  /** What a user or robot may without regard to any credential; undefined where there is none. For explanations. */
  async rightsOfName(name: string): Promise<Rights | undefined> {
    const facts = await this.#store.findSubjectByName(name);
    if (facts === undefined) return undefined;
    const cache = await this.#current();
    return this.#rights({ kind: facts.kind, facts }, await this.#common(cache));
  }

  /** What anybody may without signing in. */
  async rightsOfAnonymous(): Promise<Rights> {
    return (await this.rightsOf(anonymous)) ?? this.#rights({ kind: 'anonymous' }, []);
  }

  /** Visibility of a repository; undefined where there is none. */
  findVisibility(repository: RepositoryName): Promise<Visibility | undefined> {
    return this.#store.findVisibility(repository);
  }

  /** The repository that is served under a name which was its own once. */
  findMoved(name: RepositoryName): Promise<MovedRepository | undefined> {
    return this.#store.findMoved(name);
  }

  /** A user or robot that is neither removed nor disabled. */
  async findActive(subjectId: number): Promise<SubjectFacts | undefined> {
    const facts = await this.#subject(await this.#current(), subjectId);
    return facts?.disabled === false ? facts : undefined;
  }

  /** A credential that has neither ended nor expired, nor one that it was obtained with. */
  async findLive(credentialId: number): Promise<LiveCredential | undefined> {
    return this.#live(await this.#current(), credentialId);
  }

  /** The same by the hash of its secret. */
  async findLiveByHash(hash: Buffer): Promise<LiveCredential | undefined> {
    const cache = await this.#current();
    const key = hash.toString('base64');
    const known = cache.credentialIds.get(key);
    if (known !== undefined) return this.#live(cache, known);
    const found = await this.#credentials.findByHash(hash);
    if (found === undefined) return undefined;
    remember(cache.credentialIds, key, found.id);
    remember(cache.credentials, found.id, found);
    return this.#live(cache, found.id);
  }

  async #live(cache: Cache, id: number): Promise<LiveCredential | undefined> {
    const now = this.#clock.unixSeconds();
    let ceiling: Ceiling | undefined;
    let first: Credential | undefined;
    let next: number | undefined = id;
    for (let depth = 0; next !== undefined; depth++) {
      if (depth === deepestChain) return undefined;
      const credential: Credential | undefined = await this.#credential(cache, next);
      if (credential === undefined) return undefined;
      if (credential.expiresAt !== undefined && credential.expiresAt <= now) return undefined;
      if (first !== undefined && credential.subjectId !== first.subjectId) return undefined;
      first ??= credential;
      ceiling = narrow(ceiling, credential);
      next = credential.parentId;
    }
    return first && { credential: first, ceiling };
  }

  async #current(): Promise<Cache> {
    const generation = await this.#store.generation();
    // What is read for an older generation goes into that one's cache, and so never into this one.
    if (generation !== this.#cache.generation) this.#cache = emptyCache(generation);
    return this.#cache;
  }

  async #subject(cache: Cache, id: number): Promise<SubjectFacts | undefined> {
    const known = cache.subjects.get(id);
    if (known !== undefined) return known;
    const found = await this.#store.findSubject(id);
    if (found !== undefined) remember(cache.subjects, id, found);
    return found;
  }

  async #credential(cache: Cache, id: number): Promise<Credential | undefined> {
    const known = cache.credentials.get(id);
    if (known !== undefined) return known;
    const found = await this.#credentials.find(id);
    if (found !== undefined) remember(cache.credentials, id, found);
    return found;
  }

  async #rightsOfSubject(cache: Cache, facts: SubjectFacts): Promise<Rights> {
    const known = cache.rights.get(facts.id);
    if (known !== undefined) return known;
    const rights = this.#rights({ kind: facts.kind, facts }, await this.#common(cache));
    remember(cache.rights, facts.id, rights);
    return rights;
  }

  async #common(cache: Cache): Promise<readonly HeldGrant[]> {
    cache.common ??= await this.#store.listCommonGrants();
    return cache.common;
  }

  #rights(holder: Holder, commonGrants: readonly HeldGrant[]): Rights {
    return new Rights({ holder, commonGrants, personalNamespaces: this.#personalNamespaces });
  }
}

/** `ceiling` with that of one more credential. */
function narrow(ceiling: Ceiling | undefined, { role, patterns }: Credential): Ceiling | undefined {
  if (role === undefined && patterns === undefined) return ceiling;
  if (ceiling === undefined) return { role, patterns };
  return {
    role:
      ceiling.role === undefined || role === undefined ? (ceiling.role ?? role) : lesser(ceiling.role, role),
    patterns:
      ceiling.patterns === undefined || patterns === undefined
        ? (ceiling.patterns ?? patterns)
        : intersectPatterns(ceiling.patterns, patterns),
  };
}

function emptyCache(generation: number): Cache {
  return {
    generation,
    subjects: new Map(),
    rights: new Map(),
    bounded: new Map(),
    anonymous: undefined,
    credentials: new Map(),
    credentialIds: new Map(),
    common: undefined,
  };
}

function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
  if (map.size >= mostEntries) map.clear();
  map.set(key, value);
}
