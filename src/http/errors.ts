// The one place where an error becomes a reply: OciError as it is, faults of the stores as 503 and 507, anything unknown as
// a plain 500 whose detail goes to the log only.
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { PasswordQueueFullError } from '../auth/password-hashes.ts';
import { OciError } from '../oci/errors.ts';
import { protectionDenied } from '../registry/protection.ts';
import { DiskFullError, MediumFailedError, StoreUnavailableError } from '../storage/faults.ts';
import { TagProtectedError } from '../storage/protection-store.ts';
import { drainBody } from './body.ts';

/** What Fastify itself refuses, by status. Its own messages repeat the whole URL. */
const fastifyRefusals = new Map<number, readonly [OciError['code'], string]>([
  [400, ['NAME_INVALID', 'the request target is not a valid URL']],
  [413, ['SIZE_INVALID', 'the body is too large']],
  [414, ['SIZE_INVALID', 'a part of the URL is longer than any name, tag or digest']],
  [415, ['UNSUPPORTED', 'the Content-Type is malformed: expected type/subtype']],
]);

/** `error` as what the client is told. The original stays the cause. */
export function asOciError(error: unknown): OciError {
  if (error instanceof OciError) return error;
  if (error instanceof TagProtectedError) return protectionDenied(error.protection);
  if (error instanceof DiskFullError) {
    return new OciError(
      'UNAVAILABLE',
      'the registry has no room left: pulls go on, pushes are refused until there is space again',
      {},
      { status: 507, cause: error },
    );
  }
  if (error instanceof MediumFailedError || error instanceof StoreUnavailableError) {
    return new OciError(
      'UNAVAILABLE',
      'the registry cannot write at the moment: try again later',
      {},
      { cause: error },
    );
  }
  if (error instanceof PasswordQueueFullError) {
    const message = 'too many passwords are being checked at once: try again in a few seconds';
    return new OciError('TOOMANYREQUESTS', message, {}, { headers: { 'retry-after': '5' } });
  }
  const status = (error as Partial<FastifyError> | null)?.statusCode ?? 500;
  const refusal = fastifyRefusals.get(status);
  if (refusal !== undefined) return new OciError(...refusal, {}, { status, cause: error });
  return new OciError(
    'UNKNOWN',
    'the registry failed to answer; its log tells more under this request id',
    {},
    { cause: error },
  );
}

/** The body that the specification gives an error. `detail` is never null: docker would lose the message. */
export function errorBody(error: OciError): string {
  return JSON.stringify({ errors: [{ code: error.code, message: error.message, detail: error.detail }] });
}

/** Fastify's error handler: reads off a refused body, so that the client sees the reply and not a broken pipe, then replies. */
export async function replyWithError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const oci = asOciError(error);
  // A refusal that was meant (read-only, no room) is no failure; neither is a client that went away.
  const meant = error instanceof OciError && error.cause === undefined;
  // The socket tells: a request whose body was read to its end is destroyed as well.
  const clientLeft = request.raw.socket.destroyed;
  request.failure = oci.status >= 500 && !meant && !clientLeft ? error : undefined;
  if (reply.sent || reply.raw.destroyed) return;
  const drained = await drainBody(request.raw);
  if (!drained) reply.header('connection', 'close');
  // Headers meant for the success are not for the refusal.
  for (const name of ['etag', 'content-length', 'accept-ranges', 'content-range']) reply.removeHeader(name);
  const body = oci.code === 'UNKNOWN' ? new OciError(oci.code, oci.message, { requestId: request.id }) : oci;
  await reply
    .code(oci.status)
    .headers(oci.headers)
    .header('x-request-id', request.id)
    .header('cache-control', 'no-store')
    .header('content-type', 'application/json; charset=utf-8')
    .send(request.method === 'HEAD' ? undefined : errorBody(body));
}

/** The reply to a path that is no endpoint. */
export function replyNotFound(): never {
  throw new OciError('NAME_UNKNOWN', 'there is no such endpoint; the registry API is under /v2/', {});
}

/** The reply to a method that a path does not take. `allow`: those that it takes. */
export function refuseMethod(allow: string): never {
  throw new OciError('UNSUPPORTED', `this endpoint takes ${allow} only`, { allow }, { headers: { allow } });
}
