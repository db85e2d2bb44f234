// Retention of a namespace: repository by repository it reads what there is, plans, and lets the store remove what is still as it
// was found. A preview is the same without the last step.
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { MetadataStore, Origin } from '../storage/metadata-store.ts';
import type { ManifestFacts, Removal, TagFacts } from '../storage/retention-store.ts';
import type { OperationRun } from './operations.ts';
import { ruleText } from './protection.ts';
import type { PullCounter } from './pull-counter.ts';
import type { KeepReason, RemoveReason } from './retention-keep.ts';
import { type Decision, type Plan, planInSteps } from './retention-plan.ts';
import type { CompiledRules, RetentionRules } from './retention-rules.ts';
import type { WriteGate } from './writes.ts';

/** Who did what retention did, in history, events and the trash. */
export const retentionOrigin: Origin = { actor: 'retention' };

export interface RetentionRequest {
  readonly namespace: string;
  /** Only tells what it would do. */
  readonly dryRun: boolean;
}

export interface RetentionCounts {
  /** `kept`: manifests without tags are counted as such, and those with tags where they go. */
  readonly tags: { readonly removed: number; readonly kept: number };
  readonly manifests: { readonly removed: number };
  /** Bytes that nothing else in the registry has; they come free when the time is over in which it can be restored. */
  readonly bytes: number;
}

export interface RepositoryResult extends RetentionCounts {
  readonly repository: RepositoryName;
  /** The place of the policy in the rules. */
  readonly policy: number;
  readonly decisions: readonly Decision[];
}

export interface RetentionItem {
  readonly repository: string;
  /** null: a manifest without a tag. */
  readonly tag: string | null;
  readonly digest: string;
  readonly removes: boolean;
  readonly because: readonly string[];
  /** The rule of protection that keeps it. */
  readonly rule: string | null;
}

export interface RetentionReport extends RetentionCounts, Readonly<Record<string, unknown>> {
  readonly dryRun: boolean;
  readonly repositories: readonly (RetentionCounts & {
    readonly repository: string;
    readonly policy: number;
  })[];
  /** Of all that goes, and of tags that stay for another reason than the rules, the first in full. */
  readonly items: readonly RetentionItem[];
  readonly moreItems: boolean;
  /** How many tags stay for each reason; a tag may have several. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** What a report tells of in full. */
const mostItems = 500;
const mostRepositories = 500;
const pageOfRows = 1000;
const pageOfRepositories = 200;
/** Manifests and tags of one transaction. */
const batch = 50;
/** So often a repository is planned anew because somebody changed it meanwhile; then it waits for the next run. */
const attempts = 3;

/** Reasons that come from the rules themselves; others are worth telling of one by one. */
const ordinary: ReadonlySet<KeepReason | RemoveReason> = new Set([
  'noKeepTags',
  'patterns',
  'mostRecentlyPushedCount',
  'mostRecentlyPulledCount',
  'highestSemverCount',
  'pushedWithin',
  'pulledWithin',
  'referrer',
  'listed',
]);

export interface RetentionOptions {
  readonly metadata: MetadataStore;
  readonly writes: Pick<WriteGate, 'withBallast' | 'admitDelete'>;
  readonly pulls: Pick<PullCounter, 'flush'>;
  readonly leaseSeconds: number;
}

type Steps = Pick<OperationRun, 'step'>;

export class Retention {
  readonly #options: RetentionOptions;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /**
   * A run for a namespace as the work of an operation, by the rules that are set now. Throws OciError where nothing may be
   * deleted; what went before stays gone.
   */
  async run(run: OperationRun, { namespace, dryRun: asked }: RetentionRequest): Promise<RetentionReport> {
    const started = performance.now();
    const found = await this.#options.metadata.retention.findRules(namespace);
    const set = found?.rules as RetentionRules | undefined;
    // With it comes the engine of its patterns, which most registries never need.
    const { compileRetention } = await import('./retention-rules.ts');
    const rules = compileRetention(namespace, set ?? { policies: [] });
    const dryRun = asked || rules.dryRun;
    const report = new ReportMaker(dryRun);
    let done = 0;
    for await (const repository of this.repositories(namespace)) {
      await run.step();
      const result = await this.#settle(run, repository, rules, dryRun);
      if (result !== undefined) report.add(result);
      done += 1;
      run.progress(done, undefined, report.figures());
    }
    return report.finish((performance.now() - started) / 1000);
  }

  /** What a run would do with a repository; undefined where no policy is for it, or it is gone. */
  async preview(
    steps: Steps,
    repository: RepositoryName,
    rules: CompiledRules,
  ): Promise<RepositoryResult | undefined> {
    return await this.#settle(steps, repository, rules, true);
  }

