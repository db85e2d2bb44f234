// A new registry's database without the work of making one: it is migrated once a process and then written as a file, each
// time with an identity of its own. What a first start does is tested where that is the subject.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseFile } from '../../src/storage/sqlite/connection.ts';
import { shippedMigrations } from '../../src/storage/sqlite/migrate.ts';
import { markerFile, prepareDatabase } from '../../src/storage/sqlite/prepare-database.ts';

let made: { readonly bytes: Buffer; readonly instance: string } | undefined;

/** Puts the database of a new registry, and the marker that goes with it, into an empty folder. */
export function writeBlankDatabase(folder: string): void {
  made ??= make();
  const instance = randomUUID();
  const bytes = Buffer.from(made.bytes);
  // Wherever the file names it; SQLite keeps no checksum of pages.
  for (let at = bytes.indexOf(made.instance); at >= 0; at = bytes.indexOf(made.instance, at)) {
    bytes.write(instance, at);
  }
  writeFileSync(join(folder, databaseFile), bytes, { mode: 0o600 });
  writeFileSync(join(folder, markerFile), `${instance}\n`, { mode: 0o600 });
}

function make() {
  const folder = mkdtempSync(join(tmpdir(), 'berth-blank-'));
  try {
    const { path } = prepareDatabase({ folder, migrationsFolder: shippedMigrations, at: Date.now() / 1000 });
    const instance = readFileSync(join(folder, markerFile), 'utf8').trim();
    return { bytes: readFileSync(path), instance };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
