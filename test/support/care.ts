// A registry's rules over real stores in one folder, without HTTP, by a clock that the test moves.
import { mkdir, readdir, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { OperationRun } from '../../src/registry/operations.ts';
import { type CareSettings, createRegistry, type Registry } from '../../src/registry/registry.ts';
import type { FoundDamage } from '../../src/registry/scrub.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';
import { alice, keepTimes, type ManualClock, manualClock, openTestStore, tag } from './metadata.ts';

export interface TestCare {
  readonly registry: Registry;
  readonly clock: ManualClock;
  readonly folder: string;
  /** What the registry said about damage. */
  readonly damage: FoundDamage[];
  readonly failures: unknown[];
  /** Stops as a server does, before the test ends; the folder can be opened again. */
  close(): Promise<void>;
}

export async function openCare(
  t: Cleanup,
  options: {
    readonly care?: CareSettings;
    readonly folder?: string;
    readonly clock?: ManualClock;
  } = {},
): Promise<TestCare> {
  const { care } = options;
  const folder = options.folder ?? (await makeFolder(t, 'care'));
  const { clock = manualClock(Math.floor(Date.now() / 1000)) } = options;
  const { store: metadata, close: closeMetadata } = await openTestStore(t, { folder, clock });
  const failures: unknown[] = [];
  const blobs = await openDiskStore({ folder, onFatal: (error) => failures.push(error) });
  onEnd(t, () => blobs.close());
  const damage: FoundDamage[] = [];
  const registry = createRegistry({
    metadata,
    blobs,
    ballast: { release: async () => 0, refill: async () => true },
    clock,
    settings: {
      readOnly: false,
      delete: true,
      keepFree: { share: 0, bytes: 0 },
      keepFreeInodes: 0,
      blobSizeLimit: 2 ** 30,
      sparseManifests: 'none',
      leaseSeconds: keepTimes.leaseSeconds,
      uploads: {
        perRepository: 1000,
        perPrincipal: 1000,
        total: 1000,
        idleExpirySeconds: 86_400,
        longestSeconds: 7 * 86_400,
      },
    },
    ...(care === undefined ? {} : { care }),
    onDamage: (report) => damage.push(report),
    onScrubDamage: (report) => damage.push(report),
    onDutyFailure: (_duty, error) => failures.push(error),
  });
  const close = async (): Promise<void> => {
    await registry.sweep.stop();
    await closeMetadata();
    await blobs.close();
  };
  return { registry, clock, folder, damage, failures, close };
}

/** Work outside of an operation: nobody pauses or cancels it. */
export function freeRun(): OperationRun {
  const { signal } = new AbortController();
  const step = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { id: 0, signal, progress: () => {}, step };
}

/** Pushes a blob in one request. */
export async function pushBlob(registry: Registry, name: RepositoryName, text: string): Promise<Digest> {
  const bytes = Buffer.from(text);
  const digest = digestOf(bytes);
  const chunk = { body: Readable.from([bytes]), range: undefined, length: bytes.length };
  await registry.uploads.put(name, digest, 'sha256', chunk, alice);
  return digest;
}

/** Pushes a manifest of blobs that are there. */
export async function pushImage(
  registry: Registry,
  name: RepositoryName,
  blobs: readonly Digest[],
  tagged: string,
): Promise<Digest> {
  const descriptor = (digest: Digest, mediaType: string) => ({ mediaType, digest, size: 1 });
  const [config, ...layers] = blobs;
  if (config === undefined) throw new Error('an image has a config');
  const content = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => descriptor(layer, 'application/vnd.oci.image.layer.v1.tar')),
  };
  const pushed = await registry.manifests.push({
    repository: name,
    reference: { tag: tag(tagged) },
    tags: [],
    contentType: undefined,
    bytes: Buffer.from(JSON.stringify(content)),
    origin: alice,
  });
  return pushed.digest;
}

/** The blob files of the folder, by location. */
export async function listFiles(folder: string): Promise<readonly string[]> {
  const root = join(folder, 'blobs');
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/** Files of blobs that no row names, two days old and of a MiB without a block each: what came after an older database was made. */
export async function writeUnknownFiles(folder: string, count: number): Promise<void> {
  const newer = join(folder, 'blobs', 'sha256', '00');
  await mkdir(newer, { recursive: true });
  const longAgo = Date.now() / 1000 - 2 * 86_400;
  await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const path = join(newer, `${'0'.repeat(64)}.${String(number).padStart(26, '0')}`);
      await writeFile(path, '');
      await truncate(path, 2 ** 20);
      await utimes(path, longAgo, longAgo);
    }),
  );
}
