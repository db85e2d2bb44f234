// The secrets that Berth makes: 256 random bits in letters and digits, a prefix that tells what it is (people and secret
// scanners find it), and a checksum that tells a damaged copy from a wrong one. Only the SHA-256 is ever stored.
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CredentialKind } from '../storage/account-store.ts';

const prefixes: Readonly<Record<CredentialKind, string>> = {
  personal: 'berth_pat_',
  robot: 'berth_robot_',
  refresh: 'berth_refresh_',
  session: 'berth_session_',
  setPassword: 'berth_code_',
};
const kinds = Object.entries(prefixes) as readonly (readonly [CredentialKind, string])[];

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^43 is a little more than 2^256. */
const randomLength = 43;
const checksumLength = 6;
const tail = new RegExp(`^[0-9A-Za-z]{${randomLength + checksumLength}}$`);

/** A new secret, and what of it is stored. */
export function createSecret(kind: CredentialKind): { readonly secret: string; readonly hash: Buffer } {
  const body = prefixes[kind] + randomText(randomLength);
  const secret = body + checksumOf(body);
  return { secret, hash: hashSecret(secret) };
}

/** What is stored of a secret and looked up. Enough for 256 random bits: nobody guesses them, so it need not be slow. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** What a text is by its looks: a secret of that kind, one that was damaged on the way, or something else. */
export function readSecret(
  text: string,
): { readonly form: 'secret'; readonly kind: CredentialKind } | { readonly form: 'damaged' | 'other' } {
  if (!text.startsWith('berth_')) return { form: 'other' };
  const found = kinds.find(([, prefix]) => text.startsWith(prefix));
  if (found === undefined) return { form: 'other' };
  const [kind, prefix] = found;
  if (text.length !== prefix.length + randomLength + checksumLength || !tail.test(text.slice(prefix.length)))
    return { form: 'damaged' };
  const body = text.slice(0, -checksumLength);
  return text.slice(-checksumLength) === checksumOf(body) ? { form: 'secret', kind } : { form: 'damaged' };
}

function checksumOf(body: string): string {
  let rest = crc32(body);
  let text = '';
  for (let digit = 0; digit < checksumLength; digit++) {
    text = alphabet.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}

// Bytes from 248 on are thrown away, so that every character is equally likely.
function randomText(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && text.length < length) text += alphabet.charAt(byte % 62);
    }
  }
  return text;
}
