// Migrations: numbered SQL files, forward only. Each one runs in a transaction of its own together with the record of its
// checksum, so that a process killed at any moment leaves either the old schema or the new one.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Connection } from './connection.ts';
import { versionKey } from './version-key.ts';

/** In the file's header: it tells a Berth database from any other SQLite file ("Brth"). */
export const applicationId = 0x42727468;

/** The folder that comes with the program. */
export const shippedMigrations = fileURLToPath(new URL('../../../migrations/', import.meta.url));

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the SQL in hexadecimal. */
  readonly checksum: string;
}

/** The database cannot be used by this program: it is newer, or its migrations are not the ones that this program has. */
export class SchemaMismatchError extends Error {
  override readonly name = 'SchemaMismatchError';
}

interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
  readonly appliedBy: string;
}

/** The migrations in `folder`, in order. Throws when the numbers do not run from 1 without a gap. */
export function readMigrations(folder: string): readonly Migration[] {
  const files = readdirSync(folder)
    .filter((file) => /^\d{4}_[a-z0-9_]+\.sql$/.test(file))
    .sort();
  return files.map((file, index) => {
    const number = Number(file.slice(0, 4));
    if (number !== index + 1) throw new Error(`migrations/${file}: expected number ${index + 1}`);
    // A checkout may have changed the line ends; that is no change of the schema.
    const sql = readFileSync(`${folder}/${file}`, 'utf8').replaceAll('\r\n', '\n');
    return { number, name: file, sql, checksum: createHash('sha256').update(sql).digest('hex') };
  });
}

/** The version of this program, which the migration record keeps for the message to an older one. */
export function programVersion(): string {
  const description: unknown = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  return String((description as { version?: unknown }).version);
}

/** True when the database holds no table at all: nothing was ever written to it. */
export function isBlank(db: Connection): boolean {
  return db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
}

/**
 * The migrations of `known` that the database still needs. Reads only. Throws SchemaMismatchError when the database is
 * newer than `known`, when a migration it was made with has changed, or when it is not a Berth database.
 */
export function listPending(db: Connection, known: readonly Migration[]): readonly Migration[] {
  if (isBlank(db)) return known;
  if (db.pragma('application_id', { simple: true }) !== applicationId) {
    throw new SchemaMismatchError(`${db.name} is an SQLite database, but not one of Berth's`);
  }
  const applied = db
    .prepare('SELECT number, name, checksum, applied_by AS appliedBy FROM migration ORDER BY number')
    .all() as AppliedMigration[];
  const newest = applied.at(-1);
  if (newest !== undefined && newest.number > known.length) {
    throw new SchemaMismatchError(
      `${db.name} was written by a newer Berth: use version ${newest.appliedBy} or later, ` +
        `or restore a backup from before the upgrade (this is version ${programVersion()}; nothing was changed)`,
    );
  }
  for (const { number, name, checksum } of applied) {
    const ours = known[number - 1];
    if (ours?.checksum === checksum) continue;
    throw new SchemaMismatchError(
      `${db.name} was made with another migrations/${name} than this program has: ` +
        'use the release that wrote it; a migration that was released must not be edited (nothing was changed)',
    );
  }
  return known.slice(applied.length);
}

/** Applies `pending` one by one, each durable before the next. `instanceId` names the database when it is new. */
export function applyMigrations(
  db: Connection,
  pending: readonly Migration[],
  options: { readonly instanceId: string; readonly at: number },
): void {
  // A migration that rebuilds a table needs the checks off; the pragma does nothing inside a transaction.
  db.pragma('foreign_keys = OFF');
  db.function('version_key', { deterministic: true }, (tag) => versionKey(String(tag)));
  for (const migration of pending) applyOne(db, migration, options);
  db.pragma('foreign_keys = ON');
}

function applyOne(db: Connection, migration: Migration, options: { instanceId: string; at: number }): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    if (migration.number === 1) {
      db.pragma(`application_id = ${applicationId}`);
      db.exec(
        'CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, ' +
          'applied_at INTEGER NOT NULL, applied_by TEXT NOT NULL) STRICT',
      );
    }
    db.exec(migration.sql);
    if (migration.number === 1) {
      db.prepare("INSERT INTO instance (key, value) VALUES ('id', ?)").run(options.instanceId);
    }
    const broken = db.pragma('foreign_key_check') as unknown[];
    if (broken.length > 0) throw new Error(`it leaves ${broken.length} rows that point at nothing`);
    db.prepare(
      'INSERT INTO migration (number, name, checksum, applied_at, applied_by) VALUES (?, ?, ?, ?, ?)',
    ).run(migration.number, migration.name, migration.checksum, options.at, programVersion());
    db.exec('COMMIT');
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw new Error(`migrations/${migration.name} failed and was taken back: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
