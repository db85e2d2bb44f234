// The collector over real stores: what it frees, what it holds and why, when it stops, and that nobody notices it.
import assert from 'node:assert/strict';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/errors.ts';
import type { Location } from '../../src/storage/blob-store.ts';
import { freeRun, listFiles, openCare, pushBlob, pushImage, writeUnknownFiles } from '../support/care.ts';
import { alice, blobDigest, keepTimes, repository, tag } from '../support/metadata.ts';

const app = repository('team/app');
const other = repository('team/other');
const plain = { dryRun: false, now: false, force: false };
const { leaseSeconds, undeleteSeconds, unlinkDelaySeconds } = keepTimes;

test('a collection frees what is over, tells what it holds and why, and files follow after the delay', async (t) => {
  const { registry, clock, folder } = await openCare(t);
  const kept = await pushBlob(registry, app, 'kept');
  await pushImage(registry, app, [kept], 'v1');
  const deleted = await pushBlob(registry, app, 'deleted');
  const manifest = await pushImage(registry, app, [deleted], 'old');
  await registry.manifests.remove(app, { digest: manifest }, alice);
  await pushBlob(registry, app, 'nobody wants it');
  clock.advance(leaseSeconds);
  await pushBlob(registry, app, 'fresh');
  const dry = await registry.collector.collect(freeRun(), { ...plain, dryRun: true });
  const report = await registry.collector.collect(freeRun(), plain);
  assert.deepEqual(dry.freed, report.freed);
  assert.deepEqual(report.freed, { manifests: 0, blobs: 1, bytes: 'nobody wants it'.length });
  const inSeconds = (seconds: number) => new Date((clock.unixSeconds() + seconds) * 1000).toISOString();
  const [undeleted, leased] = [inSeconds(undeleteSeconds - leaseSeconds), inSeconds(leaseSeconds)];
  assert.deepEqual(report.held, [
    { reason: 'undelete', blobs: 1, bytes: 7, freeFrom: undeleted, freeBy: undeleted },
    { reason: 'lease', blobs: 1, bytes: 5, freeFrom: leased, freeBy: leased },
  ]);
  assert.deepEqual(report.files, { removed: 0, waiting: 1 });
  assert.equal((await listFiles(folder)).length, 4);
  clock.advance(unlinkDelaySeconds);
  const next = await registry.collector.collect(freeRun(), plain);
  assert.deepEqual(next.files, { removed: 1, waiting: 0 });
  assert.equal((await listFiles(folder)).length, 3);
});

test('deleted manifests come free after their time, or at once when they are given up', async (t) => {
  for (const now of [false, true]) {
    const { registry, clock } = await openCare(t);
    const blob = await pushBlob(registry, app, 'layer');
    const manifest = await pushImage(registry, app, [blob], 'v1');
    await registry.manifests.remove(app, { digest: manifest }, alice);
    clock.advance(leaseSeconds);
    const early = await registry.collector.collect(freeRun(), { ...plain, now });
    assert.deepEqual(
      early.freed,
      now ? { manifests: 1, blobs: 1, bytes: 5 } : { manifests: 0, blobs: 0, bytes: 0 },
    );
    clock.advance(undeleteSeconds - leaseSeconds);
    const late = await registry.collector.collect(freeRun(), plain);
    assert.equal(late.freed.manifests, now ? 0 : 1);
  }
});

test('what is given up with --now is held by its lease all the same, and the report tells until when', async (t) => {
  const { registry, clock } = await openCare(t);
  const blobs = [await pushBlob(registry, app, 'early'), await pushBlob(registry, app, 'late')];
  const manifest = await pushImage(registry, app, blobs, 'v1');
  await registry.manifests.remove(app, { digest: manifest }, alice);
  clock.advance(leaseSeconds / 4);
  await pushBlob(registry, app, 'late');
  const from = new Date((clock.unixSeconds() + (leaseSeconds * 3) / 4) * 1000).toISOString();
  const by = new Date((clock.unixSeconds() + leaseSeconds) * 1000).toISOString();
  const { held, freed } = await registry.collector.collect(freeRun(), { ...plain, now: true });
  assert.deepEqual(held, [{ reason: 'lease', blobs: 2, bytes: 9, freeFrom: from, freeBy: by }]);
  assert.deepEqual(freed, { manifests: 1, blobs: 0, bytes: 0 });
  // What the text of gc proposes to whoever cannot wait.
  for (const digest of blobs) await registry.blobs.unlink(app, digest, alice);
  assert.equal((await registry.collector.collect(freeRun(), { ...plain, now: true })).freed.bytes, 9);
});

