// The rules of personal and robot tokens: what one may be limited to and how long it may live. "Never more than its
// creator may give" is checked here, when it is given, and not again: a robot outlives the one who made its token.
import type { Role } from '../storage/account-store.ts';
import type { Origin } from '../storage/metadata-store.ts';
import type { Ceiling } from './access.ts';
import { InvalidNameError } from './account-name.ts';
import type { Credentials } from './credentials.ts';
import { isWithin, type Pattern, parsePattern } from './pattern.ts';
import { includesRole } from './roles.ts';

/** As many patterns as one token may name. */
export const mostPatterns = 32;

export interface ExpirySettings {
  /** Seconds; Infinity: never. */
  readonly defaultExpiry: number;
  readonly longestExpiry: number;
}

const daySeconds = 86_400;

/**
 * When a token ends, in Unix seconds; undefined: never. `asked`: a time, null for never, undefined for the default. Throws
 * InvalidNameError with a sentence.
 */
export function expiryOf(
  asked: number | null | undefined,
  now: number,
  { defaultExpiry, longestExpiry }: ExpirySettings,
): number | undefined {
  if (asked === undefined)
    return Number.isFinite(defaultExpiry) ? Math.floor(now + defaultExpiry) : undefined;
  if (asked === null) {
    if (!Number.isFinite(longestExpiry)) return undefined;
    throw new InvalidTokenError(`tokens end here: after ${daysText(longestExpiry)} at the latest`);
  }
  if (asked <= now) throw new InvalidTokenError('the token would have ended already: choose a time to come');
  // A day of grace: whoever asks for 365d counts from when he asks, by his own clock.
  if (asked > now + longestExpiry + daySeconds) {
    throw new InvalidTokenError(`a token may live ${daysText(longestExpiry)} at the longest`);
  }
  return asked;
}

/** A token that cannot be had. The message is a sentence for a person. */
export class InvalidTokenError extends InvalidNameError {}

function daysText(seconds: number): string {
  const days = Math.round(seconds / daySeconds);
  return days >= 1 ? `${days} ${days === 1 ? 'day' : 'days'}` : `${Math.round(seconds)} seconds`;
}

/**
 * The bounds of a new token, within those of the credential that asks for it. Throws InvalidNameError with a sentence.
 * `role` undefined: what its owner may; `patterns` undefined or empty: every repository.
 */
export function boundsOf(
  asked: { readonly role: Role | undefined; readonly patterns: readonly string[] | undefined },
  giver: Ceiling | undefined,
): { readonly role: Role | undefined; readonly patterns: readonly Pattern[] | undefined } {
  // None at all would bound nothing, and so are the same as no bound: also where that is too much.
  const patterns = asked.patterns?.length === 0 ? undefined : asked.patterns?.map(parsePattern);
  if (giver?.role !== undefined && !includesRole(giver.role, asked.role ?? 'admin')) {
    const more = asked.role ?? 'no bound';
    throw new InvalidTokenError(
      `the credential in use has the role ${giver.role}, and gives no more: not ${more}`,
    );
  }
  const within = giver?.patterns;
  if (within !== undefined) {
    const beyond = patterns === undefined ? '**' : patterns.find((pattern) => !isWithin(within, pattern));
    if (beyond !== undefined) {
      throw new InvalidTokenError(
        `the credential in use is limited to ${within.join(', ')}, and gives no more: not ${beyond}`,
      );
    }
  }
  return { role: asked.role, patterns };
}

/** How long a one-time code for setting a password is good. */
export const codeSeconds = 72 * 3600;

/** Makes a one-time code with which `user` sets a password. undefined: no such user. */
export async function issueCode(
  credentials: Credentials,
  options: { readonly user: string; readonly now: number; readonly origin: Origin },
): Promise<{ readonly code: string; readonly expiresAt: number } | undefined> {
  const expiresAt = Math.floor(options.now + codeSeconds);
  const { user: subject, origin } = options;
  const added = await credentials.create({ subject, kind: 'setPassword', label: '', expiresAt, origin });
  return added.outcome === 'added' ? { code: added.secret, expiresAt } : undefined;
}
