// Repositories as retention sees them, made of a few words, and what a plan says of them.
import assert from 'node:assert/strict';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { type Plan, planRetention } from '../../src/registry/retention-plan.ts';
import { compileRetention, type RetentionPolicy } from '../../src/registry/retention-rules.ts';
import type { ManifestFacts, TagFacts } from '../../src/storage/retention-store.ts';

export const day = 86_400;
export const now = { at: 1_800_000_000, ticks: 1000 * day };
export const leaseSeconds = day;
export const digest = (note: string): Digest => digestOf(Buffer.from(note));
export const app = parseRepositoryName('acme/app');

export interface Made {
  readonly note: string;
  readonly tags?: readonly string[];
  readonly children?: readonly string[];
  readonly subject?: string;
  /** Days ago, by both clocks. */
  readonly pushed?: number;
  readonly pulled?: number;
  readonly uptimeAge?: number;
}

export interface World {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
}

/** Manifests with their tags; the later one is made the later its tags were set. */
export function worldOf(made: readonly Made[]): World {
  const ids = new Map(made.map(({ note }, index) => [note, index + 1]));
  const tags: TagFacts[] = [];
  const manifests = made.map((one, index): ManifestFacts => {
    const { note, pushed = 100 - index, pulled, uptimeAge = pushed } = one;
    const setAt = now.at - pushed * day;
    for (const name of one.tags ?? [])
      tags.push({ name: name as Tag, manifest: index + 1, version: tags.length + 1, setAt });
    return {
      id: index + 1,
      digest: digest(note),
      subject: one.subject === undefined ? undefined : digest(one.subject),
      children: (one.children ?? []).map((child) => ids.get(child) ?? 0),
      pushedAt: setAt,
      leaseTicks: now.ticks - uptimeAge * day + leaseSeconds,
      pulls: pulled === undefined ? 0 : 1,
      pulledAt: pulled === undefined ? undefined : now.at - pulled * day,
      pulledTicks: pulled === undefined ? 0 : now.ticks - pulled * day,
    };
  });
  return { manifests, tags: tags.toSorted((one, other) => (one.name < other.name ? -1 : 1)) };
}

export function planOf(
  world: World,
  policy: RetentionPolicy,
  options: { delay?: string; protects?: (tag: string) => boolean } = {},
): Plan {
  const rules = compileRetention('acme', {
    policies: [policy],
    ...(options.delay === undefined ? {} : { delay: options.delay }),
  });
  const compiled = rules.policyFor(app);
  assert.ok(compiled);
  return planRetention({
    ...world,
    policy: compiled,
    now,
    leaseSeconds,
    delaySeconds: rules.delaySeconds,
    protectedBy: (tag) => (options.protects?.(tag) ? 'rule v* of acme' : undefined),
  });
}

export const removedTags = ({ decisions }: Plan) =>
  decisions.filter(({ removes, tag }) => removes && tag !== undefined).map(({ tag }) => tag);
export const reasonsOf = ({ decisions }: Plan, name: string) =>
  decisions.find(({ tag, digest: found }) => tag === name || found === digest(name))?.because;
export const removedNotes = ({ manifests }: Plan, made: readonly Made[]) =>
  manifests.map((id) => made[id - 1]?.note).toSorted();

export const five = ['a', 'b', 'c', 'd', 'e'].map((note): Made => ({ note, tags: [note] }));
