// Group commit: the intentions that wait are committed together, each in a savepoint, so that they share one fsync and one
// that fails is taken back alone. Runs wherever the writing connection is: in the writer thread.
import { QuotaExceededError, type QuotaExcess } from '../care-store.ts';
import { asFault, DiskFullError, MediumFailedError } from '../faults.ts';
import { TagProtectedError, type TagProtection } from '../protection-store.ts';
import { makeAccessIntentions } from './access-intentions.ts';
import { BlobWrites } from './blob-writes.ts';
import { makeCareIntentions } from './care-intentions.ts';
import { type Connection, codeOf, tellsDamage } from './connection.ts';
import { ManifestWrites } from './manifest-writes.ts';
import type { KeepTimes, Now } from './now.ts';
import { Refusal } from './refusal.ts';
import { makeRuleIntentions } from './rule-intentions.ts';
import { SharedWrites } from './shared-writes.ts';
import { SignatureWrites } from './signature-writes.ts';
import { SummaryWrites } from './summary-writes.ts';
import { TagIntentions } from './tag-intentions.ts';
import { TagWrites } from './tag-writes.ts';
import { WebhookWrites } from './webhook-writes.ts';

export const sql = {
  readTicks: 'SELECT ticks FROM uptime_clock WHERE one = 1',
  advanceTicks: 'UPDATE uptime_clock SET ticks = ? WHERE one = 1 AND ticks < ?',
} as const;

/** Every intention by name: what it takes, and what it answers. */
export type Intentions = ReturnType<typeof makeIntentions>;
export type IntentionName = keyof Intentions;
export type InputOf<Name extends IntentionName> = Parameters<Intentions[Name]>[1];
export type OutputOf<Name extends IntentionName> = ReturnType<Intentions[Name]>;

export function makeIntentions(db: Connection, keep: KeepTimes) {
  const shared = new SharedWrites(db, keep);
  const tags = new TagWrites(db, shared);
  const summaries = new SummaryWrites(db);
  const manifests = new ManifestWrites(db, shared, { tags, summaries }, keep);
  const management = new TagIntentions(db, shared, { tags, summaries });
  const blobs = new BlobWrites(db, shared);
  const signatures = new SignatureWrites(db, shared);
  const hooks = new WebhookWrites(db, shared.events);
  const advanceTicks = db.prepare(sql.advanceTicks);
  return {
    ...makeCareIntentions(db, shared),
    ...makeRuleIntentions(db, shared, tags, manifests),
    putManifest: manifests.putManifest.bind(manifests),
    removeManifest: manifests.removeManifest.bind(manifests),
    removeTag: manifests.removeTag.bind(manifests),
    setTag: management.setTag.bind(management),
    removeTags: management.removeTags.bind(management),
    restoreManifest: management.restoreManifest.bind(management),
    restoreTag: management.restoreTag.bind(management),
    purgeManifest: management.purgeManifest.bind(management),
    deprecateTag: management.deprecateTag.bind(management),
    describeManifests: summaries.noteDescriptions.bind(summaries),
    recordPulls: manifests.recordPulls.bind(manifests),
    addSignature: signatures.addSignature.bind(signatures),
    extendLease: blobs.extendLease.bind(blobs),
    mountBlob: blobs.mountBlob.bind(blobs),
    unlinkBlob: blobs.unlinkBlob.bind(blobs),
    markDamaged: blobs.markDamaged.bind(blobs),
    dropUnlinks: blobs.dropUnlinks.bind(blobs),
    beginUpload: blobs.beginUpload.bind(blobs),
    touchUpload: blobs.touchUpload.bind(blobs),
    finishUpload: blobs.finishUpload.bind(blobs),
    linkBlob: blobs.linkBlob.bind(blobs),
    closeUpload: blobs.closeUpload.bind(blobs),
    expireUploads: blobs.expireUploads.bind(blobs),
    ...makeAccessIntentions(db, shared, keep),
    recordSignIns: shared.events.recordSignIns.bind(shared.events),
    recordEvent: shared.events.recordEvent.bind(shared.events),
    dropEvents: shared.events.dropEvents.bind(shared.events),
    addWebhook: hooks.addWebhook.bind(hooks),
    updateWebhook: hooks.updateWebhook.bind(hooks),
    removeWebhook: hooks.removeWebhook.bind(hooks),
    recordDelivery: hooks.recordDelivery.bind(hooks),
    advanceWebhooks: hooks.advanceWebhooks.bind(hooks),
    resumeWebhook: hooks.resumeWebhook.bind(hooks),
    pruneWebhooks: hooks.pruneWebhooks.bind(hooks),
    advanceClock(now: Now, _input: undefined): void {
      advanceTicks.run(now.ticks, now.ticks);
    },
  };
}

