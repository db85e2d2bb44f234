// Where folders lie to each other.
import { isAbsolute, relative } from 'node:path';

/** Whether an absolute path is `folder` or something in it. */
export function isWithinFolder(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith('../') && !isAbsolute(way));
}
