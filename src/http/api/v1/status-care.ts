// The part of the status that is about the care of the store.
import { type Static, Type } from 'typebox';
import type { BackupReport } from '../../../backup/create.ts';
import type { CollectionReport } from '../../../registry/collector.ts';
import type { OperationView } from '../../../registry/operations.ts';
import type { OperationKind } from '../../../storage/care-store.ts';
import type { ApiContext } from './context.ts';
import { nullable, strict, time, timeText, timeTextOrNull } from './schemas.ts';

const lastRun = nullable(
  strict({
    id: Type.Integer(),
    state: Type.String(),
    startedAt: time,
    endedAt: nullable(time),
  }),
  'The newest operation of the kind.',
);
const heldBytes = strict({
  reason: Type.String({
    description: 'undelete: restorable still; lease: clients were told that it is there.',
  }),
  blobs: Type.Integer(),
  bytes: Type.Integer(),
  freeFrom: nullable(time, 'When the first of it comes free by itself, if the registry runs until then.'),
  freeBy: nullable(time, 'When the last of it does.'),
});

/** Members of the status. */
export const careStatus = {
  collector: strict({
    enabled: Type.Boolean(),
    nextAt: nullable(time),
    last: lastRun,
    held: Type.Array(heldBytes, { description: 'What the last collection left, and why.' }),
  }),
  scrub: strict({
    enabled: Type.Boolean({ description: 'Whether blobs are read in the background.' }),
    oldestCheckAt: nullable(
      time,
      'When the blob was read that was checked longest ago; null: there is none.',
    ),
    last: lastRun,
  }),
  backup: strict({
    destination: nullable(Type.String()),
    nextAt: nullable(time),
    last: lastRun,
    lastDoneAt: nullable(time, 'When the last whole backup was made.'),
  }),
};
type CareStatus = { readonly [Name in keyof typeof careStatus]: Static<(typeof careStatus)[Name]> };

export async function readCare(context: ApiContext): Promise<CareStatus> {
  const { config, care, registry } = context;
  const [collected, scrubbed, backedUp, [whole], [oldest]] = await Promise.all([
    findLast(context, 'gc'),
    findLast(context, 'scrub'),
    findLast(context, 'backup'),
    registry.operations.list({ kind: 'backup', state: 'done', limit: 1 }).then(({ items }) => items),
    registry.metadata.care.scrub.listOldestChecked(1),
  ]);
  return {
    collector: {
      enabled: config.collector.enabled,
      nextAt: dateText(care.nextRun('gc')),
      last: showLast(collected),
      held: await heldBy(context),
    },
    scrub: {
      enabled: config.scrub.enabled,
      oldestCheckAt: timeTextOrNull(oldest?.verifiedAt),
      last: showLast(scrubbed),
    },
    backup: {
      destination: config.backup.destination ?? null,
      nextAt: dateText(care.nextRun('backup')),
      last: showLast(backedUp),
      lastDoneAt: timeTextOrNull(whole?.endedAt),
    },
  };
}

type CareWarning = 'damage' | 'backup-failed' | 'backups-kept' | 'collection-stopped' | 'another-database';

/** What somebody should look after. */
export async function careWarnings(context: ApiContext): Promise<{ code: CareWarning; detail: string }[]> {
  const { care } = context.registry.metadata;
  const [damaged, otherSince, collected, backedUp] = await Promise.all([
    care.scrub.listDamaged({ limit: 1 }),
    care.collector.otherDatabaseSince(),
    findLast(context, 'gc'),
    findLast(context, 'backup'),
  ]);
  const warnings: Awaited<ReturnType<typeof careWarnings>> = [];
  const [first] = damaged.items;
  if (first !== undefined) {
    const others = damaged.more ? ' and others are' : ' is';
    const detail = `blob ${first.digest}${others} damaged and answered 404: berth scrub tells what to push again`;
    warnings.push({ code: 'damage', detail });
  }
  const { stopped, orphans } = (collected?.report ?? {}) as Partial<CollectionReport>;
  if (otherSince !== undefined) {
    const detail =
      `at ${timeText(otherSince)} the database in the data folder was not the one that its files were written with: if an older berth.db ` +
      'was put back, what came since stays. To have it again, put the newer one back. Until somebody decides, no space is taken back, not even ' +
      'on a full disk: if this database is the right one, look at berth gc --dry-run, then say berth gc --force';
    warnings.push({ code: 'another-database', detail });
  } else if (collected?.state === 'done' && orphans?.stopped === 'too much') {
    const detail =
      `${orphans.blobs} files (${orphans.bytes} bytes) of blobs have no row in the database and stay: if an older berth.db was ` +
      'put back, they are what came since. berth gc --dry-run says what to do';
    warnings.push({ code: 'collection-stopped', detail });
  }
  // The warning above tells of another database, or it is decided.
  const isTold = stopped === 'backup running' || stopped === 'another database';
  if (collected?.state === 'done' && stopped !== undefined && !isTold) {
    const remedy =
      stopped === 'too much' ? 'look at berth gc --dry-run, then berth gc --force' : 'berth scrub tells more';
    warnings.push({
      code: 'collection-stopped',
      detail: `the last collection took nothing back (${stopped}): ${remedy}`,
    });
  }
  const { notPruned } = (backedUp?.report ?? {}) as Partial<BackupReport>;
  if (backedUp?.state === 'done' && notPruned !== undefined) {
    warnings.push({
      code: 'backups-kept',
      detail: `the last backup was made, and older ones stay: ${notPruned}`,
    });
  }
  if (backedUp?.state === 'failed') {
    const detail = `the last backup failed (operation ${backedUp.id}): ${String(backedUp.report?.error)}`;
    warnings.push({ code: 'backup-failed', detail });
  }
  return warnings;
}

async function findLast({ registry }: ApiContext, kind: OperationKind): Promise<OperationView | undefined> {
  return (await registry.operations.list({ kind, limit: 1 })).items[0];
}

async function heldBy({ registry }: ApiContext) {
  const [done] = (await registry.operations.list({ kind: 'gc', state: 'done', limit: 1 })).items;
  const { held = [] } = (done?.report ?? {}) as Partial<CollectionReport>;
  return held.map(({ reason, blobs, bytes, freeFrom, freeBy }) => {
    return { reason, blobs, bytes, freeFrom: freeFrom ?? null, freeBy: freeBy ?? null };
  });
}

function showLast(operation: OperationView | undefined): Static<typeof lastRun> {
  if (operation === undefined) return null;
  const { id, state, startedAt, endedAt } = operation;
  return { id, state, startedAt: timeText(startedAt), endedAt: timeTextOrNull(endedAt) };
}

function dateText(date: Date | undefined): string | null {
  return date === undefined ? null : date.toISOString();
}
