// Taking over from Debian's docker-registry: the folder that it wrote from pushes of podman and skopeo, the running registry with
// and without a password, an archive of podman's, and an import that is killed again and again.
import assert from 'node:assert/strict';
import { mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startCareProcess } from '../support/care-process.ts';
import { makeFolder } from '../support/cleanup.ts';
import { ociIndex } from '../support/client.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { DistributionWriter } from '../support/distribution-folder.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { BASE_IMAGE, buildBaseImage, buildSmallImage, writeIndexLayout } from '../support/images.ts';
import { importFolder, importLayout, importLive } from '../support/imports.ts';
import { skipWithout } from '../support/programs.ts';
import { type Pulled, pullEverything, pullImage } from '../support/pull.ts';
import { makeRandom } from '../support/pusher.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { startSlowProxy } from '../support/slow-proxy.ts';

const skip = skipWithout('podman', 'buildah', 'skopeo', 'busybox', 'docker-registry', 'root');
const account = { username: 'sam', password: 'a long password' };

/** All that the old registry answers: `repository:tag` → digest, as its own API tells it. */
async function listTags(registry: DockerRegistry): Promise<Pulled> {
  const headers = { authorization: `Basic ${btoa(`${account.username}:${account.password}`)}` };
  const ask = async (path: string) => {
    const reply = await fetch(registry.url + path, { headers });
    assert.equal(reply.status, 200, path);
    return (await reply.json()) as { repositories: string[]; tags: string[] | null };
  };
  const digests = new Map<string, string>();
  for (const name of (await ask('/v2/_catalog')).repositories) {
    for (const tag of (await ask(`/v2/${name}/tags/list`)).tags ?? []) {
      const accept = [
        'application/vnd.oci.image.manifest.v1+json',
        'application/vnd.oci.image.index.v1+json',
        'application/vnd.docker.distribution.manifest.v2+json',
        'application/vnd.docker.distribution.manifest.list.v2+json',
      ].join(',');
      const url = `${registry.url}/v2/${name}/manifests/${tag}`;
      const reply = await fetch(url, { method: 'HEAD', headers: { ...headers, accept } });
      digests.set(`${name}:${tag}`, reply.headers.get('docker-content-digest') ?? '');
    }
  }
  return digests;
}

/** Fills the old registry as people do: podman in both formats, a manifest list, skopeo copies, a tag that moved, a delete. */
async function fill(
  home: ClientHome,
  registry: DockerRegistry,
): Promise<{ untagged: string; multi: string }> {
  const credentials = ['--creds', `${account.username}:${account.password}`];
  const target = (name: string) => `docker://${registry.host}/${name}`;
  const podmanPush = (image: string, name: string, ...more: string[]) =>
    home.run('podman', ['push', '--tls-verify=false', ...credentials, ...more, image, target(name)]);
  const skopeo = (command: string, ...args: string[]) => home.run('skopeo', [command, ...args]);
  const copy = (from: string, to: string, ...more: string[]) =>
    skopeo(
      ...(['copy', '--src-tls-verify=false', '--dest-tls-verify=false'] as const),
      ...[`--dest-creds=${credentials[1]}`, `--src-creds=${credentials[1]}`, ...more, from, to],
    );
  await buildBaseImage(home);
  for (const [name, text] of [
    ['one', 'first'],
    ['two', 'second'],
    ['three', 'third'],
  ] as const)
    await buildSmallImage(home, `localhost/${name}:1`, text);
  await podmanPush(BASE_IMAGE, 'base:1');
  await podmanPush('localhost/one:1', 'team/app:1', '--format', 'v2s2');
  await podmanPush('localhost/two:1', 'team/app:2', '--format', 'oci');
  await podmanPush(
    'localhost/one:1',
    'team/app:moved',
    '--format',
    'oci',
    '--digestfile',
    home.path('digest'),
  );
  await podmanPush('localhost/three:1', 'team/app:moved', '--format', 'oci');
  await podmanPush('localhost/three:1', 'team/app:deleted', '--format', 'v2s2');
  await copy(target('team/app:2'), target('a/b/c/copied:latest'));
  const layout = await writeIndexLayout(home.path('layout'), 'multi', ['amd64', 'arm64', 'riscv64']);
  await copy(`oci:${layout.folder}:multi`, target('team/multi:1'), '--all');
  await home.run('podman', [
    'manifest',
    'create',
    'localhost/list:1',
    'containers-storage:localhost/one:1',
    'containers-storage:localhost/two:1',
  ]);
  await home.run('podman', [
    ...['manifest', 'push', '--all', '--format', 'v2s2', '--tls-verify=false', ...credentials],
    ...['localhost/list:1', target('team/list:1')],
  ]);
  await skopeo('delete', '--tls-verify=false', ...credentials, target('team/app:deleted'));
  const untagged = (await readFile(home.path('digest'), 'utf8')).trim();
  return { untagged, multi: layout.digest };
}

