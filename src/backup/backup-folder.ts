// A folder of backups, and what is where in it:
//   berth-backups.json                       whose backups these are: of one registry and of what was restored from it
//   backups/<time>/backup.json, berth.db     a backup; `backup.json` tells of it
//   backups/<time>.partial/                  one that was cut short or is being made; removed by the next
//   blobs/<algorithm>/<2 hex>/<hex>          blobs by digest, shared by all backups
//   locks/                                   who works in the folder just now (folder-lock.ts)
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { algorithmOf, type Digest, digestAlgorithms, hexOf, isDigest } from '../oci/digest.ts';
import { isJsonObject } from '../oci/json.ts';
import { makeFolder, NoFolderPossibleError } from '../storage/make-folder.ts';
import { ifThere } from './if-there.ts';

/** What `backup.json` says. */
export interface BackupRecord {
  readonly format: 1;
  readonly name: string;
  readonly instance: string;
  /** Which data folder it was made of. Backups from before there was this are of the registry that was never restored. */
  readonly madeBy?: BackupMaker | undefined;
  /** RFC 3339: the moment that it shows is between these. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Of the program that made it. */
  readonly version: string;
  /** The number of the database's last migration. */
  readonly schema: number;
  readonly database: { readonly digest: Digest; readonly size: number };
  readonly repositories: number;
  readonly manifests: number;
  readonly tags: number;
  readonly blobs: number;
  readonly blobBytes: number;
  /** Blobs of which the registry had no good bytes: a restore answers 404 for them. */
  readonly damaged: readonly Digest[];
}

export interface BackupMaker {
  /** Unlike the instance, a restore gives the restored registry another one. */
  readonly copy: string;
  readonly host: string;
}

/** A folder where a backup should be, and why it is none. */
export interface UnreadableBackup {
  readonly name: string;
  readonly unreadable: string;
}

/** The copy of a registry that made a backup. */
export function makerOf({ madeBy, instance }: BackupRecord): string {
  return madeBy?.copy ?? instance;
}

/** The folder holds other things, or the backups of another registry; nothing was changed. */
export class BackupFolderError extends Error {
  override readonly name = 'BackupFolderError';
}

/** Makes a folder with all above it. Throws BackupFolderError where there can be none. */
export async function makeReachable(path: string): Promise<void> {
  try {
    await makeFolder(path);
  } catch (error) {
    if (!(error instanceof NoFolderPossibleError)) throw error;
    throw new BackupFolderError(`${path} cannot be made: ${error.message}. Choose another folder`);
  }
}

const markerName = 'berth-backups.json';
const recordName = 'backup.json';
const partialSuffix = '.partial';
const databaseName = 'berth.db';

