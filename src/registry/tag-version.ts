// Tags as versions (semver.org), where retention keeps the highest.
import type { SemVer } from 'semver';
import parseVersion from 'semver/functions/parse.js';

/** The version that a tag is: v1.2.3, 1.2.3-rc.1. undefined for anything else, 1.2 and v1 among them, which move along. */
export function versionOf(tag: string): SemVer | undefined {
  return parseVersion(tag) ?? undefined;
}
