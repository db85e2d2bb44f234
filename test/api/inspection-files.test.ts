// Files of images and layers over HTTP: lists, single files, what is refused and what a hostile archive cannot do.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { attachmentText } from '../../src/http/api/v1/inspection-sending.ts';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { pushLayers } from '../support/layered-images.ts';
import { startRegistry } from '../support/registry.ts';
import { shareApi } from '../support/shared-api.ts';
import { type Member, makeGzip, makeTar, makeZstd } from '../support/tars.ts';

const targetOf = ({ registry, admin }: ApiRegistry, name = 'acme/web') => ({
  url: registry.url,
  name,
  headers: { authorization: `Bearer ${admin.secret}` },
});

/** A file as bytes, past the client that holds answers to the document. */
async function read({ registry, admin }: ApiRegistry, reference: string, query: string): Promise<Response> {
  const place = `${registry.url}/api/v1/repositories/acme/web/-/manifests/${reference}/file?${query}`;
  return await fetch(place, { headers: { authorization: `Bearer ${admin.secret}` } });
}

const base: readonly Member[] = [
  { name: 'etc/', type: '5' },
  { name: 'etc/os-release', type: '2', link: '../usr/lib/os-release' },
  { name: 'usr/lib/os-release', content: 'NAME=base\n', mode: 0o640, uid: 5, gid: 6 },
  { name: 'usr/lib/same', type: '1', link: 'usr/lib/os-release' },
  { name: 'secret', content: 'a password\n' },
  { name: 'dev/null', type: '3' },
  { name: '../../escape', content: 'out' },
];
const upper: readonly Member[] = [
  { name: 'usr/lib/os-release', content: 'NAME=upper\n' },
  { name: '.wh.secret' },
  { name: 'empty' },
];

