// How images, their referrers and their files are shown.
import { type Static, type TSchema, Type } from 'typebox';
import { artifactKinds } from '../../../inspection/artifact-kinds.ts';
import { shownTypes } from '../../../inspection/image-files.ts';
import { referrerForms } from '../../../inspection/referrers.ts';
import { nullable, strict } from './schemas.ts';

const text = nullable(Type.String());
const count = nullable(Type.Integer());
const texts = Type.Array(Type.String());
const textMap = Type.Record(Type.String(), Type.String());
const kind = Type.Enum([...artifactKinds]);
const descriptor = { digest: Type.String(), mediaType: Type.String(), size: Type.Integer() };
const claimedTime = nullable(Type.String(), 'As the image says it, which need not be a time.');

const healthcheck = strict({
  test: texts,
  intervalMilliseconds: count,
  timeoutMilliseconds: count,
  startPeriodMilliseconds: count,
  startIntervalMilliseconds: count,
  retries: count,
});

const image = strict({
  architecture: text,
  os: text,
  variant: text,
  osVersion: text,
  created: claimedTime,
  author: text,
  user: text,
  env: texts,
  entrypoint: nullable(texts),
  cmd: nullable(texts),
  workingDir: text,
  exposedPorts: texts,
  volumes: texts,
  labels: textMap,
  stopSignal: text,
  shell: nullable(texts),
  onBuild: texts,
  healthcheck: nullable(healthcheck),
});

const layer = strict({
  digest: nullable(Type.String(), 'null: the instruction made no layer.'),
  mediaType: text,
  size: count,
  diffId: nullable(Type.String(), 'The digest of the layer when it is decompressed.'),
  foreign: Type.Boolean({ description: 'It may be fetched from elsewhere and need not be here.' }),
  urls: texts,
  title: text,
  emptyLayer: Type.Boolean(),
  instruction: nullable(Type.String(), 'As in a Containerfile, where that can be told.'),
  createdBy: nullable(Type.String(), 'As the config has it.'),
  created: claimedTime,
  comment: text,
  author: text,
});

const platform = strict({
  ...descriptor,
  imageSize: nullable(Type.Integer(), 'Config and layers; null: not looked into.'),
  platform: nullable(Type.String(), 'linux/arm64/v8; null: none, as attestations have it.'),
  os: text,
  architecture: text,
  variant: text,
  osVersion: text,
  kind,
  present: Type.Boolean(),
  attests: nullable(Type.String(), 'Of an attestation: the manifest that it is about.'),
  annotations: textMap,
});

const finding = strict({
  code: Type.Enum(['config', 'history', 'layer', 'child', 'more']),
  digest: text,
  detail: Type.String(),
});

export const manifestSchema = strict({
  repository: Type.String(),
  reference: Type.String(),
  digest: Type.String(),
  mediaType: Type.String(),
  size: Type.Integer({ description: 'Of the manifest itself.' }),
  kind,
  artifactType: text,
  imageSize: nullable(Type.Integer(), 'Config and layers, each counted once; null: it is an index.'),
  index: nullable(Type.String(), 'The index that ?platform= picked it out of.'),
  annotations: textMap,
  subject: nullable(strict(descriptor)),
  config: nullable(
    strict({
      ...descriptor,
      content: nullable(
        Type.Record(Type.String(), Type.Unknown()),
        'Of an artifact, where it is JSON and small.',
      ),
    }),
  ),
  image: nullable(image, 'null: it is no container image, or its config cannot be read.'),
  layers: Type.Array(layer),
  platforms: Type.Array(platform),
  findings: Type.Array(finding, { description: 'What is missing, damaged or odd.' }),
});

const referrerMembers = {
  ...descriptor,
  artifactType: text,
  kind,
  format: nullable(Type.String(), 'cosign, notation, spdx, cyclonedx, syft, in-toto, slsa-provenance …'),
  predicateTypes: texts,
  annotations: textMap,
  foundBy: Type.Array(Type.Enum([...referrerForms])),
  tag: text,
  present: Type.Boolean(),
};

export interface ShownReferrer extends Static<ReturnType<typeof strict<typeof referrerMembers>>> {
  readonly referrers: readonly ShownReferrer[];
}

// As deep as the tree can be, written out: a schema that names itself needs a place in the document of its own.
function referrersOf(depth: number): TSchema {
  const below = depth === 0 ? Type.Array(strict(referrerMembers), { maxItems: 0 }) : referrersOf(depth - 1);
  return Type.Array(strict({ ...referrerMembers, referrers: below }));
}

const deepestTree = 5;

export const referrersSchema = strict({
  repository: Type.String(),
  digest: Type.String(),
  referrers: referrersOf(deepestTree - 1),
  complete: Type.Boolean({ description: 'false: there is more than is shown.' }),
});

export const fileSchema = strict({
  path: Type.String(),
  type: Type.Enum([...shownTypes]),
  size: Type.Integer(),
  mode: nullable(
    Type.String(),
    'Octal, such as 0755; null, as what follows: no layer lists this folder itself.',
  ),
  uid: count,
  gid: count,
  modifiedAt: text,
  linkTarget: text,
  layer: nullable(Type.String(), 'The layer that it comes from.'),
  note: nullable(Type.String(), 'What is odd about it.'),
});
