// Where the files of a tar archive lie (POSIX ustar, with GNU and pax long names), so that they can be read in place.
import { open } from 'node:fs/promises';
import { SourceFault } from './source.ts';

export interface TarEntry {
  readonly offset: number;
  readonly size: number;
}

const block = 512;
/** A long name or a pax header is small; anything larger is no archive of a layout. */
const longestHeader = 64 * 1024;
const mostEntries = 1_000_000;

/** Regular files by name, without a leading `./`. Of a repeated name the last one counts. Throws SourceFault. */
export async function readTarIndex(path: string): Promise<ReadonlyMap<string, TarEntry>> {
  const file = await open(path, 'r');
  try {
    const { size: end } = await file.stat();
    const entries = new Map<string, TarEntry>();
    const read = async (offset: number, length: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    };
    let longName: string | undefined;
    for (let offset = 0; offset + block <= end; ) {
      const header = await read(offset, block);
      if (header.every((byte) => byte === 0)) break;
      const { name, size, type } = readHeader(header, path);
      const content = offset + block;
      if (content + size > end) throw new SourceFault('damaged', `${path} ends in the middle of ${name}`);
      if (type === 'L' || type === 'x') {
        const text = await read(content, Math.min(size, longestHeader));
        longName = type === 'L' ? untilNul(text) : (paxPath(text) ?? longName);
      } else {
        if (type === '0' || type === '\0')
          entries.set((longName ?? name).replace(/^\.\//, ''), { offset: content, size });
        longName = undefined;
      }
      if (entries.size > mostEntries) throw new SourceFault('refused', `${path} has too many files`);
      offset = content + Math.ceil(size / block) * block;
    }
    return entries;
  } finally {
    await file.close();
  }
}

function readHeader(header: Buffer, path: string): { name: string; size: number; type: string } {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  if (octal(header.subarray(148, 156)) !== sum)
    throw new SourceFault('damaged', `${path} is no tar archive, or it is compressed: unpack it first`);
  const prefix =
    header.subarray(257, 262).toString('latin1') === 'ustar' ? untilNul(header.subarray(345, 500)) : '';
  const name = untilNul(header.subarray(0, 100));
  return {
    // GNU's own format keeps other things where ustar has the prefix.
    name: prefix !== '' && header[263] === 0x30 ? `${prefix}/${name}` : name,
    size: readSize(header.subarray(124, 136)),
    type: String.fromCharCode(header[156] ?? 0),
  };
}

/** Octal text, or, beyond 8 GiB, a binary number that begins with its highest bit set. */
function readSize(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) === 0) return octal(field);
  return Number(field.readBigUInt64BE(4));
}

function octal(field: Buffer): number {
  const number = Number.parseInt(untilNul(field).trim() || '0', 8);
  return Number.isSafeInteger(number) ? number : -1;
}

function untilNul(field: Buffer): string {
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? field.length : end).toString('utf8');
}

/** The `path` of a pax header: lines of `<length> <key>=<value>`. */
function paxPath(text: Buffer): string | undefined {
  const line = text
    .toString('utf8')
    .split('\n')
    .find((found) => /^\d+ path=/.test(found));
  return line?.slice(line.indexOf('=') + 1);
}
