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

  /** The pieces of frames in the next bytes. Throws ZstdFault. */
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
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** sizeFlag;
  return 1 + (isSingleSegment ? 0 : 1) + dictionary + contentSize;
}
