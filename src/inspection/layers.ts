// What is in the layers of images: each layer is read once and its list of files kept for a while, in bounded memory, so that
// looking from folder to folder is not a new reading each time. Bytes are never unpacked anywhere.
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/name.ts';
import { TarFault } from '../oci/tar.ts';
import type { Blobs } from '../registry/blobs.ts';
import { type OpenBlob, ShortBlobError } from '../storage/blob-store.ts';
import type { LinkedBlob } from '../storage/metadata-store.ts';
import { InspectionFault } from './faults.ts';
import { FileTree } from './file-tree.ts';
import { type Compression, findCompression, type LayerLimits, Reading, readLayer } from './layer-bytes.ts';
import { fileOf, type LayerFile, marks } from './layer-file.ts';
import { combineAll, sortFiles } from './overlay.ts';
import { SharedWork, Slots } from './slots.ts';
import { TarScanner } from './tar-scanner.ts';

/** One layer, and the files of an image, may list so much. */
const mostFiles = 300_000;
const mostFilesOfImage = 500_000;
/** Names and link targets of one layer together, in characters. */
const mostNames = 64 * 1024 * 1024;
const cacheBytes = 64 * 1024 * 1024;
/** What a file takes in memory besides its texts. */
const bytesOfFile = 160;
const mostReading = 2;
const mostWaiting = 16;
/** Files that are sent while their layer is still open, each with the window of a decompressor. */
const mostSending = 8;
/** One caller takes a quarter of them, so that it takes several to hold up everybody else. */
const sendingOfCaller = { most: 2, mostWaiting: 4, longestWait: 10_000 };
/** A file up to here is read at once: the memory is less than a decompressor's, and whoever takes it holds nothing up. */
const readAtOnce = 1024 * 1024;

export interface LayersOptions {
  readonly blobs: Blobs;
  readonly limits: LayerLimits;
  /** A monotonic clock in milliseconds, for tests. */
  readonly now?: () => number;
}

/** Layers of an image, lowest first. */
export interface LayeredImage {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly layers: readonly Digest[];
}

/** Bytes as they come; whoever does not read them to their end closes them. */
export interface ContentStream extends AsyncIterable<Buffer> {
  /** Whether others may be waiting for its end: it keeps one of a few places and the memory of a decompressor. */
  readonly holdsPlace: boolean;
  close(): Promise<void>;
}

/** Who waits for content. */
export interface Asker {
  /** Whose places are counted together. */
  readonly caller: string;
  readonly signal: AbortSignal;
}

/** Where a file lies in its decompressed layer. */
interface Place {
  readonly offset: number;
  readonly size: number;
}

interface Listing {
  readonly files: readonly LayerFile[];
}

export class Layers {
  readonly #blobs: Blobs;
  readonly #limits: LayerLimits;
  readonly #now: () => number;
  readonly #slots = new Slots(mostReading, mostWaiting);
  readonly #sending = new Slots(mostSending, mostWaiting, sendingOfCaller);
  readonly #shared = new SharedWork<Listing>();
  readonly #kept = new LRUCache<string, Listing>({ maxSize: cacheBytes, sizeCalculation: sizeOf });

  constructor({ blobs, limits, now }: LayersOptions) {
    this.#blobs = blobs;
    this.#limits = limits;
    this.#now = now ?? (() => performance.now());
  }

