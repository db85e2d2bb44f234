// The HTTP server under Fastify: limits of connections and headers, TLS, and what a socket gets that speaks something else.
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Config } from '../config/config.ts';
import { OciError } from '../oci/errors.ts';
import { errorBody } from './errors.ts';

export interface TlsMaterial {
  readonly certificate: string;
  readonly key: string;
  readonly minimumVersion: '1.2' | '1.3';
}

// An import of node:http would also read its WebSocket export, and so load undici: 10 MiB for nothing.
const { createServer: createHttpServer } = process.getBuiltinModule('node:http');

const connectionsCheckingMilliseconds = 5000;
/** The first byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/** A server for `listener`, not yet listening. `tls` makes it an HTTPS server. */
export function createServer(
  limits: Config['limits'],
  tls: TlsMaterial | undefined,
  listener: RequestListener,
): Server | HttpsServer {
  const options = {
    maxHeaderSize: limits.headerSize,
    headersTimeout: limits.headersTimeout * 1000,
    connectionsCheckingInterval: connectionsCheckingMilliseconds,
    // Whole bodies have no deadline: a least rate does it (transfer-watch.ts).
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAlive * 1000,
    noDelay: true,
  };
  const server =
    tls === undefined
      ? createHttpServer(options, listener)
      : createHttpsServer({ ...options, ...secureContextOf(tls) }, listener);
  server.maxConnections = limits.connections;
  endIdleSockets(server, limits.idleTimeout);
  return server;
}

/** Replaces the certificate of a running HTTPS server; open connections go on with the old one. */
export function replaceCertificate(server: Server | HttpsServer, tls: TlsMaterial): void {
  if ('setSecureContext' in server) server.setSecureContext(secureContextOf(tls));
}

function secureContextOf({ certificate, key, minimumVersion }: TlsMaterial) {
  return { cert: certificate, key, minVersion: `TLSv${minimumVersion}` as const };
}

/** How many requests are in flight on each open socket of a server. */
const inFlight = new WeakMap<Server | HttpsServer, Map<Socket, number>>();

/**
 * Ends the connections that have no request in flight. Node's closeIdleConnections leaves those on which no request was ever
 * whole: what browsers open beforehand, and probes of load balancers.
 */
export function closeQuietConnections(server: Server | HttpsServer): void {
  for (const [socket, requests] of inFlight.get(server) ?? []) if (requests === 0) socket.destroy();
}

// A socket with a request in flight may be quiet for long while the server hashes; one without has no business being open.
function endIdleSockets(server: Server | HttpsServer, idleSeconds: number): void {
  const sockets = new Map<Socket, number>();
  inFlight.set(server, sockets);
  const count = (socket: Socket, change: number) => {
    const requests = sockets.get(socket);
    if (requests !== undefined) sockets.set(socket, requests + change);
  };
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.set(socket, 0);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    count(socket, 1);
    response.once('close', () => count(socket, -1));
  });
  server.setTimeout(idleSeconds * 1000, (socket: Socket) => {
    if ((sockets.get(socket) ?? 0) === 0) socket.destroy();
  });
}

/** What Node's `clientError` brings. */
type ConnectionFault = Error & { readonly code?: string; readonly rawPacket?: unknown };

/** Answers a connection whose bytes are not an HTTP request, and closes it. */
export function refuseConnection(error: ConnectionFault, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal = refusalOf(error);
  const body = errorBody(refusal);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${refusal.code}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

function refusalOf(error: ConnectionFault): OciError {
  if (Buffer.isBuffer(error.rawPacket) && error.rawPacket[0] === tlsHandshake) {
    // podman and docker show the person "server gave HTTP response to HTTPS client" as soon as these bytes arrive.
    return new OciError('UNSUPPORTED', 'this port speaks plain HTTP, not TLS', {}, { status: 400 });
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return new OciError('SIZE_INVALID', 'the request headers are too large', {}, { status: 431 });
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new OciError('UNSUPPORTED', 'the request headers did not arrive in time', {}, { status: 408 });
  }
  return new OciError('UNSUPPORTED', 'this is not a valid HTTP request', {}, { status: 400 });
}