export class BackupFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder, or checks that it is one of `instance`'s backups. Throws BackupFolderError. */
  async claim(instance: string): Promise<void> {
    await makeReachable(this.path);
    const owner = await this.findInstance();
    if (owner === undefined) {
      const found = (await readdir(this.path)).filter((name) => name !== 'lost+found');
      if (found.length > 0)
        throw new BackupFolderError(
          `${this.path} holds other things (${found[0]}): choose an empty folder (nothing was changed)`,
        );
      await writeWhole(join(this.path, markerName), `${JSON.stringify({ format: 1, instance })}\n`);
    } else if (owner !== instance) {
      throw new BackupFolderError(
        `${this.path} holds the backups of another registry (${owner}): choose another folder (nothing was changed)`,
      );
    }
    for (const name of ['backups', 'blobs'])
      await mkdir(join(this.path, name), { recursive: true, mode: 0o700 });
    await syncPath(this.path);
  }

  /** Whose backups these are; undefined where the folder has none. Throws BackupFolderError for a newer format. */
  async findInstance(): Promise<string | undefined> {
    const marker = await readJson(join(this.path, markerName));
    if (marker === undefined) return undefined;
    if (marker.format !== 1 || typeof marker.instance !== 'string')
      throw new BackupFolderError(`${join(this.path, markerName)} is of another format: use a newer Berth`);
    return marker.instance;
  }

  /** Whole backups, oldest first. */
  async list(): Promise<readonly BackupRecord[]> {
    return (await this.listAll()).filter((backup): backup is BackupRecord => !('unreadable' in backup));
  }

  /** Whole backups, oldest first, and among them those that do not tell what they are: nobody knows which blobs they need. */
  async listAll(): Promise<readonly (BackupRecord | UnreadableBackup)[]> {
    const found: (BackupRecord | UnreadableBackup)[] = [];
    for (const name of await this.#names())
      if (!name.endsWith(partialSuffix)) found.push(await this.#read(name));
    const timeOf = (one: BackupRecord | UnreadableBackup) =>
      'unreadable' in one ? one.name : one.startedAt.replaceAll(/[-:]/g, '');
    return found.sort((one, other) => (timeOf(one) < timeOf(other) ? -1 : 1));
  }

  async #read(name: string): Promise<BackupRecord | UnreadableBackup> {
    try {
      const record = await readJson(join(this.path, 'backups', name, recordName));
      if (record === undefined) return { name, unreadable: `it has no ${recordName}` };
      if (isRecord(record)) return { ...record, name };
      if (record.format === 1) return { name, unreadable: `its ${recordName} is damaged` };
      return { name, unreadable: `its ${recordName} is of another format: use a newer Berth` };
    } catch (error) {
      if (!(error instanceof BackupFolderError)) throw error;
      return { name, unreadable: `its ${recordName} is damaged` };
    }
  }

  /** Where the locks of the folder are: `writing` for whoever makes or removes backups, `reading` for any few who read them. */
  get locks(): { readonly writing: readonly string[]; readonly reading: readonly string[] } {
    const path = (name: string): string => join(this.path, 'locks', name);
    return { writing: [path('writing')], reading: [1, 2, 3, 4].map((slot) => path(`reading-${slot}`)) };
  }

  /** Names of backups that were cut short, or are being made just now. */
  async listPartial(): Promise<readonly string[]> {
    return (await this.#names()).filter((name) => name.endsWith(partialSuffix));
  }

  /** Removes what a backup or a removal that was cut short left behind. No other may be under way. */
  async removePartial(): Promise<void> {
    for (const name of await this.listPartial())
      await rm(join(this.path, 'backups', name), { recursive: true, force: true });
  }

  /** Begins a backup under a name that follows from the time. */
  async begin(unixSeconds: number): Promise<PartialBackup> {
    const time = new Date(unixSeconds * 1000).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const name = `${time}-${randomBytes(2).toString('hex')}`;
    const path = join(this.path, 'backups', name + partialSuffix);
    await mkdir(join(path, 'incoming'), { recursive: true, mode: 0o700 });
    return new PartialBackup(this, name, path);
  }

  /** Removes a backup; its blobs stay. It is no backup any more from the first moment on. */
  async remove(name: string): Promise<void> {
    const path = join(this.path, 'backups', name);
    await rename(path, path + partialSuffix);
    await syncPath(join(this.path, 'backups'));
    await rm(path + partialSuffix, { recursive: true, force: true });
  }

  databasePath(name: string): string {
    return join(this.path, 'backups', name, databaseName);
  }

  blobPath(digest: Digest): string {
    return join(this.path, 'blobs', algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest));
  }

  /** The size of a blob that is here. */
  async blobSize(digest: Digest): Promise<number | undefined> {
    return (await ifThere(stat(this.blobPath(digest))))?.size;
  }

  /** Every blob that is here, by no order. */
  async *listBlobs(): AsyncIterable<Digest> {
    for (const algorithm of digestAlgorithms) {
      for (const prefix of (await ifThere(readdir(join(this.path, 'blobs', algorithm)))) ?? []) {
        const names = (await ifThere(readdir(join(this.path, 'blobs', algorithm, prefix)))) ?? [];
        for (const name of names) {
          const digest = `${algorithm}:${name}`;
          if (isDigest(digest)) yield digest;
        }
      }
    }
  }

  async removeBlob(digest: Digest): Promise<void> {
    await rm(this.blobPath(digest), { force: true });
  }

  /** Also those that somebody has given another name. */
  async #names(): Promise<readonly string[]> {
    const entries = (await ifThere(readdir(join(this.path, 'backups'), { withFileTypes: true }))) ?? [];
    return entries
      .filter((entry) => !entry.isFile() && !entry.name.startsWith('.') && entry.name !== 'lost+found')
      .map(({ name }) => name);
  }
}

