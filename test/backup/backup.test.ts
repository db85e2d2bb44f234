// Backups of a running registry: what they hold, what they cost the second time, what they refuse, and what a restore brings.
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BackupFolder } from '../../src/backup/backup-folder.ts';
import { standaloneRun } from '../../src/registry/operation-run.ts';
import { backUp, restore, verify } from '../support/backups.ts';
import { beginUpload, ociIndex, pushBlob, pushImage, putManifest, sha256 } from '../support/client.ts';
import { Ledger } from '../support/ledger.ts';
import { pullEverything, pullImage } from '../support/pull.ts';
import { makeRandom, Pusher } from '../support/pusher.ts';
import { startRegistry, type TestRegistry, temporaryFolder } from '../support/registry.ts';

async function newFolder(t: TestContext): Promise<string> {
  return join(await temporaryFolder(t), 'new');
}

/** The one file of a blob below a folder. */
function fileOf(folder: string, digest: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const name = names.find((found) => found.includes(digest.slice('sha256:'.length)));
  assert.ok(name, `${digest} is below ${folder}`);
  return join(folder, name);
}

async function flipByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  // A new inode: the other names of a linked file keep the old content.
  await unlink(path);
  await writeFile(path, bytes);
}

async function startRestored(t: TestContext, backups: string): Promise<TestRegistry> {
  const data = await newFolder(t);
  await restore(backups, data);
  return await startRegistry(t, {}, { data });
}

test('a restored registry serves every image, referrer and untagged manifest, and is the same instance', async (t) => {
  const source = await startRegistry(t);
  const first = await pushImage(source.url, 'team/app', 'v1');
  await pushImage(source.url, 'other/deep/er', 'latest');
  const child = await pushImage(source.url, 'team/app', 'child');
  const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [child.descriptor] };
  assert.equal((await putManifest(source.url, 'team/app', 'multi', index, ociIndex)).status, 201);
  const signature = { ...JSON.parse(first.body), subject: first.descriptor };
  const signed = await putManifest(source.url, 'team/app', sha256(JSON.stringify(signature)), signature);
  assert.equal(signed.status, 201);
  const loose = await pushBlob(source.url, 'team/app', 'no manifest needs this yet');
  await beginUpload(source.url, 'team/app');
  const backups = await newFolder(t);
  const report = await backUp(source.registry, backups);
  assert.equal(report.blobs.linked + report.blobs.copied, 7);
  assert.deepEqual(report.damaged, []);
  assert.deepEqual((await verify(backups)).faults, []);

  const before = await pullEverything(source.url);
  await source.close();
  const restored = await startRestored(t, backups);
  assert.deepEqual(await pullEverything(restored.url), before);
  assert.equal(before.size, 4);
  const referrers = await fetch(`${restored.url}/v2/team/app/referrers/${first.digest}`);
  assert.equal(((await referrers.json()) as { manifests: unknown[] }).manifests.length, 1);
  assert.equal((await fetch(`${restored.url}/v2/team/app/blobs/${loose}`)).status, 200);
  assert.equal((await restored.registry.metadata.repositories.totals()).openUploads, 0);
  const marker = async (folder: string) => await readFile(join(folder, 'berth.instance'), 'utf8');
  assert.equal(await marker(restored.data), await marker(source.data));
  await pushImage(restored.url, 'team/app', 'after');
});

test('the second backup brings the new blobs alone, and both can be restored', async (t) => {
  const source = await startRegistry(t);
  await pushImage(source.url, 'team/app', 'v1');
  const backups = await newFolder(t);
  const first = await backUp(source.registry, backups);
  await pushImage(source.url, 'team/app', 'v2');
  const second = await backUp(source.registry, backups);
  assert.equal(second.blobs.present, 2);
  assert.equal(second.blobs.linked + second.blobs.copied, 2);
  const records = await new BackupFolder(backups).list();
  assert.deepEqual(
    records.map(({ name, tags, blobs }) => ({ name, tags, blobs })).sort((a, b) => a.tags - b.tags),
    [
      { name: first.name, tags: 1, blobs: 2 },
      { name: second.name, tags: 2, blobs: 4 },
    ],
  );
  const data = await newFolder(t);
  await restore(backups, data, { name: first.name });
  const restored = await startRegistry(t, {}, { data });
  assert.deepEqual([...(await pullEverything(restored.url)).keys()], ['team/app:v1']);
});

