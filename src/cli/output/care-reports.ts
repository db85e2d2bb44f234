// What an operation of each kind has done, for people, and the exit code that it comes to.
import type {
  BackupReport,
  CollectionReport,
  ImportFigures,
  ImportReport,
  Operation,
  RetentionReport,
  ScrubReport,
} from '../client/care-shapes.ts';
import type { CommandContext } from '../context.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { sizeText } from '../size-text.ts';
import { tableText } from './print.ts';
import { durationText, numberText, timeText } from './progress.ts';
import { retentionText } from './retention-text.ts';
import { countText, distanceText, escapeControls, shortenDigests } from './text.ts';

/** Findings of an import that a person is shown; --json has all. */
const findingsShown = 50;

/** For how long the registry holds what is deleted, and what a client was told of: "14 days". */
export type HoldTimes = Readonly<Record<string, string | undefined>>;

/** Lines that tell of an operation that is done; empty for a kind that this program does not know. */
export function reportText(
  operation: Operation,
  context: Pick<CommandContext, 'stdout'>,
  holdTimes: HoldTimes = {},
): string {
  const { kind, report } = operation;
  if (report === null) return '';
  // The kind decides what the report is.
  const of = <Report>(): Report => report as Report;
  switch (kind) {
    case 'gc':
      return collectionText(of<CollectionReport>(), holdTimes);
    case 'scrub':
      return scrubText(of<ScrubReport>(), secondsOf(operation));
    case 'backup':
      return backupText(of<BackupReport>(), String(operation.request.destination ?? ''), context);
    case 'import':
      return importText(of<ImportReport>(), secondsOf(operation), context);
    case 'retention':
      return retentionText(of<RetentionReport>());
    default:
      return '';
  }
}

/** What a command that ran the operation ends with: 3 where damage was found, 6 where it was refused. */
export function exitCodeFor({ kind, report }: Operation): ExitCode {
  if (report === null) return exitCodes.done;
  if (kind === 'gc') {
    const { stopped, orphans, dryRun } = report as unknown as CollectionReport;
    const isWhole = stopped === undefined && orphans.stopped === undefined;
    return isWhole || dryRun ? exitCodes.done : exitCodes.refused;
  }
  const found = {
    scrub: () => !(report as unknown as ScrubReport).sound,
    import: () => (report as unknown as ImportReport).damaged > 0,
    backup: () => isDamaged(report as unknown as BackupReport),
  }[kind];
  return found?.() ? exitCodes.found : exitCodes.done;
}

/** "freed 1.2 GiB …", and what is held and why. */
export function collectionText(
  report: CollectionReport,
  holdTimes: HoldTimes = {},
  clock: number = Date.now(),
): string {
  const { dryRun, freed, held, files, orphans, stopped, seconds } = report;
  const gone = `${countText(freed.blobs, 'blob')}, ${countText(freed.manifests, 'manifest')}`;
  const foreseen = dryRun || stopped !== undefined;
  const lines = foreseen
    ? [['would free', `${sizeText(freed.bytes)} (${gone})`]]
    : [['freed', `${sizeText(freed.bytes)} (${gone}) in ${durationText(seconds)}`]];
  if (orphans.blobs > 0) lines.push(...orphanLines(orphans, foreseen, stopped));
  for (const one of held)
    lines.push([
      'held',
      `${sizeText(one.bytes)} ${heldBecause(one.reason, holdTimes[one.reason])}${freeText(one, clock)}`,
    ]);
  if (report.now && held.some(({ reason }) => reason === 'lease')) lines.push(['', soonerText]);
  if (files.waiting > 0)
    lines.push([
      'waiting',
      stopped === 'another database'
        ? `${countText(files.waiting, 'file')} of blobs that are gone: they stay, too`
        : `${countText(files.waiting, 'file')}: removed about a minute later, so that pulls of them can finish`,
    ]);
  if (stopped !== undefined) lines.push(['stopped', stoppedBecause(stopped)]);
  return linesText(lines);
}

function orphanLines(
  { blobs, bytes, stopped }: CollectionReport['orphans'],
  foreseen: boolean,
  allStopped: string | undefined,
): string[][] {
  const what = `${sizeText(bytes)} in ${countText(blobs, 'file')}`;
  if (stopped === undefined)
    return [[foreseen ? 'would free' : 'freed', `${what} without a row in the database`]];
  const why: Readonly<Record<string, string>> = {
    'too much': 'too much to come from a crash, so they stay',
    'another database': 'this folder had another database before, which may have had them, so they stay',
  };
  const unknown = [
    'unknown',
    `${what} without a row in the database: ${why[stopped] ?? `they stay (${stopped})`}`,
  ];
  // Said of everything at the end.
  if (allStopped === 'another database') return [unknown];
  return [
    unknown,
    [
      'stopped',
      'if an older berth.db was put back, these files are what came since: put the newer one back, or restore the newest ' +
        'backup into another folder (berth backup restore). If nobody needs them: berth gc --force',
    ],
  ];
}