describe('files of an image', () => {
  const shared = shareApi();
  const push = (tag: string, layers: readonly Buffer[], parts: object = {}) =>
    pushLayers(targetOf(shared()), tag, { layers, ...parts });
  const list = (tag: string, query = '') =>
    shared().admin.get(`/repositories/acme%2Fweb/-/manifests/${tag}/files${query}`);
  const paths = (body: { items: { path: string }[] }) => body.items.map(({ path }) => path);

  it('are the layers on top of each other, whatever they are compressed with', async () => {
    const compressions: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
      none: (bytes) => bytes,
      gzip: (bytes) => Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))]),
      zstd: (bytes) =>
        Buffer.concat([zstdCompressSync(bytes.subarray(0, 700)), zstdCompressSync(bytes.subarray(700))]),
    };
    for (const [tag, compress] of Object.entries(compressions)) {
      const image = await push(tag, [compress(makeTar(base)), compress(makeTar(upper))]);
      const [lower, above] = image.layers;
      const { body } = await list(tag);
      assert.deepEqual(paths(body), ['/dev', '/empty', '/escape', '/etc', '/usr'], tag);
      const [dev, , outside, etc] = body.items;
      assert.deepEqual([dev.type, dev.mode, dev.layer], ['directory', null, null]);
      assert.match(outside.note, /leads out of the archive/);
      assert.deepEqual(
        [etc.type, etc.mode, etc.layer, etc.modifiedAt],
        ['directory', '0755', lower?.digest, '2023-11-14T22:13:20.000Z'],
      );
      assert.deepEqual(paths((await list(tag, '?path=/usr/lib')).body), [
        '/usr/lib/os-release',
        '/usr/lib/same',
      ]);
      const everything = await list(tag, '?recursive=true');
      assert.deepEqual(
        paths(everything.body).filter((path) => path.startsWith('/usr')),
        ['/usr/lib/os-release', '/usr/lib/same'],
      );
      const [release] = (await list(tag, '?path=/etc/os-release')).body.items;
      assert.deepEqual(
        [release.path, release.layer, release.size],
        ['/usr/lib/os-release', above?.digest, 11],
      );
      const own = await list(tag, `?layer=${above?.digest}`);
      assert.deepEqual(
        own.body.items.map(({ path, type }: { path: string; type: string }) => [path, type]),
        [
          ['/empty', 'file'],
          ['/secret', 'whiteout'],
          ['/usr', 'directory'],
        ],
      );
      for (const [path, text] of [
        ['/etc/os-release', 'NAME=upper\n'],
        ['usr/lib/same', 'NAME=base\n'],
        ['/empty', ''],
      ] as const) {
        const reply = await read(shared(), tag, `path=${path}`);
        assert.deepEqual([reply.status, await reply.text()], [200, text], `${tag} ${path}`);
      }
    }
  });

  it('come out as something to save', async () => {
    await push('saved', [makeTar([{ name: 'a/<b> "c" ü.html', content: '<script>' }])]);
    const reply = await read(shared(), 'saved', `path=${encodeURIComponent('/a/<b> "c" ü.html')}`);
    const header = (name: string) => reply.headers.get(name);
    assert.equal(await reply.text(), '<script>');
    assert.equal(header('content-type'), 'application/octet-stream');
    assert.equal(header('content-security-policy'), 'sandbox');
    assert.equal(header('x-content-type-options'), 'nosniff');
    assert.equal(header('content-length'), '8');
    assert.equal(
      header('content-disposition'),
      `attachment; filename="_b___c___.html"; filename*=UTF-8''%3Cb%3E%20%22c%22%20%C3%BC.html`,
    );
    assert.equal(attachmentText('os-release'), 'attachment; filename="os-release"');
    assert.doesNotMatch(attachmentText('a"\r\nx: y\ud800'), /[\r\n]|[^ -~]/);
    assert.match(attachmentText('..'), /filename="_"/);
    // A character of two parts that lies where the name is cut.
    assert.match(attachmentText(`${'a'.repeat(199)}😀.txt`), /filename="a+_"/);
  });

  it('that a later layer deletes are gone, and the answer says where they still are', async () => {
    const { layers } = await push('deleted', [makeTar(base), makeTar(upper)]);
    const below = layers[0]?.digest;
    const gone = await shared().admin.get('/repositories/acme%2Fweb/-/manifests/deleted/file?path=/secret');
    assertProblem(gone, 404, 'not-found', new RegExp(`still in layer ${below}`));
    const still = await read(shared(), 'deleted', `path=/secret&layer=${below}`);
    assert.equal(await still.text(), 'a password\n');
    assertProblem(await list('deleted', '?path=/never'), 404, 'not-found', /no \/never in the image$/);
  });

  it('are listed in pages whose cursor is good for the same image alone', async () => {
    const members = Array.from({ length: 25 }, (_, index) => ({
      name: `f${String(index).padStart(2, '0')}`,
    }));
    await push('paged', [makeTar(members)]);
    const seen: string[] = [];
    let path = '?limit=10';
    for (let page = 0; page < 3; page += 1) {
      const { body } = await list('paged', path);
      seen.push(...paths(body));
      path = `?limit=10&cursor=${body.next}`;
      assert.equal(body.next === null, page === 2);
    }
    assert.deepEqual(
      seen,
      members.map(({ name }) => `/${name}`),
    );
    const { next } = (await list('paged', '?limit=10')).body;
    await push('paged', [makeTar([...members, { name: 'z' }])]);
    assertProblem(
      await list('paged', `?limit=10&cursor=${next}`),
      400,
      'invalid',
      /another one .* begin again/,
    );
    assertProblem(await list('paged', '?cursor=x'), 400, 'invalid', /cursor/);
  });

  it('are refused with a sentence where they cannot be had', async () => {
    const { layers } = await push('v1', [makeTar(base)]);
    const file = (query: string) =>
      shared().admin.get(`/repositories/acme%2Fweb/-/manifests/v1/file${query}`);
    assertProblem(await file(''), 400, 'invalid', /path/);
    assertProblem(await file('?path=/etc'), 400, 'invalid', /a folder/);
    assertProblem(await file('?path=/dev/null'), 400, 'invalid', /character device/);
    assertProblem(await file('?path=/none'), 404, 'not-found');
    assertProblem(await file('?path=/a%00b'), 400, 'invalid', /NUL/);
    assertProblem(await file(`?path=${'x'.repeat(5000)}`), 400, 'invalid');
    assertProblem(await file(`?path=/x&layer=sha256:${'0'.repeat(64)}`), 404, 'not-found', /no layer of it/);
    assertProblem(await file('?path=/x&layer=none'), 404, 'not-found', /no layer of it/);
    assertProblem(await list('v1', '?recursive=yes'), 400, 'invalid', /recursive/);
    await push('links', [
      makeTar([
        { name: 'one', type: '1', link: 'two' },
        { name: 'two', type: '1', link: 'one' },
        { name: 'loop', type: '2', link: 'loop' },
        { name: 'lost', type: '1', link: 'none' },
        { name: 'dangling', type: '2', link: '/run/none' },
      ]),
    ]);
    const links = (path: string) =>
      shared().admin.get(`/repositories/acme%2Fweb/-/manifests/links/file?path=${path}`);
    assertProblem(await links('/one'), 400, 'invalid', /circle/);
    assertProblem(await links('/loop'), 400, 'invalid', /circle/);
    assertProblem(await links('/lost'), 404, 'not-found', /link to none/);
    assertProblem(
      await links('/dangling'),
      404,
      'not-found',
      /is a link to \/run\/none, and nothing is there/,
    );
    // Who may not see the repository is not told what is in it.
    const ben = await shared().addUser('ben');
    for (const rest of ['files', 'file?path=/secret', `file?path=/secret&layer=${layers[0]?.digest}`]) {
      const reply = await ben.get(`/repositories/acme%2Fweb/-/manifests/v1/${rest}`);
      assertProblem(reply, 404, 'not-found', /repository acme\/web/);
    }
  });

  it('of a layer that is kept in memory are for those who can pull it', async () => {
    const image = await push('kept', [makeTar([{ name: 'kept', content: 'kept' }])]);
    assert.equal((await list('kept')).status, 200);
    const other = await pushLayers(targetOf(shared(), 'acme/other'), 'v1', {
      layers: [makeTar([{ name: 'other' }])],
    });
    const place = '/repositories/acme%2Fother/-/manifests/v1/files';
    assertProblem(await shared().admin.get(`${place}?layer=${image.layers[0]?.digest}`), 404, 'not-found');
    assert.equal((await shared().admin.get(`${place}?layer=${other.layers[0]?.digest}`)).status, 200);
  });

  it('of what is no archive, cut or encrypted are refused, and the layer named', async () => {
    const gzip = makeGzip(base);
    const zstd = zstdCompressSync(makeTar(base));
    const cases: readonly (readonly [string, Buffer, RegExp, object?])[] = [
      ['garbage', Buffer.from('no archive at all. '.repeat(100)), /no tar archive/],
      ['cut-gzip', gzip.subarray(0, gzip.length / 2), /cannot be decompressed as gzip/],
      ['cut-zstd', zstd.subarray(0, zstd.length / 2), /cannot be decompressed as zstd/],
      ['cut-tar', makeTar(base).subarray(0, 1300), /ends too early/],
      [
        'bad-gzip',
        Buffer.concat([gzip.subarray(0, 20), Buffer.alloc(60, 7)]),
        /cannot be decompressed as gzip/,
      ],
      [
        'encrypted',
        gzip,
        /encrypted/,
        { layerType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' },
      ],
    ];
    for (const [tag, bytes, message, parts = {}] of cases) {
      const { layers } = await push(tag, [bytes], parts);
      const reply = await list(tag);
      assertProblem(reply, 422, 'invalid', message);
      assert.ok(reply.body.detail.includes(layers[0]?.digest), reply.text);
    }
    await push('empty', [Buffer.alloc(0), gzipSync(Buffer.alloc(1024))]);
    assert.deepEqual((await list('empty')).body.items, []);
    await push('none', []);
    assert.deepEqual((await list('none')).body.items, []);
  });

  it('may be asked for by many at once, and by some who leave', async () => {
    const members = Array.from({ length: 3000 }, (_, index) => ({
      name: `f${index}`,
      content: 'x'.repeat(100),
    }));
    await push('crowd', [makeGzip(members)]);
    const path = '/api/v1/repositories/acme/web/-/manifests/crowd/files?limit=5';
    const leavers = Array.from({ length: 10 }, () => {
      const { registry, admin } = shared();
      const sent = request(`${registry.url}${path}`, {
        headers: { authorization: `Bearer ${admin.secret}` },
      });
      sent.on('error', () => undefined).end();
      setTimeout(() => sent.destroy(), 5);
      return sent;
    });
    const replies = await Promise.all(Array.from({ length: 30 }, () => list('crowd', '?limit=5')));
    assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200]);
    assert.equal(leavers.length, 10);
  });
});

