// A running registry: locks the data folder, opens the stores, listens, and takes all of it down again in order.
import { mkdir, readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Fastify from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from '../app.ts';
import { openAccess } from '../auth/open-access.ts';
import type { Config } from '../config/config.ts';
import { replaceCertificate, type TlsMaterial } from '../http/connections.ts';
import type { Metrics } from '../http/metrics.ts';
import { TransferWatch } from '../http/transfer-watch.ts';
import { createRegistry, type Registry, type RegistrySettings } from '../registry/registry.ts';
import { type Clock, systemClock } from '../storage/clock.ts';
import { ballastFile } from '../storage/disk/ballast.ts';
import { openDiskStore } from '../storage/disk/disk-store.ts';
import { lockFolder } from '../storage/sqlite/lock.ts';
import { openSqliteStore } from '../storage/sqlite/sqlite-store.ts';

export interface RunningServer {
  /** Where it listens, as a client on this machine types it. */
  readonly url: string;
  readonly address: string;
  readonly port: number;
  /** The rules and stores behind the server. */
  readonly registry: Registry;
  /** Resolves with the reason when the server must not go on (the medium failed); the caller closes it and exits. */
  readonly fatal: Promise<Error>;
  /** Reads the TLS files again; open connections stay. Throws when they are unusable, and the old ones stay in use. */
  reload(config: Config): Promise<void>;
  /** Stops: not ready at once, requests in flight finish (limits.shutdown at most), everything is written and released. */
  close(): Promise<void>;
}

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  /** For tests: the two clocks. */
  readonly clock?: Clock;
}

/**
 * Starts a registry. Throws FolderInUseError, DamagedDatabaseError and the like from the stores, or the system's error when
 * the address cannot be bound; nothing is left open then.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log } = options;
  const opened: (() => Promise<void> | void)[] = [];
  const closeAll = async () => {
    for (const close of opened.reverse().splice(0)) await close();
  };
  try {
    const tls = await readTls(config);
    const { registry, fatal } = await openRegistry(options, opened);
    let draining = false;
    const transfers = new TransferWatch(config.limits.slowestTransfer);
    opened.push(() => transfers.close());
    const access = openAccess({ openOnNetwork: config.access.openOnNetwork });
    const context = {
      config,
      version: options.version,
      access,
      registry,
      transfers,
      draining: () => draining,
    };
    const { fastify, metrics } = buildApp(context, log, tls);
    opened.push(async () => {
      draining = true;
      const { server } = fastify;
      // A connection that was busy at first is idle once its answer is out, and would be kept alive.
      const closeIdle = setInterval(() => server.closeIdleConnections(), 50);
      const force = setTimeout(() => server.closeAllConnections(), config.limits.shutdown * 1000);
      await fastify.close();
      clearInterval(closeIdle);
      clearTimeout(force);
    });
    await fastify.listen({ host: config.http.address, port: config.http.port });
    if (config.metrics.address !== undefined)
      opened.push(await listenForMetrics(metrics, config.metrics.address));
    registry.sweep.start();
    const { address, port } = fastify.server.address() as AddressInfo;
    return {
      url: `${tls === undefined ? 'http' : 'https'}://${address.includes(':') ? `[${address}]` : address}:${port}`,
      address,
      port,
      registry,
      fatal,
      reload: async (changed) => {
        const renewed = await readTls(changed);
        if (renewed !== undefined) replaceCertificate(fastify.server, renewed);
        registry.writes.reload(settingsOf(changed));
      },
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

// Opens the folder and puts the registry together; what has to be undone is pushed to `opened` as it is done.
async function openRegistry(
  { config, log, clock = systemClock }: ServerOptions,
  opened: (() => Promise<void> | void)[],
): Promise<{ registry: Registry; fatal: Promise<Error> }> {
  const fatal = Promise.withResolvers<Error>();
  let registry: Registry | undefined;
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const lock = lockFolder(config.data);
  opened.push(() => lock.release());
  const onFatal = (error: Error) => {
    registry?.writes.fail();
    fatal.resolve(error);
  };
  const blobs = await openDiskStore({ folder: config.data, onFatal });
  opened.push(() => blobs.close());
  const metadata = await openSqliteStore({
    folder: config.data,
    clock,
    leaseSeconds: config.collector.lease,
    undeleteSeconds: config.repositories.undeleteFor,
    onFatal,
  });
  opened.push(() => metadata.close());
  registry = createRegistry({
    metadata,
    blobs,
    ballast: ballastFile(join(config.data, 'ballast'), config.storage.ballast),
    clock,
    settings: settingsOf(config),
    onDamage: (damage) =>
      log.error({ damage }, 'a blob is damaged: it is answered 404 until it is pushed again'),
    onDutyFailure: (duty, err) => log.error({ err, duty }, 'a regular duty failed; it is tried again'),
  });
  const { sweep, writes } = registry;
  opened.push(() => sweep.stop());
  await writes.refillBallast();
  return { registry, fatal: fatal.promise };
}

function settingsOf({ storage, collector }: Config): RegistrySettings {
  const { idleExpiry, longest, ...limits } = storage.upload;
  return {
    readOnly: storage.readOnly,
    delete: storage.delete,
    keepFree: storage.keepFree,
    keepFreeInodes: storage.keepFreeInodes,
    blobSizeLimit: storage.blobSizeLimit,
    sparseManifests: storage.sparseManifests,
    leaseSeconds: collector.lease,
    uploads: { ...limits, idleExpirySeconds: idleExpiry, longestSeconds: longest },
  };
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
