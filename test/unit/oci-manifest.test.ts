// Manifests: what is accepted and what it is read as, what is refused, where and with which sentence.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/errors.ts';
import { deepestNesting, mostValues } from '../../src/oci/json.ts';
import { type ParsedManifest, parseManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { ManifestToStore } from '../../src/storage/metadata-store.ts';

const digest = digestOf(Buffer.from('the manifest'));
const a = digestOf(Buffer.from('a'));
const b = digestOf(Buffer.from('b'), 'sha512');
const c = digestOf(Buffer.from('c'));
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

function describes(target: string, size: number, extra: object = {}): object {
  return { mediaType: layerType, digest: target, size, ...extra };
}

const config = { mediaType: configType, digest: a, size: 7 };
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [describes(b, 10)] };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [describes(c, 5)] };

function parse(document: unknown, contentType?: string): ParsedManifest {
  const bytes = Buffer.isBuffer(document)
    ? document
    : Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  const parsed = parseManifest(bytes, contentType, { digest });
  assert.equal(parsed.bytes, bytes, 'the bytes are kept as they are');
  assert.equal(parsed.digest, digest);
  return parsed;
}

/** Expects MANIFEST_INVALID, at `pointer` and with a message that matches. */
function refuses(document: unknown, expected: { at?: string; says?: RegExp }, contentType?: string): void {
  assert.throws(
    () => parse(document, contentType),
    (error) => {
      assert.ok(error instanceof OciError, String(error));
      assert.equal(error.code, 'MANIFEST_INVALID');
      if (expected.at !== undefined) assert.equal(error.detail.pointer, expected.at);
      if (expected.at) assert.ok(error.message.includes(expected.at), error.message);
      if (expected.says !== undefined) assert.match(error.message, expected.says);
      return true;
    },
  );
}

