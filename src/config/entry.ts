// One value that somebody set: which setting, what was written, and where. File, environment and flags all come to this.
import { type Fault, foundText } from './faults.ts';
import type { Setting } from './settings.ts';

export interface Entry {
  /** The dotted path of the setting. */
  readonly path: string;
  readonly written: unknown;
  /** FILE:LINE, the name of a variable, or a flag. */
  readonly where: string;
  /** For a list in a file: where each item stands. */
  readonly itemsWhere?: readonly string[];
}

/**
 * What `entry` means. Every fault is added to `faults`, and undefined returned then; for a list each item at fault is named.
 * A secret is never repeated in a fault.
 */
export function parseEntry(entry: Entry, setting: Setting<unknown>, faults: Fault[]): unknown {
  const value = setting.kind.parse(entry.written);
  if (value !== undefined) return value;
  const { item } = setting.kind;
  if (item !== undefined && Array.isArray(entry.written)) {
    entry.written.forEach((one: unknown, index) => {
      if (item.parse(one) !== undefined) return;
      const where = entry.itemsWhere?.[index] ?? entry.where;
      faults.push({ where, message: `${entry.path}: found ${foundText(one)}, allowed: ${item.allowed}` });
    });
    return undefined;
  }
  const found = setting.secret ? 'something else' : foundText(entry.written);
  faults.push({
    where: entry.where,
    message: `${entry.path}: found ${found}, allowed: ${setting.kind.allowed}`,
  });
  return undefined;
}
