// startRegistry(t): a real registry in a folder of its own on a free port, that closes itself with the test.
import pino from 'pino';
import { type RunningServer, startServer } from '../../src/cli/server.ts';
import type { Config } from '../../src/config/config.ts';
import { settingsInForce } from '../../src/config/in-force.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Clock } from '../../src/storage/clock.ts';
import { writeBlankDatabase } from './blank-database.ts';
import { type Cleanup, makeFolder, onEnd } from './cleanup.ts';
import { keepWriterThreads } from './writer-threads.ts';

keepWriterThreads();

export interface TestRegistry extends RunningServer {
  readonly config: Config;
  readonly data: string;
  /** The log lines so far, parsed. */
  readonly logged: Record<string, unknown>[];
}

/** Settings by dotted path, as flags would give them. */
export type Settings = Record<string, string>;

/** Starts a registry with default settings but for `settings`, a small ballast and cheap passwords. With `data`, on a folder that the caller owns. */
export async function startRegistry(
  t: Cleanup,
  settings: Settings = {},
  options: { data?: string; clock?: Clock } = {},
): Promise<TestRegistry> {
  const data = options.data ?? (await temporaryFolder(t));
  if (options.data === undefined) writeBlankDatabase(data);
  const all = { data, 'http.port': '0', 'storage.ballast': '4KiB', ...settings };
  const flags = Object.entries(all).map(([path, text]) => ({ path, flag: `--${path}`, text }));
  const loaded = loadConfig({ folder: data, environment: {}, flags });
  const config = 'auth.password.bcryptCost' in settings ? loaded.config : withCheapPasswords(loaded.config);
  const inForce = settingsInForce(loaded);
  const logged: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const server = await startServer({
    config,
    log,
    version: 'test',
    settings: () => inForce,
    ...(options.clock ? { clock: options.clock } : {}),
  });
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= server.close());
  onEnd(t, close);
  return { ...server, close, config, data, logged };
}

// Cheaper than the settings allow: what a hash costs is tested where it is the subject.
function withCheapPasswords(config: Config): Config {
  const { auth } = config;
  return { ...config, auth: { ...auth, password: { ...auth.password, bcryptCost: 4 } } };
}

/** A folder that is removed with the test. */
export function temporaryFolder(t: Cleanup): Promise<string> {
  return makeFolder(t, 'test');
}
