// Frames of zstd: what Node leaves out, layers for lazy pulling have.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { largestWindow, ZstdFault, ZstdFrames, ZstdWindowError } from '../../src/inspection/zstd-frames.ts';
import { makeZstd } from '../support/tars.ts';

function skippable(bytes: string): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x184d2a53, 0);
  header.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([header, Buffer.from(bytes)]);
}

function decode(bytes: Buffer, chunk: number): string {
  const frames = new ZstdFrames();
  const parts: Buffer[] = [];
  let frame: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += chunk) {
    for (const piece of frames.split(bytes.subarray(from, from + chunk))) {
      frame.push(Buffer.from(piece.bytes));
      if (!piece.last) continue;
      parts.push(zstdDecompressSync(Buffer.concat(frame)));
      frame = [];
    }
  }
  if (!frames.atBoundary) throw new ZstdFault('it ends too early');
  assert.equal(frame.length, 0);
  return Buffer.concat(parts).toString();
}

describe('a zstd stream', () => {
  it('is all of its frames, without those to skip, in whatever pieces it comes', () => {
    const part = fc.oneof(
      fc.string({ maxLength: 300 }).map((text) => ({ text, bytes: zstdCompressSync(Buffer.from(text)) })),
      fc.constant('ab').map((word) => {
        const text = word.repeat(100_000);
        return { text, bytes: zstdCompressSync(Buffer.from(text)) };
      }),
      fc
        .string({ maxLength: 40 })
        .map((text) => ({ text: '', bytes: skippable(text.replace(/[^ -~]/g, '')) })),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.integer({ min: 1, max: 200 }), (parts, chunk) => {
        const stream = Buffer.concat(parts.map(({ bytes }) => bytes));
        assert.equal(decode(stream, chunk), parts.map(({ text }) => text).join(''));
      }),
    );
  });

  it('that is cut or followed by something else is refused', () => {
    const bytes = zstdCompressSync(Buffer.from('hello'.repeat(100)));
    for (let length = 1; length < bytes.length; length += 1) {
      assert.throws(() => decode(bytes.subarray(0, length), 7), ZstdFault, `${length} bytes`);
    }
    assert.throws(() => decode(Buffer.concat([bytes, Buffer.from('something else')]), 7), ZstdFault);
  });

  it('whose window is more than is held in memory is refused at its header', () => {
    const text = 'hello';
    const compress = (windowLog: number) => makeZstd(Buffer.from(text), windowLog);
    for (const log of [13, 23, 25]) assert.equal(decode(compress(log), 3), text);
    for (const log of [26, 27]) {
      assert.throws(
        () => decode(Buffer.concat([compress(20), compress(log)]), 3),
        (error) => error instanceof ZstdWindowError && error.window === 2 ** log,
      );
    }
    // A single segment is its own window: one, two, four or eight bytes tell its size.
    const segment = (flag: number, size: bigint) => {
      const sizeBytes = Buffer.alloc(8);
      sizeBytes.writeBigUInt64LE(size);
      const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, (flag << 6) | 0x20]);
      const emptyBlock = Buffer.from([1, 0, 0]);
      return Buffer.concat([header, sizeBytes.subarray(0, 2 ** flag), emptyBlock]);
    };
    const most = BigInt(largestWindow);
    const split = (bytes: Buffer) => [...new ZstdFrames().split(bytes)];
    for (const [flag, size] of [
      [0, 255n],
      [1, 65_535n],
      [2, most],
      [3, most],
    ] as const)
      assert.equal(split(segment(flag, size)).length, 1);
    for (const [flag, size] of [
      [2, most + 1n],
      [3, most + 1n],
      [3, 2n ** 63n],
    ] as const)
      assert.throws(() => split(segment(flag, size)), ZstdWindowError);
    // Between powers of two the window grows in eighths.
    const eighths = (byte: number) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, byte, 1, 0, 0]);
    assert.equal(split(eighths(0x78)).length, 1);
    assert.throws(
      () => split(eighths(0x79)),
      (error) => error instanceof ZstdWindowError && error.window === 36 * 1024 * 1024,
    );
  });
});
