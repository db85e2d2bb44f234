// One POST to an endpoint: looks the host up once, connects to exactly an address that is allowed, follows a few redirects by
// the same rules, and reads a bounded answer within a bounded time.
import { lookup as systemLookup } from 'node:dns/promises';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { HostRules } from './allowed-hosts.ts';
import { hostOf, notAllowed, parseHookUrl, RefusedUrlError } from './hook-url.ts';

// Not imported, for the reason that http/connections.ts gives.
const { request: requestHttp } = process.getBuiltinModule('node:http');

export interface Address {
  readonly address: string;
  readonly family: number;
}

/** Every address of a host. */
export type Lookup = (host: string) => Promise<readonly Address[]>;

export interface SenderOptions {
  readonly rules: HostRules;
  /** For everything together: the lookup, the connection, sending, the answer, redirects. */
  readonly timeoutSeconds: number;
  readonly userAgent: string;
  /** For tests. */
  readonly lookup?: Lookup;
  /** Certificate authorities besides those of Node, for tests; elsewhere NODE_EXTRA_CA_CERTS. */
  readonly authorities?: readonly string[];
}

export interface SendResult {
  /** undefined: there was no answer, and `error` says why. */
  readonly status: number | undefined;
  readonly error: string | undefined;
  readonly milliseconds: number;
  /** The first KiB of the answer. */
  readonly answer: string | undefined;
  /** What the endpoint asked for. */
  readonly retryAfterSeconds: number | undefined;
}

const shownAnswerBytes = 1024;
const longestAnswerBytes = 64 * 1024;
const mostRedirects = 3;
/** These alone keep method and body. After a 301, 302 or 303 clients go on with a GET, which would tell the endpoint nothing. */
const redirects: ReadonlySet<number> = new Set([307, 308]);

interface Post {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #lookup: Lookup;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#lookup = options.lookup ?? ((host) => systemLookup(host, { all: true }));
  }

  /** Sends `body`. Never rejects: what went wrong is in the result. `signal` breaks it off. */
  async post(
    url: string,
    message: { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer },
    signal?: AbortSignal,
  ): Promise<SendResult> {
    const began = performance.now();
    const { timeoutSeconds, userAgent } = this.#options;
    const late = AbortSignal.timeout(timeoutSeconds * 1000);
    const ended = signal === undefined ? late : AbortSignal.any([late, signal]);
    const headers = {
      ...message.headers,
      'user-agent': userAgent,
      accept: '*/*',
      'accept-encoding': 'identity',
      'content-length': String(message.body.length),
    };
    const result = (found: Partial<SendResult>): SendResult => ({
      status: undefined,
      error: undefined,
      answer: undefined,
      retryAfterSeconds: undefined,
      ...found,
      milliseconds: performance.now() - began,
    });
    try {
      const response = await this.#follow(url, { headers, body: message.body, signal: ended });
      const status = response.statusCode ?? 0;
      const retryAfterSeconds = secondsOf(response.headers['retry-after']);
      return result({ status, retryAfterSeconds, answer: await readAnswer(response, ended) });
    } catch (error) {
      if (late.aborted) return result({ error: `no answer within ${timeoutSeconds} s` });
      if (signal?.aborted) return result({ error: 'it was broken off: the server is stopping' });
      return result({ error: reasonOf(error) });
    }
  }

  async #follow(text: string, post: Post): Promise<IncomingMessage> {
    let url = parseHookUrl(text, this.#options.rules);
    for (let hop = 0; ; hop += 1) {
      const response = await this.#send(url, post);
      const { location } = response.headers;
      if (!redirects.has(response.statusCode ?? 0) || location === undefined) return response;
      response.destroy();
      if (hop === mostRedirects) throw new RefusedUrlError(`it redirects more than ${mostRedirects} times`);
      url = this.#redirected(url, location);
    }
  }

  #redirected(from: URL, location: string): URL {
    if (!URL.canParse(location, from.href)) throw new RefusedUrlError('it redirects to what is no URL');
    const url = new URL(location, from);
    url.hash = '';
    if (from.protocol === 'https:' && url.protocol !== 'https:')
      throw new RefusedUrlError('it redirects from https to http: what is sent would be readable on its way');
    return parseHookUrl(url.href, this.#options.rules);
  }

  async #send(url: URL, { headers, body, signal }: Post): Promise<IncomingMessage> {
    const addresses = await this.#addressesOf(hostOf(url), signal);
    const isSecure = url.protocol === 'https:';
    const { authorities } = this.#options;
    const options: RequestOptions & { readonly ca?: string[] } = {
      method: 'POST',
      host: hostOf(url),
      port: url.port || (isSecure ? 443 : 80),
      path: url.pathname + url.search,
      headers: { ...headers, host: url.host },
      // A connection of its own: one that is kept would outlive the judgement of its address.
      agent: false,
      lookup: fixedLookup(addresses),
      signal,
      ...(authorities === undefined ? {} : { ca: [...authorities] }),
    };
    const answer = Promise.withResolvers<IncomingMessage>();
    const request = isSecure ? requestHttps(options) : requestHttp(options);
    request.on('response', answer.resolve).on('error', answer.reject);
    // Node tells of an answer of 101 in no other way, and without a listener not at all.
    request.on('upgrade', (_response, socket) => {
      socket.destroy();
      answer.reject(new RefusedUrlError('it answered 101, to go on with something else than HTTP'));
    });
    request.on('close', () => answer.reject(new RefusedUrlError('it broke the connection off')));
    request.on('socket', (socket) => {
      socket.once('connect', () => {
        const { remoteAddress = '' } = socket;
        if (!this.#options.rules.allows(hostOf(url), remoteAddress))
          request.destroy(notAllowed(hostOf(url), remoteAddress));
      });
    });
    request.end(body);
    return await answer.promise;
  }

  /** The addresses of a host that are allowed. Throws RefusedUrlError where none is. */
  async #addressesOf(host: string, signal: AbortSignal): Promise<readonly Address[]> {
    const family = isIP(host);
    const found =
      family === 0 ? await unlessAborted(this.#lookup(host), signal) : [{ address: host, family }];
    const allowed = found.filter(({ address }) => this.#options.rules.allows(host, address));
    if (allowed.length > 0) return allowed;
    throw notAllowed(host, found[0]?.address ?? '');
  }
}

