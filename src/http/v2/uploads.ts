// Uploads (OCI distribution-spec, "Pushing blobs"): one POST, POST and PUT, streamed or chunked PATCH, resume, cancel, mount.
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../auth/access.ts';
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  isDigest,
  parseDigest,
  parseDigestAlgorithm,
} from '../../oci/digest.ts';
import { OciError } from '../../oci/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts';
import { parseContentRange } from '../../oci/range.ts';
import type { Chunk, UploadOwner, UploadStatus } from '../../registry/uploads.ts';
import { hasBody } from '../body.ts';
import { declare, type Handler, type HttpContext, linkTo } from '../context.ts';
import { originOf, principalOf, repositoryOf } from '../guard.ts';
import { queryValue } from '../query.ts';

export function uploadRoutes(app: FastifyInstance, context: HttpContext): void {
  const session = sessionHandlers(context);
  const begin = beginHandler(context);
  // Both spellings: a redirect would lose the POST.
  for (const url of ['/v2/:name/blobs/uploads/', '/v2/:name/blobs/uploads']) {
    declare(app, url, 'blob_upload', { POST: ['push', begin] }, { alone: true });
  }
  declare(app, '/v2/:name/blobs/uploads/:upload', 'blob_upload_chunk', {
    GET: ['push', session.status],
    PATCH: ['push', session.append],
    PUT: ['push', session.finish],
    DELETE: ['push', session.cancel],
  });
}

function beginHandler(context: HttpContext): Handler {
  const { uploads, writes } = context.registry;
  const { createOnPush } = context.config.access;
  return async (request, reply) => {
    writes.admitChange();
    const repository = repositoryOf(request);
    const mounted = await mountedBlob(context, request, repository);
    if (mounted !== undefined) return replyCreated(context, request, reply, mounted);
    const digestText = queryValue(request, 'digest');
    if (digestText !== undefined) {
      const digest = parseDigest(digestText);
      const chunk = chunkOf(request);
      await watched(context, request, () =>
        uploads.put(repository, digest, algorithmOf(digest), chunk, originOf(request), createOnPush),
      );
      return replyCreated(context, request, reply, digest);
    }
    const owner = { ...ownerOf(request), create: createOnPush };
    const upload = await uploads.begin(owner, hintedAlgorithm(request));
    return describe(context, request, reply, { upload, size: 0 }).code(202).send();
  };
}

function sessionHandlers(context: HttpContext): Record<'status' | 'append' | 'finish' | 'cancel', Handler> {
  const { uploads, writes } = context.registry;
  return {
    status: async (request, reply) => {
      const status = await uploads.find(ownerOf(request), uploadIdOf(request));
      return describe(context, request, reply, status).code(204).send();
    },
    append: async (request, reply) => {
      writes.admitChange();
      const status = await append(context, request);
      return describe(context, request, reply, status).code(202).send();
    },
    finish: async (request, reply) => {
      writes.admitChange();
      const digestText = queryValue(request, 'digest');
      if (digestText === undefined) {
        throw new OciError(
          'DIGEST_INVALID',
          'the digest is missing: end the upload with PUT …?digest=sha256:…',
        );
      }
      const digest = parseDigest(digestText);
      if (hasBody(request.raw) || request.headers['content-range'] !== undefined)
        await append(context, request);
      await uploads.finish(ownerOf(request), uploadIdOf(request), digest, originOf(request));
      return replyCreated(context, request, reply, digest);
    },
    cancel: async (request, reply) => {
      writes.admitChange();
      await uploads.cancel(ownerOf(request), uploadIdOf(request));
      return reply.code(204).send();
    },
  };
}

async function append(context: HttpContext, request: FastifyRequest): Promise<UploadStatus> {
  const owner = ownerOf(request);
  const id = uploadIdOf(request);
  try {
    return await watched(context, request, () =>
      context.registry.uploads.append(owner, id, chunkOf(request)),
    );
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'BLOB_UPLOAD_INVALID' || error.status !== 416)
      throw error;
    const size = Number(error.detail.size);
    throw new OciError(error.code, error.message, error.detail, {
      headers: sessionHeaders(context, request, id, size),
      cause: error,
    });
  }
}