  /** The repositories of a namespace in order of name, beginning after `after`. */
  async *repositories(namespace: string, after?: string): AsyncGenerator<RepositoryName> {
    const { retention } = this.#options.metadata;
    for (let from = after; ; ) {
      const page = await retention.listRepositories({ namespace, after: from, limit: pageOfRepositories });
      yield* page.items;
      if (!page.more) return;
      from = page.items.at(-1);
    }
  }

  async #settle(
    steps: Steps,
    repository: RepositoryName,
    rules: CompiledRules,
    dryRun: boolean,
  ): Promise<RepositoryResult | undefined> {
    const policy = rules.policyFor(repository);
    if (policy === undefined) return undefined;
    let earlier: RepositoryResult | undefined;
    for (let attempt = 1; ; attempt++) {
      const { plan, mark } = await this.#plan(steps, repository, rules);
      const bytes = await this.#weigh(steps, repository, plan);
      const { removed, changed } = dryRun
        ? { removed: new Set(plan.removals), changed: false }
        : await this.#remove(steps, repository, plan, mark);
      const result = joined(earlier, resultOf(repository, policy.index, plan, removed, bytes));
      if (!changed || attempt === attempts) return result;
      // The next plan no longer has what went by this one.
      earlier = result;
    }
  }

  async #plan(steps: Steps, repository: RepositoryName, rules: CompiledRules) {
    const { metadata, pulls, leaseSeconds } = this.#options;
    const policy = rules.policyFor(repository);
    if (policy === undefined) throw new Error('no policy is for this repository');
    await pulls.flush();
    const { mark, ...now } = await metadata.retention.moment();
    const manifests: ManifestFacts[] = [];
    for (let more = true; more; await steps.step()) {
      const after = manifests.at(-1)?.digest;
      const page = await metadata.retention.listManifests(repository, { after, limit: pageOfRows });
      manifests.push(...page.items);
      more = page.more;
    }
    const tags: TagFacts[] = [];
    for (let more = true; more; await steps.step()) {
      const page = await metadata.retention.listTags(repository, {
        after: tags.at(-1)?.name,
        limit: pageOfRows,
      });
      tags.push(...page.items);
      more = page.more;
    }
    const heldBy = await metadata.protection.rulesOf(repository, 'delete');
    const protectedBy = (tag: Tag) => {
      const held = heldBy(tag);
      return held && ruleText(held);
    };
    const { delaySeconds } = rules;
    const planning = planInSteps({
      tags,
      manifests,
      policy,
      now,
      leaseSeconds,
      delaySeconds,
      protectedBy,
    });
    for (;;) {
      const step = planning.next();
      if (step.done === true) return { plan: step.value, mark };
      await steps.step();
    }
  }

  /** Bytes of the blobs that only the going manifests have, in this repository and in all others. */
  async #weigh(steps: Steps, repository: RepositoryName, { manifests }: Plan): Promise<number> {
    const { retention } = this.#options.metadata;
    const blobs = new Map<number, { holders: number; size: number }>();
    for (let from = 0; from < manifests.length; from += batch) {
      for (const { id, size, elsewhere } of await retention.listBlobs(manifests.slice(from, from + batch))) {
        const known = blobs.get(id);
        if (known !== undefined) known.holders += 1;
        else if (!elsewhere) blobs.set(id, { holders: 1, size });
      }
      await steps.step();
    }
    const counted = [...blobs].map(([id, { holders }]) => ({ id, holders }));
    let bytes = 0;
    for (let from = 0; from < counted.length; from += pageOfRows) {
      const own = await retention.filterHeldBy(repository, counted.slice(from, from + pageOfRows));
      for (const id of own) bytes += blobs.get(id)?.size ?? 0;
      await steps.step();
    }
    return bytes;
  }

  /** Those that were removed; `changed`: somebody else removed a tag meanwhile, and the rest of the plan is void. */
  async #remove(
    steps: Steps,
    repository: RepositoryName,
    { removals }: Plan,
    mark: number,
  ): Promise<{ readonly removed: ReadonlySet<Removal>; readonly changed: boolean }> {
    const { metadata, writes, pulls } = this.#options;
    const removed = new Set<Removal>();
    let since = mark;
    for (const part of batchesOf(removals)) {
      // Who is pulling it right now stands in memory alone.
      await pulls.flush();
      // Somebody may have made the registry read-only meanwhile.
      writes.admitDelete();
      const input = { repository, mark: since, removals: part, origin: retentionOrigin };
      const done = await writes.withBallast(() => metadata.retention.remove(input));
      if (done.outcome !== 'done') return { removed, changed: done.outcome === 'changed' };
      for (const [index, outcome] of done.results.entries()) {
        const removal = part[index];
        if (removal !== undefined && outcome === 'removed') removed.add(removal);
      }
      since = done.mark;
      await steps.step();
    }
    return { removed, changed: false };
  }
}

