// What clients and the registry's own duties do in a run: each is one piece of work that notes what it was promised.
import { Readable } from 'node:stream';
import type { Digest } from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/errors.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { OperationRun } from '../../src/registry/operations.ts';
import { alice, keepTimes, tag } from '../support/metadata.ts';
import { Violation } from './expectations.ts';
import { gate } from './scheduler.ts';
import {
  allDigests,
  contents,
  keyOf,
  type ModelManifest,
  manifests,
  nameOf,
  repositories,
  uploadIdleSeconds,
  type World,
} from './world.ts';

const promiseSeconds = keepTimes.leaseSeconds / 2;
const tags = ['latest', 'stable'].map(tag);

/** What a client holds on to between its requests: which blobs it was told are there, and since when. */
interface Told {
  readonly key: string;
  readonly digest: Digest;
  readonly epoch: number;
  readonly since: number;
  readonly location: string | undefined;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof OciError ? error.code : undefined;
}

function before(world: World, name: RepositoryName, digest: Digest) {
  const key = keyOf(name, digest);
  const since = world.clock.monotonicSeconds();
  // Of a quarantine that the process does not know to be committed nobody was told.
  const blob = world.knowsAll ? world.expectations.blob(digest) : undefined;
  return { key, since, epoch: world.expectations.epoch(key), blob };
}

function told(world: World, asked: ReturnType<typeof before>, digest: Digest): Told {
  world.expectations.promise(asked.key, digest, asked, promiseSeconds);
  const { key, epoch, since } = asked;
  const location = world.expectations.blob(digest)?.location;
  return { key, digest, epoch, since, location };
}

async function head(world: World, name: RepositoryName, digest: Digest): Promise<Told | undefined> {
  const asked = before(world, name, digest);
  try {
    await world.registry.blobs.find(name, digest);
  } catch (error) {
    if (codeOf(error) === 'BLOB_UNKNOWN') return undefined;
    throw error;
  }
  return told(world, asked, digest);
}

/** Uploads in one of the ways that clients have. undefined when the session was idle for too long. */
async function upload(world: World, name: RepositoryName, digest: Digest): Promise<Told | undefined> {
  const { uploads } = world.registry;
  const content = Buffer.from(contents.get(digest) ?? '');
  const asked = before(world, name, digest);
  world.expectations.allow(asked.key);
  const piece = (bytes: Buffer) => ({ body: Readable.from([bytes]), range: undefined, length: bytes.length });
  if (world.scheduler.random.chance(0.4)) {
    await uploads.put(name, digest, 'sha256', piece(content), alice);
    return told(world, asked, digest);
  }
  try {
    const owner = { repository: name, principal: 'alice' };
    const session = await uploads.begin(owner, 'sha256');
    const cut = world.scheduler.random.below(content.length);
    if (cut > 0) await uploads.append(owner, session.id, piece(content.subarray(0, cut)));
    await uploads.append(owner, session.id, piece(content.subarray(cut)));
    await uploads.finish(owner, session.id, digest, alice);
  } catch (error) {
    const idle = world.clock.monotonicSeconds() - asked.since >= uploadIdleSeconds;
    if (codeOf(error) === 'BLOB_UPLOAD_UNKNOWN' && idle) return undefined;
    throw error;
  }
  return told(world, asked, digest);
}

async function mount(world: World, name: RepositoryName, digest: Digest): Promise<Told | undefined> {
  const { random } = world.scheduler;
  const from = random.chance(0.3) ? undefined : random.pick(repositories);
  const asked = before(world, name, digest);
  const sources = from === undefined ? repositories : [from];
  if (sources.some((source) => world.expectations.mayHave(keyOf(source, digest))))
    world.expectations.allow(asked.key);
  const mounted = await world.registry.blobs.mount({
    to: name,
    from,
    digest,
    origin: alice,
    mayPull: async () => true,
  });
  return mounted ? told(world, asked, digest) : undefined;
}

/** Whether what a client was told must still hold. */
function mustHold(world: World, what: Told): boolean {
  const { expectations, clock } = world;
  if (clock.monotonicSeconds() - what.since >= promiseSeconds) return false;
  if (expectations.epoch(what.key) !== what.epoch) return false;
  // The file was spoiled before or after: then only a new push helps.
  return what.location === undefined || !expectations.damagedLocations.has(what.location);
}

async function putManifest(
  world: World,
  name: RepositoryName,
  manifest: ModelManifest,
  known: { readonly blobs: readonly Told[]; readonly children: readonly Told[] },
): Promise<boolean> {
  const { expectations, registry, scheduler } = world;
  const key = keyOf(name, manifest.digest);
  const epoch = expectations.epoch(key);
  const byTag = scheduler.random.chance(0.8);
  try {
    await registry.manifests.push({
      repository: name,
      reference: byTag ? { tag: scheduler.random.pick(tags) } : { digest: manifest.digest },
      tags: [],
      contentType: undefined,
      bytes: manifest.bytes,
      origin: alice,
    });
  } catch (error) {
    if (codeOf(error) !== 'MANIFEST_BLOB_UNKNOWN') throw error;
    const complete =
      known.blobs.length === manifest.blobs.length && known.children.length === manifest.children.length;
    const childrenThere = known.children.every(({ key, epoch: then }) => expectations.epoch(key) === then);
    if (complete && childrenThere && known.blobs.every((what) => mustHold(world, what)))
      throw new Violation(`the push of ${manifest.name} to ${name} failed: ${(error as Error).message}`);
    return false;
  }
  expectations.manifestStored(key, epoch);
  return true;
}

