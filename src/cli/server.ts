// A running registry: locks the data folder, opens the stores, listens, and takes all of it down again in order.
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from '../app.ts';
import { type Authority, createAuthority } from '../auth/authority.ts';
import { accessMode } from '../config/access-mode.ts';
import type { Config } from '../config/config.ts';
import type { SettingInForce } from '../config/in-force.ts';
import { replaceCertificate, type TlsMaterial } from '../http/connections.ts';
import type { Metrics } from '../http/metrics.ts';
import { TransferWatch } from '../http/transfer-watch.ts';
import type { Registry } from '../registry/registry.ts';
import { type Clock, systemClock } from '../storage/clock.ts';
import { ensureFirstAdministrator, type FirstPassword, forgetFirstPassword } from './first-administrator.ts';
import { listenOnSocket, type ManagementSocket } from './management-socket.ts';
import { openRegistry, settingsOf } from './open-registry.ts';
import { writeServerFile } from './server-file.ts';

export interface RunningServer {
  /** Where it listens, as a client on this machine types it; 'http://localhost' when it listens on the socket alone. */
  readonly url: string;
  /** The address; the path of the socket when it listens there alone. */
  readonly address: string;
  /** 0 when it listens on the socket alone. */
  readonly port: number;
  /** The management socket, absolute; undefined: it has none. */
  readonly socket: string | undefined;
  /** What `access.mode` came to. */
  readonly mode: 'open' | 'token';
  /** How the user admin signs in, until it changes its first password. */
  readonly firstPassword: FirstPassword | undefined;
  /** The rules and stores behind the server. */
  readonly registry: Registry;
  readonly authority: Authority;
  /** Resolves with the reason when the server must not go on (the medium failed); the caller closes it and exits. */
  readonly fatal: Promise<Error>;
  /** Takes over what a running server can, the TLS files too; open connections stay. Throws when those are unusable, and the old ones stay in use. */
  reload(config: Config): Promise<void>;
  /** Stops: not ready at once, requests in flight finish (limits.shutdown at most), everything is written and released. */
  close(): Promise<void>;
}

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  /** 'socket': on the management socket alone, for a command that is alone with the data folder. */
  readonly listen?: 'everywhere' | 'socket';
  /** Where a socket goes whose path in the data folder would be too long: the user's folder for such things. */
  readonly runtimeFolder?: string | undefined;
  /** The configuration as people are shown it, of GET /api/v1/config. */
  readonly settings?: () => readonly SettingInForce[];
  /** For tests: the two clocks. */
  readonly clock?: Clock;
}

type Undo = (() => Promise<void> | void)[];

