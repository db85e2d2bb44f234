// What `berth serve` does: a server in the foreground, from its configuration to the signal that ends it.
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { ConfigurationError } from '../config/faults.ts';
import { reloadedSettings, settingsInForce } from '../config/in-force.ts';
import { type ConfigSources, type LoadedConfig, loadConfig } from '../config/load.ts';
import { listChangesForRestart } from '../config/reload.ts';
import { sqliteVersion } from '../storage/sqlite/sqlite-version.ts';
import { releaseStartMemory } from '../storage/start-memory.ts';
import { version } from '../version.ts';
import type { CommandContext } from './context.ts';
import { greetingLines, isNewFolder } from './greeting.ts';
import { beginLifetime } from './lifetime.ts';
import { openLog } from './log.ts';
import { type RunningServer, startServer } from './server.ts';
import { asStartFailure } from './start-failure.ts';

/** Runs a server until it is told to stop. Throws ConfigurationError, or CommandError when it cannot start. */
export async function serve(sources: ConfigSources, context: CommandContext): Promise<void> {
  const loaded = loadConfig(sources);
  // Files are for this user alone, whatever the shell's umask; the stores need not think of it.
  process.umask(0o077);
  const { config } = loaded;
  const { log, release, flush } = await openLog(config.log, context);
  let server: RunningServer | undefined;
  const lifetime = beginLifetime(log, flush, async () => {
    const reloaded = await reload(sources, config, server, log);
    if (reloaded !== undefined) settings = reloadedSettings(settings, reloaded);
  });
  let settings = settingsInForce(loaded);
  const isNew = await isNewFolder(config.data);
  try {
    const runtimeFolder = context.environment.XDG_RUNTIME_DIR || undefined;
    const { signal } = lifetime;
    server = await startServer({ config, log, version, runtimeFolder, signal, settings: () => settings });
  } catch (error) {
    if (lifetime.signal.aborted) return context.finish(lifetime.endOfStart());
    flush();
    throw asStartFailure(error, config, context.userId);
  }
  const lines = await greetingLines({
    config,
    version,
    sqliteVersion: sqliteVersion(),
    url: server.url,
    port: server.port,
    mode: server.mode,
    firstPassword: server.firstPassword,
    isNew,
    onTerminal: context.stdout.isTTY === true,
    portByFlag: loaded.sources.get('http.port') === '--port',
    notes: loaded.notes,
  });
  context.stdout.write(`${lines.join('\n')}\n`);
  release();
  releaseStartMemory(1000);
  context.finish(await lifetime.untilEnd(server, config.limits.shutdown));
}

/** SIGHUP: takes over what can be and returns it, says what cannot, and changes nothing when the new configuration has a fault. */
async function reload(
  sources: ConfigSources,
  running: Config,
  server: RunningServer | undefined,
  log: Logger,
): Promise<LoadedConfig | undefined> {
  if (server === undefined) return undefined;
  let loaded: LoadedConfig;
  try {
    loaded = loadConfig(sources);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    log.error({ faults: error.faults }, 'SIGHUP: the configuration has faults; all stays as it was');
    return undefined;
  }
  const { config } = loaded;
  await server.reload(config);
  log.level = config.log.level;
  const restart = listChangesForRestart(running, config);
  if (restart.length > 0)
    log.warn({ settings: restart }, 'SIGHUP: these settings change with the next start');
  log.info('SIGHUP: the configuration and the TLS files were read again');
  return loaded;
}
