// How a registry wants to be asked: the challenge of a 401, and the token or the password that answers it (distribution's
// token specification, RFC 7617).
import { parseBoundedJson } from '../oci/json.ts';
import { SourceFault } from './source.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export type Challenge =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: URL; readonly service: string | undefined };

/** The first challenge of a WWW-Authenticate header that can be answered. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const text = header ?? '';
  const bearer = /(?:^|,)\s*bearer\s+(.*)$/i.exec(text)?.[1];
  if (bearer !== undefined) {
    const parameters = new Map(
      [...bearer.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/gi)].map(([, key = '', value = '']) => [
        key.toLowerCase(),
        value.replaceAll(/\\(.)/g, '$1'),
      ]),
    );
    const realm = URL.parse(parameters.get('realm') ?? '');
    if (realm !== null) return { scheme: 'bearer', realm, service: parameters.get('service') };
  }
  return /(?:^|,)\s*basic\b/i.test(text) ? { scheme: 'basic' } : undefined;
}

export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Where a token for `scope` is asked for. Throws SourceFault for a realm that would show credentials to the network. */
export function tokenUrl(
  challenge: Extract<Challenge, { scheme: 'bearer' }>,
  scope: string,
  registry: URL,
  credentials: Credentials | undefined,
): URL {
  const { realm, service } = challenge;
  if (!/^https?:$/.test(realm.protocol))
    throw new SourceFault('refused', `the token realm ${realm} is no web address`);
  if (credentials !== undefined && realm.protocol === 'http:' && registry.protocol === 'https:')
    throw new SourceFault(
      'refused',
      `the registry sends the password to ${realm.host} without encryption: not done`,
    );
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  if (scope !== '') url.searchParams.set('scope', scope);
  if (credentials !== undefined) url.searchParams.set('account', credentials.username);
  return url;
}

const shortestSeconds = 60;

/** A token from the answer of a token endpoint, and for how many seconds it holds. Throws SourceFault. */
export function readToken(body: Buffer): { readonly token: string; readonly seconds: number } {
  let answer: unknown;
  try {
    answer = parseBoundedJson(body);
  } catch (cause) {
    throw new SourceFault('refused', 'the token endpoint answered with something else than a token', {
      cause,
    });
  }
  const {
    token,
    access_token: accessToken,
    expires_in: expiresIn,
  } = answer as Readonly<Record<string, unknown>>;
  const found = token ?? accessToken;
  if (typeof found !== 'string' || found === '')
    throw new SourceFault('refused', 'the token endpoint gave no token');
  return {
    token: found,
    seconds: typeof expiresIn === 'number' ? Math.max(expiresIn, shortestSeconds) : shortestSeconds,
  };
}