test('retention keeps the newest backups and removes the blobs that no kept one needs', async (t) => {
  const source = await startRegistry(t);
  const backups = await newFolder(t);
  let at = 1_800_000_000;
  const unixSeconds = () => at;
  await pushImage(source.url, 'team/app', 'v1');
  await backUp(source.registry, backups, { unixSeconds });
  at += 60;
  await pushImage(source.url, 'team/app', 'v2');
  const { pruned } = await backUp(source.registry, backups, { unixSeconds, keep: 2 });
  assert.deepEqual(pruned?.removed, []);
  at += 60;
  const third = await backUp(source.registry, backups, { unixSeconds, keep: 1 });
  assert.equal(third.pruned?.removed.length, 2);
  assert.deepEqual(
    (await new BackupFolder(backups).list()).map(({ name }) => name),
    [third.name],
  );
  // A blob that nobody names.
  const stray = new BackupFolder(backups).blobPath(sha256('stray') as never);
  await mkdir(join(stray, '..'), { recursive: true });
  await writeFile(stray, 'stray');
  const fourth = await backUp(source.registry, backups, { keep: 1 });
  assert.deepEqual(fourth.pruned?.blobs, 1);
  assert.deepEqual((await verify(backups)).faults, []);
});

test('a backup while people push and delete can be restored, and every image in it pulled', async (t) => {
  const source = await startRegistry(t, { 'collector.lease': '1m' });
  const backups = await newFolder(t);
  const ledger = new Ledger();
  const pushers = Array.from(
    { length: 4 },
    (_, index) => new Pusher(source.url, ledger, `churn/p${index}`, makeRandom(index + 1)),
  );
  let over = false;
  const working = pushers.map(async (pusher) => {
    while (!over) await pusher.step();
  });
  const unlinking = (async () => {
    while (!over) {
      await source.registry.unlinks.removeDue();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const report = await backUp(source.registry, backups);
    assert.deepEqual(report.damaged, []);
  }
  over = true;
  await Promise.all([...working, unlinking]);
  assert.deepEqual(ledger.faults, []);
  const checked = await verify(backups);
  assert.equal(checked.backups.length, 5);
  assert.deepEqual(checked.faults, []);
  for (const name of checked.backups) {
    const data = await newFolder(t);
    const { damaged } = await restore(backups, data, { name });
    assert.deepEqual(damaged, []);
    const restored = await startRegistry(t, {}, { data });
    assert.ok((await pullEverything(restored.url)).size > 0);
    await restored.close();
  }
});

test('files that are queued for removal stay until the blobs are copied', async (t) => {
  const source = await startRegistry(t);
  const image = await pushImage(source.url, 'team/app', 'v1');
  const { metadata, store, unlinks } = source.registry;
  const blob = await metadata.blobs.find('team/app' as never, image.layer as never);
  assert.ok(blob);
  const release = await unlinks.hold();
  metadata.blobs.listDueUnlinks = async () => [blob.location];
  await unlinks.removeDue();
  assert.ok(await store.stat(blob.location), 'held back');
  release();
  await unlinks.removeDue();
  assert.equal(await store.stat(blob.location), undefined);
});

test('a blob whose bytes are no longer what they were is left out, told of, and quarantined in the registry', async (t) => {
  const source = await startRegistry(t);
  await pushImage(source.url, 'team/app', 'good');
  const flipped = await pushImage(source.url, 'team/app', 'flipped');
  const missing = await pushImage(source.url, 'team/app', 'missing');
  await flipByte(fileOf(join(source.data, 'blobs'), flipped.layer));
  await unlink(fileOf(join(source.data, 'blobs'), missing.layer));
  const backups = await newFolder(t);
  const report = await backUp(source.registry, backups);
  const byFound = [...report.damaged].sort((a, b) => a.found.localeCompare(b.found));
  assert.deepEqual(byFound, [
    { digest: missing.layer, found: 'missing' },
    { digest: flipped.layer, found: 'other content' },
  ]);
  for (const { layer } of [flipped, missing]) {
    assert.equal((await fetch(`${source.url}/v2/team/app/blobs/${layer}`, { method: 'HEAD' })).status, 404);
  }
  const restored = await startRestored(t, backups);
  await pullImage(restored.url, 'team/app', 'good');
  const head = await fetch(`${restored.url}/v2/team/app/blobs/${flipped.layer}`, { method: 'HEAD' });
  assert.equal(head.status, 404, 'never served as good');
  await pushImage(restored.url, 'team/app', 'flipped');
  await pullImage(restored.url, 'team/app', 'flipped');
  const again = await backUp(source.registry, backups);
  assert.deepEqual(new Set(again.damaged.map(({ found }) => found)), new Set(['known']));
});

test('what went bad in the registry after a backup is restored from the bytes that the backup has', async (t) => {
  const source = await startRegistry(t);
  const image = await pushImage(source.url, 'team/app', 'v1');
  const backups = await newFolder(t);
  await backUp(source.registry, backups);
  await flipByte(fileOf(join(source.data, 'blobs'), image.layer));
  const { blobs } = source.registry.metadata;
  const found = await blobs.find('team/app' as never, image.layer as never);
  assert.ok(found);
  await blobs.markDamaged(found.location);
  const next = await backUp(source.registry, backups, { keep: 1, verify: true });
  assert.deepEqual([next.damaged, next.verified?.faults], [[], []]);
  const restored = await startRestored(t, backups);
  await pullImage(restored.url, 'team/app', 'v1');
});

test('verify names what is flipped, cut short, gone, and a database that changed', async (t) => {
  const source = await startRegistry(t);
  const [flipped, short, gone] = [
    await pushImage(source.url, 'team/app', 'flipped'),
    await pushImage(source.url, 'team/app', 'short'),
    await pushImage(source.url, 'team/app', 'gone'),
  ];
  const backups = await newFolder(t);
  const { name } = await backUp(source.registry, backups);
  const blobs = join(backups, 'blobs');
  await flipByte(fileOf(blobs, flipped.layer));
  const cut = fileOf(blobs, short.layer);
  const bytes = await readFile(cut);
  await unlink(cut);
  await writeFile(cut, bytes.subarray(0, 3));
  await unlink(fileOf(blobs, gone.layer));
  const { faults } = await verify(backups);
  assert.deepEqual(
    new Map(faults.map(({ digest, holders }) => [digest, holders])),
    new Map(
      [flipped, short, gone].map(({ layer }, index) => [
        layer,
        [{ repository: 'team/app', tags: [['flipped', 'short', 'gone'][index]] }],
      ]),
    ),
  );
  const data = await newFolder(t);
  assert.equal((await restore(backups, data)).damaged.length, 3);

  // The next backup heals what it can see: a wrong size and a gap. What it cannot see keeps the older one alive.
  const next = await backUp(source.registry, backups, { keep: 1, verify: true });
  assert.equal(next.pruned, undefined);
  assert.deepEqual(
    next.verified?.faults.map(({ digest }) => digest),
    [flipped.layer],
  );
  assert.deepEqual(
    new Set((await verify(backups)).faults.map(({ digest }) => digest)),
    new Set([flipped.layer]),
  );
  await flipByte(join(backups, 'backups', name, 'berth.db'));
  const after = await verify(backups);
  assert.match(after.faults.find(({ digest }) => digest === undefined)?.found ?? '', /not the one/);
  await assert.rejects(restore(backups, await newFolder(t), { name }), /not the database that was written/);
});

test('folders with other things in them are refused, for a backup and for a restore', async (t) => {
  const source = await startRegistry(t);
  await pushImage(source.url, 'team/app', 'v1');
  const foreign = await temporaryFolder(t);
  await writeFile(join(foreign, 'letters.txt'), 'mine');
  await assert.rejects(backUp(source.registry, foreign), /holds other things \(letters.txt\)/);
  assert.deepEqual(await readdir(foreign), ['letters.txt']);
  const backups = await newFolder(t);
  await backUp(source.registry, backups);
  const other = await startRegistry(t);
  await assert.rejects(backUp(other.registry, backups), /backups of another registry/);
  await assert.rejects(restore(backups, source.data), /restore into a new folder/);
  await assert.rejects(restore(backups, foreign), /holds something \(letters.txt\)/);
  await assert.rejects(restore(foreign, await newFolder(t)), /has no backup/);
  await assert.rejects(restore(backups, await newFolder(t), { name: 'x' }), /has no backup x; it has/);
});

test('a cancelled backup leaves nothing that counts, and the next one succeeds', async (t) => {
  const source = await startRegistry(t);
  for (let number = 0; number < 5; number += 1) await pushImage(source.url, 'team/app', `v${number}`);
  const backups = await newFolder(t);
  const cancel = new AbortController();
  const run = standaloneRun({ signal: cancel.signal, onProgress: () => cancel.abort(new Error('enough')) });
  await assert.rejects(backUp(source.registry, backups, { run }), /enough|abort/);
  assert.deepEqual(await new BackupFolder(backups).list(), []);
  assert.equal(source.registry.unlinks.held, false);
  await backUp(source.registry, backups);
  assert.deepEqual((await verify(backups)).faults, []);
});

test('a backup to another file system copies, one to the same links, and a restore can do without links', async (t) => {
  const source = await startRegistry(t);
  const image = await pushImage(source.url, 'team/app', 'v1');
  const near = await newFolder(t);
  assert.deepEqual((await backUp(source.registry, near)).blobs, { present: 0, linked: 2, copied: 0 });
  const inode = (folder: string) => statSync(fileOf(folder, image.layer)).ino;
  assert.equal(inode(join(near, 'blobs')), inode(join(source.data, 'blobs')));
  const data = await newFolder(t);
  assert.equal((await restore(near, data, { copy: true })).copied, 2);
  assert.notEqual(inode(join(near, 'blobs')), inode(join(data, 'blobs')));

  const far = await mkdtemp('/dev/shm/berth-test-');
  t.after(() => rm(far, { recursive: true, force: true }));
  if (statSync(far).dev === statSync(source.data).dev)
    return t.diagnostic('/dev/shm is no other file system');
  assert.deepEqual((await backUp(source.registry, far)).blobs, { present: 0, linked: 0, copied: 2 });
  assert.deepEqual((await verify(far)).faults, []);
  const home = await newFolder(t);
  assert.equal((await restore(far, home)).copied, 2);
  const restored = await startRegistry(t, {}, { data: home });
  assert.equal((await pullEverything(restored.url)).size, 1);
});

test('a folder whose restore was cut short is not taken for a new registry', async (t) => {
  const source = await startRegistry(t);
  const image = await pushImage(source.url, 'team/app', 'v1');
  const backups = await newFolder(t);
  await backUp(source.registry, backups);
  // A blob that cannot be read stops the restore as a killed process would.
  const blob = fileOf(join(backups, 'blobs'), image.layer);
  await unlink(blob);
  await mkdir(blob);
  const data = await newFolder(t);
  await assert.rejects(restore(backups, data));
  await assert.rejects(startRegistry(t, {}, { data }), /database .* is missing/);
  await assert.rejects(restore(backups, data), /remove the folder first/);
});
