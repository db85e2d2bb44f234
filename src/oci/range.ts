// Byte ranges: Range on blob reads (RFC 9110, section 14) and Content-Range on upload chunks (OCI distribution-spec,
// "Pushing a blob in chunks"), which writes a range as `<start>-<end>` without unit or total.
import { OciError } from './errors.ts';

/** Both ends inclusive, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

// No two neighbouring parts of these match the same text: a header of 16 KiB of blanks must not cost a second.
const rangeHeader = /^bytes=[ \t]*(\d*)-(\d*)$/i;
const contentRangeHeader = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/(?:\d+|\*))?$/i;

/**
 * The part of a blob of `size` bytes that a Range header asks for, clamped to the blob; undefined when the whole blob is to
 * be sent (no header, another unit, several ranges, or not a range at all: a server may ignore those). An empty blob is sent
 * whole to a client that asks from its beginning or for its end: some send `bytes=0-` always.
 * Throws OciError RANGE_INVALID (416, with Content-Range) for a range that lies outside or runs backwards.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const match = rangeHeader.exec(header.trim());
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    if (Number(last) === 0) throw unsatisfiable(header, size);
    return size === 0 ? undefined : { start: Math.max(0, size - Number(last)), end: size - 1 };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) throw unsatisfiable(header, size);
  if (start === 0 && size === 0) return undefined;
  if (start >= size) throw unsatisfiable(header, size);
  return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}

/**
 * The bytes that an upload chunk says it holds; undefined without a header.
 * Throws OciError BLOB_UPLOAD_INVALID (400) for a header that is not `<start>-<end>` with start ≤ end.
 */
export function parseContentRange(header: string | undefined): ByteRange | undefined {
  if (header === undefined) return undefined;
  const match = contentRangeHeader.exec(header.trim());
  const start = Number(match?.[1]);
  const end = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(start) || !Number.isSafeInteger(end) || end < start) {
    throw new OciError(
      'BLOB_UPLOAD_INVALID',
      'the Content-Range is malformed: expected <start>-<end>, both inclusive, for example 0-1023',
      { contentRange: header.slice(0, 200) },
      { status: 400 },
    );
  }
  return { start, end };
}

function unsatisfiable(header: string, size: number): OciError {
  return new OciError(
    'RANGE_INVALID',
    `the range cannot be served: the blob has ${size} bytes`,
    { range: header.slice(0, 200), size },
    { headers: { 'content-range': `bytes */${size}` } },
  );
}
