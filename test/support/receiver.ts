// A receiver of webhooks: a real HTTP server on loopback that keeps what it was sent and answers as it is told.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Cleanup, onEnd } from './cleanup.ts';

export interface Received {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly json: any;
}

type Answer = (received: Received, reply: ServerResponse) => void;

export interface Receiver {
  readonly url: string;
  readonly port: number;
  readonly received: readonly Received[];
  /** How it answers from now on; 200 unless told. */
  answer(how: number | Answer): void;
  /** Resolves when it has been sent so many in all. */
  until(count: number): Promise<readonly Received[]>;
  close(): Promise<void>;
}

/** Starts one. With `port`, on that. */
export async function startReceiver(
  t: Cleanup,
  options: { readonly port?: number; readonly tls?: { readonly cert: string; readonly key: string } } = {},
): Promise<Receiver> {
  const received: Received[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let how: number | Answer = 200;
  const listen = (request: IncomingMessage, reply: ServerResponse): void => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString('utf8');
      const one = { path: request.url ?? '', headers: request.headers, body, json: parse(body) };
      received.push(one);
      if (typeof how === 'number') reply.writeHead(how).end(`answer ${how}`);
      else how(one, reply);
      for (const { count, resolve } of waiting) if (received.length >= count) resolve();
    });
  };
  const { tls } = options;
  const server: Server = tls === undefined ? createServer(listen) : createTlsServer({ ...tls }, listen);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return closed;
  };
  onEnd(t, close);
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/hook`,
    port,
    received,
    answer: (changed) => {
      how = changed;
    },
    until: async (count) => {
      if (received.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }));
      return received;
    },
    close,
  };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
