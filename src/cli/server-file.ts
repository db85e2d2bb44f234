// <data>/server.json: how commands on this machine find the server that runs on a data folder.
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ServerFile {
  readonly pid: number;
  readonly version: string;
  /** Where it answers over the network; null: on the socket alone. */
  readonly url: string | null;
  /** The management socket, absolute; null: it has none. */
  readonly socket: string | null;
}

/** Where the file is. */
export function serverFileOf(data: string): string {
  return join(data, 'server.json');
}

/** Writes the file; the returned function removes it. A killed server leaves it behind: the lock of the folder tells. */
export async function writeServerFile(data: string, content: ServerFile): Promise<() => Promise<void>> {
  const path = serverFileOf(data);
  const beside = `${path}.new`;
  // Renamed, so that nobody reads half of it. Nothing is lost with it in a power cut: the server is gone then, too.
  await writeFile(beside, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  await rename(beside, path);
  return () => rm(path, { force: true });
}
