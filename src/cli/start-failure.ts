// Why a server did not start, as a sentence that says what to do.
import type { Config } from '../config/config.ts';
import { DiskFullError } from '../storage/faults.ts';
import { NoFolderPossibleError } from '../storage/make-folder.ts';
import { CommandError, exitCodes } from './exit-codes.ts';

/** Errors of the stores that are sentences already. */
const plainErrors = new Set([
  'FolderInUseError',
  'DamagedDatabaseError',
  'SchemaMismatchError',
  'MediumFailedError',
  'SocketTakenError',
]);

/** The error to end with when `startServer` threw `error`; an unknown one is returned as it is. */
export function asStartFailure(error: unknown, config: Config, userId: number): unknown {
  if (!(error instanceof Error)) return error;
  const failed = (message: string): CommandError =>
    new CommandError(exitCodes.failed, message, { cause: error });
  const wrong = (message: string): CommandError =>
    new CommandError(exitCodes.wrongUsage, message, { cause: error });
  const { code = '', syscall, path, address, port } = rootOf(error);
  if (syscall === 'listen' && address?.startsWith('/')) {
    return failed(`http.socket: ${address} cannot be made: ${reasonForSocket(code)}`);
  }
  if (syscall === 'listen') {
    const sentence = listenFailure(code, address ?? config.http.address, port ?? config.http.port, config);
    if (sentence !== undefined) return code === 'EADDRNOTAVAIL' ? wrong(sentence) : failed(sentence);
  }
  if (config.http.tls !== undefined) {
    const { certificate, key } = config.http.tls;
    if (path === certificate)
      return wrong(`http.tls.certificate ${certificate} cannot be read: ${reasonOf(code)}`);
    if (path === key) return wrong(`http.tls.key ${key} cannot be read: ${reasonOf(code)}`);
    if (code.startsWith('ERR_OSSL') || code.startsWith('ERR_SSL')) {
      return wrong(
        `the TLS files are not a certificate and its key in PEM form (${error.message}): ${certificate}, ${key}`,
      );
    }
  }
  if (error.name === 'InvalidPasswordError') return wrong(`access.adminPassword: ${error.message}`);
  if (error instanceof NoFolderPossibleError)
    return failed(
      `the data folder ${config.data} cannot be used: ${error.message}. Choose another with --data`,
    );
  if (plainErrors.has(error.name)) return failed(error.message);
  if (error instanceof DiskFullError) {
    return failed(`the disk of ${config.data} is full: free some space, then start again (${error.message})`);
  }
  const folderReason = folderFailure(code, userId);
  return folderReason === undefined
    ? error
    : failed(`the data folder ${config.data} cannot be used: ${folderReason}`);
}

interface SystemFields {
  readonly code?: string;
  readonly syscall?: string;
  readonly path?: string;
  readonly address?: string;
  readonly port?: number;
}

/** The fields of the system's error, which may be the cause of another. */
function rootOf(error: Error): SystemFields {
  const fields = error as SystemFields;
  if (fields.code === undefined && error.cause instanceof Error) return rootOf(error.cause);
  return fields;
}

function listenFailure(
  code: string,
  address: string,
  port: number,
  { metrics, http }: Config,
): string | undefined {
  const forMetrics = metrics.address !== undefined && port === metrics.address.port && port !== http.port;
  const setting = forMetrics ? 'metrics.address' : 'http.address';
  if (code === 'EADDRINUSE') {
    if (forMetrics) return `port ${port} is in use by another program. Give metrics.address another one`;
    const airPlay = port === 5000 || port === 7000 ? ' (on macOS that is usually AirPlay Receiver)' : '';
    return `port ${port} is in use by another program${airPlay}. Start with: npm start -- --port ${port === 65_535 ? 5000 : port + 1}`;
  }
  if (code === 'EADDRNOTAVAIL') {
    return `${setting}: ${address} is not an address of this machine. 127.0.0.1 is for this machine only, 0.0.0.0 for all`;
  }
  if (code === 'EACCES') {
    return (
      `port ${port} may not be opened by this user. Take one from 1024 on, behind a proxy if need be, or give the ` +
      'right for it (AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit)'
    );
  }
  return undefined;
}

function reasonForSocket(code: string): string {
  const reasons: Record<string, string> = {
    // Node says this for a folder that is not there, too.
    EACCES: 'its folder is not there, or this user may not write in it',
    EROFS: 'it is on a read-only file system',
  };
  return reasons[code] ?? code;
}

function reasonOf(code: string): string {
  return (
    { ENOENT: 'there is no such file', EACCES: 'this user may not read it', EISDIR: 'it is a folder' }[
      code
    ] ?? code
  );
}

function folderFailure(code: string, userId: number): string | undefined {
  const readOnly = 'it is on a read-only file system';
  const noRight = `user ${userId} may not write there. Give the folder to this user (chown), or choose another with --data`;
  const notFolder = 'it, or a part of its path, is a file. Choose another with --data';
  const reasons: Record<string, string> = {
    EACCES: noRight,
    EPERM: noRight,
    SQLITE_CANTOPEN: noRight,
    SQLITE_READONLY: noRight,
    EROFS: readOnly,
    ENOTDIR: notFolder,
    EEXIST: notFolder,
    ENAMETOOLONG: 'its path is too long',
  };
  return (
    reasons[code] ??
    (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY') ? noRight : undefined)
  );
}
