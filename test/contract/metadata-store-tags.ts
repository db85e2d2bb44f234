// Contract: lists of tags and manifests in every order, with filters and in pages.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ListCursor, ListTags, MetadataStore, TagOrder } from '../../src/storage/metadata-store.ts';
import {
  alice,
  linkBlob,
  manifestOf,
  manualClock,
  putManifest,
  repository,
  tag,
} from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('team/app');

async function listAll(store: MetadataStore, options: Partial<ListTags> = {}) {
  const given = {
    repository: app,
    order: 'name',
    descending: false,
    limit: 1000,
    filter: {},
    ...options,
  } as const;
  const names: string[] = [];
  let after: ListCursor | undefined;
  let pages = 0;
  do {
    const part = await store.tags.details({ ...given, after });
    assert.ok(part);
    names.push(...part.items.map(({ name }) => name));
    after = part.next;
    pages += 1;
  } while (after !== undefined);
  return { names, pages };
}

export function describeTagLists(name: string, open: OpenMetadataStore): void {
  describe(`${name}: lists of tags`, () => {
    test('a tag is told with all that people want to know of it', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const blobs = [await linkBlob(store, app, 'layer')];
      const digest = await putManifest(
        store,
        app,
        { ...manifestOf({ blobs }), platforms: ['linux/amd64'] },
        { tags: ['v1'] },
      );
      clock.advance(10);
      await store.manifests.recordPulls([{ repository: app, digest, pulls: 3, lastAt: 1_900_000_005 }]);
      const found = await store.tags.find(app, tag('v1'));
      assert.deepEqual(found, {
        name: 'v1',
        digest,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        artifactType: undefined,
        kind: 'image',
        platforms: ['linux/amd64'],
        size: 100,
        pushedAt: 1_900_000_000,
        pushedBy: 'alice',
        pulledAt: 1_900_000_005,
        pulls: 3,
        signed: false,
        deprecation: undefined,
      });
      assert.equal(await store.tags.find(app, tag('v2')), undefined);
      assert.equal(await store.tags.find(repository('team/none'), tag('v1')), undefined);
      assert.equal(
        await store.tags.details({
          repository: repository('team/none'),
          order: 'name',
          descending: false,
          limit: 1,
          filter: {},
        }),
        undefined,
      );
    });

    test('every order is the same in one page and in pages of one, forwards and backwards', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const names = ['latest', 'v1.10.0', 'v1.9.0', 'v1.9.0-rc.1', '2.0', 'main'];
      for (const [index, each] of names.entries()) {
        const blobs = await Promise.all(
          Array.from({ length: (index * 5) % 3 }, (_, at) => linkBlob(store, app, `b${at}`)),
        );
        const digest = await putManifest(store, app, manifestOf({ blobs, note: each }), {
          tags: [each, `${each}-x`],
        });
        if (index % 2 === 0)
          await store.manifests.recordPulls([{ repository: app, digest, pulls: 1, lastAt: 1000 - index }]);
        clock.advance(1);
      }
      const expected: Record<TagOrder, readonly string[]> = {
        name: names.flatMap((each) => [each, `${each}-x`]).sort(),
        pushedAt: names.flatMap((each) => [each, `${each}-x`]),
        size: [],
        pulledAt: [],
        semver: [],
      };
      for (const order of Object.keys(expected) as TagOrder[]) {
        for (const descending of [false, true]) {
          const whole = (await listAll(store, { order, descending })).names;
          const single = (await listAll(store, { order, descending, limit: 1 })).names;
          assert.deepEqual(single, whole, `${order} ${descending}`);
          assert.equal(new Set(whole).size, names.length * 2);
          const wanted = expected[order];
          if (wanted.length > 0) assert.deepEqual(whole, descending ? wanted.toReversed() : wanted);
        }
      }
      const versions = (await listAll(store, { order: 'semver', descending: true })).names.filter(
        (each) => !/-x$/.test(each),
      );
      assert.deepEqual(versions.slice(0, 4), ['2.0', 'v1.10.0', 'v1.9.0', 'v1.9.0-rc.1']);
      const pulled = (await listAll(store, { order: 'pulledAt', descending: true })).names;
      assert.deepEqual(pulled.slice(0, 6), ['latest', 'latest-x', 'v1.9.0', 'v1.9.0-x', '2.0', '2.0-x']);
      const sizes: number[] = [];
      for (const each of (await listAll(store, { order: 'size' })).names)
        sizes.push((await store.tags.find(app, tag(each)))?.size ?? -1);
      assert.deepEqual(
        sizes,
        sizes.toSorted((one, other) => one - other),
      );
    });

    test('the size of an index counts each blob below it once, also when a child arrives later', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const [shared, one, two] = await Promise.all(
        ['shared', 'one', 'four'].map((text) => linkBlob(store, app, text)),
      );
      assert.ok(shared && one && two);
      const first = manifestOf({ blobs: [shared, one] });
      const second = manifestOf({ blobs: [shared, two] });
      await putManifest(store, app, first);
      const index = manifestOf({ children: [first.digest, second.digest] });
      await putManifest(store, app, index, { tags: ['multi'], sparse: 'index' });
      const sizeOf = async (name: string) => (await store.tags.find(app, tag(name)))?.size;
      assert.equal(await sizeOf('multi'), 'sharedone'.length);
      await putManifest(store, app, manifestOf({ children: [index.digest], note: 'above' }), {
        tags: ['above'],
      });
      await putManifest(store, app, second);
      assert.equal(await sizeOf('multi'), 'sharedonefour'.length);
      assert.equal(await sizeOf('above'), 'sharedonefour'.length);
    });

    test('filters find by glob, part, platform and signature', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const image = { ...manifestOf({ note: 'arm' }), platforms: ['linux/arm/v7', 'linux/amd64'] };
      await putManifest(store, app, image, { tags: ['v1', 'V2', 'pr-10'] });
      const other = await putManifest(store, app, manifestOf({ note: 'other' }), { tags: ['v3', 'pr-9'] });
      const found = async (filter: ListTags['filter']) => (await listAll(store, { filter })).names;
      assert.deepEqual(await found({ matching: 'pr-*' }), ['pr-10', 'pr-9']);
      assert.deepEqual(await found({ matching: 'v[13]' }), ['v1', 'v3']);
      assert.deepEqual(await found({ containing: 'v' }), ['V2', 'v1', 'v3']);
      assert.deepEqual(await found({ platform: 'linux/arm' }), ['V2', 'pr-10', 'v1']);
      assert.deepEqual(await found({ platform: 'linux/ar' }), []);
      assert.deepEqual(await found({ signed: true }), []);
      // As a referrer, and in cosign's form.
      const signature = manifestOf({
        subject: image.digest,
        artifactType: 'application/vnd.cncf.notary.signature',
      });
      await putManifest(store, app, { ...signature, isSignature: true });
      assert.deepEqual(await found({ signed: true }), ['V2', 'pr-10', 'v1']);
      const signatureTag = `${other.replace(':', '-')}.sig`;
      await putManifest(store, app, manifestOf({ note: 'cosign' }), { tags: [signatureTag] });
      assert.deepEqual(await found({ signed: false }), [signatureTag]);
    });

    test('a filter that finds little ends in pages that are short, and finds all', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = manifestOf({});
      for (let from = 0; from < 9000; from += 3000) {
        const tags = Array.from({ length: 3000 }, (_, at) => `t${String(from + at).padStart(5, '0')}`);
        await putManifest(store, app, digest, { tags });
      }
      await putManifest(store, app, digest, { tags: ['needle'] });
      for (const order of ['name', 'pushedAt', 'size', 'semver'] as const) {
        const { names, pages } = await listAll(store, { order, filter: { containing: 'eed' } });
        assert.deepEqual(names, ['needle']);
        assert.ok(pages > 1 && pages < 5, `${order}: ${pages} pages`);
      }
      // A glob that begins with letters is looked for where they are.
      assert.equal((await listAll(store, { filter: { matching: 't0899*' } })).pages, 1);
      assert.equal(
        (await listAll(store, { filter: { matching: 't0899*' }, descending: true })).names.length,
        10,
      );
    });

    test('manifests are listed newest first, also those without a tag, with what lists them', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const child = await putManifest(store, app, manifestOf({ note: 'child' }));
      const index = await putManifest(store, app, manifestOf({ children: [child] }), { tags: ['multi'] });
      const alone = await putManifest(store, app, manifestOf({ subject: child, note: 'alone' }));
      const list = async (options: object) => {
        const part = await store.manifests.details({ repository: app, limit: 10, ...options });
        return part?.items.map(({ digest }) => digest);
      };
      assert.deepEqual(await list({}), [alone, index, child]);
      assert.deepEqual(await list({ tagged: false }), [alone, child]);
      assert.deepEqual(await list({ tagged: true }), [index]);
      assert.deepEqual(await list({ kind: 'index' }), [index]);
      assert.deepEqual(await list({ kind: 'artifact' }), []);
      const [first] = (await store.manifests.details({ repository: app, limit: 1 }))?.items ?? [];
      assert.equal(first?.digest, alone);
      assert.equal(first?.subject, child);
      const part = await store.manifests.details({ repository: app, limit: 1 });
      assert.deepEqual(await list({ before: part?.next?.[0] }), [index, child]);
      const details = await store.manifests.findDetails(app, child);
      assert.deepEqual([details?.tags, details?.tagCount, details?.listedBy], [[], 0, [index]]);
      await store.tags.remove(app, tag('multi'), alice);
      assert.deepEqual(await list({ tagged: true }), []);
    });

    test('what nobody has looked into is listed until somebody has', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const subject = await putManifest(store, app, manifestOf({ note: 'image' }), { tags: ['v1'] });
      const signature = await putManifest(store, app, manifestOf({ subject, note: 'signature' }));
      const unread = await store.manifests.listUnread({ after: 0, limit: 10 });
      assert.deepEqual(
        unread.map(({ repository: of, digest }) => [of, digest]),
        [
          [app, subject],
          [app, signature],
        ],
      );
      await store.manifests.describe(
        unread.map(({ id, digest }) => ({
          id,
          platforms: digest === subject ? ['linux/s390x'] : [],
          signs: digest === signature ? subject : undefined,
        })),
      );
      const found = await store.tags.find(app, tag('v1'));
      assert.deepEqual([found?.platforms, found?.signed], [['linux/s390x'], true]);
      assert.deepEqual(await store.manifests.listUnread({ after: 0, limit: 10 }), []);
    });

    test('a notice of a tag wins over that of its repository, and goes when it is taken back', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const digest = await putManifest(store, app, manifestOf({}), { tags: ['v1', 'v2'] });
      const notice = { message: 'too old', replacement: 'team/app:v2' };
      const deprecation = { repository: app, tag: tag('v1'), origin: alice };
      assert.equal(await store.tags.deprecate({ ...deprecation, deprecation: notice }), true);
      assert.equal(
        await store.tags.deprecate({ ...deprecation, tag: tag('v9'), deprecation: notice }),
        false,
      );
      const changes = { deprecation: { message: 'moved' } };
      assert.equal(await store.repositories.update({ name: app, changes, origin: alice }), true);
      const noticeOf = async (name: string) =>
        (await store.manifests.find(app, { tag: tag(name) }))?.deprecation;
      assert.deepEqual(await noticeOf('v1'), notice);
      assert.deepEqual(await noticeOf('v2'), { message: 'moved' });
      assert.deepEqual((await store.manifests.stat(app, { digest }))?.deprecation, { message: 'moved' });
      assert.deepEqual((await store.tags.find(app, tag('v1')))?.deprecation, notice);
      // A push moves the tag; the notice is about its name.
      await putManifest(store, app, manifestOf({ note: '2' }), { tags: ['v1'] });
      assert.deepEqual(await noticeOf('v1'), notice);
      await store.tags.deprecate({ ...deprecation, deprecation: undefined });
      await store.repositories.update({ name: app, changes: { deprecation: null }, origin: alice });
      assert.equal(await noticeOf('v1'), undefined);
      const kinds = (await store.events.read({ after: 0, limit: 100 })).items.map(({ kind }) => kind);
      assert.equal(kinds.filter((kind) => kind === 'tag.update').length, 2);
    });
  });
}
