// Refusals of the management API as problem details (RFC 9457): the stable codes, their statuses, and the one place where an
// error becomes a reply.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { InvalidNameError } from '../../../auth/account-name.ts';
import { PasswordQueueFullError } from '../../../auth/password-hashes.ts';
import { InvalidPasswordError } from '../../../auth/password-rules.ts';
import { OciError } from '../../../oci/errors.ts';
import { protectionText } from '../../../registry/protection.ts';
import { quotaDenied } from '../../../registry/quota.ts';
import { ReadOnlyError } from '../../../registry/writes.ts';
import { QuotaExceededError } from '../../../storage/care-store.ts';
import { TagProtectedError } from '../../../storage/protection-store.ts';
import { drainBody } from '../../body.ts';
import { asOciError } from '../../errors.ts';

// Not imported, for the reason that http/connections.ts gives.
const { STATUS_CODES } = process.getBuiltinModule('node:http');

/** Every code of the management API, and its usual status. `detail` is for people and may change; codes do not. */
export const statusOfProblem = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  'not-found': 404,
  exists: 409,
  conflict: 409,
  immutable: 409,
  'quota-exceeded': 403,
  'precondition-failed': 412,
  'precondition-required': 428,
  'too-many-requests': 429,
  internal: 500,
  'read-only': 503,
  unavailable: 503,
} as const;

export type ProblemCode = keyof typeof statusOfProblem;

export const problemSchema = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String({ description: 'What to do, for people; it may change.' }),
  code: Type.Enum(Object.keys(statusOfProblem) as ProblemCode[], { description: 'Stable, for programs.' }),
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
});

/** What is wrong with one member of a request. `pointer` is a JSON pointer into the body, or `/query/limit`, `/params/user`. */
export interface MemberFault {
  readonly pointer: string;
  readonly detail: string;
}

/** A refusal of the management API. `message` becomes `detail`: it says what to do. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly status: number;
  readonly errors: readonly MemberFault[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    options: {
      readonly status?: number;
      readonly errors?: readonly MemberFault[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? statusOfProblem[code];
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
  }
}

/**
 * The one answer for what is not there and for what the caller may not see. `what` holds nothing that the caller did not send:
 * 'user alice'.
 */
export function notFound(what: string): Problem {
  return new Problem('not-found', `there is no ${what} that you may see`);
}

/** A member of the body that is well formed and yet cannot be used. `pointer` as in MemberFault. */
export function invalidMember(pointer: string, detail: string): Problem {
  return new Problem('invalid', detail, { errors: [{ pointer, detail }] });
}

/** What `parse` gives; its InvalidNameError, InvalidPasswordError or OciError becomes a fault of the member at `pointer`. */
export function parseMember<Value>(pointer: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw asMemberFault(pointer, error);
  }
}

/** The same for what takes time. */
export async function awaitMember<Value>(pointer: string, value: Promise<Value>): Promise<Value> {
  try {
    return await value;
  } catch (error) {
    throw asMemberFault(pointer, error);
  }
}

function asMemberFault(pointer: string, error: unknown): unknown {
  const isFault =
    error instanceof InvalidNameError || error instanceof InvalidPasswordError || error instanceof OciError;
  return isFault ? invalidMember(pointer, error.message) : error;
}

const codesOfOci: Partial<Record<OciError['code'], ProblemCode>> = {
  UNAUTHORIZED: 'unauthenticated',
  DENIED: 'denied',
  NAME_UNKNOWN: 'not-found',
  MANIFEST_UNKNOWN: 'not-found',
  BLOB_UNKNOWN: 'not-found',
  TOOMANYREQUESTS: 'too-many-requests',
  UNAVAILABLE: 'unavailable',
  UNKNOWN: 'internal',
};

/** `error` as what the client is told. The original stays the cause. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof InvalidNameError || error instanceof InvalidPasswordError) {
    return new Problem('invalid', error.message);
  }
  if (error instanceof PasswordQueueFullError) {
    return new Problem('too-many-requests', 'too many passwords are being checked: try again in a moment', {
      headers: { 'retry-after': String(error.retryAfterSeconds) },
    });
  }
  if (error instanceof QuotaExceededError) {
    return new Problem('quota-exceeded', quotaDenied(error.excess).message);
  }
  if (error instanceof ReadOnlyError) return new Problem('read-only', error.message);
  if (error instanceof TagProtectedError) return new Problem('immutable', protectionText(error.protection));
  const oci = asOciError(error);
  const meant = error instanceof OciError;
  return new Problem(codesOfOci[oci.code] ?? 'invalid', oci.message, {
    status: oci.status,
    headers: oci.headers,
    ...(meant ? {} : { cause: error }),
  });
}

/** The body of a problem. */
export function problemBody(problem: Problem, requestId: string): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message,
    code: problem.code,
    requestId,
    ...(problem.errors.length === 0 ? {} : { errors: problem.errors }),
  });
}

/** The error handler of the API's context: reads off a refused body, so that the client sees the reply, then replies. */
export async function replyWithProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const problem = asProblem(error);
  const failed = problem.status >= 500 && problem.cause !== undefined;
  request.failure = failed && !request.raw.destroyed ? error : undefined;
  if (reply.sent || reply.raw.destroyed) return;
  if (!(await drainBody(request.raw))) reply.header('connection', 'close');
  for (const name of ['etag', 'content-length', 'location', 'link', 'set-cookie']) reply.removeHeader(name);
  await reply
    .code(problem.status)
    .headers(problem.headers)
    .header('x-request-id', request.id)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .send(problemBody(problem, request.id));
}