/** A backup that is being made. Until `finish` it counts for nothing. */
export class PartialBackup {
  readonly name: string;
  readonly #folder: BackupFolder;
  readonly #path: string;
  readonly #touched = new Set<string>();

  constructor(folder: BackupFolder, name: string, path: string) {
    this.#folder = folder;
    this.name = name;
    this.#path = path;
  }

  get databasePath(): string {
    return join(this.#path, databaseName);
  }

  /** Where a blob is put together before `keepBlob`. */
  incomingPath(digest: Digest): string {
    return join(this.#path, 'incoming', `${algorithmOf(digest)}-${hexOf(digest)}`);
  }

  /** Moves a blob that was put together, verified and synced to its place. Durable after `finish`. */
  async keepBlob(digest: Digest): Promise<void> {
    const target = this.#folder.blobPath(digest);
    if (!this.#touched.has(dirname(target))) {
      const made = await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      this.#touched.add(dirname(target));
      if (made !== undefined)
        for (let at = dirname(target); at !== this.#folder.path; at = dirname(at))
          this.#touched.add(dirname(at));
    }
    await rename(this.incomingPath(digest), target);
  }

  /** Makes everything durable and the backup whole. */
  async finish(record: BackupRecord): Promise<void> {
    for (const path of this.#touched) await syncPath(path);
    await rm(join(this.#path, 'incoming'), { recursive: true, force: true });
    await writeWhole(join(this.#path, recordName), `${JSON.stringify(record, undefined, 2)}\n`);
    const backups = join(this.#folder.path, 'backups');
    await rename(this.#path, join(backups, this.name));
    await syncPath(backups);
  }

  async abandon(): Promise<void> {
    await rm(this.#path, { recursive: true, force: true });
  }
}

/** Makes a file's content, or a folder's entries, durable. */
async function syncPath(path: string): Promise<void> {
  await using(await open(path, 'r'), (handle) => handle.sync());
}

async function writeWhole(path: string, text: string): Promise<void> {
  await using(await open(path + partialSuffix, 'w', 0o600), async (handle) => {
    await handle.writeFile(text);
    await handle.sync();
  });
  await rename(path + partialSuffix, path);
  await syncPath(dirname(path));
}

async function using<T>(handle: FileHandle, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  try {
    return await work(handle);
  } finally {
    await handle.close();
  }
}

async function readJson(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const text = await ifThere(readFile(path, 'utf8'));
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw new BackupFolderError(`${path} is damaged`, { cause });
  }
  throw new BackupFolderError(`${path} is damaged`);
}

const textMembers = ['instance', 'startedAt', 'finishedAt', 'version'] as const;
const countMembers = ['schema', 'repositories', 'manifests', 'tags', 'blobs', 'blobBytes'] as const;

function isRecord(value: Readonly<Record<string, unknown>>): value is BackupRecord & typeof value {
  const { format, database, damaged, madeBy } = value;
  return (
    format === 1 &&
    textMembers.every((name) => typeof value[name] === 'string') &&
    countMembers.every((name) => typeof value[name] === 'number') &&
    isJsonObject(database) &&
    typeof database.digest === 'string' &&
    typeof database.size === 'number' &&
    Array.isArray(damaged) &&
    (madeBy === undefined ||
      (isJsonObject(madeBy) && typeof madeBy.copy === 'string' && typeof madeBy.host === 'string'))
  );
}
