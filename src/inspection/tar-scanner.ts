// Goes through a tar archive as its bytes arrive, and tells each entry with the place of its content. Holds no more than one header.
import {
  readPaxRecords,
  readTarHeader,
  TarFault,
  type TarHeader,
  tarBlock,
  tarPadding,
  untilNul,
} from '../oci/tar.ts';

export interface TarEntry extends Omit<TarHeader, 'sparse'> {
  /** Where the content begins, and how long it is in the archive. */
  readonly offset: number;
  readonly storedSize: number;
  /** The content has holes that are left out: it cannot be read as it stands. */
  readonly isSparse: boolean;
}

/** Names are at most 4 KiB on Linux; extended attributes come in these headers, too. */
const longestExtension = 1024 * 1024;
/** Links, folders and devices have no content, whatever their size says. */
const withoutContent = new Set(['1', '2', '3', '4', '5', '6']);

export class TarScanner {
  readonly #onEntry: (entry: TarEntry) => void;
  readonly #block = Buffer.alloc(tarBlock);
  #filled = 0;
  #position = 0;
  /** Bytes to pass over: content and padding. */
  #skip = 0;
  #extension: { readonly type: string; readonly parts: Buffer[]; missing: number } | undefined;
  #pax: ReadonlyMap<string, string> | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  #sparse: TarHeader | undefined;
  #ended = false;

  constructor(onEntry: (entry: TarEntry) => void) {
    this.#onEntry = onEntry;
  }

  /** Whether the end of the archive was seen: whatever follows does not belong to it. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Reads on. Throws TarFault. */
  write(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length && !this.#ended) {
      if (this.#extension !== undefined && this.#extension.missing > 0) {
        const part = chunk.subarray(from, from + this.#extension.missing);
        // The chunk's memory may be used anew.
        this.#extension.parts.push(Buffer.from(part));
        this.#extension.missing -= part.length;
        from += part.length;
        if (this.#extension.missing === 0) this.#finishExtension();
      } else if (this.#skip > 0) {
        const passed = Math.min(this.#skip, chunk.length - from);
        this.#skip -= passed;
        from += passed;
      } else {
        const copied = chunk.copy(this.#block, this.#filled, from, from + tarBlock - this.#filled);
        this.#filled += copied;
        from += copied;
        if (this.#filled === tarBlock) {
          this.#filled = 0;
          this.#position += tarBlock;
          this.#readBlock();
        }
      }
    }
  }

  /** Call it when there are no more bytes. Throws TarFault where the archive ends too early. */
  finish(): void {
    if (this.#ended) return;
    const isCut =
      this.#filled > 0 || this.#skip > 0 || this.#extension !== undefined || this.#sparse !== undefined;
    if (isCut) throw new TarFault('it ends too early');
  }

  #readBlock(): void {
    if (this.#sparse !== undefined) {
      const header = this.#sparse;
      if (this.#block[504] === 1) return;
      this.#sparse = undefined;
      this.#emit(header);
      return;
    }
    const header = readTarHeader(this.#block);
    if (header === undefined) {
      this.#ended = true;
      return;
    }
    if (['x', 'X', 'g', 'L', 'K'].includes(header.type)) {
      if (header.size > longestExtension) throw new TarFault('one of its extended headers is too long');
      this.#extension = { type: header.type, parts: [], missing: header.size };
      this.#position += header.size + tarPadding(header.size);
      if (header.size === 0) this.#finishExtension();
      else this.#skip = tarPadding(header.size);
      return;
    }
    if (header.sparse?.continues === true) this.#sparse = header;
    else this.#emit(header);
  }

  #finishExtension(): void {
    const { type = '', parts = [] } = this.#extension ?? {};
    const bytes = Buffer.concat(parts);
    this.#extension = undefined;
    if (type === 'L') this.#longName = untilNul(bytes);
    else if (type === 'K') this.#longLink = untilNul(bytes);
    // What is said of all entries (g) is left aside, as the programs do that unpack layers.
    else if (type !== 'g') this.#pax = readPaxRecords(bytes);
  }

  #emit(header: TarHeader): void {
    const pax = this.#pax ?? new Map<string, string>();
    const size = numberOf(pax.get('size'), header.size);
    if (size < 0 || !Number.isSafeInteger(this.#position + size))
      throw new TarFault('it names an impossible size');
    const storedSize = withoutContent.has(header.type) ? 0 : size;
    const isSparse = header.sparse !== undefined || pax.has('GNU.sparse.major') || pax.has('GNU.sparse.map');
    const realSize = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size');
    this.#onEntry({
      name: pax.get('GNU.sparse.name') ?? pax.get('path') ?? this.#longName ?? header.name,
      linkName: pax.get('linkpath') ?? this.#longLink ?? header.linkName,
      type: header.type,
      size: isSparse ? numberOf(realSize, header.sparse?.realSize ?? size) : storedSize,
      mode: header.mode,
      uid: numberOf(pax.get('uid'), header.uid),
      gid: numberOf(pax.get('gid'), header.gid),
      modifiedAt: numberOf(pax.get('mtime'), header.modifiedAt),
      offset: this.#position,
      storedSize,
      isSparse,
    });
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#position += storedSize + tarPadding(storedSize);
    this.#skip = storedSize + tarPadding(storedSize);
  }
}

function numberOf(text: string | undefined, otherwise: number): number {
  return text !== undefined && /^-?\d{1,15}(?:\.\d{1,30})?$/.test(text) ? Number(text) : otherwise;
}
