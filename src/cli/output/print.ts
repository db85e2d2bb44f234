// What commands print on stdout: a table or lines for people, the API's own JSON with --json, keys alone with --quiet.
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { escapeControls, shortenDigests } from './text.ts';

export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** false with --no-trunc */
  readonly trunc?: boolean;
}

export interface Column<T> {
  readonly head: string;
  text(item: T): string;
}

export interface ListForm<T> {
  readonly columns: readonly Column<T>[];
  /** What --quiet prints of an item. */
  key(item: T): string;
  /** Said on stderr when there is no item: "no users". */
  readonly none: string;
}

/** Adds --json and --quiet, and --no-trunc to lists. */
export function addOutputOptions(command: Command, kind: 'list' | 'one', quiet = 'the keys alone'): Command {
  command.option('--json', "the API's own JSON").option('-q, --quiet', quiet);
  return kind === 'list' ? command.option('--no-trunc', 'digests and keys in full') : command;
}

/** A list: one document `{"items": […]}` as JSON. */
export function printList<T>(
  items: readonly T[],
  form: ListForm<T>,
  options: OutputOptions,
  context: CommandContext,
): void {
  const { stdout, stderr } = context;
  if (options.json) printJson({ items }, context);
  else if (options.quiet) for (const item of items) stdout.write(`${form.key(item)}\n`);
  else if (items.length === 0) stderr.write(`${form.none}\n`);
  else {
    const rows = items.map((item) => form.columns.map((column) => column.text(item)));
    const short = stdout.isTTY === true && options.trunc !== false;
    const heads = form.columns.map(({ head }) => head);
    stdout.write(tableText(heads, short ? rows.map((row) => row.map(shortenDigests)) : rows));
  }
}

/** Facts of one thing, a line each; those without a value are left out. */
export function printFacts(
  facts: readonly (readonly [name: string, value: string | undefined])[],
  { stdout }: CommandContext,
): void {
  const present = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined);
  const width = Math.max(...present.map(([name]) => name.length));
  for (const [name, value] of present) stdout.write(`${name.padEnd(width)}  ${escapeControls(value)}\n`);
}

export function printJson(value: unknown, { stdout }: CommandContext): void {
  stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Columns as wide as their longest text, two blanks apart, one line a row. */
export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows.map((row) => row.map(escapeControls))];
  const widths = heads.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ''))));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd();
  return all.map((row) => `${lineOf(row)}\n`).join('');
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

function widthOf(text: string): number {
  return /^[ -~]*$/.test(text) ? text.length : [...graphemes.segment(text)].length;
}
