// How far long work is: on a terminal one line that is written over, with rate and remaining time; elsewhere a JSON line a second.
import type { CommandContext } from '../context.ts';
import { sizeText } from '../size-text.ts';
import { escapeControls } from './text.ts';

/** What is known of work that runs or has ended. */
export interface OperationView {
  /** null: work of this command alone, which no server knows. */
  readonly id: number | null;
  readonly kind: string;
  readonly state: 'running' | 'paused' | 'done' | 'failed' | 'cancelled' | 'interrupted';
  readonly done: number | null;
  readonly total: number | null;
  /** `done` per second. */
  readonly rate: number | null;
  readonly remainingSeconds: number | null;
  readonly report: Readonly<Record<string, unknown>> | null;
}

/** Before, nothing is shown: short work needs no progress. */
const quietMilliseconds = 1000;
const jsonEveryMilliseconds = 1000;
const clearLine = '\r\u001b[K';
const barWidth = 20;
const narrowest = 40;

/** Shows progress on stderr. */
export class Progress {
  readonly #context: Pick<CommandContext, 'stderr'>;
  readonly #began: number;
  readonly #now: () => number;
  #shownAt = Number.NEGATIVE_INFINITY;
  #onLine = false;

  constructor(context: Pick<CommandContext, 'stderr'>, now: () => number = () => performance.now()) {
    this.#context = context;
    this.#now = now;
    this.#began = now();
  }

  /** As often as it likes: what would be too much is left out. */
  show(view: OperationView): void {
    const { stderr } = this.#context;
    const now = this.#now();
    if (now - this.#began < quietMilliseconds) return;
    if (stderr.isTTY) {
      const columns = Math.max(narrowest, (stderr as { columns?: number }).columns ?? 80);
      stderr.write(`${clearLine}${progressText(view, (now - this.#began) / 1000).slice(0, columns - 1)}`);
      this.#onLine = true;
    } else if (now - this.#shownAt >= jsonEveryMilliseconds) {
      stderr.write(`${progressJson(view)}\n`);
      this.#shownAt = now;
    }
  }

  /** Takes the line away, for what is written next. */
  clear(): void {
    if (this.#onLine) this.#context.stderr.write(clearLine);
    this.#onLine = false;
  }
}

/** One line for people: what of what, how fast, how long it will take. */
export function progressText(view: OperationView, elapsedSeconds: number): string {
  const { kind, state, done, total, rate, remainingSeconds } = view;
  const waitsFor = waitsForOf(view);
  if (waitsFor !== undefined) return `${kind}  waits for ${waitsFor}  ${timeText(elapsedSeconds)}`;
  const parts = [total === null || done === null ? kind : `${kind}  ${barText(done, total)}`];
  if (done !== null) parts.push(amountText(kind, done, total));
  parts.push(...importTexts(view));
  if (state === 'paused') parts.push('paused');
  else {
    if (rate !== null && kind !== 'import') parts.push(rateText(kind, rate));
    const left = done === total ? null : remainingSeconds;
    parts.push(left === null ? timeText(elapsedSeconds) : `${timeText(left)} left`);
  }
  return parts.join('  ');
}

/** One line for programs. */
export function progressJson(view: OperationView): string {
  const { id, kind, state, done, total, rate, remainingSeconds } = view;
  const waitsFor = waitsForOf(view);
  return JSON.stringify({
    ...(id === null ? {} : { id }),
    ...{ kind, state, done, total, rate, remainingSeconds },
    ...(waitsFor === undefined ? {} : { waitsFor }),
  });
}

/** Who works in the folder of backups, where this cannot begin before that has ended. */
function waitsForOf({ report, state }: OperationView): string | undefined {
  const waitsFor = state === 'running' ? report?.waitsFor : undefined;
  return typeof waitsFor === 'string' ? escapeControls(waitsFor) : undefined;
}

/** "12 of 41 repositories", "1.2 GiB of 31.2 GiB", "900 of 2,516" */
export function amountText(kind: string, done: number, total: number | null): string {
  const text = countsBytes(kind) ? sizeText : numberText;
  const noun = kind === 'import' ? ' repositories' : '';
  return `${text(done)}${total === null ? '' : ` of ${text(total)}`}${noun}`;
}

/** "00:01:52" */
export function timeText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

/** "4 s", "2 min 5 s", "1 h 3 min" */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  if (seconds < 1) return 'under a second';
  if (whole < 60) return `${whole} s`;
  const [large, small, words] =
    whole < 3600
      ? ([Math.floor(whole / 60), whole % 60, ['min', 's']] as const)
      : ([Math.floor(whole / 3600), Math.floor(whole / 60) % 60, ['h', 'min']] as const);
  return `${large} ${words[0]}${small === 0 ? '' : ` ${small} ${words[1]}`}`;
}

/** "2,114" */
export function numberText(count: number): string {
  return Math.round(count).toLocaleString('en');
}

function barText(done: number, total: number): string {
  const share = total === 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const filled = Math.floor(share * barWidth);
  return `[${'='.repeat(filled)}${' '.repeat(barWidth - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}

function countsBytes(kind: string): boolean {
  return kind === 'backup' || kind === 'verify' || kind === 'restore';
}

function rateText(kind: string, rate: number): string {
  return `${countsBytes(kind) ? sizeText(rate) : numberText(rate)}/s`;
}

/** An import is told of by its bytes too: one repository may hold most of them. */
function importTexts({ kind, report }: OperationView): string[] {
  if (kind !== 'import' || typeof report?.bytes !== 'number') return [];
  const damaged =
    typeof report.damaged === 'number' && report.damaged > 0 ? [`${report.damaged} damaged`] : [];
  return [sizeText(report.bytes), ...damaged];
}
