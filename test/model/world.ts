// One registry in a world of its own: a folder, a database, a clock that only moves when told, and a process that can be killed.
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { createRegistry, type Registry } from '../../src/registry/registry.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import type { Intentions } from '../../src/storage/sqlite/group-commit.ts';
import { keepTimes, type ManualClock, manualClock, repository } from '../support/metadata.ts';
import { Expectations, Violation } from './expectations.ts';
import { Disk, useDisk } from './files.ts';
import { type Engine, newEngine, openModelStore } from './metadata.ts';
import { Scheduler } from './scheduler.ts';

/** A fault that a test sows into the code, to see whether the model finds it. Each changes one thing. */
export interface Sown {
  readonly intentions?: (intentions: Intentions, world: World) => Partial<Intentions>;
  readonly metadata?: (store: MetadataStore, world: World) => MetadataStore;
  readonly blobs?: (store: BlobStore, world: World) => BlobStore;
  readonly registry?: (registry: Registry, world: World) => void;
  readonly disk?: (disk: Disk) => void;
  readonly database?: (world: World) => void;
  readonly ticksFromWallClock?: boolean;
}

export const repositories = ['a/one', 'a/two', 'b/three'].map(repository);

const texts = ['config', 'layer 1', 'layer 2', 'layer 3', 'note'];
const digests = texts.map((text) => digestOf(Buffer.from(text)));
export const contents: ReadonlyMap<Digest, string> = new Map(
  digests.map((digest, index) => [digest, texts[index] ?? ''] as const),
);

export interface ModelManifest {
  readonly name: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
  readonly children: readonly ModelManifest[];
}

function image(name: string, blobs: readonly number[], subject?: ModelManifest): ModelManifest {
  const [config = 0, ...layers] = blobs;
  const descriptor = (index: number, mediaType: string) => ({
    mediaType,
    digest: digests[index],
    size: texts[index]?.length,
  });
  const content = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => descriptor(layer, 'application/vnd.oci.image.layer.v1.tar')),
    ...(subject === undefined
      ? {}
      : {
          subject: { mediaType: mediaTypes.ociManifest, digest: subject.digest, size: subject.bytes.length },
        }),
    annotations: { name },
  };
  const bytes = Buffer.from(JSON.stringify(content));
  return {
    name,
    bytes,
    digest: digestOf(bytes),
    blobs: blobs.map((at) => digests[at] as Digest),
    children: [],
  };
}

function index(name: string, children: readonly ModelManifest[]): ModelManifest {
  const manifests = children.map(({ digest, bytes }) => ({
    mediaType: mediaTypes.ociManifest,
    digest,
    size: bytes.length,
  }));
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, annotations: { name } }),
  );
  return { name, bytes, digest: digestOf(bytes), blobs: [], children };
}

const first = image('first', [0, 1]);
const second = image('second', [0, 2, 3]);
export const manifests: readonly ModelManifest[] = [
  first,
  second,
  image('third', [1, 3]),
  image('signature', [4], first),
  index('both', [first, second]),
];

const idleSeconds = 86_400;

export class World {
  readonly scheduler: Scheduler;
  readonly clock: ManualClock;
  readonly folder: string;
  readonly engine: Engine;
  readonly disk: Disk;
  readonly expectations: Expectations;
  readonly sown: Sown;
  /** Kinds of long work that run. */
  readonly busy = new Set<string>();
  #registry: Registry | undefined;
  #knowsAll = () => true;

  constructor(seed: number, sown: Sown) {
    this.scheduler = new Scheduler(seed);
    this.sown = sown;
    // Files are dated by the kernel.
    this.clock = manualClock(Math.floor(Date.now() / 1000));
    const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.folder = mkdtempSync(join(root, 'berth-model-'));
    this.disk = new Disk(this.folder);
    sown.disk?.(this.disk);
    useDisk(this.scheduler, this.disk);
    this.engine = newEngine();
    sown.database?.(this);
    this.expectations = new Expectations({
      db: this.engine.db,
      contents,
      shapes: new Map(
        manifests.map(({ digest, blobs, children }) => [digest, [blobs.length, children.length]] as const),
      ),
      blobsFolder: this.disk.blobs,
      uptime: () => this.clock.monotonicSeconds(),
      diskVersion: () => this.disk.version,
    });
  }

