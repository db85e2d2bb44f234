// The intentions by which people manage tags: setting one (retag, copy, restore), removing many, bringing back what was deleted,
// notices. Each runs in one transaction of the writer; a dry run does all of it and is taken back.
import { type Digest, isDigest } from '../../oci/digest.ts';
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import { compileTagGlob } from '../../oci/tag-glob.ts';
import type {
  Deprecation,
  Origin,
  RemovalFilter,
  RemovedTag,
  RemovedTags,
  RestoreDeleted,
  Restored,
  SetTag,
  SetTagOutcome,
  TagHistoryAction,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { type Copying, CopyWrites } from './copy-writes.ts';
import type { Now } from './now.ts';
import { Refusal } from './refusal.ts';
import type { RepositoryRow, SharedWrites } from './shared-writes.ts';
import type { SummaryWrites } from './summary-writes.ts';
import type { TagWrites } from './tag-writes.ts';
import { TrashWrites } from './trash-writes.ts';

export const sql = {
  isLive: `SELECT 1 FROM repository WHERE id = ? AND state = 'live'`,
  target: `SELECT m.id, m.digest FROM tag t JOIN manifest m ON m.id = t.manifest_id
    WHERE t.repository_id = ? AND t.name = ?`,
  manifestByDigest: 'SELECT id, digest FROM manifest WHERE repository_id = ? AND digest = ?',
  pointedThere: `SELECT 1 FROM tag_history WHERE repository_id = ? AND name = ? AND digest = ? LIMIT 1`,
  candidates: `SELECT t.name, m.digest, t.updated_at, coalesce(p.last_at, 0)
    FROM tag t JOIN manifest m ON m.id = t.manifest_id LEFT JOIN pull_count p ON p.manifest_id = t.manifest_id
    WHERE t.repository_id = ? AND t.name > ? ORDER BY t.name LIMIT ?`,
  trashRow: `SELECT r.id, r.namespace_id, r.name, t.digest, t.tags FROM trash t JOIN repository r ON r.id = t.repository_id
    WHERE t.id = ? AND r.state <> 'deleted'`,
  removedTag: `SELECT r.id, r.namespace_id, r.name, h.name,
      (SELECT p.digest FROM tag_history p WHERE p.repository_id = h.repository_id AND p.name = h.name AND p.id < h.id
        ORDER BY p.id DESC LIMIT 1)
    FROM tag_history h JOIN repository r ON r.id = h.repository_id
    WHERE h.id = ? AND h.digest IS NULL AND r.state <> 'deleted'`,
  deprecation: 'SELECT deprecation FROM tag WHERE repository_id = ? AND name = ?',
  deprecate: 'UPDATE tag SET deprecation = ? WHERE repository_id = ? AND name = ?',
} as const;

interface Target {
  readonly id: number;
  readonly digest: Digest;
}

/** Tags looked at, and removed, in one transaction. */
const mostLookedAt = 1000;
const mostRemoved = 100;

export class TagIntentions {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #tags: TagWrites;
  readonly #copies: CopyWrites;
  readonly #trash: TrashWrites;

  constructor(
    db: Connection,
    shared: SharedWrites,
    parts: { readonly tags: TagWrites; readonly summaries: SummaryWrites },
  ) {
    this.#shared = shared;
    this.#tags = parts.tags;
    this.#copies = new CopyWrites(db, shared, parts);
    this.#trash = new TrashWrites(db, shared, parts.summaries);
    this.#statements = prepareAll(db, sql);
    for (const key of ['candidates', 'trashRow', 'removedTag'] as const) this.#statements[key].raw();
    for (const key of ['isLive', 'pointedThere', 'deprecation'] as const) this.#statements[key].pluck();
  }

  setTag(now: Now, input: SetTag): SetTagOutcome {
    return taking(input.dryRun, this.#set(now, input));
  }

  removeTags(
    now: Now,
    input: {
      repository: RepositoryName;
      filter: RemovalFilter;
      after?: string | undefined;
      dryRun: boolean;
      origin: Origin;
    },
  ): RemovedTags | undefined {
    const repository = this.#findLive(input.repository);
    if (repository === undefined) return undefined;
    return taking(input.dryRun, this.#remove(now, { id: repository.id, name: input.repository }, input));
  }

  restoreManifest(now: Now, { id, origin, dryRun }: RestoreDeleted): Restored {
    const row = this.#statements.trashRow.get(id) as
      | [number, number, RepositoryName, Digest, string]
      | undefined;
    if (row === undefined) return { outcome: 'unknown' };
    const [repositoryId, namespaceId, name, digest, names] = row;
    const home = { id: repositoryId, namespaceId, name };
    const restored: Digest[] = [];
    const manifest = { id: this.#trash.restore(now, home, id, origin, restored), digest };
    const tags: Tag[] = [];
    const taken: Tag[] = [];
    for (const tag of JSON.parse(names) as Tag[]) {
      const there = this.#findTarget(repositoryId, tag);
      if (there !== undefined && there.id !== manifest.id) taken.push(tag);
      else {
        this.#tags.set(now, { repository: home, tag, origin, action: 'restore' }, manifest);
        tags.push(tag);
      }
    }
    return taking(dryRun, { outcome: 'restored', restored, tags, taken });
  }

  restoreTag(now: Now, { id, origin, dryRun }: RestoreDeleted): Restored {
    const row = this.#statements.removedTag.get(id) as
      | [number, number, RepositoryName, Tag, Digest | null]
      | undefined;
    const [repositoryId = 0, namespaceId = 0, name, tag, digest] = row ?? [];
    if (name === undefined || tag === undefined || digest === undefined || digest === null)
      return { outcome: 'unknown' };
    const home = { id: repositoryId, namespaceId, name };
    if (this.#findTarget(home.id, tag) !== undefined) return { outcome: 'taken' };
    const restored: Digest[] = [];
    const manifest =
      this.#findManifest(home.id, digest) ?? this.#bringBack(now, home, digest, origin, restored);
    if (manifest === undefined) return { outcome: 'unknown' };
    this.#tags.set(now, { repository: home, tag, origin, action: 'restore' }, manifest);
    return taking(dryRun, { outcome: 'restored', restored, tags: [tag], taken: [] });
  }

  purgeManifest(now: Now, { id, origin }: { id: number; origin: Origin }): boolean {
    const row = this.#statements.trashRow.get(id) as [number, number, RepositoryName, Digest] | undefined;
    if (row === undefined) return false;
    const [, , name, digest] = row;
    this.#trash.purge(id);
    this.#shared.events.addChange(now, origin, {
      action: 'deleted.purge',
      object: `manifest:${name}@${digest}`,
      namespace: namespaceOf(name),
    });
    return true;
  }

  deprecateTag(
    now: Now,
    input: { repository: RepositoryName; tag: Tag; deprecation: Deprecation | undefined; origin: Origin },
  ): boolean {
    const { repository: name, tag, deprecation, origin } = input;
    const repository = this.#shared.findRepository(name);
    const before = repository && this.#statements.deprecation.get(repository.id, tag);
    if (repository === undefined || before === undefined) return false;
    const after = deprecation === undefined ? null : JSON.stringify(deprecation);
    if (after === before) return true;
    this.#statements.deprecate.run(after, repository.id, tag);
    this.#shared.events.addChange(now, origin, {
      action: 'tag.update',
      object: `tag:${name}:${tag}`,
      namespace: namespaceOf(name),
      before: { deprecation: before === null ? null : (JSON.parse(String(before)) as unknown) },
      after: { deprecation: deprecation ?? null },
    });
    return true;
  }

  #set(now: Now, input: SetTag): SetTagOutcome {
    const { repository: name, tag, origin, expected } = input;
    const known = this.#shared.findRepository(name);
    const previous = known && this.#findTarget(known.id, tag);
    if (expected !== undefined && (previous?.digest ?? 'absent') !== expected) return { outcome: 'changed' };
    const found = this.#resolve(now, input, known);
    if ('outcome' in found) return found;
    const { home, manifest, copied = nothingCopied, restored = [], referrers = noReferrers } = found;
    // Whoever reads the answer counts on it, even where the tag pointed there already.
    this.#shared.raiseManifestLease(now, manifest.id);
    const action = this.#actionOf(input, home.id, manifest, { copied: found.copied !== undefined, restored });
    const moved = this.#tags.set(now, { repository: home, tag, origin, action }, manifest);
    return {
      outcome: 'set',
      digest: manifest.digest,
      previousDigest: previous?.digest,
      action: moved ? action : undefined,
      copied,
      restored,
      referrers,
    };
  }

  #resolve(now: Now, input: SetTag, known: RepositoryRow | undefined): Found | SetTagOutcome {
    const { repository: name, from, origin } = input;
    if ('repository' in from && from.repository !== name) return this.#copy(now, input, from);
    if (known === undefined || this.#statements.isLive.get(known.id) === undefined)
      return { outcome: 'unknown', what: 'repository' };
    const home = { ...known, name };
    const reference = 'digest' in from ? from.digest : from.reference;
    const manifest = isDigest(reference)
      ? this.#findManifest(home.id, reference)
      : this.#findTarget(home.id, reference);
    if (manifest !== undefined) return { home, manifest };
    if (!isDigest(reference) || this.#trash.find(home.id, reference) === undefined)
      return { outcome: 'unknown', what: 'manifest' };
    if (!input.mayRestore) return { outcome: 'restore-denied' };
    const restored: Digest[] = [];
    const back = this.#bringBack(now, home, reference, origin, restored);
    return back === undefined ? { outcome: 'unknown', what: 'manifest' } : { home, manifest: back, restored };
  }

  #copy(
    now: Now,
    input: SetTag,
    from: { readonly repository: RepositoryName; readonly reference: Tag | Digest },
  ): Found | SetTagOutcome {
    const source = this.#shared.findRepository(from.repository);
    const manifest =
      source &&
      (isDigest(from.reference)
        ? this.#findManifest(source.id, from.reference)
        : this.#findTarget(source.id, from.reference));
    if (source === undefined || manifest === undefined) return { outcome: 'unknown', what: 'source' };
    const target = this.#shared.ensureRepository(now, input.repository, input.create);
    if ('outcome' in target) return target;
    const home = { ...target, name: input.repository };
    const copying: Copying = {
      from: source,
      to: home,
      source: from.repository,
      origin: input.origin,
      done: new Map(),
      manifests: 0,
      bytes: 0,
    };
    const id = this.#copies.copy(now, copying, manifest.id);
    const copied = input.referrers ? this.#copies.copyReferrers(now, copying) : 0;
    const left = input.referrers ? 0 : this.#copies.countReferrers(copying, manifest.digest);
    return {
      home,
      manifest: { id, digest: manifest.digest },
      copied: { manifests: copying.manifests - copied, bytes: copying.bytes },
      referrers: { copied, left },
    };
  }

  #actionOf(
    { tag }: SetTag,
    repositoryId: number,
    { digest }: Target,
    { copied, restored }: { readonly copied: boolean; readonly restored: readonly Digest[] },
  ): TagHistoryAction {
    if (copied) return 'copy';
    if (restored.length > 0) return 'restore';
    return this.#statements.pointedThere.get(repositoryId, tag, digest) === undefined ? 'retag' : 'restore';
  }

  #remove(
    now: Now,
    repository: { readonly id: number; readonly name: RepositoryName },
    input: { readonly filter: RemovalFilter; readonly after?: string | undefined; readonly origin: Origin },
  ): RemovedTags {
    const { filter, origin } = input;
    const glob = compileTagGlob(filter.matching);
    const from = [input.after ?? '', beforePrefix(glob.prefix)].reduce((one, other) =>
      one > other ? one : other,
    );
    const rows = this.#statements.candidates.all(repository.id, from, mostLookedAt) as CandidateRow[];
    const deleted: RemovedTag[] = [];
    const kept: { name: Tag; reason: string }[] = [];
    for (const [name, digest, setAt, pulledAt] of rows) {
      if (!name.startsWith(glob.prefix)) return { deleted, kept, next: undefined };
      if (!glob.matches(name) || !isDue(filter, setAt, pulledAt)) continue;
      try {
        this.#tags.remove(now, { repository, tag: name, origin });
        deleted.push({ name, digest });
      } catch (error) {
        // A rule of protection is asked before anything is written, and the others go on.
        if ((error as Error).name !== 'TagProtectedError') throw error;
        kept.push({ name, reason: (error as Error).message });
      }
      if (deleted.length + kept.length === mostRemoved) return { deleted, kept, next: name };
    }
    return { deleted, kept, next: rows.length < mostLookedAt ? undefined : rows.at(-1)?.[0] };
  }

  #bringBack(
    now: Now,
    home: Found['home'],
    digest: Digest,
    origin: Origin,
    restored: Digest[],
  ): Target | undefined {
    const trashId = this.#trash.find(home.id, digest);
    return trashId === undefined
      ? undefined
      : { id: this.#trash.restore(now, home, trashId, origin, restored), digest };
  }

  #findLive(name: RepositoryName): RepositoryRow | undefined {
    const found = this.#shared.findRepository(name);
    return found && this.#statements.isLive.get(found.id) === undefined ? undefined : found;
  }

  #findTarget(repositoryId: number, tag: Tag): Target | undefined {
    return this.#statements.target.get(repositoryId, tag) as Target | undefined;
  }

  #findManifest(repositoryId: number, digest: Digest): Target | undefined {
    return this.#statements.manifestByDigest.get(repositoryId, digest) as Target | undefined;
  }
}

interface Found {
  readonly home: RepositoryRow & { readonly name: RepositoryName };
  readonly manifest: Target;
  readonly copied?: { readonly manifests: number; readonly bytes: number };
  readonly restored?: readonly Digest[];
  readonly referrers?: { readonly copied: number; readonly left: number };
}

type CandidateRow = [name: Tag, digest: Digest, setAt: number, pulledAt: number];

const nothingCopied = { manifests: 0, bytes: 0 } as const;
const noReferrers = { copied: 0, left: 0 } as const;

function isDue({ pushedBefore, pulledBefore }: RemovalFilter, setAt: number, pulledAt: number): boolean {
  if (pushedBefore !== undefined && setAt >= pushedBefore) return false;
  return pulledBefore === undefined || Math.max(pulledAt, setAt) < pulledBefore;
}

/** The greatest text that comes before everything that begins with `prefix`: characters of tags are below \u007f. */
export function beforePrefix(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix === '' ? '' : `${prefix.slice(0, -1)}${String.fromCharCode(last - 1)}\u007f`;
}

/** The outcome; of a dry run what was done is taken back. */
function taking<Outcome>(dryRun: boolean, outcome: Outcome): Outcome {
  if (dryRun) throw new Refusal(outcome);
  return outcome;
}
