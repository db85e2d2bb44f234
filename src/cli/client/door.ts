// Which registry a command speaks to, and how. Three doors: a registry that is named, over HTTPS; the socket of the server that
// runs on the data folder; the folder itself, when nobody runs there. Behind each of them is the same management API.
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { isLoopback } from '../../config/access-mode.ts';
import type { Config } from '../../config/config.ts';
import { loadFor } from '../config-options.ts';
import type { CommandContext, Surroundings } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type ServerFile, serverFileOf } from '../server-file.ts';
import { authoritiesFor } from './authorities.ts';
import { authorizationOf, type Credential, findCredential } from './credentials.ts';
import type { Target } from './http.ts';
import type { OwnServer } from './own-folder.ts';
import { addressText, parseRegistryAddress } from './registry-address.ts';

export interface DoorOptions {
  readonly registry?: string;
  readonly config?: string;
  readonly data?: string;
}

export interface Door {
  readonly kind: 'registry' | 'socket' | 'folder';
  /** What stands before an image's name at this registry. */
  readonly host: string;
  /** As -r and BERTH_REGISTRY take it: the host, with its scheme where that is not understood. */
  readonly address: string;
  readonly target: Target;
  /** What goes with every request: who is asking. */
  readonly headers: Readonly<Record<string, string>>;
  /** The data folder, at a door of this machine. */
  readonly folder: string | undefined;
  /** With what, and from where; undefined: without, or by the socket. */
  readonly credential: Credential | undefined;
  close(): Promise<void>;
}

/** How long a server may take to start or to answer, and a command to end, before one gives up on it. */
const busyMilliseconds = 5000;
const commandMilliseconds = 60_000;
const retryMilliseconds = 100;
/** Whoever starts has written server.json by then, unless the disk is full. */
const announcedMilliseconds = 1000;

/** Adds the options that choose the door. */
export function addDoorOptions(command: Command): Command {
  return command
    .option('-r, --registry <host|url>', 'the registry to speak to (else BERTH_REGISTRY, else this machine)')
    .option('-c, --config <file>', 'configuration file of the server on this machine')
    .option('--data <folder>', 'data folder of the server on this machine');
}

/** `named`: the host in front of a repository's name. Throws CommandError, 7 when there is no registry. The caller closes it. */
export async function openDoor(options: DoorOptions, context: CommandContext, named?: string): Promise<Door> {
  const byFlag = options.registry ?? named;
  if (byFlag !== undefined)
    return openRegistry(byFlag, options.registry ? '--registry' : 'reference', context);
  const { BERTH_REGISTRY: byEnvironment } = context.environment;
  // A flag that names a folder wins over the environment.
  if (byEnvironment && options.data === undefined && options.config === undefined) {
    return openRegistry(byEnvironment, 'BERTH_REGISTRY', context);
  }
  return openLocal(loadFor(options, context).config, context);
}

/** The door to a named registry. `source` tells where the name comes from, for messages. */
export async function openRegistry(name: string, source: string, context: Surroundings): Promise<Door> {
  const { host, origin } = parseRegistryAddress(name, source);
  const credential = await findCredential(host, context);
  return {
    kind: 'registry',
    host,
    address: addressText(origin),
    target: targetOf(origin, host, context.homeFolder),
    headers: credential === undefined ? {} : { authorization: authorizationOf(credential) },
    folder: undefined,
    credential,
    close: async () => undefined,
  };
}

export function targetOf(origin: string, host: string, homeFolder: string): Target {
  return origin.startsWith('https:') ? { origin, authorities: authoritiesFor(host, homeFolder) } : { origin };
}

/** Tries both doors of this machine until one opens; whoever has the folder meanwhile gets some time to let go, or to answer. */
async function openLocal(config: Config, context: CommandContext): Promise<Door> {
  const headers = localUser(context);
  let holder: number | undefined;
  let since = performance.now();
  for (;;) {
    const door = await findServer(config, context, headers);
    if (door !== undefined) return door;
    if (!existsSync(join(config.data, 'berth.db'))) throw noRegistry(config);
    const { enterFolder, inUse } = await import('./own-folder.ts');
    const entered = await enterFolder(config, context);
    if ('server' in entered) return folderDoor(config, headers, entered.server);
    // One that waits in line counts from when the next one has its turn.
    if (entered.heldBy !== holder) since = performance.now();
    holder = entered.heldBy;
    const patience = isCommand(readServerFile(config.data, context)) ? commandMilliseconds : busyMilliseconds;
    const waited = performance.now() - since;
    if (waited > announcedMilliseconds) {
      const unannounced = await findUnannounced(config, context, headers);
      if (unannounced !== undefined) return unannounced;
    }
    if (waited > patience) throw inUse(config, holder);
    await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
  }
}

