// The bytes of a layer, decompressed as they are asked for: tar as it is, gzip and zstd, told by their first bytes and not by what
// a media type claims. Held to limits, so that a small blob cannot keep the server busy for long.
import { pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import { type OpenBlob, ShortBlobError } from '../storage/blob-store.ts';
import { InspectionFault } from './faults.ts';
import { largestWindow, ZstdFault, ZstdFrames, ZstdWindowError } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

export interface LayerLimits {
  /** Decompressed bytes for each compressed one, above what every layer may have. */
  readonly ratio: number;
  /** How long all layers that an answer needs may be read, in seconds. */
  readonly seconds: number;
}

/** One reading: until when it may go on, and whether somebody still waits for it. */
export class Reading {
  readonly signal: AbortSignal;
  readonly #now: () => number;
  #until: number;

  /** `now`: a monotonic clock, in milliseconds. */
  constructor(seconds: number, signal: AbortSignal, now: () => number) {
    this.signal = signal;
    this.#now = now;
    this.#until = now() + seconds * 1000;
  }

  get isOver(): boolean {
    return this.#now() > this.#until;
  }

  /** Stops its time until the returned function is called: what waits for a client costs nobody anything. */
  pause(): () => void {
    const since = this.#now();
    return () => {
      this.#until += this.#now() - since;
    };
  }
}

/** So much may come out of the smallest blob: files of zeros are honest. */
const always = 64 * 1024 * 1024;
const chunkSize = 256 * 1024;
/** Frames up to this size are decompressed in one go: a stream each would cost more than the work. */
const smallFrame = 64 * 1024;
const smallFrameOutput = 4 * 1024 * 1024;

/** How a blob is compressed. */
export async function findCompression(blob: OpenBlob): Promise<Compression> {
  if (blob.size < 4) return 'none';
  const parts: Buffer[] = [];
  for await (const part of blob.stream({ start: 0, end: 3 })) parts.push(part as Buffer);
  const magic = Buffer.concat(parts).readUInt32LE(0);
  if ((magic & 0xffff) === 0x8b1f) return 'gzip';
  const isZstd = magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
  return isZstd ? 'zstd' : 'none';
}

/**
 * The decompressed bytes in chunks, each good until the next one is asked for. Throws InspectionFault for what cannot be
 * decompressed and for what goes beyond the limits, ShortBlobError, and the reason of the reading's signal.
 */
export async function* readLayer(
  blob: OpenBlob,
  compression: Compression,
  limits: LayerLimits,
  reading: Reading,
): AsyncGenerator<Buffer> {
  const most = Math.max(always, blob.size * limits.ratio);
  let total = 0;
  try {
    for await (const chunk of decompress(blob, compression)) {
      reading.signal.throwIfAborted();
      total += chunk.length;
      if (compression !== 'none' && total > most) throw tooDense(limits.ratio);
      if (reading.isOver) throw tooLong(limits.seconds);
      yield chunk;
    }
  } catch (error) {
    throw asFault(error, compression);
  }
}

function decompress(blob: OpenBlob, compression: Compression): AsyncIterable<Buffer> {
  if (compression === 'none') return blob.stream();
  if (compression === 'zstd') return unzstd(blob.stream());
  return through(blob.stream(), zlib.createGunzip({ chunkSize }));
}

async function* through(source: Readable, unzip: zlib.Gunzip | zlib.ZstdDecompress): AsyncGenerator<Buffer> {
  // A failure of either ends both; the loop below is told of it.
  pipeline(source, unzip, () => undefined);
  try {
    for await (const chunk of unzip) yield chunk as Buffer;
  } finally {
    unzip.destroy();
    source.destroy();
  }
}

async function* unzstd(source: Readable): AsyncGenerator<Buffer> {
  const frames = new ZstdFrames();
  const pieces = (async function* () {
    for await (const chunk of source) yield* frames.split(chunk as Buffer);
    if (!frames.atBoundary) throw new ZstdFault('it ends too early');
  })();
  try {
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
      const { bytes, last } = next.value;
      const small = last && bytes.length <= smallFrame ? await unzstdSmall(bytes) : undefined;
      if (small !== undefined) yield small;
      else {
        const frame = last ? [bytes] : restOf(bytes, pieces);
        yield* through(Readable.from(frame, { objectMode: false }), zlib.createZstdDecompress({ chunkSize }));
      }
    }
  } finally {
    source.destroy();
  }
}

async function* restOf(
  first: Buffer,
  pieces: AsyncGenerator<{ readonly bytes: Buffer; readonly last: boolean }>,
): AsyncGenerator<Buffer> {
  yield first;
  // Not for-await, which would end the pieces of the frames that follow.
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    yield next.value.bytes;
    if (next.value.last) return;
  }
}

/** undefined where more comes out of it than is held at once. */
function unzstdSmall(frame: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    zlib.zstdDecompress(frame, { maxOutputLength: smallFrameOutput }, (error, bytes) => {
      if (error === null) resolve(bytes);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') resolve(undefined);
      else reject(error);
    });
  });
}

function asFault(error: unknown, compression: Compression): unknown {
  if (error instanceof InspectionFault || error instanceof ShortBlobError) return error;
  if (error instanceof ZstdFault) return unreadable(compression, error.message, error);
  if (error instanceof ZstdWindowError) return tooWide(error);
  const { code = '', message } = error as NodeJS.ErrnoException;
  // zlib's own: Z_DATA_ERROR, Z_BUF_ERROR, ZSTD_error_…
  return /^(?:Z_|ZSTD_)/.test(code) ? unreadable(compression, message, error) : error;
}

function unreadable(compression: Compression, why: string, cause: unknown): InspectionFault {
  return new InspectionFault('unreadable', `it cannot be decompressed as ${compression}: ${why}`, { cause });
}

function tooDense(ratio: number): InspectionFault {
  const message = `it decompresses to more than ${ratio} times its size: raise inspection.archiveRatioLimit if that is meant`;
  return new InspectionFault('too-large', message);
}

function tooWide(cause: ZstdWindowError): InspectionFault {
  const mebibytes = (bytes: number): string => `${Math.ceil(bytes / (1024 * 1024)).toLocaleString('en')} MiB`;
  const message =
    `it is compressed with zstd over a window of ${mebibytes(cause.window)}, and no more than ${mebibytes(largestWindow)} are ` +
    `held in memory here: pull the image, or compress it at level 20 or lower and without --long`;
  return new InspectionFault('too-large', message, { cause });
}

function tooLong(seconds: number): InspectionFault {
  const message = `reading the layers takes longer than ${seconds} s: try once more (what was read is kept for a while), or pull the image`;
  return new InspectionFault('too-large', message);
}
