// One path of a layer or of an image as it is kept in memory, and how the names of archives become such paths. Names never reach a
// file system: what would lead out of the archive stays inside and is marked.
import type { Digest } from '../oci/digest.ts';
import type { TarEntry } from './tar-scanner.ts';

export const fileTypes = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
  'other',
] as const;
export type FileType = (typeof fileTypes)[number];

/** What a layer says of the layers below it, as bits. */
export const marks = { none: 0, whiteout: 1, opaque: 2 } as const;

export interface LayerFile {
  /** The path without a slash in front and with NUL for each slash, so that a folder is followed by what is in it. */
  readonly key: string;
  /** undefined: there are marks alone. */
  readonly type: FileType | undefined;
  /** Of `marks`: what lower layers have at this path is hidden, or (opaque) what they have below it. */
  readonly marks: number;
  readonly layer: Digest;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Unix seconds. */
  readonly modifiedAt: number;
  readonly linkTarget: string | undefined;
  /** What is odd about it, a clause. */
  readonly note: string | undefined;
  /** Where the content begins in the decompressed layer; undefined: it cannot be read as it stands. */
  readonly offset: number | undefined;
}

/** As long as a path of Linux may be. */
export const longestPath = 4096;
const separator = '\0';

const types: Readonly<Record<string, FileType>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  S: 'file',
};

const whiteoutPrefix = '.wh.';
const opaqueName = '.wh..wh..opq';
/** Of aufs, for its own use. */
const driverPrefix = '.wh..wh.';

/** The key of a path, and whether it would have led out. Dots and empty parts are resolved as the root's own. */
export function keyOf(path: string): { readonly key: string; readonly escapes: boolean } {
  const parts: string[] = [];
  let escapes = false;
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) escapes = true;
  }
  return { key: parts.join(separator), escapes };
}

export function pathOf(key: string): string {
  return `/${key.replaceAll(separator, '/')}`;
}

/** What all keys below `key` begin with. */
export function prefixOf(key: string): string {
  return key === '' ? '' : key + separator;
}

/** An entry of a layer's archive; undefined for what a storage driver left there for itself. */
export function fileOf(entry: TarEntry, layer: Digest): LayerFile | undefined {
  const isCut = entry.name.length > longestPath;
  const hasNul = entry.name.includes(separator);
  const { key: text, escapes } = keyOf(cut(entry.name));
  const key = copyOf(text);
  const [folder, last] = splitLast(key);
  const common = { marks: marks.none, layer, uid: entry.uid, gid: entry.gid, mode: entry.mode };
  const modifiedAt = Number.isFinite(entry.modifiedAt) ? entry.modifiedAt : 0;
  const nothing = { size: 0, linkTarget: undefined, note: undefined, offset: undefined, modifiedAt };
  if (last === opaqueName)
    return { ...common, ...nothing, key: copyOf(folder), type: undefined, marks: marks.opaque };
  if (key.startsWith(driverPrefix) || key.includes(separator + driverPrefix)) return undefined;
  if (last.startsWith(whiteoutPrefix)) {
    const hidden = copyOf(prefixOf(folder) + last.slice(whiteoutPrefix.length));
    return { ...common, ...nothing, key: hidden, type: undefined, marks: marks.whiteout };
  }
  const type = typeOf(entry);
  const isLink = type === 'symlink' || type === 'hardlink';
  const target = isLink ? copyOf(cut(entry.linkName)) : undefined;
  const notes = [
    ...(escapes ? ['the name leads out of the archive'] : []),
    ...(isCut ? ['the name is longer than a path can be'] : []),
    ...(hasNul ? ['the name holds a NUL'] : []),
    ...(type === 'hardlink' && keyOf(target ?? '').escapes ? ['it links out of the archive'] : []),
    ...(entry.isSparse ? ['it is sparse, and cannot be read out here'] : []),
    ...(type === 'other' ? [`it is of a type that no layer has (${JSON.stringify(entry.type)})`] : []),
  ];
  return {
    ...common,
    key,
    type,
    size: Number.isSafeInteger(entry.size) && entry.size >= 0 ? entry.size : 0,
    modifiedAt,
    linkTarget: target,
    note: notes.length === 0 ? undefined : notes.join('; '),
    offset: type === 'file' && !entry.isSparse ? entry.offset : undefined,
  };
}

/** As long as a path may be, and without NUL. */
function cut(text: string): string {
  return text.slice(0, longestPath).replaceAll(separator, '\ufffd');
}

/** A text of its own: a piece of a longer one would keep all of that in memory, and a header may hold a name of 1 MiB. */
function copyOf(text: string): string {
  return Buffer.from(text).toString();
}

function typeOf({ type, name }: TarEntry): FileType {
  // Old archives have no flag for folders.
  if (type === '0' && name.endsWith('/')) return 'directory';
  return types[type] ?? 'other';
}

function splitLast(key: string): readonly [folder: string, last: string] {
  const at = key.lastIndexOf(separator);
  return at < 0 ? ['', key] : [key.slice(0, at), key.slice(at + 1)];
}