/** What was looked at and found. What the damage touches is told by the list of damage. */
export function scrubText(report: ScrubReport, seconds: number): string {
  const { blobs, manifests, database, unknownFiles, links, counts, deep, repaired, sound, faults } = report;
  const how = deep ? 'every byte read' : 'length and place; --deep reads every byte';
  const lines = [
    [
      'checked',
      `${countText(blobs.checked, 'blob')} (${sizeText(blobs.bytes)}; ${how}), ` +
        `${countText(manifests.checked, 'manifest')} and the database in ${durationText(seconds)}`,
    ],
  ];
  if (blobs.healed > 0) lines.push(['healed', `${countText(blobs.healed, 'blob')}: sound again`]);
  if (blobs.damaged > 0)
    lines.push([
      'damaged',
      `${countText(blobs.damaged, 'blob')}, quarantined now: answered 404 until pushed again`,
    ]);
  if (blobs.known > 0) lines.push(['damaged', `${countText(blobs.known, 'blob')}, quarantined before`]);
  if (manifests.damaged > 0) lines.push(['damaged', countText(manifests.damaged, 'manifest')]);
  const wrong = manifests.edgesMissing + links.wrong + counts.wrong;
  if (wrong > 0)
    lines.push([
      'rows',
      `${numberText(wrong)} wrong; ${repaired ? 'mended' : 'berth scrub --repair mends them'}`,
    ]);
  if (!database.sound)
    lines.push([
      'database',
      'damaged: restore a backup (berth backup restore). Nothing is collected meanwhile',
    ]);
  if (unknownFiles.files > 0) {
    const size = sizeText(unknownFiles.bytes);
    lines.push([
      'unknown',
      `${countText(unknownFiles.files, 'file')} (${size}) without a row: gc removes what a crash left`,
    ]);
  }
  for (const fault of faults) lines.push(['', fault]);
  const isMended = repaired && wrong + blobs.healed > 0;
  if (sound) lines.push(['sound', isMended ? 'all of it, after repair' : 'all of it']);
  return linesText(lines);
}

/** Where the backup is and what it took. */
export function backupText(
  report: BackupReport,
  destination: string,
  context: Pick<CommandContext, 'stdout'>,
): string {
  const { name, blobs, bytes, seconds, damaged, verified } = report;
  const count = blobs.present + blobs.linked + blobs.copied;
  const size = bytes.present + bytes.linked + bytes.copied;
  const ways = (['copied', 'linked', 'present'] as const)
    .filter((way) => blobs[way] > 0)
    .map((way) => `${numberText(blobs[way])} ${way === 'present' ? 'there already' : way}`);
  const lines = [
    ['backup', `${name}${destination === '' ? '' : ` in ${destination}`}`],
    [
      'holds',
      `${countText(count, 'blob')} (${sizeText(size)}${ways.length > 0 ? `; ${ways.join(', ')}` : ''}) in ${durationText(seconds)}`,
    ],
  ];
  if (blobs.linked > 0)
    lines.push([
      'note',
      'linked blobs are second names on the same file system: they guard against deletion, not against the loss of the disk',
    ]);
  for (const { digest, found } of damaged)
    lines.push(['damaged', `${onTerminal(digest, context)}: ${found === 'known' ? 'known before' : found}`]);
  if (damaged.length > 0)
    lines.push(['', 'of these the registry has no good bytes: berth scrub tells which images to push again']);
  if (verified) {
    const faults = verified.faults.length;
    lines.push([
      'verified',
      faults === 0 ? 'every blob has its hash' : `${countText(faults, 'fault')}: berth backup verify`,
    ]);
  }
  lines.push(...prunedLines(report));
  return linesText(lines);
}

function prunedLines({ pruned, notPruned }: BackupReport): string[][] {
  if (notPruned !== undefined) return [['kept', `the old backups: ${notPruned}`]];
  if (!pruned) return [];
  const lines: string[][] = [];
  if (pruned.removed.length > 0)
    lines.push(['removed', `${countText(pruned.removed.length, 'old backup')}, ${sizeText(pruned.bytes)}`]);
  if (pruned.heldBy !== undefined)
    lines.push(['kept', `the old backups: they are read by ${pruned.heldBy}. The next backup removes them`]);
  if (pruned.others)
    lines.push([
      'kept',
      `${countText(pruned.others, 'backup')} that another copy of this registry made (berth backup list)`,
    ]);
  return lines;
}

