// Where the files of a tar archive lie, so that they can be read in place.
import { open } from 'node:fs/promises';
import { readPaxRecords, readTarHeader, TarFault, tarBlock, tarPadding, untilNul } from '../oci/tar.ts';
import { SourceFault } from './source.ts';

export interface TarEntry {
  readonly offset: number;
  readonly size: number;
}

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
    for (let offset = 0; offset + tarBlock <= end; ) {
      const header = readTarHeader(await read(offset, tarBlock));
      if (header === undefined) break;
      const { name, size, type } = header;
      const content = offset + tarBlock;
      if (content + size > end) throw new SourceFault('damaged', `${path} ends in the middle of ${name}`);
      if (type === 'L' || type === 'x') {
        if (size > longestHeader) throw new SourceFault('refused', `${path} has a name that is too long`);
        const text = await read(content, size);
        longName = type === 'L' ? untilNul(text) : (readPaxRecords(text).get('path') ?? longName);
      } else {
        if (type === '0') entries.set((longName ?? name).replace(/^\.\//, ''), { offset: content, size });
        longName = undefined;
      }
      if (entries.size > mostEntries) throw new SourceFault('refused', `${path} has too many files`);
      offset = content + size + tarPadding(size);
    }
    return entries;
  } catch (error) {
    if (!(error instanceof TarFault)) throw error;
    throw new SourceFault('damaged', `${path} is no tar archive, or it is compressed: unpack it first`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}
