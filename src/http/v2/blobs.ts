// Blobs (OCI distribution-spec, "Pulling blobs", "Deleting blobs"), with ranges and conditional requests (RFC 9110).
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import { type ByteRange, parseRange } from '../../oci/range.ts';
import { ShortBlobError } from '../../storage/blob-store.ts';
import type { LinkedBlob } from '../../storage/metadata-store.ts';
import { entityTagOf, matchesEntityTag } from '../conditional.ts';
import { declare, type HttpContext } from '../context.ts';
import { originOf, repositoryOf } from '../guard.ts';

/** A blob up to this size goes out as one buffer: cheaper than a stream, and little to hold. */
const smallBlobBytes = 64 * 1024;

export function blobRoutes(app: FastifyInstance, context: HttpContext): void {
  const { blobs, writes } = context.registry;

  declare(app, '/v2/:name/blobs/:digest', 'blob', {
    GET: [
      'pull',
      async (request, reply) => {
        const digest = digestOfPath(request);
        const blob = await blobs.find(repositoryOf(request), digest);
        describe(reply, digest);
        if (matchesEntityTag(request.headers['if-none-match'], digest)) return reply.code(304).send();
        const range = parseRange(wantedRange(request, digest), blob.size);
        if (range === undefined && blob.size <= smallBlobBytes) {
          const bytes = await blobs.readSmall(repositoryOf(request), digest, blob);
          return reply.header('content-length', bytes.length).send(bytes);
        }
        return await sendBlob(context, request, reply, blob, range);
      },
    ],
    HEAD: [
      'pull',
      async (request, reply) => {
        const digest = digestOfPath(request);
        const blob = await blobs.find(repositoryOf(request), digest);
        describe(reply, digest);
        if (matchesEntityTag(request.headers['if-none-match'], digest)) return reply.code(304).send();
        return reply.header('content-length', blob.size).send();
      },
    ],
    DELETE: [
      'delete',
      async (request, reply) => {
        writes.admitDelete();
        await blobs.unlink(repositoryOf(request), digestOfPath(request), originOf(request));
        return reply.code(202).header('content-length', '0').send();
      },
    ],
  });
}

function digestOfPath(request: FastifyRequest): Digest {
  return parseDigest((request.params as { digest: string }).digest);
}

function describe(reply: FastifyReply, digest: Digest): void {
  reply
    .header('docker-content-digest', digest)
    .header('etag', entityTagOf(digest))
    .header('content-type', 'application/octet-stream')
    .header('accept-ranges', 'bytes')
    .header('cache-control', 'max-age=31536000')
    .header('content-security-policy', 'sandbox');
}

// If-Range: the range counts only while the content is still what the client has a part of.
function wantedRange(request: FastifyRequest, digest: Digest): string | undefined {
  const condition = request.headers['if-range'];
  if (condition !== undefined && String(condition).trim() !== entityTagOf(digest)) return undefined;
  return request.headers.range;
}

// Streams past Fastify: the store writes straight to the socket from a few reused buffers.
async function sendBlob(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  blob: LinkedBlob,
  range: ByteRange | undefined,
): Promise<FastifyReply> {
  const { blobs } = context.registry;
  const repository = repositoryOf(request);
  const open = await blobs.open(repository, blob.digest, blob);
  const response = reply.raw;
  const { socket } = request.raw;
  const endWatch = context.transfers.watch({
    moved: () => socket.bytesWritten,
    waitsForClient: () => response.writableLength > 0,
    abort: () => response.destroy(new Error('the client took the blob too slowly')),
  });
  try {
    reply.header('content-length', range === undefined ? blob.size : range.end - range.start + 1);
    if (range !== undefined)
      reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${blob.size}`);
    reply.hijack();
    response.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>);
    await open.writeTo(response, range);
    response.end();
  } catch (error) {
    // The status is out already: cutting the connection is how the client learns that the body is not whole.
    request.failure = response.destroyed ? undefined : error;
    response.destroy();
    if (error instanceof ShortBlobError)
      await blobs.quarantine(repository, blob.digest, blob.location, 'short');
  } finally {
    endWatch();
    await open.close();
  }
  return reply;
}
