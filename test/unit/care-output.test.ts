// What long work prints: one line that is written over on a terminal, a JSON line a second elsewhere, and reports at the end.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CollectionReport, Operation } from '../../src/cli/client/care-shapes.ts';
import { assertDone } from '../../src/cli/client/operations.ts';
import { CommandError } from '../../src/cli/exit-codes.ts';
import { collectionText, exitCodeFor, reportText } from '../../src/cli/output/care-reports.ts';
import { careFacts } from '../../src/cli/output/care-status.ts';
import {
  durationText,
  type OperationView,
  Progress,
  progressJson,
  progressText,
  timeText,
} from '../../src/cli/output/progress.ts';

const running: OperationView = {
  id: 42,
  kind: 'backup',
  state: 'running',
  done: 1024 ** 3,
  total: 4 * 1024 ** 3,
  rate: 64 * 1024 ** 2,
  remainingSeconds: 48,
  report: null,
};

function operation(kind: string, report: object | null, more: Partial<Operation> = {}): Operation {
  return {
    ...running,
    kind,
    state: 'done',
    actor: 'local:0(root)',
    request: {},
    startedAt: '2026-11-24T10:00:00.000Z',
    endedAt: '2026-11-24T10:01:52.000Z',
    report: report as Operation['report'],
    ...more,
  };
}

const piped = { stdout: { write: () => undefined } };
const terminal = { stdout: { write: () => undefined, isTTY: true } };

describe('progress', () => {
  test('a line tells how much of it is done, how fast, and how long it will take', () => {
    assert.equal(
      progressText(running, 16),
      'backup  [=====               ]  25 %  1.0 GiB of 4.0 GiB  64.0 MiB/s  00:00:48 left',
    );
    assert.equal(
      progressText({ ...running, kind: 'scrub', done: 900, total: 2516, rate: 41.7 }, 21),
      'scrub  [=======             ]  35 %  900 of 2,516  42/s  00:00:48 left',
    );
    assert.equal(
      progressText(
        {
          ...running,
          kind: 'import',
          done: 12,
          total: 41,
          report: { bytes: 31.2 * 1024 ** 3, damaged: 2 },
        },
        16,
      ),
      'import  [=====               ]  29 %  12 of 41 repositories  31.2 GiB  2 damaged  00:00:48 left',
    );
  });

  test('what is not known is left out', () => {
    const unknown = { ...running, done: null, total: null, rate: null, remainingSeconds: null };
    assert.equal(progressText({ ...unknown, kind: 'gc' }, 3), 'gc  00:00:03');
    assert.equal(progressText({ ...unknown, kind: 'gc', done: 5 }, 3), 'gc  5  00:00:03');
    assert.match(progressText({ ...running, state: 'paused' }, 3), /4\.0 GiB {2}paused$/);
    assert.match(progressText({ ...running, done: 0, total: 0 }, 3), /\[={20}\] 100 %/);
  });

  test('work that waits for another one says for whom', () => {
    const waiting = {
      ...running,
      kind: 'backup',
      done: 0,
      total: null,
      report: { waitsFor: 'a restore by process 7 on attic' },
    };
    assert.equal(progressText(waiting, 3), 'backup  waits for a restore by process 7 on attic  00:00:03');
    assert.match(progressJson(waiting), /"waitsFor":"a restore by process 7 on attic"\}$/);
  });

  test('on a terminal one line is written over and taken away', () => {
    const { progress, printed, at } = makeProgress(true);
    progress.show(running);
    assert.equal(printed(), '', 'short work shows nothing');
    at(1500);
    progress.show(running);
    progress.show({ ...running, state: 'paused' });
    progress.clear();
    progress.clear();
    const lines = printed().split('\r\u001b[K');
    assert.deepEqual(
      lines.map((line) => line.slice(0, 6)),
      ['', 'backup', 'backup', ''],
    );
    assert.ok(lines.every((line) => line.length < 60));
  });

  test('elsewhere it is a JSON line a second', () => {
    const { progress, printed, at } = makeProgress(false);
    for (const milliseconds of [0, 900, 1100, 1600, 2099, 2100, 2200, 3200]) {
      at(milliseconds);
      progress.show({ ...running, done: milliseconds });
    }
    progress.clear();
    const lines = printed().trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).done),
      [1100, 2100, 3200],
    );
    assert.equal(lines[0], progressJson({ ...running, done: 1100 }));
    assert.deepEqual(Object.keys(JSON.parse(lines[0] ?? '')), [
      ...['id', 'kind', 'state', 'done', 'total', 'rate', 'remainingSeconds'],
    ]);
    assert.equal(JSON.parse(progressJson({ ...running, id: null })).id, undefined);
  });

  test('times', () => {
    assert.deepEqual([0, 59.6, 112, 3600 * 30].map(timeText), [
      ...['00:00:00', '00:01:00', '00:01:52', '30:00:00'],
    ]);
    assert.deepEqual([0.2, 4, 60, 125, 3780].map(durationText), [
      ...['under a second', '4 s', '1 min', '2 min 5 s', '1 h 3 min'],
    ]);
  });
});