test('a run that would take too much of a large registry stops, unless it is forced', async (t) => {
  const { registry, clock } = await openCare(t, {
    care: { stopAbove: 0.3, historyKeptSeconds: 1000, scrubBytesPerSecond: 1, fullPassSeconds: 1 },
  });
  const { metadata } = registry;
  await Promise.all(
    Array.from({ length: 1100 }, (_, count) =>
      metadata.uploads.link({
        repository: app,
        digest: blobDigest(`big ${count}`),
        location: `sha256/00/${'0'.repeat(64)}.${String(count).padStart(26, '0')}` as Location,
        size: 2 ** 20,
        origin: alice,
      }),
    ),
  );
  clock.advance(leaseSeconds);
  const stopped = await registry.collector.collect(freeRun(), plain);
  assert.equal(stopped.stopped, 'too much');
  assert.deepEqual(stopped.freed, { manifests: 0, blobs: 1100, bytes: 1100 * 2 ** 20 });
  assert.equal((await metadata.repositories.totals()).blobs, 1100);
  const forced = await registry.collector.collect(freeRun(), { ...plain, force: true });
  assert.equal(forced.stopped, undefined);
  assert.equal(forced.freed.blobs, 1100);
  assert.equal((await metadata.repositories.totals()).blobs, 0);
});

test('a run stops before it gives up deleted repositories that are too much of everything', async (t) => {
  const { registry, clock } = await openCare(t, {
    care: { stopAbove: 0.3, historyKeptSeconds: 1000, scrubBytesPerSecond: 1, fullPassSeconds: 1 },
  });
  const { metadata, collector } = registry;
  const digests = await Promise.all(
    Array.from({ length: 1100 }, async (_, count) => {
      const digest = blobDigest(`big ${count}`);
      const location = `sha256/00/${'0'.repeat(64)}.${String(count).padStart(26, '0')}` as Location;
      await metadata.uploads.link({ repository: app, digest, location, size: 2 ** 20, origin: alice });
      return digest;
    }),
  );
  await pushImage(registry, app, digests, 'v1');
  clock.advance(leaseSeconds);
  await metadata.repositories.remove({ name: app, origin: alice });
  const all = { blobs: 1100, bytes: 1100 * 2 ** 20 };
  const [held] = (await collector.collect(freeRun(), plain)).held;
  assert.deepEqual([held?.reason, held?.blobs, held?.bytes], ['undelete', all.blobs, all.bytes]);
  const foreseen = { manifests: 1, ...all };
  const dry = await collector.collect(freeRun(), { ...plain, dryRun: true, now: true });
  assert.deepEqual(dry.freed, foreseen);
  clock.advance(undeleteSeconds);
  const stopped = await collector.collect(freeRun(), plain);
  assert.deepEqual([stopped.stopped, stopped.freed], ['too much', foreseen]);
  assert.equal((await metadata.repositories.totals()).manifests, 1);
  assert.deepEqual((await collector.collect(freeRun(), { ...plain, force: true })).freed, foreseen);
});

test('nothing is taken back after the database was found damaged, nor while a backup copies', async (t) => {
  const { registry, clock, folder } = await openCare(t);
  await pushBlob(registry, app, 'layer');
  clock.advance(leaseSeconds);
  const release = await registry.unlinks.hold();
  assert.equal((await registry.collector.collect(freeRun(), plain)).stopped, 'backup running');
  release();
  await registry.collector.collect(freeRun(), plain);
  const again = await registry.unlinks.hold();
  clock.advance(unlinkDelaySeconds);
  assert.equal(await registry.unlinks.removeDue(), 0);
  assert.equal((await listFiles(folder)).length, 1);
  again();
  again();
  assert.equal(registry.unlinks.held, false);
  assert.equal(await registry.unlinks.removeDue(), 1);
});

