// Images for people: facts, layers, platforms, files as `ls -l` has them, and referrers as a tree.
import type { FileItem, Image, Layer, Manifest, Platform, Referrer } from '../client/image-shapes.ts';
import { sizeText } from '../size-text.ts';
import type { ListForm } from './print.ts';
import { momentText } from './text.ts';

type Facts = readonly (readonly [name: string, value: string | undefined])[];

/** What a manifest says of itself, and the config of an image. */
export function manifestFacts(manifest: Manifest): Facts {
  const { repository, reference, digest, kind, artifactType, image, imageSize } = manifest;
  const separator = reference.includes(':') ? '@' : ':';
  return [
    ['image', `${repository}${separator}${reference}`],
    ['digest', digest],
    ['index', manifest.index ?? undefined],
    ['kind', artifactType === null ? kind : `${kind} (${artifactType})`],
    ['type', manifest.mediaType],
    ['size', sizeText(imageSize ?? manifest.size)],
    ['subject', manifest.subject?.digest],
    ...(image === null ? [] : imageFacts(image)),
    ...Object.entries(manifest.annotations).map(
      ([name, value]) => ['annotation', `${name}=${value}`] as const,
    ),
  ];
}

function imageFacts(image: Image): Facts {
  const { os, architecture, variant, created } = image;
  const words = (list: readonly string[] | null) => (list === null ? undefined : JSON.stringify(list));
  const platform = [os, architecture, variant].filter((part) => part !== null).join('/');
  return [
    ['platform', platform === '' ? undefined : platform],
    ['created', created === null ? undefined : createdText(created)],
    ['author', image.author ?? undefined],
    ['user', image.user ?? undefined],
    ['workdir', image.workingDir ?? undefined],
    ['entrypoint', words(image.entrypoint)],
    ['cmd', words(image.cmd)],
    ...image.env.map((value) => ['env', value] as const),
    ['expose', image.exposedPorts.length === 0 ? undefined : image.exposedPorts.join(' ')],
    ['volume', image.volumes.length === 0 ? undefined : image.volumes.join(' ')],
    ['stop signal', image.stopSignal ?? undefined],
    ['health', image.healthcheck === null ? undefined : words(image.healthcheck.test)],
    ...Object.entries(image.labels).map(([name, value]) => ['label', `${name}=${value}`] as const),
  ];
}

/** Whatever stands there need not be a time. */
function createdText(text: string): string {
  return Number.isNaN(Date.parse(text)) ? text : momentText(text);
}

export const platformForm: ListForm<Platform> = {
  columns: [
    { head: 'PLATFORM', text: ({ platform }) => platform ?? '-' },
    { head: 'DIGEST', text: ({ digest }) => digest },
    { head: 'SIZE', text: ({ imageSize, size }) => sizeText(imageSize ?? size) },
    { head: 'KIND', text: ({ kind, attests, present }) => kindText(kind, attests, present) },
  ],
  key: ({ digest }) => digest,
  none: 'no platforms',
};

function kindText(kind: string, attests: string | null, present: boolean): string {
  return `${kind}${attests === null ? '' : ` of ${attests}`}${present ? '' : ', not here'}`;
}

export const layerForm: ListForm<Layer> = {
  columns: [
    { head: 'LAYER', text: ({ digest, emptyLayer }) => digest ?? (emptyLayer ? '-' : '?') },
    { head: 'SIZE', text: ({ size }) => (size === null ? '-' : sizeText(size)) },
    {
      head: 'MADE BY',
      text: ({ instruction, title, mediaType }) => instruction ?? title ?? mediaType ?? '-',
    },
  ],
  key: ({ digest }) => digest ?? '',
  none: 'no layers',
};

export const fileForm: ListForm<FileItem> = {
  columns: [
    { head: 'MODE', text: modeText },
    { head: 'OWNER', text: ({ uid, gid }) => (uid === null ? '-' : `${uid}:${gid}`) },
    { head: 'SIZE', text: ({ type, size }) => (type === 'file' ? sizeText(size) : '-') },
    { head: 'MODIFIED', text: ({ modifiedAt }) => (modifiedAt === null ? '-' : momentText(modifiedAt)) },
    { head: 'LAYER', text: ({ layer }) => layer ?? '-' },
    {
      head: 'PATH',
      text: ({ path, linkTarget }) => (linkTarget === null ? path : `${path} -> ${linkTarget}`),
    },
  ],
  key: ({ path }) => path,
  none: 'no files',
};

const typeLetters: Readonly<Record<string, string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
};

/** drwxr-xr-x, as everybody knows it; what a layer deletes by its name. */
function modeText({ type, mode }: FileItem): string {
  const letter = typeLetters[type];
  if (letter === undefined) return type;
  if (mode === null) return `${letter}?????????`;
  const bits = Number.parseInt(mode, 8);
  const special = [
    [0o4000, 6],
    [0o2000, 3],
    [0o1000, 0],
  ] as const;
  const groups = special.map(([flag, shift], index) => {
    const own = bits >> shift;
    const runs = (own & 1) !== 0;
    const mark = index === 2 ? 't' : 's';
    const last = (bits & flag) === 0 ? (runs ? 'x' : '-') : runs ? mark : mark.toUpperCase();
    return `${(own & 4) !== 0 ? 'r' : '-'}${(own & 2) !== 0 ? 'w' : '-'}${last}`;
  });
  return letter + groups.join('');
}

/** A line a referrer, each below what it refers to. */
export function referrerLines(referrers: readonly Referrer[], depth = 0): readonly string[] {
  return referrers.flatMap((referrer) => {
    const { kind, format, digest, size, tag, present, predicateTypes, artifactType } = referrer;
    const what = [kind, format ?? artifactType, ...predicateTypes].filter((word) => word !== null).join(' ');
    const where = `${tag === null ? '' : `, tag ${tag}`}${present ? '' : ', not here'}`;
    const line = `${'  '.repeat(depth)}${digest}  ${what}, ${sizeText(size)}${where}`;
    return [line, ...referrerLines(referrer.referrers, depth + 1)];
  });
}

/** Every digest of a tree, each once. */
export function referrerDigests(referrers: readonly Referrer[]): ReadonlySet<string> {
  return new Set(referrers.flatMap(({ digest, referrers: below }) => [digest, ...referrerDigests(below)]));
}
