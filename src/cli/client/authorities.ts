// Whose certificates count: Node's own list, the system's, and those that podman and docker read for one registry, so that a
// registry which podman can reach needs nothing more here.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';

/** PEM certificates for a connection to `host` (HOST or HOST:PORT, as the folder is called). containers-certs.d(5). */
export function authoritiesFor(host: string, homeFolder: string): readonly string[] {
  return [
    ...getCACertificates('default'),
    ...getCACertificates('system'),
    ...authoritiesOf(host, homeFolder),
  ];
}

/** Those that are there for `host` alone. */
export function authoritiesOf(host: string, homeFolder: string): readonly string[] {
  return [
    join(homeFolder, '.config/containers/certs.d', host),
    join('/etc/containers/certs.d', host),
    join('/etc/docker/certs.d', host),
  ].flatMap(readFolder);
}

function readFolder(folder: string): readonly string[] {
  try {
    const files = readdirSync(folder).filter((name) => name.endsWith('.crt'));
    return files.map((name) => readFileSync(join(folder, name), 'utf8'));
  } catch {
    // Not there, or not for this user to read: the connection says what is missing.
    return [];
  }
}