test('a collection by schedule waits until a backup has copied, says so, and can be cancelled', async (t) => {
  const { registry, clock } = await openCare(t);
  const { operations, collector, unlinks } = registry;
  await pushBlob(registry, app, 'layer');
  clock.advance(leaseSeconds);
  const begin = () =>
    operations.start('gc', {}, alice, (run) => collector.collect(run, plain, { afterBackup: true }));
  const release = await unlinks.hold();
  const cancelled = await begin();
  await operations.cancel(cancelled);
  assert.equal((await operations.wait(cancelled))?.state, 'cancelled');
  const id = await begin();
  let waiting = await operations.find(id);
  for (; waiting?.report === undefined; waiting = await operations.find(id))
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(
    [waiting.state, waiting.report.waitsFor],
    ['running', 'a backup, until it has copied its blobs'],
  );
  release();
  const done = await operations.wait(id);
  assert.deepEqual([done?.state, done?.report?.freed], ['done', { manifests: 0, blobs: 1, bytes: 5 }]);
});

test('a collection by schedule that a backup overtakes in the same minute waits, too', async (t) => {
  const { registry, clock } = await openCare(t);
  const { collector, unlinks, metadata } = registry;
  await pushBlob(registry, app, 'layer');
  clock.advance(leaseSeconds);
  const { countTrash } = metadata.care.collector;
  let release: (() => void) | undefined;
  metadata.care.collector.countTrash = async (options) => {
    release ??= await unlinks.hold();
    return await countTrash(options);
  };
  const progress = (): void => release?.();
  const report = await collector.collect({ ...freeRun(), progress }, plain, { afterBackup: true });
  assert.deepEqual([report.stopped, report.freed.blobs], [undefined, 1]);
});

test('a file that no row names goes when it is a day old, and not while its row is on its way', async (t) => {
  const { registry, folder } = await openCare(t);
  await pushBlob(registry, app, 'named');
  const [named = ''] = await listFiles(folder);
  const orphan = `${named.slice(0, -26)}00000000000000000000000001`;
  const path = join(folder, 'blobs', orphan);
  await writeFile(path, 'left over');
  const young = await registry.collector.collect(freeRun(), { ...plain, now: true });
  assert.equal(young.orphans.blobs, 0);
  const longAgo = Date.now() / 1000 - 2 * 86_400;
  await utimes(path, longAgo, longAgo);
  const placed = await registry.placements.during(blobDigest('named'), () =>
    registry.collector.collect(freeRun(), { ...plain, now: true }),
  );
  assert.equal(placed.orphans.blobs, 0);
  const report = await registry.collector.collect(freeRun(), { ...plain, now: true });
  assert.deepEqual(report.orphans, { blobs: 1, bytes: 9 });
  assert.deepEqual(await listFiles(folder), [named]);
});

test('more files without a row than a crash leaves stay, until a run is forced', async (t) => {
  const { registry, clock, folder } = await openCare(t);
  await pushImage(registry, app, [await pushBlob(registry, app, 'named')], 'v1');
  // As after an older database was put back: a database without rows, and the files of everything that came since.
  await writeUnknownFiles(folder, 1100);
  const orphans = { blobs: 1100, bytes: 1100 * 2 ** 20, stopped: 'too much' };
  const dry = await registry.collector.collect(freeRun(), { ...plain, dryRun: true });
  assert.deepEqual(dry.orphans, orphans);
  for (const request of [plain, { ...plain, now: true }]) {
    assert.deepEqual((await registry.collector.collect(freeRun(), request)).orphans, orphans);
    // The walk is not made again so soon, and what it found is still told.
    assert.deepEqual((await registry.collector.collect(freeRun(), plain)).orphans, orphans);
    clock.advance(86_400);
  }
  assert.equal((await listFiles(folder)).length, 1101);
  const forced = await registry.collector.collect(freeRun(), { ...plain, force: true });
  assert.deepEqual(forced.orphans, { blobs: 1100, bytes: 1100 * 2 ** 20 });
  assert.equal((await listFiles(folder)).length, 1);
  assert.deepEqual((await registry.collector.collect(freeRun(), plain)).orphans, { blobs: 0, bytes: 0 });
});

test('a reader that has opened a blob reads it to its end while it is collected', async (t) => {
  const { registry, clock } = await openCare(t);
  const text = 'x'.repeat(300_000);
  const digest = await pushBlob(registry, app, text);
  const blob = await registry.blobs.find(app, digest);
  const open = await registry.blobs.open(app, digest, blob);
  await registry.blobs.unlink(app, digest, alice);
  await registry.collector.collect(freeRun(), plain);
  clock.advance(unlinkDelaySeconds);
  assert.equal(await registry.unlinks.removeDue(), 1);
  let length = 0;
  for await (const chunk of open.stream()) length += (chunk as Buffer).length;
  await open.close();
  assert.equal(length, text.length);
});