  /**
   * The files of one layer with its marks, sorted. Throws InspectionFault, OciError UNAVAILABLE, and the reason of `signal`.
   */
  async filesOf(
    repository: RepositoryName,
    layer: Digest,
    signal: AbortSignal,
  ): Promise<readonly LayerFile[]> {
    // What is kept is for those alone who can read the layer in this repository.
    await this.#find(repository, layer);
    const { files } = await this.#shared.run(layer, signal, async (shared) => {
      const kept = this.#kept.get(layer);
      if (kept !== undefined) return kept;
      const giveBack = await this.#slots.take(shared);
      try {
        return await this.#index(repository, layer, this.#begin(shared));
      } finally {
        giveBack();
      }
    });
    return files;
  }

  /** The files of an image: its layers on top of each other. Throws like filesOf. */
  async treeOf({ repository, digest, layers }: LayeredImage, signal: AbortSignal): Promise<FileTree> {
    for (const layer of new Set(layers)) await this.#find(repository, layer);
    const { files } = await this.#shared.run(`tree of ${digest}`, signal, async (shared) => {
      const kept = this.#kept.get(`tree of ${digest}`);
      if (kept !== undefined) return kept;
      const giveBack = await this.#slots.take(shared);
      try {
        const lists: (readonly LayerFile[])[] = [];
        let count = 0;
        const reading = this.#begin(shared);
        for (const layer of layers) {
          const list = await this.#index(repository, layer, reading);
          count += list.files.length;
          if (count > mostFilesOfImage) throw tooMany('the image', mostFilesOfImage);
          lists.push(list.files);
        }
        const all = await combineAll(lists, shared);
        // What was hidden is left out by now.
        const tree = { files: all.filter(({ type }) => type !== undefined).map(withoutMarks) };
        this.#kept.set(`tree of ${digest}`, tree);
        return tree;
      } finally {
        giveBack();
      }
    });
    return new FileTree(files);
  }

  /**
   * The content of a file as it lies in its layer, once its beginning was reached; never more than its size. The caller reads it to
   * its end, or closes it; how long that takes does not count as reading. Throws like filesOf.
   */
  async contentOf(
    repository: RepositoryName,
    file: LayerFile,
    { caller, signal }: Asker,
  ): Promise<ContentStream> {
    const { offset, size, layer } = file;
    if (offset === undefined)
      throw new InspectionFault('unreadable', file.note ?? 'it has no content of its own');
    const place = { offset, size };
    if (size <= readAtOnce) return await this.#readAtOnce(repository, layer, place, signal);
    if ((await this.#compressionOf(repository, layer)) === 'none') {
      const content = this.#read(repository, layer, place, signal);
      return resumed(await content.next(), content);
    }
    const leave = await this.#sending.take(signal, caller);
    try {
      const giveBack = await this.#slots.take(signal);
      const content = this.#read(repository, layer, place, signal);
      try {
        // Until here it costs; what follows goes at the pace of whoever asks, and only its memory is counted.
        return resumed(await content.next(), content, leave);
      } finally {
        giveBack();
      }
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #readAtOnce(
    repository: RepositoryName,
    layer: Digest,
    place: Place,
    signal: AbortSignal,
  ): Promise<ContentStream> {
    const giveBack = await this.#slots.take(signal);
    try {
      const parts: Buffer[] = [];
      for await (const part of this.#read(repository, layer, place, signal)) parts.push(Buffer.from(part));
      return {
        holdsPlace: false,
        close: async () => undefined,
        async *[Symbol.asyncIterator]() {
          yield* parts;
        },
      };
    } finally {
      giveBack();
    }
  }

  #begin(signal: AbortSignal): Reading {
    return new Reading(this.#limits.seconds, signal, this.#now);
  }

  async #index(repository: RepositoryName, layer: Digest, reading: Reading): Promise<Listing> {
    const kept = this.#kept.get(layer);
    if (kept !== undefined) return kept;
    const files: LayerFile[] = [];
    let names = 0;
    const scanner = new TarScanner((entry) => {
      const file = fileOf(entry, layer);
      if (file === undefined) return;
      files.push(file);
      names += file.key.length + (file.linkTarget?.length ?? 0);
      if (files.length > mostFiles || names > mostNames) throw tooMany(`layer ${layer}`, mostFiles);
    });
    await this.#withBlob(repository, layer, async (blob) => {
      const compression = await findCompression(blob);
      for await (const chunk of readLayer(blob, compression, this.#limits, reading)) {
        scanner.write(chunk);
        if (scanner.ended) break;
      }
      scanner.finish();
    });
    const listing = { files: await sortFiles(files, reading.signal) };
    this.#kept.set(layer, listing);
    return listing;
  }

  async *#read(
    repository: RepositoryName,
    layer: Digest,
    { offset, size }: Place,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    if (size === 0) return;
    const { open, close, explain } = await this.#open(repository, layer);
    try {
      const compression: Compression = await findCompression(open);
      const reading = this.#begin(signal);
      const chunks =
        compression === 'none'
          ? open.stream({ start: offset, end: offset + size - 1 })
          : readLayer(open, compression, this.#limits, reading);
      let skip = compression === 'none' ? 0 : offset;
      let left = size;
      for await (const chunk of chunks as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        const part = chunk.subarray(Math.min(skip, chunk.length)).subarray(0, left);
        skip -= Math.min(skip, chunk.length);
        left -= part.length;
        if (part.length > 0) {
          // Whoever takes it may be slow; limits.slowestTransfer says how slow.
          const goOn = reading.pause();
          yield part;
          goOn();
        }
        if (left === 0) return;
      }
      throw new TarFault('it ends too early');
    } catch (error) {
      throw await explain(error);
    } finally {
      await close();
    }
  }

  #compressionOf(repository: RepositoryName, layer: Digest): Promise<Compression> {
    return this.#withBlob(repository, layer, findCompression);
  }

  async #withBlob<Result>(
    repository: RepositoryName,
    layer: Digest,
    use: (blob: OpenBlob) => Promise<Result>,
  ): Promise<Result> {
    const { open, close, explain } = await this.#open(repository, layer);
    try {
      return await use(open);
    } catch (error) {
      throw await explain(error);
    } finally {
      await close();
    }
  }

  #find(repository: RepositoryName, layer: Digest): Promise<LinkedBlob> {
    return named(layer, () => this.#blobs.find(repository, layer));
  }

  async #open(repository: RepositoryName, layer: Digest) {
    const blob = await this.#find(repository, layer);
    const open = await named(layer, () => this.#blobs.open(repository, layer, blob));
    return {
      open,
      close: () => open.close(),
      explain: async (error: unknown): Promise<unknown> => {
        if (error instanceof ShortBlobError) {
          await this.#blobs.quarantine(repository, layer, blob.location, 'short');
          return new InspectionFault('unreadable', `layer ${layer} is damaged: push the image again`, {
            cause: error,
          });
        }
        if (error instanceof TarFault) {
          return new InspectionFault('unreadable', `layer ${layer} cannot be read: ${error.message}`, {
            cause: error,
          });
        }
        if (error instanceof InspectionFault && !error.message.includes(layer)) {
          return new InspectionFault(error.kind, `layer ${layer}: ${error.message}`, { cause: error });
        }
        return error;
      },
    };
  }
}

