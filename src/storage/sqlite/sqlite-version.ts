// The version of the SQLite that better-sqlite3 carries, for the start-up lines (Node has one of its own).
import Database from 'better-sqlite3';

export function sqliteVersion(): string {
  const db = new Database(':memory:');
  try {
    return String(db.prepare('SELECT sqlite_version()').pluck().get());
  } finally {
    db.close();
  }
}
