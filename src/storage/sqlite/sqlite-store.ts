// The metadata store over SQLite: one folder, one process. Writes go to the writer thread, reads to a connection here.
import { mkdirSync } from 'node:fs';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import { type Reference, referenceText } from '../../oci/reference.ts';
import type { Clock } from '../clock.ts';
import { asFault, StoreUnavailableError } from '../faults.ts';
import type {
  BlobIndex,
  EventStore,
  ManifestManagement,
  ManifestStat,
  ManifestStore,
  MetadataStore,
  StoredManifest,
} from '../metadata-store.ts';
import { type CareReads, makeCareReads, makeCareStore } from './care-store.ts';
import { type Connection, openReader, tellsDamage } from './connection.ts';
import { Epoch } from './epoch.ts';
import { makeEventReads } from './event-reads.ts';
import { makeManagementStores } from './management-stores.ts';
import { shippedMigrations } from './migrate.ts';
import { DamagedDatabaseError, prepareDatabase } from './prepare-database.ts';
import { type BlobLink, makeReads, type Reads, toLinkedBlob } from './reads.ts';
import { RememberedReads } from './remembered-reads.ts';
import { makeManagedRepositoryStore } from './repository-store.ts';
import { makeProtectionStore, makeRetentionStore } from './rule-stores.ts';
import { writeSnapshot } from './snapshot.ts';
import { type Ask, makeAccountStore } from './sqlite-accounts.ts';
import { watchCommits } from './watch-commits.ts';
import { makeWebhookStore } from './webhook-reads.ts';
import { WriterThread } from './writer-thread.ts';

export interface SqliteStoreOptions {
  /** The data folder; made where there is none. The caller holds its lock (lock.ts) from before until after. */
  readonly folder: string;
  readonly clock: Clock;
  /** How long a client may rely on a blob that it was told exists, in seconds of uptime; twice the promise. */
  readonly leaseSeconds: number;
  /** How long a deleted manifest can be restored, in seconds of uptime. */
  readonly undeleteSeconds: number;
  /** How long the old name of a moved repository is served, in seconds of uptime; 90 days unless told. */
  readonly oldNameSeconds?: number;
  /** How long bytes stay after nothing names them any more, for readers that were about to open them. */
  readonly unlinkDelaySeconds?: number;
  /** Called once when nothing can be written any more: the process should say so and exit. Reads still work. */
  readonly onFatal: (error: Error) => void;
  /** Another folder than the one that comes with the program, for tests. */
  readonly migrationsFolder?: string;
}

/** A session that was noted to be in use so recently needs no new note. */
const touchGrainSeconds = 30;

/** As a number of seconds that a row can hold. */
const forever = 1e12;

