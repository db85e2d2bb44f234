// Names, tags, digests, references: the grammar of protocol and specification, against generated and hostile text.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  algorithmOf,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
  parseDigestAlgorithm,
} from '../../src/oci/digest.ts';
import { OciError, type OciErrorCode } from '../../src/oci/errors.ts';
import { namespaceOf, parseRepositoryName } from '../../src/oci/name.ts';
import { parseReference, parseTag, referenceText } from '../../src/oci/reference.ts';
import { anyCharacter } from '../support/characters.ts';
import { cpuMilliseconds } from '../support/cpu-time.ts';

function refuses(code: OciErrorCode, act: () => unknown): void {
  assert.throws(act, (error) => error instanceof OciError && error.code === code && error.detail !== null);
}

/** Only OciError may come out of a parser: anything else would become a 500. */
function throwsOnlyOciError(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof OciError, String(error));
  }
}

const letters = [...'abcdefghijklmnopqrstuvwxyz0123456789'];
const word = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 6 });
const separator = fc.constantFrom('.', '_', '__', '-', '--', '-----');
const component = fc
  .tuple(word, fc.array(fc.tuple(separator, word), { maxLength: 3 }))
  .map(([first, rest]) => first + rest.map(([mark, next]) => mark + next).join(''));
const repositoryName = fc
  .array(component, { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join('/'))
  .filter((name) => name.length <= 255);
const tag = fc
  .tuple(
    fc.constantFrom(...letters, '_', 'A', 'Z'),
    fc.string({ unit: fc.constantFrom(...letters, 'Q', '.', '-', '_'), maxLength: 127 }),
  )
  .map(([first, rest]) => first + rest);
const algorithm = fc.constantFrom('sha256' as const, 'sha512' as const);
const digest = fc.tuple(fc.uint8Array(), algorithm).map(([bytes, name]) => digestOf(bytes, name));
const anyText = fc.oneof(fc.string(), fc.string({ unit: anyCharacter }), repositoryName, tag, digest);

describe('repository names', () => {
  test('every name that the grammar derives is accepted as it stands', () => {
    fc.assert(fc.property(repositoryName, (name) => assert.equal(parseRepositoryName(name), name)));
  });

  test('every other text is refused', () => {
    const oracle = (text: string) =>
      text.length <= 255 &&
      text
        .split('/')
        .every((part) =>
          part.split(/\.|(?<!_)__(?!_)|(?<!_)_(?!_)|-+/).every((piece) => /^[a-z0-9]+$/.test(piece)),
        );
    const nearly = fc.string({
      unit: fc.constantFrom('a', '0', '.', '_', '-', '/', 'A', '%', '\n', 'é'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.oneof(nearly, anyText), (text) => {
        if (oracle(text)) assert.equal(parseRepositoryName(text), text);
        else refuses('NAME_INVALID', () => parseRepositoryName(text));
      }),
      { numRuns: 2000 },
    );
  });

  test('a name may hold the words of the protocol, and no way out of its folder', () => {
    for (const name of ['blobs', 'a/manifests/b', 'blobs/uploads', 'tags/list', 'a__b', 'a---b', '0']) {
      assert.equal(parseRepositoryName(name), name);
    }
    const wrong = [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      '..',
      'a/../b',
      'a/.',
      'a..b',
      'a___b',
      'a._b',
      '-a',
      'a-',
      '_a',
      'A',
    ];
    for (const name of [...wrong, 'a\n', 'a\0', 'a b', 'a%2fb', 'a\\b', 'localhost:5000/a', 'ä']) {
      refuses('NAME_INVALID', () => parseRepositoryName(name));
    }
  });

  test('255 characters are a name and 256 are not', () => {
    assert.equal(parseRepositoryName('a'.repeat(255)).length, 255);
    refuses('NAME_INVALID', () => parseRepositoryName('a'.repeat(256)));
    refuses('NAME_INVALID', () => parseRepositoryName(`${'a/'.repeat(200)}a`));
  });

  test('the namespace is the first component, and library without one', () => {
    fc.assert(
      fc.property(component, repositoryName, (first, rest) => {
        if (first.length + rest.length > 254) return;
        assert.equal(namespaceOf(parseRepositoryName(`${first}/${rest}`)), first);
        assert.equal(namespaceOf(parseRepositoryName(first)), 'library');
      }),
    );
  });
});

describe('tags', () => {
  test('every tag that the grammar derives is accepted as it stands', () => {
    fc.assert(fc.property(tag, (text) => assert.equal(parseTag(text), text)));
  });

  test('128 characters are a tag; 129, a leading mark and anything outside the alphabet are not', () => {
    assert.equal(parseTag('T'.repeat(128)).length, 128);
    for (const text of ['', 'a'.repeat(129), '.a', '-a', 'a/b', 'a b', 'a\n', 'a+b', 'a@b', 'ä', '..']) {
      refuses('TAG_INVALID', () => parseTag(text));
    }
  });
});

describe('digests', () => {
  test('hashing gives what parseDigest accepts, and its parts are those of the hash', () => {
    fc.assert(
      fc.property(fc.uint8Array(), algorithm, (bytes, name) => {
        const hex = createHash(name).update(bytes).digest('hex');
        const made = digestOf(bytes, name);
        assert.equal(made, `${name}:${hex}`);
        assert.equal(parseDigest(made), made);
        assert.equal(algorithmOf(made), name);
        assert.equal(hexOf(made), hex);
      }),
    );
  });

  test('a digest with one character changed is refused unless it is a digit again', () => {
    fc.assert(
      fc.property(
        digest,
        fc.nat(),
        fc.string({ unit: anyCharacter, minLength: 0, maxLength: 2 }),
        (good, at, piece) => {
          const place = at % good.length;
          const bad = good.slice(0, place) + piece + good.slice(place + 1);
          const stillGood = place > 6 && /^[0-9a-f]$/.test(piece);
          if (stillGood || bad === good) assert.equal(parseDigest(bad), bad);
          else refuses('DIGEST_INVALID', () => parseDigest(bad));
        },
      ),
    );
  });

  test('the length belongs to the algorithm, and hexadecimal is lower case', () => {
    const bad = ['', 'sha256', 'sha256:', `sha256:${'a'.repeat(63)}`, `sha256:${'a'.repeat(65)}`];
    const worse = [`sha512:${'a'.repeat(64)}`, `sha256:${'a'.repeat(128)}`, `sha256:${'A'.repeat(64)}`];
    for (const text of [
      ...bad,
      ...worse,
      `sha384:${'a'.repeat(96)}`,
      `SHA256:${'a'.repeat(64)}`,
      `sha256:${'a'.repeat(64)}\n`,
    ]) {
      assert.equal(isDigest(text), false);
      refuses('DIGEST_INVALID', () => parseDigest(text));
    }
  });

  test('the algorithms are sha256 and sha512', () => {
    assert.equal(parseDigestAlgorithm('sha256'), 'sha256');
    assert.equal(parseDigestAlgorithm('sha512'), 'sha512');
    for (const text of ['', 'sha1', 'SHA256', 'sha256 ', '__proto__']) {
      refuses('DIGEST_INVALID', () => parseDigestAlgorithm(text));
    }
  });
});

describe('references', () => {
  test('with a colon it is a digest, without one a tag, and its text is what was parsed', () => {
    fc.assert(
      fc.property(digest, tag, (someDigest, someTag) => {
        assert.deepEqual(parseReference(someDigest), { digest: someDigest });
        assert.deepEqual(parseReference(someTag), { tag: someTag });
        assert.equal(referenceText(parseReference(someDigest)), someDigest);
        assert.equal(referenceText(parseReference(someTag)), someTag);
      }),
    );
    refuses('DIGEST_INVALID', () => parseReference('latest:1'));
    refuses('TAG_INVALID', () => parseReference('../etc'));
  });
});

test('no text at all makes a parser throw anything but an OciError', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      for (const parse of [
        parseRepositoryName,
        parseTag,
        parseDigest,
        parseDigestAlgorithm,
        parseReference,
      ]) {
        throwsOnlyOciError(() => parse(text));
      }
    }),
    { numRuns: 2000 },
  );
});

test('hostile text of 100,000 characters is refused at once', () => {
  const began = cpuMilliseconds();
  for (const unit of ['a', 'a-', '-', '_', 'a/', 'a__', ':', 'sha256:']) {
    const text = unit.repeat(100_000 / unit.length);
    for (const parse of [parseRepositoryName, parseTag, parseDigest, parseReference])
      assert.throws(() => parse(text), OciError);
  }
  assert.ok(cpuMilliseconds() - began < 500);
});
