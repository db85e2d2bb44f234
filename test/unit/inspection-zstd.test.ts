// Frames of zstd: what Node leaves out, layers for lazy pulling have.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { ZstdFault, ZstdFrames } from '../../src/inspection/zstd-frames.ts';

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
});
