// The checks of `berth doctor` on the way to a registry: its name, its certificate, its challenge and its clock.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { isLoopback } from '../../config/access-mode.ts';
import { authoritiesFor } from '../client/authorities.ts';
import { targetOf } from '../client/door.ts';
import { type Answer, exchange, open, reasonOf, type Target } from '../client/http.ts';
import { type Challenge, parseChallenge } from '../client/sign-in.ts';
import { countText } from '../output/text.ts';
import type { Finding, Patient } from './finding.ts';

const connectMilliseconds = 10_000;
const daySeconds = 86_400;
/** Let's Encrypt renews with 30 days left; with fewer, renewing has failed. */
const fewDays = 14;
const skewSeconds = 60;

/** What the registry answered when nobody was signed in. */
export interface FirstAnswer {
  readonly target: Target;
  readonly status: number;
  readonly challenge: Challenge | undefined;
  readonly date: string | undefined;
  /** When the answer came, by this machine. */
  readonly at: number;
}

export async function* checkDns({ origin }: Patient): AsyncGenerator<Finding, boolean> {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) {
    yield { state: 'ok', check: 'dns', text: `${host} is an address` };
    return true;
  }
  try {
    const addresses = await lookup(host, { all: true });
    yield {
      state: 'ok',
      check: 'dns',
      text: `${host} -> ${addresses.map(({ address }) => address).join(', ')}`,
    };
    return true;
  } catch (error) {
    const text = `${host} cannot be looked up here (${(error as NodeJS.ErrnoException).code})`;
    yield { state: 'fail', check: 'dns', text };
    return false;
  }
}

