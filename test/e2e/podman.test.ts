// podman as a person uses it against Berth: build, push, search, pull, remove, pull by digest, multi-platform lists.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { BASE_IMAGE, buildBaseImage, sha256 } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

const CONTAINERFILE = `ARG BASE
FROM \${BASE}
ARG VERSION=0
ENV GREETING="hello world" MODE=test
LABEL org.example.version="\${VERSION}" org.example.purpose="end-to-end test"
RUN echo "$VERSION" > /version && mkdir /work
COPY note /work/note
WORKDIR /work
EXPOSE 8080/tcp 8053/udp
VOLUME /work/volume
USER 1000:1000
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat note"]
`;

interface ImageInspection {
  readonly Digest: string;
  readonly Id: string;
  readonly Config: {
    readonly User: string;
    readonly Env: readonly string[];
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly WorkingDir: string;
    readonly ExposedPorts: Readonly<Record<string, unknown>>;
    readonly Volumes: Readonly<Record<string, unknown>>;
    readonly Labels: Readonly<Record<string, string>>;
  };
}

const skip = skipWithout('podman', 'buildah', 'busybox', 'root');

test('podman builds, pushes, finds, pulls and inspects an image', { skip }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const image = `${berth.host}/course/app:7`;
  const podman = (...args: string[]) => home.run('podman', args);
  const inspect = async (name: string): Promise<ImageInspection> => {
    const [inspection] = JSON.parse((await podman('image', 'inspect', name)).stdout);
    return inspection;
  };

  await buildBaseImage(home);
  await home.write('app/Containerfile', CONTAINERFILE);
  await home.write('app/note', 'kept in a layer\n');
  await podman(
    ...['build', '--isolation', 'chroot', '--build-arg', `BASE=${BASE_IMAGE}`],
    ...['--build-arg', 'VERSION=7', '--tag', image, home.path('app')],
  );
  const built = await inspect(image);

  await t.test('push stores the image under its tag', async () => {
    await podman('push', '--tls-verify=false', '--digestfile', home.path('digest'), image);
    const response = await fetch(`${berth.url}/v2/course/app/manifests/7`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'application/vnd.oci.image.manifest.v1+json');
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.headers.get('docker-content-digest'), sha256(body));
    const config = JSON.parse(body.toString()).config;
    assert.equal(config.digest, `sha256:${built.Id}`);
  });

  await t.test('a second push of the same image sends nothing anew and succeeds', async () => {
    const { output } = await podman('push', '--tls-verify=false', image);
    assert.doesNotMatch(output, /rror/);
  });

  await t.test('search finds the repository by a part of its name and nothing by another word', async () => {
    const found = await podman('search', '--tls-verify=false', '--format', '{{.Name}}', `${berth.host}/cour`);
    assert.equal(found.stdout.trim(), `${berth.host}/course/app`);
    const none = await podman(
      'search',
      '--tls-verify=false',
      '--format',
      '{{.Name}}',
      `${berth.host}/nothing`,
    );
    assert.equal(none.stdout.trim(), '');
    const all = await podman('search', '--tls-verify=false', '--format', '{{.Name}}', `${berth.host}/`);
    assert.equal(all.stdout.trim(), `${berth.host}/course/app`);
  });

  await t.test('search lists the tags of a repository', async () => {
    const { stdout } = await podman(
      'search',
      '--tls-verify=false',
      '--list-tags',
      `${berth.host}/course/app`,
    );
    assert.deepEqual(stdout.trim().split('\n').at(-1)?.split(/\s+/), [`${berth.host}/course/app`, '7']);
  });

  await t.test('rmi and pull bring back everything that the Containerfile said', async () => {
    await podman('rmi', '--all', '--force');
    assert.equal((await podman('images', '--quiet')).stdout, '');
    await podman('pull', '--tls-verify=false', image);
    const pulled = await inspect(image);
    assert.equal(pulled.Id, built.Id);
    const { Config: config } = pulled;
    assert(config.Env.includes('GREETING=hello world'));
    assert(config.Env.includes('MODE=test'));
    assert.equal(config.User, '1000:1000');
    assert.deepEqual(config.Entrypoint, ['/bin/sh', '-c']);
    assert.deepEqual(config.Cmd, ['cat note']);
    assert.equal(config.WorkingDir, '/work');
    assert.deepEqual(Object.keys(config.ExposedPorts).sort(), ['8053/udp', '8080/tcp']);
    assert.deepEqual(Object.keys(config.Volumes), ['/work/volume']);
    assert.equal(config.Labels['org.example.version'], '7');
    assert.equal(config.Labels['org.example.purpose'], 'end-to-end test');
  });

  await t.test('the files of the pulled image are those that were built', async () => {
    const container = (await home.run('buildah', ['from', '--pull-never', image])).stdout.trim();
    const { stdout } = await home.run(
      'buildah',
      ['run', container, '--', 'cat', '/version /work/note'].flatMap((word) => word.split(' ')),
    );
    assert.equal(stdout, '7\nkept in a layer\n');
    await home.run('buildah', ['rm', container]);
  });

  await t.test('an image is pulled by the digest that the push reported', async () => {
    const { stdout: digest } = await home.run('cat', [home.path('digest')]);
    await podman('rmi', '--all', '--force');
    const byDigest = `${berth.host}/course/app@${digest.trim()}`;
    await podman('pull', '--tls-verify=false', byDigest);
    const pulled = await inspect(byDigest);
    assert.equal(pulled.Digest, digest.trim());
    assert.equal(pulled.Id, built.Id);
  });

  await t.test('pulling what is not there fails and names the fault', async () => {
    const missingTag = await home.run(
      'podman',
      ['pull', '--tls-verify=false', `${berth.host}/course/app:8`],
      {
        expect: 'fails',
      },
    );
    assert.match(missingTag.output, /manifest unknown/i);
    await home.run('podman', ['pull', '--tls-verify=false', `${berth.host}/course/none`], {
      expect: 'fails',
    });
  });
});

