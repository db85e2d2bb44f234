// What retention does with one repository: which tags and manifests go, why, and why the rest stays. Pure: a dry run and a run
// see the same plan. What stays is the default, and only what a rule lets go joins the going.
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { ManifestFacts, ManifestToRemove, Removal, TagFacts } from '../storage/retention-store.ts';
import { Ages, applyKeepTags, each, type KeepReason, type RemoveReason } from './retention-keep.ts';
import type { CompiledPolicy } from './retention-rules.ts';

export interface Decision {
  /** undefined: a manifest without tags. */
  readonly tag: Tag | undefined;
  readonly digest: Digest;
  readonly removes: boolean;
  /** All that keep it; or the one thing for which it goes. */
  readonly because: readonly (KeepReason | RemoveReason)[];
  /** Of `protected`: the rule. */
  readonly rule?: string | undefined;
}

export interface Plan {
  /** Tags by name, then manifests without tags by digest. */
  readonly decisions: readonly Decision[];
  /** In the order in which they are to be done. */
  readonly removals: readonly Removal[];
  /** Manifests that go. */
  readonly manifests: readonly number[];
}

export interface PlanInput {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
  readonly policy: CompiledPolicy;
  readonly now: { readonly at: number; readonly ticks: number };
  readonly leaseSeconds: number;
  readonly delaySeconds: number;
  /** The rule that keeps a tag from being deleted, as text. */
  readonly protectedBy: (tag: Tag) => string | undefined;
}

/** cosign's tags: sha256-<hex>.sig, .att, .sbom; without an ending the list of referrers of clients that know no API for it. */
const referrerTag = /^(sha256|sha512)-([a-f0-9]{64}|[a-f0-9]{128})(?:\.(?:sig|att|sbom))?$/;

/** The digest that a tag of that form belongs to. */
export function subjectOfTag(tag: string): Digest | undefined {
  const [, algorithm, hex] = referrerTag.exec(tag) ?? [];
  return algorithm === undefined ? undefined : (`${algorithm}:${hex}` as Digest);
}

/** Decides on a repository. */
export function planRetention(input: PlanInput): Plan {
  const planning = planInSteps(input);
  for (;;) {
    const step = planning.next();
    if (step.done === true) return step.value;
  }
}

/** The same for one that may have a hundred thousand tags: whoever drives it lets others have their turn at each step. */
export function planInSteps(input: PlanInput): Generator<void, Plan> {
  return new Planner(input).plan();
}

class Planner {
  readonly #input: PlanInput;
  readonly #ages: Ages;
  readonly #byId = new Map<number, ManifestFacts>();
  readonly #byDigest = new Map<Digest, ManifestFacts>();
  readonly #tagsOf = new Map<number, TagFacts[]>();
  readonly #referrersOf = new Map<Digest, Set<number>>();
  /** How many indexes list a manifest, and how many of them stay. */
  readonly #parents = new Map<number, number>();
  readonly #stayingParents = new Map<number, number>();
  /** Why a tag stays; a tag without reasons goes as soon as what it depends on does. */
  readonly #kept = new Map<Tag, Set<KeepReason>>();
  readonly #goes = new Map<Tag, RemoveReason>();
  /** Manifests that go, in the order in which they joined, and why. */
  readonly #going = new Map<number, RemoveReason>();
  readonly #blocked = new Set<number>();

  constructor(input: PlanInput) {
    this.#input = input;
    this.#ages = new Ages(input.now, input.leaseSeconds);
  }

