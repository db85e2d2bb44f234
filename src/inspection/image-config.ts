// The config of a container image (OCI image-spec, config.md, and the members that Docker has besides): how it runs, and the
// instruction that made each layer.
import {
  countIn,
  type Descriptor,
  type JsonObject,
  listIn,
  objectIn,
  textIn,
  textMapIn,
  textsIn,
} from './documents.ts';

export interface ImageDescription {
  readonly architecture: string | null;
  readonly os: string | null;
  readonly variant: string | null;
  readonly osVersion: string | null;
  /** As it stands there, which need not be a time. */
  readonly created: string | null;
  readonly author: string | null;
  readonly user: string | null;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[] | null;
  readonly cmd: readonly string[] | null;
  readonly workingDir: string | null;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | null;
  readonly shell: readonly string[] | null;
  readonly onBuild: readonly string[];
  readonly healthcheck: Healthcheck | null;
}

export interface Healthcheck {
  readonly test: readonly string[];
  readonly intervalMilliseconds: number | null;
  readonly timeoutMilliseconds: number | null;
  readonly startPeriodMilliseconds: number | null;
  readonly startIntervalMilliseconds: number | null;
  readonly retries: number | null;
}

/** A layer with the instruction that made it, or an instruction that made none. */
export interface LayerDescription {
  /** null: the instruction made no layer, or there is none left for it. */
  readonly digest: string | null;
  readonly mediaType: string | null;
  readonly size: number | null;
  /** Of the layer as it is when it was decompressed. */
  readonly diffId: string | null;
  /** May be fetched from elsewhere, and need not be here. */
  readonly foreign: boolean;
  readonly urls: readonly string[];
  readonly title: string | null;
  readonly emptyLayer: boolean;
  /** As in a Containerfile, where that can be told. */
  readonly instruction: string | null;
  readonly createdBy: string | null;
  readonly created: string | null;
  readonly comment: string | null;
  readonly author: string | null;
}

const nanosecondsInMillisecond = 1_000_000;

export function describeImage(document: JsonObject): ImageDescription {
  const config = objectIn(document.config);
  return {
    architecture: textIn(document.architecture) ?? null,
    os: textIn(document.os) ?? null,
    variant: textIn(document.variant) ?? null,
    osVersion: textIn(document['os.version']) ?? null,
    created: textIn(document.created) ?? null,
    author: textIn(document.author) ?? null,
    user: textIn(config.User) ?? null,
    env: textsIn(config.Env),
    entrypoint: commandIn(config.Entrypoint),
    cmd: commandIn(config.Cmd),
    workingDir: textIn(config.WorkingDir) ?? null,
    exposedPorts: Object.keys(objectIn(config.ExposedPorts)).sort(),
    volumes: Object.keys(objectIn(config.Volumes)).sort(),
    labels: textMapIn(config.Labels),
    stopSignal: textIn(config.StopSignal) ?? null,
    shell: commandIn(config.Shell),
    onBuild: textsIn(config.OnBuild),
    healthcheck: healthcheckIn(config.Healthcheck),
  };
}

function commandIn(value: unknown): readonly string[] | null {
  const words = textsIn(value);
  return words.length === 0 ? null : words;
}

function healthcheckIn(value: unknown): Healthcheck | null {
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = objectIn(value);
  const test = textsIn(Test);
  if (test.length === 0) return null;
  const milliseconds = (written: unknown): number | null => {
    const nanoseconds = typeof written === 'number' && written > 0 ? written : 0;
    return nanoseconds === 0 ? null : Math.round(nanoseconds / nanosecondsInMillisecond);
  };
  return {
    test,
    intervalMilliseconds: milliseconds(Interval),
    timeoutMilliseconds: milliseconds(Timeout),
    startPeriodMilliseconds: milliseconds(StartPeriod),
    startIntervalMilliseconds: milliseconds(StartInterval),
    retries: countIn(Retries) || null,
  };
}

/**
 * The layers joined with the history of a config, in order. A history that is shorter leaves layers without an instruction, a longer
 * one instructions without a layer; `mismatch` says so, a clause.
 */
export function joinHistory(
  layers: readonly Descriptor[],
  document: JsonObject | undefined,
): { readonly layers: readonly LayerDescription[]; readonly mismatch: string | undefined } {
  const history = listIn(document?.history).map(objectIn);
  const diffIds = listIn(objectIn(document?.rootfs).diff_ids);
  const joined: LayerDescription[] = [];
  let next = 0;
  for (const step of history) {
    const emptyLayer = step.empty_layer === true;
    const layer = emptyLayer ? undefined : layers[next];
    joined.push(describeLayer(layer, emptyLayer ? undefined : diffIds[next], step));
    if (!emptyLayer) next += 1;
  }
  for (let index = next; index < layers.length; index += 1) {
    joined.push(describeLayer(layers[index], diffIds[index], {}));
  }
  // Without any history nothing was claimed.
  const isOff = history.length > 0 && next !== layers.length;
  const mismatch = isOff
    ? `its history tells of ${next} layers, and the manifest has ${layers.length}`
    : undefined;
  return { layers: joined, mismatch };
}

/** Types of layers that were not to be copied into registries; also told by urls. */
const foreignTypes =
  /^application\/vnd\.(?:docker\.image\.rootfs\.foreign|oci\.image\.layer\.nondistributable)\./;

/** Whether a layer may be fetched from elsewhere. */
export function isForeignLayer({ mediaType, urls }: Pick<Descriptor, 'mediaType' | 'urls'>): boolean {
  return urls.length > 0 || foreignTypes.test(mediaType);
}

function describeLayer(layer: Descriptor | undefined, diffId: unknown, step: JsonObject): LayerDescription {
  const createdBy = textIn(step.created_by);
  return {
    digest: layer?.digest ?? null,
    mediaType: layer?.mediaType ?? null,
    size: layer?.size ?? null,
    diffId: textIn(diffId) ?? null,
    foreign: layer !== undefined && isForeignLayer(layer),
    urls: layer?.urls ?? [],
    title: layer?.annotations['org.opencontainers.image.title'] ?? null,
    emptyLayer: step.empty_layer === true,
    instruction: createdBy === undefined ? null : instructionIn(createdBy),
    createdBy: createdBy ?? null,
    created: textIn(step.created) ?? null,
    comment: textIn(step.comment) ?? null,
    author: textIn(step.author) ?? null,
  };
}

const shell = '/bin/sh -c ';
const nop = '#(nop)';
const builder = '# buildkit';

/**
 * Builders write the shell that ran an instruction in front of it, and Docker's `#(nop)` before one that ran nothing. Plain searches:
 * the text may be megabytes of a stranger's.
 */
function instructionIn(createdBy: string): string {
  const whole = createdBy.trim();
  const text = whole.endsWith(builder) ? whole.slice(0, -builder.length).trim() : whole;
  const ran = text.startsWith('RUN ') ? text.slice('RUN '.length) : text;
  // Build arguments stand in front: |2 A=1 B=2 /bin/sh -c …
  const at = /^\|\d{1,4} /.test(ran) ? ran.indexOf(shell) : ran.startsWith(shell) ? 0 : -1;
  if (at < 0) return text;
  const command = ran.slice(at + shell.length).trim();
  return command.startsWith(nop) ? command.slice(nop.length).trim() : `RUN ${command}`;
}
