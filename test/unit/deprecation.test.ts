// Warnings of deprecation: what all of them may take, and what is left out where they would take more.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  faultOfDeprecation,
  longestWarning,
  shortened,
  warnOfDeprecation,
} from '../../src/http/deprecation.ts';
import { warn } from '../../src/http/warning.ts';

const bytesOf = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
const textOf = (line: string) => Buffer.from(line, 'latin1').toString('utf8');

/** As much of a reply as warnings need. */
function fakeReply() {
  const headers = new Map<string, unknown>();
  return {
    getHeader: (name: string) => headers.get(name),
    header: (name: string, value: unknown) => headers.set(name, value),
    lines: () => [headers.get('warning') ?? []].flat() as string[],
  };
}

describe('all warnings of an answer together', () => {
  const name = 'acme/web' as never;
  const deprecation = { message: 'ä'.repeat(1900) };

  test('take 4,096 bytes, also where the repository was moved', () => {
    assert.equal(faultOfDeprecation(name, deprecation), undefined);
    const reply = fakeReply();
    warn(reply as never, `repository ${'a/'.repeat(120)}b was moved to acme/web: use that name`);
    warnOfDeprecation(reply as never, name, { tag: 'v1' } as never, deprecation);
    const lines = reply.lines();
    assert.equal(lines.length, 2);
    assert.ok(lines.join('').length <= longestWarning);
    assert.match(textOf(lines[1] ?? ''), /^299 - "acme\/web:v1 is deprecated: ä+…"$/);
  });

  test('lose no half of a character and no half of an escape', () => {
    assert.equal(shortened('299 - "short"', 40), '299 - "short"');
    for (let room = 20; room < 40; room += 1) {
      const line = textOf(shortened(bytesOf(`299 - "${'漢é'.repeat(20)}"`), room));
      assert.match(line, /^299 - "[漢é]+…"$/);
      const escaped = shortened(`299 - "${'\\\\'.repeat(40)}"`, room);
      assert.match(textOf(escaped), /^299 - "(?:\\\\)+…"$/);
      assert.ok(escaped.length <= room);
    }
  });
});
