// Settings that are each allowed and cannot be had together.
import { accessMode, isLoopback, reasonForToken } from './access-mode.ts';
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
  return [...checkTls(tlsFiles, whereOf), ...checkOpen(config, whereOf), ...checkSizes(config, whereOf)];
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

/**
 * What keeps a server with this configuration from starting although nothing in it is wrong: access control, which mode token
 * needs, is not part of this version.
 */
export function checkStartable(config: Config, whereOf: (path: string) => string): readonly Fault[] {
  if (accessMode(config) !== 'token') return [];
  const later =
    'Sign-in comes with access control, which this version does not have yet. To run without sign-in set access.mode: open ' +
    '(--open, BERTH_ACCESS_MODE=open)';
  if (config.access.mode === 'token') {
    return [{ where: whereOf('access.mode'), message: `access.mode token cannot be served. ${later}` }];
  }
  const reason = reasonForToken(config) ?? 'http.address';
  const network =
    ' and, since other machines are to reach it, access.openOnNetwork: true (BERTH_ACCESS_OPEN_ON_NETWORK=true)';
  return [
    {
      where: whereOf(reason),
      message: `with ${reason} set, access.mode auto means token. ${later}${network}`,
    },
  ];
}
