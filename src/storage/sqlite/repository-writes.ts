// The intention that changes what a repository says of itself and who may see it. It runs in one transaction of the writer.
import { namespaceOf } from '../../oci/name.ts';
import type { RepositoryStore, Visibility } from '../metadata-store.ts';
import type { AccessSteps, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  liveRepository: `SELECT id, visibility, description FROM repository
    WHERE name = ? AND state <> 'deleted' AND state = 'live'`,
  updateRepository: 'UPDATE repository SET visibility = ?, description = ? WHERE id = ?',
} as const;

interface RepositoryRow {
  readonly id: number;
  readonly visibility: Visibility;
  readonly description: string;
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
    const { id, ...before } = row;
    const after = { ...before, ...changes };
    if (after.visibility === before.visibility && after.description === before.description) return true;
    this.#statements.updateRepository.run(after.visibility, after.description, id);
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
