// An OCI image layout (image-spec image-layout.md), as a folder or as an uncompressed tar archive of one, which is what
// `skopeo copy … oci:` and `podman save --format oci-archive` write. `org.opencontainers.image.ref.name` names the images: a tag
// alone, or a whole reference whose host is dropped. Only read.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts';
import { isJsonObject, parseBoundedJson } from '../oci/json.ts';
import { manifestKindOf, schema1Types } from '../oci/media-types.ts';
import { findFile, longestManifest, readSmallFile, verified } from './folder-files.ts';
import {
  folderParallel,
  type ImportSource,
  type SourceBlob,
  SourceFault,
  type SourceManifest,
  type SourceRepository,
} from './source.ts';
import { readTarIndex, type TarEntry } from './tar-index.ts';

export interface LayoutChoice {
  /** Where images go whose name is a tag alone; by default the name of the folder or archive. */
  readonly repository?: string | undefined;
}

interface LayoutFiles {
  readSmall(name: string, limit: number): Promise<Buffer | undefined>;
  findBlob(name: string): Promise<SourceBlob | undefined>;
}

/** Opens a layout. Throws SourceFault where there is none, or its index.json is damaged. */
export async function openOciLayout(path: string, choice: LayoutChoice = {}): Promise<ImportSource> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new SourceFault('missing', `there is no ${path}`);
  const files = found.isDirectory() ? folderFiles(path) : archiveFiles(path, await readTarIndex(path));
  const index = await files.readSmall('index.json', longestManifest);
  if (index === undefined) throw new SourceFault('missing', `${path} is no OCI layout: it has no index.json`);
  const fallback =
    choice.repository ??
    basename(path)
      .replace(/\.tar$/, '')
      .toLowerCase();
  const repositories = groupByRepository(readIndex(index), fallback);
  return {
    parallel: folderParallel,
    listRepositories: async () =>
      [...repositories].map(([name, images]) => layoutRepository(name, images, files)),
    close: async () => {},
  };
}

function folderFiles(path: string): LayoutFiles {
  return {
    readSmall: (name, limit) => readSmallFile(join(path, name), limit),
    async findBlob(name) {
      const file = await findFile(path, name);
      return file === undefined ? undefined : { path: file };
    },
  };
}

function archiveFiles(path: string, entries: ReadonlyMap<string, TarEntry>): LayoutFiles {
  const read = ({ offset, size }: TarEntry, from = 0, signal?: AbortSignal) =>
    from >= size
      ? Readable.from([])
      : createReadStream(path, {
          start: offset + from,
          end: offset + size - 1,
          highWaterMark: 512 * 1024,
          ...(signal === undefined ? {} : { signal }),
        });
  return {
    async readSmall(name, limit) {
      const entry = entries.get(name);
      if (entry === undefined) return undefined;
      if (entry.size > limit) throw new SourceFault('damaged', `${name} has ${entry.size} bytes`);
      return Buffer.concat(await read(entry).toArray());
    },
    async findBlob(name) {
      const entry = entries.get(name);
      return entry && { open: async (offset, signal) => read(entry, offset, signal) };
    },
  };
}

interface LayoutImage {
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  /** As the index writes it; undefined where the image has no name. */
  readonly name: string | undefined;
}

const refName = 'org.opencontainers.image.ref.name';
/** What containerd and docker write beside it: the whole reference. */
const wholeName = 'io.containerd.image.name';

function readIndex(bytes: Buffer): readonly LayoutImage[] {
  let index: unknown;
  try {
    index = parseBoundedJson(bytes);
  } catch (cause) {
    throw new SourceFault('damaged', `index.json: ${(cause as Error).message}`, { cause });
  }
  const manifests = isJsonObject(index) ? index.manifests : undefined;
  if (!Array.isArray(manifests)) throw new SourceFault('damaged', 'index.json lists no manifests');
  return manifests.filter(isJsonObject).flatMap(({ digest, mediaType, annotations }) => {
    if (typeof digest !== 'string' || !isDigest(digest)) return [];
    const notes = isJsonObject(annotations) ? annotations : {};
    const name = notes[wholeName] ?? notes[refName];
    return [
      {
        digest,
        mediaType: typeof mediaType === 'string' ? mediaType : undefined,
        name: typeof name === 'string' ? name : undefined,
      },
    ];
  });
}

interface NamedImage extends LayoutImage {
  readonly tag: string | undefined;
}

function groupByRepository(
  images: readonly LayoutImage[],
  fallback: string,
): ReadonlyMap<string, NamedImage[]> {
  const repositories = new Map<string, NamedImage[]>();
  for (const image of images) {
    const { repository, tag } = splitName(image.name, fallback);
    repositories.set(repository, [...(repositories.get(repository) ?? []), { ...image, tag }]);
  }
  return repositories;
}

/** `1.0`, `name:1.0`, `team/name:1.0` or `host:5000/team/name:1.0@sha256:…`. A name without a tag is a tag. */
function splitName(
  name: string | undefined,
  fallback: string,
): { repository: string; tag: string | undefined } {
  const [reference = ''] = (name ?? '').split('@', 1);
  if (reference === '') return { repository: fallback, tag: undefined };
  const slash = reference.lastIndexOf('/');
  const colon = reference.indexOf(':', slash + 1);
  if (slash < 0 && colon < 0) return { repository: fallback, tag: reference };
  const path = (colon < 0 ? reference : reference.slice(0, colon)).split('/');
  const [host = ''] = path;
  if (path.length > 1 && (/[.:]/.test(host) || host === 'localhost')) path.shift();
  return { repository: path.join('/'), tag: colon < 0 ? 'latest' : reference.slice(colon + 1) };
}

function layoutRepository(name: string, images: readonly NamedImage[], files: LayoutFiles): SourceRepository {
  const nameOf = (digest: Digest) => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
  const tags = new Map(
    images.flatMap(({ tag, digest }) => (tag === undefined ? [] : [[tag, digest] as const])),
  );
  const mediaTypes = new Map(images.map(({ digest, mediaType }) => [digest, mediaType]));
  return {
    name,
    async *listTags() {
      yield* tags.keys();
    },
    resolveTag: async (tag) => tags.get(tag),
    async *listUntagged() {
      for (const { digest, tag } of images) if (tag === undefined) yield digest;
    },
    async readManifest(digest, listedAs): Promise<SourceManifest | undefined> {
      // A layout does not tell manifests from blobs, and an index may list both (a build cache): what it says counts.
      if (!mediaTypes.has(digest) && !isManifestType(listedAs)) return undefined;
      const bytes = await files.readSmall(nameOf(digest), longestManifest);
      if (bytes === undefined) return undefined;
      return { bytes: verified(bytes, digest), mediaType: mediaTypes.get(digest) };
    },
    listReferrers: async () => [],
    findBlob: (digest) => files.findBlob(nameOf(digest)),
  };
}

function isManifestType(type: string | undefined): boolean {
  return type !== undefined && (manifestKindOf(type) !== undefined || schema1Types.includes(type));
}
