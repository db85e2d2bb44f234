// Everything between a data folder and a database that may be written: is it there, is it sound, is it ours, is it of this
// version. A damaged or missing database is reported and never replaced by an empty one.
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { asFault } from '../faults.ts';
import { type Connection, codeOf, databaseFile, openReader, openWriter, tellsDamage } from './connection.ts';
import {
  applyMigrations,
  isBlank,
  listPending,
  type Migration,
  readMigrations,
  SchemaMismatchError,
} from './migrate.ts';

/** The database is missing, empty or broken although the folder belongs to a registry. */
export class DamagedDatabaseError extends Error {
  override readonly name = 'DamagedDatabaseError';
}

/**
 * The whole structure is checked at every start up to the first size, and after an unclean end up to the second. Measured:
 * 5 s of processor time per GiB when the file is cached, three times that long when it is not. Above it only what opening
 * notices is noticed here (a lost tail, a broken header); looking at the rest is a scrub's business.
 */
const alwaysCheckedBytes = 16 * 1024 * 1024;
const checkedAfterCrashBytes = 256 * 1024 * 1024;

const partialSuffix = '.partial';

/** What the folder's marker file says the database must be. */
export const markerFile = 'berth.instance';

/** Where the copies made before a migration are. */
export const backupFolder = 'backups';

export interface PrepareOptions {
  readonly folder: string;
  readonly migrationsFolder: string;
  /** Unix seconds, for the records. */
  readonly at: number;
}

/**
 * Makes the database of a new folder, or checks and migrates the one that is there, after a backup. Needs the folder's lock.
 * Throws DamagedDatabaseError or SchemaMismatchError before anything was written, DiskFullError or MediumFailedError.
 */
export function prepareDatabase(options: PrepareOptions): { readonly path: string } {
  const path = join(options.folder, databaseFile);
  const known = readMigrations(options.migrationsFolder);
  try {
    const found = inspectDatabase(options.folder, path, known);
    const instanceId = found.instanceId ?? randomUUID();
    if (found.pending.length > 0) migrate(options, path, found.pending, instanceId, found.blank);
    if (found.marker === undefined) writeDurably(options.folder, markerFile, `${instanceId}\n`);
    return { path };
  } catch (error) {
    throw asFault(error);
  }
}

interface Inspection {
  readonly blank: boolean;
  readonly pending: readonly Migration[];
  /** What the database calls itself; undefined while it is blank. */
  readonly instanceId: string | undefined;
  readonly marker: string | undefined;
}

/** Looks without writing: even the log that a killed process left behind stays as it is. */
function inspectDatabase(folder: string, path: string, known: readonly Migration[]): Inspection {
  const marker = readMarker(folder);
  const size = existsSync(path) ? statSync(path).size : 0;
  if (size === 0) {
    // SQLite would open an empty file as a database without tables.
    if (marker !== undefined) throw damaged(folder, existsSync(path) ? 'is empty' : 'is missing');
    return { blank: true, pending: known, instanceId: undefined, marker };
  }
  const unclean = existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0;
  let db: Connection | undefined;
  try {
    db = openReader(path);
    if (size <= (unclean ? checkedAfterCrashBytes : alwaysCheckedBytes)) checkStructure(db);
    const blank = isBlank(db);
    if (blank && marker !== undefined) throw damaged(folder, 'has lost its tables');
    const pending = listPending(db, known);
    const instanceId = blank ? undefined : readInstanceId(db);
    if (marker !== undefined && instanceId !== marker) throw belongsElsewhere(folder, path);
    return { blank, pending, instanceId, marker };
  } catch (error) {
    if (tellsDamage(error) || codeOf(error) === 'SQLITE_IOERR_SHORT_READ') {
      throw damaged(folder, `is damaged (${(error as Error).message})`, error);
    }
    throw error;
  } finally {
    db?.close();
  }
}

function checkStructure(db: Connection): void {
  const findings = db.prepare('PRAGMA quick_check(1)').pluck().all();
  if (findings.length === 1 && findings[0] === 'ok') return;
  throw Object.assign(new Error(String(findings[0])), { code: 'SQLITE_CORRUPT' });
}

/** What the database calls itself. */
export function readInstanceId(db: Connection): string {
  return String(db.prepare("SELECT value FROM instance WHERE key = 'id'").pluck().get());
}

function readMarker(folder: string): string | undefined {
  const path = join(folder, markerFile);
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

function damaged(folder: string, what: string, cause?: unknown): DamagedDatabaseError {
  const path = join(folder, databaseFile);
  const newest = listBackups(folder).at(-1);
  const source =
    newest === undefined
      ? `There is no automatic backup in ${join(folder, backupFolder)}: use one of your own, or SQLite's ".recover".`
      : `The newest automatic backup is ${newest}.`;
  return new DamagedDatabaseError(
    `the database ${path} ${what}. Nothing was changed. ${source} To restore: move ${databaseFile}, ` +
      `${databaseFile}-wal and ${databaseFile}-shm out of the folder, all three, and copy the backup to ${path}. ` +
      'What was pushed after the backup has to be pushed again.',
    { cause },
  );
}

function belongsElsewhere(folder: string, path: string): SchemaMismatchError {
  return new SchemaMismatchError(
    `${path} is the database of another registry than the one this folder belongs to: put the right one back, ` +
      `or, if the folder's blobs belong to this database too, remove ${join(folder, markerFile)} (nothing was changed)`,
  );
}

/** Automatic backups, oldest first: their names begin with the time they were made. */
function listBackups(folder: string): readonly string[] {
  const backups = join(folder, backupFolder);
  if (!existsSync(backups)) return [];
  const files = readdirSync(backups).filter((file) => file.endsWith('.db'));
  return files.sort().map((file) => join(backups, file));
}

function migrate(
  options: PrepareOptions,
  path: string,
  pending: readonly Migration[],
  instanceId: string,
  blank: boolean,
): void {
  if (!blank) backUp(options, path);
  const db = openWriter(path);
  try {
    applyMigrations(db, pending, { instanceId, at: Math.floor(options.at) });
    db.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    db.close();
  }
}

/** Copies the database as it is before a migration, under its final name only when every byte is durable. */
function backUp(options: PrepareOptions, path: string): void {
  const backups = join(options.folder, backupFolder);
  mkdirSync(backups, { recursive: true, mode: 0o700 });
  for (const file of readdirSync(backups)) {
    // SQLite's journal of a copy that was cut short has the copy's name with something after it.
    if (file.includes(partialSuffix)) rmSync(join(backups, file), { force: true });
  }
  const db = openReader(path);
  try {
    const version = db.prepare('SELECT max(number) FROM migration').pluck().get();
    const time = new Date(options.at * 1000).toISOString().replaceAll(':', '').slice(0, 17);
    const target = join(backups, `${time}Z-before-migration-${Number(version) + 1}.db`);
    db.prepare('VACUUM INTO ?').run(target + partialSuffix);
    syncPath(target + partialSuffix);
    renameSync(target + partialSuffix, target);
    syncPath(backups);
    syncPath(options.folder);
  } finally {
    db.close();
  }
}

/** Writes a small file of the folder so that it is there whole or not at all, also after a power cut. */
export function writeDurably(folder: string, file: string, content: string): void {
  const path = join(folder, file);
  writeFileSync(path + partialSuffix, content, { mode: 0o600 });
  syncPath(path + partialSuffix);
  renameSync(path + partialSuffix, path);
  syncPath(folder);
}

/** Makes a file's content, or a folder's entries, durable. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
