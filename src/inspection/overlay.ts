// Layers put on top of each other (OCI image-spec, layer.md "Applying Changesets"): sorted lists of files are merged two at a time,
// and what the upper one hides of the lower one is left out. Marks are kept, so that a merged list can lie upon another.
import { setImmediate as turn } from 'node:timers/promises';
import { type LayerFile, marks, prefixOf } from './layer-file.ts';

/** After so many steps other requests get their turn. */
const stepsATurn = 10_000;

/** `lower` with `upper` on top; both are sorted by key and have each key once, and so has the result. */
export async function combine(
  lower: readonly LayerFile[],
  upper: readonly LayerFile[],
  signal: AbortSignal,
): Promise<readonly LayerFile[]> {
  const merged: LayerFile[] = [];
  /** What the lower keys begin with that are hidden. */
  let hidden: string | undefined;
  for (let below = 0, above = 0; below < lower.length || above < upper.length; ) {
    if ((below + above) % stepsATurn === 0) {
      await turn();
      signal.throwIfAborted();
    }
    const [one, other] = [lower[below], upper[above]];
    if (other === undefined || (one !== undefined && one.key < other.key)) {
      below += 1;
      if (one !== undefined && (hidden === undefined || !one.key.startsWith(hidden))) merged.push(one);
      continue;
    }
    above += 1;
    const isCovered = hidden !== undefined && other.key.startsWith(hidden);
    const isSame = one?.key === other.key;
    if (isSame) below += 1;
    const stays = isSame && !isCovered && (other.marks & marks.whiteout) === 0;
    merged.push(stays && one !== undefined ? upon(one, other) : other);
    if (!isCovered && hidesBelow(other)) hidden = prefixOf(other.key);
  }
  return merged;
}

/** All layers of an image, lowest first. */
export async function combineAll(
  layers: readonly (readonly LayerFile[])[],
  signal: AbortSignal,
): Promise<readonly LayerFile[]> {
  if (layers.length <= 1) return layers[0] ?? [];
  // Halves, and not one after the other: a large base would be copied once for each layer above it.
  const half = Math.ceil(layers.length / 2);
  const lower = await combineAll(layers.slice(0, half), signal);
  return await combine(lower, await combineAll(layers.slice(half), signal), signal);
}

function upon(lower: LayerFile, upper: LayerFile): LayerFile {
  // A folder in the place of a file goes on hiding what the file hid.
  const isReplaced = upper.type !== undefined && isInTheWay(lower);
  const both = lower.marks | upper.marks | (isReplaced ? marks.opaque : marks.none);
  // An opaque folder that its own layer does not list is the folder of the layer below.
  const shown = upper.type === undefined ? lower : upper;
  return shown.marks === both ? shown : { ...shown, marks: both };
}

function hidesBelow(file: LayerFile): boolean {
  return file.marks !== marks.none || isInTheWay(file);
}

/** Nothing can lie below it. */
function isInTheWay({ type }: LayerFile): boolean {
  return type !== undefined && type !== 'directory';
}

/**
 * `files` sorted by key, each key once: of two with the same key the later one counts, with the marks of both. Sorts in runs, so
 * that a large layer does not hold up everybody else.
 */
export async function sortFiles(
  files: readonly LayerFile[],
  signal: AbortSignal,
): Promise<readonly LayerFile[]> {
  let runs: LayerFile[][] = [];
  for (let from = 0; from < files.length; from += stepsATurn) {
    await turn();
    signal.throwIfAborted();
    const run = files.slice(from, from + stepsATurn);
    run.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));
    runs.push(unique(run));
  }
  while (runs.length > 1) {
    const merged: LayerFile[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await mergeRuns(runs[index] ?? [], runs[index + 1] ?? [], signal));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function unique(sorted: readonly LayerFile[]): LayerFile[] {
  const found: LayerFile[] = [];
  for (const file of sorted) {
    const last = found.at(-1);
    if (last?.key === file.key) found[found.length - 1] = laterOf(last, file);
    else found.push(file);
  }
  return found;
}

async function mergeRuns(
  earlier: readonly LayerFile[],
  later: readonly LayerFile[],
  signal: AbortSignal,
): Promise<LayerFile[]> {
  const merged: LayerFile[] = [];
  for (let one = 0, other = 0; one < earlier.length || other < later.length; ) {
    if ((one + other) % stepsATurn === 0) {
      await turn();
      signal.throwIfAborted();
    }
    const [first, second] = [earlier[one], later[other]];
    if (second === undefined || (first !== undefined && first.key < second.key)) {
      if (first !== undefined) merged.push(first);
      one += 1;
    } else {
      const isSame = first?.key === second.key;
      merged.push(isSame && first !== undefined ? laterOf(first, second) : second);
      if (isSame) one += 1;
      other += 1;
    }
  }
  return merged;
}

/** Within one layer a whiteout is about the layers below, and says nothing of what the layer itself has there. */
function laterOf(earlier: LayerFile, later: LayerFile): LayerFile {
  const both = earlier.marks | later.marks;
  const shown = later.type === undefined ? earlier : later;
  return shown.marks === both ? shown : { ...shown, marks: both };
}
