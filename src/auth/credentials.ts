// Proving who one is by a password or by one of Berth's secrets, and making those secrets. When and from where a credential
// was used last is gathered and written every few seconds.
import { LRUCache } from 'lru-cache';
import type {
  AccountStore,
  Credential,
  CredentialKind,
  CredentialStore,
  CredentialUse,
  NameOutcome,
  SubjectFacts,
} from '../storage/account-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { Origin } from '../storage/metadata-store.ts';
import type { Authentication, Ceiling, Principal, Proof } from './access.ts';
import type { Passwords } from './passwords.ts';
import type { LiveCredential, Policy } from './policy.ts';
import { createSecret, hashSecret, readSecret } from './secrets.ts';
import type { Caller, SignIns } from './sign-ins.ts';

export interface CredentialSettings {
  /** Seconds; Infinity: never. */
  readonly refreshLifetime: number;
  readonly session: { readonly idle: number; readonly longest: number };
}

export interface CredentialOptions {
  readonly accounts: Pick<AccountStore, 'credentials'>;
  readonly policy: Policy;
  readonly passwords: Passwords;
  readonly signIns: SignIns;
  readonly clock: Clock;
  readonly settings: CredentialSettings;
}

type NewCredential = Omit<Parameters<CredentialStore['add']>[0], 'hash'>;
type Account = Extract<Principal, { kind: 'user' | 'robot' }>;

/** Of one subject; beyond it the oldest go: each `docker login` of a build machine makes one. */
const mostRefreshTokens = 1000;

const sayings = {
  wrong: 'the user name or the password is wrong',
  unknown: 'the token is not valid: it has expired or was removed, or its account is disabled',
  damaged: 'the token is damaged: copy it whole',
  refresh: 'a refresh token is good for new access tokens only',
  session: 'a session is good in its cookie only',
  code: 'a one-time code is good for setting a password only',
} as const;

export class Credentials {
  readonly #store: CredentialStore;
  readonly #policy: Policy;
  readonly #passwords: Passwords;
  readonly #signIns: SignIns;
  readonly #clock: Clock;
  readonly #settings: CredentialSettings;
  #uses = new Map<number, CredentialUse>();
  /** When sessions were used last, ahead of their rows. */
  readonly #sessionUses = new LRUCache<number, number>({ max: 10_000 });

  constructor(options: CredentialOptions) {
    this.#store = options.accounts.credentials;
    this.#policy = options.policy;
    this.#passwords = options.passwords;
    this.#signIns = options.signIns;
    this.#clock = options.clock;
    this.#settings = options.settings;
  }

  /**
   * A name with a password, or with a personal or robot token in its place (Basic, the forms of /token and of the console).
   * Counted as a sign-in.
   */
  async signIn(name: string, secret: string, caller: Caller): Promise<Authentication> {
    const read = readSecret(secret);
    let result: Authentication;
    if (read.form === 'damaged') result = invalid(sayings.damaged);
    else if (read.form === 'secret') result = await this.#signInByToken(name, secret, read.kind, caller);
    else result = await this.#signInByPassword(name, secret, caller);
    this.#signIns.count(name, caller, result.outcome === 'principal' ? 'allowed' : 'refused');
    return result;
  }

