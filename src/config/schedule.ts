// When regular work is due: five fields as in a crontab (minute, hour, day of the month, month, day of the week), local time.

/** Times of a schedule, one after the other. */
export interface Schedule {
  /** The first time after `after`, to the minute; undefined where there is none within five years (the 30th of February). */
  next(after: Date): Date | undefined;
}

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

const fields = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of the month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12 },
  { name: 'day of the week', least: 0, most: 7 },
] as const satisfies readonly Field[];

const horizonDays = 5 * 366;

/** Reads a schedule such as `17 * * * *` or `30 3 * * 1-5`. Throws TypeError with what is wrong. */
export function parseSchedule(text: string): Schedule {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== fields.length)
    throw new TypeError(
      `a schedule has five fields (minute hour day month weekday), this has ${parts.length}`,
    );
  const [minutes, hours, days, months, weekdays] = fields.map((field, at) =>
    parseField(parts[at] ?? '', field),
  ) as [Set<number>, Set<number>, Set<number>, Set<number>, Set<number>];
  // Both 0 and 7 are Sunday.
  if (weekdays.has(7)) weekdays.add(0);
  const anyDay = parts[2] === '*';
  const anyWeekday = parts[4] === '*';
  const fitsDay = (date: Date): boolean => {
    if (!months.has(date.getMonth() + 1)) return false;
    const day = days.has(date.getDate());
    const weekday = weekdays.has(date.getDay());
    // As in cron: with both given, either will do.
    return anyDay || anyWeekday ? day && weekday : day || weekday;
  };
  return {
    next(after) {
      const from = new Date(after.getTime() + 60_000);
      from.setSeconds(0, 0);
      for (let offset = 0; offset < horizonDays; offset += 1) {
        const day = new Date(from.getFullYear(), from.getMonth(), from.getDate() + offset);
        if (!fitsDay(day)) continue;
        const found = firstOfDay(day, from, hours, minutes);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}

function firstOfDay(day: Date, from: Date, hours: Set<number>, minutes: Set<number>): Date | undefined {
  for (const hour of [...hours].sort((one, other) => one - other)) {
    for (const minute of [...minutes].sort((one, other) => one - other)) {
      const time = new Date(day.getFullYear(), day.getMonth(), day.getDate(), hour, minute);
      // An hour that the clocks skip comes out as the one after; it still is one time a day.
      if (time >= from) return time;
    }
  }
  return undefined;
}

function parseField(text: string, field: Field): Set<number> {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    const step = Number(match?.[3] ?? 1);
    if (match === null || step === 0) throw invalid(part, field);
    const [, low, high] = match;
    const first = low === undefined ? field.least : Number(low);
    // `5/15` means from 5 on, `5` alone only 5.
    const open = low === undefined || (high === undefined && match[3] !== undefined);
    const last = open ? field.most : Number(high ?? low);
    if (first < field.least || last > field.most || first > last) throw invalid(part, field);
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function invalid(part: string, { name, least, most }: Field): TypeError {
  return new TypeError(
    `${JSON.stringify(part)} is no ${name}: write ${least} to ${most}, *, a-b, */n or a list of these`,
  );
}
