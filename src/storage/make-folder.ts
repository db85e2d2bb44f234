// Making a folder with all above it. Node's own recursive mkdir never returns where the system answers ENOENT although the
// folder above is there, as in /proc.
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** There is a place where no folder can be made, whoever asks. */
export class NoFolderPossibleError extends Error {
  override readonly name = 'NoFolderPossibleError';
}

/** Makes `path`, for its owner alone, unless it is there. Throws NoFolderPossibleError, or the system's error. */
export async function makeFolder(path: string): Promise<void> {
  if (await tryMaking(path)) return;
  const above = dirname(path);
  if (above === path) throw new NoFolderPossibleError(`no folder can be made in ${path}`);
  await makeFolder(above);
  if (!(await tryMaking(path))) throw new NoFolderPossibleError(`no folder can be made in ${above}`);
}

/** False where the folder above is not there, or so the system says. */
async function tryMaking(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    // Whatever keeps a folder from being made that is there already (a read-only file system) is no matter.
    if (await isFolder(path)) return true;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
