// Contract: upload sessions, their limits, their end.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Upload } from '../../src/storage/blob-store.ts';
import type { MetadataStore, UploadLimits } from '../../src/storage/metadata-store.ts';
import {
  alice,
  blobDigest,
  keepTimes,
  linkBlob,
  manualClock,
  newLocation,
  repository,
  roomy,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');
const other = repository('team/other');

const upload = (id: string): Upload => ({ id, state: `state of ${id}` });

function begin(
  store: MetadataStore,
  id: string,
  options: { readonly principal?: string; readonly limits?: UploadLimits; readonly in?: typeof app } = {},
) {
  const { principal = 'alice', limits = roomy, in: name = app } = options;
  return store.uploads.begin({ repository: name, principal, upload: upload(id), limits });
}

function finishing(id: string, text = 'layer') {
  const content = { digest: blobDigest(text), location: newLocation(), size: text.length };
  return { repository: app, upload: upload(id), ...content, origin: alice };
}

export function describeUploadIndex(name: string, open: OpenMetadataStore): void {
  describe(`${name}: upload sessions`, () => {
    test('a session is found by its repository and its principal alone', async (t) => {
      const store = await open(t, { clock: manualClock() });
      assert.deepEqual(await begin(store, 'u1'), { outcome: 'begun', ended: [] });
      assert.equal((await store.repositories.find(app))?.live, false);
      assert.deepEqual(await store.uploads.find(app, 'alice', 'u1'), upload('u1'));
      await begin(store, 'u2', { in: other });
      assert.equal(await store.uploads.find(other, 'alice', 'u1'), undefined);
      assert.equal(await store.uploads.find(app, 'bob', 'u1'), undefined);
      assert.equal(await store.uploads.find(app, 'alice', 'u9'), undefined);
    });

    test('a session that finished or was closed is open no more', async (t) => {
      const store = await open(t, { clock: manualClock() });
      for (const id of ['u1', 'u2', 'u3']) await begin(store, id);
      assert.equal(await store.uploads.finish(finishing('u1')), true);
      assert.equal(await store.uploads.close('u2'), true);
      assert.equal(await store.uploads.close('u2'), false);
      assert.equal(await store.uploads.close('u1'), false);
      assert.deepEqual(await store.uploads.filterClosed(['u1', 'u2', 'u3', 'never']), ['u1', 'u2', 'never']);
      assert.equal(await store.uploads.find(app, 'alice', 'u1'), undefined);
    });

    test('finishing links the blob with a full lease', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await begin(store, 'u1');
      const input = finishing('u1');
      assert.equal(await store.uploads.finish(input), true);
      assert.deepEqual(await store.blobs.find(app, input.digest), {
        digest: input.digest,
        location: input.location,
        size: 5,
        lease: keepTimes.leaseSeconds,
      });
    });

    test('finishing a session that was closed meanwhile links nothing and queues the location', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await begin(store, 'u1');
      await store.uploads.close('u1');
      const late = finishing('u1');
      assert.equal(await store.uploads.finish(late), false);
      const astray = finishing('u2');
      await begin(store, 'u2', { in: other });
      assert.equal(await store.uploads.finish(astray), false);
      assert.equal(await store.blobs.find(app, late.digest), undefined);
      clock.advance(keepTimes.unlinkDelaySeconds);
      const due = await store.blobs.listDueUnlinks(10);
      assert.deepEqual([...due].sort(), [late.location, astray.location].sort());
    });

    test('of two finishes of one session one wins, and its bytes are never queued', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await begin(store, 'u1');
      const input = finishing('u1');
      const results = await Promise.all([store.uploads.finish(input), store.uploads.finish(input)]);
      assert.deepEqual(results, [true, false]);
      clock.advance(keepTimes.unlinkDelaySeconds);
      assert.deepEqual(await store.blobs.listDueUnlinks(10), []);
    });
  });

  describeLimits(name, open);
  describeExpiry(name, open);
}

