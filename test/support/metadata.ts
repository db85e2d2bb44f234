// What tests of metadata stores start from: a clock that only moves when told, manifests made of their references, names.
import { type Digest, type DigestAlgorithm, digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts';
import { parseTag, type Tag } from '../../src/oci/reference.ts';
import type { Location } from '../../src/storage/blob-store.ts';
import type { Clock } from '../../src/storage/clock.ts';
import type {
  ManifestToStore,
  MetadataStore,
  Origin,
  PutManifest,
  UploadLimits,
} from '../../src/storage/metadata-store.ts';
import { lockFolder } from '../../src/storage/sqlite/lock.ts';
import { openSqliteStore } from '../../src/storage/sqlite/sqlite-store.ts';
import { writeBlankDatabase } from './blank-database.ts';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';
import { keepWriterThreads } from './writer-threads.ts';

keepWriterThreads();

/** The times a store under test keeps things, in seconds of uptime. */
export const keepTimes = {
  leaseSeconds: 86_400,
  undeleteSeconds: 14 * 86_400,
  unlinkDelaySeconds: 60,
} as const;

export const alice: Origin = {
  actor: 'alice',
  address: '192.0.2.7',
  userAgent: 'podman/5.4',
  requestId: 'request-1',
};

export const roomy: UploadLimits = {
  perRepository: 1000,
  perPrincipal: 2000,
  total: 10_000,
  idleSeconds: 600,
};

export interface ManualClock extends Clock {
  /** Both clocks move on. */
  advance(seconds: number): void;
  /** Somebody sets the wall clock; the uptime knows nothing of it. */
  jump(seconds: number): void;
}

export function manualClock(startSeconds = 1_800_000_000): ManualClock {
  let unix = startSeconds;
  let monotonic = 1000;
  return {
    unixSeconds: () => unix,
    monotonicSeconds: () => monotonic,
    advance(seconds) {
      unix += seconds;
      monotonic += seconds;
    },
    jump(seconds) {
      unix += seconds;
    },
  };
}

export interface TestStore {
  readonly store: MetadataStore;
  readonly folder: string;
  /** The fatal errors that it reported. */
  readonly fatal: readonly Error[];
  /** Ends the store and frees its folder, before the test does it. */
  close(): Promise<void>;
}

/** A SQLite store in `folder` (default: a new one) that closes with the test. */
export async function openTestStore(
  t: Cleanup,
  options: { readonly folder?: string; readonly clock?: Clock; readonly migrationsFolder?: string } = {},
): Promise<TestStore> {
  const { clock = manualClock(), ...rest } = options;
  const folder = options.folder ?? (await makeFolder(t, 'metadata'));
  if (options.folder === undefined && options.migrationsFolder === undefined) writeBlankDatabase(folder);
  const lock = lockFolder(folder);
  const fatal: Error[] = [];
  try {
    const onFatal = (error: Error): unknown => fatal.push(error);
    const store = await openSqliteStore({ ...keepTimes, ...rest, clock, folder, onFatal });
    const close = async (): Promise<void> => {
      await store.close();
      lock.release();
    };
    onEnd(t, close);
    return { store, folder, fatal, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

export const repository = (name: string): RepositoryName => parseRepositoryName(name);
export const tag = (name: string): Tag => parseTag(name);
/** The digest of a blob whose content is `text`. */
export const blobDigest = (text: string): Digest => digestOf(Buffer.from(text));

let locations = 0;
/** A location that was never used before. */
export function newLocation(): Location {
  locations += 1;
  return `test/${locations}` as Location;
}

export interface ManifestParts {
  readonly blobs?: readonly Digest[];
  readonly children?: readonly Digest[];
  readonly subject?: Digest;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Makes manifests with the same references differ. */
  readonly note?: string;
  readonly algorithm?: DigestAlgorithm;
}

/** A manifest, or an index where it has children, as the parser would hand it over. */
export function manifestOf(parts: ManifestParts): ManifestToStore {
  const { blobs = [], children = [], subject, artifactType, annotations, note } = parts;
  const kind = children.length > 0 ? 'index' : 'image';
  const mediaType = kind === 'index' ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, blobs, manifests: children, subject, annotations, note }),
  );
  return {
    digest: digestOf(bytes, parts.algorithm),
    mediaType,
    bytes,
    kind,
    blobs,
    children,
    subject,
    artifactType,
    imageBytes: blobs.length * 100,
  };
}

/** Links a blob into a repository as a push in one request does. */
export async function linkBlob(store: MetadataStore, name: RepositoryName, text: string): Promise<Digest> {
  const digest = blobDigest(text);
  await store.uploads.link({
    repository: name,
    digest,
    location: newLocation(),
    size: text.length,
    origin: alice,
  });
  return digest;
}

/** Puts a manifest and expects that it is stored. */
export async function putManifest(
  store: MetadataStore,
  name: RepositoryName,
  manifest: ManifestToStore,
  options: Partial<Pick<PutManifest, 'sparse' | 'origin'>> & { readonly tags?: readonly string[] } = {},
): Promise<Digest> {
  const { sparse = 'none', origin = alice, tags = [] } = options;
  const input = { repository: name, manifest, tags: tags.map(tag), sparse, origin };
  const result = await store.manifests.put(input);
  if (result.outcome !== 'stored') throw new Error(`the manifest was not stored: ${JSON.stringify(result)}`);
  return manifest.digest;
}
