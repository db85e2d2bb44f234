// The third door: nobody runs on the data folder, so the command takes its lock and runs the same application on the socket
// alone, for as long as it lasts.
import { statSync } from 'node:fs';
import pino from 'pino';
import type { Config } from '../../config/config.ts';
import { FolderInUseError } from '../../storage/sqlite/lock.ts';
import { version } from '../../version.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { startServer } from '../server.ts';
import { asStartFailure } from '../start-failure.ts';

export interface OwnServer {
  readonly socket: string | undefined;
  close(): Promise<void>;
}

export type Entered =
  | { readonly server: OwnServer }
  /** The process that has the folder, where it says who it is. */
  | { readonly heldBy: number | undefined };

/** Starts the application in this process, unless another one has the folder. Throws CommandError. */
export async function enterFolder(config: Config, context: CommandContext): Promise<Entered> {
  becomeOwner(config.data);
  // What the stores write is for the folder's owner alone, whatever the shell's umask.
  process.umask(0o077);
  // The command says what went wrong; the log adds only what it cannot know.
  const runtimeFolder = context.environment.XDG_RUNTIME_DIR || undefined;
  const log = pino({ level: 'error', base: null }, pino.destination({ dest: 2, sync: true }));
  try {
    const server = await startServer({ config, log, version, listen: 'socket', runtimeFolder });
    return { server: { socket: server.socket, close: closeOnce(server.close) } };
  } catch (error) {
    if (error instanceof FolderInUseError) return { heldBy: error.pid };
    throw asStartFailure(error, config, context.userId);
  }
}

/** root works as the folder's owner: a file of root's in it would keep the server from starting as its own user. */
function becomeOwner(folder: string): void {
  const { uid, gid } = statSync(folder);
  if (process.getuid?.() !== 0 || uid === 0) return;
  try {
    process.setgroups?.([gid]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    const message = `${folder} belongs to user ${uid}, and this root may not become that user: run it as user ${uid}`;
    throw new CommandError(exitCodes.failed, message, { cause: error });
  }
}

/** Ctrl-C lets go of the folder before it ends the command. */
function closeOnce(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  const once = (): Promise<void> => (closing ??= close());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      const code = signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.failed;
      void once().finally(() => process.exit(code));
    });
  }
  return once;
}

/** The folder is held by a process that cannot be spoken to. */
export function inUse({ data, http }: Config, pid: number | undefined): CommandError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  const why =
    http.socket === 'off'
      ? 'http.socket is off'
      : 'it may be starting, stopping or hanging: try again, or look at its log';
  const message =
    `${data} is in use by ${who}, which does not answer on its socket (${why}). ` +
    `Over the network it is reached with -r HOST${pid === undefined ? '' : `; kill ${pid} ends it`}`;
  return new CommandError(exitCodes.unreachable, message);
}
