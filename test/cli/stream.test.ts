// Bytes out of an image on their way to stdout: as they are into a file or pipe, harmless on a terminal.
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { it } from 'node:test';
import type { CommandContext } from '../../src/cli/context.ts';
import { writeStream } from '../../src/cli/output/stream.ts';

async function written(isTTY: boolean, ...parts: readonly Buffer[]): Promise<string> {
  let all = '';
  const stdout = { isTTY, write: (part: string | Buffer) => (all += part.toString()) };
  const stream = (async function* () {
    yield* parts;
  })();
  await writeStream(stream, { stdout } as unknown as CommandContext);
  return all;
}

it('a file cannot steer the terminal that it is shown on', async () => {
  const bytes = Buffer.from('\x1b]0;owned\x07\tü\n');
  assert.equal(await written(true, bytes), '\\u001b]0;owned\\u0007\tü\n');
  assert.equal(await written(false, bytes), '\x1b]0;owned\x07\tü\n');
  const cut = bytes.indexOf(0xc3) + 1;
  assert.match(await written(true, bytes.subarray(0, cut), bytes.subarray(cut)), /\tü\n$/);
});

it('what nobody reads yet is left where it comes from', async () => {
  const parts = Array.from({ length: 64 }, (_, index) => Buffer.alloc(65_536, index));
  let asked = 0;
  const stream = (async function* () {
    for (const part of parts) {
      asked += 1;
      yield part;
    }
  })();
  const taken: Buffer[] = [];
  const opened = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  const stdout = new Writable({
    write: (part: Buffer, _encoding, done) => {
      taken.push(part);
      began.resolve();
      void opened.promise.then(() => done());
    },
  });
  const writing = writeStream(stream, { stdout } as unknown as CommandContext);
  await began.promise;
  // Everything that can go on without the reader has gone on after that.
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(asked <= 2, `${asked} parts were asked for`);
  opened.resolve();
  await writing;
  assert.ok(Buffer.concat(taken).equals(Buffer.concat(parts)));
});