/**
 * Starts a registry. Throws FolderInUseError, DamagedDatabaseError and the like from the stores, SocketTakenError, or the system's
 * error when the address cannot be bound; nothing is left open then.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log, clock = systemClock, listen = 'everywhere' } = options;
  const opened: Undo = [];
  const closeAll = async () => {
    for (const close of opened.reverse().splice(0)) await close();
  };
  try {
    const tls = listen === 'socket' ? undefined : await readTls(config);
    const { registry, fatal } = await openRegistry({ config, log, clock }, opened);
    const { metadata } = registry;
    await metadata.accounts.namespaces.setDefaultVisibility(config.access.defaultVisibility);
    const mode = accessMode(config, await metadata.accounts.users.count());
    const authority = await openAuthority({ config, log, clock, mode, registry }, opened);
    const firstPassword =
      mode === 'token' ? await firstAdministrator(config, authority, registry) : undefined;
    const transfers = new TransferWatch(config.limits.slowestTransfer);
    opened.push(() => transfers.close());
    let draining = false;
    const context = {
      config,
      version: options.version,
      access: authority.access,
      authority,
      registry,
      transfers,
      clock,
      draining: () => draining,
      settings: options.settings ?? (() => []),
      passwordChanged: (user: string) => forgetFirstPassword(config, user),
    };
    const { fastify, metrics } = buildApp(context, log, tls);
    await fastify.ready();
    let socket: ManagementSocket | undefined;
    opened.push(async () => {
      draining = true;
      await drain(fastify, socket, config.limits.shutdown);
    });
    if (listen === 'socket' || config.http.socket !== 'off') {
      socket = await listenOnSocket(config, fastify.routing, options.runtimeFolder);
    }
    const place = listen === 'socket' ? placeOnSocket(socket) : await listenOnNetwork(fastify, config, tls);
    if (listen === 'everywhere' && config.metrics.address !== undefined)
      opened.push(await listenForMetrics(metrics, config.metrics.address));
    opened.push(await announce(options, listen === 'socket' ? null : place.url, socket));
    registry.sweep.start();
    return {
      ...place,
      socket: socket?.path,
      mode,
      firstPassword,
      registry,
      authority,
      fatal,
      reload: async (changed) => {
        const renewed = await readTls(changed);
        if (renewed !== undefined) replaceCertificate(fastify.server, renewed);
        await metadata.accounts.namespaces.setDefaultVisibility(changed.access.defaultVisibility);
        registry.writes.reload(settingsOf(changed));
      },
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

interface Parts {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly mode: 'open' | 'token';
  readonly registry: Registry;
}

async function openAuthority(
  { config, log, clock, mode, registry }: Parts,
  opened: Undo,
): Promise<Authority> {
  const authority = await createAuthority({
    metadata: registry.metadata,
    config,
    clock,
    mode,
    onFailure: (duty: string, err: unknown) =>
      log.error({ err, duty }, 'a regular duty failed; it is tried again'),
  });
  await authority.start();
  opened.push(() => authority.stop());
  return authority;
}

function firstAdministrator(
  config: Config,
  authority: Authority,
  { metadata }: Registry,
): Promise<FirstPassword | undefined> {
  return ensureFirstAdministrator({
    config,
    users: metadata.accounts.users,
    judge: (password, account) => authority.passwords.judge(password, account),
    hash: (password) => authority.passwords.hash(password),
  });
}

async function listenOnNetwork(fastify: FastifyInstance, { http }: Config, tls: TlsMaterial | undefined) {
  await fastify.listen({ host: http.address, port: http.port });
  const { address, port } = fastify.server.address() as AddressInfo;
  const host = address.includes(':') ? `[${address}]` : address;
  return { url: `${tls === undefined ? 'http' : 'https'}://${host}:${port}`, address, port };
}

function placeOnSocket(socket: ManagementSocket | undefined) {
  return { url: 'http://localhost', address: socket?.path ?? '', port: 0 };
}

/** Tells commands on this machine where the server is. A full disk must not keep it from serving pulls. */
async function announce(
  { config, log, version }: ServerOptions,
  url: string | null,
  socket: ManagementSocket | undefined,
): Promise<() => Promise<void>> {
  try {
    return await writeServerFile(config.data, {
      pid: process.pid,
      version,
      url,
      socket: socket?.path ?? null,
    });
  } catch (err) {
    log.warn({ err }, 'server.json cannot be written: commands on this machine may not find the server');
    return async () => {};
  }
}

/** Ends both listeners; requests in flight finish, for so many seconds at most. */
async function drain(
  fastify: FastifyInstance,
  socket: ManagementSocket | undefined,
  seconds: number,
): Promise<void> {
  const servers: Server[] = [fastify.server, ...(socket === undefined ? [] : [socket.server])];
  // A connection that was busy at first is idle once its answer is out, and would be kept alive.
  const closeIdle = setInterval(() => {
    for (const server of servers) server.closeIdleConnections();
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

async function readTls({ http: { tls } }: Config): Promise<TlsMaterial | undefined> {
  if (tls === undefined) return undefined;
  const [certificate, key] = await Promise.all([
    readFile(tls.certificate, 'utf8'),
    readFile(tls.key, 'utf8'),
  ]);
  return { certificate, key, minimumVersion: tls.minimumVersion };
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
