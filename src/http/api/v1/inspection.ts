// Looking into images: what a manifest and its config say, what refers to it, the files of its layers, and all of it as one archive.
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Principal } from '../../../auth/access.ts';
import { networkOf } from '../../../auth/network.ts';
import { readSmallBlob } from '../../../inspection/documents.ts';
import { type FaultKind, InspectionFault } from '../../../inspection/faults.ts';
import { createInspection, type Inspection } from '../../../inspection/inspection.ts';
import type { Chosen } from '../../../inspection/manifests.ts';
import { longestConfig } from '../../../inspection/manifests.ts';
import { parsePlatform } from '../../../inspection/platforms.ts';
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import { parseReference, type Reference, referenceText } from '../../../oci/reference.ts';
import { publicBaseOf } from '../../challenge.ts';
import type { ApiContext } from './context.ts';
import { fileSchema, manifestSchema, referrersSchema } from './inspection-schemas.ts';
import { aborted, sendArchive, sendBytes, sendContent } from './inspection-sending.ts';
import { afterName, pageMembers } from './pages.ts';
import { invalidMember, notFound, Problem, type ProblemCode, parseMember } from './problem.ts';
import { found, list, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';

const place = '/repositories/:repository/-/manifests/:reference';

const platform = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 200,
    description: 'Of an index the manifest for this one: linux/arm64, linux/arm/v7.',
  }),
);
const path = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'A path in the image: /etc/os-release.',
});
const layer = Type.Optional(
  Type.String({ minLength: 1, maxLength: 200, description: 'The digest of one layer: that one alone.' }),
);

interface Asked {
  readonly params: { readonly repository: string; readonly reference: string };
  readonly query: { readonly platform?: string };
}

export function inspectionRoutes(routes: Routes, context: ApiContext): void {
  const inspection = createInspection(context.registry, context.config.inspection);
  describeRoutes(routes, context, inspection);
  fileRoutes(routes, context, inspection);
  archiveRoutes(routes, context, inspection);
}

function describeRoutes(routes: Routes, context: ApiContext, inspection: Inspection): void {
  routes.declare('images', 'GET', place, {
    need: ['read'],
    summary:
      'What a manifest says: an image with its config and layers, an index with its platforms, an artifact.',
    description: 'Looking is no pull. The bytes as they were pushed are under /raw.',
    query: strict({ platform }),
    answers: { 200: manifestSchema },
    content: true,
    handle: async (call) => {
      const { repository, reference, chosen } = await choose(inspection, call);
      const described = await inspection.manifests.describe(repository, chosen);
      return found({ repository, reference: referenceText(reference), ...described });
    },
  });

  routes.declare('images', 'GET', `${place}/raw`, {
    need: ['read'],
    summary: 'A manifest, byte for byte as it was pushed.',
    query: strict({ platform }),
    answers: { 200: Type.String() },
    mediaType: 'application/octet-stream',
    content: true,
    handle: async (call) => {
      const { chosen } = await choose(inspection, call);
      const { bytes, mediaType, digest } = chosen.manifest;
      return sendBytes(call.reply, bytes, { mediaType, digest });
    },
  });

  routes.declare('images', 'GET', `${place}/config`, {
    need: ['read'],
    summary: 'The config of an image or artifact, byte for byte.',
    query: strict({ platform }),
    answers: { 200: Type.String() },
    mediaType: 'application/octet-stream',
    content: true,
    handle: async (call) => {
      const { repository, chosen } = await choose(inspection, call);
      const config = inspection.manifests.configOf(chosen);
      if (config === undefined) {
        throw new Problem('invalid', 'it has no config: of an index choose a platform, such as linux/amd64');
      }
      const read = await readSmallBlob(context.registry.blobs, repository, config.digest, longestConfig);
      if ('fault' in read) throw new Problem('not-found', `the config cannot be read: ${read.why}`);
      return sendBytes(call.reply, read.bytes, {
        mediaType: 'application/octet-stream',
        digest: config.digest,
      });
    },
  });

  routes.declare('images', 'GET', `${place}/referrers`, {
    need: ['read'],
    summary: 'What refers to a manifest, as a tree: signatures, lists of software, attestations.',
    description: 'By subject, by the tags of cosign, and by the index of clients that know no referrers.',
    query: strict({
      platform,
      artifactType: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 255,
          description: 'Of the manifests next to it; those below are shown whole.',
        }),
      ),
    }),
    answers: { 200: referrersSchema },
    content: true,
    handle: async (call) => {
      const { repository, chosen } = await choose(inspection, call);
      const { digest } = chosen.manifest;
      // A form makes a blank of a plus; media types hold none.
      const types =
        call.query.artifactType === undefined ? [] : [call.query.artifactType.replaceAll(' ', '+')];
      const tree = await inspection.referrers.treeOf(repository, digest, types);
      return found({ repository, digest, ...tree });
    },
  });
}

