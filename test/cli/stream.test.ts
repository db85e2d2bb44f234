// Bytes out of an image on their way to stdout: as they are into a file or pipe, harmless on a terminal.
import assert from 'node:assert/strict';
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