  get registry(): Registry {
    if (this.#registry === undefined) throw new Error('no process runs');
    return this.#registry;
  }

  /** Starts the process. */
  async boot(): Promise<void> {
    this.scheduler.start('boot', async () => {
      const { openDiskStore } = await loadDriver();
      const store = await openDiskStore({ folder: this.folder, onFatal: fail });
      this.#registry = this.#assemble(store);
      // Nobody has put another database here, whatever a kill or a power cut left of a renewal.
      if ((await this.#registry.metadata.care.collector.otherDatabaseSince()) !== undefined)
        throw new Violation('a false alarm: the files are said to be those of another database');
    });
    await this.scheduler.drain(() => {});
  }

  /** Ends the process where it is. After a power cut the disk forgets what was not durable. */
  crash(kind: 'kill' | 'power cut'): void {
    this.scheduler.log.push(kind);
    this.scheduler.killAll();
    this.disk.closeAll();
    this.busy.clear();
    this.expectations.processEnded();
    if (kind === 'power cut') this.disk.cutPower(this.scheduler.random);
  }

  /** Spoils the file of a blob in one of three ways. */
  damage(): void {
    const { random } = this.scheduler;
    const stored = digests.filter((digest) => this.expectations.blob(digest) !== undefined);
    const digest = stored.length === 0 ? undefined : random.pick(stored);
    const blob = digest && this.expectations.blob(digest);
    if (digest === undefined || blob === undefined) return;
    if (this.expectations.damagedLocations.has(blob.location)) return;
    const path = join(this.disk.blobs, blob.location);
    if (!existsSync(path)) return;
    const way = random.pick(['flip', 'cut', 'delete'] as const);
    this.scheduler.log.push(`${way} ${texts[digests.indexOf(digest)]}`);
    this.expectations.spoil(digest, blob.location);
    this.disk.version += 1;
    if (way === 'flip') writeFileSync(path, readFileSync(path, 'utf8').toUpperCase());
    else if (way === 'cut') truncateSync(path, 1);
    else rmSync(path);
  }

  /** Whether the process knows of everything that was committed. */
  get knowsAll(): boolean {
    return this.#knowsAll();
  }

  dispose(): void {
    this.disk.closeAll();
    this.engine.db.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #assemble(store: BlobStore): Registry {
    const { intentions } = this.engine;
    const tampered = { ...intentions, ...this.sown.intentions?.(intentions, this) };
    const opened = openModelStore(this.engine, this.clock, tampered, {
      folder: this.folder,
      ticksFromWallClock: this.sown.ticksFromWallClock === true,
    });
    this.#knowsAll = opened.knowsAll;
    const metadata = this.sown.metadata?.(opened.store, this) ?? opened.store;
    const registry = createRegistry({
      metadata,
      blobs: this.sown.blobs?.(store, this) ?? store,
      ballast: { release: async () => 0, refill: async () => true },
      clock: this.clock,
      settings: {
        readOnly: false,
        delete: true,
        keepFree: { share: 0, bytes: 0 },
        keepFreeInodes: 0,
        blobSizeLimit: 1000,
        sparseManifests: 'none',
        leaseSeconds: keepTimes.leaseSeconds,
        uploads: {
          perRepository: 100,
          perPrincipal: 100,
          total: 100,
          idleExpirySeconds: idleSeconds,
          longestSeconds: 7 * 86_400,
        },
      },
      onDamage: ({ location, found, digest }) => this.#told(digest, location, found),
      onScrubDamage: ({ location, found, digest }) => this.#told(digest, location, found),
      onDutyFailure: (_duty, error) => fail(error),
    });
    this.sown.registry?.(registry, this);
    return registry;
  }

  #told(digest: Digest, location: string, found: string): void {
    if (this.expectations.damagedLocations.has(location)) return;
    throw new Violation(`a false alarm: ${digest} is said to be ${found}`);
  }
}

export const uploadIdleSeconds = idleSeconds;

function fail(error: unknown): never {
  throw error;
}

/** The driver is loaded late: only after the file system takes turns. */
async function loadDriver() {
  return await import('../../src/storage/disk/disk-store.ts');
}

export function nameOf(digest: Digest): string {
  return contents.get(digest) ?? manifests.find((manifest) => manifest.digest === digest)?.name ?? digest;
}

export function keyOf(name: RepositoryName, digest: Digest): string {
  return `${name}|${digest}`;
}

export const allDigests: readonly Digest[] = digests;