/** Ends with whether it makes sense to go on. */
export async function* checkTls(patient: Patient): AsyncGenerator<Finding, boolean> {
  const url = new URL(patient.origin);
  if (url.protocol === 'http:') {
    yield isLoopback(url.hostname)
      ? { state: 'ok', check: 'tls', text: 'plain HTTP, which stays on this machine' }
      : {
          state: 'warn',
          check: 'tls',
          text: 'plain HTTP: passwords and tokens cross the network in the clear',
        };
    return true;
  }
  const options = tlsOptions(url, patient);
  const connection = await tryTls(options);
  if (connection instanceof Error) {
    const reason = reasonOf({ origin: patient.origin }, connection);
    yield { state: 'fail', check: 'tls', text: `no TLS with ${url.host}: ${reason}` };
    return false;
  }
  const { authorized, authorizationError } = connection;
  const certificate = connection.getPeerCertificate();
  const days = Math.floor((Date.parse(certificate.valid_to) - Date.now()) / 1000 / daySeconds);
  connection.destroy();
  const older = await tryTls({ ...options, maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' });
  const version = older instanceof Error ? 'TLS 1.3 only' : 'TLS 1.2 offered';
  if (!(older instanceof Error)) older.destroy();
  if (!authorized) {
    yield { state: 'fail', check: 'tls', text: distrustText(String(authorizationError), patient.host) };
  } else if (days < 0) yield { state: 'fail', check: 'tls', text: `expired ${countText(-days, 'day')} ago` };
  else {
    const text = `chain complete, valid for ${countText(days, 'day')}; old clients: ${version}`;
    yield { state: days < fewDays ? 'warn' : 'ok', check: 'tls', text };
  }
  return authorized;
}

function tlsOptions({ hostname, port }: URL, { host, context }: Patient): ConnectionOptions {
  const name = hostname.replace(/^\[|\]$/g, '');
  return {
    host: name,
    port: Number(port || 443),
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ca: [...authoritiesFor(host, context.homeFolder)],
    rejectUnauthorized: false,
  };
}

function tryTls(options: ConnectionOptions): Promise<TLSSocket | Error> {
  const tried = Promise.withResolvers<TLSSocket | Error>();
  const socket = connect({ ...options, timeout: connectMilliseconds });
  socket.on('secureConnect', () => tried.resolve(socket));
  socket.on('timeout', () => socket.destroy(new Error(`no answer within ${connectMilliseconds / 1000} s`)));
  socket.on('error', tried.resolve);
  return tried.promise;
}

function distrustText(code: string, host: string): string {
  if (/UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/.test(code)) {
    return (
      'the certificate cannot be traced to a known authority: either the server leaves out the certificates in between ' +
      `(its file needs the whole chain), or the authority's belongs into /etc/containers/certs.d/${host}/ca.crt`
    );
  }
  if (code.includes('SELF_SIGNED_CERT_IN_CHAIN')) {
    return (
      `the certificate comes from an authority that is not trusted here: clients need that authority's certificate in ` +
      `/etc/containers/certs.d/${host}/ca.crt`
    );
  }
  if (/SELF_SIGNED/.test(code)) {
    return `self-signed: clients need its certificate in /etc/containers/certs.d/${host}/ca.crt`;
  }
  return `the certificate is refused: ${code}`;
}

/** GET /v2/ without credentials, and the realm that it names. undefined: there is nothing to go on with. */
export async function* checkChallenge(patient: Patient): AsyncGenerator<Finding, FirstAnswer | undefined> {
  const { origin, host, context } = patient;
  const target = targetOf(origin, host, context.homeFolder);
  let first: { status: number; headers: Answer['headers']; challenges: readonly string[] };
  try {
    const response = await open(target, { method: 'GET', path: '/v2/' });
    const challenges = response.rawHeaders.filter(
      (_, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === 'www-authenticate',
    );
    first = { status: response.statusCode ?? 0, headers: response.headers, challenges };
    response.resume();
  } catch (error) {
    yield { state: 'fail', check: 'challenge', text: (error as Error).message };
    return undefined;
  }
  const at = Date.now();
  const [header = ''] = first.challenges;
  const challenge = header === '' ? undefined : parseChallenge(header);
  const isRegistry = first.headers['docker-distribution-api-version'] === 'registry/2.0';
  const answer = { target, status: first.status, challenge, date: first.headers.date, at };
  if (!isRegistry || ![200, 401].includes(first.status)) {
    const text = `GET /v2/ answered ${first.status}, and not as a registry: does the proxy pass /v2/ on?`;
    yield { state: 'fail', check: 'challenge', text };
    return undefined;
  }
  if (first.status === 200) {
    yield { state: 'ok', check: 'challenge', text: 'none: nobody is asked to sign in' };
    return answer;
  }
  yield challengeFinding(first.challenges, challenge);
  if (challenge?.realm !== undefined) yield* checkRealm(patient, challenge, target);
  return answer;
}

function challengeFinding(challenges: readonly string[], challenge: Challenge | undefined): Finding {
  const check = 'challenge';
  if (challenge === undefined) return { state: 'fail', check, text: '401 without a WWW-Authenticate header' };
  const schemes = challenges.flatMap(
    (one) => one.match(/(?:^|,\s*)(Basic|Bearer|Negotiate)\b(?!\s*=)/gi) ?? [],
  );
  if (challenges.length > 1 || schemes.length > 1) {
    const text = `${countText(schemes.length, 'challenge')}, which podman and docker do not take: does a proxy add its own?`;
    return { state: 'fail', check, text };
  }
  if (challenge.scheme.toLowerCase() !== 'bearer' || challenge.realm === undefined) {
    return {
      state: 'fail',
      check,
      text: `a ${challenge.scheme} challenge, not Berth's: does a proxy ask itself?`,
    };
  }
  return { state: 'ok', check, text: `one Bearer challenge, realm ${challenge.realm}` };
}

async function* checkRealm(
  { origin, context }: Patient,
  { realm = '', service = '' }: Challenge,
  target: Target,
): AsyncGenerator<Finding> {
  const url = URL.parse(realm);
  if (url === null || url.origin !== new URL(origin).origin) {
    const text =
      `clients are sent to ${url?.origin ?? realm} to sign in, not to ${origin}: set http.publicUrl, or let the proxy ` +
      'pass on Host and X-Forwarded-Proto and name it in http.trustedProxies';
    yield { state: 'fail', check: 'realm', text };
    if (url === null) return;
  }
  const place = url.origin === target.origin ? target : targetOf(url.origin, url.host, context.homeFolder);
  url.searchParams.set('service', service);
  try {
    const { status, body } = await exchange(place, { method: 'GET', path: url.pathname + url.search });
    if (status !== 200 || !/"(access_)?token"/.test(body)) throw new Error(`it answered ${status}`);
    if (url.origin === new URL(origin).origin) {
      yield { state: 'ok', check: 'realm', text: `${realm} gives tokens` };
    }
  } catch (error) {
    yield { state: 'fail', check: 'realm', text: `no token from ${realm}: ${(error as Error).message}` };
  }
}

export async function* checkClock(_patient: Patient, { date, at }: FirstAnswer): AsyncGenerator<Finding> {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) {
    yield { state: 'warn', check: 'clock', text: 'the registry does not tell the time (no Date header)' };
    return;
  }
  // The header has whole seconds.
  const apart = Math.max(0, Math.abs(at - theirs) / 1000 - 1);
  const text =
    apart < 1
      ? "within a second of the registry's"
      : `${apart.toFixed(0)} s from the registry's; tokens bear ${skewSeconds} s`;
  yield { state: apart > skewSeconds ? 'fail' : apart > 5 ? 'warn' : 'ok', check: 'clock', text };
}
