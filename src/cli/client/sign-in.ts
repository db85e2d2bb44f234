// Signing in the way container clients do it: the challenge of /v2/, a token from its realm, and /v2/ again.
// https://distribution.github.io/distribution/spec/auth/token/
import { CommandError, exitCodes } from '../exit-codes.ts';
import { targetOf } from './door.ts';
import { type Answer, exchange, type Target } from './http.ts';

export interface Challenge {
  readonly scheme: string;
  readonly realm: string | undefined;
  readonly service: string | undefined;
}

export type SignInOutcome = 'signed-in' | 'no-sign-in-needed';

/** The first challenge of a WWW-Authenticate header. */
export function parseChallenge(header: string): Challenge {
  const [scheme = ''] = header.trim().split(/\s+/, 1);
  const parameters = new Map(
    [...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
  return { scheme, realm: parameters.get('realm'), service: parameters.get('service') };
}

/** Tries a user name and a password or token. Throws CommandError: 4 when they are not good, 7 without an answer. */
export async function signIn(
  target: Target,
  user: string,
  secret: string,
  homeFolder: string,
): Promise<SignInOutcome> {
  const basic = `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
  const first = await exchange(target, { method: 'GET', path: '/v2/' });
  if (first.status === 200) return 'no-sign-in-needed';
  const header = first.headers['www-authenticate'];
  if (first.status !== 401 || header === undefined) {
    const message = `${target.origin}/v2/ answered ${first.status}, and not as a registry that asks to sign in`;
    throw new CommandError(exitCodes.failed, message);
  }
  const challenge = parseChallenge(header);
  const isBearer = challenge.scheme.toLowerCase() === 'bearer';
  const authorization = isBearer ? await fetchToken(target, challenge, user, basic, homeFolder) : basic;
  const last = await exchange(target, { method: 'GET', path: '/v2/', headers: { authorization } });
  if (last.status !== 200) throw refusal(last, `${target.origin}/v2/`);
  return 'signed-in';
}

async function fetchToken(
  target: Target,
  { realm, service }: Challenge,
  user: string,
  basic: string,
  homeFolder: string,
): Promise<string> {
  const url = URL.parse(realm ?? '');
  if (url === null) throw new CommandError(exitCodes.failed, `${target.origin} names no realm to sign in at`);
  if (target.origin.startsWith('https:') && url.protocol !== 'https:') {
    const message = `${target.origin} sends the password to ${url.origin}, in the clear; http.publicUrl sets that right`;
    throw new CommandError(exitCodes.failed, message);
  }
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('account', user);
  const place = url.origin === target.origin ? target : targetOf(url.origin, url.host, homeFolder);
  const answer = await exchange(place, {
    method: 'GET',
    path: url.pathname + url.search,
    headers: { authorization: basic },
  });
  if (answer.status !== 200) throw refusal(answer, url.origin + url.pathname);
  const { token, access_token: same } = parseObject(answer.body);
  const found = token ?? same;
  if (typeof found !== 'string') throw new CommandError(exitCodes.failed, `${url.origin} gave no token`);
  return `Bearer ${found}`;
}

function refusal({ status, body, headers }: Answer, place: string): CommandError {
  const { errors } = parseObject(body);
  const said = Array.isArray(errors) ? (errors[0] as { message?: unknown } | undefined)?.message : undefined;
  const wait = headers['retry-after'] === undefined ? '' : `; try again in ${headers['retry-after']} s`;
  const message = typeof said === 'string' ? said + wait : `${place} answered ${status}${wait}`;
  return new CommandError(
    status === 401 || status === 403 ? exitCodes.notAllowed : exitCodes.failed,
    message,
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
