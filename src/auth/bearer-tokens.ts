// Access tokens: JSON Web Tokens signed with ES256, as distribution's token specification has them, and the keys behind them.
// A token tells who it was given to and what was granted then; what holds today is the policy's business.
import { randomUUID } from 'node:crypto';
import type { CryptoKey, JWK, JWTPayload } from 'jose';
import { LRUCache } from 'lru-cache';
import type { KeyStore, SigningKey } from '../storage/account-store.ts';
import type { Clock } from '../storage/clock.ts';
import type { Origin } from '../storage/metadata-store.ts';
import type { TokenScopes } from './access.ts';
import { type GrantedScope, readScopes } from './grant-scopes.ts';

// Loaded with the first key or token: mode open has none.
const loadJose = () => import('jose');

export interface TokenSettings {
  readonly issuer: string;
  /** The audience; clients name it as `service`. */
  readonly service: string;
  /** Seconds. */
  readonly lifetime: number;
  readonly clockSkew: number;
  /** Seconds that a key signs; Infinity: until told otherwise. */
  readonly keyRotation: number;
}

/** Whom a token is for and how they proved it: by a credential, a password of that generation, or not at all. */
export interface TokenBearer {
  /** Empty for nobody. */
  readonly name: string;
  /** 0 for nobody. */
  readonly subjectId: number;
  readonly credentialId: number | undefined;
  readonly passwordGeneration: number | undefined;
}

/** What a good token says. */
export interface VerifiedToken extends TokenBearer {
  readonly id: string;
  readonly scopes: TokenScopes;
  /** Unix seconds. */
  readonly expiresAt: number;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
}

export interface KeyState {
  readonly kid: string;
  readonly createdAt: number;
  readonly retiredAt: number | undefined;
  readonly state: 'current' | 'previous';
}

interface Key extends KeyState {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly publicJwk: JWK;
}

interface Remembered {
  readonly token: VerifiedToken;
  readonly kid: string;
  readonly notBefore: number;
}

const algorithm = 'ES256';
/** Longer ones do not fit into a header beside others, and were not made here. */
const longestToken = 8192;
/** The compact form, strictly: jose would pass over padding. */
const form = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const requiredClaims = ['exp', 'iat', 'nbf', 'aud', 'iss', 'sub', 'jti'];
/** Clients take a shorter life for an error (distribution's token specification, `expires_in`). */
const shortestLifetime = 60;
/** A key that is not known may be one that was made elsewhere; the store is asked no more often than this. */
const reloadSeconds = 5;
const rememberedBytes = 8 * 1024 * 1024;