/** The uptime that was persisted last, in seconds. */
export function readTicks(db: Connection): number {
  return Number(db.prepare(sql.readTicks).pluck().get());
}

export interface Call {
  readonly name: IntentionName;
  readonly input: unknown;
}

/** An error as it crosses the thread boundary, which keeps no classes. */
export interface Failure {
  readonly message: string;
  readonly code: string | undefined;
  readonly stack: string | undefined;
  /** Of a QuotaExceededError. */
  readonly excess?: QuotaExcess;
  /** Of a TagProtectedError. */
  readonly protection?: TagProtection;
}

export type CallResult = { readonly value: unknown } | { readonly failure: Failure };

export interface GroupResult {
  readonly results: readonly CallResult[];
  /** Time that the commit itself took. */
  readonly commitSeconds: number;
  /** Nothing of the group came to be, since the disk is full. */
  readonly full: boolean;
  /** The store must stop writing: the medium or the database cannot be trusted any more. */
  readonly fatal: Failure | undefined;
}

export function toFailure(error: unknown): Failure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const excess = error instanceof QuotaExceededError ? { excess: error.excess } : {};
  const protection = error instanceof TagProtectedError ? { protection: error.protection } : {};
  return { message, stack, code: codeOf(error), ...excess, ...protection };
}

/** Runs `calls` in one transaction, in order. Throws nothing: what fails is in the results, in order of the calls. */
export function makeGroupCommit(db: Connection, intentions: Intentions) {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const rollback = db.prepare('ROLLBACK');
  const save = db.prepare('SAVEPOINT intention');
  const release = db.prepare('RELEASE intention');
  const takeBack = db.prepare('ROLLBACK TO intention');

  const runOne = (now: Now, call: Call): CallResult => {
    const intention = intentions[call.name] as (now: Now, input: unknown) => unknown;
    save.run();
    try {
      const value = intention(now, call.input);
      release.run();
      return { value };
    } catch (error) {
      // A fault of the medium may have ended the transaction; then there is nothing left to save for the others.
      if (endsGroup(db, error)) throw error;
      takeBack.run();
      release.run();
      return error instanceof Refusal ? { value: error.outcome } : { failure: toFailure(error) };
    }
  };

  return (now: Now, calls: readonly Call[]): GroupResult => {
    try {
      begin.run();
      const results = calls.map((call) => runOne(now, call));
      const started = performance.now();
      commit.run();
      const commitSeconds = (performance.now() - started) / 1000;
      return { results, commitSeconds, full: false, fatal: undefined };
    } catch (error) {
      const failure = toFailure(error);
      // Whether or not SQLite gave up the transaction by itself, none of the group may come to be.
      const stuck = tryRollback(db, rollback);
      const fatal = stuck ?? (isFatal(error) ? failure : undefined);
      const full = fatal === undefined && asFault(error) instanceof DiskFullError;
      return { results: calls.map(() => ({ failure })), commitSeconds: 0, full, fatal };
    }
  };
}

function tryRollback(db: Connection, rollback: { run(): unknown }): Failure | undefined {
  if (!db.inTransaction) return undefined;
  try {
    rollback.run();
    return undefined;
  } catch (error) {
    return toFailure(error);
  }
}

function endsGroup(db: Connection, error: unknown): boolean {
  if (!db.inTransaction) return true;
  const fault = asFault(error);
  return fault instanceof DiskFullError || fault instanceof MediumFailedError || tellsDamage(error);
}

/** True when nothing may be written after this error. */
export function isFatal(error: unknown): boolean {
  return asFault(error) instanceof MediumFailedError || tellsDamage(error);
}