function* batchesOf(removals: readonly Removal[]): Generator<readonly Removal[]> {
  let part: Removal[] = [];
  let weight = 0;
  for (const removal of removals) {
    const own = removal.kind === 'tags' ? removal.tags.length : removal.manifests.length;
    if (part.length > 0 && weight + own > batch) {
      yield part;
      part = [];
      weight = 0;
    }
    part.push(removal);
    weight += own;
  }
  if (part.length > 0) yield part;
}

function resultOf(
  repository: RepositoryName,
  policy: number,
  plan: Plan,
  removed: ReadonlySet<Removal>,
  bytes: number,
): RepositoryResult {
  const tags = new Set<string>();
  const digests = new Set<string>();
  for (const removal of removed) {
    const parts = removal.kind === 'tags' ? [removal] : removal.manifests;
    for (const { name } of parts.flatMap((part) => part.tags)) tags.add(name);
    if (removal.kind === 'manifests') for (const { digest } of removal.manifests) digests.add(digest);
  }
  const decisions = plan.decisions.map((decision): Decision => {
    const isGone = decision.tag === undefined ? digests.has(decision.digest) : tags.has(decision.tag);
    return decision.removes && !isGone ? { ...decision, removes: false, because: ['meanwhile'] } : decision;
  });
  const ofTags = decisions.filter(({ tag }) => tag !== undefined);
  // What stayed after all keeps bytes that cannot be told from the others' any more: then none of them is promised.
  const isWhole = removed.size === plan.removals.length;
  return {
    repository,
    policy,
    decisions,
    tags: { removed: tags.size, kept: ofTags.length - tags.size },
    manifests: { removed: digests.size },
    bytes: isWhole ? bytes : 0,
  };
}

/** What two plans did, one after the other: of the first, what went. */
function joined(earlier: RepositoryResult | undefined, later: RepositoryResult): RepositoryResult {
  if (earlier === undefined) return later;
  return {
    ...later,
    decisions: [...earlier.decisions.filter(({ removes }) => removes), ...later.decisions],
    tags: { removed: earlier.tags.removed + later.tags.removed, kept: later.tags.kept },
    manifests: { removed: earlier.manifests.removed + later.manifests.removed },
    bytes: earlier.bytes + later.bytes,
  };
}

/** Gathers the report of a run, or what a preview tells. */
export class ReportMaker {
  readonly #dryRun: boolean;
  readonly #totals = { tags: { removed: 0, kept: 0 }, manifests: { removed: 0 }, bytes: 0 };
  readonly #repositories: (RetentionCounts & { repository: string; policy: number })[] = [];
  readonly #items: RetentionItem[] = [];
  readonly #reasons = new Map<string, number>();
  #moreItems = false;

  constructor(dryRun: boolean) {
    this.#dryRun = dryRun;
  }

  add({ decisions, ...result }: RepositoryResult): void {
    const { tags, manifests, bytes } = result;
    this.#totals.tags.removed += tags.removed;
    this.#totals.tags.kept += tags.kept;
    this.#totals.manifests.removed += manifests.removed;
    this.#totals.bytes += bytes;
    if (this.#repositories.length < mostRepositories) this.#repositories.push(result);
    for (const decision of decisions) {
      if (!decision.removes && decision.tag !== undefined) {
        for (const reason of decision.because)
          this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
      }
      const isTold =
        decision.removes ||
        (decision.tag !== undefined && decision.because.some((one) => !ordinary.has(one)));
      if (!isTold) continue;
      if (this.#items.length < mostItems) this.#items.push(itemOf(result.repository, decision));
      else this.#moreItems = true;
    }
  }

  /** So far, for progress. */
  figures() {
    const { tags, manifests, bytes } = this.#totals;
    return { dryRun: this.#dryRun, tags: { ...tags }, manifests: { ...manifests }, bytes };
  }

  finish(seconds: number): RetentionReport {
    return {
      ...this.figures(),
      repositories: this.#repositories,
      items: this.#items,
      moreItems: this.#moreItems,
      reasons: Object.fromEntries(this.#reasons),
      seconds,
    };
  }
}

export function itemOf(repository: string, decision: Decision): RetentionItem {
  const { tag, digest, removes, because, rule } = decision;
  return { repository, tag: tag ?? null, digest, removes, because, rule: rule ?? null };
}