function describeLimits(name: string, open: OpenMetadataStore): void {
  describe(`${name}: limits of upload sessions`, () => {
    const scopes = {
      perRepository: { limits: { ...roomy, perRepository: 2 }, third: { principal: 'carol' } },
      perPrincipal: { limits: { ...roomy, perPrincipal: 2 }, third: { in: other } },
      total: { limits: { ...roomy, total: 2 }, third: { in: other, principal: 'carol' } },
    } as const;
    for (const [limit, { limits, third }] of Object.entries(scopes)) {
      test(`at the limit ${limit} the longest-idle session ends, if it was idle long enough`, async (t) => {
        const clock = manualClock();
        const store = await open(t, { clock });
        await begin(store, 'u1', { limits });
        clock.advance(100);
        await begin(store, 'u2', { limits });
        clock.advance(499);
        assert.deepEqual(await begin(store, 'u3', { limits, ...third }), { outcome: 'too-many', limit });
        assert.deepEqual(await store.uploads.filterClosed(['u1', 'u2', 'u3']), ['u3']);
        clock.advance(1);
        const ended = [upload('u1')];
        assert.deepEqual(await begin(store, 'u3', { limits, ...third }), { outcome: 'begun', ended });
        assert.deepEqual(await store.uploads.filterClosed(['u1', 'u2', 'u3']), ['u1']);
      });
    }

    test('a session that is in use does not count as idle', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const limits = { ...roomy, perRepository: 2 };
      await begin(store, 'u1', { limits });
      await begin(store, 'u2', { limits });
      clock.advance(599);
      await store.uploads.touch('u1');
      await store.uploads.touch('never begun');
      clock.advance(1);
      assert.deepEqual(await begin(store, 'u3', { limits }), { outcome: 'begun', ended: [upload('u2')] });
    });

    test('a refusal at one limit ends nothing at another, and makes no repository', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await begin(store, 'old', { principal: 'bob' });
      clock.advance(601);
      await begin(store, 'u1', { principal: 'carol', in: other });
      const limits = { ...roomy, perRepository: 1, perPrincipal: 1 };
      const refused = await begin(store, 'u2', { principal: 'carol', limits });
      assert.deepEqual(refused, { outcome: 'too-many', limit: 'perPrincipal' });
      assert.deepEqual(await store.uploads.filterClosed(['old', 'u1']), []);
      const elsewhere = repository('new/one');
      await begin(store, 'u3', { principal: 'carol', limits, in: elsewhere });
      assert.equal(await store.repositories.find(elsewhere), undefined);
    });

    test('a limit that was lowered ends as many as it takes', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      for (const id of ['u1', 'u2', 'u3']) await begin(store, id);
      clock.advance(600);
      const outcome = await begin(store, 'u4', { limits: { ...roomy, perRepository: 2 } });
      assert.equal(outcome.outcome === 'begun' && outcome.ended.length, 2);
    });
  });
}

function describeExpiry(name: string, open: OpenMetadataStore): void {
  describe(`${name}: expiry of upload sessions`, () => {
    const bounds = { idleSeconds: 3600, longestSeconds: 10_000, limit: 100 };

    test('sessions idle or alive too long end, and others do not', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      for (const id of ['idle', 'old']) await begin(store, id);
      for (let hour = 0; hour < 3; hour += 1) {
        clock.advance(3333);
        await store.uploads.touch('old');
      }
      await begin(store, 'young');
      const first = await store.uploads.expire(bounds);
      assert.deepEqual(first, [upload('idle')]);
      clock.advance(1);
      assert.deepEqual(await store.uploads.expire(bounds), [upload('old')]);
      assert.deepEqual(await store.uploads.expire(bounds), []);
      assert.deepEqual(await store.uploads.filterClosed(['idle', 'old', 'young']), ['idle', 'old']);
    });

    test('a jump of the wall clock expires nothing', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await begin(store, 'u1');
      clock.jump(1_000_000);
      assert.deepEqual(await store.uploads.expire(bounds), []);
    });

    test('at most the limit ends at a time', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      for (const id of ['u1', 'u2', 'u3']) await begin(store, id);
      clock.advance(20_000);
      assert.equal((await store.uploads.expire({ ...bounds, limit: 2 })).length, 2);
      assert.equal((await store.uploads.expire({ ...bounds, limit: 2 })).length, 1);
    });

    test('a repository without manifest, blob or session goes, any other stays', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      await begin(store, 'u1', { in: repository('a/empty') });
      await begin(store, 'u2', { in: repository('b/open') });
      await begin(store, 'u3', { in: repository('c/blob') });
      await linkBlob(store, repository('c/blob'), 'layer');
      for (const id of ['u1', 'u3']) await store.uploads.close(id);
      await store.uploads.expire(bounds);
      assert.equal(await store.repositories.find(repository('a/empty')), undefined);
      assert.notEqual(await store.repositories.find(repository('b/open')), undefined);
      assert.notEqual(await store.repositories.find(repository('c/blob')), undefined);
      await begin(store, 'u4', { in: repository('a/empty') });
      assert.notEqual(await store.repositories.find(repository('a/empty')), undefined);
    });
  });
}
