// `berth image`: looking into images without pulling them, and taking one away as a file.
import type { Command } from 'commander';
import type { Query } from '../client/api.ts';
import {
  type ImageReference,
  parseImageReference,
  placeOfImage,
  placeOfRepository,
} from '../client/image-reference.ts';
import type { FileItem, Manifest, Referrers } from '../client/image-shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import {
  fileForm,
  layerForm,
  manifestFacts,
  platformForm,
  referrerDigests,
  referrerLines,
} from '../output/image-text.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { saveStream, writeStream } from '../output/stream.ts';
import { escapeControls, shortenDigests } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface PlatformOption {
  readonly platform?: string;
}

interface ShowOptions extends PlatformOption {
  readonly raw?: boolean;
  readonly imageConfig?: boolean;
}

interface FilesOptions extends PlatformOption {
  readonly layer?: string;
  readonly recursive?: boolean;
}

interface ReferrersOptions extends PlatformOption {
  readonly artifactType?: string;
}

interface SaveOptions extends PlatformOption {
  readonly output?: string;
}

/** Files that are odd and named on stderr. */
const notesShown = 20;

const takesPlatform = (command: Command): Command =>
  command.option('--platform <platform>', 'of an index the image for this one: linux/arm64');
const takesLayer = (command: Command): Command =>
  takesPlatform(command).option('--layer <digest>', 'one layer alone, as `berth image layers` names it');

export function addImage(program: Command, context: CommandContext): void {
  const image = addGroup(program, 'image', 'looking into images, and taking one away as a file', [
    'image show acme/web:v1',
    'image files acme/web:v1 /etc',
    'image save acme/web:v1 -o web.tar',
  ]);
  addDescriptions(image, context);
  addFiles(image, context);
}

function addDescriptions(image: Command, context: CommandContext): void {
  define<ShowOptions>(image, context, {
    usage: 'show <image>',
    about: 'what an image, an index or an artifact is',
    notes: '--raw prints the manifest as it was pushed, --image-config the config, both byte for byte.',
    examples: [
      'image show acme/web:v1',
      'image show acme/web:v1 --platform linux/arm64',
      'image show acme/web:v1 --raw',
    ],
    options: (command) =>
      takesPlatform(command)
        .option('--raw', 'the manifest, byte for byte')
        .option('--image-config', 'the config, byte for byte'),
    prints: 'one',
    quiet: 'the digest alone',
    referenceAt: 0,
    check: ([text = '']) => void parseImageReference(text),
    run: show,
  });
  define<PlatformOption>(image, context, {
    usage: 'layers <image>',
    about: 'the layers of an image, and the instruction that made each',
    examples: ['image layers acme/web:v1', 'image layers acme/web@sha256:…'],
    options: takesPlatform,
    prints: 'list',
    quiet: 'the digests alone',
    referenceAt: 0,
    check: ([text = '']) => void parseImageReference(text),
    run: async ({ api, args, options, context: surroundings }) => {
      const manifest = await api.get<Manifest>(placeOfImage(imageIn(args)), platformQuery(options));
      if (manifest.kind === 'index') throw needsPlatform(manifest);
      const shown = options.quiet ? manifest.layers.filter(({ digest }) => digest !== null) : manifest.layers;
      printList(shown, layerForm, options, surroundings);
      noteFindings(manifest, surroundings);
    },
  });
  define<ReferrersOptions>(image, context, {
    usage: 'referrers <image>',
    about: 'what refers to an image: signatures, lists of software, attestations',
    examples: [
      'image referrers acme/web:v1',
      'image referrers acme/web:v1 --artifact-type application/spdx+json',
    ],
    options: (command) => takesPlatform(command).option('--artifact-type <type>', 'of this type alone'),
    prints: 'list',
    quiet: 'the digests alone',
    referenceAt: 0,
    check: ([text = '']) => void parseImageReference(text),
    run: showReferrers,
  });
}

function addFiles(image: Command, context: CommandContext): void {
  define<FilesOptions>(image, context, {
    usage: 'files <image> [path]',
    about: 'the files of an image, or of one layer',
    examples: [
      'image files acme/web:v1',
      'image files acme/web:v1 /etc',
      'image files acme/web:v1 / --recursive -q',
    ],
    options: (command) => takesLayer(command).option('--recursive', 'also what lies in the folders below'),
    prints: 'list',
    quiet: 'the paths alone',
    referenceAt: 0,
    check: ([text = '']) => void parseImageReference(text),
    run: listFiles,
  });
  define<FilesOptions>(image, context, {
    usage: 'cat <image> <path>',
    about: 'one file out of an image',
    examples: ['image cat acme/web:v1 /etc/os-release', 'image cat acme/web:v1 /bin/sh > sh'],
    options: takesLayer,
    referenceAt: 0,
    check: ([text = '']) => void parseImageReference(text),
    run: async ({ api, args, options, context: surroundings }) => {
      const query = { ...platformQuery(options), layer: options.layer, path: args[1] };
      await writeStream(await api.stream(`${placeOfImage(imageIn(args))}/file`, query), surroundings);
    },
  });
  define<SaveOptions>(image, context, {
    usage: 'save <image>',
    about: 'an image as one file, for `podman load` and `skopeo copy oci-archive:`',
    notes: 'An OCI archive; of an index with all platforms, unless one is chosen. It counts as a pull.',
    examples: ['image save acme/web:v1 -o web.tar', 'image save acme/web:v1 | podman load'],
    options: (command) =>
      takesPlatform(command).option('-o, --output <file>', 'where to write it; else to stdout'),
    referenceAt: 0,
    check: ([text = ''], { output }) => {
      parseImageReference(text);
      if (output !== undefined || context.stdout.isTTY !== true) return;
      throw new CommandError(
        exitCodes.wrongUsage,
        'an archive is nothing for a terminal: give --output FILE',
      );
    },
    run: save,
  });
}

