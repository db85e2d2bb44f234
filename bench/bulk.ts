// A database of Berth's own schema, open for rows by the hundred thousand: nothing is checked and nothing is synced.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { systemClock } from '../src/storage/clock.ts';
import { openSqliteStore } from '../src/storage/sqlite/sqlite-store.ts';

/** Makes the database in `folder`, which must be empty, with the namespace `bench` (1000), and begins a transaction. */
export async function openForBulk(folder: string): Promise<Database.Database> {
  const store = await openSqliteStore({
    folder,
    clock: systemClock,
    leaseSeconds: 86_400,
    undeleteSeconds: 14 * 86_400,
    onFatal: (error) => {
      throw error;
    },
  });
  await store.close();
  const db = new Database(join(folder, 'berth.db'));
  db.pragma('synchronous = OFF');
  db.pragma('foreign_keys = ON');
  db.exec('BEGIN');
  db.exec(`INSERT INTO namespace (id, name, kind, created_at) VALUES (1000, 'bench', 'unowned', 0)`);
  return db;
}
