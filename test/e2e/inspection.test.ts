// What Berth says of an image, its files and its archive, held against what skopeo, buildah, podman, tar and oras say.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { BASE_IMAGE, buildBaseImage } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { type RunningBerth, startBerth } from '../support/running-berth.ts';

const CONTAINERFILE = `FROM ${BASE_IMAGE}
ENV GREETING="hello world" MODE=test
LABEL org.example.version="7" org.example.purpose="end to end"
RUN mkdir -p /work/empty /old && echo one > /old/one && echo two > /old/two && ln -s /work/note /link && ln /old/one /hard
COPY note /work/note
RUN rm -r /old && mkdir /old && echo three > /old/three && rm /work/empty -r && chmod 4711 /work/note
WORKDIR /work
EXPOSE 8080/tcp 8053/udp
VOLUME /data
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat note"]
`;

interface Setup {
  readonly berth: RunningBerth;
  readonly home: ClientHome;
  // biome-ignore lint/suspicious/noExplicitAny: answers of the API as they are
  get(path: string): Promise<any>;
  skopeo(...args: string[]): Promise<string>;
}

async function start(t: Parameters<typeof startBerth>[0]): Promise<Setup> {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  await buildBaseImage(home);
  await home.write('app/Containerfile', CONTAINERFILE);
  await home.write('app/note', 'kept in a layer\n');
  const build = [
    'build',
    '--layers',
    '--isolation',
    'chroot',
    '--format',
    'docker',
    '--tag',
    'localhost/app:1',
  ];
  await home.run('buildah', [...build, home.path('app')]);
  return {
    berth,
    home,
    get: async (path) => {
      const reply = await fetch(`${berth.url}/api/v1/repositories/${path}`);
      assert.equal(reply.status, 200, await reply.clone().text());
      return await reply.json();
    },
    skopeo: async (...args) => (await home.run('skopeo', args)).stdout,
  };
}

async function push({ berth, home }: Setup, repository: string, ...options: string[]): Promise<void> {
  const target = `${berth.host}/${repository}`;
  await home.run('podman', ['push', '--tls-verify=false', ...options, 'localhost/app:1', target]);
}

async function readBytes(url: string): Promise<Buffer> {
  const reply = await fetch(url);
  const bytes = Buffer.from(await reply.arrayBuffer());
  assert.equal(reply.status, 200, bytes.toString());
  return bytes;
}

const programs = ['podman', 'skopeo', 'buildah', 'busybox', 'root'];

test('an image is what skopeo says, whatever it was pushed as', {
  skip: skipWithout(...programs),
}, async (t) => {
  const setup = await start(t);
  const forms = {
    gzip: ['--format', 'oci', '--compression-format', 'gzip'],
    zstd: ['--format', 'oci', '--compression-format', 'zstd'],
    // Thousands of frames, some to be skipped.
    chunked: ['--format', 'oci', '--compression-format', 'zstd:chunked'],
    docker: ['--format', 'v2s2'],
  };
  for (const [form, options] of Object.entries(forms)) {
    await t.test(form, async () => {
      await push(setup, `course/${form}:1`, ...options);
      const reference = `docker://${setup.berth.host}/course/${form}:1`;
      const inspected = JSON.parse(await setup.skopeo('inspect', '--tls-verify=false', reference));
      const config = JSON.parse(await setup.skopeo('inspect', '--tls-verify=false', '--config', reference));
      const raw = await setup.skopeo('inspect', '--tls-verify=false', '--raw', reference);
      const shown = await setup.get(`course/${form}/-/manifests/1`);
      const { image, layers } = shown;
      assert.equal(shown.digest, inspected.Digest);
      assert.deepEqual([image.architecture, image.os], [inspected.Architecture, inspected.Os]);
      assert.equal(Date.parse(image.created), Date.parse(inspected.Created));
      assert.deepEqual(image.labels, inspected.Labels);
      assert.deepEqual(image.env, inspected.Env);
      const real = layers.filter(({ digest }: { digest: string | null }) => digest !== null);
      assert.deepEqual(
        real.map(({ digest }: { digest: string }) => digest),
        inspected.Layers,
      );
      const manifest = JSON.parse(raw);
      assert.deepEqual(
        real.map(({ mediaType, size }: { mediaType: string; size: number }) => [mediaType, size]),
        manifest.layers.map(({ mediaType, size }: { mediaType: string; size: number }) => [mediaType, size]),
      );
      const { config: runs } = config;
      assert.deepEqual(
        [image.user, image.entrypoint, image.cmd, image.workingDir, image.stopSignal, image.env],
        [runs.User, runs.Entrypoint, runs.Cmd, runs.WorkingDir, runs.StopSignal, runs.Env],
      );
      assert.deepEqual(image.exposedPorts, Object.keys(runs.ExposedPorts).sort());
      assert.deepEqual(image.volumes, Object.keys(runs.Volumes));
      assert.deepEqual(
        layers.map((layer: Record<string, unknown>) => [layer.createdBy, layer.emptyLayer]),
        config.history.map((step: Record<string, unknown>) => [
          step.created_by ?? null,
          step.empty_layer ?? false,
        ]),
      );
      assert.deepEqual(
        real.map(({ diffId }: { diffId: string }) => diffId),
        config.rootfs.diff_ids,
      );
      assert.deepEqual(shown.findings, []);
      assert.ok(
        layers.some(({ instruction }: { instruction: string }) => instruction.startsWith('RUN rm -r /old')),
      );
      const place = `${setup.berth.url}/api/v1/repositories/course/${form}/-/manifests/1`;
      assert.equal((await readBytes(`${place}/raw`)).toString(), raw.trimEnd());
      assert.deepEqual(JSON.parse((await readBytes(`${place}/config`)).toString()).rootfs, config.rootfs);
      await compareFiles(setup, place);
      await compareLayers(setup, place, form);
    });
  }
});