  *plan(): Generator<void, Plan> {
    yield* this.#index();
    yield* this.#judgeTags();
    yield* this.#gather();
    this.#keepTagsOfBlocked();
    const decisions = yield* this.#decisions();
    return { decisions, removals: yield* this.#removals(), manifests: [...this.#going.keys()] };
  }

  *#index(): Generator<void> {
    const { manifests, tags } = this.#input;
    yield* each(manifests, (manifest) => {
      this.#byId.set(manifest.id, manifest);
      this.#byDigest.set(manifest.digest, manifest);
      if (manifest.subject !== undefined) this.#addReferrer(manifest.subject, manifest.id);
      for (const child of new Set(manifest.children)) {
        this.#parents.set(child, (this.#parents.get(child) ?? 0) + 1);
        this.#stayingParents.set(child, (this.#stayingParents.get(child) ?? 0) + 1);
      }
    });
    yield* each(tags, (tag) => {
      const known = this.#tagsOf.get(tag.manifest);
      if (known === undefined) this.#tagsOf.set(tag.manifest, [tag]);
      else known.push(tag);
      const subject = this.#namedBy(tag);
      if (subject !== undefined) this.#addReferrer(subject, tag.manifest);
    });
  }

  // ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  *#judgeTags(): Generator<void> {
    const { policy, protectedBy } = this.#input;
    const candidates: TagFacts[] = [];
    yield* each(this.#input.tags, (tag) => {
      // A manifest that is not there any more: both were read at different moments.
      if (!this.#byId.has(tag.manifest)) this.#keep(tag.name, 'meanwhile');
      else if (this.#namedBy(tag) === undefined) candidates.push(tag);
      else this.#goes.set(tag.name, 'deleteReferrers');
    });
    if (policy.keepTags === undefined) for (const { name } of candidates) this.#keep(name, 'noKeepTags');
    else
      yield* applyKeepTags(candidates, policy.keepTags, {
        ages: this.#ages,
        manifestOf: ({ manifest }) => this.#byId.get(manifest),
        keep: (tag, reason) => this.#keep(tag, reason),
        lets: (tag, reason) => this.#goes.set(tag, reason),
      });
    yield* each(this.#input.tags, (tag) => {
      if (protectedBy(tag.name) !== undefined) this.#keep(tag.name, 'protected');
      const manifest = this.#byId.get(tag.manifest);
      if (manifest === undefined) return;
      if (manifest.leaseTicks > this.#input.now.ticks) this.#keep(tag.name, 'lease');
      if (this.#ages.isYoung(tag.setAt, manifest, this.#input.delaySeconds)) this.#keep(tag.name, 'delay');
    });
  }

  #keep(tag: Tag, reason: KeepReason): void {
    const reasons = this.#kept.get(tag);
    if (reasons === undefined) this.#kept.set(tag, new Set([reason]));
    else reasons.add(reason);
  }

