// Where a server listens: the network, the management socket, and an address of its own for metrics; and how all of it ends.
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import type { App } from '../app.ts';
import type { Config } from '../config/config.ts';
import { closeQuietConnections } from '../http/connections.ts';
import type { Metrics } from '../http/metrics.ts';
import { listenOnSocket, type ManagementSocket } from './management-socket.ts';

export interface Place {
  /** As a client on this machine types it; 'http://localhost' on the socket alone. */
  readonly url: string;
  /** The address; the path of the socket on that alone. */
  readonly address: string;
  /** 0 on the socket alone. */
  readonly port: number;
  /** The management socket, absolute; undefined: there is none. */
  readonly socket: string | undefined;
}

export interface ListenOptions {
  readonly config: Config;
  readonly app: App;
  /** The management socket and nothing else, whatever the settings say. */
  readonly onSocketAlone: boolean;
  readonly runtimeFolder: string | undefined;
}

/** Listens. What has to be undone is pushed to `opened` as it is done: requests in flight finish then, within limits.shutdown. */
export async function openListeners(
  options: ListenOptions,
  opened: (() => Promise<void> | void)[],
): Promise<Place> {
  const { config, app, onSocketAlone } = options;
  const { fastify, metrics } = app;
  await fastify.ready();
  let socket: ManagementSocket | undefined;
  opened.push(() => drain(fastify, socket, config.limits.shutdown));
  if (onSocketAlone || config.http.socket !== 'off')
    socket = await listenOnSocket(config, fastify.routing, options.runtimeFolder);
  if (onSocketAlone) {
    return { url: 'http://localhost', address: socket?.path ?? '', port: 0, socket: socket?.path };
  }
  const place = await listenOnNetwork(fastify, config);
  if (config.metrics.address !== undefined)
    opened.push(await listenForMetrics(metrics, config.metrics.address));
  return { ...place, socket: socket?.path };
}

async function listenOnNetwork(fastify: FastifyInstance, { http }: Config) {
  await fastify.listen({ host: http.address, port: http.port });
  const { address, port } = fastify.server.address() as AddressInfo;
  const host = address.includes(':') ? `[${address}]` : address;
  return { url: `${http.tls === undefined ? 'http' : 'https'}://${host}:${port}`, address, port };
}

/** A request that is on its way when the end begins has so long to be whole. */
const arrivingMilliseconds = 1000;

/** Ends both listeners; requests in flight finish, for so many seconds at most. */
async function drain(
  fastify: FastifyInstance,
  socket: ManagementSocket | undefined,
  seconds: number,
): Promise<void> {
  const servers: Server[] = [fastify.server, ...(socket === undefined ? [] : [socket.server])];
  // A connection that was busy at first is idle once its answer is out, and would be kept alive.
  const begun = performance.now();
  const closeIdle = setInterval(() => {
    const arrived = performance.now() - begun > arrivingMilliseconds;
    for (const server of servers) {
      server.closeIdleConnections();
      if (arrived) closeQuietConnections(server);
    }
  }, 50);
  const force = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, seconds * 1000);
  try {
    const socketClosed =
      socket === undefined ? undefined : new Promise<void>((resolve) => socket.server.close(() => resolve()));
    await Promise.all([fastify.close(), socketClosed]);
  } finally {
    clearInterval(closeIdle);
    clearTimeout(force);
    await socket?.remove();
  }
}

// Metrics on an address of their own, where whoever reaches it may read them.
async function listenForMetrics(
  metrics: Metrics,
  { host, port }: { host: string; port: number },
): Promise<() => Promise<void>> {
  const app = Fastify({ forceCloseConnections: true });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await metrics.expose();
    return reply.header('content-type', contentType).send(text);
  });
  await app.listen({ host, port });
  return () => app.close();
}
