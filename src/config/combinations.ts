// Settings that are each allowed and cannot be had together.
import { isWithinFolder } from '../storage/folders.ts';
import { accessMode, isLoopback } from './access-mode.ts';
import type { Config } from './config.ts';
import type { Fault } from './faults.ts';

/**
 * Every fault between settings. `tlsFiles` says which of the two files are named, `whereOf` where a setting was set (its path
 * when nobody set it).
 */
export function checkCombinations(
  config: Config,
  tlsFiles: { readonly certificate: boolean; readonly key: boolean },
  whereOf: (path: string) => string,
): readonly Fault[] {
  return [
    ...checkTls(tlsFiles, whereOf),
    ...checkOpen(config, whereOf),
    ...checkSizes(config, whereOf),
    ...checkSocket(config, whereOf),
    ...checkCredentials(config, whereOf),
    ...checkAdminPassword(config, whereOf),
    ...checkBackup(config, whereOf),
  ];
}

function checkTls(
  tlsFiles: { readonly certificate: boolean; readonly key: boolean },
  whereOf: (path: string) => string,
): Fault[] {
  if (tlsFiles.certificate === tlsFiles.key) return [];
  const [given, missing] = tlsFiles.certificate ? ['certificate', 'key'] : ['key', 'certificate'];
  const message = `http.tls.${given} is set and http.tls.${missing} is not: TLS needs both files, plain HTTP neither`;
  return [{ where: whereOf(`http.tls.${given}`), message }];
}

/** An open registry answers this machine only, so whatever speaks of other machines contradicts it. */
function checkOpen(config: Config, whereOf: (path: string) => string): Fault[] {
  const { http, access } = config;
  if (accessMode(config) !== 'open' || access.openOnNetwork) return [];
  const remedy =
    'Without sign-in anybody who reaches it could push and delete; if that is meant, set access.openOnNetwork: true ' +
    '(BERTH_ACCESS_OPEN_ON_NETWORK=true)';
  const faults: Fault[] = [];
  const refuse = (path: string, what: string): void => {
    faults.push({
      where: whereOf(path),
      message: `access.mode open is for this machine only, but ${what}. ${remedy}`,
    });
  };
  if (!isLoopback(http.address))
    refuse('http.address', `http.address ${http.address} is not a loopback address`);
  if (http.publicUrl !== undefined && !isLoopback(new URL(http.publicUrl).hostname)) {
    refuse('http.publicUrl', `http.publicUrl ${http.publicUrl} is the name of another place`);
  }
  if (http.trustedProxies.length > 0) {
    refuse('http.trustedProxies', 'http.trustedProxies lets requests of other machines in');
  }
  return faults;
}

function checkSizes(config: Config, whereOf: (path: string) => string): Fault[] {
  const faults: Fault[] = [];
  const { upload, manifestSizeLimit } = config.storage;
  if (upload.idleExpiry > upload.longest) {
    const message =
      'storage.upload.idleExpiry is longer than storage.upload.longest, which would always come first';
    faults.push({ where: whereOf('storage.upload.idleExpiry'), message });
  }
  // A manifest is parsed whole and is one row of the database: this bound keeps both harmless.
  if (manifestSizeLimit < 1 || manifestSizeLimit > 64 * 2 ** 20) {
    const message =
      'storage.manifestSizeLimit: allowed: 1B to 64MiB, since a manifest is held in memory whole';
    faults.push({ where: whereOf('storage.manifestSizeLimit'), message });
  }
  return faults;
}

/** The longest path that a socket can be bound to (sun_path without its final zero byte). */
const longestSocketPath = process.platform === 'linux' ? 107 : 103;

/** Whether a socket can be bound to a path. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) <= longestSocketPath;
}

function checkSocket({ http }: Config, whereOf: (path: string) => string): Fault[] {
  if (fitsSocket(http.socket)) return [];
  const message = `http.socket is longer than the ${longestSocketPath} bytes that the system allows for a socket`;
  return [{ where: whereOf('http.socket'), message }];
}

/** The shortest life of a bearer token: clients take any shorter one for this. */
const shortestTokenSeconds = 60;

function checkCredentials({ auth }: Config, whereOf: (path: string) => string): Fault[] {
  const faults: Fault[] = [];
  const notLonger = (shorter: string, longer: string, seconds: readonly [number, number], why: string) => {
    if (seconds[0] <= seconds[1]) return;
    // Whoever set one of the two alone is shown that one.
    const path = whereOf(shorter) === shorter ? longer : shorter;
    faults.push({ where: whereOf(path), message: `${shorter} is longer than ${longer}, ${why}` });
  };
  for (const kind of ['personalToken', 'robotToken'] as const) {
    const { defaultExpiry, longestExpiry } = auth[kind];
    const [shorter, longer] = [`auth.${kind}.defaultExpiry`, `auth.${kind}.longestExpiry`];
    notLonger(shorter, longer, [defaultExpiry, longestExpiry], 'which no token may be');
  }
  const { session, token } = auth;
  notLonger(
    'auth.session.idle',
    'auth.session.longest',
    [session.idle, session.longest],
    'which would always come first',
  );
  notLonger(
    'auth.token.lifetime',
    'auth.token.keyRotation',
    [token.lifetime, token.keyRotation],
    'so that a token would outlive the key that verifies it',
  );
  if (token.lifetime < shortestTokenSeconds) {
    const message = `auth.token.lifetime: allowed: ${shortestTokenSeconds}s or more, since clients take a shorter life for that`;
    faults.push({ where: whereOf('auth.token.lifetime'), message });
  }
  return faults;
}

/** bcrypt reads no further. */
const longestPasswordBytes = 72;

// A password that no user could set is not taken for the first administrator either. It is never repeated in a fault.
function checkAdminPassword({ access, auth }: Config, whereOf: (path: string) => string): Fault[] {
  const { adminPassword } = access;
  if (adminPassword === undefined) return [];
  const { minimumLength } = auth.password;
  const fits = [...adminPassword].length >= minimumLength;
  if (fits && Buffer.byteLength(adminPassword) <= longestPasswordBytes) return [];
  const message = `access.adminPassword: allowed: ${minimumLength} characters (auth.password.minimumLength) to ${longestPasswordBytes} bytes`;
  return [{ where: whereOf('access.adminPassword'), message }];
}

function checkBackup({ backup, data }: Config, whereOf: (path: string) => string): Fault[] {
  const { schedule, destination } = backup;
  if (destination === undefined) {
    if (schedule === undefined) return [];
    const message = 'backup.schedule is set and backup.destination is not: say where backups go';
    return [{ where: whereOf('backup.schedule'), message }];
  }
  if (!isWithinFolder(destination, data)) return [];
  const message =
    'backup.destination lies in the data folder: choose a folder elsewhere, best on another disk';
  return [{ where: whereOf('backup.destination'), message }];
}