// A body must keep moving while the server has nothing left to read of it.
async function watched<Result>(
  context: HttpContext,
  request: FastifyRequest,
  take: () => Promise<Result>,
): Promise<Result> {
  const { raw } = request;
  const endWatch = context.transfers.watch({
    moved: () => raw.socket.bytesRead,
    waitsForClient: () => !raw.complete && raw.readableLength === 0,
    abort: () => raw.destroy(new Error('the client sent the blob too slowly')),
  });
  try {
    return await take();
  } finally {
    endWatch();
  }
}

/** The digest that a mount brought, where one was asked for and possible; anything else falls back to an upload. */
async function mountedBlob(
  context: HttpContext,
  request: FastifyRequest,
  to: RepositoryName,
): Promise<Digest | undefined> {
  const digest = queryValue(request, 'mount');
  if (digest === undefined || !isDigest(digest)) return undefined;
  const fromText = queryValue(request, 'from');
  const asked = fromText === undefined || fromText === '' ? undefined : parseSource(fromText);
  if (asked === 'invalid') return undefined;
  const principal = principalOf(request);
  const from = asked && (await nameOfToday(context, principal, asked));
  // Whoever may not pull from the source gets a session, as if the blob were not there.
  // One that is named by an old name was decided by that: the token is for it.
  const mayPull = async (repository: RepositoryName) =>
    (asked !== undefined && repository !== asked) ||
    (await context.access.decide(principal, 'pull', repository)).outcome === 'allowed';
  const mounted = await context.registry.blobs.mount({
    to,
    from,
    digest,
    origin: originOf(request),
    mayPull,
    create: context.config.access.createOnPush,
  });
  return mounted ? digest : undefined;
}

/** A source may be named by an old name, as a client knows it from earlier pushes. */
async function nameOfToday(
  { access }: HttpContext,
  principal: Principal,
  asked: RepositoryName,
): Promise<RepositoryName> {
  const decision = await access.decide(principal, 'pull', asked);
  return (decision.outcome === 'allowed' ? decision.servedAs : undefined) ?? asked;
}

function parseSource(text: string): RepositoryName | 'invalid' {
  try {
    return parseRepositoryName(text);
  } catch {
    return 'invalid';
  }
}

function ownerOf(request: FastifyRequest): UploadOwner {
  return { repository: repositoryOf(request), principal: principalOf(request).name };
}

function uploadIdOf(request: FastifyRequest): string {
  return (request.params as { upload: string }).upload;
}

function hintedAlgorithm(request: FastifyRequest): DigestAlgorithm {
  const hint = queryValue(request, 'digest-algorithm');
  return hint === undefined ? 'sha256' : parseDigestAlgorithm(hint);
}

function chunkOf(request: FastifyRequest): Chunk {
  const length = request.headers['content-length'];
  return {
    body: (request.body as Readable | undefined) ?? request.raw,
    ownBuffers: true,
    range: parseContentRange(request.headers['content-range']),
    length: length === undefined ? undefined : Number(length),
  };
}

function replyCreated(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  digest: Digest,
): FastifyReply {
  return reply
    .code(201)
    .header('location', linkTo(context, request, `/v2/${repositoryOf(request)}/blobs/${digest}`))
    .header('docker-content-digest', digest)
    .header('content-length', '0')
    .send();
}

function describe(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  status: UploadStatus,
): FastifyReply {
  return reply
    .headers(sessionHeaders(context, request, status.upload.id, status.size))
    .header('content-length', '0');
}

// `0-0` also stands for an empty upload: the specification has no way to write an empty range.
function sessionHeaders(
  context: HttpContext,
  request: FastifyRequest,
  id: string,
  size: number,
): Record<string, string> {
  return {
    location: linkTo(context, request, `/v2/${repositoryOf(request)}/blobs/uploads/${id}`),
    range: `0-${Math.max(size - 1, 0)}`,
    'docker-upload-uuid': id,
  };
}
