// The intentions that make a repository, change what it says of itself and who may see it, and delete it. Each runs in one
// transaction of the writer.
import { namespaceOf } from '../../oci/name.ts';
import type { RepositoryChanges, RepositoryStore, Visibility } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { readDeprecation } from './deprecations.ts';
import type { KeepTimes, Now } from './now.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  liveRepository: `SELECT id, visibility, description, labels, deprecation FROM repository
    WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  pageOf: 'SELECT readme, links FROM repository_page WHERE repository_id = ?',
  updateRepository: `UPDATE repository SET visibility = ?, description = ?, labels = ?, deprecation = ? WHERE id = ?`,
  setPage: `INSERT INTO repository_page (repository_id, readme, links) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET readme = excluded.readme, links = excluded.links`,
  dropLabels: 'DELETE FROM repository_label WHERE repository_id = ?',
  addLabel: 'INSERT INTO repository_label (repository_id, key, value, name) VALUES (?, ?, ?, ?)',
  makeLive: `UPDATE repository SET state = 'live', visibility = coalesce(?, visibility), description = ? WHERE id = ?`,
  dropUploads: 'DELETE FROM upload WHERE repository_id = ?',
  deleteRepository: `UPDATE repository SET state = 'deleted', until_ticks = ?, deleted_at = ?, deleted_by = ?,
    deleted_with_namespace = 0 WHERE id = ?`,
  counts: 'SELECT manifests, tags FROM repository WHERE id = ?',
} as const;

interface RepositoryRow {
  readonly id: number;
  readonly visibility: Visibility;
  readonly description: string;
  readonly labels: string;
  /** JSON. */
  readonly deprecation: string | null;
}

interface PageRow {
  readonly readme: string;
  readonly links: string;
}

export class RepositoryWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #shared: SharedWrites;
  readonly #keep: KeepTimes;

  constructor(db: Connection, steps: AccessSteps, shared: SharedWrites, keep: KeepTimes) {
    this.#steps = steps;
    this.#shared = shared;
    this.#keep = keep;
    this.#statements = prepareAll(db, sql);
  }

  addRepository(now: Now, input: Input<RepositoryStore['add']>): Answer<RepositoryStore['add']> {
    const { name, visibility, description = '', origin } = input;
    if (this.#shared.findRepository(name)?.live) return { outcome: 'exists' };
    const by = this.#shared.findKeeper(name);
    if (by !== undefined) return { outcome: 'name-kept', by };
    const ensured = this.#shared.ensureRepository(now, name);
    if ('outcome' in ensured) return { outcome: 'namespace-removed' };
    this.#statements.makeLive.run(visibility ?? null, description, ensured.id);
    this.#steps.movePolicy();
    const made = this.#statements.liveRepository.get(name) as RepositoryRow;
    this.#steps.events.addChange(now, origin, {
      action: 'repository.add',
      object: `repository:${name}`,
      namespace: namespaceOf(name),
      after: { visibility: made.visibility, description },
    });
    return { outcome: 'added' };
  }

  updateRepository(now: Now, { name, changes, origin }: Input<RepositoryStore['update']>): boolean {
    const row = this.#statements.liveRepository.get(name) as RepositoryRow | undefined;
    if (row === undefined) return false;
    const page = this.#statements.pageOf.get(row.id) as PageRow | undefined;
    const before = stateOf(row, page);
    const after = { ...before, ...given(changes) };
    const changed = (Object.keys(before) as (keyof typeof before)[]).filter(
      (key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]),
    );
    if (changed.length === 0) return true;
    const { visibility, description, labels } = after;
    const deprecation = after.deprecation === null ? null : JSON.stringify(after.deprecation);
    this.#statements.updateRepository.run(
      visibility,
      description,
      JSON.stringify(labels),
      deprecation,
      row.id,
    );
    if (changed.includes('readme') || changed.includes('links'))
      this.#statements.setPage.run(row.id, after.readme, JSON.stringify(after.links));
    if (changed.includes('labels')) {
      this.#statements.dropLabels.run(row.id);
      for (const [key, value] of Object.entries(labels))
        this.#statements.addLabel.run(row.id, key, value, name);
    }
    if (changed.includes('visibility')) this.#steps.movePolicy();
    const told = (state: typeof before) =>
      Object.fromEntries(changed.map((key) => [key, key === 'readme' ? state.readme.length : state[key]]));
    this.#steps.events.addChange(now, origin, {
      action: 'repository.update',
      object: `repository:${name}`,
      namespace: namespaceOf(name),
      before: told(before),
      after: told(after),
    });
    return true;
  }

  removeRepository(now: Now, { name, origin }: Input<RepositoryStore['remove']>): boolean {
    const row = this.#statements.liveRepository.get(name) as RepositoryRow | undefined;
    if (row === undefined) return false;
    this.#shared.protection.admitRepositoryRemoval({ id: row.id, name }, origin);
    const counts = this.#statements.counts.get(row.id) as { manifests: number; tags: number };
    this.#statements.dropUploads.run(row.id);
    const until = now.ticks + this.#keep.undeleteSeconds;
    this.#statements.deleteRepository.run(until, now.at, origin.actor, row.id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'repository.remove',
      object: `repository:${name}`,
      namespace: namespaceOf(name),
      before: { visibility: row.visibility, ...counts },
    });
    return true;
  }
}

function stateOf(row: RepositoryRow, page: PageRow | undefined): Required<RepositoryChanges> {
  return {
    visibility: row.visibility,
    description: row.description,
    readme: page?.readme ?? '',
    links: JSON.parse(page?.links ?? '[]'),
    labels: JSON.parse(row.labels),
    deprecation: readDeprecation(row.deprecation) ?? null,
  };
}

/** Without the members that are there and undefined. */
function given(changes: RepositoryChanges): RepositoryChanges {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}