/**
 * Makes or checks and migrates the folder's database, and opens the store. Throws DamagedDatabaseError, SchemaMismatchError,
 * DiskFullError or MediumFailedError; then nothing stays open.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<MetadataStore> {
  const { folder, clock } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let opened = false;
  const uptime = { ticks: 0, since: 0 };
  const ticks = (): number => Math.floor(uptime.ticks + clock.monotonicSeconds() - uptime.since);
  const writer = new WriterThread({
    now: () => ({ at: Math.floor(clock.unixSeconds()), ticks: ticks() }),
    // Before it is open, a failure is what the promise rejects with.
    onFatal: (error) => opened && options.onFatal(error),
  });
  try {
    const { path } = prepareDatabase({
      folder,
      migrationsFolder: options.migrationsFolder ?? shippedMigrations,
      at: clock.unixSeconds(),
    });
    const keep = {
      leaseSeconds: options.leaseSeconds,
      undeleteSeconds: Math.min(options.undeleteSeconds, forever),
      unlinkDelaySeconds: options.unlinkDelaySeconds ?? 60,
      oldNameSeconds: Math.min(options.oldNameSeconds ?? 90 * 86_400, forever),
    };
    uptime.ticks = await writer.open(path, keep);
    uptime.since = clock.monotonicSeconds();
    const reader = openReader(path);
    opened = true;
    return makeStore({
      writer,
      reader,
      reads: makeReads(reader),
      careReads: makeCareReads(reader),
      epoch: new Epoch({ folder, reader, at: clock.unixSeconds() }),
      ticks,
      unixSeconds: clock.unixSeconds,
      closeReader: () => reader.close(),
    });
  } catch (error) {
    await writer.close().catch(() => undefined);
    throw asFault(error);
  }
}

export interface StoreParts {
  readonly writer: Pick<WriterThread, 'run' | 'commits' | 'statistics' | 'ended' | 'close'>;
  readonly reader: Connection;
  readonly reads: Reads;
  readonly careReads: CareReads;
  readonly epoch: Pick<Epoch, 'heldSince' | 'renew' | 'takeOver'>;
  readonly ticks: () => number;
  readonly unixSeconds: () => number;
  readonly closeReader: () => unknown;
}

/** The contract over what was opened; `writer` may be anything that runs intentions. */
export function makeStore(given: StoreParts): MetadataStore {
  const { writer, watch } = watchCommits(given.writer);
  const parts = { ...given, writer };
  const { reader, reads, ticks } = parts;
  let closing: Promise<void> | undefined;

  const ask: Ask = async (read) => {
    if (closing !== undefined) throw new StoreUnavailableError('the store is closed');
    try {
      return read();
    } catch (error) {
      if (tellsDamage(error)) throw new DamagedDatabaseError((error as Error).message, { cause: error });
      throw asFault(error);
    }
  };

  const management = makeManagementStores(parts, ask);
  return {
    repositories: {
      find: (name) => ask(() => reads.findRepository(name)),
      list: (page) => ask(() => reads.listRepositories(page)),
      search: (page) => ask(() => reads.searchRepositories(page)),
      totals: () => ask(() => reads.totals()),
      ...makeManagedRepositoryStore(parts, ask),
    },
    manifests: { ...makeManifestStore(parts, ask), ...management.manifests },
    tags: {
      ...management.tags,
      list: (repository, page) => ask(() => reads.listTags(repository, page)),
      remove: (repository, tag, origin) => writer.run('removeTag', { repository, tag, origin }),
    },
    blobs: makeBlobIndex(parts, ask),
    uploads: {
      begin: (upload) => writer.run('beginUpload', upload),
      find: (repository, principal, id) => ask(() => reads.findUpload(repository, principal, id)),
      async touch(id) {
        const touched = await ask(() => reads.findUploadTouched(id));
        if (touched === undefined || touched + touchGrainSeconds > ticks()) return;
        await writer.run('touchUpload', { id, grainSeconds: touchGrainSeconds });
      },
      finish: (input) => writer.run('finishUpload', input),
      link: (input) => writer.run('linkBlob', input),
      close: (id) => writer.run('closeUpload', id),
      expire: (bounds) => writer.run('expireUploads', bounds),
      filterClosed: (ids) => ask(() => ids.filter((id) => reads.findUploadTouched(id) === undefined)),
    },
    signatures: {
      list: (repository, digest) => ask(() => reads.listSignatures(repository, digest)),
      add: (signature) => writer.run('addSignature', signature),
    },
    deleted: management.deleted,
    events: makeEventStore(parts, watch, ask),
    accounts: makeAccountStore(reader, writer, ask),
    protection: makeProtectionStore(reader, writer, ask),
    retention: makeRetentionStore(reader, parts, ask),
    webhooks: makeWebhookStore(parts, ask),
    instance: () => ask(() => reads.instance()),
    copy: () => ask(() => reads.copy()),
    snapshot: async (target) => {
      if (closing !== undefined) throw new StoreUnavailableError('the store is closed');
      await writeSnapshot(parts.careReads.path, target);
    },
    care: makeCareStore(parts, ask),
    writerStatistics: () => writer.statistics(),
    advanceClock: () => writer.run('advanceClock', undefined),
    renewEpoch: async () => {
      if (!writer.ended) await parts.epoch.renew(writer);
    },
    close() {
      closing ??= closeStore(parts);
      return closing;
    },
  };
}