/**
 * A generator whose first step was made already; it is closed also where nobody ever reads on. `leave` is called at its end, more
 * than once perhaps.
 */
function resumed(
  first: IteratorResult<Buffer, void>,
  rest: AsyncGenerator<Buffer, void>,
  leave?: () => void,
): ContentStream {
  const close = async (): Promise<void> => {
    try {
      await rest.return();
    } finally {
      leave?.();
    }
  };
  return {
    holdsPlace: leave !== undefined,
    close,
    async *[Symbol.asyncIterator]() {
      try {
        if (!first.done) yield first.value;
        yield* rest;
      } finally {
        await close();
      }
    },
  };
}

async function named<Result>(layer: Digest, find: () => Promise<Result>): Promise<Result> {
  try {
    return await find();
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'BLOB_UNKNOWN') throw error;
    const message = `layer ${layer} is not here, or damaged: push the image again`;
    throw new InspectionFault('absent', message, { cause: error });
  }
}

function withoutMarks(file: LayerFile): LayerFile {
  return file.marks === marks.none ? file : { ...file, marks: marks.none };
}

function sizeOf({ files }: Listing): number {
  return files.reduce(
    (sum, { key, linkTarget }) => sum + bytesOfFile + key.length + (linkTarget?.length ?? 0),
    1,
  );
}

function tooMany(what: string, most: number): InspectionFault {
  const message = `${what} holds more files than are listed here (${most.toLocaleString('en')}): pull the image and look there`;
  return new InspectionFault('too-large', message);
}
