// Looking at manifests: what an image, an index and an artifact say, and what refers to them.
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { ociManifest, pushBlob, sha256 } from '../support/client.ts';
import { type ImageParts, pushIndex, pushLayers } from '../support/layered-images.ts';
import { shareApi } from '../support/shared-api.ts';
import { makeTar } from '../support/tars.ts';

const layer = (name: string) => makeTar([{ name, content: name }]);
const emptyType = 'application/vnd.oci.empty.v1+json';

async function findFile({ registry }: ApiRegistry, digest: string): Promise<string> {
  const hex = digest.slice('sha256:'.length);
  const folder = join(registry.data, 'blobs', 'sha256', hex.slice(0, 2));
  const [file] = (await readdir(folder)).filter((name) => name.startsWith(hex));
  assert.ok(file);
  return join(folder, file);
}

describe('a manifest', () => {
  const shared = shareApi();
  const target = () => ({
    url: shared().registry.url,
    name: 'acme/web',
    headers: { authorization: `Bearer ${shared().admin.secret}` },
  });
  const push = (tag: string | undefined, parts: ImageParts) => pushLayers(target(), tag, parts);
  const show = (reference: string, query = '') =>
    shared().admin.get(`/repositories/acme%2Fweb/-/manifests/${reference}${query}`);

  it('of an image says how it runs, and what made each layer', async () => {
    const config = {
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      'os.version': '1.2',
      created: '2026-01-02T03:04:05Z',
      author: 'Ana',
      config: {
        User: '1000:1000',
        Env: ['PATH=/bin', 'MODE=test'],
        Entrypoint: ['/bin/sh', '-c'],
        Cmd: ['cat note'],
        WorkingDir: '/work',
        ExposedPorts: { '8080/tcp': {}, '53/udp': {} },
        Volumes: { '/data': {} },
        Labels: { a: 'b' },
        StopSignal: 'SIGINT',
        Shell: ['/bin/bash'],
        OnBuild: ['RUN true'],
        Healthcheck: { Test: ['CMD', 'true'], Interval: 30e9, Timeout: 500e6, Retries: 3 },
      },
      rootfs: { type: 'layers', diff_ids: [sha256('one'), sha256('two')] },
      history: [
        {
          created_by: '/bin/sh -c #(nop) ADD file:x in / ',
          created: '2026-01-01T00:00:00Z',
          comment: 'base',
        },
        { created_by: '/bin/sh -c #(nop)  ENV MODE=test', empty_layer: true },
        { created_by: 'RUN /bin/sh -c make # buildkit' },
        { created_by: '|1 A=b /bin/sh -c echo $A', empty_layer: true, author: 'Ben' },
      ],
    };
    const image = await push('v1', {
      layers: [layer('one'), layer('two')],
      config,
      manifest: { annotations: { x: 'y' } },
    });
    const { status, body, headers } = await show('v1');
    assert.equal(status, 200);
    assert.deepEqual(
      [body.repository, body.reference, body.digest, body.mediaType, body.kind, body.size],
      ['acme/web', 'v1', image.digest, ociManifest, 'image', image.size],
    );
    assert.deepEqual(body.image, {
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      osVersion: '1.2',
      created: '2026-01-02T03:04:05Z',
      author: 'Ana',
      user: '1000:1000',
      env: ['PATH=/bin', 'MODE=test'],
      entrypoint: ['/bin/sh', '-c'],
      cmd: ['cat note'],
      workingDir: '/work',
      exposedPorts: ['53/udp', '8080/tcp'],
      volumes: ['/data'],
      labels: { a: 'b' },
      stopSignal: 'SIGINT',
      shell: ['/bin/bash'],
      onBuild: ['RUN true'],
      healthcheck: {
        test: ['CMD', 'true'],
        intervalMilliseconds: 30_000,
        timeoutMilliseconds: 500,
        startPeriodMilliseconds: null,
        startIntervalMilliseconds: null,
        retries: 3,
      },
    });
    const [one, two] = image.layers;
    assert.deepEqual(
      body.layers.map((each: Record<string, unknown>) => [
        each.digest,
        each.instruction,
        each.emptyLayer,
        each.diffId,
      ]),
      [
        [one?.digest, 'ADD file:x in /', false, sha256('one')],
        [null, 'ENV MODE=test', true, null],
        [two?.digest, 'RUN make', false, sha256('two')],
        [null, 'RUN echo $A', true, null],
      ],
    );
    assert.equal(body.layers[0].comment, 'base');
    assert.deepEqual([body.annotations, body.findings, body.platforms], [{ x: 'y' }, [], []]);
    assert.equal(body.imageSize, image.config.size + (one?.size ?? 0) + (two?.size ?? 0));
    assert.equal((await show(image.digest)).body.digest, image.digest);
    const known = { headers: { 'if-none-match': headers.get('etag') ?? '' } };
    assert.equal((await shared().admin.get('/repositories/acme%2Fweb/-/manifests/v1', known)).status, 304);
  });

  it('comes as it was pushed, and so does its config', async () => {
    const image = await push('raw', {
      layers: [layer('raw')],
      config: Buffer.from('{"os": "linux",  "x":1}'),
    });
    const headers = { authorization: `Bearer ${shared().admin.secret}` };
    const place = `${shared().registry.url}/api/v1/repositories/acme/web/-/manifests`;
    const raw = await fetch(`${place}/raw/raw`, { headers });
    assert.equal(await raw.text(), image.body);
    assert.equal(raw.headers.get('content-type'), ociManifest);
    assert.equal(raw.headers.get('content-security-policy'), 'sandbox');
    assert.equal(raw.headers.get('docker-content-digest'), image.digest);
    const config = await fetch(`${place}/raw/config`, { headers });
    assert.equal(await config.text(), '{"os": "linux",  "x":1}');
    assert.equal(config.headers.get('content-type'), 'application/octet-stream');
  });

  it('says that a history is shorter or longer than its layers', async () => {
    const step = { created_by: 'COPY x' };
    const layers = [layer('short1'), layer('short2')];
    for (const [tag, history] of [
      ['shorter', [step]],
      ['longer', [step, step, step]],
    ] as const) {
      await push(tag, { layers, config: { os: 'linux', history } });
      const { body } = await show(tag);
      assert.equal(body.layers.length, Math.max(2, history.length));
      assert.equal(body.layers[0].instruction, 'COPY x');
      assert.match(body.findings[0].detail, new RegExp(`tells of ${history.length} layers`));
    }
    assert.equal((await show('shorter')).body.layers[1].instruction, null);
    assert.equal((await show('longer')).body.layers[2].digest, null);
  });

  it('takes whatever a stranger put into a config', async () => {
    const odd = {
      os: 7,
      architecture: ['x'],
      config: {
        Env: 'no list',
        Cmd: [1, 'two'],
        Labels: { a: 1, b: 'c' },
        ExposedPorts: null,
        Healthcheck: 'x',
        User: {},
      },
      history: [null, 'text', { empty_layer: 'yes' }],
      rootfs: [],
    };
    await push('odd', { layers: [layer('odd')], config: odd });
    const { status, body } = await show('odd');
    assert.equal(status, 200);
    assert.deepEqual(
      [body.image.os, body.image.env, body.image.cmd, body.image.labels],
      [null, [], ['two'], { b: 'c' }],
    );
    const deep = Buffer.from(`${'['.repeat(100)}${']'.repeat(100)}`);
    for (const [tag, config, finding] of [
      ['garbage', Buffer.from('this is no JSON'), /not JSON/],
      ['list', Buffer.from('[]'), /no JSON object/],
      ['deep', deep, /64 levels/],
      ['huge', Buffer.alloc(5 * 1024 * 1024, 0x20), /larger than 4194304 bytes/],
    ] as const) {
      await push(tag, { layers: [layer('odd')], config });
      const shown = await show(tag);
      assert.deepEqual([shown.status, shown.body.image, shown.body.layers.length], [200, null, 1], tag);
      assert.match(shown.body.findings[0].detail, finding);
    }
    // A megabyte of blanks where an instruction is expected costs nothing.
    const created_by = `|1 ${'='.repeat(500_000)}${' '.repeat(500_000)}x`;
    await push('blanks', { layers: [], config: { history: [{ created_by, empty_layer: true }] } });
    assert.equal((await show('blanks')).body.layers.length, 1);
  });

  it('tells of a config and layers that are damaged or gone', async () => {
    const image = await push('damaged', {
      layers: [layer('damaged')],
      config: { os: 'linux', damaged: true },
    });
    await writeFile(await findFile(shared(), image.config.digest), 'x'.repeat(image.config.size));
    const spoiled = await show('damaged');
    assert.deepEqual([spoiled.status, spoiled.body.image], [200, null]);
    assert.match(spoiled.body.findings[0].detail, /not those of its digest/);
    await writeFile(await findFile(shared(), image.config.digest), 'short');
    assert.match((await show('damaged')).body.findings[0].detail, /not here, or damaged/);
    await writeFile(await findFile(shared(), image.layers[0]?.digest ?? ''), 'short');
    assertProblem(await show('damaged', '/files'), 404, 'not-found', /is not here, or damaged/);
    const codes = (await show('damaged')).body.findings.map(({ code }: { code: string }) => code);
    assert.deepEqual(codes, ['config', 'layer']);
  });

  it('may be of Docker, with layers that are to be fetched from elsewhere', async () => {
    const foreign = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: sha256('elsewhere'),
      size: 77,
      urls: ['https://example.com/layer'],
    };
    const docker = {
      configType: 'application/vnd.docker.container.image.v1+json',
      layerType: 'application/vnd.docker.image.rootfs.diff.tar',
      manifestType: 'application/vnd.docker.distribution.manifest.v2+json',
    };
    await push('docker', {
      ...docker,
      layers: [foreign, layer('docker')],
      config: { os: 'windows', architecture: 'amd64' },
    });
    const { body } = await show('docker');
    assert.deepEqual([body.kind, body.image.os, body.findings], ['image', 'windows', []]);
    assert.deepEqual([body.layers[0].foreign, body.layers[0].urls], [true, foreign.urls]);
    assertProblem(await show('docker', '/files'), 404, 'not-found', /not here/);
    const own = body.layers[1].digest;
    assert.equal((await show('docker', `/files?layer=${own}`)).body.items[0].path, '/docker');
  });

  it('of an index lists its platforms, and attestations apart', async () => {
    const one = await push(undefined, {
      layers: [layer('amd64')],
      config: { os: 'linux', architecture: 'amd64' },
    });
    const two = await push(undefined, {
      layers: [layer('arm64')],
      config: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    });
    const statement = await push(undefined, {
      layers: [layer('statement')],
      layerType: 'application/vnd.in-toto+json',
      config: { os: 'unknown', architecture: 'unknown' },
    });
    const short = ({ mediaType, digest, size }: typeof one) => ({ mediaType, digest, size });
    const index = await pushIndex(target(), 'multi', [
      { ...short(one), platform: { os: 'linux', architecture: 'amd64' } },
      { ...short(two), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      {
        ...short(statement),
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: {
          'vnd.docker.reference.type': 'attestation-manifest',
          'vnd.docker.reference.digest': one.digest,
        },
      },
    ]);
    const { body } = await show('multi');
    assert.deepEqual([body.kind, body.imageSize, body.image, body.layers], ['index', null, null, []]);
    assert.deepEqual(
      body.platforms.map((each: Record<string, unknown>) => [
        each.platform,
        each.digest,
        each.kind,
        each.attests,
        each.present,
      ]),
      [
        ['linux/amd64', one.digest, 'image', null, true],
        ['linux/arm64/v8', two.digest, 'image', null, true],
        [null, statement.digest, 'attestation', one.digest, true],
      ],
    );
    assert.ok(body.platforms[0].imageSize > 0);
    for (const wanted of ['linux/arm64', 'linux/arm64/v8', 'linux/aarch64']) {
      const chosen = (await show('multi', `?platform=${wanted}`)).body;
      assert.deepEqual(
        [chosen.digest, chosen.index, chosen.image.architecture],
        [two.digest, index.digest, 'arm64'],
      );
    }
    assertProblem(
      await show('multi', '?platform=linux/s390x'),
      404,
      'not-found',
      /it has linux\/amd64, linux\/arm64\/v8/,
    );
    assertProblem(await show('multi', '?platform=linux/arm64/v7'), 404, 'not-found');
    assertProblem(await show('multi', '?platform=linux'), 400, 'invalid', /os\/architecture/);
    assertProblem(
      await show(one.digest, '?platform=linux/arm64'),
      404,
      'not-found',
      /it is for linux\/amd64/,
    );
    assert.equal((await show(one.digest, '?platform=linux/amd64')).status, 200);
    assertProblem(await show('multi', '/files'), 400, 'invalid', /choose a platform/);
    assertProblem(await show('multi', '/config'), 400, 'invalid', /choose a platform/);
    const files = (await show('multi', '/files?platform=linux/arm64')).body.items;
    assert.deepEqual(
      files.map(({ path }: { path: string }) => path),
      ['/arm64'],
    );
    // Without platforms in the index the configs are asked, and an index may lie within another.
    await pushIndex(target(), 'silent', [short(one), short(two)]);
    assert.equal((await show('silent', '?platform=linux/arm64')).body.digest, two.digest);
    await pushIndex(target(), 'nested', [short(index as never)]);
    assert.equal((await show('nested', '?platform=linux/amd64')).body.digest, one.digest);
  });

  it('of an artifact shows its kind, its config and its files', async () => {
    const chart = { name: 'web', version: '1.2.3', apiVersion: 'v2' };
    await push('chart', {
      layers: [Buffer.from('a chart')],
      layerType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
      config: chart,
      configType: 'application/vnd.cncf.helm.config.v1+json',
    });
    const { body } = await show('chart');
    assert.deepEqual(
      [body.kind, body.artifactType],
      ['helm-chart', 'application/vnd.cncf.helm.config.v1+json'],
    );
    assert.deepEqual([body.config.content, body.image], [chart, null]);
    const file = Buffer.from('{"spdxVersion":"SPDX-2.3"}');
    await push('sbom', {
      layers: [file],
      layerType: 'application/spdx+json',
      config: {},
      configType: emptyType,
      manifest: { artifactType: 'application/spdx+json' },
    });
    assert.equal((await show('sbom')).body.kind, 'sbom');
    assertProblem(await show('sbom', '/files'), 400, 'invalid', /no container image/);
    await push('other', { layers: [], config: {}, configType: 'application/x.own' });
    assert.deepEqual(
      [(await show('other')).body.kind, (await show('other')).body.config.content],
      ['other', null],
    );
  });

  it('that is not there, or named wrongly, is refused with a sentence', async () => {
    assertProblem(await show('none'), 404, 'not-found', /no manifest none in acme\/web/);
    assertProblem(await show(sha256('none')), 404, 'not-found');
    assertProblem(await show('sha256:abc'), 400, 'invalid', /digest/);
    assertProblem(await show('-x'), 400, 'invalid', /tag/);
    assertProblem(await show('v1', '?platfrm=x'), 400, 'invalid', /platform/);
    const ana = await shared().addUser('ana');
    assertProblem(
      await ana.get('/repositories/acme%2Fweb/-/manifests/v1'),
      404,
      'not-found',
      /repository acme\/web/,
    );
  });
});

