// Everything that moves content at once: pushes, copies, deletes, restores, moves, retention, signatures, collections. After each of
// them every count is right and the scrub finds nothing; what a dry run foresees is what goes; and a backup of it restores whole.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import type { Digest } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { findWrongCounts } from '../../src/storage/sqlite/counts.ts';
import { Random } from '../model/scheduler.ts';
import { backUp, restore, verify } from '../support/backups.ts';
import { freeRun, openCare, pushBlob, pushImage } from '../support/care.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { alice, keepTimes, type ManualClock, repository, tag } from '../support/metadata.ts';

const seeds = Number(process.env.BERTH_CARE_SEEDS ?? 2);
const names = ['one/a', 'one/b', 'two/a', 'two/b'].map(repository);
const tags = ['v1', 'v2'].map(tag);
const texts = ['config', 'a layer', 'another layer', 'the largest layer of them all', 'small'];
const plain = { dryRun: false, now: false, force: false };
const creating = { create: undefined } as const;

interface Bench {
  readonly random: Random;
  readonly registry: Registry;
  readonly clock: ManualClock;
  /** Every digest of a manifest that was pushed. */
  readonly manifests: Set<Digest>;
}

type Step = (bench: Bench, name: RepositoryName) => Promise<unknown>;

async function push({ random, registry, manifests }: Bench, name: RepositoryName): Promise<void> {
  const picked = texts.filter((_, index) => index === 0 || random.chance(0.5));
  const blobs = [];
  for (const text of picked) blobs.push(await pushBlob(registry, name, text));
  manifests.add(await pushImage(registry, name, blobs, random.pick(tags)));
}

async function pushIndex({ random, registry, manifests }: Bench, name: RepositoryName): Promise<void> {
  const page = await registry.metadata.tags.list(name, { limit: 10 });
  const children = [];
  for (const each of page?.items ?? []) {
    const found = await registry.metadata.manifests.find(name, { tag: each });
    if (found !== undefined) children.push({ mediaType: found.mediaType, digest: found.digest, size: 1 });
  }
  const content = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: children };
  const pushed = await registry.manifests.push({
    repository: name,
    reference: { tag: random.pick(tags) },
    tags: [],
    contentType: undefined,
    bytes: Buffer.from(JSON.stringify(content)),
    origin: alice,
  });
  manifests.add(pushed.digest);
}

async function setTag({ random, registry, manifests }: Bench, name: RepositoryName, from: RepositoryName) {
  if (manifests.size === 0) return;
  const digest = random.pick([...manifests]);
  await registry.metadata.tags.set({
    repository: name,
    tag: random.pick(tags),
    from: from === name ? { digest } : { repository: from, reference: digest },
    referrers: random.chance(0.5),
    mayRestore: true,
    dryRun: random.chance(0.2),
    origin: alice,
    ...creating,
  });
}

async function deletedIds({ registry }: Bench): Promise<readonly number[]> {
  const page = await registry.metadata.repositories.listDeleted({ limit: 100 });
  return page.items.map(({ id }) => id);
}