describe('limits of inspection', () => {
  const zeros = (size: number): Member => ({ name: 'zeros', content: Buffer.alloc(size) });

  it('refuse layers that decompress to far more than their size, and say what to set', async (t) => {
    const api = await startApi(t, { 'inspection.archiveRatioLimit': '100' });
    const archive = makeTar([zeros(100 * 1024 * 1024)]);
    const header = makeTar([{ name: 'zeros', size: 160 * 1024 * 1024 }], false);
    const frame = zstdCompressSync(Buffer.alloc(4 * 1024 * 1024));
    const before = process.memoryUsage().rss;
    for (const [tag, bytes] of [
      ['gzip', gzipSync(archive)],
      ['zstd', zstdCompressSync(archive)],
      ['frames', Buffer.concat([zstdCompressSync(header), ...Array.from({ length: 40 }, () => frame)])],
    ] as const) {
      await pushLayers(targetOf(api), tag, { layers: [bytes] });
      const reply = await api.admin.get(`/repositories/acme%2Fweb/-/manifests/${tag}/files`);
      assertProblem(
        reply,
        413,
        'invalid',
        /more than 100 times its size: raise inspection\.archiveRatioLimit/,
      );
    }
    assert.ok(process.memoryUsage().rss - before < 400 * 1024 * 1024);
    // Small ones of zeros are honest.
    await pushLayers(targetOf(api), 'honest', { layers: [gzipSync(makeTar([zeros(8 * 1024 * 1024)]))] });
    assert.equal((await api.admin.get('/repositories/acme%2Fweb/-/manifests/honest/files')).status, 200);
  });

  it('refuse zstd whose window is more than is held in memory', async (t) => {
    const api = await startApi(t);
    for (const [tag, log] of [
      ['w25', 25],
      ['w27', 27],
    ] as const)
      await pushLayers(targetOf(api), tag, { layers: [makeZstd(makeTar(base), log)] });
    assert.equal((await api.admin.get('/repositories/acme%2Fweb/-/manifests/w25/files')).status, 200);
    const reply = await api.admin.get('/repositories/acme%2Fweb/-/manifests/w27/files');
    assertProblem(reply, 413, 'invalid', /layer sha256:\w+: .*a window of 128 MiB.*32 MiB/);
  });

  it('refuse to read out files that are too large', async (t) => {
    const api = await startApi(t, { 'inspection.archiveFileLimit': '1MiB' });
    await pushLayers(targetOf(api), 'v1', {
      layers: [makeGzip([zeros(1024 * 1024 + 1), { name: 'fits', content: Buffer.alloc(1024 * 1024, 'x') }])],
    });
    const place = '/repositories/acme%2Fweb/-/manifests/v1/file?path=';
    assertProblem(
      await api.admin.get(`${place}/zeros`),
      413,
      'invalid',
      /1048577 bytes.*inspection\.archiveFileLimit/,
    );
    const reply = await read(api, 'v1', 'path=/fits');
    assert.equal((await reply.arrayBuffer()).byteLength, 1024 * 1024);
  });
});