describe('referrers', () => {
  it('are a tree of all forms, told by kind', async (t) => {
    const api = await startApi(t);
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const target = { url: api.registry.url, name: 'acme/web', headers };
    const image = await pushLayers(target, 'v1', { layers: [layer('v1')] });
    const short = ({ mediaType, digest, size }: typeof image) => ({ mediaType, digest, size });
    const refer = (type: string, subject: typeof image, layerType = type, more: object = {}) =>
      pushLayers(target, undefined, {
        layers: [Buffer.from(`${type} of ${subject.digest}`)],
        layerType,
        config: {},
        configType: emptyType,
        manifest: { artifactType: type, subject: short(subject), ...more },
      });
    const sbom = await refer('application/spdx+json', image);
    const signed = await refer('application/vnd.cncf.notary.signature', sbom, 'application/jose+json');
    const bundle = await refer('application/vnd.dev.sigstore.bundle.v0.3+json', image, undefined, {
      annotations: {
        'dev.sigstore.bundle.content': 'dsse-envelope',
        'dev.sigstore.bundle.predicateType': 'https://slsa.dev/provenance/v1',
      },
    });
    const base = image.digest.replace(':', '-');
    const cosign = await pushLayers(target, `${base}.sig`, {
      layers: [Buffer.from('{"critical":{}}')],
      layerType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    });
    const attested = await pushLayers(target, `${base}.att`, {
      layers: [Buffer.from('{}')],
      layerType: 'application/vnd.dsse.envelope.v1+json',
    });
    const absent = { mediaType: ociManifest, digest: image.digest, size: 5, artifactType: 'text/x' };
    await pushIndex(target, base, [
      { ...short(sbom as never), artifactType: 'application/spdx+json' },
      absent,
    ]);
    const place = `/repositories/acme%2Fweb/-/manifests/v1/referrers`;
    const { status, body } = await api.admin.get(place);
    assert.equal(status, 200);
    assert.deepEqual([body.digest, body.complete], [image.digest, true]);
    const shown = body.referrers.map((node: Record<string, unknown>) => [
      node.digest,
      node.kind,
      node.format,
      node.foundBy,
      node.tag,
    ]);
    assert.deepEqual(shown, [
      [sbom.digest, 'sbom', 'spdx', ['subject', 'fallback-tag'], base],
      [bundle.digest, 'attestation', 'slsa-provenance', ['subject'], null],
      [cosign.digest, 'signature', 'cosign', ['cosign-tag'], `${base}.sig`],
      [attested.digest, 'attestation', 'in-toto', ['cosign-tag'], `${base}.att`],
    ]);
    assert.deepEqual(
      body.referrers[0].referrers.map((node: Record<string, unknown>) => [node.digest, node.format]),
      [[signed.digest, 'notation']],
    );
    const filtered = await api.admin.get(`${place}?artifactType=application/spdx%2Bjson`);
    assert.deepEqual(
      filtered.body.referrers.map(({ digest }: { digest: string }) => digest),
      [sbom.digest],
    );
    assert.equal(filtered.body.referrers[0].referrers.length, 1);
    assert.deepEqual((await api.admin.get(`${place}?artifactType=x/y`)).body.referrers, []);
  });

  it('are shown to a depth and a number, and say so', async (t) => {
    const api = await startApi(t);
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const target = { url: api.registry.url, name: 'acme/web', headers };
    const image = await pushLayers(target, 'v1', { layers: [] });
    let subject: { mediaType: string; digest: string; size: number } = image;
    for (let depth = 0; depth < 8; depth += 1) {
      const { mediaType, digest, size } = subject;
      subject = await pushLayers(target, undefined, {
        layers: [],
        manifest: { subject: { mediaType, digest, size } },
      });
    }
    const { body } = await api.admin.get('/repositories/acme%2Fweb/-/manifests/v1/referrers');
    let depth = 0;
    for (let nodes = body.referrers; nodes.length > 0; nodes = nodes[0].referrers) depth += 1;
    assert.deepEqual([depth, body.complete], [5, false]);
    await pushBlob(target.url, target.name, 'x', headers);
    const listed = Array.from({ length: 700 }, (_, index) => ({
      mediaType: ociManifest,
      digest: sha256(`listed ${index}`),
      size: 1,
    }));
    const sparse = await startApi(t, { 'storage.sparseManifests': 'index' });
    const other = {
      url: sparse.registry.url,
      name: 'acme/web',
      headers: { authorization: `Bearer ${sparse.admin.secret}` },
    };
    const alone = await pushLayers(other, 'v1', { layers: [] });
    await pushIndex(other, alone.digest.replace(':', '-'), listed);
    const wide = (await sparse.admin.get('/repositories/acme%2Fweb/-/manifests/v1/referrers')).body;
    assert.deepEqual([wide.referrers.length, wide.complete, wide.referrers[0].present], [500, false, false]);
    assert.equal(
      (await sparse.admin.get(`/repositories/acme%2Fweb/-/manifests/${alone.digest.replace(':', '-')}`)).body
        .platforms[0].present,
      false,
    );
  });
});
