// <data>/server.json: how commands on this machine find the server that runs on a data folder.
import { join } from 'node:path';
import { removeDurably, writeDurably } from './durable-file.ts';

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
  await writeDurably(path, `${JSON.stringify(content)}\n`);
  return async () => {
    await removeDurably(path);
  };
}