test('a reader between row and file finds the copy that was pushed again, or 404, and never an alarm', async (t) => {
  const { registry, clock, damage } = await openCare(t);
  const digest = await pushBlob(registry, app, 'layer');
  const before = await registry.blobs.find(app, digest);
  await registry.blobs.unlink(app, digest, alice);
  await registry.collector.collect(freeRun(), plain);
  clock.advance(unlinkDelaySeconds);
  await registry.unlinks.removeDue();
  const isUnknown = (error: unknown) => error instanceof OciError && error.code === 'BLOB_UNKNOWN';
  await assert.rejects(registry.blobs.open(app, digest, before), isUnknown);
  await pushBlob(registry, app, 'layer');
  assert.equal((await registry.blobs.readSmall(app, digest, before)).toString(), 'layer');
  assert.deepEqual(damage, []);
});

test('pushes, mounts and pushes that skip what is there never fail while a collector never rests', async (t) => {
  const { registry, clock, damage, failures } = await openCare(t);
  let busy = true;
  const collecting = (async () => {
    let freed = 0;
    while (busy) {
      const report = await registry.collector.collect(freeRun(), { ...plain, force: true, now: true });
      freed += report.freed.blobs;
      await registry.unlinks.removeDue();
    }
    return freed;
  })();
  const client = async (name: typeof app, from: typeof app): Promise<void> => {
    for (let round = 0; round < 40; round += 1) {
      const texts = [`layer ${round % 3}`, `layer ${(round + 1) % 3}`];
      const blobs: Digest[] = [];
      for (const text of texts) {
        const digest = blobDigest(text);
        // HEAD, then skip; else a mount; else an upload.
        const there = await registry.blobs.find(name, digest).catch(() => undefined);
        const mayPull = async () => true;
        if (
          there === undefined &&
          !(await registry.blobs.mount({ to: name, from, digest, origin: alice, mayPull }))
        )
          await pushBlob(registry, name, text);
        blobs.push(digest);
      }
      const manifest = await pushImage(registry, name, blobs, 'latest');
      const open = await registry.blobs.open(
        name,
        blobs[0] as Digest,
        await registry.blobs.find(name, blobs[0] as Digest),
      );
      await open.close();
      await registry.manifests.remove(name, { digest: manifest }, alice);
      // Leases end between rounds of one client, in the middle of those of others: less than half a lease in all of a push.
      clock.advance(leaseSeconds / 8);
    }
  };
  await Promise.all([client(app, other), client(other, app)]);
  busy = false;
  assert.ok((await collecting) >= 0);
  assert.deepEqual([damage, failures], [[], []]);
});

test('after everything was deleted and all leases are over, no file and no row is left', async (t) => {
  const { registry, clock, folder } = await openCare(t);
  for (const name of [app, other]) {
    const blob = await pushBlob(registry, name, 'shared');
    const manifest = await pushImage(
      registry,
      name,
      [blob, await pushBlob(registry, name, `own ${name}`)],
      'v1',
    );
    await registry.manifests.remove(name, { tag: tag('v1') }, alice);
    await registry.manifests.remove(name, { digest: manifest }, alice);
  }
  clock.advance(undeleteSeconds);
  const report = await registry.collector.collect(freeRun(), plain);
  assert.deepEqual(report.freed, {
    manifests: 2,
    blobs: 3,
    bytes: 6 + 'own team/app'.length + 'own team/other'.length,
  });
  assert.equal(report.expired.links, 4);
  clock.advance(unlinkDelaySeconds);
  await registry.unlinks.removeDue();
  assert.deepEqual(await listFiles(folder), []);
  assert.equal((await registry.metadata.repositories.totals()).blobs, 0);
  assert.equal(await registry.metadata.care.collector.countUnlinks(), 0);
});

test('a cancelled collection leaves everything whole', async (t) => {
  const { registry, clock } = await openCare(t);
  for (let count = 0; count < 5; count += 1) await pushBlob(registry, app, `layer ${count}`);
  clock.advance(leaseSeconds);
  const run = freeRun();
  let steps = 0;
  const step = async (): Promise<void> => {
    steps += 1;
    if (steps === 6) throw new Error('cancelled');
  };
  await assert.rejects(registry.collector.collect({ ...run, step }, plain), /cancelled/);
  const report = await registry.collector.collect(freeRun(), plain);
  assert.equal(report.stopped, undefined);
  assert.equal((await registry.metadata.repositories.totals()).blobs, 0);
});