function fileRoutes(routes: Routes, context: ApiContext, inspection: Inspection): void {
  routes.declare('images', 'GET', `${place}/files`, {
    need: ['read'],
    summary: 'The files of an image, or with ?layer= of one layer, by folder.',
    description:
      'In order of path. Links in ?path= are followed within the image. Nothing is unpacked anywhere.',
    query: strict({
      ...pageMembers,
      platform,
      layer,
      path: Type.Optional(path),
      recursive: Type.Optional(Type.Boolean({ description: 'Also what lies in the folders below.' })),
    }),
    answers: { 200: listOf(fileSchema) },
    content: true,
    handle: async (call) => {
      const { repository, chosen } = await choose(inspection, call);
      const { query } = call;
      const { digest } = chosen.manifest;
      const wanted = { repository, chosen, layer: query.layer, path: query.path ?? '/' };
      const from = readPlace(afterName(query), digest);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = { recursive: query.recursive ?? false, from, limit };
      const { items, next } = await explained(() => inspection.files.list(wanted, page, aborted(call.reply)));
      return list({ items, next: next === undefined ? undefined : `${next} of ${digest}` });
    },
  });

  routes.declare('images', 'GET', `${place}/file`, {
    need: ['read'],
    summary: 'One file out of an image, or with ?layer= out of one layer.',
    description: 'Links are followed within the image. Up to inspection.archiveFileLimit.',
    query: strict({ platform, layer, path }),
    answers: { 200: Type.String() },
    mediaType: 'application/octet-stream',
    content: true,
    handle: async (call) => {
      const { repository, chosen } = await choose(inspection, call);
      const wanted = { repository, chosen, layer: call.query.layer, path: call.query.path };
      const asker = { caller: callerOf(call), signal: aborted(call.reply) };
      const content = await explained(() => inspection.files.read(wanted, asker));
      return await sendContent(context, call, content);
    },
  });
}

function archiveRoutes(routes: Routes, context: ApiContext, inspection: Inspection): void {
  routes.declare('images', 'GET', '/repositories/:repository/-/archive', {
    need: ['read'],
    summary: 'An image as one file, for `podman load` and `skopeo copy oci-archive:`.',
    description:
      'The tar archive of an OCI layout; of an index all platforms, or the one of ?platform=. Counts as a pull.',
    query: strict({
      reference: Type.String({ minLength: 1, maxLength: 255, description: 'A tag or a digest.' }),
      platform,
    }),
    answers: { 200: Type.String() },
    mediaType: 'application/x-tar',
    content: true,
    handle: async (call) => {
      const { query } = call;
      const asked = {
        params: { repository: call.params.repository, reference: query.reference },
        query: query.platform === undefined ? {} : { platform: query.platform },
      };
      const { repository, reference, chosen } = await choose(inspection, asked, '/query/reference');
      const { manifest } = chosen;
      const host = imageHost(publicBaseOf(context.config, call.request));
      const names =
        'tag' in reference
          ? { tag: reference.tag, image: `${host}/${repository}:${reference.tag}` }
          : undefined;
      const archive = await explained(() => inspection.archives.plan({ repository, manifest, names }));
      const origin = context.config.audit.recordPulls ? call.origin : undefined;
      await context.registry.manifests.pull(repository, { digest: manifest.digest }, origin);
      return await sendArchive(context, call, { repository, reference, archive, digest: manifest.digest });
    },
  });
}

/** The manifest that a request is about. */
async function choose(
  { manifests }: Inspection,
  { params, query }: Asked,
  pointer = '/params/reference',
): Promise<{ readonly repository: RepositoryName; readonly reference: Reference; readonly chosen: Chosen }> {
  const repository = parseMember('/params/repository', () => parseRepositoryName(params.repository));
  const reference = parseMember(pointer, () => parseReference(params.reference));
  const chosen = await explained(async () => {
    const wanted = query.platform === undefined ? undefined : parsePlatform(query.platform);
    return await manifests.choose(repository, reference, wanted);
  });
  if (chosen === undefined) throw notFound(`manifest ${referenceText(reference)} in ${repository}`);
  return { repository, reference, chosen };
}

/** Whose downloads are counted together: who signed in, else everybody at one address. */
function callerOf({
  principal,
  request,
}: {
  readonly principal: Principal;
  readonly request: FastifyRequest;
}): string {
  return principal.kind === 'anonymous' ? `address ${networkOf(request.ip)}` : `name ${principal.name}`;
}

/** What stands in front of the name of an image: no address of IPv6 can. */
function imageHost(base: string): string {
  const { host } = new URL(base);
  return host.startsWith('[') ? 'localhost' : host;
}

const problems: Readonly<Record<FaultKind, readonly [ProblemCode, number]>> = {
  absent: ['not-found', 404],
  unreadable: ['invalid', 422],
  'too-large': ['invalid', 413],
  wrong: ['invalid', 400],
  busy: ['too-many-requests', 429],
};

async function explained<Result>(act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof InspectionFault)) throw error;
    const [code, status] = problems[error.kind];
    throw new Problem(code, error.message, {
      status,
      headers: code === 'too-many-requests' ? { 'retry-after': '5' } : {},
    });
  }
}

const placePattern = /^(\d{1,9}) of (\S+)$/;

/** Where a page begins: a number in the files of one manifest, to which a tag may not point any more. */
function readPlace(cursor: string | undefined, digest: string): number {
  if (cursor === undefined) return 0;
  const [, index, of] = placePattern.exec(cursor) ?? [];
  if (index !== undefined && of === digest) return Number(index);
  const detail =
    index === undefined
      ? 'this is no cursor of this list: use the next of its page before, as it is'
      : 'the image is another one than on the page before: begin again';
  throw invalidMember('/query/cursor', detail);
}
