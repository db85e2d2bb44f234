// Connections to the database: their pragmas, and statements prepared once from maps of SQL literals.
import Database from 'better-sqlite3';

export type Connection = Database.Database;
export type Statement = Database.Statement<unknown[], unknown>;

/** An older SQLite may corrupt a WAL when two connections write and checkpoint at the same moment. */
const oldestSqlite = [3, 51, 3] as const;

/** Kept small because the kernel caches the file too; a write of another connection empties it anyway. */
const cacheKibibytes = 16_384;

/** The file's name inside the data folder. */
export const databaseFile = 'berth.db';

/** The error code of Node or SQLite that `error` carries. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** True when SQLite says that the file is not a sound database. */
export function tellsDamage(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB');
}

/**
 * The one connection that writes. Commits are durable when they return: WAL mode silently runs NORMAL unless FULL is set.
 * Checkpoints are explicit, because SQLite ignores a failed fsync in an automatic one and would reset the log after it.
 */
export function openWriter(path: string): Connection {
  const db = new Database(path, { timeout: 5000 });
  try {
    assertSqlite(db);
    const mode = db.pragma('journal_mode = WAL', { simple: true });
    if (mode !== 'wal') throw new Error(`the database cannot use a write-ahead log (journal mode ${mode})`);
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    db.pragma('wal_autocheckpoint = 0');
    // What a burst of writes left of the log is given back when the log starts over.
    db.pragma(`journal_size_limit = ${64 * 1024 * 1024}`);
    db.pragma(`cache_size = -${cacheKibibytes}`);
    // Sorting never needs a file of its own: a full disk must not fail a read.
    db.pragma('temp_store = MEMORY');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * A connection that cannot write. No memory mapping: a mapped page that fails to load kills the process with SIGBUS
 * where a read gives an error.
 */
export function openReader(path: string): Connection {
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: 1000 });
  try {
    assertSqlite(db);
    db.pragma(`cache_size = -${cacheKibibytes}`);
    db.pragma('temp_store = MEMORY');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function assertSqlite(db: Connection): void {
  const version = String(db.prepare('SELECT sqlite_version()').pluck().get());
  const parts = version.split('.').map(Number);
  for (const [index, oldest] of oldestSqlite.entries()) {
    const part = parts[index] ?? 0;
    if (part > oldest) return;
    if (part < oldest) throw new Error(`SQLite ${version} is too old: ${oldestSqlite.join('.')} is needed`);
  }
}

/**
 * A literal as it is prepared: a `+` before each placeholder, which hides its value from the planner and changes nothing
 * else. SQLite looks at values bound to a join or a LIMIT for its estimates, and for that compiles the statement anew at
 * each run: measured, 20 µs for each of the reads of a pull and of a push, where the search itself takes 2.
 */
export function withHiddenValues(literal: string): string {
  return literal.replaceAll(/'[^']*'|\?\d*/g, (part) => (part.startsWith('?') ? `+${part}` : part));
}

/** Each literal of `sql` as a prepared statement under the same key. */
export function prepareAll<Key extends string>(
  db: Connection,
  sql: Readonly<Record<Key, string>>,
): Readonly<Record<Key, Statement>> {
  const prepared = {} as Record<Key, Statement>;
  for (const key of Object.keys(sql) as Key[]) {
    prepared[key] = db.prepare<unknown[], unknown>(withHiddenValues(sql[key]));
  }
  return prepared;
}