function makeManifestStore(
  { writer, reads }: StoreParts,
  ask: Ask,
): Omit<ManifestStore, keyof ManifestManagement> {
  const commits = () => writer.commits;
  const manifests = new RememberedReads<StoredManifest>(commits, ({ bytes }) => bytes.length);
  const stats = new RememberedReads<ManifestStat>(commits);
  const find = (repository: RepositoryName, reference: Reference) =>
    manifests.find(repository, referenceText(reference), () => reads.findManifest(repository, reference));
  const stat = (repository: RepositoryName, reference: Reference) =>
    stats.find(repository, referenceText(reference), () => reads.statManifest(repository, reference));
  return {
    find: (repository, reference) => ask(() => find(repository, reference)),
    stat: (repository, reference) => ask(() => stat(repository, reference)),
    put(input) {
      // A message to a thread carries the whole memory that a buffer is a view of, so the view becomes a buffer of its own.
      const bytes = Buffer.from(Uint8Array.from(input.manifest.bytes).buffer);
      const manifest = { ...input.manifest, bytes };
      return writer.run('putManifest', { ...input, manifest }, bytes.length);
    },
    remove: (repository, digest, origin) => writer.run('removeManifest', { repository, digest, origin }),
    listReferrers: (repository, subject, page) => ask(() => reads.listReferrers(repository, subject, page)),
    recordPulls: (pulls) => writer.run('recordPulls', pulls),
  };
}

function makeBlobIndex({ writer, reads, ticks }: StoreParts, ask: Ask): BlobIndex {
  const links = new RememberedReads<BlobLink>(() => writer.commits);
  const find = (repository: RepositoryName, digest: Digest) =>
    links.find(repository, digest, () => reads.findBlobLink(repository, digest));
  return {
    find: (repository, digest) => ask(() => toLinkedBlob(find(repository, digest), ticks())),
    extendLease: (repository, digest) => writer.run('extendLease', { repository, digest }),
    mount: (mount) => writer.run('mountBlob', mount),
    listLinking: (digest, limit) => ask(() => reads.listLinking(digest, limit)),
    unlink: (repository, digest, origin) => writer.run('unlinkBlob', { repository, digest, origin }),
    markDamaged: (location) => writer.run('markDamaged', location),
    listDueUnlinks: (limit) => ask(() => reads.listDueUnlinks(ticks(), limit)),
    dropUnlinks: (locations) => writer.run('dropUnlinks', locations),
  };
}

function makeEventStore({ writer, reader }: StoreParts, watch: EventStore['watch'], ask: Ask): EventStore {
  const reads = makeEventReads(reader);
  return {
    read: (page) => ask(() => reads.readEvents(page)),
    audit: (options) => reads.auditEvents(options, ask),
    recordSignIns: (signIns) => writer.run('recordSignIns', signIns),
    record: (change) => writer.run('recordEvent', change),
    newest: () => ask(() => reads.newestEvent()),
    oldest: () => ask(() => reads.oldestEvent()),
    watch,
    dropBefore: (at, limit) => writer.run('dropEvents', { at, limit }),
    tagHistory: (repository, tag, limit) => ask(() => reads.tagHistory(repository, tag, limit)),
  };
}

async function closeStore({ writer, closeReader }: StoreParts): Promise<void> {
  if (writer.ended) {
    // After a failed fsync nothing may be copied out of the log: the last connection to close would do that, unless it
    // cannot write. So the reader goes last.
    await writer.close();
    closeReader();
    return;
  }
  const clock = writer.run('advanceClock', undefined).catch(() => undefined);
  const closed = writer.close();
  closeReader();
  await clock;
  await closed;
}
