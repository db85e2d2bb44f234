// Where the frames of a zstd stream end (RFC 8878). Node decompresses the first frame alone and takes the rest for the end, while
// layers made for lazy pulling (zstd:chunked) are thousands of frames, with some between them that a reader skips.

/** A piece of a frame: all of it, or with `last` false its beginning or middle. Frames to be skipped are left out. */
export interface FramePiece {
  readonly bytes: Buffer;
  readonly last: boolean;
}

/** Why bytes are no zstd: a clause. */
export class ZstdFault extends Error {
  override readonly name = 'ZstdFault';
}

/** A frame whose window is larger than is held here. */
export class ZstdWindowError extends Error {
  override readonly name = 'ZstdWindowError';
  /** In bytes. */
  readonly window: number;
  constructor(window: number) {
    super(`a window of ${window} bytes`);
    this.window = window;
  }
}

/**
 * What a decompressor may have to keep of what it wrote, in bytes. `zstd` needs 8 MiB up to level 19 and 32 MiB at 20, clients
 * that compress in Go need 8 MiB, before 2024 32 MiB at their highest levels. Beyond are 21, 22 and --long.
 */
export const largestWindow = 32 * 1024 * 1024;

const magicNumber = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

export class ZstdFrames {
  #at: 'magic' | 'descriptor' | 'block' | 'content' | 'skipped' = 'magic';
  /** Of a block's content, or of a frame that is skipped. */
  #left = 0;
  #isLastBlock = false;
  #hasChecksum = false;
  /** The beginning of a header that goes on in the next chunk. */
  #held: Buffer = Buffer.alloc(0);

  /** Whether the stream may end here. */
  get atBoundary(): boolean {
    return this.#at === 'magic' && this.#held.length === 0;
  }

  /** The pieces of frames in the next bytes. Throws ZstdFault, and ZstdWindowError before anything of that frame. */
  *split(chunk: Buffer): Generator<FramePiece> {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let begin = 0;
    let position = 0;
    for (;;) {
      if (this.#at === 'content' || this.#at === 'skipped') {
        const passed = Math.min(this.#left, bytes.length - position);
        this.#left -= passed;
        position += passed;
        if (this.#at === 'skipped') begin = position;
        if (this.#left > 0) break;
        if (this.#at === 'content' && !this.#isLastBlock) {
          this.#at = 'block';
          continue;
        }
        if (this.#at === 'content') yield { bytes: bytes.subarray(begin, position), last: true };
        begin = position;
        this.#at = 'magic';
      } else {
        const used = this.#readHeader(bytes.subarray(position));
        if (used === undefined) break;
        position += used;
      }
    }
    if (position > begin) yield { bytes: bytes.subarray(begin, position), last: false };
    this.#held = Buffer.from(bytes.subarray(position));
  }

  /** The length of the header at the beginning of `bytes`; undefined where more of it is needed. */
  #readHeader(bytes: Buffer): number | undefined {
    if (this.#at === 'magic') return this.#readMagic(bytes);
    if (this.#at === 'descriptor') {
      const [descriptor] = bytes;
      if (descriptor === undefined || bytes.length < headerLength(descriptor)) return undefined;
      const window = windowOf(bytes, descriptor);
      if (window > largestWindow) throw new ZstdWindowError(window);
      this.#hasChecksum = (descriptor & 0x04) !== 0;
      this.#at = 'block';
      return headerLength(descriptor);
    }
    if (bytes.length < 3) return undefined;
    const header = bytes.readUIntLE(0, 3);
    const type = (header >> 1) & 3;
    if (type === 3) throw new ZstdFault('one of its blocks is broken');
    this.#isLastBlock = (header & 1) === 1;
    // A run of one byte is that byte alone.
    this.#left = (type === 1 ? 1 : header >> 3) + (this.#isLastBlock && this.#hasChecksum ? 4 : 0);
    this.#at = 'content';
    return 3;
  }

  #readMagic(bytes: Buffer): number | undefined {
    if (bytes.length < 8) return undefined;
    const magic = bytes.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === skippableMagic) {
      this.#left = 8 + bytes.readUInt32LE(4);
      this.#at = 'skipped';
      return 0;
    }
    if (magic !== magicNumber) throw new ZstdFault('between its frames is something else');
    this.#at = 'descriptor';
    return 4;
  }
}

/** The frame header behind the magic number: descriptor, window, dictionary, content size. */
function headerLength(descriptor: number): number {
  const single = isSingleSegment(descriptor);
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 ? (single ? 1 : 0) : 2 ** sizeFlag;
  return 1 + (single ? 0 : 1) + dictionaryLength(descriptor) + contentSize;
}

/** The window of a frame, in bytes; of a single segment that is all of its content. */
function windowOf(header: Buffer, descriptor: number): number {
  if (!isSingleSegment(descriptor)) {
    const byte = header.readUInt8(1);
    const base = 2 ** (10 + (byte >> 3));
    return base + (base / 8) * (byte & 7);
  }
  const at = 1 + dictionaryLength(descriptor);
  const sizeFlag = descriptor >> 6;
  if (sizeFlag === 3) return Number(header.readBigUInt64LE(at));
  // Two bytes count on from where one byte ends.
  return header.readUIntLE(at, 2 ** sizeFlag) + (sizeFlag === 1 ? 256 : 0);
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0x20) !== 0;
}

function dictionaryLength(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3] ?? 0;
}