const steps: Readonly<Record<string, Step>> = {
  push,
  pushAgain: push,
  pushMore: push,
  pushIndex,
  setTag: (bench, name) => setTag(bench, name, name),
  copy: (bench, name) => setTag(bench, name, bench.random.pick(names)),
  removeTag: ({ registry, random }, name) => registry.metadata.tags.remove(name, random.pick(tags), alice),
  removeManifest: ({ registry, random, manifests }, name) =>
    registry.metadata.manifests.remove(name, random.pick([...manifests]), alice),
  unlink: async ({ registry, random }, name) =>
    registry.blobs.unlink(name, await pushBlob(registry, name, random.pick(texts)), alice),
  move: ({ registry, random }, name) =>
    registry.metadata.repositories.move({ from: name, to: random.pick(names), origin: alice }),
  removeRepository: ({ registry }, name) => registry.metadata.repositories.remove({ name, origin: alice }),
  restoreRepository: async (bench, name) => {
    for (const id of await deletedIds(bench))
      await bench.registry.metadata.repositories.restore({ id, name, origin: alice });
  },
  purgeRepository: async (bench) => {
    const [id] = await deletedIds(bench);
    if (id !== undefined) await bench.registry.metadata.repositories.purge({ id, origin: alice });
  },
  sign: ({ registry, random, manifests }, name) =>
    registry.metadata.signatures.add({
      repository: name,
      digest: random.pick([...manifests]),
      signature: { name: 'signature-1', content: Buffer.from('signed') } as never,
      most: 10,
      origin: alice,
    }),
  retention: async ({ registry, clock }, name) => {
    const [namespace = ''] = name.split('/');
    const rules = { policies: [{ deleteUntagged: true, keepTags: [{ mostRecentlyPushedCount: 1 }] }] };
    await registry.metadata.retention.setRules({ namespace, rules: rules as never, origin: alice });
    clock.advance(keepTimes.leaseSeconds);
    await registry.retention.run(freeRun(), { namespace, dryRun: false });
  },
  wait: async ({ clock, random }) => clock.advance(random.pick([60, keepTimes.leaseSeconds])),
  waitLong: async ({ clock }) => clock.advance(keepTimes.undeleteSeconds),
  collect: async ({ registry, random }) => {
    const request = { ...plain, now: random.chance(0.3) };
    const foreseen = await registry.collector.collect(freeRun(), { ...request, dryRun: true });
    const { freed } = await registry.collector.collect(freeRun(), request);
    assert.deepEqual(freed, foreseen.freed);
  },
};

/** What is refused because something is not there, or is held, is part of it. */
async function tryStep(bench: Bench, step: Step, name: RepositoryName): Promise<void> {
  try {
    await step(bench, name);
  } catch (error) {
    if (!['OciError', 'TagProtectedError'].includes((error as Error).name)) throw error;
  }
}

for (let seed = 1; seed <= seeds; seed += 1) {
  test(`seed ${seed}: whatever is done to content, the care of it stays right`, async (t) => {
    const { registry, clock, folder } = await openCare(t);
    const bench = { random: new Random(seed), registry, clock, manifests: new Set<Digest>() };
    const db = new Database(join(folder, 'berth.db'), { readonly: true });
    onEnd(t, () => db.close());
    await push(bench, names[0] as RepositoryName);
    const done: string[] = [];
    for (let count = 0; count < 120; count += 1) {
      const step = bench.random.pick(Object.keys(steps));
      const name = bench.random.pick(names);
      done.push(`${step} ${name}`);
      try {
        await tryStep(bench, steps[step] as Step, name);
        assert.deepEqual(findWrongCounts(db).faults, []);
      } catch (error) {
        throw new Error(`after ${done.join(', ')}`, { cause: error });
      }
    }
    const scrubbed = await registry.scrub.scrub(freeRun(), { deep: true, repair: false });
    assert.deepEqual([scrubbed.sound, scrubbed.faults], [true, []]);

    await tryStep(bench, push, names[1] as RepositoryName);
    const backups = await makeFolder(t, 'backups');
    await backUp(registry, backups, { verify: true });
    assert.equal((await verify(backups)).backups.length, 1);
    const target = join(folder, 'restored');
    await restore(backups, target);
    const again = (await openCare(t, { folder: target })).registry;
    const { sound, faults, blobs } = await again.scrub.scrub(freeRun(), { deep: true, repair: false });
    assert.deepEqual([sound, faults, blobs.damaged], [true, [], 0]);
    assert.deepEqual(
      await again.metadata.repositories.totals(),
      await registry.metadata.repositories.totals(),
    );

    // Nothing is left of it once all of it was deleted and its time is over.
    for (const name of names) await registry.metadata.repositories.remove({ name, origin: alice });
    clock.advance(keepTimes.undeleteSeconds + keepTimes.leaseSeconds);
    await steps.collect?.(bench, names[0] as RepositoryName);
    const { manifests, tags: left, blobs: kept } = await registry.metadata.repositories.totals();
    assert.deepEqual({ manifests, left, kept }, { manifests: 0, left: 0, kept: 0 });
  });
}
