// Log lines that are gathered: none is lost or reordered, and none waits for long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatheredLines } from '../../src/cli/gathered-lines.ts';

function makeDestination() {
  const chunks: string[] = [];
  const flushed: number[] = [];
  return {
    chunks,
    flushed,
    write: (chunk: string) => chunks.push(chunk),
    flushSync: () => flushed.push(chunks.length),
  };
}

test('lines go on together once the first of them has waited', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const destination = makeDestination();
  const lines = new GatheredLines(destination, makeDestination());
  lines.write('one\n');
  t.mock.timers.tick(60);
  lines.write('two\n');
  assert.deepEqual(destination.chunks, []);
  t.mock.timers.tick(40);
  assert.deepEqual(destination.chunks, ['one\ntwo\n']);
  t.mock.timers.tick(1000);
  lines.write('three\n');
  t.mock.timers.tick(100);
  assert.deepEqual(destination.chunks, ['one\ntwo\n', 'three\n']);
});

test('a chunk that is long goes on at once, and every line in its order', () => {
  const destination = makeDestination();
  const atOnce = makeDestination();
  const lines = new GatheredLines(destination, atOnce);
  const written = Array.from({ length: 1000 }, (_, index) => `${index} ${'x'.repeat(200)}\n`);
  for (const line of written) lines.write(line);
  assert.ok(destination.chunks.length >= 5);
  lines.flushSync();
  assert.equal([...destination.chunks, ...atOnce.chunks].join(''), written.join(''));
});

test('a flush hands what waits to nobody who writes later', () => {
  const destination = makeDestination();
  const atOnce = makeDestination();
  const lines = new GatheredLines(destination, atOnce);
  lines.write('last\n');
  lines.flushSync();
  assert.deepEqual([destination.chunks, destination.flushed], [[], [0]]);
  assert.deepEqual([atOnce.chunks, atOnce.flushed], [['last\n'], [1]]);
});