/** "repositories 41/41   tags 388   blobs 2,114 (…)   31.2 GiB   0 damaged   00:01:52", and what was left out. */
export function importText(
  report: ImportReport,
  seconds: number,
  context: Pick<CommandContext, 'stdout'>,
): string {
  const { findings, found } = report;
  const shown = findings.slice(0, findingsShown);
  const rows = shown.map(({ kind, repository, tags, digest, detail }) => {
    const what = `${repository}${tags?.length ? `:${tags.join(',')}` : ''}`;
    return [kind, what, onTerminal(digest ?? '', context), onTerminal(detail, context)];
  });
  const more =
    found > shown.length
      ? `and ${numberText(found - shown.length)} more; --json names the first 1,000\n`
      : '';
  const table = rows.length === 0 ? '' : tableText(['FOUND', 'IN', 'DIGEST', 'DETAIL'], rows);
  const nothing =
    report.repositories.total === 0 ? 'no repository there is meant by this (--repositories)\n' : '';
  return `${importFiguresText(report, seconds)}\n${nothing}${table}${more}`;
}

/** The figures of an import in one line. */
export function importFiguresText(figures: ImportFigures, seconds: number): string {
  const { repositories, tags, blobs, bytes, damaged } = figures;
  const ways = Object.entries(blobs).filter(([, count]) => count > 0);
  const count = ways.reduce((sum, [, some]) => sum + some, 0);
  const words: Readonly<Record<string, string>> = { present: 'here already', mounted: 'here elsewhere' };
  const how = ways.map(
    ([way, some]) => `${ways.length > 1 ? `${numberText(some)} ` : ''}${words[way] ?? way}`,
  );
  return [
    `repositories ${numberText(repositories.done)}/${numberText(repositories.total)}`,
    `tags ${numberText(tags.stored + tags.present)}`,
    `blobs ${numberText(count)}${how.length === 0 ? '' : ` (${how.join(', ')})`}`,
    sizeText(bytes),
    `${numberText(damaged)} damaged`,
    timeText(seconds),
  ].join('   ');
}

function isDamaged({ damaged, verified, notPruned }: BackupReport): boolean {
  return damaged.length > 0 || notPruned !== undefined || (verified?.faults.length ?? 0) > 0;
}

function heldBecause(reason: string, time: string | undefined): string {
  const reasons: Readonly<Record<string, string>> = {
    undelete: `deleted ${time === undefined ? 'not long' : `less than ${time}`} ago (berth gc --now gives it up)`,
    lease: `pushed, deleted or seen by clients ${time === undefined ? 'not long ago' : `in the last ${time}`}: comes free by itself`,
  };
  return reasons[reason] ?? reason;
}

/** ", from 3 hours from now on, all of it in 20 hours" */
function freeText({ reason, freeFrom, freeBy }: CollectionReport['held'][number], clock: number): string {
  if (freeFrom === undefined || freeBy === undefined) return '';
  const [first, last] = [freeFrom, freeBy].map((time) => distanceText(time, 'never', clock));
  const when = first === last ? `all of it ${last}` : `the first ${first}, the last ${last}`;
  return `${reason === 'lease' ? ', ' : '; by itself '}${when}`;
}

/** gc --now gives up what could be restored, and never what a client was told that it is there. */
const soonerText =
  'a push that runs now may rest on it, so --now leaves it. Sooner goes what is deleted as a whole repository (berth repo remove), ' +
  'or blob by blob (DELETE /v2/NAME/blobs/DIGEST), before the next berth gc --now';

function stoppedBecause(stopped: string): string {
  const reasons: Readonly<Record<string, string>> = {
    'too much': 'that is more than collector.stopAbove allows at once. If it is meant: berth gc --force',
    'another database':
      'this folder had another database before, which may need what this one does not: nothing is taken back until somebody ' +
      'decides. If an older berth.db was put back, put the newer one back, or restore the newest backup into another folder (berth ' +
      'backup restore). If this database is the right one: berth gc --dry-run tells what would go, berth gc --force takes it, ' +
      'however much it is',
    'database damaged': 'the database is damaged (berth scrub): nothing is collected until it is sound',
    'backup running': 'a backup copies blobs just now: try again when it is done (berth operation list)',
  };
  return reasons[stopped] ?? stopped;
}

/** Two columns; the first one as wide as its longest word. */
function linesText(lines: readonly (readonly string[])[]): string {
  const width = Math.max(...lines.map(([name = '']) => name.length));
  return lines.map(([name = '', text = '']) => `${name.padEnd(width)}  ${escapeControls(text)}\n`).join('');
}

function onTerminal(text: string, { stdout }: Pick<CommandContext, 'stdout'>): string {
  return stdout.isTTY === true ? shortenDigests(text) : text;
}

function secondsOf({ startedAt, endedAt }: Operation): number {
  return endedAt === null ? 0 : (Date.parse(endedAt) - Date.parse(startedAt)) / 1000;
}