/** Gives the connection what was judged, so that no second lookup can say something else. */
function fixedLookup(addresses: readonly Address[]): LookupFunction {
  return (_host, options, done) => {
    const [first = { address: '', family: 4 }] = addresses;
    if (options.all === true) done(null, [...addresses]);
    else done(null, first.address, first.family);
  };
}

/** A lookup cannot be broken off, but nobody has to wait for it. */
async function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([value, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The beginning of an answer. What breaks off after the status is there changes nothing. */
async function readAnswer(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of response) {
      if (length < shownAnswerBytes) parts.push(part as Buffer);
      length += (part as Buffer).length;
      if (length >= longestAnswerBytes || signal.aborted) break;
    }
  } catch {
    // Slow, or gone: there is what there is.
  }
  response.destroy();
  const shown = Buffer.concat(parts).subarray(0, shownAnswerBytes);
  // A character that is cut in two is left out.
  return new TextDecoder().decode(shown, { stream: true });
}

function secondsOf(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined;
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter);
  const at = Date.parse(retryAfter);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - Date.now()) / 1000);
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name cannot be looked up now',
  ECONNRESET: 'it broke the connection off',
  EPIPE: 'it broke the connection off',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'it does not answer',
  EPROTO: 'it does not speak TLS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate comes from no authority that is trusted here',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from no authority that is trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from no authority that is trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from no authority that is trusted here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  HPE_HEADER_OVERFLOW: 'the headers of its answer are too long',
};

function reasonOf(error: unknown): string {
  const root = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  if (root instanceof RefusedUrlError) return root.message;
  const { code = '', message = String(root) } = root as NodeJS.ErrnoException;
  if (code.startsWith('HPE_')) return reasons[code] ?? 'it does not answer in HTTP';
  return reasons[code] ?? (code === '' ? message : `the connection failed (${code})`);
}