/** All files of the image against what buildah mounts: kinds, rights, owners, links, times and contents. */
async function compareFiles({ home }: Setup, place: string): Promise<void> {
  const container = (await home.run('buildah', ['from', '--pull-never', 'localhost/app:1'])).stdout.trim();
  const mounted = (await home.run('buildah', ['mount', container])).stdout.trim();
  const format = '%y|%m|%U|%G|%T@|%l|/%P\\n';
  const { stdout } = await home.run('find', [mounted, '-mindepth', '1', '-printf', format]);
  const letters: Readonly<Record<string, string>> = {
    f: 'file',
    d: 'directory',
    l: 'symlink',
    c: 'character-device',
  };
  const wanted = new Map(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [letter = '', mode = '', uid, gid, time = '', link, path = ''] = line.split('|');
        const shown = {
          type: letters[letter],
          mode: mode.padStart(4, '0'),
          uid: Number(uid),
          gid: Number(gid),
          link,
          time,
        };
        return [path, shown];
      }),
  );
  const found = new Map<string, string>();
  let query = '?recursive=true&limit=200';
  for (let next: string | null = ''; next !== null; query = `?recursive=true&limit=200&cursor=${next}`) {
    // biome-ignore lint/suspicious/noExplicitAny: answers of the API as they are
    const page: any = JSON.parse((await readBytes(`${place}/files${query}`)).toString());
    for (const { path, type, mode, uid, gid, linkTarget, modifiedAt } of page.items) {
      const { time, ...rest } = wanted.get(path) ?? { time: '' };
      const isHard = type === 'hardlink';
      const link = type === 'symlink' ? linkTarget : '';
      const shown = {
        type: isHard ? 'file' : type,
        mode: type === 'symlink' ? '0777' : mode,
        uid,
        gid,
        link,
      };
      assert.deepEqual(shown, rest, path);
      // Folders change when something is put into them while they are unpacked.
      if (type === 'file')
        assert.equal(Math.floor(Date.parse(modifiedAt) / 1000), Math.floor(Number(time)), path);
      found.set(path, type);
    }
    next = page.next;
  }
  assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort());
  for (const path of ['/work/note', '/link', '/hard', '/old/three', '/bin/busybox', '/bin/sh']) {
    const real = path === '/link' ? '/work/note' : path === '/bin/sh' ? '/bin/busybox' : path;
    assert.deepEqual(await readBytes(`${place}/file?path=${path}`), await readFile(mounted + real), path);
  }
  const gone = await fetch(`${place}/file?path=/old/one`);
  assert.equal(gone.status, 404);
  const { detail } = (await gone.json()) as { detail: string };
  const [, layer] = /still in layer (\S+)/.exec(detail) ?? [];
  assert.equal((await readBytes(`${place}/file?path=/old/one&layer=${layer}`)).toString(), 'one\n');
  await home.run('buildah', ['rm', container]);
}

