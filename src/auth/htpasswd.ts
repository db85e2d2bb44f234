// Reading a htpasswd file of Apache or registry:2: a line a user, `name:hash`. Only bcrypt entries can be kept; everything else
// is reported by line, so that a person can mend it.
import { InvalidNameError, parseAccountName } from './account-name.ts';
import { costOf, highestCost, portableHash } from './password-hashes.ts';

export interface HtpasswdEntry {
  /** From 1. */
  readonly line: number;
  readonly name: string;
  /** As it is stored. */
  readonly hash: string;
}

export interface SkippedLine {
  readonly line: number;
  /** undefined where the line has none, or none that may be repeated. */
  readonly name: string | undefined;
  readonly reason: string;
}

export interface Htpasswd {
  readonly entries: readonly HtpasswdEntry[];
  readonly skipped: readonly SkippedLine[];
}

/** Entries and complaints of a file. Comments and empty lines are neither. `reserved`: access.reservedNames. */
export function parseHtpasswd(text: string, reserved: readonly string[] = []): Htpasswd {
  const entries: HtpasswdEntry[] = [];
  const skipped: SkippedLine[] = [];
  const lineOf = new Map<string, number>();
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const line = index + 1;
    const entry = raw.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const found = parseLine(entry, reserved);
    const earlier = found.name === undefined ? undefined : lineOf.get(found.name);
    if ('reason' in found) skipped.push({ line, ...found });
    else if (earlier !== undefined)
      skipped.push({ line, name: found.name, reason: `${found.name} is in line ${earlier} already` });
    else {
      lineOf.set(found.name, line);
      entries.push({ line, ...found });
    }
  }
  return { entries, skipped };
}

function parseLine(
  entry: string,
  reserved: readonly string[],
): { readonly name: string; readonly hash: string } | Omit<SkippedLine, 'line'> {
  const colon = entry.indexOf(':');
  // A line without a name may hold a password: nothing of it is repeated.
  if (colon <= 0) return { name: undefined, reason: 'no NAME:HASH' };
  const name = entry.slice(0, colon);
  const [hash = ''] = entry.slice(colon + 1).split(':', 1);
  try {
    parseAccountName(name, reserved);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    return { name: name.slice(0, 80), reason: error.message };
  }
  const kind = kindOf(hash);
  return kind === undefined
    ? { name, hash: portableHash(hash) }
    : { name, reason: `${kind}; only bcrypt entries can be kept. Fix: berth user add ${name}` };
}

// What is wrong with a hash; undefined when it is bcrypt.
function kindOf(hash: string): string | undefined {
  if (costOf(hash) !== undefined) return undefined;
  if (/^\$2[abxy]?\$(?:1[7-9]|[23]\d)\$/.test(hash)) return `bcrypt of a cost over ${highestCost}`;
  if (/^\$2[abxy]?\$/.test(hash)) return 'damaged bcrypt hash';
  if (/^\$(?:apr)?1\$/.test(hash)) return 'MD5 hash';
  if (hash.startsWith('{SHA}')) return 'SHA-1 hash';
  if (/^\$5\$|^\$6\$|^\{S?SHA\d*\}/.test(hash)) return 'SHA hash';
  if (/^[./A-Za-z0-9]{13}$/.test(hash)) return 'crypt hash';
  return hash === '' ? 'no hash' : 'plain text or an unknown kind of hash';
}
