// Which passwords may be chosen: long enough, no longer than bcrypt reads, and not among those that guessing begins with.

export interface PasswordRules {
  /** Characters, counted as code points. */
  readonly minimumLength: number;
  readonly refuseCommon: boolean;
}

/** A password that may not be chosen. The message says why, never the password. */
export class InvalidPasswordError extends Error {
  override readonly name = 'InvalidPasswordError';
}

/** bcrypt reads no further, so that longer ones would be equal from here on. */
export const longestPasswordBytes = 72;
/** Of a password without its guessable parts so many characters must be left, each part counting as one. */
const leastUnguessable = 7;
const fewestDistinct = 5;

/** The form in which a password is hashed: the same characters are the same bytes, whatever keyboard composed them. */
export function canonicalPassword(text: string): string {
  return text.normalize('NFC');
}

/** Whether bcrypt can tell `text` from every other text: not empty, not too long, and without NUL, where C strings end. */
export function isCheckable(text: string): boolean {
  return text !== '' && Buffer.byteLength(text) <= longestPasswordBytes && !text.includes('\0');
}

/** Throws InvalidPasswordError unless `text` may be the new password of `account`. */
export async function judgePassword(text: string, account: string, rules: PasswordRules): Promise<void> {
  const password = canonicalPassword(text);
  if (/[\p{Cc}\uFFFD]/u.test(password) || !password.isWellFormed())
    throw new InvalidPasswordError('the password holds characters that cannot be typed: leave them out');
  if (password.startsWith('berth_'))
    throw new InvalidPasswordError('the password begins like a token of Berth: choose another one');
  const length = [...password].length;
  if (length < rules.minimumLength) {
    throw new InvalidPasswordError(
      `the password has ${length} characters: choose one of at least ${rules.minimumLength}`,
    );
  }
  const bytes = Buffer.byteLength(password);
  if (bytes > longestPasswordBytes) {
    throw new InvalidPasswordError(
      `the password has ${bytes} bytes: choose one of at most ${longestPasswordBytes}, which is all that its hash reads`,
    );
  }
  if (rules.refuseCommon) await refuseCommon(password.toLowerCase(), account.toLowerCase());
}

async function refuseCommon(password: string, account: string): Promise<void> {
  if (new Set(password).size < fewestDistinct || isRepetition(password))
    throw new InvalidPasswordError('the password repeats itself: choose a less regular one');
  const { commonPasswords, commonWords, sequences } = await import('./common-passwords.ts');
  const own = account.split(/[^a-z0-9]+/).filter((part) => part.length >= 3);
  const parts = [account, ...own, ...commonWords].filter((part) => part.length >= 3);
  const plain = withoutLookAlikes(password);
  const left = Math.min(lengthWithout(password, parts, sequences), lengthWithout(plain, parts, sequences));
  if (commonPasswords.has(password) || commonPasswords.has(plain) || left < leastUnguessable) {
    throw new InvalidPasswordError(
      'the password is among the first that are guessed (common words, the name, ways along the keyboard): ' +
        'choose several words that have nothing to do with each other, or let a password manager make one',
    );
  }
}

/** Made of one piece, at most half as long, over and over; the last time it may be cut short. */
function isRepetition(text: string): boolean {
  for (let period = 1; period <= text.length / 2; period++) {
    if (text.slice(period) === text.slice(0, -period)) return true;
  }
  return false;
}

const lookAlikes: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'i',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

function withoutLookAlikes(text: string): string {
  return text.replace(/[013457@$!]/g, (character) => lookAlikes[character] ?? character);
}

// How long `text` is when each guessable part counts as one character: the longest part that begins somewhere is taken.
function lengthWithout(text: string, parts: readonly string[], sequences: readonly string[]): number {
  let length = 0;
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const longest = Math.max(
      1,
      /^(?:19|20)\d\d(?!\d)/.test(rest) ? 4 : 0,
      /^(.)\1{2,}/u.exec(rest)?.[0].length ?? 0,
      ...parts.map((part) => (rest.startsWith(part) ? part.length : 0)),
      ...sequences.map((sequence) => runLength(rest, sequence)),
    );
    length++;
    at += longest;
  }
  return length;
}

/** How far `text` follows `sequence` from its start, forwards or backwards; below three it is chance. */
function runLength(text: string, sequence: string): number {
  const start = text.charAt(0);
  let longest = 0;
  for (let from = sequence.indexOf(start); from >= 0; from = sequence.indexOf(start, from + 1)) {
    for (const step of [1, -1]) {
      let run = 0;
      while (run < text.length && text.charAt(run) === sequence.charAt(from + run * step)) run++;
      longest = Math.max(longest, run);
    }
  }
  return longest >= 3 ? longest : 0;
}
