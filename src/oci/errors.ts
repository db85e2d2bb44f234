// The errors of the OCI distribution specification ("Error Codes") and the HTTP status that each one has.
// Everything below http/ throws OciError; one handler there turns it into the reply.

/** Every code Berth answers with, and its default HTTP status. */
export const statusOfCode = {
  NAME_INVALID: 400,
  TAG_INVALID: 400,
  DIGEST_INVALID: 400,
  SIZE_INVALID: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNVERIFIED: 400,
  PAGINATION_NUMBER_INVALID: 400,
  NAME_UNKNOWN: 404,
  MANIFEST_UNKNOWN: 404,
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_UNKNOWN: 404,
  MANIFEST_BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 416,
  RANGE_INVALID: 416,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNKNOWN: 500,
  UNAVAILABLE: 503,
  // Of the signature extension.
  SIGNATURE_INVALID: 400,
  SIGNATURE_EXISTS: 409,
} as const;

export type OciErrorCode = keyof typeof statusOfCode;

/** What is wrong with a request, in the specification's words. `message` says what to do and reaches the person. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly code: OciErrorCode;
  readonly status: number;
  /** Never null on the wire: docker loses the message of an error whose detail is null. */
  readonly detail: Readonly<Record<string, unknown>>;
  /** Response headers that belong to this refusal, for example Retry-After or the Range of an upload. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: OciErrorCode,
    message: string,
    detail: Readonly<Record<string, unknown>> = {},
    options: { status?: number; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? statusOfCode[code];
    this.detail = detail;
    this.headers = options.headers ?? {};
  }
}
