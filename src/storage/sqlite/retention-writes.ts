// The intentions of retention: its rules, and the removal of what a plan named. Every part of a removal is compared with the rows
// of now before anything of it goes.
import type { Digest } from '../../oci/digest.ts';
import type {
  ManifestToRemove,
  Removal,
  RemovalOutcome,
  RetentionStore,
  TagToRemove,
} from '../retention-store.ts';
import type { Answer, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { ManifestWrites } from './manifest-writes.ts';
import type { Now } from './now.ts';
import type { ProtectedPlace } from './protection-checks.ts';
import type { SharedWrites } from './shared-writes.ts';
import type { TagWrites } from './tag-writes.ts';

export const sql = {
  namespaceId: 'SELECT id FROM namespace WHERE name = ? AND removed_at IS NULL',
  rules: 'SELECT rules FROM retention_rules WHERE namespace_id = ?',
  setRules: `INSERT INTO retention_rules (namespace_id, rules) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET rules = excluded.rules`,
  dropRules: 'DELETE FROM retention_rules WHERE namespace_id = ?',
  // The range of ids decides: what was written since the mark, in all repositories, is little.
  tagRemovedSince: `SELECT 1 FROM tag_history WHERE id > ? AND +repository_id = ? AND digest IS NULL LIMIT 1`,
  mark: 'SELECT max(id) FROM tag_history',
  manifest: `SELECT m.digest, m.lease_ticks, coalesce(p.pulls, 0) FROM manifest m
    LEFT JOIN pull_count p ON p.manifest_id = m.id WHERE m.id = ? AND m.repository_id = ?`,
  tagsOf: `SELECT t.name, (SELECT max(h.id) FROM tag_history h
      WHERE h.repository_id = t.repository_id AND h.name = t.name)
    FROM tag t WHERE t.manifest_id = ? ORDER BY t.repository_id, t.name`,
  tag: `SELECT t.manifest_id, (SELECT max(h.id) FROM tag_history h
      WHERE h.repository_id = t.repository_id AND h.name = t.name)
    FROM tag t WHERE t.repository_id = ? AND t.name = ?`,
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ? LIMIT ?',
  isThere: 'SELECT EXISTS (SELECT 1 FROM manifest WHERE repository_id = ? AND digest = ?)',
} as const;

type ManifestRow = [Digest, number, number];
type TagRow = [string | number, number | null];

export class RetentionWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #tags: TagWrites;
  readonly #manifests: ManifestWrites;

  constructor(db: Connection, shared: SharedWrites, tags: TagWrites, manifests: ManifestWrites) {
    this.#shared = shared;
    this.#tags = tags;
    this.#manifests = manifests;
    this.#statements = prepareAll(db, sql);
    for (const key of ['manifest', 'tagsOf', 'tag'] as const) this.#statements[key].raw();
    for (const key of ['namespaceId', 'rules', 'mark', 'parentsOf', 'isThere'] as const)
      this.#statements[key].pluck();
  }

  setRetention(now: Now, { namespace, rules, origin }: Input<RetentionStore['setRules']>): boolean {
    const id = this.#statements.namespaceId.get(namespace) as number | undefined;
    if (id === undefined) return false;
    const before = this.#statements.rules.get(id) as string | undefined;
    if (rules === undefined) this.#statements.dropRules.run(id);
    else this.#statements.setRules.run(id, JSON.stringify(rules));
    this.#shared.events.addChange(now, origin, {
      action: 'rule.set',
      object: `retention:${namespace}`,
      namespace,
      before: before === undefined ? undefined : { rules: JSON.parse(before) },
      after: rules === undefined ? undefined : { rules },
    });
    return true;
  }

  removeRetained(now: Now, input: Input<RetentionStore['remove']>): Answer<RetentionStore['remove']> {
    const { repository: name, mark, removals, origin } = input;
    const repository = this.#shared.findRepository(name);
    if (repository === undefined) return { outcome: 'unknown' };
    if (this.#statements.tagRemovedSince.get(mark, repository.id) !== undefined)
      return { outcome: 'changed' };
    const home = { id: repository.id, name };
    const results = removals.map((removal): RemovalOutcome => {
      if (!this.#isAsFound(home, removal, input)) return 'meanwhile';
      if (removal.kind === 'tags') {
        for (const { name: tag } of removal.tags) this.#tags.remove(now, { repository: home, tag, origin });
      } else for (const manifest of removal.manifests) this.#discard(now, home, manifest, input);
      return 'removed';
    });
    return { outcome: 'done', results, mark: (this.#statements.mark.get() as number | null) ?? 0 };
  }

  #discard(
    now: Now,
    home: ProtectedPlace,
    manifest: ManifestToRemove,
    { origin }: Input<RetentionStore['remove']>,
  ): void {
    const { id, digest, leaving } = manifest;
    this.#manifests.discard(
      now,
      home,
      { id, digest },
      { origin, raises: (child) => leaving.includes(child) },
    );
  }

  /** Whether nobody changed, pulled, listed or protected any of it since. */
  #isAsFound(home: ProtectedPlace, removal: Removal, { origin }: Input<RetentionStore['remove']>): boolean {
    const { protection } = this.#shared;
    const isFree = ({ name: tag }: TagToRemove) =>
      protection.find({ act: 'delete', repository: home.name, tag, origin }) === undefined;
    if (removal.kind === 'tags') {
      const { manifest: id } = removal;
      return (
        this.#isQuiet(home, { ...removal, id }) &&
        removal.tags.every((tag) => this.#isAt(home, id, tag) && isFree(tag))
      );
    }
    const going = new Set<number>();
    const gone = new Set<Digest>();
    for (const manifest of removal.manifests) {
      if (!this.#isQuiet(home, manifest) || !this.#hasTags(manifest)) return false;
      if (!manifest.tags.every(isFree)) return false;
      const parents = this.#statements.parentsOf.all(manifest.id, going.size + 1) as number[];
      if (parents.some((parent) => !going.has(parent))) return false;
      const isHere = (digest: Digest) =>
        !gone.has(digest) && this.#statements.isThere.get(home.id, digest) === 1;
      if (manifest.after.some(isHere)) return false;
      going.add(manifest.id);
      gone.add(manifest.digest);
    }
    return true;
  }

  #isAt(home: ProtectedPlace, manifest: number, { name, version }: TagToRemove): boolean {
    const row = this.#statements.tag.get(home.id, name) as TagRow | undefined;
    return row !== undefined && row[0] === manifest && (row[1] ?? 0) === version;
  }

  #isQuiet(
    home: ProtectedPlace,
    found: { readonly id: number; readonly leaseTicks: number; readonly pulls: number },
  ): boolean {
    const row = this.#statements.manifest.get(found.id, home.id) as ManifestRow | undefined;
    return row !== undefined && row[1] === found.leaseTicks && row[2] === found.pulls;
  }

  #hasTags({ id, tags }: ManifestToRemove): boolean {
    const rows = this.#statements.tagsOf.all(id) as TagRow[];
    const versions = new Map<string | number, number>(rows.map(([name, version]) => [name, version ?? 0]));
    return rows.length === tags.length && tags.every(({ name, version }) => versions.get(name) === version);
  }
}