/** A whole push as docker and podman do it: HEAD, then skip, mount or upload, then the manifest. False when it was refused. */
async function push(world: World, name: RepositoryName, manifest: ModelManifest): Promise<boolean> {
  const children: Told[] = [];
  for (const child of manifest.children) {
    const { key, epoch, since } = before(world, name, child.digest);
    const found = await world.registry.manifests.stat(name, { digest: child.digest }).catch(() => undefined);
    if (found === undefined && !(await push(world, name, child))) continue;
    children.push({ key, digest: child.digest, epoch, since, location: undefined });
  }
  const known: Told[] = [];
  for (const digest of manifest.blobs) {
    const there =
      (await head(world, name, digest)) ??
      (world.scheduler.random.chance(0.4) ? await mount(world, name, digest) : undefined) ??
      (await upload(world, name, digest));
    if (there !== undefined) known.push(there);
  }
  await gate('before the manifest');
  return await putManifest(world, name, manifest, { blobs: known, children });
}

async function read(world: World, name: RepositoryName, digest: Digest): Promise<void> {
  const { blobs } = world.registry;
  const asked = before(world, name, digest);
  const spoilt = world.expectations.damagedLocations;
  try {
    const blob = await blobs.find(name, digest);
    await gate('between row and file');
    const open = await blobs.open(name, digest, blob);
    await gate('between opening and reading');
    const chunks: Buffer[] = [];
    for await (const chunk of open.stream()) {
      chunks.push(chunk as Buffer);
      await gate('while reading');
    }
    await open.close();
    const content = Buffer.concat(chunks).toString();
    if (content !== contents.get(digest) && !spoilt.has(blob.location) && spoilt.size === 0)
      throw new Violation(`${asked.key} was read as ${content}`);
  } catch (error) {
    if (codeOf(error) !== 'BLOB_UNKNOWN' && spoilt.size === 0) throw error;
  }
}

/** Runs a delete; its refusals in `fine` are no fault. */
async function tolerating(fine: readonly string[], work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!fine.includes(codeOf(error) ?? '')) throw error;
    return false;
  }
}

async function removeManifest(world: World, name: RepositoryName, manifest: ModelManifest): Promise<void> {
  const { expectations, registry } = world;
  const { purges } = expectations;
  const key = keyOf(name, manifest.digest);
  const until = world.clock.monotonicSeconds() + keepTimes.undeleteSeconds;
  await expectations.takingAway(key, async () => {
    const removed = await tolerating(['MANIFEST_UNKNOWN', 'NAME_UNKNOWN', 'UNSUPPORTED'], () =>
      registry.manifests.remove(name, { digest: manifest.digest }, alice),
    );
    if (removed) expectations.manifestTrashed(key, until, purges);
  });
}

/** A manifest with all that it lists. */
function family(manifest: ModelManifest): readonly ModelManifest[] {
  return [...manifest.children.flatMap(family), manifest];
}

/** What dry runs set, and nothing else. */
const neverSet = tag('never');

/** Points a tag at a manifest of the repository, also at a deleted one; or at one of another repository. */
async function setTag(
  world: World,
  name: RepositoryName,
  manifest: ModelManifest,
  from: RepositoryName | undefined,
): Promise<void> {
  const { expectations, registry, scheduler } = world;
  const all = family(manifest).map(({ digest }) => keyOf(name, digest));
  const epochs = all.map((key) => expectations.epoch(key));
  // Signatures may come along.
  const may =
    from === undefined
      ? []
      : [...family(manifest), ...manifests.filter(({ name: what }) => what === 'signature')];
  for (const digest of may.flatMap(({ blobs }) => blobs))
    expectations.allowCopy(keyOf(from ?? name, digest), keyOf(name, digest));
  const dryRun = scheduler.random.chance(0.1);
  const bring = async (): Promise<boolean> => {
    const picked = scheduler.random.pick(tags);
    const set = await registry.tagging.set({
      repository: name,
      tag: dryRun ? neverSet : picked,
      from:
        from === undefined ? { digest: manifest.digest } : { repository: from, reference: manifest.digest },
      referrers: scheduler.random.chance(0.5),
      mayRestore: true,
      dryRun,
      origin: alice,
    });
    if (set.outcome === 'damaged' && expectations.damagedLocations.size > 0) return false;
    if (set.outcome === 'unknown') return false;
    if (set.outcome !== 'set')
      throw new Violation(`${manifest.name} in ${name} could not be set: ${set.outcome}`);
    return !dryRun;
  };
  await expectations.bringingBack(all, bring);
  const isSet = await registry.manifests.stat(name, { tag: neverSet }).catch(() => undefined);
  if (isSet !== undefined) throw new Violation(`a dry run has set a tag in ${name}`);
  for (const [index, key] of all.entries()) {
    const { digest } = family(manifest)[index] ?? manifest;
    const found = await registry.manifests.stat(name, { digest }).catch(() => undefined);
    if (found !== undefined) expectations.manifestStored(key, epochs[index] ?? 0);
  }
}