function makeProgress(isTTY: boolean) {
  let now = 0;
  let text = '';
  const stderr = { write: (more: string) => (text += more), isTTY, columns: 60 };
  return {
    progress: new Progress({ stderr }, () => now),
    printed: () => text,
    at: (milliseconds: number) => (now = milliseconds),
  };
}

const collection = {
  dryRun: false,
  freed: { blobs: 212, bytes: 1.2 * 1024 ** 3, manifests: 38 },
  held: [
    { reason: 'undelete', blobs: 900, bytes: 9.8 * 1024 ** 3 },
    { reason: 'lease', blobs: 3, bytes: 0.3 * 1024 ** 3 },
  ],
  files: { removed: 212, waiting: 0 },
  orphans: { blobs: 0, bytes: 0 },
  seconds: 4,
};

describe('reports', () => {
  test('of a collection: what came free, and what is held and why', () => {
    assert.equal(
      collectionText(collection, { undelete: '14 days', lease: '24 h' }),
      'freed  1.2 GiB (212 blobs, 38 manifests) in 4 s\n' +
        'held   9.8 GiB deleted less than 14 days ago (berth gc --now gives it up)\n' +
        'held   307 MiB pushed, deleted or seen by clients in the last 24 h: comes free by itself\n',
    );
    assert.match(collectionText(collection), /deleted not long ago .*\n.*clients not long ago: comes/);
    const clock = Date.parse('2026-11-24T10:00:00.000Z');
    const [undelete, lease] = collection.held;
    const at = (hours: number) => new Date(clock + hours * 3_600_000).toISOString();
    const timed = [
      { ...undelete, freeFrom: at(48), freeBy: at(48) },
      { ...lease, freeFrom: at(3), freeBy: at(20) },
    ] as CollectionReport['held'];
    assert.match(
      collectionText({ ...collection, held: timed }, {}, clock),
      /gives it up\); by itself all of it in 2 days\n.*by itself, the first in 3 hours, the last in 20 hours\n$/,
    );
    assert.match(
      collectionText({ ...collection, held: timed, now: true }, {}, clock),
      /in 20 hours\n +a push that runs now may rest on it, .* before the next berth gc --now\n$/,
    );
    const dry = collectionText({ ...collection, dryRun: true, held: [] });
    assert.equal(dry, 'would free  1.2 GiB (212 blobs, 38 manifests)\n');
    const more = { files: { removed: 0, waiting: 2 }, orphans: { blobs: 1, bytes: 2048 } };
    assert.match(
      collectionText({ ...collection, ...more }),
      /freed +2\.0 KiB in 1 file without a row in the database\n.*waiting +2 files/s,
    );
  });

  test('of a collection that stopped: why, and exit code 6', () => {
    const stopped = { ...collection, stopped: 'too much', held: [] };
    assert.match(collectionText(stopped), /^would free .*\nstopped .*berth gc --force\n$/);
    assert.equal(exitCodeFor(operation('gc', stopped)), 6);
    assert.equal(exitCodeFor(operation('gc', { ...stopped, dryRun: true })), 0);
    assert.equal(exitCodeFor(operation('gc', collection)), 0);
  });

  test('of a collection that found more files without a row than a crash leaves: what to do, and exit code 6', () => {
    const orphans = { blobs: 4000, bytes: 3 * 1024 ** 3, stopped: 'too much' };
    const found = { ...collection, orphans };
    const text = collectionText({ ...found, held: [] });
    assert.match(text, /^freed +1\.2 GiB .*\nunknown +3\.0 GiB in 4,000 files without a row .* they stay\n/);
    assert.match(
      text,
      /\nstopped +if an older berth\.db was put back, .*backup restore.*: berth gc --force\n$/,
    );
    assert.equal(exitCodeFor(operation('gc', found)), 6);
    assert.equal(exitCodeFor(operation('gc', { ...found, dryRun: true })), 0);
  });

  test('of a collection in a folder that had another database: what to do, and exit code 6', () => {
    const found = {
      ...collection,
      orphans: { blobs: 2, bytes: 1024, stopped: 'another database' },
      stopped: 'another database',
      held: [],
    };
    assert.match(
      collectionText(found),
      /^would free .*\nunknown +1\.0 KiB in 2 files without a row in the database: .* another database before.* they stay\nstopped +this folder had another database .* older berth\.db .* berth gc --force takes it.*\n$/,
    );
    assert.equal(exitCodeFor(operation('gc', found)), 6);
    assert.equal(exitCodeFor(operation('gc', { ...found, dryRun: true })), 0);
    const nothing = { ...found, orphans: { blobs: 0, bytes: 0 }, files: { removed: 0, waiting: 2 } };
    assert.match(
      collectionText(nothing),
      /^would free .*\nwaiting +2 files .* stay, too\nstopped +this folder .*\n$/,
    );
    assert.equal(exitCodeFor(operation('gc', nothing)), 6);
  });

  const scrub = {
    deep: true,
    database: { sound: true, faults: [] },
    blobs: { checked: 2114, bytes: 31.2 * 1024 ** 3, damaged: 0, known: 0, healed: 0 },
    unknownFiles: { files: 0, bytes: 0 },
    manifests: { checked: 402, damaged: 0, edgesMissing: 0 },
    links: { wrong: 0 },
    counts: { wrong: 0 },
    faults: [],
    repaired: false,
    sound: true,
  };

  test('of a scrub: what was checked, and exit code 3 for damage', () => {
    assert.equal(
      reportText(operation('scrub', scrub), piped),
      'checked  2,114 blobs (31.2 GiB; every byte read), 402 manifests and the database in 1 min 52 s\n' +
        'sound    all of it\n',
    );
    const damaged = {
      ...scrub,
      blobs: { ...scrub.blobs, damaged: 2, known: 1, healed: 1 },
      manifests: { ...scrub.manifests, edgesMissing: 3 },
      database: { sound: false, faults: ['x'] },
      sound: false,
      faults: ['database: x'],
    };
    const text = reportText(operation('scrub', damaged), piped);
    for (const line of [/healed +1 blob:/, /damaged +2 blobs, quarantined now/, /damaged +1 blob, .*before/])
      assert.match(text, line);
    assert.match(text, /rows +3 wrong; berth scrub --repair mends them\n/);
    assert.match(text, /\n +database: x\n$/);
    assert.equal(exitCodeFor(operation('scrub', damaged)), 3);
    assert.equal(exitCodeFor(operation('scrub', scrub)), 0);
  });

  const imported = {
    repositories: { done: 41, total: 41 },
    manifests: { stored: 402, present: 0 },
    tags: { stored: 388, present: 0 },
    blobs: { linked: 0, copied: 2114, fetched: 0, mounted: 0, present: 0 },
    bytes: 31.2 * 1024 ** 3,
    damaged: 0,
    found: 0,
    findings: [] as object[],
  };

  test('of an import: one line, and what was left out', () => {
    assert.equal(
      reportText(operation('import', imported), piped),
      'repositories 41/41   tags 388   blobs 2,114 (copied)   31.2 GiB   0 damaged   00:01:52\n',
    );
    assert.equal(exitCodeFor(operation('import', imported)), 0);
    const digest = `sha256:${'ab'.repeat(32)}`;
    const faulty = {
      ...imported,
      blobs: { ...imported.blobs, copied: 2000, present: 114 },
      damaged: 1,
      found: 1,
      findings: [
        { kind: 'damaged', repository: 'team/app', tags: ['1', '2'], digest, detail: 'other bytes' },
      ],
    };
    const text = reportText(operation('import', faulty), piped);
    assert.match(text, /blobs 2,114 \(2,000 copied, 114 here already\) .* 1 damaged/);
    assert.ok(text.includes(`damaged  team/app:1,2  ${digest}  other bytes\n`), text);
    assert.ok(reportText(operation('import', faulty), terminal).includes('sha256:abababababab  other'));
    assert.equal(exitCodeFor(operation('import', faulty)), 3);
    const none = { ...imported, repositories: { done: 0, total: 0 } };
    assert.match(
      reportText(operation('import', none), piped),
      /\nno repository there is meant by this .*\n$/,
    );
  });

  test('of a backup: where it is and what it took', () => {
    const report = {
      name: '20261124T100000Z-1f2e',
      seconds: 3,
      blobs: { present: 10, linked: 0, copied: 2 },
      bytes: { present: 1024, linked: 0, copied: 1024 },
      damaged: [],
      verified: null,
      pruned: null,
    };
    const made = operation('backup', report, { request: { destination: '/mnt/backup' } });
    assert.equal(
      reportText(made, piped),
      'backup  20261124T100000Z-1f2e in /mnt/backup\n' +
        'holds   12 blobs (2.0 KiB; 2 copied, 10 there already) in 3 s\n',
    );
    assert.equal(exitCodeFor(made), 0);
    const damaged = [{ digest: `sha256:${'ab'.repeat(32)}`, found: 'missing' }];
    const pruned = { removed: ['a'], bytes: 2048 };
    const more = operation('backup', { ...report, damaged, pruned, verified: { faults: [] } });
    assert.match(
      reportText(more, piped),
      /damaged +sha256:\w+: missing\n.*\nverified .*\nremoved +1 old backup/s,
    );
    assert.equal(exitCodeFor(more), 3);
    const kept = { removed: [], bytes: 0, others: 2, heldBy: 'a restore by process 7 on attic' };
    const held = operation('backup', { ...report, pruned: kept });
    assert.match(
      reportText(held, piped),
      /kept +the old backups: they are read by a restore .* attic\. .*\nkept +2 backups that/,
    );
    assert.equal(exitCodeFor(held), 0);
    const refused = operation('backup', { ...report, notPruned: 'nothing was removed: nobody can tell' });
    assert.match(
      reportText(refused, piped),
      /\nkept +the old backups: nothing was removed: nobody can tell\n$/,
    );
    assert.equal(exitCodeFor(refused), 3);
  });

  test('an operation that did not come to its end is a failure with a reason', () => {
    const ends = (state: Operation['state'], report: object | null = null) => {
      try {
        assertDone(operation('gc', report, { state }));
      } catch (error) {
        assert(error instanceof CommandError);
        return [error.code, error.message];
      }
      return [];
    };
    assert.deepEqual(ends('done'), []);
    assert.deepEqual(ends('failed', { error: 'no room' }), [1, 'gc (operation 42) failed: no room']);
    assert.match(String(ends('cancelled')), /^1,.*was cancelled; what it did so far stays done$/);
    assert.match(String(ends('interrupted')), /^1,.*ended with the server/);
  });
});

