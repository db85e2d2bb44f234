// The rules of retention as people write them, in zot's words, and compiled. docs/retention.md says what each word means and where
// it differs from zot.
import { RE2JS } from 're2js';
import type { RepositoryName } from '../oci/name.ts';
import { matchesPattern } from '../oci/name-pattern.ts';

export interface KeepTags {
  /** Regular expressions as Go has them, found anywhere in the tag; none: every tag. */
  readonly patterns?: readonly string[];
  readonly mostRecentlyPushedCount?: number;
  readonly mostRecentlyPulledCount?: number;
  /** So many highest versions as semver orders them. */
  readonly highestSemverCount?: number;
  /** Prereleases count among those, too. */
  readonly semverPrereleases?: boolean;
  readonly pushedWithin?: string;
  readonly pulledWithin?: string;
}

export interface RetentionPolicy {
  /** Patterns of full names; ** is everything in the namespace. None: everything. */
  readonly repositories?: readonly string[];
  readonly deleteReferrers?: boolean;
  readonly deleteUntagged?: boolean;
  /** None: every tag is kept. */
  readonly keepTags?: readonly KeepTags[];
}

export interface RetentionRules {
  /** Runs only tell what they would do. */
  readonly dryRun?: boolean;
  readonly delay?: string;
  readonly policies: readonly RetentionPolicy[];
}

/** What is wrong with rules, and where: a JSON pointer into them. */
export class InvalidRetentionError extends Error {
  override readonly name = 'InvalidRetentionError';
  readonly pointer: string;
  constructor(pointer: string, message: string) {
    super(message);
    this.pointer = pointer;
  }
}

export interface CompiledKeep {
  matches(tag: string): boolean;
  readonly pushedCount: number | undefined;
  readonly pulledCount: number | undefined;
  readonly semverCount: number | undefined;
  readonly prereleases: boolean;
  readonly pushedWithinSeconds: number | undefined;
  readonly pulledWithinSeconds: number | undefined;
}

export interface CompiledPolicy {
  /** Its place in the rules. */
  readonly index: number;
  readonly deleteReferrers: boolean;
  readonly deleteUntagged: boolean;
  /** undefined: every tag is kept. */
  readonly keepTags: readonly CompiledKeep[] | undefined;
}

export interface CompiledRules {
  readonly dryRun: boolean;
  readonly delaySeconds: number;
  /** The first policy that is for the repository; undefined: nothing there is touched. */
  policyFor(repository: RepositoryName): CompiledPolicy | undefined;
}

/** Compiles the rules of a namespace. Throws InvalidRetentionError. */
export function compileRetention(namespace: string, rules: RetentionRules): CompiledRules {
  const compiled = rules.policies.map((policy, index) => ({
    patterns: (policy.repositories ?? ['**']).map((pattern) =>
      pattern === '**' ? `${namespace}/**` : pattern,
    ),
    policy: compilePolicy(policy, index),
  }));
  return {
    dryRun: rules.dryRun ?? false,
    delaySeconds: rules.delay === undefined ? 0 : parseGoDuration(rules.delay, '/delay'),
    policyFor: (repository) =>
      compiled.find(({ patterns }) => patterns.some((pattern) => matchesPattern(pattern, repository)))
        ?.policy,
  };
}

function compilePolicy(policy: RetentionPolicy, index: number): CompiledPolicy {
  const { keepTags = [], deleteReferrers = false, deleteUntagged = false } = policy;
  const keep = keepTags.map((one, at) => compileKeep(one, `/policies/${index}/keepTags/${at}`));
  return { index, deleteReferrers, deleteUntagged, keepTags: keep.length === 0 ? undefined : keep };
}

function compileKeep(keep: KeepTags, pointer: string): CompiledKeep {
  const patterns = (keep.patterns ?? []).map((text, at) => compilePattern(text, `${pointer}/patterns/${at}`));
  if (keep.semverPrereleases !== undefined && keep.highestSemverCount === undefined) {
    throw new InvalidRetentionError(
      `${pointer}/semverPrereleases`,
      'semverPrereleases goes with highestSemverCount',
    );
  }
  const duration = (word: 'pushedWithin' | 'pulledWithin') => {
    const text = keep[word];
    return text === undefined ? undefined : parseGoDuration(text, `${pointer}/${word}`);
  };
  return {
    matches: (tag) => patterns.length === 0 || patterns.some((pattern) => pattern.test(tag)),
    pushedCount: keep.mostRecentlyPushedCount,
    pulledCount: keep.mostRecentlyPulledCount,
    semverCount: keep.highestSemverCount,
    prereleases: keep.semverPrereleases ?? false,
    pushedWithinSeconds: duration('pushedWithin'),
    pulledWithinSeconds: duration('pulledWithin'),
  };
}

/** A program of so many steps takes a microsecond or two for a tag. */
const longestProgram = 2000;

/** RE2: in Go's own syntax, and in linear time whatever somebody writes. */
function compilePattern(text: string, pointer: string): RE2JS {
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(text);
  } catch (error) {
    const why = (error as Error).message.replace(/^error parsing regexp: /, '');
    const hint = /^[*?+]|missing argument/.test(text + why)
      ? '. It is no glob: write .* for any characters'
      : '';
    throw new InvalidRetentionError(pointer, `this is no regular expression: ${why}${hint}`);
  }
  if (pattern.programSize() > longestProgram) {
    throw new InvalidRetentionError(pointer, 'this regular expression is too large: write a simpler one');
  }
  return pattern;
}

const secondsOf: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
};
const longestSeconds = 100 * 365 * 86_400;

/** Seconds of a duration as Go writes it (720h, 1h30m); days (d) and weeks (w) are taken too. Throws InvalidRetentionError. */
export function parseGoDuration(text: string, pointer: string): number {
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d|w)/g)];
  const seconds = parts.reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (secondsOf[unit] ?? 0),
    0,
  );
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text;
  if (isWhole && seconds <= longestSeconds) return seconds;
  throw new InvalidRetentionError(pointer, 'a duration is needed, such as 720h, 1h30m or 30d');
}
