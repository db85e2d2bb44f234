// The files of an image or of one of its layers, for people: lists by folder, single files with links followed, and where a file
// that a later layer deleted is still to be found.
import { type Digest, isDigest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { isImageConfig } from './artifact-kinds.ts';
import { descriptorIn, listIn } from './documents.ts';
import { InspectionFault } from './faults.ts';
import { FileTree, type Found, targetKeyOf } from './file-tree.ts';
import { isForeignLayer } from './image-config.ts';
import { fileTypes, keyOf, type LayerFile, longestPath, marks, pathOf } from './layer-file.ts';
import type { Asker, ContentStream, LayeredImage, Layers } from './layers.ts';
import { type Chosen, isIndex } from './manifests.ts';

export const shownTypes = [...fileTypes, 'whiteout', 'opaque'] as const;

/** A file as it is shown. null: a folder that no layer lists, and that is there because something lies in it. */
export interface ShownFile {
  readonly path: string;
  readonly type: (typeof shownTypes)[number];
  readonly size: number;
  /** Octal, such as 0755. */
  readonly mode: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly modifiedAt: string | null;
  readonly linkTarget: string | null;
  readonly layer: string | null;
  readonly note: string | null;
}

export interface FilesQuery {
  readonly repository: RepositoryName;
  readonly chosen: Chosen;
  /** One layer alone. */
  readonly layer: string | undefined;
  readonly path: string;
}

export interface FilePage {
  readonly items: readonly ShownFile[];
  /** Where the next page begins. */
  readonly next: number | undefined;
}

/** Content and what is known of it. */
export interface FileContent {
  readonly path: string;
  readonly size: number;
  readonly layer: Digest;
  readonly bytes: ContentStream;
}

const mostHardLinks = 8;

export class ImageFiles {
  readonly #layers: Layers;
  readonly #fileLimit: number;

  /** `fileLimit`: the largest file that is read out, in bytes. */
  constructor(layers: Layers, fileLimit: number) {
    this.#layers = layers;
    this.#fileLimit = fileLimit;
  }

  /** What lies in a folder, or the file itself. Throws InspectionFault, OciError and the reason of `signal`. */
  async list(
    query: FilesQuery,
    page: { readonly recursive: boolean; readonly from: number; readonly limit: number },
    signal: AbortSignal,
  ): Promise<FilePage> {
    const tree = await this.#treeOf(query, signal);
    const found = tree.resolve(checkedPath(query.path), true);
    if (found === undefined || found === 'loop') throw await this.#absent(query, tree, found, signal);
    const isFolder =
      found.file === undefined || found.file.type === 'directory' || found.file.type === undefined;
    if (!isFolder) return { items: [shownOf(found)], next: undefined };
    const { items, next } = tree.list(found.key, page);
    return { items: items.map(shownOf), next };
  }

  /** The content of a file, links followed. Throws like list. */
  async read(query: FilesQuery, asker: Asker): Promise<FileContent> {
    const { signal } = asker;
    const tree = await this.#treeOf(query, signal);
    const found = tree.resolve(checkedPath(query.path), true);
    if (found === undefined || found === 'loop') throw await this.#absent(query, tree, found, signal);
    const { file } = found;
    const path = pathOf(found.key);
    if (file?.type === undefined || file.type === 'directory') {
      const what = file?.type === undefined && file !== undefined ? 'what this layer deletes' : 'a folder';
      throw new InspectionFault('wrong', `${path} is ${what}, and has no content`);
    }
    const content = await this.#linkedFile(query.repository, tree, file, signal);
    if (content.type !== 'file') {
      throw new InspectionFault(
        'wrong',
        `${path} is a ${content.type.replace('-', ' ')}, and has no content`,
      );
    }
    if (content.size > this.#fileLimit) {
      const message =
        `${path} has ${content.size} bytes, and no more than ${this.#fileLimit} are read out: raise ` +
        `inspection.archiveFileLimit, or pull the image`;
      throw new InspectionFault('too-large', message);
    }
    const bytes = await this.#layers.contentOf(query.repository, content, asker);
    return { path, size: content.size, layer: content.layer, bytes };
  }

  async #treeOf({ repository, chosen, layer }: FilesQuery, signal: AbortSignal): Promise<FileTree> {
    const image = layeredImage(repository, chosen, layer);
    if (layer === undefined) return await this.#layers.treeOf(image, signal);
    const [digest] = image.layers;
    if (digest === undefined) throw new InspectionFault('absent', `${layer} is no layer of it`);
    return new FileTree(await this.#layers.filesOf(repository, digest, signal));
  }

  /** What a hard link is another name of: a file of the same layer, else of the image. */
  async #linkedFile(
    repository: RepositoryName,
    tree: FileTree,
    file: LayerFile,
    signal: AbortSignal,
  ): Promise<LayerFile & { readonly type: NonNullable<LayerFile['type']> }> {
    let at: LayerFile | undefined = file;
    for (let links = 0; at?.type === 'hardlink'; links += 1) {
      if (links === mostHardLinks) throw new InspectionFault('wrong', 'its links lead in a circle');
      const key = targetKeyOf(at);
      const own = new FileTree(await this.#layers.filesOf(repository, at.layer, signal));
      at = own.find(key)?.file ?? tree.find(key)?.file;
    }
    if (at?.type === undefined) {
      throw new InspectionFault('absent', `it is a link to ${file.linkTarget ?? ''}, which is not there`);
    }
    return { ...at, type: at.type };
  }

  /** Why nothing is there: a later layer deleted it, perhaps. */
  async #absent(
    { repository, chosen, layer, path }: FilesQuery,
    tree: FileTree,
    found: 'loop' | undefined,
    signal: AbortSignal,
  ): Promise<InspectionFault> {
    if (found === 'loop') return new InspectionFault('wrong', `${path} is a link that leads in a circle`);
    const itself = tree.resolve(path, false);
    if (itself !== undefined && itself !== 'loop' && itself.file?.type === 'symlink') {
      const target = itself.file.linkTarget ?? '';
      return new InspectionFault('absent', `${path} is a link to ${target}, and nothing is there`);
    }
    const where = layer === undefined ? 'the image' : `layer ${layer}`;
    const nothing = new InspectionFault('absent', `there is no ${path} in ${where}`);
    if (layer !== undefined) return nothing;
    const { key } = keyOf(path);
    // A manifest may name a layer as often as it likes.
    for (const digest of new Set(layeredImage(repository, chosen).layers.toReversed())) {
      const below = new FileTree(await this.#layers.filesOf(repository, digest, signal)).find(key);
      const isThere = below !== undefined && (below.file === undefined || below.file.type !== undefined);
      if (isThere) {
        const message = `there is no ${path} in the image: a later layer deletes it. It is still in layer ${digest} (?layer=${digest})`;
        return new InspectionFault('absent', message);
      }
    }
    return nothing;
  }
}

/** The layers of a manifest that can be looked into, all or the one of a digest. Throws InspectionFault. */
function layeredImage(repository: RepositoryName, { manifest, body }: Chosen, only?: string): LayeredImage {
  if (isIndex(manifest)) {
    throw new InspectionFault(
      'wrong',
      'it is an index, which has no files itself: choose a platform, such as linux/amd64',
    );
  }
  const layers = listIn(body.layers).map(descriptorIn);
  if (
    !isImageConfig(descriptorIn(body.config).mediaType) &&
    layers.every(({ mediaType }) => !/\btar\b/.test(mediaType))
  ) {
    throw new InspectionFault(
      'wrong',
      'it is no container image, and has no layers with files: its parts are blobs of their own',
    );
  }
  const wanted = only === undefined ? layers : layers.filter(({ digest }) => digest === only);
  const digests = wanted.map((layer) => {
    if (/\+encrypted$/.test(layer.mediaType)) {
      throw new InspectionFault(
        'unreadable',
        `layer ${layer.digest} is encrypted: only those who have the key can look into it`,
      );
    }
    if (isDigest(layer.digest)) return layer.digest;
    const from = isForeignLayer(layer) ? `: it is to be fetched from ${layer.urls[0] ?? 'elsewhere'}` : '';
    throw new InspectionFault('absent', `layer ${layer.digest} is not stored here${from}`);
  });
  return { repository, digest: manifest.digest, layers: digests };
}

function checkedPath(path: string): string {
  if (path.length > longestPath)
    throw new InspectionFault('wrong', `a path has at most ${longestPath} characters`);
  if (path.includes('\0')) throw new InspectionFault('wrong', 'a path holds no NUL');
  return path;
}

function shownOf({ key, file }: Found): ShownFile {
  const path = pathOf(key);
  if (file === undefined) {
    const unknown = { mode: null, uid: null, gid: null, modifiedAt: null, linkTarget: null, layer: null };
    return { path, type: 'directory', size: 0, ...unknown, note: 'no layer lists this folder itself' };
  }
  const hides = noteOfMarks(file);
  const notes = [...(file.note === undefined ? [] : [file.note]), ...(hides === undefined ? [] : [hides])];
  return {
    path,
    type: file.type ?? ((file.marks & marks.whiteout) !== 0 ? 'whiteout' : 'opaque'),
    size: file.type === 'file' ? file.size : 0,
    mode: file.mode.toString(8).padStart(4, '0'),
    uid: whole(file.uid),
    gid: whole(file.gid),
    modifiedAt: timeOf(file.modifiedAt),
    linkTarget: file.linkTarget ?? null,
    layer: file.layer,
    note: notes.length === 0 ? null : notes.join('; '),
  };
}

function noteOfMarks({ marks: own }: LayerFile): string | undefined {
  if ((own & marks.whiteout) !== 0) return 'hides this path of the layers below';
  return (own & marks.opaque) !== 0 ? 'hides what the layers below have in this folder' : undefined;
}

function whole(number: number): number | null {
  return Number.isSafeInteger(number) ? number : null;
}

function timeOf(seconds: number): string | null {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
