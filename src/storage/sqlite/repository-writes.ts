// The intention that changes what a repository says of itself and who may see it. It runs in one transaction of the writer.
import { isDeepStrictEqual } from 'node:util';
import { namespaceOf } from '../../oci/name.ts';
import type { RepositoryStore, Visibility } from '../metadata-store.ts';
import type { AccessSteps, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { readDeprecation } from './deprecations.ts';
import type { Now } from './now.ts';

export const sql = {
  liveRepository: `SELECT id, visibility, description, deprecation FROM repository
    WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  updateRepository: 'UPDATE repository SET visibility = ?, description = ?, deprecation = ? WHERE id = ?',
} as const;

interface RepositoryRow {
  readonly id: number;
  readonly visibility: Visibility;
  readonly description: string;
  /** JSON. */
  readonly deprecation: string | null;
}

export class RepositoryWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;

  constructor(db: Connection, steps: AccessSteps) {
    this.#steps = steps;
    this.#statements = prepareAll(db, sql);
  }

  updateRepository(now: Now, { name, changes, origin }: Input<RepositoryStore['update']>): boolean {
    const row = this.#statements.liveRepository.get(name) as RepositoryRow | undefined;
    if (row === undefined) return false;
    const { id, ...kept } = row;
    const before = { ...kept, deprecation: readDeprecation(row.deprecation) ?? null };
    const after = { ...before, ...changes };
    if (isDeepStrictEqual(after, before)) return true;
    const deprecation = after.deprecation === null ? null : JSON.stringify(after.deprecation);
    this.#statements.updateRepository.run(after.visibility, after.description, deprecation, id);
    if (after.visibility !== before.visibility) this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'repository.update',
      object: `repository:${name}`,
      namespace: namespaceOf(name),
      before,
      after,
    });
    return true;
  }
}