async function removeTag(world: World, name: RepositoryName): Promise<void> {
  const reference = { tag: world.scheduler.random.pick(tags) };
  await tolerating(['MANIFEST_UNKNOWN', 'NAME_UNKNOWN'], () =>
    world.registry.manifests.remove(name, reference, alice),
  );
}

async function removeBlob(world: World, name: RepositoryName, digest: Digest): Promise<void> {
  await world.expectations.takingAway(keyOf(name, digest), async () => {
    await tolerating(['BLOB_UNKNOWN', 'UNSUPPORTED'], () => world.registry.blobs.unlink(name, digest, alice));
  });
}

/** Long work outside of an operation: it steps where the run says so. */
export function modelRun(): OperationRun {
  const { signal } = new AbortController();
  return { id: 0, signal, progress: () => {}, step: () => gate('step') };
}

async function alone(world: World, kind: string, work: () => Promise<unknown>): Promise<void> {
  if (world.busy.has(kind)) return;
  world.busy.add(kind);
  await work();
  world.busy.delete(kind);
}

async function collect(world: World, now: boolean): Promise<void> {
  await alone(world, 'collect', async () => {
    if (now) world.expectations.giveUpTrash();
    await world.registry.collector.collect(modelRun(), { dryRun: false, now, force: true });
    if (now) world.expectations.giveUpTrash();
  });
}

async function backup(world: World): Promise<void> {
  await alone(world, 'backup', async () => {
    const release = await world.registry.unlinks.hold();
    const { expectations } = world;
    const sound = allDigests
      .map((digest) => expectations.blob(digest)?.location)
      .filter((location) => location !== undefined && !expectations.damagedLocations.has(location));
    expectations.snapshot = new Set(sound as string[]);
    for (let copied = 0; copied < 20; copied += 1) await gate('copy');
    expectations.snapshot = new Set();
    release();
  });
}

async function sweep(world: World): Promise<void> {
  const { sweep: duties, unlinks, metadata } = world.registry;
  await alone(world, 'sweep', async () => {
    await duties.endStaleUploads();
    await unlinks.removeDue();
    await duties.removeOrphanUploads();
    await metadata.advanceClock();
    await metadata.renewEpoch();
  });
}

const weights = {
  push: 10,
  read: 3,
  head: 2,
  upload: 3,
  mount: 2,
  removeManifest: 4,
  removeTag: 2,
  restore: 4,
  copy: 3,
  removeBlob: 1,
  collect: 6,
  scrub: 2,
  sweep: 3,
  backup: 1,
} as const;

/** What a run dwells on: a narrow one has everybody at the same few things. */
const emphases = {
  broad: {},
  narrow: {},
  damage: { read: 24, upload: 12, scrub: 6, push: 4 },
  backup: { backup: 12, removeBlob: 8, upload: 8, sweep: 8, collect: 10 },
} as const;
type Emphasis = keyof typeof emphases;

/** Seeds take turns at what they dwell on. */
export function emphasisOf(seed: number): Emphasis {
  const kinds = Object.keys(emphases) as Emphasis[];
  return kinds[seed % kinds.length] ?? 'broad';
}

/** Starts something that chance picks. */
export function startSomething(world: World, emphasis: Emphasis): void {
  const { random } = world.scheduler;
  const kind = random.weighted<keyof typeof weights>({ ...weights, ...emphases[emphasis] });
  const few = emphasis === 'broad' ? undefined : 1;
  const name = random.pick(repositories.slice(0, few));
  const digest = random.pick(allDigests.slice(0, few));
  const manifest = random.pick(manifests.slice(0, few && 2));
  const note = ['push', 'removeManifest', 'restore', 'copy'].includes(kind) ? manifest.name : nameOf(digest);
  const work: Readonly<Record<keyof typeof weights, () => Promise<unknown>>> = {
    push: () => push(world, name, manifest),
    read: () => read(world, name, digest),
    head: () => head(world, name, digest),
    upload: () => upload(world, name, digest),
    mount: () => mount(world, name, digest),
    removeManifest: () => removeManifest(world, name, manifest),
    removeTag: () => removeTag(world, name),
    restore: () => setTag(world, name, manifest, undefined),
    copy: () => setTag(world, name, manifest, random.pick(repositories.filter((other) => other !== name))),
    removeBlob: () => removeBlob(world, name, digest),
    collect: () => collect(world, random.chance(0.3)),
    scrub: () =>
      alone(world, 'scrub', () =>
        world.registry.scrub.scrub(modelRun(), { deep: random.chance(0.7), repair: random.chance(0.5) }),
      ),
    sweep: () => sweep(world),
    backup: () => backup(world),
  };
  world.scheduler.start(`${kind} ${name} ${note}`, async () => {
    await work[kind]();
  });
}