async function show({ api, args, options, context }: Call<ShowOptions>): Promise<void> {
  const place = placeOfImage(imageIn(args));
  const query = platformQuery(options);
  if (options.raw || options.imageConfig) {
    await writeStream(await api.stream(`${place}/${options.raw ? 'raw' : 'config'}`, query), context);
    return;
  }
  const manifest = await api.get<Manifest>(place, query);
  if (options.json) {
    printJson(manifest, context);
    return;
  }
  if (options.quiet) {
    context.stdout.write(`${manifest.digest}\n`);
    return;
  }
  printFacts(manifestFacts(manifest), context);
  const { content } = manifest.config ?? { content: null };
  if (content !== null) {
    context.stdout.write('\n');
    printJson(content, context);
  }
  if (manifest.platforms.length > 0 || manifest.layers.length > 0) context.stdout.write('\n');
  if (manifest.platforms.length > 0) printList(manifest.platforms, platformForm, options, context);
  if (manifest.layers.length > 0) printList(manifest.layers, layerForm, options, context);
  noteFindings(manifest, context);
}

async function showReferrers({ api, args, options, context }: Call<ReferrersOptions>): Promise<void> {
  const query = { ...platformQuery(options), artifactType: options.artifactType };
  const tree = await api.get<Referrers>(`${placeOfImage(imageIn(args))}/referrers`, query);
  const { stdout, stderr } = context;
  if (options.json) printJson(tree, context);
  else if (options.quiet) for (const digest of referrerDigests(tree.referrers)) stdout.write(`${digest}\n`);
  else if (tree.referrers.length === 0) stderr.write('nothing refers to it\n');
  else {
    const isShort = stdout.isTTY === true && options.trunc !== false;
    for (const line of referrerLines(tree.referrers).map(escapeControls)) {
      stdout.write(`${isShort ? shortenDigests(line) : line}\n`);
    }
  }
  if (!tree.complete) stderr.write('there is more than is shown here\n');
}

async function listFiles({ api, args, options, context }: Call<FilesOptions>): Promise<void> {
  const query = {
    ...platformQuery(options),
    layer: options.layer,
    path: args[1],
    recursive: options.recursive,
  };
  const files = await api.list<FileItem>(`${placeOfImage(imageIn(args))}/files`, query);
  printList(files, fileForm, options, context);
  if (options.json || options.quiet) return;
  const odd = files.filter(({ note, mode }) => note !== null && mode !== null);
  for (const { path, note } of odd.slice(0, notesShown)) {
    context.stderr.write(`note: ${escapeControls(`${path}: ${note}`)}\n`);
  }
  if (odd.length > notesShown)
    context.stderr.write(`note: ${odd.length - notesShown} more are odd; --json tells\n`);
}

async function save({ api, args, options, context }: Call<SaveOptions>): Promise<void> {
  const { repository, reference } = imageIn(args);
  const query = { ...platformQuery(options), reference };
  const stream = await api.stream(`${placeOfRepository(repository)}/archive`, query);
  if (options.output === undefined) {
    await writeStream(stream, context);
    return;
  }
  const { path, bytes } = await saveStream(stream, options.output, context);
  context.stderr.write(`wrote ${path} (${sizeText(bytes)})\n`);
}

function imageIn([text = '']: readonly string[]): ImageReference {
  return parseImageReference(text);
}

function platformQuery({ platform }: PlatformOption): Query {
  return { platform };
}

function needsPlatform({ platforms }: Manifest): CommandError {
  const names = platforms.flatMap(({ platform }) => platform ?? []);
  const message = `it is an index, whose images have layers: choose one with --platform ${names.join(', ') || 'OS/ARCHITECTURE'}`;
  return new CommandError(exitCodes.wrongUsage, message);
}

function noteFindings({ findings }: Manifest, { stderr }: CommandContext): void {
  for (const { digest, detail } of findings) {
    stderr.write(`note: ${escapeControls(`${digest === null ? '' : `${digest}: `}${detail}`)}\n`);
  }
}
