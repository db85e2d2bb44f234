// Walks the repositories that somebody may see, in order of name, by what he may see: the ranges of names that his grants and
// the visibilities lead to are read side by side and merged. So it costs what he sees, and not what there is.
import { setImmediate as turn } from 'node:timers/promises';
import { namespaceOfPattern, wholeRegistry } from '../auth/pattern.ts';
import type { Rights } from '../auth/rights.ts';
import { namespaceOf } from '../oci/name.ts';
import type {
  ManagedRepositoryStore,
  RepositoryRange,
  RepositoryRecord,
  Visibility,
} from '../storage/metadata-store.ts';

/** Behind every name that can be: names hold nothing that sorts behind it. */
const end = '~';
const longestChunk = 500;
const shortestChunk = 4;

/** What somebody may see. `rights` undefined: everything (mode open). */
export interface Viewer {
  readonly rights: Rights | undefined;
  /** Unix seconds. */
  readonly now: number;
}

/** Whether a viewer may see a repository. */
export function sees(
  { rights, now }: Viewer,
  record: Pick<RepositoryRecord, 'name' | 'visibility'>,
): boolean {
  return rights === undefined || rights.roleOn(record.name, record.visibility, now) !== undefined;
}

/** Ranges that together hold all that a viewer may see, and not much else; within a namespace or a visibility where one is given. */
export function rangesOf(
  { rights, now }: Viewer,
  within: { readonly namespace?: string | undefined; readonly visibility?: Visibility | undefined } = {},
): readonly RepositoryRange[] {
  const { namespace, visibility } = within;
  const patterns = rights === undefined ? [wholeRegistry] : patternsOf(rights, now);
  if (patterns.includes(wholeRegistry)) {
    if (namespace !== undefined) return [wholeNamespace(namespace)];
    return [
      visibility === undefined ? { kind: 'all' } : { kind: 'visibility', visibility, from: '', to: end },
    ];
  }
  const granted = patterns
    .filter((pattern) => namespace === undefined || namespaceOfPattern(pattern) === namespace)
    .map(rangeOfPattern);
  const shown = (rights?.seenVisibilities ?? [])
    .filter((one) => visibility === undefined || one === visibility)
    .flatMap((one) => shownRanges(one, rights?.ceiling?.patterns, namespace));
  return [...granted, ...shown];
}

// Not what is in both exactly: where stars cross, no list of patterns is that. `sees` tells what is left.
function patternsOf(rights: Rights, now: number): readonly string[] {
  const held = rights.unlimited.readPatterns(now);
  const ceiling = rights.ceiling?.patterns;
  if (ceiling === undefined) return held;
  if (held.includes(wholeRegistry)) return ceiling;
  const reached = ceiling.map(namespaceOfPattern);
  return held.filter(
    (pattern) => reached.includes(undefined) || reached.includes(namespaceOfPattern(pattern)),
  );
}

function wholeNamespace(namespace: string): RepositoryRange {
  return { kind: 'namespace', namespace, from: '', to: end };
}

function rangeOfPattern(pattern: string): RepositoryRange {
  const namespace = namespaceOfPattern(pattern) ?? '';
  return { kind: 'namespace', namespace, ...boundsOf(pattern) };
}

function boundsOf(pattern: string): { readonly from: string; readonly to: string } {
  const star = pattern.indexOf('*');
  if (star < 0) return { from: pattern, to: pattern };
  // Names without a slash belong to it, too.
  const prefix = pattern === 'library/**' || pattern === wholeRegistry ? '' : pattern.slice(0, star);
  return { from: prefix, to: prefix + end };
}

// What is public or internal, within the repositories that a credential is limited to.
function shownRanges(
  visibility: Visibility,
  ceiling: readonly string[] | undefined,
  namespace: string | undefined,
): readonly RepositoryRange[] {
  const bounds = (ceiling ?? [wholeRegistry]).filter(
    (pattern) => namespace === undefined || [undefined, namespace].includes(namespaceOfPattern(pattern)),
  );
  return bounds.map((pattern) => {
    const whole = namespace !== undefined && pattern === wholeRegistry;
    return { kind: 'visibility', visibility, ...boundsOf(whole ? `${namespace}/**` : pattern) };
  });
}

