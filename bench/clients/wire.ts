// A bare HTTP/1.1 connection for the load clients: one request at a time over one kept-alive socket.
// It parses only what a registry client needs, so that the measured machine spends its time in the server.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** The value of header `name` in an answer, or undefined. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const match = new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'im').exec(answer.head);
  return match?.[1];
}

interface Waiting {
  readonly bodyless: boolean;
  resolve(answer: Answer): void;
  reject(reason: Error): void;
}

/** A connection that sends one request after another. A broken answer or a closed socket rejects the request under way. */
export class Connection {
  readonly host: string;
  readonly #socket: Socket;
  readonly #always: string;
  #received = '';
  #waiting: Waiting | undefined;

  constructor(socket: Socket, host: string, always = '') {
    this.host = host;
    this.#always = always;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#received = this.#received === '' ? text : this.#received + text;
      this.#take();
    });
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error(`${host} closed the connection`)));
  }

  /** Connects to `base` (http://HOST:PORT). Each request carries `authorization`, where there is one. */
  static async open(base: string, authorization?: string): Promise<Connection> {
    const url = new URL(base);
    if (url.protocol !== 'http:') throw new Error(`the load clients speak plain HTTP only, not ${base}`);
    const socket = connect(Number(url.port === '' ? 80 : url.port), url.hostname);
    await once(socket, 'connect');
    const always = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
    return new Connection(socket, url.host, always);
  }

  /** The socket itself, for bodies that are streamed with back-pressure. */
  get socket(): Socket {
    return this.#socket;
  }

  /**
   * Sends one request with a whole body and resolves with the answer. `headers` are complete lines, each ending in CRLF;
   * a body is framed as one chunk when `headers` say chunked, and by Content-Length otherwise.
   */
  request(method: string, target: string, headers = '', body?: Uint8Array): Promise<Answer> {
    const answer = this.expect(method === 'HEAD');
    const start = `${method} ${target} HTTP/1.1\r\nHost: ${this.host}\r\n${this.#always}${headers}`;
    if (body === undefined) {
      const length = method === 'GET' || method === 'HEAD' ? '' : 'Content-Length: 0\r\n';
      this.#socket.write(`${start}${length}\r\n`, 'latin1');
    } else if (headers.includes('chunked')) {
      this.#socket.cork();
      this.#socket.write(`${start}\r\n${body.length.toString(16)}\r\n`, 'latin1');
      this.#socket.write(body);
      this.#socket.write('\r\n0\r\n\r\n', 'latin1');
      this.#socket.uncork();
    } else {
      this.#socket.cork();
      this.#socket.write(`${start}Content-Length: ${body.length}\r\n\r\n`, 'latin1');
      this.#socket.write(body);
      this.#socket.uncork();
    }
    return answer;
  }

  /** Resolves with the next answer, for a request that the caller writes to `socket` itself. */
  expect(bodyless = false): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { bodyless, resolve, reject };
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #take(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const end = this.#received.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = this.#received.slice(0, end);
    const status = Number(head.slice(9, 12));
    const length = waiting.bodyless || status === 204 ? 0 : bodyLength(head);
    if (length === undefined) {
      this.#fail(new Error(`an answer of ${this.host} has no Content-Length:\n${head}`));
      return;
    }
    if (this.#received.length < end + 4 + length) return;
    const body = this.#received.slice(end + 4, end + 4 + length);
    this.#received = this.#received.slice(end + 4 + length);
    this.#waiting = undefined;
    waiting.resolve({ status, head, body });
  }

  #fail(reason: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(reason);
  }
}

function bodyLength(head: string): number | undefined {
  const match = /^content-length:[ \t]*(\d+)/im.exec(head);
  return match === null ? undefined : Number(match[1]);
}

/** Returns `answer` when it has `status`; throws with method, target and the server's words otherwise. */
export function expectStatus(answer: Answer, status: number, what: string): Answer {
  if (answer.status === status) return answer;
  throw new Error(`${what}: expected ${status}, got ${answer.status} ${answer.body.slice(0, 300)}`);
}

/** The request target of an upload's Location (absolute or a path), with `query` added. */
export function targetOf(answer: Answer, query = ''): string {
  const location = headerOf(answer, 'location');
  if (location === undefined) throw new Error(`no Location in ${answer.head}`);
  const url = new URL(location, 'http://localhost');
  const joint = query === '' ? '' : url.search === '' ? '?' : '&';
  return `${url.pathname}${url.search}${joint}${query}`;
}
