// Tar archives as layers use them (OCI image-spec, layer.md): ustar headers with the extensions of pax and GNU. Pure: headers are
// read from bytes and made as bytes. Nothing here believes a name, which is the caller's business.

export const tarBlock = 512;

/** Why bytes are no tar archive: a clause. */
export class TarFault extends Error {
  override readonly name = 'TarFault';
}

export interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  /** The flag as it stands there; old archives write a NUL for a regular file, which is '0' here. */
  readonly type: string;
  /** Bytes of the content that follows, in the archive. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Unix seconds, perhaps with a fraction, perhaps before 1970. */
  readonly modifiedAt: number;
  /** GNU's own form of a sparse file goes on in further blocks when the last one says so. */
  readonly sparse: { readonly realSize: number; readonly continues: boolean } | undefined;
}

/** The header in a block of 512 bytes; undefined for a block of zeros, which ends an archive. Throws TarFault. */
export function readTarHeader(block: Buffer): TarHeader | undefined {
  let sum = 8 * 0x20;
  for (let index = 0; index < tarBlock; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  if (sum === 8 * 0x20 && block[148] === 0) return undefined;
  if (readNumber(block.subarray(148, 156)) !== sum) throw new TarFault('it is no tar archive');
  const magic = block.toString('latin1', 257, 265);
  // GNU's own format keeps other things where ustar has the prefix.
  const prefix = magic.startsWith('ustar\0') ? untilNul(block.subarray(345, 500)) : '';
  const name = untilNul(block.subarray(0, 100));
  const flag = String.fromCharCode(block[156] ?? 0);
  const size = readNumber(block.subarray(124, 136));
  if (size < 0 || !Number.isSafeInteger(size)) throw new TarFault('it names an impossible size');
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: untilNul(block.subarray(157, 257)),
    type: flag === '\0' ? '0' : flag,
    size,
    mode: readNumber(block.subarray(100, 108)) & 0o7777,
    uid: readNumber(block.subarray(108, 116)),
    gid: readNumber(block.subarray(116, 124)),
    modifiedAt: readNumber(block.subarray(136, 148)),
    sparse:
      flag === 'S'
        ? { realSize: readNumber(block.subarray(483, 495)), continues: block[482] === 1 }
        : undefined,
  };
}

/** The records of a pax header, `<length> <key>=<value>\n` each; of a repeated key the last one counts. Throws TarFault. */
export function readPaxRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let from = 0; from < bytes.length; ) {
    const blank = bytes.indexOf(0x20, from);
    const digits = blank < 0 ? '' : bytes.toString('latin1', from, Math.min(blank, from + 11));
    const length = /^[1-9]\d{0,8}$/.test(digits) ? Number(digits) : 0;
    const end = from + length;
    const sign = bytes.indexOf(0x3d, blank + 1);
    if (end <= blank || end > bytes.length || sign < 0 || sign >= end || bytes[end - 1] !== 0x0a) {
      throw new TarFault('one of its extended headers is broken');
    }
    records.set(bytes.toString('utf8', blank + 1, sign), bytes.toString('utf8', sign + 1, end - 1));
    from = end;
  }
  return records;
}

/** Text up to the first NUL. */
export function untilNul(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

/** Octal text, or, for what that cannot hold, a binary number whose first byte is 0x80, or 0xff for one below zero. NaN: neither. */
function readNumber(field: Buffer): number {
  const [first = 0] = field;
  if (first === 0x80 || first === 0xff) {
    const start = first === 0xff ? -1 : 0;
    return field.subarray(1).reduce((number, byte) => number * 256 + byte, start);
  }
  const [digits = ''] = field.toString('latin1').trimStart().split(/[\0 ]/, 1);
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** Bytes of zeros that fill a content of `size` bytes up to whole blocks. */
export function tarPadding(size: number): number {
  return (tarBlock - (size % tarBlock)) % tarBlock;
}

/** Beyond this a size is written as a binary number, as GNU tar and Go do. */
const largestOctal = 8 ** 11 - 1;

/**
 * The header of a file, or of a folder when `name` ends in a slash: of user 0, for everybody to read, from 1970, so that the same
 * content makes the same archive. `name` is ASCII; a long one takes three blocks.
 */
export function makeTarHeader(name: string, size: number): Buffer {
  if (name.length <= 100) return makeBlock(name, size, name.endsWith('/') ? '5' : '0');
  // The length counts itself: three digits for every name that is used here.
  const record = Buffer.from(`${name.length + 10} path=${name}\n`, 'latin1');
  const extension = [makeBlock('pax', record.length, 'x'), record, Buffer.alloc(tarPadding(record.length))];
  return Buffer.concat([...extension, makeBlock(name.slice(0, 100), size, '0')]);
}

function makeBlock(name: string, size: number, flag: '0' | '5' | 'x'): Buffer {
  const block = Buffer.alloc(tarBlock);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(name, 0, 100, 'latin1');
  octal(flag === '5' ? 0o755 : 0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  if (size <= largestOctal) octal(size, 124, 12);
  else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(0, 136, 12);
  block.write(`        ${flag}`, 148, 'latin1');
  // A binary size is GNU's, and so must its magic be.
  block.write(size <= largestOctal ? 'ustar\u000000' : 'ustar  \0', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
