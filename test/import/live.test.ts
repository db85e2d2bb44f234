// Import from a live registry: what travels, what does not travel twice, and what becomes of a remote that breaks off, asks to
// wait, wants tokens or sends other bytes.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, readFile, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { parseTag } from '../../src/oci/reference.ts';
import { ociIndex, ociManifest, pushBlob, pushImage, putManifest, sha256 } from '../support/client.ts';
import { importLive } from '../support/imports.ts';
import { pullEverything, pullImage } from '../support/pull.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | undefined;

interface Remote {
  readonly url: string;
  readonly seen: readonly string[];
}

/** A registry with one image, served by hand; `before` may answer instead (true) of what a sound registry would. */
async function startRemote(
  t: TestContext,
  documents: ReadonlyMap<string, { readonly type: string; readonly body: Buffer }>,
  before: Handler = () => false,
): Promise<Remote> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    seen.push(`${request.method} ${path} ${request.headers.range ?? ''}`.trim());
    if (before(request, response, path) === true) return;
    const found = documents.get(path);
    response.statusCode = found === undefined ? 404 : 200;
    if (found === undefined) return response.end('{}');
    response.setHeader('content-type', found.type);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start > 0) {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${start}-${found.body.length - 1}/${found.body.length}`);
    }
    response.setHeader('content-length', found.body.length - start);
    return response.end(request.method === 'HEAD' ? undefined : found.body.subarray(start));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function oneImage(layer = Buffer.alloc(300_000, 'layer ')) {
  const config = Buffer.from('{}');
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: { mediaType: 'application/json', digest: sha256(config), size: config.length },
      layers: [{ mediaType: 'application/x', digest: sha256(layer), size: layer.length }],
    }),
  );
  const json = 'application/json';
  const documents = new Map([
    ['/v2/_catalog?n=1000', { type: json, body: Buffer.from('{"repositories":["team/app"]}') }],
    ['/v2/team/app/tags/list?n=1000', { type: json, body: Buffer.from('{"tags":["v1"]}') }],
    ['/v2/team/app/manifests/v1', { type: ociManifest, body: manifest }],
    [`/v2/team/app/manifests/${sha256(manifest)}`, { type: ociManifest, body: manifest }],
    [`/v2/team/app/blobs/${sha256(config)}`, { type: 'application/octet-stream', body: config }],
    [`/v2/team/app/blobs/${sha256(layer)}`, { type: 'application/octet-stream', body: layer }],
  ]);
  return { documents, digest: sha256(manifest), layer, layerPath: `/v2/team/app/blobs/${sha256(layer)}` };
}

test('an import brings tags, index children and referrers, and the second run brings nothing', async (t) => {
  const [remote, here] = [await startRegistry(t), await startRegistry(t)];
  const image = await pushImage(remote.url, 'team/app', 'v1');
  const child = await pushImage(remote.url, 'team/app', 'child');
  const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [child.descriptor] };
  assert.equal((await putManifest(remote.url, 'team/app', 'multi', index, ociIndex)).status, 201);
  await fetch(`${remote.url}/v2/team/app/manifests/child`, { method: 'DELETE' });
  const signature = { ...JSON.parse(image.body), subject: image.descriptor };
  const onSignature = {
    ...JSON.parse(image.body),
    subject: { ...image.descriptor, digest: sha256(JSON.stringify(signature)) },
  };
  for (const referrer of [signature, onSignature])
    await putManifest(remote.url, 'team/app', sha256(JSON.stringify(referrer)), referrer);
  await pushImage(remote.url, 'other/app', 'v1');

  const first = await importLive(here.registry, remote.url);
  assert.deepEqual(first.findings, []);
  assert.deepEqual(first.repositories, { done: 2, total: 2 });
  assert.equal(first.manifests.stored, 6);
  // What other/app shares with team/app travels once.
  assert.deepEqual(first.blobs, { linked: 0, copied: 0, fetched: 4, mounted: 2, present: 4 });
  assert.deepEqual(await pullEverything(here.url), await pullEverything(remote.url));
  const referrersOf = async (url: string, digest: string) =>
    await (await fetch(`${url}/v2/team/app/referrers/${digest}`)).json();
  assert.deepEqual(await referrersOf(here.url, image.digest), await referrersOf(remote.url, image.digest));
  await pullImage(here.url, 'team/app', sha256(JSON.stringify(onSignature)));

  const events = async () => (await here.registry.metadata.events.read({ after: 0, limit: 1000 })).items;
  const before = await events();
  assert.deepEqual(new Set(before.map(({ actor }) => actor)), new Set(['import']));
  const second = await importLive(here.registry, remote.url);
  assert.deepEqual(second.manifests, { stored: 0, present: 6 });
  assert.deepEqual(second.tags, { stored: 0, present: 3 });
  assert.equal(second.bytes, 0);
  assert.deepEqual(await events(), before);
});

test('repositories and tags are chosen by pattern, and what belongs to a chosen image comes along', async (t) => {
  const [remote, here] = [await startRegistry(t), await startRegistry(t)];
  const image = await pushImage(remote.url, 'team/app', 'v1');
  await pushImage(remote.url, 'team/app', 'old');
  await pushImage(remote.url, 'team/deep/app', 'v1');
  await pushImage(remote.url, 'other/app', 'v1');
  const signature = { ...JSON.parse(image.body), subject: image.descriptor };
  await putManifest(remote.url, 'team/app', sha256(JSON.stringify(signature)), signature);
  const cosign = { ...JSON.parse(image.body), annotations: { is: 'a signature' } };
  await putManifest(remote.url, 'team/app', `${image.digest.replace(':', '-')}.sig`, cosign);

  const report = await importLive(here.registry, remote.url, { repositories: ['team/*'], tags: ['v*'] });
  assert.deepEqual(report.findings, []);
  assert.deepEqual(
    [...(await pullEverything(here.url)).keys()],
    [`team/app:${image.digest.replace(':', '-')}.sig`, 'team/app:v1'],
  );
  await pullImage(here.url, 'team/app', sha256(JSON.stringify(signature)));
  await importLive(here.registry, remote.url, { repositories: ['team/**'] });
  assert.equal((await pullEverything(here.url)).size, 4);
});

test('a tag that somebody changed here stays, unless it is to be overwritten', async (t) => {
  const [remote, here] = [await startRegistry(t), await startRegistry(t)];
  await pushImage(remote.url, 'team/app', 'v1', 'theirs');
  await pushImage(remote.url, 'team/app', 'v2', 'first');
  await importLive(here.registry, remote.url);
  const ours = await pushImage(here.url, 'team/app', 'v1', 'ours');
  const newer = await pushImage(remote.url, 'team/app', 'v2', 'second');
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(
    report.findings.map(({ kind, tags }) => ({ kind, tags })),
    [{ kind: 'kept', tags: ['v1'] }],
  );
  const pulled = await pullEverything(here.url);
  assert.equal(pulled.get('team/app:v1'), ours.digest);
  assert.equal(pulled.get('team/app:v2'), newer.digest, 'what only the import has set moves on');
  await importLive(here.registry, remote.url, { overwrite: true });
  assert.deepEqual(await pullEverything(here.url), await pullEverything(remote.url));
  const name = parseRepositoryName('team/app');
  const history = await here.registry.metadata.events.tagHistory(name, parseTag('v1'), 10);
  assert.equal(history.length, 3);
});

test('a transfer that breaks off goes on where it was, also with a remote that knows no ranges', async (t) => {
  for (const ranges of [true, false]) {
    const here = await startRegistry(t);
    const { documents, layer, layerPath, digest } = oneImage();
    let breaks = 3;
    const remote = await startRemote(t, documents, (request, response, path) => {
      if (path !== layerPath) return false;
      if (!ranges) delete request.headers.range;
      if (breaks-- <= 0) return false;
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      const end = ranges ? start + 50_000 : 50_000 * (3 - breaks);
      response.statusCode = start > 0 ? 206 : 200;
      if (start > 0)
        response.setHeader('content-range', `bytes ${start}-${layer.length - 1}/${layer.length}`);
      response.setHeader('content-length', layer.length - start);
      response.write(layer.subarray(start, end), () => setTimeout(() => request.socket.destroy(), 50));
      return true;
    });
    const report = await importLive(here.registry, remote.url);
    assert.deepEqual(report.findings, []);
    assert.equal(await pullImage(here.url, 'team/app', 'v1'), digest);
    const asked = remote.seen.filter((line) => line.includes(layerPath));
    assert.equal(asked.length, 4);
    assert.match(asked.at(-1) ?? '', /bytes=[1-9]\d*-$/);
  }
});

/** An import that is cancelled when most of a large layer has come. The remote goes on afterwards. */
async function importHalf(t: TestContext) {
  const here = await startRegistry(t);
  const { documents, layer, layerPath, digest } = oneImage(Buffer.alloc(4_000_000, 'large '));
  const cancel = new AbortController();
  let hang = true;
  const remote = await startRemote(t, documents, (_request, response, path) => {
    if (path !== layerPath || !hang) return false;
    response.setHeader('content-length', layer.length);
    response.write(layer.subarray(0, 3_000_000), () =>
      setTimeout(() => cancel.abort(new Error('stop')), 300),
    );
    return true;
  });
  const run = {
    signal: cancel.signal,
    progress: () => undefined,
    step: async () => cancel.signal.throwIfAborted(),
  };
  await assert.rejects(importLive(here.registry, remote.url, { run }));
  hang = false;
  return { here, remote, digest, layerPath };
}

test('an import that is cancelled in the middle of a blob goes on with the bytes that came', async (t) => {
  const { here, remote, digest, layerPath } = await importHalf(t);
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(report.findings, []);
  assert.equal(await pullImage(here.url, 'team/app', 'v1'), digest);
  const from = Number(
    /bytes=(\d+)-$/.exec(remote.seen.filter((line) => line.includes(layerPath)).at(-1) ?? '')?.[1],
  );
  assert.ok(from > 1_000_000, `it went on at ${from}`);
});

test('a session that was killed between its file and its row begins again', async (t) => {
  const { here, remote, digest } = await importHalf(t);
  // The file had moved to its place as a blob when the process was killed; the row still tells of a session.
  for (const file of await readdir(join(here.data, 'uploads')))
    await unlink(join(here.data, 'uploads', file));
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(report.findings, []);
  assert.equal(await pullImage(here.url, 'team/app', 'v1'), digest);
  assert.equal((await here.registry.metadata.repositories.totals()).openUploads, 0);
});

test('429 with Retry-After is waited for, and holds all requests', async (t) => {
  const here = await startRegistry(t);
  const { documents, layerPath } = oneImage();
  const at: number[] = [];
  const remote = await startRemote(t, documents, (_request, response, path) => {
    if (path !== layerPath) return false;
    at.push(performance.now());
    if (at.length > 2) return false;
    response.writeHead(429, {
      'retry-after': at.length === 1 ? '1' : new Date(Date.now() + 2000).toUTCString(),
    });
    response.end();
    return true;
  });
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(report.findings, []);
  const [first = 0, second = 0, third = 0] = at;
  assert.ok(second - first >= 1000 && third - second >= 500, `${at}`);
});

test('other bytes than the digest says are asked for once more, then the image is left out and told of', async (t) => {
  const here = await startRegistry(t);
  const { documents, layerPath, layer } = oneImage();
  documents.set(layerPath, { type: 'application/octet-stream', body: Buffer.alloc(layer.length, 'x') });
  const remote = await startRemote(t, documents);
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(
    report.findings.map(({ kind, repository, tags }) => ({ kind, repository, tags })),
    [
      { kind: 'damaged', repository: 'team/app', tags: undefined },
      { kind: 'incomplete', repository: 'team/app', tags: ['v1'] },
    ],
  );
  assert.equal(report.damaged, 1);
  assert.equal(remote.seen.filter((line) => line.includes(layerPath)).length, 2);
  assert.equal((await fetch(`${here.url}/v2/team/app/manifests/v1`)).status, 404);
});

test('a manifest with other bytes, a schema 1 manifest and a missing one are told apart', async (t) => {
  const here = await startRegistry(t);
  const { documents, digest } = oneImage();
  const tags = ['schema1', 'gone', 'odd'];
  documents.set('/v2/team/app/tags/list?n=1000', {
    type: 'application/json',
    body: Buffer.from(JSON.stringify({ tags })),
  });
  const schema1 = Buffer.from(
    '{"schemaVersion":1,"name":"team/app","tag":"schema1","fsLayers":[],"history":[]}',
  );
  const signed = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  documents.set('/v2/team/app/manifests/schema1', { type: signed, body: schema1 });
  documents.set(`/v2/team/app/manifests/${sha256(schema1)}`, { type: signed, body: schema1 });
  documents.set('/v2/team/app/manifests/odd', { type: ociManifest, body: Buffer.from('{}') });
  const wrong = `/v2/team/app/manifests/${sha256('{}')}`;
  documents.set(wrong, { type: ociManifest, body: Buffer.from('{ }') });
  const remote = await startRemote(t, documents);
  const report = await importLive(here.registry, remote.url);
  assert.deepEqual(report.findings.map(({ kind, tags: [tag] = [] }) => `${tag} ${kind}`).sort(), [
    'gone deleted',
    'odd damaged',
    'schema1 schema1',
  ]);
  assert.ok(digest);
});

test('tokens are fetched for each repository, with the password when there is one, and renewed when refused', async (t) => {
  const here = await startRegistry(t);
  const { documents, digest } = oneImage();
  const asked: string[] = [];
  let [tokens, uses] = [0, 0];
  const remote = await startRemote(t, documents, (request, response, path) => {
    const json = { 'content-type': 'application/json' };
    const authorization = request.headers.authorization ?? '';
    if (path.startsWith('/token')) {
      asked.push(`${decodeURIComponent(path)} ${authorization}`);
      if (authorization !== `Basic ${btoa('sam:secret')}`) response.writeHead(401, json).end('{}');
      else response.writeHead(200, json).end(JSON.stringify({ token: `t${++tokens}`, expires_in: 300 }));
      return true;
    }
    // Each token is good for three requests.
    const good = authorization === `Bearer t${tokens}` && tokens > 0 && uses++ < 3;
    if (good) return false;
    uses = 0;
    const realm = `http://${request.headers.host}/token`;
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="their,service"` }).end();
    return true;
  });
  const credentials = { username: 'sam', password: 'secret' };
  const report = await importLive(here.registry, remote.url, { credentials, parallel: 1 });
  assert.deepEqual(report.findings, []);
  assert.equal(await pullImage(here.url, 'team/app', 'v1'), digest);
  assert.ok(
    asked.some((line) => line.includes('service=their,service&scope=registry:catalog:*&account=sam')),
  );
  assert.ok(asked.filter((line) => line.includes('scope=repository:team/app:pull')).length > 1);
  const wrong = { username: 'sam', password: 'wrong' };
  await assert.rejects(importLive(here.registry, remote.url, { credentials: wrong }), /gives no token/);
});

test('a password goes neither to another server of a redirect nor to an unencrypted token endpoint', async (t) => {
  const here = await startRegistry(t);
  const { documents, layerPath, digest } = oneImage();
  const elsewhere: (string | undefined)[] = [];
  const storage = await startRemote(t, documents, (request) => {
    elsewhere.push(request.headers.authorization);
    return false;
  });
  const remote = await startRemote(t, documents, (request, response, path) => {
    if (request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    }
    if (path !== layerPath) return false;
    response.writeHead(307, { location: `${storage.url}${path}` }).end();
    return true;
  });
  await importLive(here.registry, remote.url, { credentials: { username: 'sam', password: 'secret' } });
  assert.equal(await pullImage(here.url, 'team/app', 'v1'), digest);
  assert.deepEqual(elsewhere, [undefined]);
});

test('a registry with TLS is believed only with a certificate that this machine or the caller trusts', async (t) => {
  const folder = await temporaryFolder(t);
  const files = ['-keyout', join(folder, 'tls.key'), '-out', join(folder, 'tls.crt')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const name = ['-subj', '/CN=remote', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...key, ...files, ...name], { stdio: 'ignore' });
  const remote = await startRegistry(t, {
    'http.tls.certificate': join(folder, 'tls.crt'),
    'http.tls.key': join(folder, 'tls.key'),
  });
  const here = await startRegistry(t);
  await assert.rejects(importLive(here.registry, remote.url), /self-signed certificate/);
  const ca = await readFile(join(folder, 'tls.crt'), 'utf8');
  const report = await importLive(here.registry, remote.url, { ca });
  assert.deepEqual(report.findings, []);
});

test('a registry that cannot be reached fails the import, and one that shows no catalog wants names', async (t) => {
  const here = await startRegistry(t);
  const { documents } = oneImage();
  documents.delete('/v2/_catalog?n=1000');
  const remote = await startRemote(t, documents);
  await assert.rejects(importLive(here.registry, remote.url), /name the ones to import/);
  const report = await importLive(here.registry, remote.url, { repositories: ['team/app', 'team/none'] });
  assert.deepEqual(
    report.findings.map(({ kind, repository }) => `${repository} ${kind}`),
    ['team/none deleted'],
  );
  assert.equal((await pullEverything(here.url)).size, 1);
  await assert.rejects(importLive(here.registry, 'http://127.0.0.1:9'), /cannot be reached/);
});

test('a registry of the former referrers tags gives its referrers', async (t) => {
  const here = await startRegistry(t);
  const remote = await startRegistry(t);
  const image = await pushImage(remote.url, 'team/app', 'v1');
  const config = await pushBlob(remote.url, 'team/app', '{}');
  const plain = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: 'application/x', digest: config, size: 2 },
    layers: [],
    subject: image.descriptor,
  };
  const digest = sha256(JSON.stringify(plain));
  await putManifest(remote.url, 'team/app', digest, plain);
  const list = {
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [{ mediaType: ociManifest, digest, size: JSON.stringify(plain).length }],
  };
  await putManifest(remote.url, 'team/app', image.digest.replace(':', '-'), list, ociIndex);
  // A proxy that lacks the referrers API, as older registries do.
  const old = await startRemote(t, new Map(), (request, response, path) => {
    if (path.includes('/referrers/')) return false;
    void fetch(`${remote.url}${path}`, { method: request.method ?? 'GET' }).then(async (reply) => {
      const headers = Object.fromEntries(
        [...reply.headers].filter(([name]) => !/^(connection|keep-alive)/.test(name)),
      );
      response.writeHead(reply.status, headers).end(Buffer.from(await reply.arrayBuffer()));
    });
    return true;
  });
  const report = await importLive(here.registry, old.url, { tags: ['v1'] });
  assert.deepEqual(report.findings, []);
  await pullImage(here.url, 'team/app', digest);
});