/** Each layer against the list of `tar`, which reads gzip and plain archives by itself. */
async function compareLayers({ home, berth }: Setup, place: string, form: string): Promise<void> {
  if (form === 'zstd' || form === 'chunked') return;
  const { layers } = JSON.parse((await readBytes(place)).toString());
  for (const { digest } of layers.filter(({ digest }: { digest: string | null }) => digest !== null)) {
    const blob = await readBytes(`${berth.url}/v2/course/${form}/blobs/${digest}`);
    const path = home.path('layer.tar');
    await writeFile(path, blob.subarray(0, 2).toString('hex') === '1f8b' ? gunzipSync(blob) : blob);
    const names = (await home.run('tar', ['-tf', path])).stdout.trimEnd().split('\n');
    const wanted = new Set(
      names.map(
        (name) =>
          `/${name
            .replace(/\/$/, '')
            .replace(/\.wh\.(?!\.wh\.)/, '')
            .replace(/\/?\.wh\.\.wh\.\.opq$/, '')}`,
      ),
    );
    const { items } = JSON.parse(
      (await readBytes(`${place}/files?recursive=true&limit=1000&layer=${digest}`)).toString(),
    );
    assert.deepEqual(
      items.map(({ path: one }: { path: string }) => one).sort(),
      [...wanted].filter((one) => one !== '/').sort(),
    );
  }
}

test('an archive is loaded by podman and copied by skopeo, with the digests it had', {
  skip: skipWithout(...programs),
}, async (t) => {
  const setup = await start(t);
  const { home, berth } = setup;
  for (const [form, options] of [
    ['oci', ['--format', 'oci']],
    ['zstd', ['--format', 'oci', '--compression-format', 'zstd']],
    ['docker', ['--format', 'v2s2']],
  ] as const) {
    await push(setup, `course/${form}:1`, ...options);
    const { digest } = await setup.get(`course/${form}/-/manifests/1`);
    const url = `${berth.url}/api/v1/repositories/course/${form}/-/archive`;
    const path = home.path(`${form}.tar`);
    await writeFile(path, await readBytes(`${url}?reference=1`));
    assert.equal(JSON.parse(await setup.skopeo('inspect', `oci-archive:${path}`)).Digest, digest);
    // skopeo 1.9 finds manifests of Docker's type in an archive, and not by their name.
    const named = form === 'docker' ? `oci-archive:${path}` : `oci-archive:${path}:1`;
    await setup.skopeo('copy', '--dest-tls-verify=false', named, `docker://${berth.host}/copied/${form}:1`);
    assert.equal((await setup.get(`copied/${form}/-/manifests/1`)).digest, digest);
    await home.run('podman', ['rmi', '--all', '--force']);
    const loaded = await home.run('podman', ['load', '--input', path]);
    assert.match(loaded.output, new RegExp(`${berth.host}/course/${form}:1`));
    const [image] = JSON.parse(
      (await home.run('podman', ['image', 'inspect', `${berth.host}/course/${form}:1`])).stdout,
    );
    assert.equal(image.Digest, digest);
    await writeFile(path, await readBytes(`${url}?reference=${digest}`));
    assert.equal(JSON.parse(await setup.skopeo('inspect', `oci-archive:${path}`)).Digest, digest);
    await home.run('podman', ['rmi', '--all', '--force']);
    await home.run('podman', ['load', '--input', path]);
    await home.run('buildah', ['pull', '--tls-verify=false', `${berth.host}/course/${form}:1`]);
    await home.run('buildah', ['tag', `${berth.host}/course/${form}:1`, 'localhost/app:1']);
  }
});

