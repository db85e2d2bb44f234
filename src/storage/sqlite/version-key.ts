// How tags that are versions are put in order: as text whose bytewise order is the precedence of Semantic Versioning 2.0.0, so
// that an index keeps them sorted. The migration that adds the column and every write of a tag use it.
import parse from 'semver/functions/parse.js';

/** `1` and `1.2`, as tags that follow the newest such version; longer numbers alone are dates and builds. */
const shortVersion = /^v?(0|[1-9]\d{0,4})(?:\.(0|[1-9]\d*))?$/;

/**
 * The key of a tag; '' when it is no version. `v` may stand in front, the last numbers may be left out, and `_` stands for the
 * `+` of build metadata (as helm writes it, because no tag holds a plus). What differs in build metadata alone has one key.
 */
export function versionKey(tag: string): string {
  const [, major, minor = '0'] = shortVersion.exec(tag) ?? [];
  const version = parse(major === undefined ? tag.replace('_', '+') : `${major}.${minor}.0`);
  if (version === null) return '';
  const numbers = [version.major, version.minor, version.patch].map(numberKey).join('');
  if (version.prerelease.length === 0) return `${numbers}~`;
  return `${numbers}-${version.prerelease.map(identifierKey).join('')}`;
}

/** Longer numbers are larger: the length goes first. */
function numberKey(value: number | string): string {
  const digits = BigInt(value).toString();
  return String(digits.length).padStart(3, '0') + digits;
}

// Numbers come before words, and a blank before every character of an identifier: fewer identifiers come first.
function identifierKey(identifier: number | string): string {
  const isNumber = typeof identifier === 'number' || /^\d+$/.test(identifier);
  return `${isNumber ? `0${numberKey(identifier)}` : `1${identifier}`} `;
}
