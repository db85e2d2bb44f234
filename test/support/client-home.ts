// A home folder for the container programs of one test: their own image storage, settings and credentials, so that
// they neither see nor touch those of the person who runs the tests.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';
import { unmountBelow } from './file-systems.ts';
import { type Finished, findProgram, type RunOptions, run, start } from './programs.ts';

export interface ClientHome {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** A path in the home folder. */
  path(...parts: string[]): string;
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Finished>;
  start(program: string, args: readonly string[], options?: RunOptions): ReturnType<typeof start>;
  /** Writes a text file, with the folders above it, and gives its path. */
  write(path: string, text: string): Promise<string>;
  /** Forgets all images and containers, as a new machine would. */
  wipeStorage(): Promise<void>;
}

/** Makes the home; it is emptied and removed after the test. */
export async function makeClientHome(t: Cleanup): Promise<ClientHome> {
  const folder = await makeFolder(t, 'home');
  const path = (...parts: string[]) => join(folder, ...parts);
  const write = async (name: string, text: string) => {
    await mkdir(join(path(name), '..'), { recursive: true });
    await writeFile(path(name), text);
    return path(name);
  };
  const environment = {
    ...process.env,
    HOME: folder,
    XDG_RUNTIME_DIR: path('runtime'),
    XDG_CONFIG_HOME: path('.config'),
    XDG_CACHE_HOME: path('.cache'),
    XDG_DATA_HOME: path('.local/share'),
    DOCKER_CONFIG: path('.docker'),
    TMPDIR: path('tmp'),
    CONTAINERS_STORAGE_CONF: await write('storage.conf', storageSettings(folder)),
    CONTAINERS_CONF: await write('containers.conf', engineSettings(folder)),
    CONTAINERS_REGISTRIES_CONF: await write('registries.conf', 'unqualified-search-registries = []\n'),
    BUILDAH_ISOLATION: 'chroot',
    REGISTRY_AUTH_FILE: await write('auth.json', '{}\n'),
  };
  await mkdir(path('tmp'), { recursive: true });
  await mkdir(path('runtime'), { recursive: true, mode: 0o700 });
  const home = {
    folder,
    environment,
    path,
    write,
    run: (program: string, args: readonly string[], options: RunOptions = {}) =>
      run(program, args, { environment, folder, ...options }),
    start: (program: string, args: readonly string[], options: RunOptions = {}) =>
      start(program, args, { environment, folder, ...options }),
    wipeStorage: async () => {
      if (findProgram('buildah') !== undefined) {
        await run('buildah', ['rm', '--all'], { environment, folder, expect: 'either' });
        await run('buildah', ['rmi', '--all', '--force'], { environment, folder, expect: 'either' });
      }
    },
  };
  // Containers and daemons hold mounts below the folder; without this the folder could not be removed.
  onEnd(t, async () => {
    await home.wipeStorage();
    await unmountBelow(folder);
  });
  return home;
}

function storageSettings(folder: string): string {
  return `[storage]
driver = "vfs"
graphroot = "${join(folder, 'storage')}"
runroot = "${join(folder, 'runtime', 'storage')}"
`;
}

function engineSettings(folder: string): string {
  return `[containers]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "${join(folder, 'runtime', 'libpod')}"
`;
}