describe('what is accepted', () => {
  test('an image tells its blobs, its size and its type', () => {
    const parsed = parse(
      { ...image, subject: describes(c, 3), artifactType: 'application/x' },
      mediaTypes.ociManifest,
    );
    const stored: ManifestToStore = parsed;
    assert.equal(stored.kind, 'image');
    assert.equal(stored.mediaType, mediaTypes.ociManifest);
    assert.deepEqual(stored.blobs, [a, b]);
    assert.deepEqual(stored.children, []);
    assert.equal(stored.subject, c);
    assert.equal(stored.artifactType, 'application/x');
    assert.equal(stored.imageBytes, 17);
  });

  test('an index tells its children, and has no type but its own artifactType', () => {
    const parsed = parse({ ...index, subject: describes(a, 3) }, mediaTypes.ociIndex);
    assert.equal(parsed.kind, 'index');
    assert.deepEqual(parsed.blobs, []);
    assert.deepEqual(parsed.children, [c]);
    assert.equal(parsed.subject, a);
    assert.equal(parsed.artifactType, undefined);
    assert.equal(parsed.imageBytes, 0);
    assert.equal(parse({ ...index, artifactType: 'application/x' }).artifactType, 'application/x');
  });

  test('a former artifact manifest needs neither schemaVersion nor blobs', () => {
    const artifact = {
      mediaType: mediaTypes.ociArtifact,
      artifactType: 'application/x',
      blobs: [describes(b, 9)],
    };
    const parsed = parse({ ...artifact, subject: describes(c, 1) }, mediaTypes.ociArtifact);
    assert.equal(parsed.kind, 'artifact');
    assert.deepEqual(parsed.blobs, [b]);
    assert.equal(parsed.imageBytes, 9);
    assert.equal(parsed.artifactType, 'application/x');
    assert.deepEqual(parse({ mediaType: mediaTypes.ociArtifact }).blobs, []);
  });

  test('Docker schema 2 and manifest list are image and index', () => {
    assert.equal(
      parse({ ...image, mediaType: mediaTypes.dockerManifest }, mediaTypes.dockerManifest).kind,
      'image',
    );
    assert.equal(parse({ ...index, mediaType: mediaTypes.dockerList }, mediaTypes.dockerList).kind, 'index');
  });

  test('empty lists, null for nothing, any config type and unknown fields are legal', () => {
    assert.deepEqual(parse({ ...image, layers: [] }).blobs, [a]);
    assert.deepEqual(parse({ ...index, manifests: [] }).children, []);
    assert.deepEqual(
      parse({ ...image, layers: null, subject: null, annotations: null, artifactType: null }).blobs,
      [a],
    );
    assert.deepEqual(parse({ ...index, manifests: null }).children, []);
    assert.equal(
      parse({ ...image, config: { ...config, mediaType: 'text/x-mine' } }).artifactType,
      'text/x-mine',
    );
    assert.equal(parse({ ...image, 'org.example': [1, { deep: [null] }] }).kind, 'image');
    assert.equal(parse({ ...image, artifactType: '' }).artifactType, configType);
    assert.equal(parse({ ...image, config: { ...config, mediaType: '' } }).artifactType, undefined);
  });

  test('what is listed twice counts once', () => {
    const parsed = parse({ ...image, layers: [describes(b, 10), describes(a, 7), describes(b, 10)] });
    assert.deepEqual(parsed.blobs, [a, b]);
    assert.equal(parsed.imageBytes, 17);
    assert.deepEqual(parse({ ...index, manifests: [describes(c, 5), describes(c, 5)] }).children, [c]);
  });

  test('layers that live elsewhere are not demanded', () => {
    const layers = [
      describes(b, 10, { urls: ['https://example.org/b'] }),
      describes(c, 5, { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd' }),
      describes(`blake3:${'0'.repeat(64)}`, 2, { urls: ['https://example.org/c'] }),
    ];
    const parsed = parse({ ...image, layers });
    assert.deepEqual(parsed.blobs, [a]);
    assert.deepEqual(parsed.foreignBlobs, [b, c]);
    assert.equal(parsed.imageBytes, 24);
    const docker = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    assert.deepEqual(parse({ ...image, layers: [describes(c, 5, { mediaType: docker })] }).blobs, [a]);
    assert.deepEqual(parse({ ...image, layers: [describes(c, 5, { urls: [] })] }).blobs, [a, c]);
    const both = [describes(c, 5), describes(c, 5, { urls: ['https://example.org/c'] })];
    assert.deepEqual(parse({ ...image, layers: both }).foreignBlobs, [], 'demanded once is demanded');
  });
});

describe('the type', () => {
  const untyped = { schemaVersion: 2, config, layers: [] };

  test('comes from the Content-Type, without its parameters and in any case', () => {
    for (const header of [mediaTypes.ociManifest, `${mediaTypes.ociManifest}; charset=utf-8`]) {
      assert.equal(parse(untyped, header).mediaType, mediaTypes.ociManifest);
      assert.equal(parse(untyped, header.toUpperCase()).mediaType, mediaTypes.ociManifest);
    }
    assert.equal(
      parse({ ...untyped, mediaType: '' }, mediaTypes.dockerManifest).mediaType,
      mediaTypes.dockerManifest,
    );
  });

  test('comes from the document where the header says nothing', () => {
    for (const header of [
      undefined,
      '',
      'application/json',
      'application/json;charset=utf-8',
      'application/octet-stream',
    ]) {
      assert.equal(
        parse({ ...untyped, mediaType: mediaTypes.dockerManifest }, header).mediaType,
        mediaTypes.dockerManifest,
      );
      assert.equal(parse(untyped, header).mediaType, mediaTypes.ociManifest);
      assert.equal(parse({ schemaVersion: 2, manifests: [] }, header).mediaType, mediaTypes.ociIndex);
      refuses({ schemaVersion: 2, blobs: [] }, { says: /Content-Type, or in the mediaType/ }, header);
    }
  });

  test('must not be said twice and differently', () => {
    refuses(image, { at: '/mediaType', says: /but the Content-Type says/ }, mediaTypes.dockerManifest);
    refuses(image, { at: '/mediaType' }, mediaTypes.ociIndex);
    refuses({ ...image, mediaType: 5 }, { at: '/mediaType' });
  });

  test('must be one that is accepted, and the refusal lists those', () => {
    refuses(untyped, { says: /text\/html.*use .*image\.manifest\.v1\+json/ }, 'text/html; charset=utf-8');
    refuses({ ...image, mediaType: 'application/x-mine' }, { says: /application\/x-mine/ });
    refuses(image, { says: /not accepted/ }, '__proto__');
  });

  test('schema 1 is refused with a sentence that says why and what to do', () => {
    const schema1 = { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [] };
    for (const header of [
      undefined,
      'application/json',
      mediaTypes.dockerSchema1,
      mediaTypes.dockerSchema1Signed,
    ]) {
      refuses(schema1, { says: /schema 1.*no longer.*--format oci/ }, header);
    }
    refuses(
      { ...schema1, schemaVersion: 2, mediaType: mediaTypes.dockerSchema1Signed },
      { says: /schema 1/ },
    );
  });

  test('a document that could be read as two things is refused', () => {
    refuses({ ...image, manifests: [] }, { at: '/manifests' });
    refuses({ ...image, fsLayers: [] }, { at: '/fsLayers' });
    refuses({ ...image, blobs: [] }, { at: '/blobs' });
    refuses({ ...index, layers: [] }, { at: '/layers' });
    refuses({ ...index, layers: null }, { at: '/layers' });
    refuses({ ...index, config }, { at: '/config' });
    refuses({ mediaType: mediaTypes.ociArtifact, config }, { at: '/config' });
    refuses({ schemaVersion: 2, config, layers: [], manifests: [] }, { at: '/config' });
  });
});

describe('what is refused', () => {
  test('a field of the wrong kind, by its JSON pointer', () => {
    refuses({ ...image, schemaVersion: undefined }, { at: '/schemaVersion' });
    refuses({ ...image, schemaVersion: '2' }, { at: '/schemaVersion' });
    refuses({ mediaType: mediaTypes.ociArtifact, schemaVersion: 3 }, { at: '/schemaVersion' });
    refuses({ ...image, config: null }, { at: '/config' });
    refuses({ ...image, config: [] }, { at: '/config' });
    refuses({ ...image, layers: undefined }, { at: '/layers' });
    refuses({ ...image, layers: {} }, { at: '/layers' });
    refuses({ ...image, layers: [describes(b, 1), null] }, { at: '/layers/1' });
    refuses({ ...index, manifests: 'none' }, { at: '/manifests' });
    refuses({ ...index, manifests: [describes(c, 1), [c]] }, { at: '/manifests/1' });
    refuses({ ...image, subject: c }, { at: '/subject' });
    refuses({ ...image, subject: { ...config, digest: undefined } }, { at: '/subject/digest' });
    refuses({ ...image, artifactType: {} }, { at: '/artifactType' });
    refuses({ ...image, annotations: [] }, { at: '/annotations' });
    refuses({ ...image, annotations: { ok: '1', 'a/b~c': 2 } }, { at: '/annotations/a~1b~0c' });
    refuses({ ...image, layers: [describes(b, 1, { mediaType: 3 })] }, { at: '/layers/0/mediaType' });
    refuses(
      { ...image, layers: [describes(b, 1, { urls: 'https://example.org' })] },
      { at: '/layers/0/urls' },
    );
    refuses({ mediaType: mediaTypes.ociArtifact, blobs: [describes('x', 1)] }, { at: '/blobs/0/digest' });
  });

  test('a size that is not a whole, exact number of bytes', () => {
    for (const size of [-1, 1.5, '1', null, 2 ** 53, 1e300]) {
      refuses({ ...image, layers: [describes(b, 1, { size })] }, { at: '/layers/0/size' });
    }
    const most = Number.MAX_SAFE_INTEGER;
    assert.equal(parse({ ...image, layers: [describes(b, most - 7)] }).imageBytes, most);
    refuses({ ...image, layers: [describes(b, most)] }, { says: /add up to more/ });
  });

  test('a digest that is malformed, or of an algorithm under which nothing is stored', () => {
    for (const bad of [
      '',
      'sha256:xyz',
      `sha256:${'A'.repeat(64)}`,
      `sha384:${'a'.repeat(96)}`,
      `${a} `,
      'a'.repeat(10_000),
    ]) {
      refuses({ ...image, layers: [describes(bad, 1)] }, { at: '/layers/0/digest', says: /sha256: and 64/ });
      refuses({ ...index, manifests: [describes(bad, 1)] }, { at: '/manifests/0/digest' });
      refuses({ ...image, subject: describes(bad, 1) }, { at: '/subject/digest' });
      refuses({ ...image, config: describes(bad, 1) }, { at: '/config/digest' });
    }
    refuses(
      { ...image, layers: [describes('nonsense', 1, { urls: ['https://a'] })] },
      { at: '/layers/0/digest' },
    );
  });

  test('what is not a JSON object in UTF-8', () => {
    refuses('', { says: /empty/ });
    refuses('{', { says: /not JSON/ });
    refuses(`\ufeff${JSON.stringify(image)}`, { says: /not JSON/ });
    refuses(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), { says: /UTF-8/ });
    refuses(Buffer.from(JSON.stringify(image), 'utf16le'), { says: /JSON|UTF-8/ });
    for (const other of ['[]', 'null', '2', '"x"', 'true'])
      refuses(other, { says: /expected a JSON object/ });
  });

  test('more than 64 levels, and brackets in strings are no levels', () => {
    const nested = (levels: number) => ({
      ...image,
      extra: JSON.parse('['.repeat(levels) + ']'.repeat(levels)),
    });
    assert.equal(parse(nested(deepestNesting - 1)).kind, 'image');
    refuses(nested(deepestNesting), { says: /64 levels/ });
    refuses('['.repeat(4_000_000), { says: /64 levels/ });
    refuses('{"a":'.repeat(800_000), { says: /64 levels/ });
    assert.equal(parse({ ...image, extra: `\\"${'[{'.repeat(100)}\\` }).kind, 'image');
    refuses(
      JSON.stringify({ ...image, extra: '\\' })
        .slice(0, -1)
        .concat(',"x":', '['.repeat(65)),
      { says: /64 levels/ },
    );
  });

  test('more values than a registry must hold in memory, but not a manifest of 4 MiB', () => {
    refuses({ ...image, extra: Array(mostValues).fill(0) }, { says: /values/ });
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    const manifests = Array.from({ length: 20_000 }, (_, at) =>
      describes(digestOf(Buffer.from(`${at}`)), at, { platform }),
    );
    const parsed = parse({ ...index, manifests });
    assert.ok(parsed.bytes.length > 4 * 1024 * 1024);
    assert.equal(parsed.children.length, 20_000);
  });

  test('keys of the language are data like any other', () => {
    const text = JSON.stringify({ ...image, layers: 'LAYERS' });
    const hidden = text.replace(
      '"layers":"LAYERS"',
      '"__proto__":{"layers":[]},"constructor":{"prototype":{}}',
    );
    refuses(hidden, { at: '/layers' });
    const annotated = JSON.stringify({ ...image, annotations: { x: 'y' } }).replace(
      '"x":"y"',
      '"__proto__":"y"',
    );
    assert.equal(parse(annotated).kind, 'image');
    refuses(annotated.replace('"__proto__":"y"', '"__proto__":{"x":1}'), { at: '/annotations/__proto__' });
    assert.equal(Object.hasOwn(Object.prototype, 'layers'), false);
  });
});
