// Request bodies: whole ones up to a limit, and refused ones read off.
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { OciError } from '../oci/errors.ts';

const drainBytes = 64 * 1024 * 1024;
const drainSeconds = 10;

/** Whether a request announces a body with something in it. */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/**
 * Reads off what is left of a request's body, bounded in time and bytes. True when it has all arrived; false means that
 * the connection is not worth keeping.
 */
export async function drainBody(request: IncomingMessage): Promise<boolean> {
  if (request.complete || !hasBody(request)) return true;
  if (request.destroyed) return false;
  return await new Promise<boolean>((resolve) => {
    let left = drainBytes;
    const finish = (whole: boolean) => {
      clearTimeout(timer);
      request.off('data', count).off('end', ended).off('close', closed).off('error', closed);
      if (!whole) request.pause();
      resolve(whole);
    };
    const count = (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) finish(false);
    };
    const ended = () => finish(true);
    const closed = () => finish(request.complete);
    const timer = setTimeout(() => finish(false), drainSeconds * 1000);
    request.on('data', count).on('end', ended).on('close', closed).on('error', closed);
    request.resume();
  });
}

/**
 * The whole body of at most `limit` bytes. Throws OciError SIZE_INVALID (413) beyond it, and a 408 when it has not arrived
 * within `timeoutSeconds`. A body cut off by the client rejects with the stream's error.
 */
export async function readBody(
  body: Readable | undefined,
  limit: number,
  timeoutSeconds: number,
): Promise<Buffer> {
  if (body === undefined) return Buffer.alloc(0);
  return await new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (act: () => void) => {
      clearTimeout(timer);
      body.off('data', gather).off('end', ended).off('error', failed).off('close', closed);
      act();
    };
    const gather = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else settle(() => reject(tooLarge(limit)));
    };
    const ended = () =>
      settle(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)));
    const failed = (error: Error) => settle(() => reject(error));
    const closed = () => failed(new Error('the client closed the connection in mid-body'));
    const timer = setTimeout(() => settle(() => reject(tooSlow(timeoutSeconds))), timeoutSeconds * 1000);
    body.on('data', gather).on('end', ended).on('error', failed).on('close', closed);
  });
}

function tooLarge(limit: number): OciError {
  return new OciError(
    'SIZE_INVALID',
    `the body is larger than the ${limit} bytes allowed here`,
    { limit },
    { status: 413 },
  );
}

function tooSlow(seconds: number): OciError {
  return new OciError(
    'SIZE_INVALID',
    `the body did not arrive within ${seconds} seconds`,
    {},
    { status: 408 },
  );
}
