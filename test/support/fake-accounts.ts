// An account store in memory, as much of it as decisions read, for tests of pure policy. Whether the real one keeps its contract
// is tested over SQLite.
import type {
  AccountStore,
  Credential,
  HeldGrant,
  MovedRepository,
  PasswordFacts,
  Role,
  SigningKey,
  SubjectFacts,
} from '../../src/storage/account-store.ts';
import type { Clock } from '../../src/storage/clock.ts';
import type { SignIns, Visibility } from '../../src/storage/metadata-store.ts';

type Writable<T> = { -readonly [Member in keyof T]: T[Member] };

/** A clock that only moves when told. */
export class ManualClock implements Clock {
  unix = 1_800_000_000;
  monotonic = 1000;
  unixSeconds = () => this.unix;
  monotonicSeconds = () => this.monotonic;
  advance(seconds: number): void {
    this.unix += seconds;
    this.monotonic += seconds;
  }
}

let lastId = 100;

export function grant(
  subject: string,
  role: Role,
  pattern: string,
  more: Partial<HeldGrant> = {},
): HeldGrant {
  const kinds = { anonymous: 'anonymous', authenticated: 'authenticated' } as const;
  const kind = subject.includes('/') ? 'team' : subject.includes('+') ? 'robot' : 'user';
  const subjectKind = kinds[subject as 'anonymous'] ?? kind;
  return { id: ++lastId, subject, subjectKind, pattern, role, expiresAt: undefined, ...more };
}

/** Facts of a user (or, with a plus in the name, a robot) that has nothing but its own namespace. */
export function subject(name: string, more: Partial<SubjectFacts> = {}): SubjectFacts {
  const robot = name.includes('+');
  return {
    id: ++lastId,
    kind: robot ? 'robot' : 'user',
    name,
    registryRole: 'user',
    guest: false,
    disabled: false,
    passwordGeneration: 1,
    namespace: more.guest ? undefined : name.split('+')[0],
    organizations: [],
    teams: [],
    grants: [],
    ...more,
  };
}

export class FakeAccounts {
  generation = 1;
  failing: Error | undefined;
  readonly reads: string[] = [];
  readonly subjects = new Map<number, SubjectFacts>();
  readonly common: HeldGrant[] = [];
  readonly visibilities = new Map<string, Visibility>();
  /** By an old name. */
  readonly moved = new Map<string, MovedRepository>();
  readonly passwords = new Map<string, Writable<PasswordFacts>>();
  readonly held = new Map<number, { credential: Credential; hash: string }>();
  readonly signingKeys: Writable<SigningKey>[] = [];
  readonly signIns: SignIns[] = [];
  readonly clock: Clock;
  readonly store: AccountStore;
  readonly events = {
    recordSignIns: async (signIns: readonly SignIns[]) => {
      if (this.failing) throw this.failing;
      this.signIns.push(...signIns);
    },
  };

  constructor(clock: Clock) {
    this.clock = clock;
    const read = <T>(what: string, value: T): Promise<T> => {
      this.reads.push(what);
      return this.failing === undefined ? Promise.resolve(value) : Promise.reject(this.failing);
    };
    const byName = (name: string) => [...this.subjects.values()].find((one) => one.name === name);
    this.store = {
      policy: {
        generation: () => read('generation', this.generation),
        findSubject: (id: number) => read('subject', this.subjects.get(id)),
        findSubjectByName: (name: string) => read('subject', byName(name)),
        listCommonGrants: () => read('common', [...this.common]),
        findMoved: async (name: string) => this.moved.get(name),
        findVisibility: (name: string) => read('visibility', this.visibilities.get(name)),
      },
      users: {
        findPassword: (name: string) => {
          const facts = this.passwords.get(name);
          return read('password', facts && { ...facts });
        },
        upgradeHash: ({ subjectId, from, to }: { subjectId: number; from: string; to: string }) => {
          const facts = [...this.passwords.values()].find((one) => one.subjectId === subjectId);
          if (facts?.hash === from) facts.hash = to;
          return read('upgrade', undefined);
        },
      },
      credentials: this.#credentials(read, byName),
      keys: {
        list: () => read('keys', [...this.signingKeys]),
        rotate: async (options: { kid: string; jwk: string; dropRetiredBefore: number }) => {
          const now = Math.floor(clock.unixSeconds());
          for (const key of this.signingKeys) key.retiredAt ??= now;
          const kept = this.signingKeys.filter((key) => (key.retiredAt ?? 0) >= options.dropRetiredBefore);
          const added = { kid: options.kid, jwk: options.jwk, createdAt: now, retiredAt: undefined };
          this.signingKeys.splice(0, Number.POSITIVE_INFINITY, added, ...kept);
        },
      },
    } as unknown as AccountStore;
  }

  #credentials(
    read: <T>(what: string, value: T) => Promise<T>,
    byName: (name: string) => SubjectFacts | undefined,
  ) {
    const byHash = (hash: Buffer) =>
      [...this.held.values()].find((one) => one.hash === hash.toString('hex'))?.credential;
    return {
      add: async (options: Parameters<AccountStore['credentials']['add']>[0]) => {
        const owner = byName(options.subject);
        if (owner === undefined) return { outcome: 'unknown' as const };
        const { hash, origin: _, ...rest } = options;
        const credential = {
          role: undefined,
          patterns: undefined,
          parentId: undefined,
          expiresAt: undefined,
          lastUsedAt: undefined,
          lastUsedFrom: undefined,
          ...rest,
          id: ++lastId,
          subjectId: owner.id,
          createdAt: Math.floor(this.clock.unixSeconds()),
        };
        this.held.set(credential.id, { credential, hash: hash.toString('hex') });
        return { outcome: 'added' as const, credential };
      },
      findByHash: (hash: Buffer) => read('hash', byHash(hash)),
      find: (id: number) => read('credential', this.held.get(id)?.credential),
      list: (name: string, { kinds, limit }: { kinds: readonly string[]; limit: number }) => {
        const items = [...this.held.values()]
          .map(({ credential }) => credential)
          .filter((one) => one.subject === name && kinds.includes(one.kind))
          .slice(0, limit);
        return read('list', { items, more: false });
      },
      remove: async ({ id }: { id: number }) => this.removeCredential(id),
      recordUses: async (uses: readonly { id: number; at: number; from: string }[]) => {
        if (this.failing) throw this.failing;
        for (const { id, at, from } of uses) {
          const one = this.held.get(id);
          if (one) one.credential = { ...one.credential, lastUsedAt: at, lastUsedFrom: from };
        }
      },
      dropExpired: async () => 0,
    };
  }

  /** Adds or replaces somebody; a change, as the real store has it, moves the generation. */
  put(facts: SubjectFacts): SubjectFacts {
    this.subjects.set(facts.id, facts);
    this.generation++;
    return facts;
  }

  /** Removes a credential and what was obtained with it. */
  removeCredential(id: number): boolean {
    for (const { credential } of [...this.held.values()])
      if (credential.parentId === id) this.removeCredential(credential.id);
    this.generation++;
    return this.held.delete(id);
  }
}
