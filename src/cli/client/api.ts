// The management API (/api/v1) as commands call it, through whichever door.
import type { IncomingMessage } from 'node:http';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type Door, type DoorOptions, openDoor } from './door.ts';
import { type Answer, exchange, open } from './http.ts';
import { AnswerError, problemError } from './problem.ts';

/** A list is a member that is repeated. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

const largestPage = 1000;

/** A path under /api/v1 with each value as one segment: path`users/${name}/tokens`. */
export function path(words: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  const segments = values.map((value) => encodeURIComponent(value).replaceAll('%2B', '+'));
  return words.reduce((built, word, index) => built + word + (segments[index] ?? ''), '');
}

export class Api {
  readonly door: Door;

  constructor(door: Door) {
    this.door = door;
  }

  /** The same registry without credentials, for whoever has none that are good. */
  get anonymous(): Api {
    return this.door.kind === 'registry'
      ? new Api({ ...this.door, headers: {}, credential: undefined })
      : this;
  }

  get<T>(where: string, query: Query = {}): Promise<T> {
    return this.#call<T>('GET', where, query);
  }

  /** Every page of a list, or its first `most` items. */
  async list<T>(where: string, query: Query = {}, most = Number.POSITIVE_INFINITY): Promise<readonly T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    do {
      const limit = Math.min(largestPage, most - items.length);
      const page = await this.get<Page<T>>(where, { ...query, limit, cursor });
      items.push(...page.items);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined && items.length < most);
    return items;
  }

  post<T>(where: string, body?: unknown, query: Query = {}): Promise<T> {
    return this.#call<T>('POST', where, query, body);
  }

  /** `headers`: preconditions. */
  put<T>(
    where: string,
    body?: unknown,
    query: Query = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    return this.#call<T>('PUT', where, query, body, 'application/json', headers);
  }

  /**
   * Puts a whole in place of the one that is there: reads it, lets `change` make the new one, and has it refused when somebody
   * else changed it in between. With dryRun the answer is the plan.
   */
  async replace<Whole, T>(where: string, change: (current: Whole) => unknown, query: Query = {}): Promise<T> {
    const read = await this.#exchange('GET', where, {});
    const body = change(parseBody(read, this.door) as Whole);
    const { etag } = read.headers;
    const ifMatch = { 'if-match': etag ?? '*' };
    const put = await this.#exchange('PUT', where, query, body, 'application/json', ifMatch);
    return parseBody(put, this.door) as T;
  }

  /** JSON merge patch: null clears a member. */
  patch<T>(where: string, body: unknown): Promise<T> {
    return this.#call<T>('PATCH', where, {}, body);
  }

  /** With dryRun the answer is the plan. */
  remove<T>(where: string, query: Query = {}): Promise<T> {
    return this.#call<T>('DELETE', where, query);
  }

  /** Sends text as it is. */
  postText<T>(where: string, text: string | Buffer, query: Query = {}): Promise<T> {
    return this.#call<T>('POST', where, query, text, 'text/plain; charset=utf-8');
  }

  /** The answer's body as it arrives, for exports. */
  async stream(
    where: string,
    query: Query = {},
    more: Readonly<Record<string, string>> = {},
  ): Promise<IncomingMessage> {
    const { target } = this.door;
    const headers = { ...this.door.headers, ...more };
    const response = await open(target, { method: 'GET', path: fullPath(where, query), headers });
    if (response.statusCode === 200) return response;
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    throw this.#refusal({
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: Buffer.concat(parts).toString('utf8'),
    });
  }

  close(): Promise<void> {
    return this.door.close();
  }

  async #call<T>(
    method: string,
    where: string,
    query: Query,
    body?: unknown,
    type = 'application/json',
    more: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    const answer = await this.#exchange(method, where, query, body, type, more);
    return (answer.body === '' ? undefined : parseBody(answer, this.door)) as T;
  }

  async #exchange(
    method: string,
    where: string,
    query: Query,
    body?: unknown,
    type = 'application/json',
    further: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const { target, headers } = this.door;
    const isText = typeof body === 'string' || Buffer.isBuffer(body);
    const answer = await exchange(target, {
      method,
      path: fullPath(where, query),
      headers: {
        ...headers,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': type }),
        ...further,
      },
      body: body === undefined || isText ? body : JSON.stringify(body),
    });
    if (answer.status < 200 || answer.status > 299) throw this.#refusal(answer);
    return answer;
  }

  #refusal({ status, headers, body }: Answer): AnswerError {
    const { kind, target, host, credential } = this.door;
    const error = problemError(
      status,
      headers['content-type'] ?? '',
      body,
      target.socketPath ?? target.origin,
    );
    if (status !== 401 || kind !== 'registry') return error;
    const hint =
      credential === undefined
        ? `sign in first: berth login ${host} (or podman login ${host}, or BERTH_TOKEN)`
        : `the credentials are from ${credential.from}`;
    return new AnswerError(status, exitCodes.notAllowed, `${error.message}\n${hint}`, { cause: error });
  }
}

function parseBody({ body }: Answer, { target }: Door): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    const message = `${target.socketPath ?? target.origin} does not answer like Berth`;
    throw new CommandError(exitCodes.failed, message, { cause: error });
  }
}

function fullPath(where: string, query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(
    given.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)] as [string, string])),
  ).toString();
  return `/api/v1/${where}${text === '' ? '' : `?${text}`}`;
}

/** Opens the door, lets `use` speak through it and closes it. `host`: the one in front of a repository's name. */
export async function withApi<T>(
  options: DoorOptions,
  context: CommandContext,
  use: (api: Api) => Promise<T>,
  host?: string,
): Promise<T> {
  const api = new Api(await openDoor(options, context, host));
  try {
    return await use(api);
  } finally {
    await api.close();
  }
}