  /** A personal or robot token without a name: `Authorization: Bearer berth_…`. */
  async present(secret: string, caller: Caller): Promise<Authentication> {
    const read = readSecret(secret);
    if (read.form !== 'secret') return invalid(sayings.damaged, 'invalid_token');
    const misused = misuseOf(read.kind);
    if (misused !== undefined) return invalid(misused, 'invalid_token');
    return (
      (await this.#principal(await this.#find(secret, read.kind), caller)) ??
      invalid(sayings.unknown, 'invalid_token')
    );
  }

  /** A refresh token at /token. Presenting it neither changes nor ends it. */
  async presentRefresh(secret: string, caller: Caller): Promise<Authentication> {
    const found = await this.#find(secret, 'refresh');
    const result = await this.#principal(found, caller);
    if (result !== undefined && found?.credential.parentId !== undefined)
      this.#noteUse(found.credential.parentId, caller);
    return result ?? invalid(sayings.unknown, 'invalid_token');
  }

  /** The cookie of a browser session; undefined when it has ended: then nobody is signed in. */
  async presentSession(secret: string, caller: Caller): Promise<Principal | undefined> {
    const found = await this.#find(secret, 'session');
    if (found === undefined || (await this.#isIdle(found.credential))) return undefined;
    const result = await this.#principal(found, caller);
    if (result?.outcome !== 'principal') return undefined;
    this.#sessionUses.set(found.credential.id, this.#clock.unixSeconds());
    return result.principal;
  }

  /** Makes a secret of any kind. The one time that it is known; only its hash is stored. */
  async create(
    options: NewCredential,
  ): Promise<
    { readonly outcome: 'added'; readonly credential: Credential; readonly secret: string } | NameOutcome
  > {
    const { secret, hash } = createSecret(options.kind);
    const added = await this.#store.add({ ...options, hash });
    return added.outcome === 'added' ? { ...added, secret } : added;
  }

  /** Opens a browser session for somebody who signed in by password; undefined when that was undone meanwhile. */
  openSession(
    principal: Principal,
    options: { readonly label: string; readonly origin: Origin },
  ): Promise<{ readonly secret: string; readonly credential: Credential } | undefined> {
    return this.#derive(principal, 'session', this.#settings.session.longest, options);
  }

  /**
   * A refresh token for somebody who signed in by password or token; it ends with either. undefined when that ended
   * meanwhile, and for whoever cannot have one (a refresh token is presented again, not renewed).
   */
  async issueRefreshToken(
    principal: Principal,
    options: { readonly label: string; readonly origin: Origin },
  ): Promise<{ readonly secret: string; readonly credential: Credential } | undefined> {
    const issued = await this.#derive(principal, 'refresh', this.#settings.refreshLifetime, options);
    if (issued !== undefined) await this.#dropOldest(principal.name, 'refresh', options.origin);
    return issued;
  }

  /** Whether a one-time code is good for setting the password of `name`, which then goes to the store's redeemCode. */
  async isCodeOf(name: string, code: string, caller: Caller): Promise<boolean> {
    const found = await this.#find(code, 'setPassword');
    const good = found?.credential.subject === name;
    if (!good) this.#signIns.count(name, caller, 'refused');
    return good;
  }

  /** Notes that a credential is in use. */
  #noteUse(id: number, { address }: Caller): void {
    this.#uses.set(id, { id, at: Math.floor(this.#clock.unixSeconds()), from: address });
  }

  /** Writes the uses gathered since the last time. Those that cannot be written are kept for the next one. */
  async flush(): Promise<void> {
    const uses = this.#uses;
    if (uses.size === 0) return;
    this.#uses = new Map();
    try {
      await this.#store.recordUses([...uses.values()]);
    } catch (error) {
      for (const [id, use] of uses) if (!this.#uses.has(id)) this.#uses.set(id, use);
      throw error;
    }
  }

  async #signInByPassword(name: string, secret: string, caller: Caller): Promise<Authentication> {
    const check = await this.#passwords.check(name, secret, caller.address);
    if (check.outcome === 'throttled') return check;
    const facts =
      check.outcome === 'right' ? await this.#policy.findActive(check.facts.subjectId) : undefined;
    if (check.outcome === 'wrong' || facts === undefined) return invalid(sayings.wrong);
    const proof: Proof = { kind: 'password', passwordGeneration: check.facts.generation };
    return { outcome: 'principal', principal: principalOf(facts, proof, undefined) };
  }

  async #signInByToken(
    name: string,
    secret: string,
    kind: CredentialKind,
    caller: Caller,
  ): Promise<Authentication> {
    const misused = misuseOf(kind);
    if (misused !== undefined) return invalid(misused);
    const found = await this.#find(secret, kind);
    const result = await this.#principal(found, caller, name);
    // Whoever holds the token may know whose it is: it is said in its answers anyway.
    if (result === undefined && found !== undefined && found.credential.subject !== name)
      return invalid(
        `this token belongs to ${found.credential.subject}: log in with -u ${found.credential.subject}`,
      );
    return result ?? invalid(sayings.unknown);
  }

  async #find(secret: string, kind: CredentialKind): Promise<LiveCredential | undefined> {
    const read = readSecret(secret);
    if (read.form !== 'secret' || read.kind !== kind) return undefined;
    const found = await this.#policy.findLiveByHash(hashSecret(secret));
    return found?.credential.kind === kind ? found : undefined;
  }

