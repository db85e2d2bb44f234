// Texts for people: times as distances from now, counts, and what must not steer a terminal.

/** A unit, its seconds, and from how many seconds on it is used: 89 days say more than 2 months. */
const units = [
  ['year', 365 * 86_400, 730 * 86_400],
  ['month', 30 * 86_400, 100 * 86_400],
  ['day', 86_400, 86_400],
  ['hour', 3600, 3600],
  ['minute', 60, 60],
  ['second', 1, 0],
] as const;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' });

/** "3 hours ago", "in 89 days"; `absent` for null and undefined. `time` is RFC 3339. */
export function distanceText(
  time: string | null | undefined,
  absent = 'never',
  now: number = Date.now(),
): string {
  if (time === null || time === undefined) return absent;
  const moment = Date.parse(time);
  // What Berth brings along has no time of its making.
  if (moment === 0) return 'from the start';
  const seconds = Math.round((moment - now) / 1000);
  const [unit, length] = units.find(([, , from]) => Math.abs(seconds) >= from) ?? units[5];
  return relative.format(Math.round(seconds / length), unit);
}

/** "2027-03-31 23:59 UTC" */
export function momentText(time: string): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** "1 token", "3 tokens", "2 repositories" */
export function countText(count: number, noun: string): string {
  const plural = /[^aeiou]y$/.test(noun)
    ? `${noun.slice(0, -1)}ies`
    : `${noun}${/(?:s|sh|ch|x)$/.test(noun) ? 'es' : 's'}`;
  return `${count.toLocaleString('en')} ${count === 1 ? noun : plural}`;
}

/** "a", "a and b", "a, b and c" */
export function listText(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** Digests with their first 12 hexadecimal digits, the rest of the text as it is. */
export function shortenDigests(text: string): string {
  return text.replace(/\b(sha256|sha512):([0-9a-f]{12})[0-9a-f]{52,}\b/g, '$1:$2');
}

/** Control characters written out: names and user agents come from anywhere. */
export function escapeControls(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