test('an archive of an index holds every platform', { skip: skipWithout(...programs) }, async (t) => {
  const setup = await start(t);
  const { home, berth } = setup;
  await home.run('podman', ['manifest', 'create', 'localhost/multi:1']);
  for (const architecture of ['amd64', 'arm64']) {
    await home.write(`${architecture}/Containerfile`, 'FROM scratch\nCOPY platform /platform\n');
    await home.write(`${architecture}/platform`, `${architecture}\n`);
    await home.run('podman', [
      ...['build', '--platform', `linux/${architecture}`, '--manifest', 'localhost/multi:1'],
      home.path(architecture),
    ]);
  }
  const target = `docker://${berth.host}/course/multi:1`;
  await home.run('podman', ['manifest', 'push', '--all', '--tls-verify=false', 'localhost/multi:1', target]);
  const shown = await setup.get('course/multi/-/manifests/1');
  assert.deepEqual(shown.platforms.map(({ platform }: { platform: string }) => platform).sort(), [
    'linux/amd64',
    'linux/arm64',
  ]);
  const place = `${berth.url}/api/v1/repositories/course/multi/-`;
  const arm = await setup.get('course/multi/-/manifests/1?platform=linux/arm64');
  assert.equal(
    (await readBytes(`${place}/manifests/1/file?path=/platform&platform=linux/arm64`)).toString(),
    'arm64\n',
  );
  const path = home.path('multi.tar');
  await writeFile(path, await readBytes(`${place}/archive?reference=1`));
  await setup.skopeo(
    'copy',
    '--all',
    '--dest-tls-verify=false',
    `oci-archive:${path}:1`,
    `docker://${berth.host}/copied/multi:1`,
  );
  const copied = await setup.get('copied/multi/-/manifests/1');
  assert.equal(copied.digest, shown.digest);
  assert.ok(copied.platforms.every(({ present }: { present: boolean }) => present));
  await home.run('podman', ['rmi', '--all', '--force']);
  await home.run('podman', ['load', '--input', path]);
  await writeFile(path, await readBytes(`${place}/archive?reference=1&platform=linux/arm64`));
  await home.run('podman', ['rmi', '--all', '--force']);
  await home.run('podman', ['load', '--input', path]);
  const [image] = JSON.parse(
    (await home.run('podman', ['image', 'inspect', `${berth.host}/course/multi:1`])).stdout,
  );
  assert.deepEqual([image.Architecture, image.Digest], ['arm64', arm.digest]);
});

test('what oras attaches and what cosign would tag are referrers, and a chart of helm is a chart', {
  skip: skipWithout('oras', 'helm', ...programs),
}, async (t) => {
  const setup = await start(t);
  const { home, berth } = setup;
  await push(setup, 'course/app:1', '--format', 'oci');
  const { digest } = await setup.get('course/app/-/manifests/1');
  await home.write('files/sbom.json', '{"spdxVersion":"SPDX-2.3"}');
  await home.write('files/signature.json', '{}');
  const image = `${berth.host}/course/app@${digest}`;
  const attach = async (subject: string, type: string, file: string): Promise<string> => {
    const args = [
      'attach',
      '--plain-http',
      '--artifact-type',
      type,
      '--format',
      'json',
      subject,
      `${file}:${type}`,
    ];
    return JSON.parse((await home.run('oras', args, { folder: home.path('files') })).stdout).digest;
  };
  const sbom = await attach(image, 'application/spdx+json', 'sbom.json');
  const signature = await attach(
    `${berth.host}/course/app@${sbom}`,
    'application/vnd.cncf.notary.signature',
    'signature.json',
  );
  // As cosign has it: an image under a tag that is made from the digest.
  const tag = `${digest.replace(':', '-')}.sig`;
  const simple = 'signature.json:application/vnd.dev.cosign.simplesigning.v1+json';
  await home.run('oras', ['push', '--plain-http', `${berth.host}/course/app:${tag}`, simple], {
    folder: home.path('files'),
  });
  const { referrers } = await setup.get('course/app/-/manifests/1/referrers');
  assert.deepEqual(
    referrers.map((node: Record<string, unknown>) => [node.kind, node.format, node.foundBy]),
    [
      ['sbom', 'spdx', ['subject']],
      ['signature', 'cosign', ['cosign-tag']],
    ],
  );
  assert.deepEqual([referrers[0].digest, referrers[0].referrers[0].digest], [sbom, signature]);
  await home.run('helm', ['create', 'shop'], { folder: home.folder });
  await home.run('helm', ['package', 'shop'], { folder: home.folder });
  await home.run('helm', ['push', '--plain-http', 'shop-0.1.0.tgz', `oci://${berth.host}/charts`], {
    folder: home.folder,
  });
  const chart = await setup.get('charts/shop/-/manifests/0.1.0');
  assert.deepEqual(
    [chart.kind, chart.config.content.name, chart.config.content.version],
    ['helm-chart', 'shop', '0.1.0'],
  );
  // A chart is a tar archive, and may be looked into as one.
  const files = await setup.get('charts/shop/-/manifests/0.1.0/files?path=/shop');
  assert.ok(files.items.some(({ path }: { path: string }) => path === '/shop/Chart.yaml'));
});