export class BearerTokens {
  readonly settings: TokenSettings;
  readonly #store: KeyStore;
  readonly #clock: Clock;
  /** By kid, the one that signs first. */
  #keys: Promise<ReadonlyMap<string, Key>> | undefined;
  #loadedAt = Number.NEGATIVE_INFINITY;
  readonly #verified = new LRUCache<string, Remembered>({
    maxSize: rememberedBytes,
    sizeCalculation: (_, token) => token.length + 500,
  });

  constructor(store: KeyStore, clock: Clock, settings: TokenSettings) {
    this.#store = store;
    this.#clock = clock;
    this.settings = { ...settings, lifetime: Math.max(shortestLifetime, Math.floor(settings.lifetime)) };
  }

  /** Reads the keys, and makes the first one where there is none. Otherwise that happens when one is needed first. */
  async load(): Promise<void> {
    await this.#currentKeys();
  }

  /** A token for `bearer` that carries `scopes`. */
  async issue(bearer: TokenBearer, scopes: readonly GrantedScope[]): Promise<IssuedToken> {
    const [key] = (await this.#currentKeys()).values();
    if (key === undefined) throw new Error('there is no signing key');
    const now = Math.floor(this.#clock.unixSeconds());
    const { issuer, service, lifetime } = this.settings;
    const claims: JWTPayload = { access: scopes, sid: bearer.subjectId };
    if (bearer.credentialId !== undefined) claims.cid = bearer.credentialId;
    else if (bearer.passwordGeneration !== undefined) claims.pwg = bearer.passwordGeneration;
    const { SignJWT } = await loadJose();
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, kid: key.kid, typ: 'JWT' })
      .setIssuer(issuer)
      .setAudience(service)
      .setSubject(bearer.name)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + lifetime)
      .setJti(randomUUID())
      .sign(key.privateKey);
    return { token, expiresInSeconds: lifetime };
  }

  /**
   * What a token says, when it is one of ours and good now; undefined for everything else. Whether its bearer still exists
   * is not asked here. Rejects only when the keys cannot be read.
   */
  async verify(text: string): Promise<VerifiedToken | undefined> {
    if (text.length > longestToken) return undefined;
    const keys = await this.#currentKeys();
    const remembered = this.#verified.get(text);
    if (remembered !== undefined && this.#isGood(remembered, keys)) return remembered.token;
    if (!form.test(text)) return undefined;
    const kid = kidOf(text);
    const key = kid === undefined ? undefined : (keys.get(kid) ?? (await this.#lookAgain()).get(kid));
    if (key === undefined || !this.#verifies(key)) return undefined;
    const found = await this.#verifyWith(text, key);
    if (found !== undefined) this.#verified.set(text, found);
    return found?.token;
  }

  /** The public keys with which tokens in use were signed (RFC 7517), the current one first. */
  async jwks(): Promise<{ readonly keys: readonly JWK[] }> {
    const keys = [...(await this.#currentKeys()).values()];
    return { keys: keys.filter((key) => this.#verifies(key)).map(({ publicJwk }) => publicJwk) };
  }

  /** The keys without their secrets, the current one first. */
  async listKeys(): Promise<readonly KeyState[]> {
    const keys = [...(await this.#currentKeys()).values()].filter((key) => this.#verifies(key));
    return keys.map(({ kid, createdAt, retiredAt, state }) => ({ kid, createdAt, retiredAt, state }));
  }

  /** From now on a new key signs. What the old ones signed is good until it expires. The new kid. */
  async rotate(origin: Origin): Promise<string> {
    const { calculateJwkThumbprint, exportJWK, generateKeyPair } = await loadJose();
    const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const jwk = await exportJWK(privateKey);
    const kid = await calculateJwkThumbprint(jwk);
    const dropRetiredBefore = Math.floor(this.#clock.unixSeconds() - this.#retirementSeconds());
    await this.#store.rotate({ kid, jwk: JSON.stringify(jwk), dropRetiredBefore, origin });
    this.#keys = undefined;
    return kid;
  }

  /** Rotates when the current key has signed for as long as it may. Whether it did. */
  async rotateWhenDue(origin: Origin): Promise<boolean> {
    const [current] = (await this.#currentKeys()).values();
    const due = (current?.createdAt ?? 0) + this.settings.keyRotation;
    if (due > this.#clock.unixSeconds()) return false;
    await this.rotate(origin);
    return true;
  }

  async #currentKeys(): Promise<ReadonlyMap<string, Key>> {
    const keys = this.#keys ?? this.#read();
    this.#keys = keys;
    try {
      return await keys;
    } catch (error) {
      // Tried anew by the next request.
      if (this.#keys === keys) this.#keys = undefined;
      throw error;
    }
  }

  async #lookAgain(): Promise<ReadonlyMap<string, Key>> {
    if (this.#clock.monotonicSeconds() - this.#loadedAt >= reloadSeconds) this.#keys = undefined;
    return this.#currentKeys();
  }

  async #read(): Promise<ReadonlyMap<string, Key>> {
    this.#loadedAt = this.#clock.monotonicSeconds();
    let stored = await this.#store.list();
    if (!stored.some(({ retiredAt }) => retiredAt === undefined)) {
      await this.rotate({ actor: 'system' });
      stored = await this.#store.list();
    }
    const keys = await Promise.all(stored.map(openKey));
    keys.sort((one, other) => Number(one.state === 'previous') - Number(other.state === 'previous'));
    return new Map(keys.map((key) => [key.kid, key]));
  }

  async #verifyWith(text: string, key: Key): Promise<Remembered | undefined> {
    const { issuer, service, lifetime, clockSkew } = this.settings;
    const { jwtVerify } = await loadJose();
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(text, key.publicKey, {
        algorithms: [algorithm],
        typ: 'JWT',
        issuer,
        audience: service,
        requiredClaims,
        clockTolerance: clockSkew,
        // Also refuses what says it was issued in the future.
        maxTokenAge: lifetime,
        currentDate: new Date(this.#clock.unixSeconds() * 1000),
      }));
    } catch {
      return undefined;
    }
    const token = readClaims(payload);
    return token && { token, kid: key.kid, notBefore: payload.nbf ?? token.expiresAt };
  }

  #isGood({ token, kid, notBefore }: Remembered, keys: ReadonlyMap<string, Key>): boolean {
    const now = this.#clock.unixSeconds();
    const { clockSkew } = this.settings;
    const key = keys.get(kid);
    return (
      key !== undefined &&
      this.#verifies(key) &&
      token.expiresAt + clockSkew > now &&
      notBefore - clockSkew <= now
    );
  }

  // A retired key has nothing more to verify once what it signed last has expired.
  #verifies({ retiredAt }: KeyState): boolean {
    return retiredAt === undefined || retiredAt + this.#retirementSeconds() > this.#clock.unixSeconds();
  }

  #retirementSeconds(): number {
    return this.settings.lifetime + this.settings.clockSkew;
  }
}

async function openKey({ kid, jwk, createdAt, retiredAt }: SigningKey): Promise<Key> {
  const { d, ...rest } = JSON.parse(jwk) as JWK;
  const { kty, crv, x, y } = rest;
  const shared = { kty, crv, x, y } as JWK;
  const publicJwk: JWK = { ...shared, kid, alg: algorithm, use: 'sig' };
  const { importJWK } = await loadJose();
  const [privateKey, publicKey] = await Promise.all([
    importJWK({ ...shared, d } as JWK, algorithm),
    importJWK(shared, algorithm),
  ]);
  if (privateKey instanceof Uint8Array || publicKey instanceof Uint8Array)
    throw new Error(`the signing key ${kid} is not a key pair`);
  const state = retiredAt === undefined ? 'current' : 'previous';
  return { kid, createdAt, retiredAt, state, privateKey, publicKey, publicJwk };
}

// Only the name of the key is taken from the header; what the header says of keys themselves (jwk, jku, x5c) is never read.
function kidOf(text: string): string | undefined {
  try {
    const [header = ''] = text.split('.', 1);
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid?: unknown };
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}

function readClaims(payload: JWTPayload): VerifiedToken | undefined {
  const { sub, jti, exp, sid, cid, pwg } = payload;
  if (typeof sub !== 'string' || typeof jti !== 'string' || exp === undefined) return undefined;
  if (!isCount(sid) || !(cid === undefined || isCount(cid)) || !(pwg === undefined || isCount(pwg)))
    return undefined;
  // A token for somebody names how they proved it; one for nobody names nothing.
  const proofs = Number(cid !== undefined) + Number(pwg !== undefined);
  if ((sid === 0) !== (sub === '') || proofs !== (sid === 0 ? 0 : 1)) return undefined;
  return {
    id: jti,
    name: sub,
    subjectId: sid,
    credentialId: cid,
    passwordGeneration: pwg,
    scopes: readScopes(payload.access),
    expiresAt: exp,
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
