// Notices of deprecation as rows keep them: JSON.
import type { Deprecation } from '../metadata-store.ts';

/** What a row says; undefined: nothing. */
export function readDeprecation(text: string): Deprecation;
export function readDeprecation(text: string | null): Deprecation | undefined;
export function readDeprecation(text: string | null): Deprecation | undefined {
  return text === null ? undefined : (JSON.parse(text) as Deprecation);
}
