// A running registry: locks the data folder, opens the stores, listens, and takes all of it down again in order.
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { buildApp, type DeclaredRoute } from '../app.ts';
import { type Authority, createAuthority } from '../auth/authority.ts';
import { accessMode } from '../config/access-mode.ts';
import type { Config } from '../config/config.ts';
import type { SettingInForce } from '../config/in-force.ts';
import type { ApiContext } from '../http/api/v1/context.ts';
import { replaceCertificate, type TlsMaterial } from '../http/connections.ts';
import { Stopping } from '../http/stopping.ts';
import { TransferWatch } from '../http/transfer-watch.ts';
import type { Registry } from '../registry/registry.ts';
import { type Clock, systemClock } from '../storage/clock.ts';
import { Care } from './care.ts';
import { ensureFirstAdministrator, type FirstPassword, forgetFirstPassword } from './first-administrator.ts';
import { openListeners, type Place } from './listeners.ts';
import { openRegistry, settingsOf } from './open-registry.ts';
import { openWebhooks } from './open-webhooks.ts';
import { writeServerFile } from './server-file.ts';

export interface RunningServer extends Place {
  /** What `access.mode` came to. */
  readonly mode: 'open' | 'token';
  /** How the user admin signs in, until it changes its first password. */
  readonly firstPassword: FirstPassword | undefined;
  /** The rules and stores behind the server. */
  readonly registry: Registry;
  readonly authority: Authority;
  /** Every route that it serves: tests hold each of them to the rules of access. */
  readonly routes: readonly DeclaredRoute[];
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
  /** The configuration in force, for people; without it the API shows none. */
  readonly settings?: () => readonly SettingInForce[];
  /** Breaks the start off: what was opened is closed again, and startServer throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** For tests: the two clocks. */
  readonly clock?: Clock;
}

type Undo = (() => Promise<void> | void)[];

/**
 * Starts a registry. Throws FolderInUseError, DamagedDatabaseError and the like from the stores, SocketTakenError, or the system's
 * error when the address cannot be bound; nothing is left open then.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const opened: Undo = [];
  const close = async () => {
    for (const undo of opened.reverse().splice(0)) await undo();
  };
  try {
    return { ...(await start(options, opened)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(options: ServerOptions, opened: Undo): Promise<Omit<RunningServer, 'close'>> {
  const { config, log, version, clock = systemClock } = options;
  const onSocketAlone = options.listen === 'socket';
  const goOn = () => options.signal?.throwIfAborted();
  const tls = onSocketAlone ? undefined : await readTls(config);
  goOn();
  const { registry, fatal } = await openRegistry({ config, log, clock }, opened);
  goOn();
  const { authority, firstPassword } = await openIdentity({ config, log, clock, registry }, opened);
  goOn();
  const transfers = new TransferWatch(config.limits.slowestTransfer);
  opened.push(() => transfers.close());
  const care = new Care({ config, registry, log, version, clock });
  let draining = false;
  let place: Place | undefined;
  const { access } = authority;
  const stopping = new Stopping();
  const hooks = openWebhooks({ config, registry, log, version, clock, urlOf: () => place?.url });
  const context: ApiContext = {
    ...hooks,
    stopping,
    ...{ config, version, access, authority, registry, transfers, clock, care },
    draining: () => draining,
    passwordChanged: (user) => forgetFirstPassword(config, user),
    settings: options.settings ?? (() => []),
  };
  const app = buildApp(context, log, tls);
  const { runtimeFolder } = options;
  place = await openListeners({ config, app, onSocketAlone, runtimeFolder }, opened);
  opened.push(await announce(options, onSocketAlone ? null : place.url, place.socket));
  // Before the listeners wait for their requests: whoever watches an operation is told of its end.
  opened.push(() => care.stop());
  opened.push(() => hooks.webhooks.stop());
  opened.push(() => {
    draining = true;
    stopping.begin();
  });
  registry.sweep.start();
  await care.start(!onSocketAlone);
  if (!onSocketAlone) await hooks.webhooks.start();
  const reload = async (changed: Config) => {
    const renewed = await readTls(changed);
    if (renewed !== undefined) replaceCertificate(app.fastify.server, renewed);
    await registry.metadata.accounts.namespaces.setDefaultVisibility(changed.access.defaultVisibility);
    registry.writes.reload(settingsOf(changed));
    await care.reload(changed);
  };
  const { mode } = authority;
  return { ...place, mode, firstPassword, registry, authority, routes: app.routes, fatal, reload };
}

interface Parts {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly registry: Registry;
}

/** Decides the mode, opens the authority, and sees to it that somebody can sign in. */
async function openIdentity(
  { config, log, clock, registry }: Parts,
  opened: Undo,
): Promise<{ authority: Authority; firstPassword: FirstPassword | undefined }> {
  const { metadata } = registry;
  const { users, namespaces } = metadata.accounts;
  await namespaces.setDefaultVisibility(config.access.defaultVisibility);
  const mode = accessMode(config, await users.count());
  const authority = createAuthority({
    metadata,
    config,
    clock,
    mode,
    onFailure: (err) => log.error({ err }, 'a duty of access control failed; it is tried again'),
  });
  await authority.start();
  opened.push(() => authority.stop());
  if (mode === 'open') return { authority, firstPassword: undefined };
  const { passwords } = authority;
  const firstPassword = await ensureFirstAdministrator({
    config,
    users,
    judge: (password, account) => passwords.judge(password, account),
    hash: (password) => passwords.hash(password),
  });
  return { authority, firstPassword };
}

/** Tells commands on this machine where the server is. A full disk must not keep it from serving pulls. */
async function announce(
  { config, log, version }: ServerOptions,
  url: string | null,
  socket: string | undefined,
): Promise<() => Promise<void>> {
  try {
    return await writeServerFile(config.data, { pid: process.pid, version, url, socket: socket ?? null });
  } catch (err) {
    const { code = '' } = err as NodeJS.ErrnoException;
    if (!['ENOSPC', 'EDQUOT'].includes(code)) throw err;
    log.warn({ err }, 'server.json cannot be written: commands on this machine may not find the server');
    return async () => {};
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