async function pullWithClients(home: ClientHome, berth: TestRegistry, expected: Pulled): Promise<void> {
  const host = `127.0.0.1:${berth.port}`;
  await mkdir(home.path('pulled'));
  for (const [reference, digest] of expected) {
    const [repository = ''] = reference.split(':');
    const folder = home.path('pulled', digest.slice(7));
    await home.run('skopeo', [
      ...[
        'copy',
        '--all',
        '--src-tls-verify=false',
        `docker://${host}/${repository}@${digest}`,
        `dir:${folder}`,
      ],
    ]);
  }
  await home.run('podman', ['rmi', '--all', '--force']);
  for (const name of ['team/app:1', 'team/app:2', 'a/b/c/copied:latest', 'team/list:1']) {
    await home.run('podman', ['pull', '--tls-verify=false', `${host}/${name}`]);
    const { stdout } = await home.run('podman', [
      'image',
      'inspect',
      '--format',
      '{{.Digest}}',
      `${host}/${name}`,
    ]);
    if (name !== 'team/list:1') assert.equal(stdout.trim(), expected.get(name));
  }
}

test('the folder of docker-registry, filled by podman and skopeo, comes over whole', { skip }, async (t) => {
  const home = await makeClientHome(t);
  const old = await startDockerRegistry(t);
  const { untagged, multi } = await fill(home, old);
  const expected = await listTags(old);
  assert.equal(expected.get('team/multi:1'), multi);
  await old.end();

  const berth = await startRegistry(t);
  const started = performance.now();
  const report = await importFolder(berth.registry, old.folder);
  const seconds = (performance.now() - started) / 1000;
  assert.deepEqual(report.findings, []);
  assert.deepEqual(await pullEverything(berth.url), expected);
  assert.equal(await pullImage(berth.url, 'team/app', untagged), untagged);
  await pullWithClients(home, berth, expected);
  t.diagnostic(`${JSON.stringify(report.figures())} in ${seconds.toFixed(2)} s`);

  await t.test('a registry that goes on with the old folder has lost nothing', async (t) => {
    const again = await startDockerRegistry(t, { folder: old.folder });
    assert.deepEqual(await listTags(again), expected);
  });

  await t.test('flipped, cut and lost blobs in it are told of, and the rest comes over', async (t) => {
    const source = new DistributionWriter(old.folder);
    const manifestOf = async (tag: string) =>
      JSON.parse(await readFile(source.blobFile(expected.get(`team/app:${tag}`) ?? ''), 'utf8'));
    const [one, two] = [await manifestOf('1'), await manifestOf('2')];
    const flipped = source.blobFile(one.layers.at(-1).digest);
    const bytes = await readFile(flipped);
    // New files: the old ones are Berth's blobs, too.
    await unlink(flipped);
    await writeFile(flipped, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
    await unlink(source.blobFile(two.layers.at(-1).digest));
    const cut = source.blobFile(two.config.digest);
    const config = await readFile(cut);
    await unlink(cut);
    await writeFile(cut, config.subarray(0, 20));
    const fresh = await startRegistry(t);
    const damaged = await importFolder(fresh.registry, old.folder);
    const kinds = damaged.findings.map(({ kind, repository, tags }) =>
      `${repository} ${kind} ${tags ?? ''}`.trim(),
    );
    for (const line of [
      'team/app damaged',
      'team/app missing',
      'team/app incomplete 1',
      'team/app incomplete 2',
      'a/b/c/copied incomplete latest',
      'team/list incomplete 1',
    ])
      assert.ok(kinds.includes(line), `${line} is in\n${kinds.join('\n')}`);
    const pulled = await pullEverything(fresh.url);
    for (const name of ['base:1', 'team/app:moved', 'team/multi:1'])
      assert.equal(pulled.get(name), expected.get(name));
    assert.deepEqual(await pullEverything(berth.url), expected, 'what was imported before is whole');
  });
});

for (const withAccount of [false, true]) {
  test(`a running docker-registry ${withAccount ? 'with' : 'without'} htpasswd comes over`, {
    skip,
  }, async (t) => {
    const home = await makeClientHome(t);
    const old = await startDockerRegistry(t, withAccount ? { account } : {});
    await fill(home, old);
    const expected = await listTags(old);
    const berth = await startRegistry(t);
    if (withAccount) {
      await assert.rejects(importLive(berth.registry, old.url), /does not allow/);
      const wrong = { ...account, password: 'wrong' };
      await assert.rejects(importLive(berth.registry, old.url, { credentials: wrong }), /does not allow/);
    }
    const options = withAccount ? { credentials: account } : {};
    const report = await importLive(berth.registry, old.url, options);
    assert.deepEqual(report.findings, []);
    assert.deepEqual(await pullEverything(berth.url), expected);
    await pullWithClients(home, berth, expected);
    const second = await importLive(berth.registry, old.url, options);
    assert.equal(second.bytes, 0);
    assert.equal(second.manifests.stored, 0);
    t.diagnostic(JSON.stringify(report.figures()));
  });
}

test('what podman and skopeo save as an OCI archive or layout comes over', { skip }, async (t) => {
  const home = await makeClientHome(t);
  await buildBaseImage(home);
  await home.run('podman', [
    'save',
    '--format',
    'oci-archive',
    '--output',
    home.path('base.tar'),
    BASE_IMAGE,
  ]);
  await home.run('skopeo', ['copy', `containers-storage:${BASE_IMAGE}`, `oci:${home.path('layout')}:v1`]);
  const berth = await startRegistry(t);
  assert.deepEqual((await importLayout(berth.registry, home.path('base.tar'))).findings, []);
  assert.deepEqual((await importLayout(berth.registry, home.path('layout'))).findings, []);
  const pulled = await pullEverything(berth.url);
  assert.deepEqual([...pulled.keys()], ['berth-test/base:1', 'layout:v1']);
  const host = `127.0.0.1:${berth.port}`;
  await home.run('podman', ['pull', '--tls-verify=false', `${host}/berth-test/base:1`]);
});

async function writeManyImages(t: TestContext): Promise<DistributionWriter> {
  const source = new DistributionWriter(await makeFolder(t, 'many'));
  for (let number = 0; number < 400; number += 1) {
    const seed = `image ${number}`;
    await source.writeImage(
      `many/app${number % 10}`,
      number % 4 === 0 ? undefined : `v${number}`,
      seed,
      30_000,
    );
  }
  return source;
}

const mostKills = 12;

test('kill -9 in mid-import: the next run goes on, and at the end everything is there once', async (t) => {
  const source = await writeManyImages(t);
  const data = join(await makeFolder(t, 'killed'), 'store');
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  const random = makeRandom(seed);
  let kills = 0;
  let last = '';
  while (last === '') {
    const running = startCareProcess('import', data, source.folder);
    await running.opened;
    const patience = kills < mostKills ? 20 + random() * 600 : 60_000;
    const timer = setTimeout(() => running.child.kill('SIGKILL'), patience);
    await running.ended;
    clearTimeout(timer);
    last = running.lines.find((line) => line.startsWith('done ')) ?? '';
    assert.ok(last !== '' || running.child.signalCode === 'SIGKILL', 'the import failed by itself');
    if (last === '') kills += 1;
  }
  t.diagnostic(`seed ${seed}: ${kills} kills`);
  assert.ok(kills > 0, 'no kill came before the end');
  const report = JSON.parse(last.slice('done '.length));
  assert.deepEqual(report.findings, []);
  assert.ok(report.manifests.present > 0, 'the last run found what the earlier ones had brought');
  const berth = await startRegistry(t, {}, { data });
  assert.equal((await pullEverything(berth.url)).size, 300);
  const { manifests, blobs } = await berth.registry.metadata.repositories.totals();
  assert.deepEqual({ manifests, blobs }, { manifests: 400, blobs: 800 });
});

test('kill -9 in the middle of an import from a running docker-registry: what came counts, nothing half is seen', {
  skip,
}, async (t) => {
  const written = new DistributionWriter(await makeFolder(t, 'live'));
  for (let number = 0; number < 60; number += 1)
    await written.writeImage(`live/app${number % 6}`, `v${number}`, `image ${number}`, 60_000);
  // Layers that are larger than what comes between two kills.
  const children = await Promise.all(
    ['amd64', 'arm64'].map((seed) => written.writeImage('a/large', undefined, seed, 12_000_000)),
  );
  const manifests = children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
  const multi = await written.writeManifest(
    'a/large',
    { schemaVersion: 2, mediaType: ociIndex, manifests },
    'multi',
  );
  const old = await startDockerRegistry(t, { folder: written.folder });
  const proxy = await startSlowProxy(t, old.url, 10_000);
  const data = join(await makeFolder(t, 'killed'), 'store');
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  const random = makeRandom(seed);
  let kills = 0;
  let seen = 0;
  let last = '';
  while (last === '') {
    const running = startCareProcess('live', data, proxy.url);
    await running.opened;
    const patience = kills < mostKills ? 20 + random() * 700 : 60_000;
    const timer = setTimeout(() => running.child.kill('SIGKILL'), patience);
    await running.ended;
    clearTimeout(timer);
    last = running.lines.find((line) => line.startsWith('done ')) ?? '';
    assert.ok(last !== '' || running.child.signalCode === 'SIGKILL', 'the import failed by itself');
    if (last !== '') continue;
    kills += 1;
    const between = await startRegistry(t, {}, { data });
    // Throws where something is listed that cannot be pulled whole.
    const pulled = await pullEverything(between.url);
    assert.ok(pulled.size >= seen, 'nothing that came is lost');
    seen = pulled.size;
    await between.close();
  }
  const stored = 60 * 60_000 + 2 * 12_000_000;
  t.diagnostic(
    `seed ${seed}: ${kills} kills, went on in the middle of a blob ${proxy.resumedAt.length} times, ` +
      `${(proxy.blobBytes() / stored).toFixed(2)} times the bytes travelled`,
  );
  assert.ok(kills > 0, 'no kill came before the end');
  assert.ok(
    proxy.resumedAt.some((byte) => byte > 0),
    'no blob went on where it was',
  );
  const report = JSON.parse(last.slice('done '.length));
  assert.deepEqual(report.findings, []);
  const berth = await startRegistry(t, {}, { data });
  const pulled = await pullEverything(berth.url);
  assert.equal(pulled.size, 61);
  assert.equal(pulled.get('a/large:multi'), multi.digest);
  const totals = await berth.registry.metadata.repositories.totals();
  assert.deepEqual([totals.manifests, totals.blobs, totals.openUploads], [63, 124, 0]);
});
