// How a registry is named on a command line: HOST, HOST:PORT or a URL; and how one stands before a repository's name.
import { isLoopback } from '../../config/access-mode.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

export interface RegistryAddress {
  /** As it stands before an image's name: registry.example.com, localhost:5000. */
  readonly host: string;
  readonly origin: string;
}

const addressPattern =
  /^(?:(https?):\/\/)?((?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)\/?$/;

/** The scheme (where one is given) and the host of `text`. Throws CommandError; `source` names where the text comes from. */
export function splitAddress(
  text: string,
  source: string,
): { scheme: 'http' | 'https' | undefined; host: string } {
  const [, scheme, host] = addressPattern.exec(text) ?? [];
  if (host === undefined) {
    const message = `${source}: found ${JSON.stringify(text)}, allowed: HOST, HOST:PORT or a URL without a path`;
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  return { scheme: scheme as 'http' | 'https' | undefined, host };
}

/** HTTPS unless the text says http:// or the host is this machine. Throws CommandError. */
export function parseRegistryAddress(text: string, source: string): RegistryAddress {
  const { scheme, host } = splitAddress(text, source);
  const byDefault = isLoopback(host.replace(/:\d+$/, '')) ? 'http' : 'https';
  return { host, origin: `${scheme ?? byDefault}://${host}` };
}

/** The shortest text that parseRegistryAddress reads as `origin`. */
export function addressText(origin: string): string {
  const { host } = new URL(origin);
  return parseRegistryAddress(host, 'address').origin === origin ? host : origin;
}

/**
 * A repository or pattern as podman has it, with or without the registry in front: the first part is a host when it holds a
 * dot or a colon or is `localhost`, and something follows.
 */
export function splitReference(text: string): { host: string | undefined; name: string } {
  const [first = '', ...rest] = text.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? { host: first, name: rest.join('/') } : { host: undefined, name: text };
}