  /** What a tag of cosign's form belongs to: no rule for tags is for it. */
  #namedBy({ name, manifest }: TagFacts): Digest | undefined {
    const named = subjectOfTag(name);
    return named === this.#byId.get(manifest)?.digest ? undefined : named;
  }

  #addReferrer(subject: Digest, id: number): void {
    const known = this.#referrersOf.get(subject);
    if (known === undefined) this.#referrersOf.set(subject, new Set([id]));
    else known.add(id);
  }

  // ── manifests ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets join what may go until nothing more does. */
  *#gather(): Generator<void> {
    const queue = this.#input.manifests.map(({ id }) => id);
    // It grows while it is walked.
    yield* each(queue, (id) => {
      const manifest = this.#byId.get(id);
      if (manifest === undefined || this.#going.has(manifest.id)) return;
      const reason = this.#reasonToGo(manifest);
      if (reason === undefined) return;
      if (this.#wouldLeaveLeased(manifest)) {
        this.#blocked.add(manifest.id);
        return;
      }
      this.#going.set(manifest.id, reason);
      for (const child of new Set(manifest.children)) {
        this.#stayingParents.set(child, (this.#stayingParents.get(child) ?? 1) - 1);
        queue.push(child);
      }
      for (const referrer of this.#referrersOf.get(manifest.digest) ?? []) queue.push(referrer);
    });
  }

  /** undefined: it stays, as things are so far. */
  #reasonToGo(manifest: ManifestFacts): RemoveReason | undefined {
    const { policy } = this.#input;
    const { id, subject } = manifest;
    if ((this.#stayingParents.get(id) ?? 0) > 0 || !this.#isFree(manifest)) return undefined;
    if (subject !== undefined && this.#stays(subject)) return undefined;
    const tags = this.#tagsOf.get(id) ?? [];
    if (tags.length > 0) {
      if (!tags.every((tag) => this.#tagGoes(tag))) return undefined;
      return this.#goes.get(tags[0]?.name as Tag);
    }
    if (this.#parents.has(id)) return 'child';
    if (subject !== undefined) return policy.deleteReferrers ? 'deleteReferrers' : undefined;
    return policy.deleteUntagged ? 'deleteUntagged' : undefined;
  }

  #tagGoes(tag: TagFacts): boolean {
    if (this.#kept.has(tag.name)) return false;
    const named = this.#namedBy(tag);
    if (named !== undefined && (!this.#input.policy.deleteReferrers || this.#stays(named))) return false;
    const subject = this.#byId.get(tag.manifest)?.subject;
    return subject === undefined || !this.#stays(subject);
  }

  #stays(digest: Digest): boolean {
    const manifest = this.#byDigest.get(digest);
    return manifest !== undefined && !this.#going.has(manifest.id);
  }

  #isFree(manifest: ManifestFacts): boolean {
    const { now, delaySeconds } = this.#input;
    return manifest.leaseTicks <= now.ticks && !this.#ages.isYoung(manifest.pushedAt, manifest, delaySeconds);
  }

  /** Whether a child that nothing else holds would stay behind because it is new. */
  #wouldLeaveLeased({ children }: ManifestFacts): boolean {
    return children.some((id) => {
      const child = this.#byId.get(id);
      if (child === undefined || this.#stayingParents.get(id) !== 1 || this.#tagsOf.has(id)) return false;
      if (child.subject !== undefined && this.#stays(child.subject)) return false;
      return !this.#isFree(child) || this.#wouldLeaveLeased(child);
    });
  }

  /** An index that stays for its children's sake keeps its tags. */
  #keepTagsOfBlocked(): void {
    for (const id of this.#blocked) {
      if (this.#going.has(id)) continue;
      for (const { name } of this.#tagsOf.get(id) ?? []) this.#keep(name, 'lease');
    }
  }

  // ── what comes of it ─────────────────────────────────────────────────────────────────────────────────────────────

  *#decisions(): Generator<void, readonly Decision[]> {
    const decisions: Decision[] = [];
    yield* each(this.#input.tags, (tag) => {
      const digest = this.#byId.get(tag.manifest)?.digest ?? ('' as Digest);
      const removes = this.#removesTag(tag);
      const because = removes
        ? [this.#goes.get(tag.name) ?? 'noRuleKeeps']
        : [...(this.#kept.get(tag.name) ?? [this.#reasonOfReferrer(tag)])];
      const rule = this.#input.protectedBy(tag.name);
      decisions.push({
        tag: tag.name,
        digest,
        removes,
        because,
        ...(removes || rule === undefined ? {} : { rule }),
      });
    });
    yield* each(this.#input.manifests, (manifest) => {
      if (this.#tagsOf.has(manifest.id)) return;
      const reason = this.#going.get(manifest.id);
      const because = reason === undefined ? this.#reasonsOfUntagged(manifest) : [reason];
      decisions.push({ tag: undefined, digest: manifest.digest, removes: reason !== undefined, because });
    });
    return decisions;
  }

  /** A tag goes with its manifest, or alone where something else keeps that. */
  #removesTag(tag: TagFacts): boolean {
    return this.#going.has(tag.manifest) || this.#tagGoes(tag);
  }

  #reasonOfReferrer(tag: TagFacts): KeepReason {
    const subjects = [this.#namedBy(tag), this.#byId.get(tag.manifest)?.subject];
    const stays = subjects.some((subject) => subject !== undefined && this.#stays(subject));
    return stays ? 'referrer' : 'deleteReferrersOff';
  }

  #reasonsOfUntagged(manifest: ManifestFacts): readonly KeepReason[] {
    const { policy, now, delaySeconds } = this.#input;
    const reasons: KeepReason[] = [];
    if ((this.#stayingParents.get(manifest.id) ?? 0) > 0) reasons.push('listed');
    else if (manifest.subject !== undefined && this.#stays(manifest.subject)) reasons.push('referrer');
    else if (this.#parents.has(manifest.id)) reasons.push('lease');
    else if (manifest.subject !== undefined) {
      if (!policy.deleteReferrers) reasons.push('deleteReferrersOff');
    } else if (!policy.deleteUntagged) reasons.push('deleteUntaggedOff');
    if (reasons.length > 0) return reasons;
    if (manifest.leaseTicks > now.ticks || this.#blocked.has(manifest.id)) reasons.push('lease');
    if (this.#ages.isYoung(manifest.pushedAt, manifest, delaySeconds)) reasons.push('delay');
    return reasons;
  }

  *#removals(): Generator<void, readonly Removal[]> {
    // First tags alone: a manifest that lost a parent has a lease, and so has one that lost a tag.
    const removals = yield* this.#tagRemovals();
    const left = new Map([...this.#parents].filter(([id]) => this.#going.has(id)));
    yield* each(this.#going.keys(), (id) => {
      const manifest = this.#byId.get(id);
      if (manifest === undefined) return;
      // What a going index lists comes with the last of those that list it, unless it has to wait for its subject.
      const isRoot = !this.#parents.has(id) || this.#waitsFor(manifest).length > 0;
      if (isRoot) removals.push({ kind: 'manifests', manifests: this.#unitOf(manifest, left) });
    });
    return removals;
  }

  *#tagRemovals(): Generator<void, Removal[]> {
    const removals: Removal[] = [];
    yield* each(this.#tagsOf, ([id, tags]) => {
      const manifest = this.#byId.get(id);
      const going = tags.filter((tag) => this.#removesTag(tag));
      if (manifest === undefined || this.#going.has(id) || going.length === 0) return;
      const { leaseTicks, pulls } = manifest;
      const named = going.map(({ name, version }) => ({ name, version }));
      removals.push({ kind: 'tags', manifest: id, leaseTicks, pulls, tags: named });
    });
    return removals;
  }

  #unitOf(root: ManifestFacts, left: Map<number, number>): readonly ManifestToRemove[] {
    const unit: ManifestFacts[] = [root];
    for (let at = 0; at < unit.length; at++) {
      for (const child of new Set(unit[at]?.children ?? [])) {
        const facts = this.#byId.get(child);
        const parents = left.get(child);
        if (facts === undefined || parents === undefined) continue;
        left.set(child, parents - 1);
        if (parents === 1 && this.#waitsFor(facts).length === 0) unit.push(facts);
      }
    }
    return unit.map((manifest) => ({
      id: manifest.id,
      digest: manifest.digest,
      tags: (this.#tagsOf.get(manifest.id) ?? []).map(({ name, version }) => ({ name, version })),
      leaseTicks: manifest.leaseTicks,
      pulls: manifest.pulls,
      after: this.#waitsFor(manifest),
      leaving: manifest.children.filter((child) => this.#byId.has(child) && !this.#going.has(child)),
    }));
  }

  /** What has to be gone before a manifest goes. */
  #waitsFor(manifest: ManifestFacts): readonly Digest[] {
    const ofTags = (this.#tagsOf.get(manifest.id) ?? []).map((tag) => this.#namedBy(tag));
    return [...new Set([manifest.subject, ...ofTags].filter((digest) => digest !== undefined))];
  }
}