  // The bearer of a credential, whose use is noted; undefined when there is none, or not of that name.
  async #principal(
    found: LiveCredential | undefined,
    caller: Caller,
    name = found?.credential.subject,
  ): Promise<Authentication | undefined> {
    if (found === undefined || found.credential.subject !== name) return undefined;
    const { id, kind, subjectId } = found.credential;
    if (kind === 'setPassword') return undefined;
    const facts = await this.#policy.findActive(subjectId);
    if (facts === undefined) return undefined;
    this.#noteUse(id, caller);
    return {
      outcome: 'principal',
      principal: principalOf(facts, { kind, credentialId: id }, found.ceiling),
    };
  }

  async #isIdle(session: Credential): Promise<boolean> {
    const now = this.#clock.unixSeconds();
    const isOver = (lastUse: number) => lastUse + this.#settings.session.idle <= now;
    const noted = this.#sessionUses.get(session.id);
    if (!isOver(noted ?? session.lastUsedAt ?? session.createdAt)) return false;
    if (noted !== undefined) return true;
    // The row may have been read long before it was used last.
    const row = await this.#store.find(session.id);
    return row === undefined || isOver(row.lastUsedAt ?? row.createdAt);
  }

  async #derive(
    principal: Principal,
    kind: 'session' | 'refresh',
    lifetimeSeconds: number,
    options: { readonly label: string; readonly origin: Origin },
  ): Promise<{ readonly secret: string; readonly credential: Credential } | undefined> {
    const parent = parentOf(principal);
    if (parent === undefined) return undefined;
    const now = Math.floor(this.#clock.unixSeconds());
    const created = await this.create({
      subject: principal.name,
      kind,
      label: options.label.slice(0, 200),
      parentId: parent.credentialId,
      expiresAt: Number.isFinite(lifetimeSeconds) ? now + lifetimeSeconds : undefined,
      origin: options.origin,
    });
    if (created.outcome !== 'added') return undefined;
    // A password that was changed, or a token that was removed, between the check and here ended nothing that was not there yet.
    if ((await this.#policy.rightsOf(principal)) !== undefined) return created;
    const { subject, id } = created.credential;
    await this.#store.remove({ subject, id, kinds: [kind], origin: options.origin });
    return undefined;
  }

  async #dropOldest(subject: string, kind: 'refresh', origin: Origin): Promise<void> {
    const page = await this.#store.list(subject, { kinds: [kind], limit: mostRefreshTokens + 1 });
    const [oldest] = page.items;
    if (page.items.length > mostRefreshTokens && oldest !== undefined)
      await this.#store.remove({ subject, id: oldest.id, kinds: [kind], origin });
  }
}

/** Of what a session or refresh token of `principal` would be a part; undefined: it cannot have one. */
function parentOf(principal: Principal): { readonly credentialId: number | undefined } | undefined {
  if (principal.kind !== 'user' && principal.kind !== 'robot') return undefined;
  const { proof } = principal;
  if (proof.kind === 'password') return { credentialId: undefined };
  return proof.kind === 'personal' || proof.kind === 'robot' ? proof : undefined;
}

function principalOf(facts: SubjectFacts, proof: Proof, ceiling: Ceiling | undefined): Account {
  return { kind: facts.kind, name: facts.name, subjectId: facts.id, proof, ceiling };
}

function misuseOf(kind: CredentialKind): string | undefined {
  if (kind === 'refresh') return sayings.refresh;
  if (kind === 'session') return sayings.session;
  return kind === 'setPassword' ? sayings.code : undefined;
}

function invalid(reason: string, error: 'invalid_token' | undefined = undefined): Authentication {
  return { outcome: 'invalid', reason, error };
}
