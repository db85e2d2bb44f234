// Who may use the registry at all: what `access.mode: auto` comes to, and what counts as this machine.
import { isIPv4, isIPv6 } from 'node:net';
import type { Config } from './config.ts';

/** Whether a bind address or the host of a URL is this machine alone: localhost, 127.0.0.0/8 or ::1, brackets allowed. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (isIPv4(bare)) return bare.startsWith('127.');
  if (isIPv6(bare)) return /^(0{0,4}:)*:?0{0,3}1$/.test(bare) || /^::ffff:127\./.test(bare);
  return bare === 'localhost' || bare.endsWith('.localhost');
}

/**
 * The mode in force: auto is open as long as nothing speaks of other machines or of users, and token otherwise. What the
 * settings alone tell takes no users into account.
 */
export function accessMode(config: Config, users = 0): 'open' | 'token' {
  if (config.access.mode !== 'auto') return config.access.mode;
  return reasonForToken(config) === undefined && users === 0 ? 'open' : 'token';
}

/** The setting that makes `auto` mean token; undefined when it means open. */
export function reasonForToken(config: Config): string | undefined {
  if (!isLoopback(config.http.address)) return 'http.address';
  if (config.http.publicUrl !== undefined) return 'http.publicUrl';
  if (config.http.trustedProxies.length > 0) return 'http.trustedProxies';
  return undefined;
}
