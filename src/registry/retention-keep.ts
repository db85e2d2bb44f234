// Which tags the rules for tags keep, and for which of their words. Everything here is pure, and goes in steps.
import type { SemVer } from 'semver';
import type { Tag } from '../oci/reference.ts';
import type { ManifestFacts, TagFacts } from '../storage/retention-store.ts';
import type { CompiledKeep } from './retention-rules.ts';
import { versionOf } from './tag-version.ts';

/** Why something stays. */
export type KeepReason =
  /** The policy has no keepTags. */
  | 'noKeepTags'
  | 'patterns'
  | 'mostRecentlyPushedCount'
  | 'mostRecentlyPulledCount'
  | 'highestSemverCount'
  | 'pushedWithin'
  | 'pulledWithin'
  /** A rule of protection holds. */
  | 'protected'
  /** It was pushed, or lost a tag or a parent, within collector.lease of uptime; or something that would go with it was. */
  | 'lease'
  | 'delay'
  /** It belongs to something that stays. */
  | 'referrer'
  /** It belongs to something that is gone, and deleteReferrers is off. */
  | 'deleteReferrersOff'
  /** An index that stays lists it. */
  | 'listed'
  | 'deleteUntaggedOff'
  /** It was changed or pulled while the run went on. */
  | 'meanwhile';

/** Why something goes. */
export type RemoveReason =
  | 'noPatternMatches'
  | 'noRuleKeeps'
  | 'deleteUntagged'
  | 'deleteReferrers'
  /** What listed it goes. */
  | 'child';

/** How old things are, by both clocks. */
export class Ages {
  readonly #now: { readonly at: number; readonly ticks: number };
  readonly #leaseSeconds: number;

  constructor(now: { readonly at: number; readonly ticks: number }, leaseSeconds: number) {
    this.#now = now;
    this.#leaseSeconds = leaseSeconds;
  }

  /** Less than so long ago by either clock: a clock that jumped, or a registry that was off, makes nothing old. */
  isYoung(at: number, manifest: ManifestFacts, seconds: number): boolean {
    const now = this.#now;
    const heldSince = manifest.leaseTicks - this.#leaseSeconds;
    return now.at - at < seconds || now.ticks - heldSince < seconds;
  }

  wasUsed(tag: TagFacts, manifest: ManifestFacts, seconds: number): boolean {
    const now = this.#now;
    if (this.isYoung(tag.setAt, manifest, seconds)) return true;
    const { pulledAt, pulledTicks } = manifest;
    return pulledAt !== undefined && (now.at - pulledAt < seconds || now.ticks - pulledTicks < seconds);
  }
}

interface Around {
  readonly ages: Ages;
  /** undefined: it is not there any more. */
  readonly manifestOf: (tag: TagFacts) => ManifestFacts | undefined;
  readonly keep: (tag: Tag, reason: KeepReason) => void;
  /** What is said of the tag if nothing keeps it. */
  readonly lets: (tag: Tag, reason: RemoveReason) => void;
}

/** As zot: the first entry whose patterns match decides, and any of its words keeps. */
export function* applyKeepTags(
  candidates: readonly TagFacts[],
  keepTags: readonly CompiledKeep[],
  around: Around,
): Generator<void> {
  const groups = keepTags.map((): TagFacts[] => []);
  yield* each(candidates, (tag) => {
    const index = keepTags.findIndex((keep) => keep.matches(tag.name));
    around.lets(tag.name, index < 0 ? 'noPatternMatches' : 'noRuleKeeps');
    groups[index]?.push(tag);
  });
  for (const [index, keep] of keepTags.entries()) yield* applyKeep(keep, groups[index] ?? [], around);
}

function* applyKeep(keep: CompiledKeep, group: readonly TagFacts[], around: Around): Generator<void> {
  const { ages, manifestOf } = around;
  const { pushedCount, pulledCount, semverCount, pushedWithinSeconds, pulledWithinSeconds } = keep;
  const words = [pushedCount, pulledCount, semverCount, pushedWithinSeconds, pulledWithinSeconds];
  if (words.every((word) => word === undefined)) for (const { name } of group) around.keep(name, 'patterns');
  if (pushedCount !== undefined) {
    const newest = group.toSorted(byPush).slice(0, pushedCount);
    for (const { name } of newest) around.keep(name, 'mostRecentlyPushedCount');
    yield;
  }
  if (pulledCount !== undefined) {
    const pulledAt = (tag: TagFacts) => manifestOf(tag)?.pulledAt ?? -1;
    const newest = group
      .map((tag) => ({ tag, at: pulledAt(tag) }))
      .sort((one, other) => other.at - one.at || byPush(one.tag, other.tag));
    for (const { tag } of newest.slice(0, pulledCount)) around.keep(tag.name, 'mostRecentlyPulledCount');
    yield;
  }
  if (semverCount !== undefined) yield* keepHighest(keep, semverCount, group, around);
  yield* each(group, (tag) => {
    const manifest = manifestOf(tag);
    if (manifest === undefined) return;
    if (pushedWithinSeconds !== undefined && ages.isYoung(tag.setAt, manifest, pushedWithinSeconds))
      around.keep(tag.name, 'pushedWithin');
    // What was pushed within that time nobody had the time to pull.
    if (pulledWithinSeconds !== undefined && ages.wasUsed(tag, manifest, pulledWithinSeconds))
      around.keep(tag.name, 'pulledWithin');
  });
}

/** Tags that are the same version (v1.0.0 and 1.0.0) count as one. */
function* keepHighest(
  { prereleases }: CompiledKeep,
  count: number,
  group: readonly TagFacts[],
  around: Around,
): Generator<void> {
  const versions: { readonly tag: TagFacts; readonly version: SemVer }[] = [];
  yield* each(group, (tag) => {
    const version = versionOf(tag.name);
    if (version !== undefined && (prereleases || version.prerelease.length === 0))
      versions.push({ tag, version });
  });
  versions.sort((one, other) => other.version.compare(one.version));
  yield;
  let distinct = 0;
  for (const [index, { tag, version }] of versions.entries()) {
    const before = versions[index - 1];
    if (before === undefined || before.version.compare(version) !== 0) distinct += 1;
    if (distinct > count) return;
    around.keep(tag.name, 'highestSemverCount');
  }
}

function byPush(one: TagFacts, other: TagFacts): number {
  return other.version - one.version || other.setAt - one.setAt || (one.name < other.name ? -1 : 1);
}

/** Items of a step: some milliseconds. */
const stepItems = 2000;

/** Acts on each of the items, with a step after some of them. */
export function* each<Item>(items: Iterable<Item>, act: (item: Item) => void): Generator<void> {
  let left = stepItems;
  for (const item of items) {
    act(item);
    left -= 1;
    if (left > 0) continue;
    yield;
    left = stepItems;
  }
}
