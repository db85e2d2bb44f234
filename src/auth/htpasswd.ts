// Reads htpasswd files (Apache's, as registry:2 takes them): a user and a bcrypt hash a line. Other hashes cannot be kept, since
// nobody can tell the password that belongs to them.
import { InvalidNameError, parseAccountName } from './account-name.ts';
import { costOf, portableHash } from './password-hashes.ts';

export interface HtpasswdUser {
  readonly line: number;
  readonly name: string;
  readonly passwordHash: string;
}

export interface SkippedLine {
  readonly line: number;
  /** As it stands in the file, where it could be read. */
  readonly name: string | undefined;
  readonly reason: string;
}

/** A hash of a higher cost would keep the server busy for minutes at every sign-in. */
const highestCost = 16;

/** What a file holds, line by line. Empty lines and comments are left out without a word. */
export function parseHtpasswd(
  text: string,
  reserved: readonly string[],
): { readonly users: readonly HtpasswdUser[]; readonly skipped: readonly SkippedLine[] } {
  const users: HtpasswdUser[] = [];
  const skipped: SkippedLine[] = [];
  const seen = new Set<string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const entry = raw.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const colon = entry.indexOf(':');
    const name = colon < 0 ? undefined : entry.slice(0, colon);
    const hash = entry.slice(colon + 1);
    const reason = name === undefined ? 'no colon: a line is NAME:HASH' : reasonAgainst(name, hash, seen, reserved);
    if (name === undefined || reason !== undefined) {
      skipped.push({ line, name: name?.slice(0, 100), reason: reason ?? '' });
      continue;
    }
    seen.add(name);
    users.push({ line, name, passwordHash: portableHash(hash) });
  }
  return { users, skipped };
}

function reasonAgainst(
  name: string,
  hash: string,
  seen: ReadonlySet<string>,
  reserved: readonly string[],
): string | undefined {
  try {
    parseAccountName(name, reserved);
  } catch (error) {
    if (error instanceof InvalidNameError) return error.message;
    throw error;
  }
  if (seen.has(name)) return `${name} stands in the file twice: the first line counts`;
  const cost = costOf(hash);
  if (cost === undefined) return `${kindOfHash(hash)}; only bcrypt entries can be kept (htpasswd -B)`;
  return cost > highestCost ? `a bcrypt hash of cost ${cost}: ${highestCost} is the highest here` : undefined;
}

function kindOfHash(hash: string): string {
  if (hash.startsWith('$apr1$') || hash.startsWith('$1$')) return 'MD5 hash';
  if (hash.startsWith('{SHA}')) return 'SHA-1 hash';
  if (/^\$[56]\$/.test(hash)) return 'SHA-2 crypt hash';
  if (/^\$2/.test(hash)) return 'a bcrypt hash that is not whole';
  return hash.length === 13 ? 'DES crypt hash' : 'no hash that is known';
}
