// The socket by which commands on this machine reach the running server: the same application, for this user and root alone.
// Whoever may open it is administrator.
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener, Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fitsSocket } from '../config/combinations.ts';
import type { Config } from '../config/config.ts';
import { createServer, refuseConnection } from '../http/connections.ts';
import { markLocal } from '../http/facts.ts';

export interface ManagementSocket {
  readonly path: string;
  readonly server: Server;
  /** Removes the file. The server is closed by whoever drains it. */
  remove(): Promise<void>;
}

/** The path is taken by something that must not be replaced. `message` says what to do. */
export class SocketTakenError extends Error {
  override readonly name = 'SocketTakenError';
}

/**
 * Listens for `listener` at http.socket; `auto` is <data>/berth.sock, or a short path in `runtimeFolder` (else a folder of its
 * own in the temporary one) where that is longer than a socket can have. A file that a killed server left is replaced. The caller
 * holds the lock of the data folder. Throws SocketTakenError.
 */
export async function listenOnSocket(
  config: Config,
  listener: RequestListener,
  runtimeFolder: string | undefined,
): Promise<ManagementSocket> {
  const { path, ownFolder } = await placeOf(config, runtimeFolder);
  const removeAll = async () => {
    await rm(path, { force: true });
    if (ownFolder) await rm(dirname(path), { recursive: true, force: true });
  };
  try {
    await removeStale(path);
    const server = createServer(config.limits, undefined, listener) as Server;
    server.on('clientError', refuseConnection);
    markLocal(server);
    await bind(server, path);
    await chmod(path, 0o600);
    return { path, server, remove: removeAll };
  } catch (error) {
    if (ownFolder) await removeAll();
    throw error;
  }
}

async function placeOf(
  { data, http }: Config,
  runtimeFolder: string | undefined,
): Promise<{ path: string; ownFolder: boolean }> {
  // `off` is for servers; a command that is alone with the folder needs its socket all the same.
  if (http.socket !== 'auto' && http.socket !== 'off') return { path: http.socket, ownFolder: false };
  const inData = join(data, 'berth.sock');
  if (fitsSocket(inData)) return { path: inData, ownFolder: false };
  const name = createHash('sha256').update(data).digest('hex').slice(0, 16);
  const inRuntime = join(runtimeFolder ?? '/', `berth-${name}.sock`);
  if (runtimeFolder !== undefined && fitsSocket(inRuntime)) return { path: inRuntime, ownFolder: false };
  // Its name cannot be foreseen and nobody else may enter it, in a folder where everybody may write.
  return { path: join(await mkdtemp(join(tmpdir(), 'berth-')), 'berth.sock'), ownFolder: true };
}

/** Removes the socket of a server that is gone. Throws SocketTakenError when it is something else. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SocketTakenError(
      `http.socket: ${path} is there and is no socket; move it away, or choose another path`,
    );
  }
  if (await answers(path)) {
    throw new SocketTakenError(`http.socket: another program listens on ${path}; choose another path`);
  }
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The file is made within this call: nobody else can open it between its making and chmod.
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}