test('the status tells what is held and when the store was last looked after', () => {
  const now = Date.parse('2026-11-24T12:00:00.000Z');
  const last = { id: 42, state: 'done', endedAt: '2026-11-24T11:17:00.000Z' };
  const nothing = {
    collector: { enabled: true, nextAt: null, last: null, held: [] },
    scrub: { oldestCheckAt: null, last: null },
    backup: { destination: null, nextAt: null, last: null, lastDoneAt: null },
  };
  const told = (status: Parameters<typeof careFacts>[0]) => Object.fromEntries(careFacts(status, now));
  assert.deepEqual(told(nothing), {
    held: undefined,
    collected: 'never',
    scrubbed: undefined,
    backup: 'none scheduled (backup.schedule)',
  });
  const held = [
    { reason: 'undelete', bytes: 2048 },
    { reason: 'lease', bytes: 1024, freeBy: '2026-11-24T15:00:00.000Z' },
  ];
  const all = {
    collector: { enabled: true, nextAt: '2026-11-24T12:17:00.000Z', last, held },
    scrub: { oldestCheckAt: '2026-11-20T12:00:00.000Z', last },
    backup: { destination: '/x', nextAt: '2026-11-25T02:00:00.000Z', last, lastDoneAt: last.endedAt },
  };
  assert.deepEqual(told(all), {
    held: '2.0 KiB deleted and restorable, 1.0 KiB pushed, deleted or seen by clients not long ago (free in 3 hours)',
    collected: '43 minutes ago; next in 17 minutes',
    scrubbed: 'oldest check 4 days ago',
    backup: 'last 43 minutes ago; next in 14 hours',
  });
  const failed = { ...nothing.collector, last: { ...last, state: 'failed' } };
  assert.match(
    String(told({ ...nothing, collector: failed }).collected),
    /^failed 43 .* operation show 42\)$/,
  );
  const runs = { ...nothing.collector, last: { ...last, state: 'running', endedAt: null } };
  assert.match(String(told({ ...nothing, collector: runs }).collected), /^running now \(/);
});
