// Points in time as people write them on a command line: 90d, 2027-03-31, 2027-03-31T12:00:00Z.
import { CommandError, exitCodes } from '../exit-codes.ts';

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** RFC 3339, in the future: after a duration, or at the end of a day (UTC). Throws CommandError that names `flag`. */
export function parseUntil(text: string, flag: string, now: number = Date.now()): string {
  const seconds = durationSeconds(text);
  const moment = seconds === undefined ? momentOf(text, flag, 'T23:59:59.000Z') : now + seconds * 1000;
  if (moment <= now) throw new CommandError(exitCodes.wrongUsage, `${flag}: ${text} is in the past`);
  return isoOf(moment, text, flag);
}

/** RFC 3339, in the past: before a duration, or at the beginning of a day (UTC). */
export function parseSince(text: string, flag: string, now: number = Date.now()): string {
  const seconds = durationSeconds(text);
  return isoOf(
    seconds === undefined ? momentOf(text, flag, 'T00:00:00.000Z') : now - seconds * 1000,
    text,
    flag,
  );
}

function durationSeconds(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d+)([smhdw])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * (secondsOf[unit] ?? 0);
}

function momentOf(text: string, flag: string, timeOfDay: string): number {
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(text);
  const moment = day ? Date.parse(text + timeOfDay) : isTime ? Date.parse(text) : Number.NaN;
  // Date.parse takes the 31st of February for the 3rd of March.
  const sameDay = !day || (!Number.isNaN(moment) && new Date(moment).toISOString().startsWith(text));
  if (Number.isNaN(moment) || !sameDay) throw wrong(text, flag);
  return moment;
}

function isoOf(moment: number, text: string, flag: string): string {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999) throw wrong(text, flag);
  return date.toISOString();
}

function wrong(text: string, flag: string): CommandError {
  const allowed = 'a duration such as 90d or 24h, or a date such as 2027-03-31';
  return new CommandError(
    exitCodes.wrongUsage,
    `${flag}: found ${JSON.stringify(text)}, allowed: ${allowed}`,
  );
}
