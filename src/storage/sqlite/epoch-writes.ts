// The intentions about epochs (epoch.ts): the database's side of a renewal, and the end of holding files of another database.
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  keepBefore: `INSERT INTO instance (key, value) SELECT 'epoch_before', value FROM instance WHERE key = 'epoch'
    ON CONFLICT DO UPDATE SET value = excluded.value`,
  setValue:
    'INSERT INTO instance (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  dropValue: 'DELETE FROM instance WHERE key = ?',
} as const;

/** Where `instance` keeps the epoch, the one before it, and since when files of another database are held (Unix seconds). */
export const epochKeys = {
  epoch: 'epoch',
  before: 'epoch_before',
  heldSince: 'other_database_since',
} as const;

export class EpochWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
  }

  renewEpoch(_now: Now, input: { epoch: string; heldSince: number | undefined }): void {
    const { keepBefore, setValue } = this.#statements;
    keepBefore.run();
    setValue.run(epochKeys.epoch, input.epoch);
    if (input.heldSince !== undefined) setValue.run(epochKeys.heldSince, String(input.heldSince));
  }

  takeOverFiles(_now: Now, _input: undefined): void {
    this.#statements.dropValue.run(epochKeys.heldSince);
  }
}