describe('large files out of an image', () => {
  it('are there for others while one caller takes as many as it may, slowly', {
    timeout: 60_000,
  }, async (t) => {
    const api = await startApi(t);
    const members = [
      // More than the sockets between take in.
      { name: 'large', content: randomBytes(15 * 1024 * 1024) },
      { name: 'other', content: randomBytes(1024 * 1024 + 1) },
    ];
    await pushLayers(targetOf(api), 'v1', { layers: [gzipSync(makeTar(members), { level: 1 })] });
    await pushLayers(targetOf(api), 'plain', { layers: [makeTar(members)] });
    const place = (tag: string, path: string) =>
      `${api.registry.url}/api/v1/repositories/acme/web/-/manifests/${tag}/file?path=${path}`;
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const answers: IncomingMessage[] = [];
    const enough = Promise.withResolvers<void>();
    const slow = Array.from({ length: 8 }, () =>
      request(place('v1', '/large'), { headers }, (answer) => {
        answer.on('error', () => undefined).pause();
        if (answers.push(answer) === 4) enough.resolve();
      })
        .on('error', () => undefined)
        .end(),
    );
    try {
      // Two are sent, four wait.
      await enough.promise;
      const busy = answers.filter(({ statusCode }) => statusCode === 429);
      assert.deepEqual(answers.map(({ statusCode }) => statusCode).sort(), [200, 200, 429, 429]);
      assert.equal(busy[0]?.headers['retry-after'], '5');
      const plain = await fetch(place('plain', '/other'), { headers });
      assert.equal((await plain.arrayBuffer()).byteLength, 1024 * 1024 + 1);
      const ben = await api.addUser('ben');
      await api.admin.patch('/repositories/acme%2Fweb', { visibility: 'public' });
      for (const own of [{ authorization: `Bearer ${ben.secret}` }, undefined]) {
        const reply = await fetch(place('v1', '/other'), own === undefined ? {} : { headers: own });
        assert.equal(reply.status, 200, own === undefined ? 'anonymous' : 'ben');
        assert.equal((await reply.arrayBuffer()).byteLength, 1024 * 1024 + 1);
      }
    } finally {
      for (const one of slow) one.destroy();
    }
  });
});

describe('files in an open registry', () => {
  it('are everybody’s on its machine', async (t) => {
    const { url } = await startRegistry(t);
    await pushLayers({ url, name: 'web' }, 'v1', { layers: [makeTar(base)] });
    const place = `${url}/api/v1/repositories/web/-`;
    const reply = await fetch(`${place}/manifests/v1/file?path=/secret`);
    assert.equal(await reply.text(), 'a password\n');
    assert.equal((await fetch(`${place}/archive?reference=v1`)).status, 200);
  });
});
