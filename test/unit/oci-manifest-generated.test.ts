// Manifests by property: generated ones parse to what was generated, and no document at all gets anything but an OciError
// out of the parser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/errors.ts';
import { type ParsedManifest, parseManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { anyCharacter } from '../support/characters.ts';

const digest = digestOf(Buffer.from('the manifest'));
const config = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(Buffer.from('a')),
  size: 7,
};
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [config] };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [config] };

function parse(text: string, contentType?: string): ParsedManifest {
  return parseManifest(Buffer.from(text), contentType, { digest });
}

const anyDigest = fc
  .tuple(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const))
  .map(([bytes, algorithm]) => digestOf(bytes, algorithm));
const annotations = fc.option(fc.dictionary(fc.string(), fc.string()), { nil: undefined });
const descriptor = fc.record(
  { mediaType: fc.string(), digest: anyDigest, size: fc.nat(), annotations, data: fc.base64String() },
  { requiredKeys: ['mediaType', 'digest', 'size'] },
);
const subject = fc.option(descriptor, { nil: undefined });
const artifactType = fc.option(fc.string({ minLength: 1 }), { nil: undefined });
const unique = (list: readonly { digest: Digest }[]) => [...new Set(list.map((item) => item.digest))];
const indent = fc.constantFrom(undefined, 1, '\t');

test('a valid image parses to what was generated', () => {
  const type = fc.constantFrom(mediaTypes.ociManifest, mediaTypes.dockerManifest);
  const parts = fc.record({
    config: descriptor,
    layers: fc.array(descriptor),
    subject,
    artifactType,
    annotations,
  });
  fc.assert(
    fc.property(type, parts, fc.boolean(), indent, (mediaType, body, named, space) => {
      const document = { schemaVersion: 2, ...(named ? { mediaType } : {}), ...body };
      const parsed = parse(JSON.stringify(document, null, space), mediaType);
      const all = [body.config, ...body.layers];
      assert.equal(parsed.kind, 'image');
      assert.equal(parsed.mediaType, mediaType);
      assert.deepEqual(parsed.blobs, unique(all));
      assert.equal(parsed.subject, body.subject?.digest);
      assert.equal(parsed.artifactType, body.artifactType ?? (body.config.mediaType || undefined));
      const sizes = new Map(all.toReversed().map((item) => [item.digest, item.size]));
      assert.equal(
        parsed.imageBytes,
        [...sizes.values()].reduce((sum, size) => sum + size, 0),
      );
    }),
  );
});

test('a valid index parses to what was generated', () => {
  const type = fc.constantFrom(mediaTypes.ociIndex, mediaTypes.dockerList);
  const parts = fc.record({ manifests: fc.array(descriptor), subject, artifactType, annotations });
  fc.assert(
    fc.property(type, parts, indent, (mediaType, body, space) => {
      const parsed = parse(JSON.stringify({ schemaVersion: 2, mediaType, ...body }, null, space));
      assert.equal(parsed.kind, 'index');
      assert.deepEqual(parsed.children, unique(body.manifests));
      assert.deepEqual(parsed.blobs, []);
      assert.equal(parsed.subject, body.subject?.digest);
      assert.equal(parsed.artifactType, body.artifactType);
    }),
  );
});

const contentType = fc.oneof(
  fc.constantFrom(undefined, ...Object.values(mediaTypes)),
  fc.string({ unit: anyCharacter }),
);

test('random JSON, and random JSON in every field, gets nothing but MANIFEST_INVALID or a sound result', () => {
  const field = fc.constantFrom(
    ...[
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'blobs',
      'subject',
      'annotations',
      'artifactType',
      'fsLayers',
    ],
  );
  const spoiled = fc
    .tuple(fc.constantFrom<object>(image, index), field, fc.oneof(fc.jsonValue(), fc.array(descriptor)))
    .map(([base, key, value]) => JSON.stringify({ ...base, [key]: value }));
  const random = fc.oneof(fc.json(), spoiled, fc.string());
  fc.assert(
    fc.property(random, contentType, (text, header) => survives(Buffer.from(text), header)),
    { numRuns: 2000 },
  );
});

test('a manifest with bytes changed, cut or repeated gets nothing else either', () => {
  const base = Buffer.from(JSON.stringify({ ...image, subject: config, annotations: { x: 'y\\"[' } }));
  const place = fc.nat({ max: base.length - 1 });
  const change = fc.tuple(place, fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 4 }),
      place,
      fc.constantFrom('keep', 'cut', 'repeat'),
      (changes, at, act) => {
        const bytes = Buffer.from(base);
        for (const [where, byte] of changes) bytes[where] = byte;
        survives(
          act === 'keep'
            ? bytes
            : act === 'cut'
              ? bytes.subarray(0, at)
              : Buffer.concat([bytes, bytes.subarray(at)]),
        );
      },
    ),
    { numRuns: 3000 },
  );
});

function survives(bytes: Buffer, header?: string): void {
  try {
    const parsed = parseManifest(bytes, header, { digest });
    for (const reference of [...parsed.blobs, ...parsed.children])
      assert.match(reference, /^sha(256|512):[0-9a-f]+$/);
    assert.equal(new Set(parsed.blobs).size, parsed.blobs.length);
    assert.ok(Number.isSafeInteger(parsed.imageBytes) && parsed.imageBytes >= 0);
  } catch (error) {
    assert.ok(error instanceof OciError && error.code === 'MANIFEST_INVALID', String(error));
    assert.ok(error.message.length < 1000, 'a message quotes little of the document');
  }
}
