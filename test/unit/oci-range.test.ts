// Range of blob reads and Content-Range of upload chunks, against a model and against hostile headers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { OciError } from '../../src/oci/errors.ts';
import { parseContentRange, parseRange } from '../../src/oci/range.ts';
import { anyCharacter } from '../support/characters.ts';
import { cpuMilliseconds } from '../support/cpu-time.ts';

const size = fc.integer({ min: 1, max: 1000 });
const offset = fc.nat({ max: 1200 });

function unsatisfiable(header: string, blobSize: number): void {
  assert.throws(
    () => parseRange(header, blobSize),
    (error) =>
      error instanceof OciError &&
      error.code === 'RANGE_INVALID' &&
      error.status === 416 &&
      error.headers['content-range'] === `bytes */${blobSize}`,
  );
}

describe('Range', () => {
  test('a-b gives exactly the bytes that Array.slice gives', () => {
    fc.assert(
      fc.property(size, offset, offset, (blobSize, start, end) => {
        const header = `bytes=${start}-${end}`;
        if (start >= blobSize || end < start) return unsatisfiable(header, blobSize);
        const bytes = Array.from({ length: blobSize }, (_, index) => index);
        const range = parseRange(header, blobSize);
        assert.deepEqual(bytes.slice(start, end + 1), bytes.slice(range?.start, (range?.end ?? -1) + 1));
        assert.ok(range !== undefined && range.end < blobSize);
      }),
    );
  });

  test('a- goes to the end, -n takes the last n bytes or all there are', () => {
    fc.assert(
      fc.property(size, offset, (blobSize, number) => {
        if (number < blobSize)
          assert.deepEqual(parseRange(`bytes=${number}-`, blobSize), { start: number, end: blobSize - 1 });
        else unsatisfiable(`bytes=${number}-`, blobSize);
        if (number === 0) return unsatisfiable('bytes=-0', blobSize);
        const start = Math.max(0, blobSize - number);
        assert.deepEqual(parseRange(`bytes=-${number}`, blobSize), { start, end: blobSize - 1 });
      }),
    );
  });

  test('an empty blob is sent whole to a client that asks from its beginning or for its end', () => {
    for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=0-1023', 'bytes=-1'])
      assert.equal(parseRange(header, 0), undefined);
    for (const header of ['bytes=1-', 'bytes=5-9', 'bytes=-0', 'bytes=2-1']) unsatisfiable(header, 0);
  });

  test('a range that runs backwards is refused', () => unsatisfiable('bytes=500-0', 1000));

  test('numbers beyond every blob are clamped or refused, never wrapped', () => {
    const huge = '9'.repeat(400);
    assert.deepEqual(parseRange(`bytes=0-${huge}`, 10), { start: 0, end: 9 });
    assert.deepEqual(parseRange(`bytes=-${huge}`, 10), { start: 0, end: 9 });
    unsatisfiable(`bytes=${huge}-`, 10);
    unsatisfiable(`bytes=${huge}-${huge}`, 10);
  });

  test('what is not one range of bytes means the whole blob', () => {
    const others = [
      '',
      'bytes',
      'bytes=',
      'bytes=-',
      'bytes=a-b',
      'bytes=0-1,3-4',
      'items=0-1',
      'bytes=1',
      'bytes=--1',
      '0-5',
    ];
    for (const header of [...others, 'bytes=0x1-5', 'bytes=1.5-2', 'bytes=+1-2'])
      assert.equal(parseRange(header, 10), undefined);
    assert.equal(parseRange(undefined, 10), undefined);
    assert.deepEqual(parseRange(' Bytes= 1-2 ', 10), { start: 1, end: 2 });
  });

  test('any header gives a range inside the blob, the whole blob, or RANGE_INVALID', () => {
    const nearly = fc.string({
      unit: fc.constantFrom('b', '=', '-', ' ', '\t', ',', '0', '9', '1'),
      maxLength: 12,
    });
    const header = fc.oneof(
      fc.string({ unit: anyCharacter }),
      nearly,
      nearly.map((text) => `bytes=${text}`),
    );
    fc.assert(
      fc.property(header, fc.nat({ max: 100 }), (text, blobSize) => {
        try {
          const range = parseRange(text, blobSize);
          if (range !== undefined)
            assert.ok(range.start >= 0 && range.start <= range.end && range.end < blobSize);
        } catch (error) {
          assert.ok(error instanceof OciError && error.code === 'RANGE_INVALID', String(error));
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('Content-Range', () => {
  test('both ends are read in every form that clients send', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (start, length) => {
        const end = start + length;
        const plain = `${start}-${end}`;
        for (const text of [
          plain,
          `bytes ${plain}`,
          `bytes=${plain}`,
          `bytes ${plain}/${end + 1}`,
          `bytes ${plain}/*`,
          ` ${plain} `,
        ]) {
          assert.deepEqual(parseContentRange(text), { start, end });
        }
        if (length > 0) refusesChunk(`${end}-${start}`);
      }),
    );
  });

  test('anything else is a 400, also numbers that are not exact', () => {
    const wrong = [
      '',
      '-',
      '0-',
      '-5',
      '5',
      '0--1',
      'bytes */5',
      'bytes',
      '1-2-3',
      '0-1,2-3',
      '0x0-0x5',
      '1.0-2',
      '+0-1',
    ];
    for (const header of [
      ...wrong,
      '0-9007199254740992',
      '99999999999999999-99999999999999999',
      'items 0-5',
      '0-5/',
      '0 - 5',
    ]) {
      refusesChunk(header);
    }
    assert.equal(parseContentRange(undefined), undefined);
    assert.deepEqual(parseContentRange('5-5'), { start: 5, end: 5 });
    assert.deepEqual(parseContentRange('0-9007199254740991'), { start: 0, end: Number.MAX_SAFE_INTEGER });
  });

  test('any header gives an ordered range of exact numbers, or BLOB_UPLOAD_INVALID', () => {
    const nearly = fc.string({ unit: fc.constantFrom('-', ' ', '/', '*', '0', '9', 'bytes '), maxLength: 8 });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: anyCharacter }), nearly), (text) => {
        try {
          const range = parseContentRange(text);
          assert.ok(range !== undefined && range.start <= range.end && Number.isSafeInteger(range.end));
        } catch (error) {
          assert.ok(
            error instanceof OciError && error.code === 'BLOB_UPLOAD_INVALID' && error.status === 400,
            String(error),
          );
        }
      }),
      { numRuns: 3000 },
    );
  });
});

function refusesChunk(header: string): void {
  assert.throws(
    () => parseContentRange(header),
    (error) => error instanceof OciError && error.code === 'BLOB_UPLOAD_INVALID' && error.status === 400,
  );
}

test('headers of 16 KiB that almost match cost no time', () => {
  const began = cpuMilliseconds();
  for (const filler of [' ', '\t', '0', '-', ' 0', '0-']) {
    const long = filler.repeat(16_384 / filler.length);
    for (const header of [`bytes=${long}x`, `bytes=0${long}-x`, `bytes ${long}x`, `0${long}-1/${long}x`]) {
      assert.equal(parseRange(header, 10), undefined);
      refusesChunk(header);
    }
  }
  assert.ok(cpuMilliseconds() - began < 200);
});