test('podman pushes a manifest list of two platforms and each platform is found in it', {
  skip,
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const podman = (...args: string[]) => home.run('podman', args);
  await buildBaseImage(home);
  await podman('manifest', 'create', 'localhost/multi:1');
  for (const architecture of ['amd64', 'arm64']) {
    // No program of the foreign architecture runs: the image is only put together.
    await home.write(`${architecture}/Containerfile`, 'FROM scratch\nCOPY platform /platform\n');
    await home.write(`${architecture}/platform`, `${architecture}\n`);
    await podman(
      ...['build', '--platform', `linux/${architecture}`, '--manifest', 'localhost/multi:1'],
      home.path(architecture),
    );
  }
  const name = `${berth.host}/course/multi:1`;
  await podman('manifest', 'push', '--all', '--tls-verify=false', 'localhost/multi:1', `docker://${name}`);

  const response = await fetch(`${berth.url}/v2/course/multi/manifests/1`, {
    headers: {
      accept:
        'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json',
    },
  });
  assert.equal(response.status, 200);
  const index = JSON.parse(await response.text());
  const platforms = index.manifests.map(
    (entry: { platform: { os: string; architecture: string } }) =>
      `${entry.platform.os}/${entry.platform.architecture}`,
  );
  assert.deepEqual(platforms.sort(), ['linux/amd64', 'linux/arm64']);
  for (const { digest } of index.manifests) {
    const child = await fetch(`${berth.url}/v2/course/multi/manifests/${digest}`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    assert.equal(child.status, 200);
    assert.equal(sha256(Buffer.from(await child.arrayBuffer())), digest);
  }

  await podman('rmi', '--all', '--force');
  await podman('pull', '--tls-verify=false', '--arch', 'arm64', name);
  const { stdout } = await podman('image', 'inspect', '--format', '{{.Os}}/{{.Architecture}}', name);
  assert.equal(stdout.trim(), 'linux/arm64');
});
