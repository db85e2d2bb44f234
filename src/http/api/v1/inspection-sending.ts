// Bytes of images on their way to a client: always as something to save and never as something to show, at the client's pace, and
// broken off where they turn out not to be whole.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Archive, type ArchiveFile, archiveEnd, headerOf } from '../../../inspection/archive.ts';
import type { FileContent } from '../../../inspection/image-files.ts';
import type { Digest } from '../../../oci/digest.ts';
import type { RepositoryName } from '../../../oci/name.ts';
import { type Reference, referenceText } from '../../../oci/reference.ts';
import { tarPadding } from '../../../oci/tar.ts';
import { ShortBlobError, SinkClosedError } from '../../../storage/blob-store.ts';
import type { ApiContext } from './context.ts';
import type { Answer } from './route.ts';

/** Bytes per second of whoever holds one of the few places for large files: others may be waiting for it. */
const leastRateInPlace = 64 * 1024;

interface Asking {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Aborted when the client goes away before its answer is complete. */
export function aborted({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const leave = (): void => controller.abort(new SinkClosedError('the client is gone'));
  if (raw.destroyed) leave();
  else raw.once('close', leave);
  return controller.signal;
}

/** Small bytes as they are. */
export function sendBytes(
  reply: FastifyReply,
  bytes: Buffer,
  { mediaType, digest }: { readonly mediaType: string; readonly digest: string },
): Answer {
  describe(reply, mediaType, undefined);
  reply.header('docker-content-digest', digest).header('etag', `"${digest}"`);
  return { kind: 'sent', reply: reply.send(bytes) };
}

/** A file out of an image. */
export async function sendContent(
  context: ApiContext,
  { request, reply }: Asking,
  { path, size, layer, bytes }: FileContent,
): Promise<Answer> {
  try {
    describe(reply, 'application/octet-stream', path.slice(path.lastIndexOf('/') + 1));
    reply.header('content-length', size).header('berth-layer', layer);
    const leastRate = bytes.holdsPlace ? leastRateInPlace : 0;
    await stream(context, { request, reply, leastRate }, async () => {
      for await (const part of bytes) await write(reply, part);
    });
  } finally {
    await bytes.close();
  }
  return { kind: 'sent', reply };
}

/** An archive, blob after blob. */
export async function sendArchive(
  context: ApiContext,
  { request, reply }: Asking,
  options: {
    readonly repository: RepositoryName;
    readonly reference: Reference;
    readonly digest: Digest;
    readonly archive: Archive;
  },
): Promise<Answer> {
  const { repository, reference, archive, digest } = options;
  const name = `${repository.slice(repository.lastIndexOf('/') + 1)}-${referenceText(reference).replace(':', '-')}`;
  describe(reply, 'application/x-tar', `${name}.tar`);
  reply.header('content-length', archive.length).header('docker-content-digest', digest);
  await stream(context, { request, reply }, async () => {
    for (const file of archive.files) {
      await write(reply, headerOf(file));
      await sendFile(context, repository, reply, file);
      await write(reply, Buffer.alloc(tarPadding(file.size)));
    }
    await write(reply, archiveEnd);
  });
  return { kind: 'sent', reply };
}

async function sendFile(
  { registry }: ApiContext,
  repository: RepositoryName,
  reply: FastifyReply,
  file: ArchiveFile,
): Promise<void> {
  if ('bytes' in file) return await write(reply, file.bytes);
  const { blob } = file;
  const open = await registry.blobs.open(repository, blob.digest, blob);
  try {
    await open.writeTo(reply.raw);
  } catch (error) {
    if (error instanceof ShortBlobError) {
      await registry.blobs.quarantine(repository, blob.digest, blob.location, 'short');
    }
    throw error;
  } finally {
    await open.close();
  }
}

function describe(reply: FastifyReply, mediaType: string, fileName: string | undefined): void {
  reply.header('content-type', mediaType).header('content-security-policy', 'sandbox');
  if (fileName !== undefined) reply.header('content-disposition', attachmentText(fileName));
}

/** RFC 6266: a plain name for everybody, and the real one where it differs. */
export function attachmentText(name: string): string {
  const plain =
    name
      .replace(/[^A-Za-z0-9._+-]/g, '_')
      .replace(/^\.+/, '_')
      .slice(0, 200) || 'file';
  if (plain === name) return `attachment; filename="${plain}"`;
  const encoded = encodeURIComponent(name.slice(0, 200).toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

/** Sends what `send` writes past Fastify; what fails from now on breaks the connection off. */
async function stream(
  context: ApiContext,
  { request, reply, leastRate = 0 }: Asking & { readonly leastRate?: number },
  send: () => Promise<void>,
): Promise<void> {
  const response = reply.raw;
  const { socket } = request.raw;
  const endWatch = context.transfers.watch({
    moved: () => socket.bytesWritten,
    waitsForClient: () => response.writableLength > 0,
    leastRate,
    abort: () => response.destroy(new Error('the client took it too slowly')),
  });
  try {
    reply.hijack();
    response.writeHead(200, reply.getHeaders() as Record<string, string>);
    await send();
    response.end();
  } catch (error) {
    request.failure = response.destroyed || error instanceof SinkClosedError ? undefined : error;
    response.destroy();
  } finally {
    endWatch();
  }
}

/** Waits for the client to have taken most of what was written before. */
async function write({ raw }: FastifyReply, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return;
  if (raw.destroyed) throw new SinkClosedError('the client is gone');
  if (raw.write(bytes)) return;
  const room = Promise.withResolvers<void>();
  const onDrain = (): void => room.resolve();
  const onClose = (): void => room.reject(new SinkClosedError('the client is gone'));
  raw.once('drain', onDrain).once('close', onClose);
  try {
    await room.promise;
  } finally {
    raw.off('drain', onDrain).off('close', onClose);
  }
}