/** The socket of the server that runs on the folder; undefined: none answers there. */
export async function findServer(
  config: Config,
  context: CommandContext,
  headers = localUser(context),
): Promise<Door | undefined> {
  const file = readServerFile(config.data, context);
  // Another command that has the folder lets go of it in a moment, with a request in flight.
  if (!file?.socket || isCommand(file) || !(await answers(file.socket, context))) return undefined;
  const target = { origin: 'http://localhost', socketPath: file.socket, process: file.pid };
  return socketDoor(config, headers, file.url, target);
}

/**
 * The server that had no room on the disk for server.json, by its socket in the folder, where nobody but the folder's own server
 * listens; undefined: none answers there. A socket elsewhere may be another registry's.
 */
export async function findUnannounced(
  config: Config,
  context: CommandContext,
  headers = localUser(context),
): Promise<Door | undefined> {
  if (config.http.socket !== 'auto' || readServerFile(config.data, context) !== undefined) return undefined;
  const socketPath = join(config.data, 'berth.sock');
  if (!(await answers(socketPath, context))) return undefined;
  return socketDoor(config, headers, null, { origin: 'http://localhost', socketPath });
}

function socketDoor(config: Config, headers: Door['headers'], url: string | null, target: Target): Door {
  return {
    kind: 'socket',
    ...namesOf(config, url),
    target,
    headers,
    folder: config.data,
    credential: undefined,
    close: async () => undefined,
  };
}

function folderDoor(config: Config, headers: Door['headers'], server: OwnServer): Door {
  return {
    kind: 'folder',
    ...namesOf(config, null),
    target: { origin: 'http://localhost', socketPath: server.socket },
    headers,
    folder: config.data,
    credential: undefined,
    close: server.close,
  };
}

/** A command writes no address: it listens on the socket alone. */
function isCommand(file: ServerFile | undefined): boolean {
  return file?.url === null;
}

/** What the server in the folder says of itself; undefined: none is there. Throws CommandError when this user may not look. */
export function readServerFile(folder: string, context: Surroundings): ServerFile | undefined {
  try {
    return JSON.parse(readFileSync(serverFileOf(folder), 'utf8')) as ServerFile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') throw notMine(folder, context);
    return undefined;
  }
}

function answers(socket: string, context: Surroundings): Promise<boolean> {
  const answer = Promise.withResolvers<boolean>();
  const connection = connect(socket);
  connection.on('connect', () => answer.resolve(true));
  connection.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') answer.reject(notMine(socket, context));
    else answer.resolve(false);
  });
  return answer.promise.finally(() => connection.destroy());
}

function noRegistry({ data }: Config): CommandError {
  const message =
    `there is no registry in ${data}. Name one: -r HOST (or BERTH_REGISTRY) for one that runs elsewhere, ` +
    '--data FOLDER for one on this machine';
  return new CommandError(exitCodes.unreachable, message);
}

function notMine(path: string, { userId }: Surroundings): CommandError {
  const message =
    `${path} is not for user ${userId}. Run it as the user of the server or as root, or name the registry with -r HOST ` +
    'and sign in there';
  return new CommandError(exitCodes.notAllowed, message);
}

/** Who the audit log names. */
function localUser({ userId }: Surroundings): Record<string, string> {
  let name = '';
  try {
    name = userInfo().username;
  } catch {
    // Containers run with user ids that have no name.
  }
  return { 'berth-local-user': `${userId}(${name.replace(/[^A-Za-z0-9_.@-]/g, '')})` };
}

/** `url`: where the running server listens; null: as configured. */
function namesOf({ http }: Config, url: string | null): Pick<Door, 'host' | 'address'> {
  const scheme = http.tls === undefined ? 'http' : 'https';
  const listening = url ?? `${scheme}://${bracketed(http.address)}:${http.port || 5000}`;
  const { origin, protocol, host, hostname: name } = new URL(http.publicUrl ?? listening);
  if (http.publicUrl !== undefined) return { host, address: addressText(origin) };
  const everywhere = name === '0.0.0.0' || name === '[::]';
  const named = host.replace(name, everywhere ? hostname() : isLoopback(name) ? 'localhost' : name);
  return { host: named, address: addressText(`${protocol}//${named}`) };
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
