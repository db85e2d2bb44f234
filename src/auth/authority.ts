// Everything about identity and access, put together: the one object that the server, the API and the command line are handed.
// It also does what falls due by itself: writing what was gathered, rotating keys, dropping what has expired.
import type { Config } from '../config/config.ts';
import type { Clock } from '../storage/clock.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import type { Access } from './access.ts';
import { BearerTokens } from './bearer-tokens.ts';
import { Credentials } from './credentials.ts';
import { openAccess } from './open-access.ts';
import { Passwords } from './passwords.ts';
import { Policy } from './policy.ts';
import { SignIns } from './sign-ins.ts';
import { tokenAccess } from './token-access.ts';

export interface Authority {
  readonly mode: 'open' | 'token';
  readonly access: Access;
  readonly policy: Policy;
  readonly passwords: Passwords;
  readonly credentials: Credentials;
  readonly tokens: BearerTokens;
  readonly signIns: SignIns;
  /** Begins what happens by itself, and in mode `token` makes the first signing key. */
  start(): Promise<void>;
  /** Ends it, and writes what was gathered. */
  stop(): Promise<void>;
}

export interface AuthorityOptions {
  readonly metadata: Pick<MetadataStore, 'accounts' | 'events'>;
  readonly config: Pick<Config, 'http' | 'access' | 'auth' | 'audit'>;
  readonly clock: Clock;
  /** `auto` resolved. */
  readonly mode: 'open' | 'token';
  /** Told of faults that no request sees. */
  readonly onFailure: (error: unknown) => void;
}

const flushSeconds = 10;
const careSeconds = 600;
/** Rows dropped in one transaction. */
const dropAtOnce = 100;

/** The authority over a store. Nothing runs before start(). */
export function createAuthority(options: AuthorityOptions): Authority {
  const { metadata, config, clock, mode, onFailure } = options;
  const { accounts } = metadata;
  const { personalNamespaces, openOnNetwork } = config.access;
  const policy = new Policy(accounts, clock, { personalNamespaces });
  const signIns = new SignIns(metadata.events, clock);
  const passwords = new Passwords({
    users: accounts.users,
    settings: config.auth.password,
    throttle: config.auth.throttle,
    clock,
    onFailure,
  });
  const tokens = new BearerTokens(accounts.keys, clock, tokenSettings(config));
  const credentials = new Credentials({
    accounts,
    policy,
    passwords,
    signIns,
    clock,
    settings: { refreshLifetime: config.auth.refreshToken.lifetime, session: config.auth.session },
  });
  const access =
    mode === 'open'
      ? openAccess({ openOnNetwork, policy })
      : tokenAccess({ policy, credentials, tokens, clock });
  const parts = { mode, access, policy, passwords, credentials, tokens, signIns };
  return { ...parts, ...upkeep(options, parts) };
}

function tokenSettings({ auth, http }: Pick<Config, 'http' | 'auth'>): BearerTokens['settings'] {
  const { token } = auth;
  return {
    issuer: token.issuer ?? http.publicUrl ?? 'berth',
    service: token.service ?? (http.publicUrl === undefined ? 'berth' : new URL(http.publicUrl).host),
    lifetime: token.lifetime,
    clockSkew: token.clockSkew,
    keyRotation: token.keyRotation,
  };
}

function upkeep(
  { metadata, config, clock, mode, onFailure }: AuthorityOptions,
  { credentials, signIns, tokens }: Pick<Authority, 'credentials' | 'signIns' | 'tokens'>,
): Pick<Authority, 'start' | 'stop'> {
  let stopping = false;
  const flush = async (whole: boolean) => {
    await attempt(() => credentials.flush(), onFailure);
    await attempt(() => signIns.flush({ whole }), onFailure);
  };
  const drop = async (step: () => Promise<number>) => {
    while (!stopping && (await step()) === dropAtOnce);
  };
  const care = async () => {
    const keepFrom = Math.floor(clock.unixSeconds() - config.audit.keep);
    if (mode === 'token') await attempt(() => tokens.rotateWhenDue({ actor: 'system' }), onFailure);
    await attempt(() => drop(() => metadata.accounts.credentials.dropExpired(dropAtOnce)), onFailure);
    if (Number.isFinite(keepFrom))
      await attempt(() => drop(() => metadata.events.dropBefore(keepFrom, dropAtOnce)), onFailure);
  };
  const flushing = new Repeated(flushSeconds, () => flush(false));
  const caring = new Repeated(careSeconds, care);
  return {
    start: async () => {
      if (mode === 'token') await tokens.load();
      flushing.start();
      caring.start();
      // A registry that never runs for long is cared for, too.
      caring.runOnce();
    },
    stop: async () => {
      stopping = true;
      await Promise.all([flushing.stop(), caring.stop()]);
      await flush(true);
    },
  };
}

async function attempt(work: () => Promise<unknown>, onFailure: (error: unknown) => void): Promise<void> {
  try {
    await work();
  } catch (error) {
    onFailure(error);
  }
}

/** Work that is done again and again, never twice at a time, by a timer that keeps no process alive. */
class Repeated {
  readonly #seconds: number;
  readonly #work: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  /** `work` does not reject. */
  constructor(seconds: number, work: () => Promise<void>) {
    this.#seconds = seconds;
    this.#work = work;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.runOnce(), this.#seconds * 1000).unref();
  }

  /** Now, unless it is being done. */
  runOnce(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
    });
  }

  /** Waits for what is running. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }
}
