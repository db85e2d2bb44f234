// Schedules as in a crontab.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSchedule } from '../../src/config/schedule.ts';
import { runOnSchedule } from '../../src/registry/schedule.ts';

const next = (text: string, after: string): string | undefined => {
  const date = parseSchedule(text).next(new Date(after));
  if (date === undefined) return undefined;
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
};

test('a schedule tells its next time, strictly after the given one', () => {
  assert.equal(next('17 * * * *', '2026-03-01T10:16:59'), '2026-03-01T10:17');
  assert.equal(next('17 * * * *', '2026-03-01T10:17:00'), '2026-03-01T11:17');
  assert.equal(next('37 3 * * *', '2026-12-31T04:00:00'), '2027-01-01T03:37');
  assert.equal(next('*/20 8-9 * * *', '2026-03-01T09:41:00'), '2026-03-02T08:00');
  assert.equal(next('0 0 29 2 *', '2026-03-01T00:00:00'), '2028-02-29T00:00');
  assert.equal(next('0 6 * * 7', '2026-11-24T00:00:00'), '2026-11-29T06:00');
  assert.equal(next('0 6 1 * 1', '2026-11-24T00:00:00'), '2026-11-30T06:00');
  assert.equal(next('5/30 0 * * *', '2026-03-01T00:06:00'), '2026-03-01T00:35');
  assert.equal(next('0 0 30 2 *', '2026-03-01T00:00:00'), undefined);
});

test('what is no schedule is refused with the field that is wrong', () => {
  for (const [text, complaint] of [
    ['* * * *', /five fields.*this has 4/],
    ['60 * * * *', /"60" is no minute: write 0 to 59/],
    ['* 5-3 * * *', /"5-3" is no hour/],
    ['* * 0 * *', /no day of the month/],
    ['* * * jan *', /"jan" is no month/],
    ['*/0 * * * *', /"\*\/0" is no minute/],
    ['', /five fields/],
  ] as const) {
    assert.throws(() => parseSchedule(text), complaint, text);
  }
});

test('work runs when it is due and not after the end', async () => {
  const start = Date.now();
  let runs = 0;
  const ran = Promise.withResolvers<void>();
  const once = { next: () => (runs === 0 ? new Date(start + 20) : undefined) };
  const end = runOnSchedule(
    once,
    async () => {
      runs += 1;
      ran.resolve();
      throw new Error('told of');
    },
    { onFailure: (error) => assert.match(String(error), /told of/) },
  );
  const keepAlive = setInterval(() => {}, 10);
  await ran.promise;
  clearInterval(keepAlive);
  await end();
  assert.equal(runs, 1);
});
