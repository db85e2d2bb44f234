// Looking around in the sorted files of an image or a layer: folders, single files, and links followed as the image's own.
import { keyOf, type LayerFile, longestPath, pathOf, prefixOf } from './layer-file.ts';

/** As many links in a row as Linux follows. */
const mostLinks = 40;

/** A file, or a folder that is there because something lies in it. */
export interface Found {
  readonly key: string;
  readonly file: LayerFile | undefined;
}

export class FileTree {
  readonly #files: readonly LayerFile[];

  /** `files` are sorted by key and have each key once. */
  constructor(files: readonly LayerFile[]) {
    this.#files = files;
  }

  get size(): number {
    return this.#files.length;
  }

  /** What is at a key itself; undefined where nothing is. */
  find(key: string): Found | undefined {
    const index = this.#firstFrom(key);
    const file = this.#files[index];
    if (file?.key === key) return { key, file };
    const isFolder = key === '' || file?.key.startsWith(prefixOf(key)) === true;
    return isFolder ? { key, file: undefined } : undefined;
  }

  /**
   * What a path leads to, links of folders followed, and the last one too with `last`. `loop`: they lead on and on. A link that
   * points nowhere, and a path below something that is no folder, are undefined.
   */
  resolve(path: string, last: boolean): Found | 'loop' | undefined {
    let at: string[] = [];
    // The next part is the last one.
    const todo = partsOf(path).reverse();
    let links = 0;
    let found = this.find('');
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === '.') continue;
      if (part === '..') at.pop();
      else at.push(part);
      found = this.find(at.join('\0'));
      if (found === undefined) return undefined;
      const { file } = found;
      if (file?.type === 'symlink' && (last || todo.length > 0)) {
        links += 1;
        if (links > mostLinks) return 'loop';
        at.pop();
        const target = file.linkTarget ?? '';
        if (target.startsWith('/')) at = [];
        todo.push(...partsOf(target).reverse());
        if (todo.length > 2 * longestPath) return 'loop';
        found = this.find(at.join('\0'));
      } else if (todo.length > 0 && file !== undefined && file.type !== 'directory') {
        return undefined;
      }
    }
    return found;
  }

  /**
   * What lies in the folder `key`, in order: its own entries, or with `recursive` all below it, from index `from` on (0: from the
   * beginning). `next` is where the following page begins.
   */
  list(
    key: string,
    options: { readonly recursive: boolean; readonly from: number; readonly limit: number },
  ): { readonly items: readonly Found[]; readonly next: number | undefined } {
    const prefix = prefixOf(key);
    const items: Found[] = [];
    let index = Math.max(options.from, this.#firstFrom(prefix));
    for (let file = this.#files[index]; file?.key.startsWith(prefix); file = this.#files[index]) {
      if (file.key === key) {
        index += 1;
        continue;
      }
      if (items.length === options.limit) return { items, next: index };
      if (options.recursive) {
        items.push({ key: file.key, file });
        index += 1;
      } else {
        const end = file.key.indexOf('\0', prefix.length);
        const child = end < 0 ? file.key : file.key.slice(0, end);
        items.push({ key: child, file: end < 0 ? file : undefined });
        // Behind everything in that folder, whose keys go on with a NUL.
        index = this.#firstFrom(`${child}\u0001`, index);
      }
    }
    return { items, next: undefined };
  }

  /** The index of the first file whose key is not below `key` in order. */
  #firstFrom(key: string, least = 0): number {
    let [low, high] = [least, this.#files.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#files[middle]?.key ?? '') < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The path of a hard link's target, as a key. */
export function targetKeyOf(file: LayerFile): string {
  return keyOf(file.linkTarget ?? '').key;
}

export function placeOf({ key }: Found): string {
  return pathOf(key);
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}
