// File systems of a test's own: a disk in a file, whose state can be copied as a power cut would leave it, and small
// memory disks that are soon full. Needs root.
import { mkdir, readFile } from 'node:fs/promises';
import { type Cleanup, onEnd } from './cleanup.ts';
import { run } from './programs.ts';

/** Makes an empty ext4 file system in a file. */
export async function makeDiskImage(path: string, mebibytes: number): Promise<void> {
  await run('truncate', ['--size', `${mebibytes}M`, path]);
  await run('mkfs.ext4', ['-q', '-F', path]);
}

/**
 * Mounts a disk image until the end of the test. The file system's own regular commit is put off, so that only what a
 * program makes durable is on the disk.
 */
export async function mountImage(t: Cleanup, image: string, folder: string): Promise<void> {
  await mount(t, ['-o', 'loop,commit=600,noauto_da_alloc', image], folder);
}

/** Mounts a memory disk with the options of tmpfs until the end of the test. */
export async function mountMemory(t: Cleanup, options: string, folder: string): Promise<void> {
  await mount(t, ['-t', 'tmpfs', '-o', options, 'tmpfs'], folder);
}

/** Changes the size of a memory disk while it is in use. */
export async function resizeMemory(options: string, folder: string): Promise<void> {
  await run('mount', ['-o', `remount,${options}`, folder]);
}

/** Unmounts everything below a folder: what buildah mounted, and what a daemon that was killed left behind. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  const places = mounts.split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const place of places.filter((path) => path.startsWith(`${folder}/`)).toReversed()) {
    await run('umount', ['--lazy', place], { expect: 'either' });
  }
}

/** The reason why this machine cannot mount a file as a disk, or false. */
export async function skipWithoutLoopDevices(): Promise<string | false> {
  const { code, output } = await run('losetup', ['--find'], { expect: 'either' });
  if (code === 0) return false;
  const reason = `there is no free loop device here: ${output.trim()}`;
  if (process.env.CI === 'true') throw new Error(`CI must run every end-to-end test: ${reason}`);
  return reason;
}

async function mount(t: Cleanup, args: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run('mount', [...args, folder]);
  onEnd(t, () => run('umount', ['--lazy', folder], { expect: 'either' }));
}
