// The printed result: one line a row, as soon as the row is measured.
import { medianOf, type Result, ratioOf, type Target, verdictOf } from './row.ts';

const widths = [44, 18, 18, 8, 10, 6] as const;

/** The heading, with the names of what is compared. */
export function formatHeading(berth: string, peer: string): string {
  const line = formatCells(['row', berth, peer, 'ratio', 'target', '']);
  return `${line}\n${'-'.repeat(line.length)}`;
}

/** One row: name, the medians, how many times better Berth is, the target and whether it is met. */
export function formatResult(result: Result): string {
  const { row } = result;
  const ratio = ratioOf(result);
  const verdict = verdictOf(result);
  const line = formatCells([
    row.title,
    formatValue(medianOf(result.berth), row.unit),
    formatValue(medianOf(result.peer), row.unit),
    ratio === undefined ? '-' : `${ratio.toFixed(ratio < 10 ? 2 : 1)} x`,
    formatTarget(row.target, row.unit),
    verdict === undefined ? '' : verdict ? 'ok' : 'SHORT',
  ]);
  return line + formatLoad(result);
}

function formatCells(cells: readonly string[]): string {
  return cells
    .map((cell, at) => (at === 0 || at === 5 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
    .join(' ');
}

function formatValue(value: number | undefined, unit: string): string {
  if (value === undefined) return '-';
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

function formatTarget(target: Target | undefined, unit: string): string {
  if (target === undefined) return '';
  if ('timesPeer' in target) return `>=${target.timesPeer} x`;
  return 'atMost' in target ? `<=${target.atMost} ${unit}` : `>=${target.atLeast} ${unit}`;
}

/** Says when a load client was so busy that the row may measure the client. */
function formatLoad(result: Result): string {
  const busiest = Math.max(0, ...[...result.berth, ...result.peer].map((sample) => sample.clientLoad ?? 0));
  return busiest > 0.9 ? `client used ${Math.round(busiest * 100)} % of a core` : '';
}
