// A client of a live registry: signs in as it is asked to, keeps to a few requests at a time, waits when it is told to, and
// tries again what may succeed later.
import type { Agent as HttpAgent, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  basicAuthorization,
  type Challenge,
  type Credentials,
  parseChallenge,
  readToken,
  tokenUrl,
} from './registry-login.ts';
import { SourceFault } from './source.ts';

// An import of node:http would also load undici (http/connections.ts).
const { Agent: PlainAgent, request: httpRequest } = process.getBuiltinModule('node:http');

export interface RemoteOptions {
  /** `https://host[:port]`, or `http://` where the registry has no TLS. */
  readonly url: URL;
  readonly credentials?: Credentials | undefined;
  /** Requests at a time; 4 spares most registries. */
  readonly parallel: number;
  /** Certificates to trust beside those of this machine, PEM. */
  readonly ca?: string | undefined;
  /** Ends every request. */
  readonly signal: AbortSignal;
}

/** The registry cannot be reached at all, after several tries: the import as a whole cannot go on. */
export class RemoteUnreachableError extends Error {
  override readonly name = 'RemoteUnreachableError';
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface Ask {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  /** What a token must allow, for example `repository:team/app:pull`. */
  readonly scope: string;
}

const tries = 5;
const mostRedirects = 5;
const longestWaitSeconds = 300;
const idleMilliseconds = 60_000;
const userAgent = 'berth-import';
const longestToken = 256 * 1024;
/** How often in a row a registry may tell to wait. */
const mostWaits = 100;

interface Token {
  readonly token: string;
  /** On the clock of performance.now. */
  readonly until: number;
}

export class RegistryClient {
  readonly #options: RemoteOptions;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  readonly #tokens = new Map<string, Promise<Token>>();
  #challenge: Challenge | undefined;
  /** Nothing is asked before: the registry said when it wants to be asked again. */
  #notBefore = 0;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.#free = options.parallel;
    const keep = { keepAlive: true, maxSockets: options.parallel * 2 };
    this.#agents = {
      http: new PlainAgent(keep),
      https: new HttpsAgent({ ...keep, ...(options.ca === undefined ? {} : { ca: options.ca }) }),
    };
  }

  /** A whole answer of at most `limit` bytes. Throws SourceFault where it is larger. */
  async read(path: string, ask: Ask, limit: number): Promise<Answer> {
    const take = async (reply: IncomingMessage) => ({
      status: reply.statusCode ?? 0,
      headers: reply.headers,
      body: await readBody(reply, limit),
    });
    return await this.#use(() => this.#askAgain(path, ask, take));
  }

  /** An answer whose body is read by the caller, who destroys it where it is not read to its end. */
  async stream(path: string, ask: Ask): Promise<IncomingMessage> {
    return await this.#use(() => this.#askAgain(path, ask, async (reply) => reply));
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  /** Asks until an answer is no "later": 429, a server's fault, or no answer at all. */
  async #askAgain<T>(path: string, ask: Ask, take: (reply: IncomingMessage) => Promise<T>): Promise<T> {
    const url = new URL(path, this.#options.url);
    let last: unknown;
    let waits = 0;
    for (let attempt = 1; attempt <= tries; attempt += 1) {
      await this.#pause();
      try {
        const reply = await this.#askSignedIn(url, ask);
        const status = reply.statusCode ?? 0;
        if (status !== 429 && status < 500) return await take(reply);
        reply.resume();
        last = new SourceFault('unreadable', `${url.host} answers ${status} to ${url.pathname}`);
        // Being told to wait is no failed try.
        if (this.#honour(reply) && status === 429 && waits++ < mostWaits) attempt--;
      } catch (error) {
        this.#options.signal.throwIfAborted();
        if (error instanceof SourceFault) throw error;
        last = error;
      }
      if (attempt < tries) await this.#sleep(200 * 2 ** attempt * (0.5 + Math.random()));
    }
    if (last instanceof SourceFault) throw last;
    throw new RemoteUnreachableError(`${url.host} cannot be reached: ${(last as Error).message}`, {
      cause: last,
    });
  }

  /** Retry-After in seconds or as a date. True where there was one. */
  #honour(reply: IncomingMessage): boolean {
    const text = reply.headers['retry-after'];
    if (text === undefined) return false;
    const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
    if (!Number.isFinite(seconds)) return false;
    const wait = Math.min(Math.max(seconds, 0), longestWaitSeconds) * 1000;
    this.#notBefore = Math.max(this.#notBefore, performance.now() + wait);
    return true;
  }

  async #pause(): Promise<void> {
    for (;;) {
      const wait = this.#notBefore - performance.now();
      if (wait <= 0) return;
      await this.#sleep(wait);
    }
  }

  async #sleep(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#options.signal });
  }

  async #askSignedIn(url: URL, ask: Ask): Promise<IncomingMessage> {
    const first = await this.#follow(url, ask, await this.#authorization(ask.scope));
    if (first.statusCode !== 401) return first;
    first.resume();
    const challenge = parseChallenge(first.headers['www-authenticate']);
    if (challenge === undefined) throw this.#refused(url);
    this.#challenge = challenge;
    this.#tokens.delete(ask.scope);
    const authorization = await this.#authorization(ask.scope);
    if (authorization === undefined) throw this.#refused(url);
    const second = await this.#follow(url, ask, authorization);
    if (second.statusCode !== 401) return second;
    second.resume();
    throw this.#refused(url);
  }

  #refused(url: URL): SourceFault {
    const how = this.#options.credentials === undefined ? 'without a password' : 'with this password';
    return new SourceFault('refused', `${url.host} does not allow ${url.pathname} ${how}`);
  }

  async #authorization(scope: string): Promise<string | undefined> {
    const { credentials } = this.#options;
    if (this.#challenge?.scheme === 'basic') return credentials && basicAuthorization(credentials);
    if (this.#challenge === undefined) return undefined;
    const known = await this.#tokens.get(scope)?.catch(() => undefined);
    if (known !== undefined && known.until > performance.now()) return `Bearer ${known.token}`;
    // Requests that need the same token at once wait for one.
    const asked = this.#fetchToken(this.#challenge, scope);
    this.#tokens.set(scope, asked);
    return `Bearer ${(await asked).token}`;
  }

  async #fetchToken(challenge: Extract<Challenge, { scheme: 'bearer' }>, scope: string): Promise<Token> {
    const { credentials } = this.#options;
    const url = tokenUrl(challenge, scope, this.#options.url, credentials);
    const reply = await this.#send(url, {
      accept: 'application/json',
      ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    });
    const status = reply.statusCode ?? 0;
    const body = await readBody(reply, longestToken);
    if (status === 429 || status >= 500) {
      this.#honour(reply);
      throw new Error(`the token endpoint answers ${status}`);
    }
    if (status !== 200)
      throw new SourceFault('refused', `${url.host} gives no token for ${scope}: ${status}`);
    const { token, seconds } = readToken(body);
    // A little less, so that it does not end on its way.
    return { token, until: performance.now() + seconds * 900 };
  }

  /** Follows redirects, which leave the credentials behind when they lead to another server. */
  async #follow(start: URL, ask: Ask, authorization: string | undefined): Promise<IncomingMessage> {
    let url = start;
    for (let redirects = 0; ; redirects += 1) {
      const own = url.origin === start.origin;
      const headers = {
        ...ask.headers,
        ...(own && authorization !== undefined ? { authorization } : {}),
      };
      const reply = await this.#send(url, headers, ask.method);
      const { location } = reply.headers;
      if (![301, 302, 303, 307, 308].includes(reply.statusCode ?? 0) || location === undefined) return reply;
      reply.resume();
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol) || redirects === mostRedirects)
        throw new SourceFault('unreadable', `${url.host} redirects ${start.pathname} to nowhere`);
      if (url.protocol === 'https:' && next.protocol === 'http:')
        throw new SourceFault('refused', `${url.host} redirects ${start.pathname} to an unencrypted address`);
      url = next;
    }
  }

  async #send(
    url: URL,
    headers: Readonly<Record<string, string>>,
    method: 'GET' | 'HEAD' = 'GET',
  ): Promise<IncomingMessage> {
    const secure = url.protocol === 'https:';
    const options = {
      method,
      signal: this.#options.signal,
      headers: { 'user-agent': userAgent, ...headers },
    };
    return await new Promise((resolve, reject) => {
      const sent = secure
        ? httpsRequest(url, { ...options, agent: this.#agents.https })
        : httpRequest(url, { ...options, agent: this.#agents.http });
      sent.setTimeout(idleMilliseconds, () => sent.destroy(new Error(`${url.host} says nothing any more`)));
      sent.once('response', resolve);
      sent.on('error', reject);
      sent.end();
    });
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

async function readBody(reply: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of reply) {
    size += chunk.length;
    if (size > limit) throw new SourceFault('refused', `the answer is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  if (!reply.complete) throw new Error('the answer ended early');
  return Buffer.concat(chunks);
}
