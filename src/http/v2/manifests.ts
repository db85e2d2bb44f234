// Manifests (OCI distribution-spec, "Pulling manifests", "Pushing manifests", "Deleting manifests").
import { isAscii } from 'node:buffer';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { OciError } from '../../oci/errors.ts';
import { parseReference, parseTag, type Reference, type Tag } from '../../oci/reference.ts';
import type { StoredManifest } from '../../storage/metadata-store.ts';
import { readBody } from '../body.ts';
import { entityTagOf, matchesEntityTag } from '../conditional.ts';
import { declare, type HttpContext, linkTo } from '../context.ts';
import { warnOfDeprecation } from '../deprecation.ts';
import { originOf, repositoryOf } from '../guard.ts';
import { queryValues } from '../query.ts';

/** Node writes strings of a few KiB from the stack. */
const longestText = 4096;

/** The most `?tag=` of one push. */
const mostTags = 32;

export function manifestRoutes(app: FastifyInstance, context: HttpContext): void {
  const { manifests, writes } = context.registry;
  const { recordPulls } = context.config.audit;

  declare(app, '/v2/:name/manifests/:reference', 'manifest', {
    GET: [
      'pull',
      async (request, reply) => {
        const origin = recordPulls ? originOf(request) : undefined;
        const manifest = await manifests.pull(repositoryOf(request), referenceOf(request), origin);
        if (describe(request, reply, manifest)) return reply.code(304).send();
        return sendBytes(reply.header('content-length', manifest.bytes.length), manifest.bytes);
      },
    ],
    HEAD: [
      'pull',
      async (request, reply) => {
        const manifest = await manifests.stat(repositoryOf(request), referenceOf(request));
        if (describe(request, reply, manifest)) return reply.code(304).send();
        return reply.header('content-length', manifest.size).send();
      },
    ],
    PUT: [
      'push',
      async (request, reply) => {
        writes.admitChange();
        const repository = repositoryOf(request);
        const reference = referenceOf(request);
        const tags = extraTagsOf(request, reference);
        const { manifestSizeLimit } = context.config.storage;
        const bytes = await readBody(
          request.body as Readable | undefined,
          manifestSizeLimit,
          context.config.limits.jsonBodyTimeout,
        );
        const contentType = request.headers['content-type'];
        const pushed = await manifests.push({
          repository,
          reference,
          tags,
          contentType,
          bytes,
          origin: originOf(request),
          create: context.config.access.createOnPush,
        });
        if (pushed.subject !== undefined) reply.header('oci-subject', pushed.subject);
        if (tags.length > 0) reply.header('oci-tag', tags);
        return reply
          .code(201)
          .header('location', linkTo(context, request, `/v2/${repository}/manifests/${pushed.digest}`))
          .header('docker-content-digest', pushed.digest)
          .header('content-length', '0')
          .send();
      },
    ],
    DELETE: [
      'delete',
      async (request, reply) => {
        writes.admitDelete();
        await manifests.remove(repositoryOf(request), referenceOf(request), originOf(request));
        return reply.code(202).header('content-length', '0').send();
      },
    ],
  });
}

function referenceOf(request: FastifyRequest): Reference {
  return parseReference((request.params as { reference: string }).reference);
}

type Told = Pick<StoredManifest, 'digest' | 'mediaType' | 'deprecation'>;

// Sets what GET and HEAD share; true when the client has these bytes already.
function describe(request: FastifyRequest, reply: FastifyReply, manifest: Told): boolean {
  const { digest, mediaType, deprecation } = manifest;
  if (deprecation !== undefined)
    warnOfDeprecation(reply, repositoryOf(request), referenceOf(request), deprecation);
  reply
    .header('docker-content-digest', digest)
    .header('etag', entityTagOf(digest))
    .header('content-type', mediaType);
  return matchesEntityTag(request.headers['if-none-match'], digest);
}

// Headers and a body that are one string go out in one write; with a buffer they are two parts of a writev, which costs more.
function sendBytes(reply: FastifyReply, bytes: Buffer): FastifyReply {
  if (bytes.length > longestText || !isAscii(bytes)) return reply.send(bytes);
  // In one write with text, the bytes of a header that is not ASCII would be encoded a second time.
  if (reply.hasHeader('warning')) return reply.send(bytes);
  // With a serializer of its own Fastify leaves the Content-Type as it is.
  return reply.serializer(asItIs).send(bytes.toString('latin1'));
}

const asItIs = (text: string) => text;

function extraTagsOf(request: FastifyRequest, reference: Reference): Tag[] {
  const texts = queryValues(request, 'tag');
  if (texts.length === 0) return [];
  if (!('digest' in reference)) {
    throw new OciError(
      'TAG_INVALID',
      '?tag= goes with a push by digest: put the manifest under its digest, or under one tag',
    );
  }
  if (texts.length > mostTags) {
    throw new OciError(
      'TAG_INVALID',
      `at most ${mostTags} tags can be set in one push`,
      { tags: texts.length },
      { status: 414 },
    );
  }
  return texts.map(parseTag);
}
