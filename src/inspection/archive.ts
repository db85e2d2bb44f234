// An image as one file: the tar archive of an OCI layout (OCI image-spec, image-layout.md), as `podman load` and `skopeo copy
// oci-archive:` read it. Everything is known before the first byte goes out, so the length is told; what turns out to be missing
// later breaks the stream off.
import { setImmediate as turn } from 'node:timers/promises';
import { type Digest, isDigest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import { manifestKindOf } from '../oci/media-types.ts';
import type { RepositoryName } from '../oci/name.ts';
import { makeTarHeader, tarBlock, tarPadding } from '../oci/tar.ts';
import type { Blobs } from '../registry/blobs.ts';
import type { LinkedBlob, ManifestStore, StoredManifest } from '../storage/metadata-store.ts';
import { type Descriptor, descriptorIn, listIn, parseStored } from './documents.ts';
import { InspectionFault } from './faults.ts';
import { isForeignLayer } from './image-config.ts';

/** A file of the archive: bytes that are here already, or a blob that is opened when its turn comes. */
export type ArchiveFile =
  | { readonly name: string; readonly size: number; readonly bytes: Buffer }
  | { readonly name: string; readonly size: number; readonly blob: LinkedBlob };

export interface Archive {
  readonly files: readonly ArchiveFile[];
  /** In bytes, with everything. */
  readonly length: number;
}

const deepestIndex = 4;
const mostManifests = 5000;
const mostManifestBytes = 64 * 1024 * 1024;
const mostBlobs = 50_000;

/** Two blocks of zeros. */
export const archiveEnd = Buffer.alloc(2 * tarBlock);

export interface ArchiveOptions {
  readonly repository: RepositoryName;
  readonly manifest: StoredManifest;
  /** What the image is called in the archive: its tag, and its whole name. */
  readonly names: { readonly tag: string; readonly image: string } | undefined;
}

export class ArchivePlanner {
  readonly #manifests: ManifestStore;
  readonly #blobs: Blobs;

  constructor(manifests: ManifestStore, blobs: Blobs) {
    this.#manifests = manifests;
    this.#blobs = blobs;
  }

  /** What goes into the archive. Throws InspectionFault where something is not here. */
  async plan({ repository, manifest, names }: ArchiveOptions): Promise<Archive> {
    const gathered = new Gathered();
    await this.#gather(repository, manifest, gathered, deepestIndex);
    const annotations =
      names === undefined
        ? {}
        : {
            annotations: {
              'org.opencontainers.image.ref.name': names.tag,
              'io.containerd.image.name': names.image,
            },
          };
    const { mediaType, digest, bytes } = manifest;
    const index = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ mediaType, digest, size: bytes.length, ...annotations }],
    };
    const files = [
      fileOf('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' })),
      fileOf('index.json', JSON.stringify(index)),
      fileOf('blobs/', ''),
      ...gathered.folders().map((name) => fileOf(name, '')),
      ...gathered.files.values(),
    ];
    return {
      files,
      length: files.reduce(
        (sum, file) => sum + headerOf(file).length + file.size + tarPadding(file.size),
        archiveEnd.length,
      ),
    };
  }

  async #gather(
    repository: RepositoryName,
    manifest: StoredManifest,
    gathered: Gathered,
    depth: number,
  ): Promise<void> {
    if (!gathered.addManifest(manifest)) return;
    await turn();
    const body = parseStored(manifest.bytes);
    if (manifestKindOf(manifest.mediaType) !== 'index') {
      const config = body.config === undefined || body.config === null ? [] : [descriptorIn(body.config)];
      const layers = [...listIn(body.layers), ...listIn(body.blobs)].map(descriptorIn);
      for (const descriptor of [...config, ...layers]) await this.#addBlob(repository, descriptor, gathered);
      return;
    }
    for (const child of listIn(body.manifests).map(descriptorIn)) {
      if (!isDigest(child.digest)) throw absent(child.digest, manifest.digest);
      const stored = await this.#manifests.find(repository, { digest: child.digest });
      if (stored === undefined) await this.#addBlob(repository, child, gathered);
      else if (depth === 0)
        throw new InspectionFault('too-large', `${manifest.digest} nests indexes too deeply`);
      else await this.#gather(repository, stored, gathered, depth - 1);
    }
  }

  async #addBlob(repository: RepositoryName, descriptor: Descriptor, gathered: Gathered): Promise<void> {
    const { digest } = descriptor;
    if (isDigest(digest) && gathered.has(digest)) return;
    try {
      if (!isDigest(digest)) throw absent(digest);
      gathered.addBlob(await this.#blobs.find(repository, digest));
    } catch (error) {
      const isMissing =
        error instanceof InspectionFault || (error instanceof OciError && error.code === 'BLOB_UNKNOWN');
      // Whoever reads the archive gets those from where they are.
      if (isMissing && isForeignLayer(descriptor)) return;
      throw isMissing ? absent(digest) : error;
    }
  }
}

class Gathered {
  readonly files = new Map<Digest, ArchiveFile>();
  #manifests = 0;
  #manifestBytes = 0;

  has(digest: Digest): boolean {
    return this.files.has(digest);
  }

  /** False when it is there already. */
  addManifest({ digest, bytes }: StoredManifest): boolean {
    if (this.has(digest)) return false;
    this.#manifests += 1;
    this.#manifestBytes += bytes.length;
    if (this.#manifests > mostManifests || this.#manifestBytes > mostManifestBytes) {
      throw new InspectionFault(
        'too-large',
        'it lists too many manifests for one archive: ask for a platform',
      );
    }
    this.files.set(digest, { name: nameOf(digest), size: bytes.length, bytes });
    return true;
  }

  addBlob(blob: LinkedBlob): void {
    this.files.set(blob.digest, { name: nameOf(blob.digest), size: blob.size, blob });
    if (this.files.size > mostBlobs)
      throw new InspectionFault('too-large', 'it has too many layers for one archive');
  }

  /** `blobs/sha256/` and what else there is. */
  folders(): readonly string[] {
    return [
      ...new Set([...this.files.keys()].map((digest) => `blobs/${digest.slice(0, digest.indexOf(':'))}/`)),
    ];
  }
}

function fileOf(name: string, text: string): ArchiveFile {
  const bytes = Buffer.from(text);
  return { name, size: bytes.length, bytes };
}

function nameOf(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function absent(digest: string, index?: Digest): InspectionFault {
  const where = index === undefined ? '' : `, which ${index} lists`;
  return new InspectionFault(
    'absent',
    `the image is not whole: ${digest}${where} is not in this repository, or damaged`,
  );
}

/** The header of a file of the archive. */
export function headerOf({ name, size }: ArchiveFile): Buffer {
  return makeTarHeader(name, size);
}
