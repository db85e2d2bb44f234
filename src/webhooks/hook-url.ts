// What may be the URL of a webhook, and of what it redirects to.
import { isIP } from 'node:net';
import { type HostRules, kindOfAddress } from './allowed-hosts.ts';

/** A URL that nothing is sent to; the message says why, for whoever set it. */
export class RefusedUrlError extends Error {
  override readonly name = 'RefusedUrlError';
}

const longestUrl = 2048;

/**
 * The URL that `text` spells. Throws RefusedUrlError for another scheme than http and https, a name or password in it (the secret
 * is what signs; one for the receiver may stand in the path or query), and where its host is an address that is not allowed.
 * What a host name leads to is judged when it is connected to.
 */
export function parseHookUrl(text: string, rules: HostRules): URL {
  if (text.length > longestUrl) throw new RefusedUrlError(`a URL has at most ${longestUrl} characters`);
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new RefusedUrlError('this is no URL that begins with https:// or http://');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    throw new RefusedUrlError('a URL may hold no name and password: every delivery is signed instead');
  if (url.hash !== '') throw new RefusedUrlError('what follows the # of a URL is not sent: leave it out');
  const host = hostOf(url);
  const literal = host === 'localhost' || host.endsWith('.localhost') ? '127.0.0.1' : host;
  if (isIP(literal) !== 0 && !rules.allows(host, literal)) throw notAllowed(host, literal);
  return url;
}

/** The host of a URL without the brackets of IPv6. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
}

/** `address` itself is not told: what a name leads to inside of the server's network is nobody's business. */
export function notAllowed(host: string, address: string): RefusedUrlError {
  const kind = kindOfAddress(address);
  const article = kind === 'external' ? 'an' : 'a';
  const leads = host === address ? `${host} is` : `${host} leads to`;
  return new RefusedUrlError(
    `${leads} ${article} ${kind} address, where this registry sends no webhooks: an administrator can allow it in ` +
      'webhooks.allowedHosts',
  );
}
