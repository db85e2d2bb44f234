// The real metadata store over a database in memory: the same intentions, in the same group commit, without the thread. What was
// committed stays when the process is killed.
import Database from 'better-sqlite3';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { makeCareReads } from '../../src/storage/sqlite/care-store.ts';
import type { Connection } from '../../src/storage/sqlite/connection.ts';
import { findWrongCounts } from '../../src/storage/sqlite/counts.ts';
import { Epoch } from '../../src/storage/sqlite/epoch.ts';
import {
  type IntentionName,
  type Intentions,
  makeGroupCommit,
  makeIntentions,
  readTicks,
} from '../../src/storage/sqlite/group-commit.ts';
import { applyMigrations, readMigrations, shippedMigrations } from '../../src/storage/sqlite/migrate.ts';
import { makeReads } from '../../src/storage/sqlite/reads.ts';
import { makeStore } from '../../src/storage/sqlite/sqlite-store.ts';
import { toError } from '../../src/storage/sqlite/writer-thread.ts';
import { keepTimes, type ManualClock } from '../support/metadata.ts';
import { gate } from './scheduler.ts';

let template: Buffer | undefined;

/** A new database with the shipped schema. */
export function newDatabase(): Connection {
  if (template === undefined) {
    const made = new Database(':memory:');
    applyMigrations(made, readMigrations(shippedMigrations), { instanceId: 'model', at: 0 });
    template = made.serialize();
    made.close();
  }
  const db = new Database(template);
  db.pragma('foreign_keys = ON');
  return db;
}

/** What outlives a process: the database, and its prepared statements, which hold no state of their own. */
export interface Engine {
  readonly db: Connection;
  readonly intentions: Intentions;
  readonly reads: ReturnType<typeof makeReads>;
  readonly careReads: ReturnType<typeof makeCareReads>;
}

export function newEngine(): Engine {
  const db = newDatabase();
  const intentions = makeIntentions(db, { ...keepTimes, oldNameSeconds: 0 });
  return { db, intentions, reads: makeReads(db), careReads: makeCareReads(db) };
}

export interface ModelStore {
  readonly store: MetadataStore;
  readonly ticks: () => number;
  /** Whether everything that was committed is known to be. Until then reads may show what was before. */
  readonly knowsAll: () => boolean;
}

/** The store as a process sees it from its start on. `tampered` may differ from the engine's own intentions. */
export function openModelStore(
  engine: Engine,
  clock: ManualClock,
  tampered: Intentions,
  options: { readonly folder: string; readonly ticksFromWallClock: boolean },
): ModelStore {
  const commit = makeGroupCommit(engine.db, tampered);
  let committed = 0;
  let known = 0;
  const persisted = readTicks(engine.db);
  const since = clock.monotonicSeconds();
  const wallSince = clock.unixSeconds();
  const ticks = () =>
    options.ticksFromWallClock
      ? Math.floor(persisted + Math.max(0, clock.unixSeconds() - wallSince))
      : Math.floor(persisted + clock.monotonicSeconds() - since);
  const run = async (name: IntentionName, input: unknown): Promise<unknown> => {
    const sent = structuredClone(input);
    await gate(`commit ${name}`);
    const now = { at: Math.floor(clock.unixSeconds()), ticks: ticks() };
    // The thread is sent a group when the one before is known to be committed.
    known = committed;
    committed += 1;
    const own = committed;
    const [result] = commit(now, [{ name, input: sent }]).results;
    await gate(`committed ${name}`);
    known = Math.max(known, own);
    if (result !== undefined && 'value' in result) return result.value;
    throw toError(result?.failure);
  };
  const writer = {
    run: run as never,
    get commits() {
      return known;
    },
    ended: false,
    statistics: () => ({ commits: 0, intentions: 0, commitSeconds: 0, queued: 0 }),
    close: async () => {},
  };
  const store = makeStore({
    writer,
    reads: engine.reads,
    careReads: engine.careReads,
    epoch: new Epoch({ folder: options.folder, reader: engine.db, at: clock.unixSeconds() }),
    ticks,
    unixSeconds: () => clock.unixSeconds(),
    closeReader: () => {},
    reader: engine.db,
  });
  // The check of the database needs a file and a thread, and is tested elsewhere; counting needs none.
  const sound = async () => ({ at: 0, sound: true, faults: [] });
  const checkCounts = async () => findWrongCounts(engine.db);
  const scrub = { ...store.care.scrub, checkIntegrity: sound, checkCounts };
  return { store: { ...store, care: { ...store.care, scrub } }, ticks, knowsAll: () => known === committed };
}
