// The base image that the Dockerfile asks for, made on this machine without any image registry: a minimal Debian, the
// pinned Node and npm.
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { ClientHome } from './client-home.ts';
import { makeDebianArchive } from './images.ts';
import { run } from './programs.ts';

const NPM = 'npm@11';

/** Builds the base image into the home's storage under `name`. The pinned Node is the one that npm installed here. */
export async function buildNodeBase(home: ClientHome, name: string): Promise<void> {
  const archive = await makeDebianArchive();
  const npm = await unpackNpm(home);
  const { stdout } = await home.run('buildah', ['from', 'scratch']);
  const container = stdout.trim();
  const buildah = (...args: string[]) => home.run('buildah', args);
  await buildah('add', container, archive, '/');
  await buildah('copy', '--chmod', '0755', container, findPinnedNode(), '/usr/local/bin/node');
  await buildah('copy', container, npm, '/usr/local/lib/node_modules/npm');
  const link = ['ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', '/usr/local/bin/npm'];
  await buildah('run', '--isolation', 'chroot', container, '--', ...link);
  await buildah(
    'config',
    '--env',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    container,
  );
  await buildah('commit', '--rm', container, name);
}

/**
 * The options of `buildah build` that let `npm ci` in a build reach the package registry as it does on this machine: the
 * settings that npm has here, wherever they stand, and the certificates that they name.
 */
export async function npmBuildOptions(home: ClientHome): Promise<string[]> {
  const names = ['registry', 'cafile', 'proxy', 'https-proxy'];
  const settings = await Promise.all(names.map(async (name) => [name, await readNpmSetting(name)] as const));
  const known = settings.filter(([, value]) => value !== undefined);
  const file = await home.write('npmrc', known.map(([name, value]) => `${name}=${value}\n`).join(''));
  const certificates = known.find(([name]) => name === 'cafile')?.[1];
  const options = ['--volume', `${file}:/root/.npmrc:ro`];
  return certificates === undefined
    ? options
    : [...options, '--volume', `${certificates}:${certificates}:ro`];
}

async function readNpmSetting(name: string): Promise<string | undefined> {
  const { stdout } = await run('npm', ['config', 'get', name]);
  const value = stdout.trim();
  return value === '' || value === 'null' || value === 'undefined' ? undefined : value;
}

function findPinnedNode(): string {
  const manifest = createRequire(import.meta.url).resolve('node/package.json');
  return join(dirname(manifest), 'bin', 'node');
}

async function unpackNpm(home: ClientHome): Promise<string> {
  const folder = home.path('npm');
  await mkdir(folder, { recursive: true });
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder, NPM]);
  await run('tar', ['--extract', '--file', join(folder, stdout.trim()), '--directory', folder]);
  return join(folder, 'package');
}
