// Group commit: intentions share a commit and nothing else, and an acknowledged one survives the process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import {
  alice,
  linkBlob,
  manifestOf,
  manualClock,
  openTestStore,
  putManifest,
  repository,
  roomy,
  tag,
} from '../support/metadata.ts';
import { pushedTo, startMetadataProcess } from '../support/metadata-process.ts';

const app = repository('team/app');

test('intentions that wait together are committed together, in order', async (t) => {
  const { store } = await openTestStore(t);
  const before = store.writerStatistics().commits;
  const manifests = Array.from({ length: 100 }, (_, index) => manifestOf({ note: `${index}` }));
  await Promise.all(manifests.map((manifest) => putManifest(store, app, manifest, { tags: ['latest'] })));
  assert.ok(store.writerStatistics().commits - before <= 3);
  const found = await store.manifests.stat(app, { tag: tag('latest') });
  assert.equal(found?.digest, manifests.at(-1)?.digest);
});

test('a group is bounded in number and in bytes', async (t) => {
  const { store } = await openTestStore(t);
  const before = store.writerStatistics().commits;
  await Promise.all(Array.from({ length: 1000 }, (_, index) => linkBlob(store, app, `blob ${index}`)));
  const small = store.writerStatistics().commits;
  assert.ok(small - before >= 1000 / 128);
  const note = 'x'.repeat(3 * 1024 * 1024);
  await Promise.all(
    ['1', '2', '3', '4'].map((each) => putManifest(store, app, manifestOf({ note: note + each }))),
  );
  assert.ok(store.writerStatistics().commits - small >= 2);
});

test('an intention that fails is taken back alone', async (t) => {
  const { store } = await openTestStore(t);
  const before = store.writerStatistics().commits;
  const begin = (id: string, name: string) =>
    store.uploads.begin({
      repository: repository(name),
      principal: 'alice',
      upload: { id, state: '' },
      limits: roomy,
    });
  const results = await Promise.allSettled([
    begin('u1', 'team/one'),
    // The same session twice breaks a constraint, after the repository was made.
    begin('u1', 'team/two'),
    begin('u3', 'team/three'),
  ]);
  assert.equal(store.writerStatistics().commits - before, 1);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.notEqual(await store.repositories.find(repository('team/one')), undefined);
  assert.equal(await store.repositories.find(repository('team/two')), undefined);
  assert.notEqual(await store.repositories.find(repository('team/three')), undefined);
});

test('what cannot be handed to the writer is rejected, and the store goes on', async (t) => {
  const { store } = await openTestStore(t);
  const origin = { ...alice, surprise: () => undefined };
  await assert.rejects(putManifest(store, app, manifestOf({}), { origin }), /could not be cloned/);
  await putManifest(store, app, manifestOf({}));
});

test('a read after an acknowledged write sees it', async (t) => {
  const { store } = await openTestStore(t);
  await Promise.all(
    Array.from({ length: 8 }, async (_, pusher) => {
      for (let round = 0; round < 50; round += 1) {
        const digest = await putManifest(store, app, manifestOf({ note: `${pusher} ${round}` }), {
          tags: [`t${pusher}`],
        });
        assert.equal((await store.manifests.stat(app, { tag: tag(`t${pusher}`) }))?.digest, digest);
      }
    }),
  );
});

test('every push that was acknowledged is there after kill -9', async (t) => {
  const folder = await makeFolder(t, 'killed');
  const acknowledged: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const { child, waitFor, ended, lines } = startMetadataProcess(folder, 'push');
    onEnd(t, () => child.kill('SIGKILL'));
    await waitFor((_, all) => all.length > 200 + 100 * round);
    child.kill('SIGKILL');
    await ended;
    acknowledged.push(...lines.filter((line) => line.startsWith('t')));
  }
  const { store } = await openTestStore(t, { folder });
  assert.ok(acknowledged.length > 600);
  for (const name of acknowledged) {
    assert.notEqual(await store.manifests.find(pushedTo, { tag: tag(name) }), undefined, name);
  }
});

test('uptime goes on where it was when the store was closed', async (t) => {
  const clock = manualClock();
  const first = await openTestStore(t, { clock });
  const digest = await linkBlob(first.store, app, 'layer');
  clock.advance(1000);
  await first.close();
  clock.advance(1_000_000);
  const second = await openTestStore(t, { clock, folder: first.folder });
  assert.equal((await second.store.blobs.find(app, digest))?.lease, 86_400 - 1000);
  clock.advance(100);
  await second.store.advanceClock();
  assert.equal((await second.store.blobs.find(app, digest))?.lease, 86_400 - 1100);
});