/** How many rows may still be read; `spent` when a walk ended for that. */
export interface Budget {
  rows: number;
  spent: boolean;
}

interface Source {
  readonly range: RepositoryRange;
  rows: readonly RepositoryRecord[];
  at: number;
  after: string | undefined;
  chunk: number;
  begun: boolean;
  done: boolean;
}

/**
 * The repositories of the ranges in order of name or backwards, each once, in batches, beginning after `after`. What is in a range and may
 * not be seen is among them: filter by `sees`. Other requests get their turn between batches.
 */
export async function* walkByName(
  store: Pick<ManagedRepositoryStore, 'walk'>,
  ranges: readonly RepositoryRange[],
  options: {
    readonly after?: string | undefined;
    readonly descending?: boolean | undefined;
    readonly wanted: number;
    readonly budget?: Budget;
  },
): AsyncGenerator<readonly RepositoryRecord[]> {
  const { after, descending = false, wanted, budget } = options;
  const precedes = (one: string, other: string): boolean => (descending ? one > other : one < other);
  const first = Math.min(
    longestChunk,
    Math.max(shortestChunk, Math.ceil((2 * wanted) / (ranges.length || 1))),
  );
  let sources: Source[] = ranges.map((range) => {
    return { range, rows: [], at: 0, after, chunk: first, begun: false, done: false };
  });
  let last = after;
  let batch: RepositoryRecord[] = [];
  while (sources.length > 0) {
    for (const source of sources) {
      if (source.at < source.rows.length || source.done) continue;
      // Each is begun whatever it costs: a page that comes no further than the one before would be the last.
      if (budget !== undefined && budget.rows <= 0 && source.begun) {
        budget.spent = true;
        if (batch.length > 0) yield batch;
        return;
      }
      await fill(store, source, { descending, budget });
    }
    sources = sources.filter(({ at, rows }) => at < rows.length);
    // Until one of them has to be read on.
    while (sources.length > 0 && sources.every(({ at, rows }) => at < rows.length)) {
      const next = takeFirst(sources, precedes);
      if (last !== undefined && !precedes(last, next.name)) continue;
      batch.push(next);
      last = next.name;
    }
    sources = sources.filter(({ done, at, rows }) => !done || at < rows.length);
    if (batch.length > 0) yield batch;
    batch = [];
    await turn();
  }
}

async function fill(
  store: Pick<ManagedRepositoryStore, 'walk'>,
  source: Source,
  { descending, budget }: { readonly descending: boolean; readonly budget: Budget | undefined },
): Promise<void> {
  const { range, after, chunk } = source;
  source.rows = await store.walk({ range, after, descending, limit: chunk });
  source.at = 0;
  source.begun = true;
  source.done = source.rows.length < chunk;
  source.after = source.rows.at(-1)?.name ?? after;
  source.chunk = Math.min(longestChunk, chunk * 2);
  if (budget !== undefined) budget.rows -= source.rows.length;
}

function takeFirst(
  sources: readonly Source[],
  precedes: (one: string, other: string) => boolean,
): RepositoryRecord {
  let first: { readonly source: Source; readonly record: RepositoryRecord } | undefined;
  for (const source of sources) {
    const record = source.rows[source.at];
    if (record === undefined) continue;
    if (first === undefined || precedes(record.name, first.record.name)) first = { source, record };
  }
  if (first === undefined) throw new Error('nothing to take');
  first.source.at += 1;
  return first.record;
}

/** Whether a repository is within what was asked for. */
export function liesWithin(
  record: RepositoryRecord,
  within: { readonly namespace?: string | undefined; readonly visibility?: Visibility | undefined },
): boolean {
  if (within.namespace !== undefined && namespaceOf(record.name) !== within.namespace) return false;
  return within.visibility === undefined || record.visibility === within.visibility;
}
