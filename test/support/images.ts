// Images for the end-to-end tests, made on this machine without any registry: from busybox, from debootstrap, or
// written by hand as an OCI layout.
import { createHash } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ClientHome } from './client-home.ts';
import { findProgram, run } from './programs.ts';

export const BASE_IMAGE = 'localhost/berth-test/base:1';

/** Builds a base image with a shell and the usual tools from this machine's static busybox. */
export async function buildBaseImage(home: ClientHome): Promise<string> {
  const context = home.path('base');
  await mkdir(context, { recursive: true });
  const busybox = findProgram('busybox');
  if (busybox === undefined) throw new Error('busybox is not installed');
  await copyFile(busybox, join(context, 'busybox'));
  await chmod(join(context, 'busybox'), 0o755);
  await writeFile(
    join(context, 'Containerfile'),
    'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n',
  );
  await home.run('buildah', ['build', '--layers=false', '--tag', BASE_IMAGE, context]);
  return BASE_IMAGE;
}

/** Builds a small image that says `text`; different texts give different layers on the same base. */
export async function buildSmallImage(home: ClientHome, name: string, text: string): Promise<string> {
  const folder = `image-${name.replaceAll(/[^a-z0-9]/g, '-')}`;
  await home.write(
    `${folder}/Containerfile`,
    `FROM ${BASE_IMAGE}\nCOPY text /text\nLABEL org.example.text="${text}"\nCMD ["cat", "/text"]\n`,
  );
  await home.write(`${folder}/text`, `${text}\n`);
  await home.run('buildah', ['build', '--tag', name, home.path(folder)]);
  return name;
}

/**
 * The path of a tar archive with a minimal Debian of this machine's release, made by debootstrap from the mirror that
 * apt uses here. Kept in a cache folder of the user's under the temporary one, because it takes a minute to make.
 */
export async function makeDebianArchive(): Promise<string> {
  const cache = join(tmpdir(), `berth-e2e-cache-${process.getuid?.() ?? 0}`);
  await mkdir(cache, { recursive: true, mode: 0o700 });
  const owner = (await lstat(cache)).uid;
  if (owner !== process.getuid?.()) throw new Error(`${cache} belongs to another user (${owner})`);
  const { mirror, release } = await findDebianMirror();
  const archive = join(cache, `debian-${release}.tar`);
  if ((await stat(archive).catch(() => undefined)) !== undefined) return archive;

  const root = join(cache, `debian-${release}-${process.pid}`);
  await run('debootstrap', ['--variant=minbase', release, root, mirror], { timeoutSeconds: 1200 });
  await run('tar', ['--create', '--file', `${root}.tar`, '--directory', root, ...LEFT_OUT, '.']);
  await rm(root, { recursive: true, force: true });
  await rename(`${root}.tar`, archive);
  return archive;
}

/** Caches and device files, which an image does not need. */
const LEFT_OUT = [
  '--exclude=./var/cache/apt/archives/*.deb',
  '--exclude=./dev/*',
  '--exclude=./var/lib/apt/lists/*',
];

async function findDebianMirror(): Promise<{ mirror: string; release: string }> {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(CODENAME) $(REPO_URI) $(COMPONENT)',
    'Created-By: Packages',
  ]);
  const line = stdout
    .split('\n')
    .map((text) => text.split(' '))
    .find(([codename, , component]) => /^[a-z]+$/.test(codename ?? '') && component === 'main');
  const [release, mirror] = line ?? [];
  if (release === undefined || mirror === undefined) {
    throw new Error(`apt knows no release with a component main:\n${stdout}`);
  }
  return { mirror, release };
}

/** Writes a tar archive of a root folder with nothing but the text in /text, for `docker import`. */
export async function writeImageArchive(home: ClientHome, text: string): Promise<string> {
  await home.write('root/text', text);
  await home.run('tar', ['--create', '--file', 'root.tar', '--directory', home.path('root'), '.']);
  return home.path('root.tar');
}

export interface IndexLayout {
  readonly folder: string;
  /** The JSON text of the index, byte for byte. */
  readonly index: string;
  readonly digest: string;
  /** Of the index and of everything below it. */
  readonly digests: readonly string[];
}

/** Writes an OCI layout that holds, under `tag`, an index with one small image for each architecture. */
export async function writeIndexLayout(
  folder: string,
  tag: string,
  architectures: readonly string[],
): Promise<IndexLayout> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true });
  const digests: string[] = [];
  const store = async (content: string | Buffer) => {
    const digest = sha256(content);
    digests.push(digest);
    await writeFile(join(folder, 'blobs', 'sha256', digest.slice('sha256:'.length)), content);
    return { digest, size: Buffer.byteLength(content) };
  };
  const manifests = [];
  for (const architecture of architectures) {
    const layer = Buffer.alloc(1024, `a layer for ${architecture}. `);
    const config = { architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [sha256(layer)] } };
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        ...(await store(JSON.stringify(config))),
      },
      layers: [
        { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await store(gzipSync(layer))) },
      ],
    };
    const stored = await store(JSON.stringify(manifest));
    manifests.push({ mediaType: manifest.mediaType, ...stored, platform: { os: 'linux', architecture } });
  }
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const index = JSON.stringify({ schemaVersion: 2, mediaType, manifests });
  const descriptor = { mediaType, ...(await store(index)) };
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(
    join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
  );
  return { folder, index, digest: descriptor.digest, digests };
}

/** The digest of some bytes as registries write it. */
export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
